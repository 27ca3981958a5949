# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Softmax and its relatives on int8, in the fixed-point arithmetic of TFLite's reference kernels.

Everything is an integer, so that every machine computes the same. The oracle, the engines and the
host behind an accelerator share this module; it is compared with TFLite.

A number with ``n`` integer bits is an int32 that stands for itself divided by ``2**(31 - n)``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.fixed_point import (
    FixedPoint,
    fixed_point,
    high_half,
    inverse_square_root,
    rescaled,
    shifted_right,
    significand_and_shift,
)

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]

MOST_CLASSES = 4095
"""More might take the sum of their exponentials out of 32 bits."""

SMALLEST_STEP = 2.0**-26
"""What ``beta * scale``, the exponent that one step of the input stands for, must exceed."""

EXPONENT_BITS = 5
"""Integer bits of exponents, which are above -32."""

SUM_BITS = 12
"""Integer bits of the sum of exponentials."""

ONE = 2**31 - 1
"""The largest number with no integer bits."""

LOGARITHM_BITS = 4
"""Integer bits of logarithms that are given out."""

HALF_ROOT_OF_TWO, FOURTH_ROOT_OF_HALF, LOGARITHM_OF_TWO = 1518500250, 1805811301, 1488522236
"""With no integer bits."""

THIRD = 715827883
EXP_EIGHTH = 1895147668
"""``exp(-1/8)`` with no integer bits."""

