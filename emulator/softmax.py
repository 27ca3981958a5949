"""Softmax on int8, in the fixed-point arithmetic of TFLite's reference kernel.

Everything is an integer, so that every machine computes the same. The oracle, the engines and the
host behind an accelerator share this module; it is compared with TFLite.

A number with ``n`` integer bits is an int32 that stands for itself divided by ``2**(31 - n)``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

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
    e = _exponentials(beta * scale)[below_maximum]
    total = _halved(e, SUM_BITS).sum(axis=-1, keepdims=True, dtype=np.int64)
    digits = np.frexp(total)[1].astype(np.int64)  # binary
    inverse = _reciprocal(total << (32 - digits))
    y = _halved(_multiplied(inverse, e), digits + 3) - 128
    return np.minimum(y, 127).astype(np.int8)


def _exponentials(step: float) -> Int64Array:
    """``exp(-step * d)`` for ``d`` from 0 to 255, with no integer bits; 0 where the exponent does
    not fit :data:`EXPONENT_BITS`."""
    raw = min(step * 2.0 ** (31 - EXPONENT_BITS), float(ONE))
    significand, shift = math.frexp(raw)
    multiplier = math.floor(significand * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    d = np.arange(256, dtype=np.int64)
    inside = d <= ((2**EXPONENT_BITS - 1) << (31 - EXPONENT_BITS)) >> shift
    exponents = _multiplied(-np.where(inside, d, 0) << shift, multiplier)
    return np.where(inside, _exponential(exponents), 0)


def _exponential(a: Int64Array) -> Int64Array:
    """``exp(a)``, with no integer bits, of numbers with :data:`EXPONENT_BITS`, none positive.

    Whole quarters of ``a`` multiply powers of e; the rest, -1/4 at least, is taken by a Taylor
    series around -1/8.
    """
    quarter = 1 << (31 - EXPONENT_BITS - 2)
    rest = (a & (quarter - 1)) - quarter
    x = (rest << EXPONENT_BITS) + (1 << 28)
    x2 = _multiplied(x, x)
    x3, x4 = _multiplied(x2, x), _multiplied(x2, x2)
    series = x + _halved(_multiplied(_halved(x4, 2) + x3, THIRD) + x2, 1)
    result = EXP_EIGHTH + _multiplied(series, EXP_EIGHTH)
    quarters = (rest - a) // quarter
    for bit, power in enumerate(EXP_POWERS):
        result = np.where(quarters >> bit & 1, _multiplied(result, power), result)
    return np.where(a == 0, ONE, result)


def _reciprocal(a: Int64Array) -> Int64Array:
    """``2**62 / a`` of numbers from ``2**31`` to below ``2**32``: three steps of Newton's method on
    numbers with 2 integer bits."""
    half = a >> 1
    x = 1515870810 + _multiplied(half, -1010580540)  # 48/17 - 32/17 * half
    for _ in range(3):
        x = x + (_multiplied(x, (1 << 29) - _multiplied(half, x)) << 2)
    return np.minimum(x << 1, ONE)


def _multiplied(a: Int64Array, b: Int64Array | int) -> Int64Array:
    """The high half of the doubled product, rounded halves up."""
    return (a * b + (1 << 30)) >> 31


def _halved(a: Int64Array, times: Int64Array | int) -> Int64Array:
    """``a / 2**times``, rounded halves away from zero."""
    half = (1 << np.asarray(times)) >> 1
    return np.sign(a) * ((np.abs(a) + half) >> times)
