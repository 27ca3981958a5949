# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Sums and differences of two tensors by short integer arithmetic.

TFLite rescales both operands, adds, and rescales again, rounding each time. Nearly always a single
linear function of the operands, with bits enough, gives the same bytes; and since an operand has
256 values, all pairs can be tried.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array

LOW_BITS = 14
"""Bits of the factors' lower parts."""

_MOST_SHIFT = 21
_WORD = 2**15


class LinearSum(NamedTuple):
    """``(256 (a A + b B) + c + (256 (a A' + b B') + c' >> 14)) >> shift``, limited to a tensor's
    bounds, where A, B, A', B' are words of 16 bits and all sums have 32."""

    high: tuple[int, int]
    """A, B."""
    low: tuple[int, int]
    """A', B'."""
    constant: int
    low_constant: int
    shift: int

    def __call__(self, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The result before it is limited."""
        low = (256 * (a * self.low[0] + b * self.low[1]) + self.low_constant) >> LOW_BITS
        high = 256 * (a * self.high[0] + b * self.high[1]) + self.constant
        return (high + low) >> self.shift


def linear_sum(
    table: Int8Array, factors: tuple[float, float], offset: float, bounds: tuple[int, int]
) -> LinearSum | None:
    """The linear function that gives all results, if one was found.

    Args:
        table: [256, 256], the results by both operands, which run from -128.
        factors: of the operands, about.
        offset: of the result, about, in steps of the output.
        bounds: of the result.
    """
    every = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
    a, b = every[:, None], every[None, :]
    largest = 128 * (abs(factors[0]) + abs(factors[1])) + abs(offset) + 1
    if not np.isfinite(largest):
        return None
    for shift in range(_MOST_SHIFT, 8, -1):
        scaled = [factor * 2.0 ** (shift - 8) for factor in factors]
        if largest * 2.0**shift < 2**31 and max(map(abs, scaled)) < _WORD - 1:
            break
    else:
        return None
    high = [int(np.floor(s)) for s in scaled]
    low = [min(round((s - h) * 2**LOW_BITS), 2**LOW_BITS - 1) for s, h in zip(scaled, high)]
    middle = (offset + 0.5) * 2.0**shift
    # Where roundings meet, the function is moved by a little.
    for nudge in (0.0, 0.5, -0.5, 1, -1, 2, -2, 4, -4):
        constant = int(np.floor(middle + nudge))
        rest = int((middle + nudge - constant) * 2**LOW_BITS)
        found = LinearSum((high[0], high[1]), (low[0], low[1]), constant, rest, shift)
        if np.array_equal(np.clip(found(a, b), *bounds), table):
            return found
    return None
