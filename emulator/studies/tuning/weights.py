# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Weight tuning: other weights whose approximate products are closer to the exact ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.multipliers import ACTIVATION_MIN, WEIGHT_MIN, Multiplier

WeightRule = Literal["none", "alwann", "histogram", "second-order", "rescaled"]

WEIGHT_RULES: tuple[WeightRule, ...] = ("none", "alwann", "histogram", "second-order", "rescaled")

LOWEST = -127
"""TFLite's int8 weights leave -128 out: no other weight is replaced by it."""


def activation_rows(zero_point: int) -> npt.NDArray[np.int64]:
    """Rows of a product table for the int8 activations -128..127 of a tensor."""
    return np.arange(-128, 128) - zero_point - ACTIVATION_MIN


@lru_cache(maxsize=512)
def tuned_weights(
    multiplier: Multiplier, zero_point: int, shares: bytes | None = None
) -> npt.NDArray[np.int8]:
    """For each weight the one that takes its place, int8 [256] by ``w + 128``.

    ``argmin over w' of sum over a of share(a) * |m(a, w') - a * w|``, ties to ``w`` itself, then to
    the nearest. With equal shares this is the rule of ALWANN (Mrazek et al., ICCAD 2019).

    Args:
        multiplier: the approximate multiplier.
        zero_point: of the activations, whose operands are ``a = x - zero_point``.
        shares: float64 [256] as bytes: how often each int8 activation occurs; default: equally.
    """
    weight = np.ones(256) if shares is None else np.frombuffer(shares, np.float64)
    seen = np.flatnonzero(weight)
    a = (np.arange(-128, 128) - zero_point)[seen].astype(np.float32)
    products = multiplier.table[activation_rows(zero_point)[seen]].astype(np.float32)
    share = weight[seen].astype(np.float32)
    replacement = np.zeros(256, np.int8)
    for w in range(-128, 128):
        candidates = np.arange(min(w, LOWEST), 128)
        difference = np.abs(products[:, candidates[0] - WEIGHT_MIN :] - (a * w)[:, None])
        cost = (share @ difference).astype(np.float64)
        # A cost that is equal but for the rounding of its sum is a tie.
        best = candidates[cost <= cost.min() * (1 + 1e-5) + 1e-9]
        replacement[w - WEIGHT_MIN] = best[np.argmin(np.abs(best - w))]
    return replacement
