# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many bits values have: HLS narrows every operator to what its operands and users need."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from axynq.host.synthesis.ir import Function, Instruction, Operand, width_of

KEEPS = frozenset(["add", "sub", "mul", "or", "xor", "select", "phi", "freeze", "and"])
"""Operators whose lowest bits depend on the lowest bits of their operands alone."""
PATIENCE = 4
"""Times that a value may turn out wider before it counts as having its type's width."""


@dataclass(frozen=True)
class Need:
    """What a value may be: it fits ``bits`` bits of two's complement.

    Attributes:
        bits: with the sign.
        natural: it is never negative, so that the sign can be left out.
    """

    bits: int
    natural: bool

    @property
    def width(self) -> int:
        return max(self.bits - self.natural, 1)


def need_of(value: int) -> Need:
    """A constant's."""
    return Need((value if value >= 0 else ~value).bit_length() + 1, value >= 0)


class Widths:
    """Widths of the values of a function."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._needs: dict[str, Need] = {}
        self._seen: dict[str, int] = {}
        order = [i for name in function.order for i in function.blocks[name].instructions]
        self._forward([i for i in order if i.name and i.width])
        self._backward(order)

    def need(self, operand: Operand, width: int) -> Need:
        """What an operand of ``width`` bits may be."""
        if isinstance(operand, int):
            return need_of(operand)
        if operand in self._needs:
            return self._needs[operand]
        if not operand.startswith(("%", "@")):  # poison: any value will do
            return Need(1, True)
        return Need(width, False) if width > 1 else Need(2, True)

    def width(self, operand: Operand, width: int) -> int:
        """Bits of an operand that matter, of the ``width`` that its type has."""
        bits = self.need(operand, width).width
        if isinstance(operand, str) and operand in self._seen:
            bits = min(bits, max(self._seen[operand], 1))
        return min(bits, width)

    def result(self, i: Instruction) -> int:
        """Bits of an instruction's result that matter."""
        return self.width(i.name, i.width)

    def _forward(self, values: list[Instruction]) -> None:
        self._needs = {i.name: Need(1, True) for i in values}
        users: dict[str, list[Instruction]] = defaultdict(list)
        for i in values:
            for operand in i.operands:
                if isinstance(operand, str):
                    users[operand].append(i)
        grown: dict[str, int] = defaultdict(int)
        waiting = values
        while waiting:
            next_: dict[Instruction, None] = {}
            for i in waiting:
                made = self._of(i)
                before = self._needs[i.name]
                # Only ever wider, and soon as wide as can be, so that loops come to an end.
                after = Need(max(made.bits, before.bits), made.natural and before.natural)
                if after == before:
                    continue
                grown[i.name] += 1
                if grown[i.name] > PATIENCE:
                    after = Need(i.width, False) if i.width > 1 else Need(2, True)
                self._needs[i.name] = after
                next_ |= dict.fromkeys(users[i.name])
            waiting = list(next_)

    def _of(self, i: Instruction) -> Need:
        made = self._rule(i)
        if made.bits > i.width + made.natural:
            return Need(i.width, False) if i.width > 1 else Need(2, True)
        return made

    def _rule(self, i: Instruction) -> Need:
        whole = Need(i.width, False) if i.width > 1 else Need(2, True)
        if i.opcode in ("zext", "sext", "trunc"):
            return self._converted(i, whole)
        if i.opcode == "call":
            return self._called(i, whole)
        needs = [self.need(operand, i.width) for operand in i.operands]
        if i.opcode in ("sdiv", "udiv", "srem", "urem"):
            return _divided(i, needs, whole)
        bits = max((need.bits for need in needs), default=i.width)
        natural = all(need.natural for need in needs)
        if i.opcode == "select":
            return _either(needs[1:])
        if i.opcode in ("phi", "freeze", "or", "xor"):
            return Need(bits, natural)
        if i.opcode == "and":
            naturals = [need.bits for need in needs if need.natural]
            return Need(min(naturals), True) if naturals else Need(bits, False)
        if i.opcode in ("add", "sub"):
            return Need(bits + 1, natural and i.opcode == "add")
        if i.opcode == "mul":
            return Need(sum(need.bits for need in needs), natural)
        if i.opcode in ("shl", "lshr", "ashr"):
            return _shifted(i, needs, whole)
        return whole

    def _converted(self, i: Instruction, whole: Need) -> Need:
        width = width_of(i.detail)
        inner = self.need(i.operands[0], width)
        if i.opcode == "zext":
            return inner if inner.natural else Need(width + 1, True)
        if i.opcode == "sext":
            return Need(1, False) if width == 1 else inner
        return inner if inner.width <= i.width and inner.bits <= i.width else whole

    def _called(self, i: Instruction, whole: Need) -> Need:
        if i.detail.startswith("axynq.mux."):
            return _either([self.need(value, i.width) for value in i.operands[1:]])
        if i.detail.startswith(("llvm.smax", "llvm.smin", "llvm.umax", "llvm.umin")):
            return _either([self.need(value, i.width) for value in i.operands])
        return whole

    def _backward(self, order: list[Instruction]) -> None:
        """Counts the lowest bits of each value that reach something that uses them."""
        self._seen = {i.name: 0 for i in order if i.name and i.width}
        waiting = [i for i in order if not (i.name and i.width and i.opcode in _PASSED_ON)]
        users: set[str] = set()
        for i in waiting:
            self._ask(i, None, users)
        while users:
            now, users = users, set()
            for name in now:
                self._ask(self._function.values[name], self._seen[name], users)

    def _ask(self, i: Instruction, asked: int | None, changed: set[str]) -> None:
        for k, operand in enumerate(i.operands):
            if not isinstance(operand, str) or operand not in self._seen:
                continue
            full = self._function.values[operand].width
            bits = min(full, _asked_of(i, k, asked, full))
            if bits > self._seen[operand]:
                self._seen[operand] = bits
                if self._function.values[operand].opcode in _PASSED_ON:
                    changed.add(operand)


