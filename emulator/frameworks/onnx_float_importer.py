# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A float ONNX file read operator by operator, by handlers that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_file import Array, Node, OnnxFile
from axynq.emulator.file_formats.onnx_folding import FOLDED, constant_of, fold
from axynq.emulator.file_formats.onnx_hints import hints
from axynq.emulator.file_formats.onnx_inputs import NodeInputs
from axynq.emulator.file_formats.onnx_reader import (
    input_order,
    input_shape,
    output_order,
    shape_of,
)
from axynq.emulator.file_formats.onnx_walk import walked
from axynq.emulator.file_formats.problems import (
    DamagedError,
    by_operator,
    together,
    unknown_operators,
)
from axynq.emulator.frameworks.onnx_functions import known_function
from axynq.emulator.quantisation.channels_first import ChannelsFirst, Value
from axynq.emulator.quantisation.float_network import FloatNetwork


@dataclass(eq=False)
class Function:
    """A function of each value of a tensor by itself, made when something needs it."""

    base: Value
    samples: Array
    """Its results on :data:`GRID`."""
    make: Callable[[], Value]
    """Makes it of the operators that the file has."""
    made: Value | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape


Operand = Value | Function | Array


@dataclass
class Importer(NodeInputs[Operand]):
    """Reads a file, operator by operator."""

    file: OnnxFile
    name: str
    handlers: Mapping[str, Callable[[Importer, Node], Any]]
    """What reads an operator, by its name."""
    values: dict[str, Operand] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.first = ChannelsFirst(self.name)

    def read(self) -> FloatNetwork:
        self.values.update(self.file.constants)
        problems = []
        for end in self.file.inputs:
            if not any(end.name in node.inputs for node in self.file.nodes):
                continue
            try:
                if end.type != "float32":
                    raise ModelError(f"its input '{end.name}' is {end.type}; float32 is supported")
                shape = input_shape(end)
                channels_last = len(shape) == 4 and input_order(self.file, end.name, shape)[0] == 1
                self.values[end.name] = self._input(end.name, shape, channels_last)
            except ModelError as error:
                problems.append(str(error))
                self.unread.add(end.name)
        unknown, found = walked(self.file, self._known, self._node, self.unread)
        problems += by_operator(found)
        if unknown or problems:
            raise together(unknown_operators(unknown, hints), problems, self.handlers)
        outputs = []
        for end in self.file.outputs:
            value = self.values.get(end.name)
            if value is None:
                raise DamagedError(f"is damaged: no operator computes the output '{end.name}'")
            if isinstance(value, np.ndarray):
                raise ModelError(f"its output '{end.name}' is a constant")
            outputs.append(self._output(end.name, self.value(value)))
        return self.first.finish(outputs)

    def _input(self, name: str, shape: tuple[int, ...], channels_last: bool) -> Value:
        """A map that the file has with channels last keeps them there."""
        if not channels_last:
            return self.first.input(name, shape[1:])
        rows, columns, channels = shape[1:]
        turned = self.first.input(name, (channels, rows, columns))
        return self.first.permute(turned, (1, 2, 0))

    def _output(self, name: str, value: Value) -> Value:
        """A map with channels last, but where the file has them so."""
        order = output_order(self.file, name, (1, *value.shape))
        places = tuple(axis - 1 for axis in order)
        return Value(self.first.arranged(value, places), places)

    def _known(self, node: Node) -> bool:
        return (
            node.kind in self.handlers
            or node.kind in ("Constant", "Shape", "Size")
            or (node.kind in FOLDED and self._constant(node))
        )

    def _constant(self, node: Node) -> bool:
        return all(isinstance(self.values.get(name), np.ndarray) for name in node.inputs if name)

    def _node(self, node: Node) -> None:
        if all(name in self.values for name in node.outputs if name) and any(node.outputs):
            if node.kind != "Add":  # a bias that became part of a layer
                raise DamagedError("is damaged: it computes a tensor that is there already")
            return
        result = self._result(node)
        results = result if isinstance(result, list) else [result]
        if len(results) < len([name for name in node.outputs if name]):
            raise ModelError(f"has {len(node.outputs)} outputs")
        for name, value in zip(node.outputs, results):
            if name:
                self.values[name] = value

    def _result(self, node: Node) -> Operand | list[Operand]:
        inputs = [self.optional(node, position) for position in range(len(node.inputs))]
        if node.kind == "Constant":
            return constant_of(node)
        if node.kind in ("Shape", "Size") and inputs and inputs[0] is not None:
            shape = inputs[0].shape
            images = () if isinstance(inputs[0], np.ndarray) else (1,)
            return shape_of(node, (*images, *shape))
        if self._constant(node) and node.kind in FOLDED:
            given = [value if isinstance(value, np.ndarray) else None for value in inputs]
            return list(fold(node, given, self.file.opsets))
        return self.handlers[node.kind](self, node)

    # --- what handlers use -----------------------------------------------------------------------

    def value(self, operand: Operand) -> Value:
        """A computed tensor."""
        if isinstance(operand, np.ndarray):
            raise ModelError("takes a constant where only a computed tensor is supported")
        if isinstance(operand, Value):
            return operand
        if operand.made is None:
            kind = known_function(operand.samples)
            if kind is None:
                operand.made = operand.make()
            else:
                operand.made = self.first.lookup(operand.base, kind[0], kind[1])
        return operand.made

    def computed(self, node: Node, position: int = 0) -> Value:
        """An input that is computed."""
        return self.value(self.operand(node, position))

    def numbers_in(self, value: Operand) -> Array | None:
        return value if isinstance(value, np.ndarray) else None
