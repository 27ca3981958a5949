# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A ``.tflite`` file on its way into the typed graph: what readers of operators use.

Graph shapes leave out the leading 1 of a file's shape, the image. A tensor whose first dimension is
not 1, or which has one dimension only, keeps its whole shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import MOST_VALUES
from axynq.emulator.file_formats.tflite_assembly import DESCRIPTION
from axynq.emulator.file_formats.tflite_dilation import Dilation
from axynq.emulator.file_formats.tflite_file import (
    DamagedError,
    Node,
    RawTensor,
    TFLiteFile,
    type_name,
)
from axynq.emulator.file_formats.tflite_problems import wrong_type
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation

Shape = tuple[int, ...]
Values = npt.NDArray[Any]

ACTIVATION_TYPES = (tflite.TensorType.INT8, tflite.TensorType.UINT8)

_ACTIVATIONS: dict[int, Activation] = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
}

BATCH_ONE = "convert the network with a batch of 1"


class Reading:
    """The graph so far, and the file it is read from."""

    def __init__(self, file: TFLiteFile) -> None:
        self.file = file
        self.raw = file.tensors
        self.tensors: list[graph.Tensor] = []
        self.operators: list[graph.Operator] = []
        self.constants: dict[int, graph.Int8Array] = {}
        self.index_of: dict[int, int] = {}
        """The graph's tensors, by the file's."""
        self.static: dict[int, Values] = {}
        """Values that follow from constants and shapes, by the file's tensors."""
        self.real: set[int] = set()
        """The file's tensors that are computed from int8 ones but are none themselves."""
        self.dilations: dict[int, Dilation] = {}
        """What operators that are left out made of convolutions, by their places in the file."""
        self.doubled: list[Node] = []
        """Layers that see some of their inputs twice, as int8 does not hold their weights."""
        self._constants: dict[tuple[int, Shape], int] = {}
        self._names: set[str] = set()

    # --- tensors ---------------------------------------------------------------------------------

    def activation(self, file_index: int) -> int:
        """Index of an activation tensor in the graph, entering it when first seen."""
        if file_index in self.index_of:
            return self.index_of[file_index]
        if file_index < 0:
            raise DamagedError("is damaged: a tensor is left out where one is needed")
        raw = self.raw[file_index]
        if raw.type not in ACTIVATION_TYPES:
            raise ModelError(wrong_type(raw))
        scale, zero_point = int8_quantisation(raw)
        if math.prod(raw.shape) > MOST_VALUES:
            raise ModelError(
                f"tensor '{raw.name}' has shape {list(raw.shape)}; {MOST_VALUES} values at most "
                "are supported"
            )
        if 0 in raw.shape:
            raise ModelError(f"tensor '{raw.name}' has shape {list(raw.shape)}: it holds nothing")
        index = self.new(raw.name, graph_shape(raw.shape), scale, zero_point)
        self.index_of[file_index] = index
        return index

    def new(self, name: str, shape: Shape, scale: float, zero_point: int) -> int:
        """Enter a tensor."""
        self.tensors.append(graph.Tensor(name, shape, scale, zero_point))
        return len(self.tensors) - 1

    def shape(self, index: int) -> Shape:
        return self.tensors[index].shape

    def values(self, file_index: int) -> Values | None:
        """What is known of a tensor of the file without running it."""
        if file_index < 0:
            return None
        if file_index in self.static:
            return self.static[file_index]
        return self.raw[file_index].data

    def is_static(self, file_index: int) -> bool:
        """Whether a tensor is a constant, or follows from some."""
        return file_index in self.static or self.raw[file_index].constant

    def needs(self, node: Node, inputs: int, outputs: int = 1) -> None:
        """Raises:
        ModelError: an operator has too few inputs, or another number of outputs.
        """
        if len(node.inputs) < inputs or len(node.outputs) != outputs:
            raise ModelError(f"has {len(node.inputs)} inputs and {len(node.outputs)} outputs")

    def source(self, node: Node, position: int = 0) -> int:
        """An input that is computed already."""
        file_index = node.inputs[position]
        if file_index >= 0 and self.is_static(file_index):
            raise ModelError("a constant operand is not supported here")
        if file_index in self.real:
            raise ModelError(
                f"takes '{self.raw[file_index].name}', which is {self._type(file_index)}: what is "
                "not int8 may only be at the end of a network"
            )
        if file_index not in self.index_of:
            self.activation(file_index)  # a wrong type is the better message
            raise DamagedError("is damaged: it reads a tensor that nothing computed")
        return self.index_of[file_index]

    def _type(self, file_index: int) -> str:
        return type_name(self.raw[file_index].type)

    def operand(self, node: Node, position: int, rank: int) -> int:
        """An input that is computed already, or a constant, of whose ``rank`` dimensions in the
        file the first is left out where it is 1."""
        file_index = node.inputs[position]
        if file_index < 0 or not self.is_static(file_index):
            return self.source(node, position)
        raw, values = self.raw[file_index], self.values(file_index)
        if raw.type not in ACTIVATION_TYPES:
            raise ModelError(wrong_type(raw))
        if values is None:
            raise ModelError("has a sparse operand")
        shape = values.shape[1:] if values.ndim == rank and values.shape[0] == 1 else values.shape
        return self.constant_tensor(file_index, shape or (1,))

    def constant_tensor(self, file_index: int, shape: Shape) -> int:
        """A constant of the file as one of the graph."""
        key = (file_index, shape)
        if key not in self._constants:
            raw, values = self.raw[file_index], self.values(file_index)
            assert values is not None
            index = self.new(raw.name, shape, *int8_quantisation(raw))
            self.constants[index] = as_int8(raw, values).reshape(shape)
            self._constants[key] = index
        return self._constants[key]

    def integers(self, node: Node, position: int, what: str) -> Values:
        """An input of whole numbers that is known."""
        if position >= len(node.inputs) or node.inputs[position] < 0:
            raise ModelError(f"lacks its {what}")
        values = self.values(node.inputs[position])
        if values is None:
            raise ModelError(f"{what} is not a constant")
        if values.dtype not in (np.int32, np.int64):
            raise ModelError(f"{what} is {self._type(node.inputs[position])}, not int32")
        return values.astype(np.int64)

    def axes(self, node: Node, position: int, rank: int) -> set[int]:
        """The axes of the file's shape, of ``rank`` dimensions, that an input lists."""
        listed = self.integers(node, position, "list of axes").reshape(-1)
        if any(not -rank <= axis < rank for axis in listed):
            raise ModelError(f"axes {listed.tolist()} of {rank} dimensions")
        return {int(axis) % rank for axis in listed}

    def constant(self, node: Node, position: int, types: Sequence[int], what: str) -> RawTensor:
        """A constant input of one of the given types."""
        if position >= len(node.inputs) or node.inputs[position] < 0:
            raise ModelError(f"lacks its {what}")
        raw = self.raw[node.inputs[position]]
        if raw.type not in types:
            raise ModelError(f"has {what} of {type_name(raw.type)}, not {type_name(types[0])}")
        if raw.data is None:
            kind = "sparse" if raw.constant else "computed"
            raise ModelError(f"its {what} are {kind}, not constant")
        return raw

    def feature_map(self, node: Node, position: int = 0) -> tuple[int, int, int, int]:
        """An input, and its rows, columns and channels."""
        index = self.source(node, position)
        file_shape = self.raw[node.inputs[position]].shape
        if len(file_shape) != 4:
            raise ModelError(
                f"input has shape {list(file_shape)}, not [1, rows, columns, channels]"
            )
        if file_shape[0] != 1:
            raise ModelError(
                f"input '{self.tensors[index].name}' has a batch of {file_shape[0]}: {BATCH_ONE}"
            )
        rows, columns, channels = self.shape(index)
        return index, rows, columns, channels

    def is_legacy(self, node: Node) -> bool:
        """Whether an operator computes with uint8, as old networks do."""
        return any(self.raw[i].type == tflite.TensorType.UINT8 for i in node.outputs if i >= 0)

    # --- operators -------------------------------------------------------------------------------

    def emit(
        self,
        node: Node,
        kind: Any,
        word: str,
        inputs: tuple[int, ...],
        shape: Shape,
        *fields: Any,
        output: int = 0,
        suffix: str = "",
        moves: bool = False,
        name: str = "",
        **options: Any,
    ) -> None:
        """An operator that computes one of the node's outputs.

        Args:
            node: the file's operator.
            kind: the graph's operator type.
            word: the beginning of its name.
            inputs: tensors of the graph.
            shape: what the operator makes of its inputs. Where the output has another, a Reshape
                follows.
            fields: of the operator, behind ``output``.
            output: which of the node's.
            suffix: the end of its name.
            moves: whether input and output need one quantisation.
            name: of the operator, in place of one made of the word and the node's number.
            options: more fields.
        """
        index = self.activation(node.outputs[output])
        if moves:
            for source in inputs:
                self.require_same_quantisation(source, index)
        expected = self.shape(index)
        if math.prod(shape) != math.prod(expected):
            raise ModelError(f"output has shape {list(expected)} where {list(shape)} follows")
        target = index
        if shape != expected:
            target = self.like(index, shape, f"{self.tensors[index].name}/{word}{suffix}")
        if name in self._names or not name:
            name = self.name(word, node, suffix)
        self._names.add(name)
        self.append(kind, name, inputs, target, *fields, **options)
        if target != index:
            after = self.name("reshape", node, f"{suffix}_after")
            self.append(graph.Reshape, after, (target,), index)

    def part(
        self,
        node: Node,
        kind: Any,
        word: str,
        inputs: tuple[int, ...],
        like: int,
        shape: Shape,
        *fields: Any,
        suffix: str = "",
    ) -> int:
        """An operator that computes a part of what the node's does; its output, quantised as
        ``like``."""
        name = self.name(word, node, suffix)
        target = self.like(like, shape, f"{self.tensors[like].name}/{name}")
        self.append(kind, name, inputs, target, *fields)
        return target

    def append(self, kind: Any, name: str, inputs: tuple[int, ...], output: int, *fields: Any,
               **options: Any) -> None:  # fmt: skip
        """An operator of the graph."""
        self.operators.append(kind(name, inputs, output, *fields, **options))

    def name(self, word: str, node: Node, suffix: str = "") -> str:
        """A name that no operator has yet."""
        name = f"{word}_{node.number}{suffix}"
        number = 1
        while name in self._names:
            number += 1
            name = f"{word}_{node.number}{suffix}_{number}"
        self._names.add(name)
        return name

    def like(self, index: int, shape: Shape, name: str) -> int:
        """A new tensor quantised as another."""
        self.tensors.append(replace(self.tensors[index], name=name, shape=shape, interface=None))
        return len(self.tensors) - 1

    def layer_name(self, weights: RawTensor) -> str:
        """The name that a layer had when the file was written here; otherwise none."""
        name, end = weights.name.rpartition("/")[::2]
        return name if end == "weights" and self.file.description == DESCRIPTION else ""

    def shaped(self, node: Node, index: int, shape: Shape) -> int:
        """A tensor in another shape, with a Reshape where that is needed."""
        if self.shape(index) == shape:
            return index
        name = self.name("reshape", node, "_before")
        target = self.like(index, shape, f"{self.tensors[index].name}/{name}")
        self.append(graph.Reshape, name, (index,), target)
        return target

    def whole(self, node: Node, position: int = 0) -> int:
        """An input with all the dimensions that it has in the file."""
        index = self.source(node, position)
        return self.shaped(node, index, self.raw[node.inputs[position]].shape or (1,))

    def strips(self, file_index: int) -> bool:
        """Whether the graph leaves out a tensor's first dimension."""
        shape = self.raw[file_index].shape
        return len(shape) >= 2 and shape[0] == 1

    def require_same_quantisation(self, source: int, target: int) -> None:
        before, after = self.tensors[source], self.tensors[target]
        if (before.scale, before.zero_point) != (after.scale, after.zero_point):
            raise ModelError("input and output must have the same quantisation")

    def require_quantisation(self, node: Node, scale: float, zero_point: int) -> None:
        """That the output is quantised as TFLite demands; ``zero_point`` is that of int8."""
        tensor = self.tensors[self.activation(node.outputs[0])]
        if (tensor.scale, tensor.zero_point) != (scale, zero_point):
            legacy = 128 if self.is_legacy(node) else 0
            raise ModelError(
                f"output must have scale 1/{1 / scale:g} and zero point {zero_point + legacy}"
            )


