# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Radix-4 Booth arrays: exact and ROUP multipliers, and one array that can be set to several.

A weight has four digits d_j in -2..2. Each adds a row, ``acc + d_j * a * 4**j``, to what the rows
before it made: one LUT per bit forms the digit's multiple of ``a`` and adds it on a carry chain,
whose carry-in completes the two's complement of negative multiples (the first row has nothing to
add to, and perforation starts at a later row).

Rounding ``a`` half up at bit r is adding its bit b = a[r - 1] below the bits that stay. The row
begins at bit r; a doubled operand has b as its lowest bit; and b, or where the digit is negative
its complement, is the carry-in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axynq.emulator.multipliers import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN
from axynq.emulator.multipliers.roup import DIGITS, booth_digit, round_half_up
from axynq.host.netlists.netlist import ZERO, Net, Netlist

ACTIVATION_BITS = 9
CODE_BITS_OF_A_DIGIT = 2
"""A digit's bits are gated by at most this many code bits together with it, in one LUT."""


@dataclass(frozen=True)
class Schedule:
    """Where each row rounds the activation; None for a row that is left out."""

    rounding: tuple[int | None, ...]

    @classmethod
    def of(cls, perforation: int, rounding: Sequence[int]) -> Schedule:
        return cls(tuple(None if j < perforation else rounding[j] for j in range(DIGITS)))


def booth_product(
    netlist: Netlist, a: Sequence[Net], w: Sequence[Net], schedule: Schedule
) -> tuple[Net, ...]:
    """The signed product of nine activation bits and eight weight bits, lowest bit first."""
    total: tuple[Net, ...] = ()
    widths = _widths([schedule])
    for j, r in enumerate(schedule.rounding):
        if r is None:
            continue
        digit = _digit(w, j)
        operand = _Operand(tuple(a), a[r - 1] if r else ZERO, r)
        carry = netlist.lut(_carry, *digit, operand.below) if r else digit[0]
        total = _row(netlist, total, operand, digit, carry, j, widths[j])
    return total


def configurable_product(
    netlist: Netlist,
    a: Sequence[Net],
    w: Sequence[Net],
    code: Sequence[Net],
    schedules: Sequence[Schedule],
) -> tuple[Net, ...]:
    """The product by the schedule that ``code`` numbers.

    A row always has all the bits that any schedule needs. Where the code makes it round higher up,
    the bits below are replaced by the bit that rounds: they carry it upwards and leave the sum
    below as it is.
    """
    total: tuple[Net, ...] = ()
    widths = _widths(schedules)
    for j in range(DIGITS):
        roundings = [schedule.rounding[j] for schedule in schedules]
        used = [r for r in roundings if r is not None]
        if not used:
            continue
        digit = _gated_digit(netlist, _digit(w, j), code, roundings)
        operand = _chosen_operand(netlist, a, code, roundings)
        rounds = max(used) > 0
        carry = netlist.lut(_carry, *digit, operand.below) if rounds else digit[0]
        total = _row(netlist, total, operand, digit, carry, j, widths[j])
    return total


@dataclass(frozen=True)
class _Operand:
    """The activation as a row sees it: from bit ``low`` on, and the bit below."""

    bits: tuple[Net, ...]
    below: Net
    low: int

    def bit(self, k: int) -> Net:
        if k < self.low:
            return self.below
        return self.bits[min(k, len(self.bits) - 1)]


def _row(
    netlist: Netlist,
    total: tuple[Net, ...],
    operand: _Operand,
    digit: tuple[Net, Net, Net],
    carry: Net,
    j: int,
    width: int,
) -> tuple[Net, ...]:
    """``total`` plus the digit's multiple of the operand, ``width`` bits."""
    start = 2 * j + operand.low
    extended = total + (total[-1] if total else ZERO,) * (width - len(total))
    selects = []
    for column in range(start, width):
        k = column - 2 * j
        pins = (operand.bit(k), operand.bit(k - 1), *digit, extended[column])
        selects.append(netlist.lut(_sum_bit, *pins))
    if not selects:
        return extended
    sums, _ = netlist.chain(selects, extended[start:width], carry)
    return (*extended[:start], *sums)


