# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A network while it is read from ONNX: tensors and operators so far, and where each of ONNX's axes
is in them.

ONNX has channels first, the graph has them last. Every value therefore remembers in which order its
tensor holds ONNX's axes, and a Transpose of ONNX costs nothing until an operator needs another
order. The same serves int8 networks and those in real numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import MOST_VALUES
from axynq.emulator.file_formats.onnx_file import Array
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Quantisation


class Sketch(NamedTuple):
    """A tensor of the network to be."""

    name: str
    shape: tuple[int, ...]
    quantisation: Quantisation | None
    """None in a network of real numbers."""


@dataclass(frozen=True)
class Held:
    """A value of ONNX that a tensor holds."""

    tensor: int
    shape: tuple[int, ...]
    """ONNX's, images included."""
    order: tuple[int, ...]
    """ONNX's axes in the order of the tensor's; axis 0 is left out where it has one image."""
    real: bool = True
    """Whether ONNX has real numbers here (behind a DequantizeLinear), or integers."""
    unsigned: bool = False
    """Whether ONNX's integers are uint8, the tensor's values plus 128."""

    @property
    def stored(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def images(self) -> bool:
        """Whether ONNX's first axis is the images', which tensors leave out."""
        return len(self.order) < len(self.shape)


@dataclass(frozen=True)
class Flat:
    """A map as one row of values, in the order of ONNX's axes: nothing has moved yet. A fully
    connected layer moves its weights instead."""

    base: Held
    shape: tuple[int, ...]


_Op = TypeVar("_Op", bound=graph.Operator)


@dataclass
class Drawing:
    """Tensors and operators so far."""

    tensors: list[Sketch] = field(default_factory=list)
    operators: list[graph.Operator] = field(default_factory=list)
    constants: dict[int, Array] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def tensor(self, name: str, shape: Sequence[int], quantisation: Quantisation | None) -> int:
        """A new tensor's index; its name is made unique.

        Raises:
            ModelError: it has no values, or more than :data:`MOST_VALUES`.
        """
        if min(shape, default=1) < 1 or math.prod(shape) > MOST_VALUES:
            raise ModelError(f"'{name}' would have shape {list(shape)}")
        unique, number = name, 1
        while unique in self._names:
            number += 1
            unique = f"{name}_{number}"
        self._names.add(unique)
        self.tensors.append(Sketch(unique, tuple(shape), quantisation))
        return len(self.tensors) - 1

    def append(
        self,
        kind: type[_Op],
        prefix: str,
        inputs: Sequence[int],
        output: int,
        *more: Any,
        suffix: str = "",
        **fields: Any,
    ) -> None:
        """A new operator, named after its place."""
        name = f"{prefix}_{len(self.operators)}{suffix}"
        self.operators.append(kind(name, tuple(inputs), output, *more, **fields))

    def moved(
        self,
        kind: type[_Op],
        prefix: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        **fields: Any,
    ) -> int:
        """The tensor that an operator which only moves values makes of tensors of one
        quantisation."""
        first = self.tensors[inputs[0]]
        output = self.tensor(f"{first.name}/{prefix}", shape, first.quantisation)
        self.append(kind, prefix, inputs, output, **fields)
        return output

    def named(self, value: Held, name: str, since: int) -> Held:
        """A value whose tensor, if it is not older than ``since``, gets the name that ONNX has for
        it."""
        if since <= value.tensor < len(self.tensors) and name not in self._names:
            self._names.discard(self.tensors[value.tensor].name)
            self._names.add(name)
            self.tensors[value.tensor] = self.tensors[value.tensor]._replace(name=name)
        return value

    def mark(self) -> tuple[int, int]:
        """What :meth:`take_back` needs."""
        return len(self.tensors), len(self.operators)

    def take_back(self, mark: tuple[int, int]) -> None:
        """As if nothing had been added since."""
        tensors, operators = mark
        for index in range(tensors, len(self.tensors)):
            self._names.discard(self.tensors[index].name)
            self.constants.pop(index, None)
        del self.tensors[tensors:], self.operators[operators:]

    # --- order -----------------------------------------------------------------------------------

    def settled(self, value: Held | Flat) -> Held:
        """The value as a tensor that holds it."""
        if isinstance(value, Held):
            return value
        straight = self.in_order(value.base, tuple(sorted(value.base.order)))
        return self._reshaped(straight, value.shape)

    def in_order(self, value: Held, order: tuple[int, ...]) -> Held:
        """The value with its axes in that order."""
        if value.order == order:
            return value
        moved = replace(value, order=order)
        if _longer_than_one(value) == _longer_than_one(moved):  # nothing moves
            if moved.stored == value.stored:
                return moved
            return replace(
                moved,
                tensor=self.moved(graph.Reshape, "reshape", [value.tensor], moved.stored),
            )
        permutation = tuple(value.order.index(axis) for axis in order)
        tensor = self.moved(
            graph.Transpose, "transpose", [value.tensor], moved.stored, permutation=permutation
        )
        return replace(moved, tensor=tensor)

    def channels_last(self, value: Held | Flat) -> Held:
        """A map [1, channels, rows, columns] as [rows, columns, channels], a sequence [1, channels,
        values] as a map of one row.

        Raises:
            ModelError: the value is neither.
        """
        value = self.settled(value)
        rank = len(value.shape)
        if rank not in (3, 4) or not value.images:
            raise ModelError(
                f"input has shape {list(value.shape)}, not [1, channels, rows, columns]"
            )
        if rank == 3:
            images, channels, values = value.shape
            value = self._reshaped(self.in_order(value, (2, 1)), (images, channels, 1, values))
        return self.in_order(value, (2, 3, 1))

    def like(self, value: Held, shape: tuple[int, ...]) -> Held:
        """What an operator on a map of one row gives, [1, channels, 1, values], as a sequence where
        ``shape`` is one."""
        return value if value.shape == shape else self._reshaped(value, shape)

    def reshaped(self, value: Held | Flat, shape: tuple[int, ...]) -> Held | Flat:
        """The same values in ONNX's order in another shape."""
        base = value.base if isinstance(value, Flat) else value
        if math.prod(base.shape) != math.prod(shape):
            raise ModelError(f"cannot turn {list(value.shape)} into {list(shape)}")
        flat = sum(size > 1 for size in shape) <= 1 and shape[:1] == (1,)
        if flat and list(_longer_than_one(base)) != sorted(_longer_than_one(base)):
            return Flat(base, shape)
        return self._reshaped(self.settled(value), shape)

    def _reshaped(self, value: Held, shape: tuple[int, ...]) -> Held:
        """Axes are split and joined where they are; only axes that are joined and do not lie one
        after another move."""
        groups = _groups(value.shape, shape)
        group_of = {axis: group for group in groups for axis in group[0]}
        sequence = _longer_than_one(value)
        wanted = [
            axis
            for group in dict.fromkeys(group_of[axis] for axis in sequence)
            for axis in group[0]
        ]
        if wanted != list(sequence):
            ones = [axis for axis in value.order if value.shape[axis] == 1]
            value = self.in_order(value, tuple(ones + wanted))
        core = [axis for group in dict.fromkeys(group_of[a] for a in wanted) for axis in group[1]]
        order = _order_of(core, shape)
        result = replace(value, shape=shape, order=order)
        if result.stored == value.stored:
            return result
        tensor = self.moved(graph.Reshape, "reshape", [value.tensor], result.stored)
        return replace(result, tensor=tensor)


def default_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How a tensor holds a value that nothing else is known of: maps with channels last."""
    if len(shape) == 4 and shape[0] == 1:
        return (2, 3, 1)
    return straight_order(shape)


def straight_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """ONNX's own order, one image left out."""
    return tuple(range(1 if shape[:1] == (1,) else 0, len(shape)))


def _longer_than_one(value: Held) -> tuple[int, ...]:
    return tuple(axis for axis in value.order if value.shape[axis] > 1)


def _order_of(core: Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """All axes of a shape, those longer than one in the order of ``core``."""
    for order in (default_order(shape), straight_order(shape)):
        if [axis for axis in order if shape[axis] > 1] == list(core):
            return order
    ones = [axis for axis in straight_order(shape) if shape[axis] == 1]
    return tuple(ones + list(core))


_Group = tuple[tuple[int, ...], tuple[int, ...]]


def _groups(before: tuple[int, ...], after: tuple[int, ...]) -> list[_Group]:
    """Axes before and after that hold the same values, as few as can be in each group. Axes of one
    are left out."""
    left = [axis for axis, size in enumerate(before) if size > 1]
    right = [axis for axis, size in enumerate(after) if size > 1]
    groups: list[_Group] = []
    while left or right:
        a, b = [left.pop(0)], [right.pop(0)]
        while math.prod(before[k] for k in a) != math.prod(after[k] for k in b):
            if math.prod(before[k] for k in a) < math.prod(after[k] for k in b):
                a.append(left.pop(0))
            else:
                b.append(right.pop(0))
        groups.append((tuple(a), tuple(b)))
    return groups


def broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of values in pairs.

    Raises:
        ModelError: the shapes do not fit.
    """
    result = []
    for a, b in itertools.zip_longest(reversed(first), reversed(second), fillvalue=1):
        if a != b and 1 not in (a, b):
            raise ModelError(f"shapes {list(first)} and {list(second)} do not fit each other")
        result.append(max(a, b))
    return tuple(reversed(result))