def graph_shape(file_shape: Shape) -> Shape:
    """A file's shape without the image, where it has one."""
    if len(file_shape) >= 2 and file_shape[0] == 1:
        return file_shape[1:]
    return file_shape or (1,)


def as_int8(raw: RawTensor, values: Values) -> graph.Int8Array:
    """Values of an activation tensor; those of uint8 move by 128, as their zero point does."""
    if raw.type == tflite.TensorType.UINT8:
        return (values.astype(np.int16) - 128).astype(np.int8)
    return values.astype(np.int8)


def int8_quantisation(raw: RawTensor) -> tuple[float, int]:
    """Scale and zero point of an activation tensor as int8."""
    scale, zero_point = one_scale(raw)
    return scale, zero_point - 128 if raw.type == tflite.TensorType.UINT8 else zero_point


def one_scale(raw: RawTensor) -> tuple[float, int]:
    """Scale and zero point of an activation tensor."""
    if len(raw.scales) != 1 or len(raw.zero_points) != 1:
        raise ModelError(f"activation tensor '{raw.name}' needs one scale and one zero point")
    scale, zero_point = float(raw.scales[0]), int(raw.zero_points[0])
    if not (np.isfinite(scale) and scale > 0):
        raise ModelError(f"tensor '{raw.name}' has a scale of {scale}, not a positive number")
    low = 0 if raw.type == tflite.TensorType.UINT8 else graph.INT8_MIN
    if not low <= zero_point <= low + 255:
        raise ModelError(f"tensor '{raw.name}' has a zero point of {zero_point}")
    return scale, zero_point


def fused(code: int) -> Activation:
    """The activation that an operator has inside."""
    if code not in _ACTIVATIONS:
        raise ModelError(f"fused activation number {code} is not supported")
    return _ACTIVATIONS[code]


def require_no_activation(code: int) -> None:
    """Raises:
    ModelError: an operator has an activation inside.
    """
    if fused(code) != "none":
        raise ModelError("a fused activation is not supported here")
