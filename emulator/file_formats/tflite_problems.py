# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What keeps a ``.tflite`` file from being read, all of it in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.problems import (
    BRANCHES,
    RECURRENT,
    together,
    unknown_operators,
)
from axynq.emulator.file_formats.tflite_file import (
    Node,
    RawTensor,
    TFLiteFile,
    operator_name,
    type_name,
)


def refuse_compiled(nodes: Sequence[Node]) -> None:
    """Raises:
    ModelError: the network was compiled for a chip, which leaves one custom operator of it.
    """
    for node in nodes:
        for mark, chip in (("edgetpu", "the Edge TPU"), ("ethos-u", "an Ethos-U (Vela)")):
            if node.code == tflite.BuiltinOperator.CUSTOM and node.custom.startswith(mark):
                raise ModelError(
                    f"is compiled for {chip}: give the int8 .tflite that it was compiled from"
                )


def not_supported(nodes: Sequence[Node], supported: Collection[int]) -> list[str]:
    """All kinds of operators that are not supported, as one problem; empty where there are none.

    QUANTIZE and DEQUANTIZE at inputs and outputs are not among ``nodes``.
    """
    return unknown_operators([node for node in nodes if node.code not in supported], hints)


_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("LSTM", "RNN", "GRU", "SVDF"), RECURRENT),
    (("WHILE", "IF", "CALL", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"), BRANCHES),
    (
        ("CUSTOM 'Flex",),
        "operators of TensorFlow itself (Flex) are not supported: convert the network again "
        "without SELECT_TF_OPS",
    ),
    (("CUSTOM",), "what a custom operator does is known to the program it was made for alone"),
    (
        ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
        "for a dilated convolution TensorFlow 2.4 and newer need neither SPACE_TO_BATCH_ND nor "
        "BATCH_TO_SPACE_ND: convert the network again",
    ),
    (
        ("ELU", "NEG", "SQRT", "LOG", "DIV", "POW", "SQUARE", "SIN", "COS", "FLOOR", "ROUND"),
        "TFLite's reference kernels have no int8 ELU, NEG, SQRT, LOG, DIV, POW or the like: leave "
        "such functions out, or to floats behind the last layer",
    ),
)
"""Beginnings or parts of operators' names, and what to say of them."""


def hints(kinds: Iterable[str]) -> list[str]:
    """What to say of operators that are not supported."""
    found, left = [], set(kinds)
    for marks, text in _HINTS:
        meant = {
            kind
            for kind in left
            if kind in marks or any(mark in kind for mark in marks if len(mark) > 3)
        }
        if meant:
            found.append(text)
            left -= meant
    return found


def all_together(unknown: list[str], problems: list[str], supported: Collection[int]) -> ModelError:
    """One error of operators that are not known and of other problems."""
    return together(unknown, problems, map(operator_name, supported))


def not_int8(file: TFLiteFile, nodes: Sequence[Node]) -> list[str]:
    """What a network without any int8 activation is."""
    computed = [i for n in nodes for i in n.outputs if i >= 0]
    types = Counter(file.tensors[i].type for i in computed)
    if tflite.TensorType.INT8 in types or tflite.TensorType.UINT8 in types or not types:
        return []
    common = types.most_common(1)[0][0]
    first = next(file.tensors[i] for i in computed if file.tensors[i].type == common)
    source = file.tensors[nodes[0].inputs[0]] if nodes[0].inputs else first
    named = source if source.type == common else first
    constants = Counter(
        file.tensors[i].type for n in nodes for i in n.inputs if i >= 0 and file.tensors[i].constant
    )
    kind = {
        tflite.TensorType.FLOAT32: "a float network",
        tflite.TensorType.FLOAT16: "a float16 network",
        tflite.TensorType.INT16: "quantised with int16 activations",
    }.get(common, "of another type")
    if common == tflite.TensorType.FLOAT32:
        if tflite.TensorType.INT8 in constants:
            kind += " of which only the weights are int8 (dynamic range quantisation)"
        elif tflite.TensorType.FLOAT16 in constants:
            kind += " with float16 weights"
    quantise = "quantise it with `axynq quantise`, or " if kind == "a float network" else ""
    return [
        f"{wrong_type(named)}. This one is {kind}: {quantise}convert it again with a "
        "representative data set and supported_ops = [TFLITE_BUILTINS_INT8] (docs/data.md shows "
        "how)"
    ]


def wrong_type(raw: RawTensor) -> str:
    """That an activation is not int8."""
    return (
        f"tensor '{raw.name}' is {type_name(raw.type)}; only models quantised to int8 throughout "
        "are supported (full integer quantisation)"
    )
