# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The slopes of approximate products, as tables and as few separable terms of them.

An approximate product ``m(a, w)`` is a table of steps: it has no derivative. Smoothed along one
operand it has one, by central differences (C. Meng, W. Burleson, W. Qian, G. De Micheli, "Gradient
Approximation of Approximate Multipliers for High-Accuracy Deep Neural Network Retraining", DATE
2025, and C. Meng, W. Burleson, G. De Micheli, "Gradient Estimation Methods of Approximate
Multipliers for High-Accuracy Retraining of Deep Learning Models", arXiv 2509.10519), with ``h``
operands on either side::

    S(a, w)  = mean of m(a, w - h), ..., m(a, w + h)
    dm/dw    = (S(a, w + 1) - S(a, w - 1)) / 2

and ``dm/da`` likewise along ``a``. Where an operand is so near the end of its range that these
windows do not fit, the slope is that of the nearest operand where they do. (The publications take
the mean slope over the whole range there.) With exact products the slopes are ``w`` and ``a``,
ends included.

A slope that depends on both operands is what the publications call LUT-2D. LUT-1D is a table over
one operand: here, the mean over the other one, so that ``dm/da`` depends on ``w`` alone and
``dm/dw`` on ``a`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import ACTIVATION_MIN, Multiplier
from axynq.emulator.studies.tuning.weights import activation_rows

FloatArray = npt.NDArray[np.float64]

Operand = Literal["activation", "weight"]

WIDEST = 126
"""The largest ``h`` whose windows fit a range of 256 operands."""

TOLERANCE = 0.01
"""How far separable terms may be from the table they stand for: the norm of the difference against
that of the table (root of the sum of squares of all entries)."""


class Terms(NamedTuple):
    """A table as ``sum over k of by_activation[k, x] * by_weight[k, code, w]``.

    A table that does not depend on the activation has one term, whose ``by_activation`` is 1.
    """

    by_activation: FloatArray
    """[terms, 256], by the activation's int8 value plus 128."""
    by_weight: FloatArray
    """[terms, codes, 256], by the weight's code and its value plus 128; 0 for skipped weights."""


def slopes(multiplier: Multiplier, operand: Operand, smoothing: int) -> FloatArray:
    """``dm/da`` or ``dm/dw`` by operands, [511, 256] as the multiplier's table.

    Rows outside the activations that the multiplier is defined for are 0.

    Args:
        multiplier: whose products they are.
        operand: along which.
        smoothing: ``h``, 0 to 126.

    Raises:
        MultiplierError: ``smoothing`` is out of range.
    """
    if not 0 <= smoothing <= WIDEST:
        raise MultiplierError(
            f"products are smoothed over 0 to {WIDEST} operands on either side, not {smoothing}"
        )
    low, high = multiplier.activation_range
    rows = slice(low - ACTIVATION_MIN, high - ACTIVATION_MIN + 1)
    products = multiplier.table[rows].astype(np.float64)
    found = np.zeros(multiplier.table.shape)
    if operand == "activation":
        found[rows] = _differences(products.T, smoothing).T
    else:
        found[rows] = _differences(products, smoothing)
    return found


def _differences(products: FloatArray, half: int) -> FloatArray:
    """Central differences of moving means along the last axis."""
    count = products.shape[-1]
    sums = np.cumsum(products, axis=-1)
    sums = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)
    at = np.clip(np.arange(count), half + 1, count - 2 - half)

    def mean(middle: npt.NDArray[np.intp]) -> FloatArray:
        total: FloatArray = sums[..., middle + half + 1] - sums[..., middle - half]
        return total / (2 * half + 1)

    return (mean(at + 1) - mean(at - 1)) / 2


def layer_slopes(
    multipliers: Sequence[Multiplier],
    zero_point: int,
    operand: Operand,
    smoothing: int,
    averaged: bool,
) -> FloatArray:
    """The slopes of a layer's multipliers, [256, codes, 256] by the activation's int8 value plus
    128, the weight's code, and the weight's value plus 128. Those of skipped weights are 0.

    Args:
        multipliers: by code, from 1; code 0 is that of skipped weights.
        zero_point: of the layer's input.
        operand: along which.
        smoothing: ``h``.
        averaged: LUT-1D: the mean over the operand that the slope of an exact product does not
            depend on, over all int8 activations, or weights -127 to 127.
    """
    found = np.zeros((256, len(multipliers) + 1, 256))
    for code, one in enumerate(multipliers, start=1):
        table = slopes(one, operand, smoothing)[activation_rows(zero_point)]
        if averaged and operand == "activation":
            table = table.mean(axis=0, keepdims=True)
        elif averaged:
            table = table[:, 1:].mean(axis=1, keepdims=True)
        found[:, code] = table
    return found


@lru_cache(maxsize=64)
def separated_slopes(
    multipliers: tuple[Multiplier, ...],
    zero_point: int,
    operand: Operand,
    smoothing: int,
    averaged: bool,
    tolerance: float = TOLERANCE,
) -> Terms:
    """:func:`separated` of :func:`layer_slopes`, once for all layers that have them in common."""
    table = layer_slopes(multipliers, zero_point, operand, smoothing, averaged)
    return separated(table, tolerance)


def separated(table: FloatArray, tolerance: float = TOLERANCE) -> Terms:
    """As few separable terms as come within the tolerance (singular value decomposition).

    Args:
        table: [256, codes, 256], as :func:`layer_slopes` has it.
        tolerance: see :data:`TOLERANCE`.
    """
    if (table == table[:1]).all():
        return Terms(np.ones((1, len(table))), table[:1])
    rows, codes, columns = table.shape
    left, strength, right = np.linalg.svd(table.reshape(rows, -1), full_matrices=False)
    squares = strength**2
    beyond = np.cumsum(squares[::-1])[::-1]  # what is left out with a term and all behind it
    needed = max(1, int((beyond > tolerance**2 * squares.sum()).sum()))
    by_weight = (strength[:needed, None] * right[:needed]).reshape(needed, codes, columns)
    return Terms(left[:, :needed].T, by_weight)
