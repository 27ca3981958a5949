# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the nodes of an ONNX file have as inputs and attributes."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Generic, TypeVar

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_file import Array, Node, OnnxFile
from axynq.emulator.file_formats.onnx_movement import Arguments
from axynq.emulator.file_formats.problems import DamagedError

ValueType = TypeVar("ValueType")


class NodeInputs(Generic[ValueType]):
    """A reader's way to what its nodes have, whatever it keeps for a tensor.

    Attributes:
        file: what is read.
        values: what ONNX's names stand for so far.
    """

    file: OnnxFile
    values: dict[str, ValueType]

    @abstractmethod
    def numbers_in(self, value: ValueType) -> Array | None:
        """The numbers of a constant; None: it is computed."""

    def optional(self, node: Node, position: int) -> ValueType | None:
        """An input; None where it is left out."""
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        name = node.inputs[position]
        if name not in self.values:
            raise DamagedError(f"is damaged: it reads '{name}', which nothing computes")
        return self.values[name]

    def operand(self, node: Node, position: int) -> ValueType:
        """An input."""
        value = self.optional(node, position)
        if value is None:
            raise ModelError(f"lacks input {position}")
        return value

    def constant(self, node: Node, position: int, what: str) -> Array:
        """A constant input."""
        numbers = self.numbers_in(self.operand(node, position))
        if numbers is None:
            raise ModelError(f"needs its {what} stored in the file, not computed")
        return numbers

    def numbers(self, node: Node, attribute: str, position: int, what: str) -> list[int] | None:
        """Whole numbers that older versions of ONNX have in an attribute and newer ones in an
        input; None: neither is there."""
        if attribute in node.attributes:
            given = node.attributes[attribute]
            return [int(n) for n in (given if isinstance(given, (list, tuple)) else [given])]
        if self.optional(node, position) is None:
            return None
        return [int(n) for n in self.constant(node, position, what).reshape(-1)]

    def limits(self, node: Node) -> tuple[float, float]:
        """Smallest and largest value of a Clip, in attributes or inputs; infinite where it has
        none."""
        found = []
        for position, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), 1):
            if self.optional(node, position) is not None:
                found.append(float(self.constant(node, position, "limit").reshape(-1)[0]))
            else:
                found.append(float(node.attribute(name, default)))
        return found[0], found[1]

    def arguments(self, node: Node) -> Arguments:
        """A node for the readers of movements."""
        return Arguments(
            node,
            self.file.opset,
            lambda attribute, position, what: self.numbers(node, attribute, position, what),
            lambda position, what: self.constant(node, position, what),
            lambda position: self.optional(node, position) is not None,
        )
