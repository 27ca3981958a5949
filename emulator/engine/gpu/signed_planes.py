# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Multipliers as a GPU's matrix units compute them: tables of signed bytes on the activations,
signed byte weights, powers of two, and, for multipliers of many terms, a table of errors.

Everything about a weight depends on its value and its code, so that all tables are by both. A layer
whose weights change, as in training, is packed again by looking them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.recipe import RAW_BYTES, ByteTerm, byte_terms
from axynq.emulator.engine.terms import terms_of
from axynq.emulator.multipliers import ACTIVATION_MIN, WEIGHT_MIN, Multiplier

Int64Array = npt.NDArray[np.int64]

MOST_TERMS = 48
"""Byte terms of a multiplier that has no look-ups. A byte product costs a GPU's matrix unit about a
hundredth of what a look-up costs its load units, and memory for a plane of activations."""

_W = np.arange(WEIGHT_MIN, -WEIGHT_MIN, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class SignedPlane:
    """A byte product: ``2**exponent * tables[table][byte] * weight``."""

    table: int
    """Number of the activations' table."""
    weights: npt.NDArray[np.int8]
    """[codes * 256] by ``256 * code + w + 128``."""
    exponent: int


@dataclass(frozen=True, eq=False)
class SignedPlanes:
    """What a layer of some multipliers computes, whatever its weights:
    ``sum over planes + errors[error_rows[place], byte] + constant[place]``, with
    ``place = 256 * code + w + 128``, is the product; of code 0 it is 0.
    """

    tables: npt.NDArray[np.int8]
    """[tables, 256] by the activation's byte."""
    planes: tuple[SignedPlane, ...]
    """At least one."""
    errors: npt.NDArray[np.signedinteger[Any]] | None
    """[rows, 256] by the activation's byte, in the narrowest type; row 0 is zeros. None: no
    multiplier has look-ups."""
    error_rows: npt.NDArray[np.int32]
    """[codes * 256]."""
    constant: Int64Array
    """[codes * 256]."""

    def products(self) -> Int64Array:
        """The products [codes * 256, byte]."""
        total = np.repeat(self.constant[:, None], 256, axis=1)
        for plane in self.planes:
            factors = self.tables[plane.table].astype(np.int64)
            total += np.outer(plane.weights.astype(np.int64), factors) << plane.exponent
        if self.errors is not None:
            total += self.errors[self.error_rows].astype(np.int64)
        return total


@lru_cache(maxsize=256)
def signed_planes(multipliers: tuple[Multiplier, ...], zero_point: int) -> SignedPlanes:
    """The planes of a layer's multipliers, for activations with one zero point; proved to give all
    products."""
    codes = len(multipliers) + 1
    tables: dict[bytes, int] = {}
    gathered: dict[tuple[int, int, int], npt.NDArray[np.int8]] = {}
    constant = np.zeros(codes * 256, np.int64)
    error_rows = np.zeros(codes * 256, np.int32)
    errors: list[Int64Array] = [np.zeros((1, 256), np.int64)]
    for code, multiplier in enumerate(multipliers, start=1):
        own = slice(256 * code, 256 * code + 256)
        terms = _terms(multiplier, zero_point)
        if len(terms) > MOST_TERMS:
            terms = _shorter(RAW_BYTES - zero_point, _W)
            error, middle = _error(multiplier, zero_point)
            error_rows[own] = np.arange(256, dtype=np.int32) + sum(len(e) for e in errors)
            errors.append(error)
            constant[own] += middle
        keys: list[tuple[int, int, int]] = []
        for term in terms:
            # Bytes are signed here: 128 less than the unsigned ones.
            signed = (term.table ^ 128).view(np.int8)
            table = tables.setdefault(signed.tobytes(), len(tables))
            constant[own] += term.weight.astype(np.int64) * (term.offset + 128) << term.exponent
            # Multipliers share planes; two equal planes of one multiplier would not fit one.
            number = sum(key[:2] == (table, term.exponent) for key in keys)
            keys.append((table, term.exponent, number))
            gathered.setdefault(keys[-1], np.zeros(codes * 256, np.int8))[own] = term.weight
    if not gathered:  # nothing is multiplied
        tables[np.zeros(256, np.int8).tobytes()] = 0
        gathered[0, 0, 0] = np.zeros(codes * 256, np.int8)
    planes = SignedPlanes(
        np.stack([np.frombuffer(table, np.int8) for table in tables]),
        tuple(SignedPlane(key[0], weights, key[1]) for key, weights in gathered.items()),
        _narrowest(np.concatenate(errors)) if len(errors) > 1 else None,
        error_rows,
        constant,
    )
    _check(planes, multipliers, zero_point)
    return planes


def _terms(multiplier: Multiplier, zero_point: int) -> list[ByteTerm]:
    factors = terms_of(multiplier)
    rows = RAW_BYTES - zero_point - ACTIVATION_MIN
    return [
        term
        for f, g in zip(factors.activation[:, rows], factors.weight)
        if f.any() and g.any()
        for term in _shorter(f, g)
    ]


def _shorter(f: Int64Array, g: Int64Array) -> list[ByteTerm]:
    """The byte terms of a product, or of the product of both negated, which may be fewer: 128 is no
    signed byte, but -128 is."""
    return min((byte_terms(f, g), byte_terms(-f, -g)), key=len)


def _error(multiplier: Multiplier, zero_point: int) -> tuple[Int64Array, Int64Array]:
    """Errors [w + 128, byte] less the middle of each weight's, and those middles."""
    operands = RAW_BYTES - zero_point
    error = multiplier.table[operands - ACTIVATION_MIN].T - np.outer(_W, operands)
    middle = (error.min(axis=1) + error.max(axis=1)) // 2
    return error - middle[:, None], middle


def _narrowest(values: Int64Array) -> npt.NDArray[np.signedinteger[Any]]:
    for dtype in (np.int8, np.int16):
        if np.array_equal(values.astype(dtype), values):
            return values.astype(dtype)
    return values.astype(np.int32)


def _check(planes: SignedPlanes, multipliers: tuple[Multiplier, ...], zero_point: int) -> None:
    products = planes.products().reshape(-1, 256, 256)
    rows = RAW_BYTES - zero_point - ACTIVATION_MIN
    for number, multiplier in enumerate(multipliers, start=1):
        if not np.array_equal(products[number], multiplier.table[rows].T):
            raise AssertionError(f"the planes of {multiplier.spec} do not reproduce its table")
