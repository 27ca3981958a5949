# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where an access goes: a base, a constant offset and what is added to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from axynq.host.synthesis.ir import Function, Module, Operand, array_of


@dataclass(frozen=True)
class Address:
    """A place in memory: ``base + offset + sum(value * factor for value, factor in terms)``.

    Attributes:
        base: ``%name`` of an ``alloca`` or a parameter, ``@name`` of a global, or ``%name`` of
            what cannot be followed further.
        offset: bytes.
        terms: values that are not constant and the bytes that one of each counts.
    """

    base: str
    offset: int = 0
    terms: tuple[tuple[str, int], ...] = ()


def addresses(module: Module, function: Function, pointer: Operand) -> list[Address]:
    """Where a pointer may point: one address but where the code chooses among pointers."""
    return _follow(module, function, str(pointer), frozenset())


def _follow(
    module: Module, function: Function, pointer: str, seen: frozenset[str]
) -> list[Address]:
    i = function.values.get(pointer)
    if i is None or pointer in seen:
        return [Address(pointer)]
    seen |= {pointer}
    if i.opcode == "getelementptr":
        offset, terms = _offset(module, i.detail, i.operands[1:])
        return [
            Address(a.base, a.offset + offset, a.terms + terms)
            for a in _follow(module, function, str(i.operands[0]), seen)
        ]
    if i.opcode == "select":
        choices = i.operands[1:]
    elif i.opcode == "phi":
        choices = [value for value in i.operands if value not in seen]
    else:
        choices = i.operands[:1] if i.opcode == "freeze" else []
    found = [a for value in choices for a in _follow(module, function, str(value), seen)]
    return list(dict.fromkeys(found)) or [Address(pointer)]


def _offset(
    module: Module, type_: str, indices: list[Operand]
) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Bytes that are constant, and terms, of the indices of a ``getelementptr``."""
    offset = 0
    terms: list[tuple[str, int]] = []
    for place, index in enumerate(indices):
        if place:
            array = array_of(type_)
            if array is None:
                assert isinstance(index, int)
                within, type_ = module.members(type_)[index]
                offset += within
                continue
            type_ = array[1]
        if isinstance(index, int):
            offset += index * module.size(type_)
        else:
            terms.append((index, module.size(type_)))
    return offset, tuple(terms)


@dataclass(frozen=True)
class Array:
    """An array inside a variable.

    Attributes:
        start: bytes from the variable's start.
        path: members that lead to it.
        dimensions: elements of each dimension and the bytes from one to the next.
        element: type of its elements.
        size: bytes of an element.
    """

    start: int
    path: tuple[str, ...]
    dimensions: tuple[tuple[int, int], ...]
    element: str
    size: int

    @property
    def end(self) -> int:
        length, stride = self.dimensions[0] if self.dimensions else (1, self.size)
        return self.start + length * stride

    @property
    def elements(self) -> int:
        total = 1
        for length, _ in self.dimensions:
            total *= length
        return total


def arrays(
    module: Module,
    names: Mapping[tuple[str, int], str],
    type_: str,
    start: int = 0,
    path: tuple[str, ...] = (),
) -> list[Array]:
    """The arrays and scalars, which have no dimensions, that a variable of a type consists of.

    A structure around one member, as number types are, counts as that member, and a structure in
    an array as an element as large as it is. Channels are elements too.

    Args:
        module: for its types.
        names: of members, by structure and place.
        type_: LLVM's.
        start: where the variable begins, in bytes.
        path: members that lead to it.
    """
    dimensions = []
    while (array := array_of(type_)) is not None:
        type_ = array[1]
        dimensions.append((array[0], module.size(type_)))
    members = [] if is_channel(type_) else _members(module, type_)
    if len(members) == 1:
        # A number's only member is nothing that sources name; an array is.
        is_array = array_of(members[0][1]) is not None
        inside = (*path, names.get((type_, 0), "0")) if is_array else path
        inner = arrays(module, names, members[0][1], start, inside)
        if len(inner) == 1:
            [only] = inner
            return [replace(only, dimensions=(*dimensions, *only.dimensions))]
    if members and not dimensions:
        found = []
        for index, (offset, member) in enumerate(members):
            # What fills up a structure is bytes behind other members that no code names.
            if index and (type_, index) not in names and _is_filling(member):
                continue
            name = names.get((type_, index), str(index))
            found += arrays(module, names, member, start + offset, (*path, name))
        return found
    return [Array(start, path, tuple(dimensions), type_, module.size(type_))]


def _is_filling(type_: str) -> bool:
    array = array_of(type_)
    return array is not None and array[1] == "i8"


def is_channel(type_: str) -> bool:
    """Whether a type is a channel between processes."""
    return type_.startswith('%"class.hls::stream')


def _members(module: Module, type_: str) -> list[tuple[int, str]]:
    return module.members(type_) if type_ in module.types or type_.startswith("{") else []


def array_at(found: list[Array], offset: int) -> Array | None:
    """The array or scalar that a byte of the variable belongs to."""
    return next((a for a in found if a.start <= offset < a.end), None)
