# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The beginnings and ends of a ``.tflite`` file: what of them is int8, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_file import Node, TFLiteFile, type_name
from axynq.emulator.file_formats.tflite_reading import ACTIVATION_TYPES, one_scale
from axynq.emulator.model import graph

_CODES = tflite.BuiltinOperator

_LEAVING = {_CODES.DEQUANTIZE, _CODES.ARG_MAX, _CODES.ARG_MIN, _CODES.CAST, _CODES.CUSTOM}
"""Operators by which a network leaves int8. Custom ones are what detectors have at their ends, such
as TFLite_Detection_PostProcess."""


class End(NamedTuple):
    """A network's input or output."""

    tensor: int
    """The file's index of the int8 (or uint8) tensor."""
    interface: graph.Interface | None


@dataclass
class Ends:
    """A file's operators between its int8 inputs and outputs."""

    nodes: list[Node]
    sources: list[End] = field(default_factory=list)
    targets: list[End] = field(default_factory=list)
    real: set[int] = field(default_factory=set)
    """Tensors that are computed from int8 ones but are none themselves."""
    notes: list[str] = field(default_factory=list)


def find_ends(file: TFLiteFile) -> Ends:
    """Take off QUANTIZE at inputs, and what is not int8 at the end.

    Raises:
        ModelError: an input or output is of a type that is not supported.
    """
    ends = Ends(list(file.nodes))
    _inputs(file, ends)
    tail = _tail(file, ends)
    _outputs(file, ends, tail)
    if not ends.nodes and tail:
        raise ModelError("has no operators but QUANTIZE and DEQUANTIZE")
    return ends


def _inputs(file: TFLiteFile, ends: Ends) -> None:
    for source in file.inputs:
        raw = file.tensors[source]
        readers = [n for n in ends.nodes if source in n.inputs]
        if not readers and source not in file.outputs:
            ends.notes.append(f"Input '{raw.name}' is left out, as no operator reads it.")
            continue
        end = End(source, None)
        if (
            len(readers) == 1
            and readers[0].code == _CODES.QUANTIZE
            and readers[0].inputs == (source,)
            and len(readers[0].outputs) == 1
            and _becomes_int8(file, source, readers[0].outputs[0])
        ):
            end = End(readers[0].outputs[0], interface(file, source, "input"))
            ends.nodes = [n for n in ends.nodes if n is not readers[0]]
        elif len(readers) == 1 and (cast := _cast(file, ends, source, readers[0])) is not None:
            end = cast
        elif raw.type == tflite.TensorType.UINT8:
            if not len(raw.scales):
                raise ModelError(
                    f"its input '{raw.name}' is uint8 without a scale: only CAST and QUANTIZE may "
                    "turn it into int8; what else is done to pixels belongs before the network"
                )
            end = End(source, interface(file, source, "input"))
        ends.sources.append(end)


def _cast(file: TFLiteFile, ends: Ends, source: int, reader: Node) -> End | None:
    """An input of uint8 that a CAST turns into reals and a QUANTIZE into int8; None: it is none."""
    if reader.code != _CODES.CAST or file.tensors[source].type != tflite.TensorType.UINT8:
        return None
    readers = [n for n in ends.nodes if set(reader.outputs) & set(n.inputs)]
    if len(readers) != 1 or readers[0].code != _CODES.QUANTIZE or len(readers[0].outputs) != 1:
        return None
    target = readers[0].outputs[0]
    if file.tensors[target].type != tflite.TensorType.INT8:
        return None
    ends.nodes = [n for n in ends.nodes if n not in (reader, readers[0])]
    scale, zero_point = one_scale(file.tensors[target])
    name = file.tensors[source].name
    pixels = graph.Interface(name, "uint8", 1.0, 0)
    tensor = graph.Tensor(name, (256,), scale, zero_point, pixels)
    every = np.arange(256, dtype=np.float32)
    if np.array_equal(tensor.int8_of_uint8, tensor.quantise(every)):
        return End(target, pixels)
    ends.notes.append(
        f"The CAST of input '{name}' from uint8 is left out: the input takes real numbers 0 .. 255."
    )
    return End(target, graph.Interface(name, "float32"))


def _becomes_int8(file: TFLiteFile, source: int, target: int) -> bool:
    """Whether a QUANTIZE turns another type into int8, or reals into uint8, which is read as int8.
    From uint8 to uint8 and from int8 it is an operator as others are."""
    before, after = file.tensors[source].type, file.tensors[target].type
    if before == tflite.TensorType.UINT8:
        return after == tflite.TensorType.INT8
    return before != tflite.TensorType.INT8