EXP_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""``exp(-1/4)``, ``exp(-1/2)``, ``exp(-1)`` .. ``exp(-16)`` with no integer bits."""


def softmax(scale: float, beta: float, x: Int8Array) -> Int8Array:
    """Softmax of ``beta * scale * x`` over the last axis, to int8 of scale 1/256, zero point -128.

    ``beta * scale`` is above :data:`SMALLEST_STEP`, and the last axis has at most
    :data:`MOST_CLASSES` values.
    """
    below_maximum = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    e = exponentials(beta * scale)[below_maximum]
    total = shifted_right(e, SUM_BITS).sum(axis=-1, keepdims=True, dtype=np.int64)
    digits = np.frexp(total)[1].astype(np.int64)  # binary
    inverse = _reciprocal(total << (32 - digits))
    y = shifted_right(high_half(inverse, e), digits + 3) - 128
    return np.minimum(y, 127).astype(np.int8)


def exponentials(step: float) -> Int64Array:
    """``exp(-step * d)`` for ``d`` from 0 to 255, with no integer bits; 0 where the exponent does
    not fit :data:`EXPONENT_BITS`."""
    multiplier, shift = _exponent_factor(step)
    d = np.arange(256, dtype=np.int64)
    inside = d <= ((2**EXPONENT_BITS - 1) << (31 - EXPONENT_BITS)) >> shift
    exponents = high_half(-np.where(inside, d, 0) << shift, multiplier)
    return np.where(inside, _exponential(exponents), 0)


def _exponent_factor(step: float) -> FixedPoint:
    """From steps to exponents with :data:`EXPONENT_BITS`."""
    return significand_and_shift(min(step * 2.0 ** (31 - EXPONENT_BITS), float(ONE)))


def _exponential(a: Int64Array) -> Int64Array:
    """``exp(a)``, with no integer bits, of numbers with :data:`EXPONENT_BITS`, none positive.

    Whole quarters of ``a`` multiply powers of e; the rest, -1/4 at least, is taken by a Taylor
    series around -1/8.
    """
    quarter = 1 << (31 - EXPONENT_BITS - 2)
    rest = (a & (quarter - 1)) - quarter
    x = (rest << EXPONENT_BITS) + (1 << 28)
    x2 = high_half(x, x)
    x3, x4 = high_half(x2, x), high_half(x2, x2)
    series = x + shifted_right(high_half(shifted_right(x4, 2) + x3, THIRD) + x2, 1)
    result = EXP_EIGHTH + high_half(series, EXP_EIGHTH)
    quarters = (rest - a) // quarter
    for bit, power in enumerate(EXP_POWERS):
        result = np.where(quarters >> bit & 1, high_half(result, power), result)
    return np.where(a == 0, ONE, result)


def _reciprocal(a: Int64Array) -> Int64Array:
    """``2**62 / a`` of numbers from ``2**31`` to below ``2**32``: three steps of Newton's method on
    numbers with 2 integer bits."""
    half = a >> 1
    x = 1515870810 + high_half(half, -1010580540)  # 48/17 - 32/17 * half
    for _ in range(3):
        x = x + (high_half(x, (1 << 29) - high_half(half, x)) << 2)
    return np.minimum(x << 1, ONE)


# --- logarithms and lengths ----------------------------------------------------------------------


def log_softmax(scale: float, x: Int8Array) -> Int8Array:
    """Logarithm of the softmax of ``scale * x`` over the last axis, to int8 of scale 1/16, zero
    point 127. The last axis has at most :data:`MOST_CLASSES` values.
    """
    multiplier, left = _exponent_factor(scale)
    # What the factor's inverse makes of exponents: from numbers with EXPONENT_BITS to steps.
    inverse = fixed_point(2.0 ** (31 - left) / multiplier)
    below_maximum = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    total = shifted_right(exponentials(scale)[below_maximum], SUM_BITS)
    logarithm = _logarithm(total.sum(axis=-1, keepdims=True, dtype=np.int64))
    furthest = ((2**EXPONENT_BITS - 1) << (31 - EXPONENT_BITS)) >> left
    bound = np.maximum(-furthest - 1, rescaled(logarithm - 2**31, inverse))
    exponents = high_half(-np.minimum(below_maximum, furthest) << left, multiplier)
    y = shifted_right(exponents - logarithm, 31 - EXPONENT_BITS - LOGARITHM_BITS) + 127
    y = np.where(-below_maximum > bound, y, -128)
    return np.clip(y, -128, 127).astype(np.int8)


def _logarithm(a: Int64Array) -> Int64Array:
    """Natural logarithm, with :data:`EXPONENT_BITS`, of numbers of at least 1 with
    :data:`SUM_BITS`: a power of two times a number near the fourth root of 1/2, the logarithm of
    which is a quotient of two polynomials."""
    accumulator_bits = EXPONENT_BITS + 1
    unit, quarter = 31 - accumulator_bits, 1 << (29 - accumulator_bits)
    zeros = _leading_zeros(a)
    lower = _saturated(high_half(a << (zeros - 1), HALF_ROOT_OF_TWO) << 1)
    lower_power = ((SUM_BITS - zeros) << unit) + quarter
    headroom = _leading_zeros(high_half(a, HALF_ROOT_OF_TWO)) - 1
    upper = _saturated(a << headroom)
    upper_power = ((SUM_BITS - headroom) << unit) - quarter
    r, power = np.minimum(lower, upper), np.maximum(lower_power, upper_power)
    middle = (r + FOURTH_ROOT_OF_HALF + 1) >> 1
    q = 2 * (r - FOURTH_ROOT_OF_HALF)
    square = high_half(q, q)
    above = high_half(q, r) + high_half(high_half(q, square), 117049297)
    below = high_half(middle, 1057819769 + q + high_half(square, 127690142))
    below = below + high_half(q, 638450708)
    quotient = high_half(shifted_right(above, accumulator_bits), _reciprocal(below + 2**31))
    return _saturated((high_half(power, LOGARITHM_OF_TWO) + quotient) << 1)


def _leading_zeros(a: Int64Array) -> Int64Array:
    """Of 32 bits."""
    return 32 - np.frexp(a)[1].astype(np.int64)


def l2_normalised(zero_point: int, x: Int8Array) -> Int8Array:
    """``x - zero_point`` divided by its Euclidean length over the last axis, to int8 of scale
    1/128, zero point 0."""
    a = x.astype(np.int64) - zero_point
    flat = a.reshape(-1, a.shape[-1])
    y = np.zeros_like(flat)
    for row, values in enumerate(flat):
        inverse = inverse_square_root(int((values * values).sum(dtype=np.int64)))
        y[row] = rescaled(values, FixedPoint(inverse.multiplier, inverse.shift + 7))
    return np.clip(y, -128, 127).astype(np.int8).reshape(x.shape)


def _saturated(a: Int64Array) -> Int64Array:
    return np.clip(a, -ONE - 1, ONE)