_PASSED_ON = KEEPS | {"zext", "sext", "trunc", "shl", "lshr", "ashr", "call"}


def _asked_of(i: Instruction, place: int, asked: int | None, full: int) -> int:
    """Lowest bits of an operand that matter where ``asked`` bits of the result do."""
    if asked is None:
        return full
    if i.opcode == "select" and place == 0:
        return full
    if i.opcode == "and":
        other = i.operands[1 - place]
        return min(asked, other.bit_length()) if isinstance(other, int) and other >= 0 else asked
    if i.opcode in KEEPS or i.opcode in ("zext", "sext", "trunc"):
        return asked
    if i.opcode == "call":
        kept = i.detail.startswith("axynq.mux.") and place > 0
        return asked if kept else full
    amount = i.operands[1]
    if place == 1 or not isinstance(amount, int):
        return full if place == 1 or i.opcode != "shl" else asked
    return max(asked - amount, 0) if i.opcode == "shl" else asked + amount


def _either(needs: list[Need]) -> Need:
    natural = all(need.natural for need in needs)
    return Need(max(need.bits for need in needs), natural)


def _divided(i: Instruction, needs: list[Need], whole: Need) -> Need:
    natural = all(need.natural for need in needs)
    if i.opcode in ("srem", "urem"):
        return Need(min(need.bits for need in needs), True) if natural else whole
    return Need(needs[0].bits + 1, natural) if natural or i.opcode == "sdiv" else whole


def _shifted(i: Instruction, needs: list[Need], whole: Need) -> Need:
    value, amount = needs[0], i.operands[1]
    if i.opcode == "shl":
        if isinstance(amount, int):
            return Need(value.bits + amount, value.natural)
        most = (1 << needs[1].width) - 1 if needs[1].natural and needs[1].width <= 6 else i.width
        return Need(value.bits + most, value.natural)
    least = amount if isinstance(amount, int) else 0
    if value.natural or i.opcode == "ashr":
        return Need(max(value.bits - least, 1), value.natural)
    return Need(i.width - least + 1, True) if least else whole
