# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The C++ of a layer's multipliers, and what becomes of hls4ml's own C++ for the layer."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.multipliers import ACTIVATION_MIN, Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.hls4ml.checks import is_exact
from axynq.hls4ml.fixed_point import value_range
from axynq.hls4ml.layers import DEPTHWISE, in_memory, kernel_shape
from axynq.host.generate.functors import cpp_type
from axynq.host.overlay.circuits import zero_is_zero

HEADER = "nnet_utils/nnet_axynq.h"
SELECTABLE_HEADER = "nnet_utils/nnet_axynq_selectable.h"

_CONVOLUTION = r"nnet::\w*conv_[12]d_cl<"


def bank(node: Any, codes: LayerCodes) -> str:
    """The structure that computes the layer's products, ``config3_multipliers``."""
    name = _bank_name(node)
    designs = ", ".join(_design(node, m) for m in codes.multipliers) or "axynq::exact"
    table, index = _table(node, codes)
    declared = "    static const unsigned char codes[];\n" if table else ""
    code = f"codes[{index}]" if table else "0"
    lines = (
        f"struct {name} {{\n"
        f"{declared}"
        "    static axynq::product_t product(unsigned filter, unsigned weight, "
        "axynq::activation_t a, axynq::weight_t w) {\n"
        "        #pragma HLS INLINE\n"
        f"        return nnet_axynq::bank<{designs} >::product(a, w, {code});\n"
        "    }\n"
        "};\n"
    )
    if table:
        lines += f"const unsigned char {name}::codes[] = {{{', '.join(map(str, table))}}};\n"
    return lines + "\n"


def selectable_bank(node: Any) -> str:
    """The structure that computes the layer's products where multipliers are selected while the
    simulation runs: :data:`SELECTABLE_HEADER` says how."""
    number = node.index
    return (
        f"NNET_AXYNQ_CODES({number}, {math.prod(kernel_shape(node))})\n"
        f"struct {_bank_name(node)} {{\n"
        "    static int product(unsigned, unsigned weight, int a, int w) {\n"
        f"        return nnet_axynq::selected_product({codes_symbol(node)}[weight], a, w);\n"
        "    }\n"
        "};\n\n"
    )


def codes_symbol(node: Any) -> str:
    """The variable with the codes of a layer's selectable multipliers."""
    return f"axynq_codes_{node.index}"


def _design(node: Any, m: Multiplier) -> str:
    """The functor, made fit for what the layer feeds it."""
    low, _ = value_range(node.get_input_variable().type.precision)
    beyond = low < ACTIVATION_MIN
    # Plans do not tell exact multipliers apart, but only one of them takes -256.
    design = "axynq::exact" if beyond and is_exact(m) else f"axynq::{cpp_type(m)}"
    if not zero_is_zero(m):
        design = f"nnet_axynq::zero_weights<{design} >"
    return f"nnet_axynq::limited<{design} >" if beyond and not is_exact(m) else design


def _bank_name(node: Any) -> str:
    return f"config{node.index}_multipliers"


def _table(node: Any, codes: LayerCodes) -> tuple[list[int], str]:
    """The place of a filter's or a weight's design in the bank, and which of both it is; one place
    behind the last multiplies by zero. Nothing where there is one design."""
    designs = max(len(codes.multipliers), 1)  # a bank has one even where all weights are skipped
    if designs == 1 and SKIP not in codes.codes:
        return [], ""
    places = np.where(codes.codes == SKIP, designs, codes.codes.astype(np.int64) - 1)
    first = places[:, :1, :1, :1]
    if np.array_equal(np.broadcast_to(first, places.shape), places):
        return first.reshape(-1).tolist(), "filter"
    return in_memory(node, places).tolist(), "weight"


def configuration(node: Any, text: str, codes: LayerCodes | None) -> str:
    """hls4ml's ``config_cpp`` of a layer, with the multipliers' kernels in place of its own.

    Without ``codes`` the multipliers are selectable.

    Raises:
        ModelError: this version of hls4ml writes it otherwise.
    """
    kernel = f"using kernel = nnet_axynq::{_kind(node)}<data_T, res_T, CONFIG_T>;"
    text = _replaced(node, r"using kernel = [^;]*;", kernel, text)
    for name in (f"config{node.index}_mult", f"config{node.index}"):
        opening = f"struct {name} : nnet::dense_config {{\n"
        if opening in text:
            bank_type = f"    typedef {_bank_name(node)} multipliers;\n"
            made = selectable_bank(node) if codes is None else bank(node, codes)
            return made + text.replace(opening, opening + bank_type, 1)
    raise _unknown(node)


def call(node: Any, text: str) -> str:
    """hls4ml's ``function_cpp`` of a layer. Convolutions of streams, and dense layers of arrays,
    call the kernel of the configuration; others have products of their own.

    Raises:
        ModelError: this version of hls4ml writes it otherwise.
    """
    streams = node.model.config.get_config_value("IOType") == "io_stream"
    if node.class_name == "Dense":
        own = "nnet_axynq::dense_stream<" if streams else "nnet::dense<"
        return _replaced(node, "nnet::dense<", own, text)
    own = r"\g<0>" if streams else f"nnet_axynq::convolution_{_kind(node)}<"
    return _replaced(node, _CONVOLUTION, own, text)


def _kind(node: Any) -> str:
    strategy = str(node.get_attr("strategy")).lower()
    return f"depthwise_{strategy}" if node.class_name in DEPTHWISE else strategy


def _replaced(node: Any, pattern: str, by: str, text: str) -> str:
    text, count = re.subn(pattern, by, text)
    if count != 1:
        raise _unknown(node)
    return text


def _unknown(node: Any) -> ModelError:
    from hls4ml import __version__

    return ModelError(
        f"hls4ml {__version__} writes layer '{node.name}' in a way that axynq does not know: "
        "pip install 'axynq[hls4ml]' installs a version that it knows"
    )
