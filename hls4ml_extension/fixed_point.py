# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""hls4ml's number types, and the integers that numbers are in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hls4ml.model.types import FixedPrecisionType, IntegerPrecisionType

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def is_fixed_point(precision: Any) -> bool:
    """Whether a type is an integer or a fixed-point number, ``ap_(u)int`` or ``ap_(u)fixed``."""
    return isinstance(precision, FixedPrecisionType | IntegerPrecisionType)


def fraction(precision: Any) -> int:
    """Bits behind the point."""
    return int(precision.width - precision.integer)


def value_range(precision: Any) -> tuple[int, int]:
    """The smallest and the largest integer that a type's bits stand for."""
    if not precision.signed:
        return 0, 2**precision.width - 1
    half = 2 ** (precision.width - 1)
    symmetric = str(getattr(precision, "saturation_mode", "")) == "SAT_SYM"
    return (-half + 1 if symmetric else -half), half - 1


def integers(values: npt.ArrayLike, precision: Any) -> Integers:
    """What real numbers become in a type, in units of its last bit, as ``ap_fixed`` does it.

    Args:
        values: any shape.
        precision: an integer or fixed-point type of hls4ml.
    """
    scaled = np.asarray(values, np.float64) * 2.0 ** fraction(precision)
    rounded = _rounded(scaled, str(getattr(precision, "rounding_mode", "TRN")))
    return _limited(rounded.astype(np.int64), precision)


def _rounded(x: Reals, mode: str) -> Reals:
    down = np.floor(x)
    if mode == "TRN":
        return down
    if mode == "TRN_ZERO":
        return np.trunc(x)
    if mode == "RND":
        return np.floor(x + 0.5)
    half = (x - down) == 0.5
    nearest = np.where(half, down, np.floor(x + 0.5))
    up = {
        "RND_MIN_INF": np.zeros_like(half),
        "RND_INF": x > 0,
        "RND_ZERO": x < 0,
        "RND_CONV": down % 2 != 0,
    }[mode]
    return nearest + (half & up)


def _limited(x: Integers, precision: Any) -> Integers:
    low, high = value_range(precision)
    mode = str(getattr(precision, "saturation_mode", "WRAP"))
    if mode in ("SAT", "SAT_SYM"):
        return np.clip(x, low, high)
    if mode == "SAT_ZERO":
        return np.where((x < low) | (x > high), 0, x)
    low = -(2 ** (precision.width - 1)) if precision.signed else 0
    return (x - low) % 2**precision.width + low