def _tail(file: TFLiteFile, ends: Ends) -> list[Node]:
    """The operators that work on what is not int8 any more; they are taken off."""
    tail: list[Node] = []
    for node in ends.nodes:
        leaves = node.code in _LEAVING and any(_is_computed(file, i) for i in node.inputs[:1])
        types = {file.tensors[i].type for i in node.outputs if i >= 0}
        if types & set(ACTIVATION_TYPES):
            continue  # back to int8: reading it will find that its input is not
        if leaves or any(i in ends.real for i in node.inputs):
            tail.append(node)
            ends.real.update(i for i in node.outputs if i >= 0)
    if not tail:
        return tail
    # Operators on constants that only the tail reads.
    for node in reversed(ends.nodes):
        if node in tail or not node.outputs or set(node.outputs) & set(file.outputs):
            continue
        readers = [n for n in ends.nodes if set(node.outputs) & set(n.inputs)]
        if readers and all(n in tail for n in readers):
            types = {file.tensors[i].type for i in node.outputs}
            if not types & set(ACTIVATION_TYPES):
                tail.append(node)
    ends.nodes = [n for n in ends.nodes if n not in tail]
    return tail


def _outputs(file: TFLiteFile, ends: Ends, tail: Sequence[Node]) -> None:
    writers = {i: n for n in file.nodes for i in n.outputs}
    left_out: list[Node] = [n for n in tail if n.code != _CODES.DEQUANTIZE]
    for target in dict.fromkeys(file.outputs):
        raw, writer = file.tensors[target], writers.get(target)
        if target in ends.real:
            assert writer is not None
            for end in _before_tail(file, target, writers, ends.real):
                if end.tensor not in [other.tensor for other in ends.targets]:
                    ends.targets.append(end)
            continue
        end = End(target, None)
        if (
            writer in ends.nodes
            and writer is not None
            and writer.code == _CODES.QUANTIZE
            and writer.outputs == (target,)
            and len(writer.inputs) == 1
            and raw.type == tflite.TensorType.UINT8
            and file.tensors[writer.inputs[0]].type == tflite.TensorType.INT8
            and not any(target in n.inputs for n in file.nodes)
        ):
            end = End(writer.inputs[0], interface(file, target, "output"))
            ends.nodes = [n for n in ends.nodes if n is not writer]
        elif raw.type == tflite.TensorType.UINT8:
            end = End(target, interface(file, target, "output"))
        if end.tensor not in [other.tensor for other in ends.targets]:
            ends.targets.append(end)
    if left_out:
        counts = Counter(node.kind for node in left_out)
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
        names = ", ".join(f"'{file.tensors[end.tensor].name}'" for end in ends.targets)
        ends.notes.append(
            f"The end of the file is not int8 and is left out: {kinds}. The outputs are those "
            f"int8 tensors that it begins from: {names}."
        )


def _before_tail(
    file: TFLiteFile, target: int, writers: dict[int, Node], real: set[int]
) -> list[End]:
    """The int8 tensors that an output is computed from, with reals in their place where the file
    has a DEQUANTIZE."""
    found: list[End] = []
    waiting, seen = [target], set()
    while waiting:
        tensor = waiting.pop(0)
        if tensor in seen or tensor not in real:
            continue
        seen.add(tensor)
        node = writers[tensor]
        for source in node.inputs:
            if source in real:
                waiting.append(source)
            elif _is_computed(file, source):
                reals = node.code == _CODES.DEQUANTIZE
                found.append(End(source, interface(file, tensor, "") if reals else None))
    return found


def _is_computed(file: TFLiteFile, tensor: int) -> bool:
    """Whether a tensor is an int8 or uint8 one, and no constant."""
    raw = file.tensors[tensor]
    return tensor >= 0 and raw.type in ACTIVATION_TYPES and not raw.constant


def interface(file: TFLiteFile, file_index: int, what: str) -> graph.Interface:
    """What the file has in place of an int8 input or output."""
    raw = file.tensors[file_index]
    if raw.type == tflite.TensorType.FLOAT32:
        return graph.Interface(raw.name, "float32")
    if raw.type != tflite.TensorType.UINT8:
        raise ModelError(
            f"its {what} '{raw.name}' is {type_name(raw.type)}; int8, uint8 and float32 are "
            "supported"
        )
    scale, zero_point = one_scale(raw)
    return graph.Interface(raw.name, "uint8", scale, zero_point)