def _sum_bit(bit: int, below: int, negative: int, high: int, low: int, accumulated: int) -> int:
    """A bit of the sum, without the carry. The digit is ``low + high - 2 * negative``."""
    one, two = high ^ low, (negative ^ high) & (1 - (high ^ low))
    return accumulated ^ negative ^ (one & bit | two & below)


def _carry(negative: int, high: int, low: int, below: int) -> int:
    """What makes the multiple right in its lowest bit: one for the two's complement of a negative
    multiple, plus the bit that rounds, which a negative multiple subtracts."""
    zero = 1 - (high ^ low) if negative == high else 0
    return negative if zero else negative ^ below


def _digit(w: Sequence[Net], j: int) -> tuple[Net, Net, Net]:
    return w[2 * j + 1], w[2 * j], w[2 * j - 1] if j else ZERO


def _gated_digit(
    netlist: Netlist,
    digit: tuple[Net, Net, Net],
    code: Sequence[Net],
    roundings: Sequence[int | None],
) -> tuple[Net, Net, Net]:
    """The digit, or zero where the code leaves the row out."""
    if None not in roundings:
        return digit

    def kept(*bits: int) -> int:
        number = sum(bit << i for i, bit in enumerate(bits))
        return number < len(roundings) and roundings[number] is not None

    if len(code) <= CODE_BITS_OF_A_DIGIT:
        gated = [netlist.lut(lambda bit, *c: bit & kept(*c), net, *code) for net in digit]
    else:
        keep = netlist.lut(kept, *code)
        gated = [netlist.lut(lambda bit, k: bit & k, net, keep) for net in digit]
    return gated[0], gated[1], gated[2]


def _chosen_operand(
    netlist: Netlist, a: Sequence[Net], code: Sequence[Net], roundings: Sequence[int | None]
) -> _Operand:
    """The activation rounded where the code says, the bits below equal to the one that rounds."""
    used = [r for r in roundings if r is not None]
    low, top = min(used), max(used)

    def chosen(k: int) -> Net:
        """Bit k under each code: its own, or the bit below the rounding position."""
        sources = [k if r is None or k >= r else r - 1 for r in roundings]
        nets = [a[source] if source >= 0 else ZERO for source in sources]
        return _select(netlist, code, nets)

    bits = (ZERO,) * low + tuple(chosen(k) for k in range(low, top)) + tuple(a[top:])
    return _Operand(bits, chosen(low - 1), low)


def _select(netlist: Netlist, code: Sequence[Net], nets: Sequence[Net]) -> Net:
    """The net that the code numbers."""
    different = list(dict.fromkeys(nets))
    if len(different) == 1:
        return different[0]
    if len(different) + len(code) <= 6:
        places = [different.index(net) for net in nets]

        def choose(*values: int) -> int:
            number = sum(bit << i for i, bit in enumerate(values[: len(code)]))
            return values[len(code) + places[number]] if number < len(places) else 0

        return netlist.lut(choose, *code, *different)
    half = 1 << len(code) - 1
    lower = _select(netlist, code[:-1], nets[:half])
    upper = _select(netlist, code[:-1], nets[half:])
    return netlist.lut(lambda c, x, y: y if c else x, code[-1], lower, upper)


def _widths(schedules: Sequence[Schedule]) -> list[int]:
    """Bits of the sum after each row, over all operands of the multipliers."""
    a = np.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1)[:, None]
    w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1)[None, :]
    totals = [np.zeros((a.size, w.size), np.int64) for _ in schedules]
    widths = []
    for j in range(DIGITS):
        for schedule, total in zip(schedules, totals):
            r = schedule.rounding[j]
            if r is not None:
                total += round_half_up(a, r) * 2**r * booth_digit(w, j) * 4**j
        reach = max(max(int(total.max()), -int(total.min()) - 1) for total in totals)
        widths.append(max(reach.bit_length() + 1, 2 * j + 2))
    return widths
