# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Any multiplier as a short sum of separable terms, exactly.

``m(a, w) = sum over k of f_k(a) * g_k(w)`` with integer tables turns an approximate convolution
into a few exact ones, which is what makes emulation fast.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.multipliers import Multiplier

Int64Array = npt.NDArray[np.int64]


class Terms(NamedTuple):
    """``activation.T @ weight`` is the product table: [K, 511] and [K, 256], int64."""

    activation: Int64Array
    """``activation[k, a + 255]`` is ``f_k(a)``."""
    weight: Int64Array
    """``weight[k, w + 128]`` is ``g_k(w)``."""


@lru_cache(maxsize=256)
def terms_of(multiplier: Multiplier) -> Terms:
    """The terms of a multiplier, proved equal to its table on the whole operand domain."""
    terms = factorise(multiplier.table.astype(np.int64))
    if not np.array_equal(_products(terms), multiplier.table):
        raise AssertionError(f"terms of {multiplier.spec} do not reproduce its table")
    return terms


def _products(terms: Terms) -> npt.NDArray[Any]:
    """The table that the terms make, [511, 256]."""
    f, g = terms
    if len(f) * int(np.abs(f).max()) * int(np.abs(g).max()) < 2**53:  # floats are exact, and faster
        f, g = f.astype(np.float64), g.astype(np.float64)
    return f.T @ g


def factorise(table: Int64Array) -> Terms:
    """Integer factorisation of ``table`` by cross approximation.

    Each step takes a pivot that divides its whole column (or row), and subtracts the outer product
    of that column and row over the pivot: the rank falls by one and all entries stay integers.
    Among such pivots the one with the smallest entries is taken. Where none is left, every distinct
    remaining column becomes a term of its own.
    """
    residual = table.copy()
    # Lines that are equal, perhaps but for the sign, stay so: one of them is enough for the search.
    first_rows, first_columns = _distinct(table), _distinct(table.T)
    columns: list[Int64Array] = []
    rows: list[Int64Array] = []
    while residual.any():
        pivot = _integer_pivot(residual[np.ix_(first_rows, first_columns)])
        if pivot is None:
            distinct, which = np.unique(residual, axis=1, return_inverse=True)
            for k in range(distinct.shape[1]):
                if distinct[:, k].any():
                    columns.append(distinct[:, k])
                    rows.append((which.reshape(-1) == k).astype(np.int64))
            break
        i, j = first_rows[pivot[0]], first_columns[pivot[1]]
        column, row, value = residual[:, j].copy(), residual[i].copy(), int(residual[i, j])
        if (column % value == 0).all():
            column //= value
        else:
            row //= value
        columns.append(column)
        rows.append(row)
        residual -= np.outer(column, row)
    if not columns:
        columns, rows = [np.zeros(table.shape[0], np.int64)], [np.zeros(table.shape[1], np.int64)]
    return Terms(np.stack(columns), np.stack(rows))


def _distinct(rows: Int64Array) -> npt.NDArray[np.int64]:
    """The first of all rows that are equal but for the sign, in order."""
    leading = rows[np.arange(len(rows), dtype=np.int64), (rows != 0).argmax(axis=1)]
    canonical = rows * np.where(leading < 0, -1, 1)[:, None]
    first: dict[bytes, int] = {}
    for k, row in enumerate(canonical):
        first.setdefault(row.tobytes(), k)
    return np.array(list(first.values()), np.int64)


def _integer_pivot(residual: Int64Array) -> tuple[int, int] | None:
    magnitude = np.abs(residual)
    column_divisors = np.gcd.reduce(magnitude, axis=0)
    row_divisors = np.gcd.reduce(magnitude, axis=1)
    usable = (magnitude > 0) & (
        (magnitude == column_divisors[None, :]) | (magnitude == row_divisors[:, None])
    )
    if not usable.any():
        return None
    size = magnitude.max(axis=1)[:, None].astype(np.float64) * magnitude.max(axis=0)[None, :]
    size[~usable] = np.inf
    i, j = np.unravel_index(int(np.argmin(size)), size.shape)
    return int(i), int(j)
