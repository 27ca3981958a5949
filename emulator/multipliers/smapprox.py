# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""SMApprox: 8x8 multipliers put together from approximate 4x4 cells (error-modelling paper, 3.1).

The cells are the bit-level definitions that reproduce all eleven published mean relative errors.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import IntArray, Multiplier, family


def cell_exact(a: IntArray, b: IntArray) -> IntArray:
    """Cell 0: the exact 4x4 product."""
    return a * b


def cell_1(a: IntArray, b: IntArray) -> IntArray:
    """Cell 1: two exact 4x2 products, added with carries that look back one column only."""
    x, y = a * (b & 3), a * (b >> 2)
    x0, x1, x2, x3, x4, x5 = (_bit(x, k) for k in range(6))
    y0, y1, y2, y3, y4, y5 = (_bit(y, k) for k in range(6))
    carry = x5 & y3
    return _word(
        x0,
        x1,
        x2 ^ y0,
        x3 ^ y1 ^ (x2 & y0),
        x4 ^ y2 ^ (x3 & y1),
        x5 ^ y3 ^ (x4 & y2),
        y4 ^ carry,
        y5 ^ (y4 & carry),
    )


def cell_2(a: IntArray, b: IntArray) -> IntArray:
    """Cell 2: the partial-product columns with most of their carries left out."""
    return _columns(a, b, keep_inner_carries=True)


def cell_3(a: IntArray, b: IntArray) -> IntArray:
    """Cell 3: as cell 2, with two more carries left out."""
    return _columns(a, b, keep_inner_carries=False)


def _columns(a: IntArray, b: IntArray, keep_inner_carries: bool) -> IntArray:
    m = [[_bit(a, i) & _bit(b, j) for j in range(4)] for i in range(4)]
    p3 = m[3][0] ^ m[2][1] ^ m[1][2] ^ m[0][3]
    p4 = m[3][1] ^ m[2][2] ^ m[1][3]
    if keep_inner_carries:
        p3 = p3 ^ (m[2][0] & m[1][1])
        p4 = p4 ^ (m[2][1] & m[1][2])
    carry = m[3][2] & m[2][3]
    return _word(
        m[0][0],
        m[1][0] ^ m[0][1],
        m[2][0] ^ m[1][1] ^ m[0][2] ^ (m[1][0] & m[0][1]),
        p3,
        p4,
        m[3][2] ^ m[2][3],
        m[3][3] ^ carry,
        m[3][3] & carry,
    )


CELLS = (cell_exact, cell_1, cell_2, cell_3)
"""The 4x4 cells by their digit. ``a`` is the activation's nibble: cells 1 and 2 do not commute."""


@cache
def _cell_table(digit: str) -> IntArray:
    """All products of a cell [16, 16]: activation's nibble, weight's nibble."""
    nibble = np.arange(16, dtype=np.int64)
    return CELLS[int(digit)](nibble[:, None], nibble[None, :])


@family("smapprox")
class SMApprox(Multiplier):
    """Sign-magnitude multiplier whose four 4x4 blocks use the cells named by its digits.

    With ``A = |a|`` and ``B = |w|`` split into nibbles, the digits name, in this order, the cells
    for ``AL*BL``, ``AH*BL``, ``AL*BH`` and ``AH*BH``. The four results are added accurately and the
    sign is that of the exact product.
    """

    SYNTAX = "smapprox:WXYZ, digits 0 to 3"

    digits: str

    def __init__(self, digits: str) -> None:
        self.digits = digits
        self.spec = f"smapprox:{digits}"

    @classmethod
    def parse(cls, arguments: str) -> SMApprox:
        if not re.fullmatch("[0-3]{4}", arguments):
            raise MultiplierError(f"'smapprox:{arguments}' is not of the form {cls.SYNTAX}")
        return cls(arguments)

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        low_low, high_low, low_high, high_high = (_cell_table(digit) for digit in self.digits)
        a_low, a_high = np.abs(a) & 15, np.abs(a) >> 4
        b_low, b_high = np.abs(w) & 15, np.abs(w) >> 4
        magnitude = (
            low_low[a_low, b_low]
            + 16 * (high_low[a_high, b_low] + low_high[a_low, b_high])
            + 256 * high_high[a_high, b_high]
        )
        return np.sign(a) * np.sign(w) * magnitude


def _bit(value: IntArray, k: int) -> IntArray:
    return (value >> k) & 1


def _word(*bits: IntArray) -> IntArray:
    """The integer with the given bits, least significant first."""
    total = bits[0]
    for k, bit in enumerate(bits[1:], start=1):
        total = total + (bit << k)
    return total
