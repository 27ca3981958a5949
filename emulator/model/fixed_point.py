# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Real factors in fixed point, as TFLite's QuantizeMultiplier forms them."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

Integers = TypeVar("Integers", int, Int64Array)


class FixedPoint(NamedTuple):
    """The real factor ``multiplier / 2**31 * 2**shift``."""

    multiplier: int
    """Significand, 0 or 2**30 .. 2**31 - 1; of a mean any from 0 on."""
    shift: int
    """Exponent, -31 .. 30: left shift when positive, rounding right shift when negative."""


LARGEST = FixedPoint(2**31 - 1, 30)
"""What larger factors are lowered to. The results are the same: all integers but 0 leave int8."""


def fixed_point(real: float) -> FixedPoint:
    """Nearest fixed-point form of a non-negative factor (TFLite's QuantizeMultiplier).

    Factors below 2**-32 become 0, and those above become :data:`LARGEST`, infinity too.
    """
    return limited(significand_and_shift(real))


def significand_and_shift(real: float) -> FixedPoint:
    """A factor whose shift may be larger than 30."""
    if not math.isfinite(real):
        return LARGEST
    significand, shift = math.frexp(real)
    multiplier = math.floor(significand * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if multiplier == 0 or shift < -31:
        return FixedPoint(0, 0)
    return FixedPoint(multiplier, shift)


def limited(factor: FixedPoint) -> FixedPoint:
    """The factor, or :data:`LARGEST` where it is larger."""
    return LARGEST if factor.shift > LARGEST.shift else factor


def high_half(a: Integers, b: Integers | int) -> Integers:
    """The high half of the doubled product of int32 values, halves up."""
    return (a * b + (1 << 30)) >> 31


def shifted_right(values: Int64Array, times: Int64Array | int) -> Int64Array:
    """``values / 2**times``, halves away from zero."""
    half = (1 << np.asarray(times)) >> 1
    return np.sign(values) * ((np.abs(values) + half) >> times)


def nearest_int8(steps: npt.NDArray[np.float32], zero_point: int) -> npt.NDArray[np.int8]:
    """Steps of a quantisation in float32, rounded halves away from zero, as int8 values."""
    # What lies further out saturates whatever the zero point is.
    steps_64 = np.clip(steps, np.float32(-1024), np.float32(1024)).astype(np.float64)
    rounded = np.trunc(steps_64 + np.copysign(0.5, steps_64)) + zero_point
    return np.clip(rounded, -128, 127).astype(np.int8)


def rescaled(values: Int64Array, factor: FixedPoint) -> Int64Array:
    """int32 values times a factor, as the numeric contract has it: shifted left with saturation,
    to the high half of the doubled product, halves up, then to the right shift, halves away from
    zero."""
    limits = np.iinfo(np.int32)
    widened = np.clip(values << max(factor.shift, 0), limits.min, limits.max)
    return shifted_right(high_half(widened, factor.multiplier), max(-factor.shift, 0))


def inverse_square_root(value: int) -> FixedPoint:
    """``1 / sqrt(value)`` of a natural number: five steps of Newton's method on numbers with 3
    integer bits. That of 0 is 1, as TFLite has it."""
    if value <= 1:
        return FixedPoint(2**31 - 1, 0)
    right = 11
    while value >= 1 << 29:
        value, right = value // 4, right + 1
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    right -= pairs
    half_input = ((value << 2 * pairs >> 1) + 1) >> 1
    three_halves = (1 << 28) + (1 << 27)
    x = 1 << 28
    for _ in range(5):
        cube = high_half(high_half(x, x), x) << 6
        x = (high_half(x, three_halves) - high_half(half_input, cube)) << 3
    multiplier = high_half(x, 1518500250)  # half the root of 2
    return FixedPoint(multiplier << max(-right, 0), -max(right, 0))
