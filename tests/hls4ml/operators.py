# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The operators of ``nnet_axynq_network.h``, many in one program, on arrays and on streams."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.toolchain import compiler
from axynq.hls4ml.layer_list import layer_list
from axynq.hls4ml.network_layers import FUNCTIONS, configuration, write_header

Integers = npt.NDArray[np.int64]

PROGRAM = """
#include "nnet_axynq_network.h"
#include "nnet_types.h"

template <class T, unsigned N, class I>
void put(hls::stream<nnet::array<T, N> > &to, const I *from, int count) {
    for (int i = 0; i < count; i += N) {
        nnet::array<T, N> word;
        for (unsigned k = 0; k < N; k++) word[k] = from[i + k];
        to.write(word);
    }
}

template <class T, unsigned N> void get(hls::stream<nnet::array<T, N> > &from, int *to, int count) {
    for (int i = 0; i < count; i += N) {
        const nnet::array<T, N> word = from.read();
        for (unsigned k = 0; k < N; k++) to[i + k] = word[k];
    }
    if (!from.empty()) to[0] = 9999;
}

typedef ap_int<9> value_t;
"""

OPERATOR = """
{configuration}
extern "C" void operator_{number}(const int *first, const int *second, int *out, int images, int streams) {{
    typedef {input} input_t;
    typedef nnet::array<input_t, {channels}> in_word;
    typedef nnet::array<value_t, {channels}> out_word;
    static input_t a[{inputs}], b[{inputs}];
    static value_t y[{outputs}];
    static hls::stream<in_word> a_stream, b_stream;
    static hls::stream<out_word> y_stream;
    for (int image = 0; image < images; image++, first += {inputs}, second += {inputs}, out += {outputs}) {{
        if (streams) {{
            put<input_t, {channels}>(a_stream, first, {inputs});
            if ({pairs}) put<input_t, {channels}>(b_stream, second, {inputs});
            nnet_axynq::{function}<in_word, {more_words} out_word, config{number}>(a_stream, {more_streams} y_stream);
            get<value_t, {channels}>(y_stream, out, {outputs});
            if (!a_stream.empty() || !b_stream.empty()) out[0] = 9999;
        }} else {{
            for (int i = 0; i < {inputs}; i++) a[i] = first[i], b[i] = second[i];
            nnet_axynq::{function}<input_t, {more_types} value_t, config{number}>(a, {more_arrays} y);
            for (int i = 0; i < {outputs}; i++) out[i] = y[i];
        }}
    }}
}}
"""  # noqa: E501


class Operators:
    """The last layers of the designs of many networks, compiled into one library."""

    def __init__(self, models: Sequence[graph.Model], folder: Path) -> None:
        self.models = models
        code = [PROGRAM, *(self._operator(number, model) for number, model in enumerate(models))]
        source, library = folder / "operators.cpp", folder / "operators.so"
        source.write_text("".join(code))
        write_header(folder)
        templates = resources.files("hls4ml") / "templates" / "vivado"
        include = [f"-I{folder}", f"-I{templates}/nnet_utils", f"-I{templates}/ap_types"]
        flags = ["-O1", "-std=c++14", "-w", "-fPIC", "-shared", *include]
        subprocess.run([*compiler(), *flags, str(source), "-o", str(library)], check=True)
        self.library = ctypes.CDLL(str(library))

    def _operator(self, number: int, model: graph.Model) -> str:
        layer = layer_list(model, streams=False).layers[-1]
        constants = {"reuse_factor": 1, **layer["constants"]}
        pairs = layer["class_name"] == "AxynqAdd"
        accumulators = layer["class_name"] == "AxynqRequantise"
        source = model.output if accumulators else model.input
        return OPERATOR.format(
            configuration=configuration(f"config{number}", layer["operation"], constants),
            number=number,
            function=FUNCTIONS.get(layer["class_name"], "each_value"),
            input="ap_int<32>" if accumulators else "ap_int<9>",
            channels=model.output.shape[-1],
            inputs=int(np.prod(source.shape)),
            outputs=int(np.prod(model.output.shape)),
            pairs=int(pairs),
            more_words="in_word," if pairs else "",
            more_streams="b_stream," if pairs else "",
            more_types="input_t," if pairs else "",
            more_arrays="b," if pairs else "",
        )

    def run(self, number: int, first: Integers, second: Integers, streams: bool) -> Integers:
        """The int8 output of one operator.

        Args:
            number: of the network.
            first: accumulators of a layer, centred values of other operators, [images, ...].
            second: the other operand of a sum.
            streams: whether maps are streams.
        """
        target = self.models[number].output
        out = np.zeros((len(first), *target.shape), np.int32)
        given = [np.ascontiguousarray(each, np.int32) for each in (first, second)]
        pointers = [each.ctypes.data_as(ctypes.c_void_p) for each in (*given, out)]
        self.library[f"operator_{number}"](*pointers, len(first), int(streams))
        return out.astype(np.int64) + target.zero_point
