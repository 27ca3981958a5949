# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""ROUP: radix-4 multipliers with perforation and asymmetric rounding (MAx-DNN paper, eq. 1-2)."""

from __future__ import annotations

import re

import numpy as np

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import IntArray, Multiplier, family

DIGITS = 4
"""An 8-bit weight has four radix-4 digits."""

MAX_ROUNDING = 8
"""Rounding a 9-bit activation beyond bit 8 would leave its sign only."""


def booth_digit(w: IntArray, j: int) -> IntArray:
    """Radix-4 modified-Booth digit ``j`` (0 is least significant) of ``w``, in -2..2.

    ``w = sum over j of booth_digit(w, j) * 4**j`` for every int8 ``w``.
    """
    below = (w >> (2 * j - 1)) & 1 if j else np.zeros_like(w)
    return below + ((w >> (2 * j)) & 1) - 2 * ((w >> (2 * j + 1)) & 1)


def round_half_up(a: IntArray, bit: int) -> IntArray:
    """``a / 2**bit`` rounded half up: the arithmetic shift plus the last bit shifted out."""
    if bit == 0:
        return a
    return (a >> bit) + ((a >> (bit - 1)) & 1)


@family("roup")
class Roup(Multiplier):
    """``m(a, w) = sum over j >= P of round_half_up(a, r_j) * 2**r_j * d_j(w) * 4**j``.

    ``roup:P,R`` stands for the column-aligned schedule ``r_j = max(R - 2j, 0)``;
    ``roup:P,r0-r1-r2-r3`` gives the rounding position of each partial product itself.
    """

    SYNTAX = "roup:P,R or roup:P,r0-r1-r2-r3"

    perforation: int
    """P: the number of least significant partial products that are left out, 0 to 3."""
    rounding: tuple[int, ...]
    """r_0..r_3: the bit at which the activation is rounded in each partial product, 0 to 8."""

    def __init__(self, perforation: int, rounding: tuple[int, int, int, int]) -> None:
        if not 0 <= perforation < DIGITS:
            raise MultiplierError(f"roup drops 0 to 3 partial products, not {perforation}")
        if not all(0 <= r <= MAX_ROUNDING for r in rounding):
            raise MultiplierError(
                f"roup rounds at bits 0 to {MAX_ROUNDING}, not at {'-'.join(map(str, rounding))}"
            )
        self.perforation = perforation
        self.rounding = rounding
        self.spec = f"roup:{perforation},{_shortest(rounding)}"

    @classmethod
    def parse(cls, arguments: str) -> Roup:
        match = re.fullmatch(r"(\d+),(\d+(?:-\d+-\d+-\d+)?)", arguments)
        if match is None:
            raise MultiplierError(f"'roup:{arguments}' is not of the form {cls.SYNTAX}")
        numbers = [int(text) for text in match[2].split("-")]
        if len(numbers) == 1:
            numbers = column_aligned(numbers[0])
        r0, r1, r2, r3 = numbers
        return cls(int(match[1]), (r0, r1, r2, r3))

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        total = np.zeros(np.broadcast_shapes(a.shape, w.shape), np.int64)
        for j in range(self.perforation, DIGITS):
            r = self.rounding[j]
            total += round_half_up(a, r) * 2**r * booth_digit(w, j) * 4**j
        return total


def column_aligned(column: int) -> list[int]:
    """The schedule of ``roup:P,R``: every partial product is cut at the same product column R."""
    return [max(column - 2 * j, 0) for j in range(DIGITS)]


def _shortest(rounding: tuple[int, int, int, int]) -> str:
    if list(rounding) == column_aligned(rounding[0]):
        return str(rounding[0])
    return "-".join(map(str, rounding))
