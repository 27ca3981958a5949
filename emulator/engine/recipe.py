# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How a layer is computed with byte arithmetic: planes of activations times byte weights, and,
where a multiplier has no short sum of terms, looked-up bytes.

Every product table is reproduced exactly: ``terms + look-ups = table`` is checked for each
multiplier when its recipe is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import HIGH_HALF, LOW_HALF, SEVEN_BITS, WHOLE_BYTE
from axynq.emulator.engine.terms import factorise, terms_of
from axynq.emulator.model import graph
from axynq.emulator.multipliers import ACTIVATION_MIN, WEIGHT_MIN, Multiplier
from axynq.emulator.plan import LayerCodes

Int64Array = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
Integer = TypeVar("Integer", bound=np.integer[Any])

WEIGHTS = np.arange(WEIGHT_MIN, -WEIGHT_MIN, dtype=np.int64)
"""Every weight, by ``w + 128``."""

RAW_BYTES = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
"""The int8 activation of each byte: tables are indexed by the byte."""


@dataclass(frozen=True)
class Costs:
    """Time of 64 products, in any unit, by which a multiplier's recipe is chosen."""

    term: float
    """Of one term."""
    lookup: float
    """Of one looked-up byte."""
    half_lookup: float = np.inf
    """Of one byte that is looked up by half of an activation's byte; infinite where the kernel has
    no fast way to do that."""
    seven_bits: float | None = None
    """Of one byte that is looked up by seven bits, if that is faster than by the whole byte."""
    in_groups: bool = False
    """Whether halves are looked up for four taps together, which costs the same if only one of them
    has something to look up."""
    tile_term: float | None = None
    """Of one term in a matrix unit, if there is one."""
    in_tiles: bool = False
    """Whether the layer's terms are computed there."""
    narrow_term: float | None = None
    """Of one term whose weights are at most :data:`NARROW`, if that is less."""
    plane: float = 0.0
    """Of 64 activations for a term: through its table, to memory and back."""
    uses: float = np.inf
    """Products of an activation."""


@dataclass(frozen=True, eq=False)
class ByteTerm:
    """``2**exponent * (table[byte] + offset) * weight[w + 128]``."""

    table: ByteArray
    """[256] by the activation's byte."""
    offset: int
    weight: npt.NDArray[np.int8]
    """[256]."""
    exponent: int


@dataclass(frozen=True, eq=False)
class ByteLookup:
    """``2**exponent * tables[w + 128, byte]``, for one byte of what the terms leave; or by the low
    or the high half of the activation's byte, or its lower seven bits."""

    tables: ByteArray
    """[256, 256 or 16]: weight, activation's byte or half of it. Seven bits have 256 entries, of
    which both halves are alike."""
    exponent: int
    part: int = WHOLE_BYTE

    def by_byte(self) -> ByteArray:
        """The tables by the whole byte, [256, 256]."""
        if self.part in (WHOLE_BYTE, SEVEN_BITS):
            return self.tables
        byte = np.arange(256, dtype=np.int64)
        return self.tables[:, byte & 15 if self.part == LOW_HALF else byte >> 4]


@dataclass(frozen=True, eq=False)
class Recipe:
    """A multiplier for activations with one zero point: terms, look-ups, a constant per weight."""

    terms: tuple[ByteTerm, ...]
    lookups: tuple[ByteLookup, ...]
    constant: Int64Array
    """[256] by ``w + 128``."""

    def products(self) -> Int64Array:
        """The product table [byte, w + 128] that the recipe computes."""
        total = np.repeat(self.constant[:, None], 256, axis=1)  # [w + 128, byte]
        if self.terms:
            f = np.stack([term.table.astype(np.float64) + term.offset for term in self.terms])
            g = np.stack(
                [np.ldexp(term.weight.astype(np.float64), term.exponent) for term in self.terms]
            )
            total += (g.T @ f).astype(np.int64)  # far below 2**53: exact
        for lookup in self.lookups:
            total += lookup.by_byte().astype(np.int64) << lookup.exponent
        return total.T


@lru_cache(maxsize=512)
def recipe_of(multiplier: Multiplier, zero_point: int, used: bytes, costs: Costs) -> Recipe:
    """The cheapest recipe for weights that occur ``used`` times (int64 [256] as bytes).

    Weights that do not occur may get wrong products.
    """
    counts = np.frombuffer(used, np.int64)
    table = multiplier.table[RAW_BYTES - zero_point - ACTIVATION_MIN]
    present = counts > 0
    recipes = _by_error(multiplier, zero_point, present)
    if costs.seven_bits is not None:
        recipes += _by_seven_bits(multiplier, zero_point, present)
    best = min(recipes, key=lambda recipe: _cost(recipe, counts, costs))
    # Many terms take long to find, to no purpose.
    most = _cost(best, counts, costs) / _cost_of_term(costs)
    by_terms = _by_terms(multiplier, zero_point, present, most)
    if by_terms is not None and _cost(by_terms, counts, costs) <= _cost(best, counts, costs):
        best = by_terms
    if not np.array_equal(best.products()[:, present], table[:, present]):
        raise AssertionError(f"the recipe of {multiplier.spec} does not reproduce its table")
    return best


def _cost(recipe: Recipe, counts: Int64Array, costs: Costs) -> float:
    total = _cost_of_term(costs) * len(recipe.terms)
    if costs.narrow_term is not None:
        narrow = sum(np.abs(t.weight.astype(np.int64)).max() <= NARROW for t in recipe.terms)
        total -= (costs.term - costs.narrow_term) * float(narrow)
    for lookup in recipe.lookups:
        looked_up = counts[lookup.tables.any(axis=1)].sum(dtype=np.int64)
        share = float(looked_up / counts.sum(dtype=np.int64))
        if lookup.part == WHOLE_BYTE:
            total += costs.lookup * share
        elif lookup.part == SEVEN_BITS:
            total += (costs.lookup if costs.seven_bits is None else costs.seven_bits) * share
        else:
            total += costs.half_lookup * (1.0 if costs.in_groups and share else share)
    return total


def _cost_of_term(costs: Costs) -> float:
    term = costs.tile_term if costs.in_tiles and costs.tile_term is not None else costs.term
    return term + costs.plane / costs.uses


def halves_of(table: ByteArray) -> tuple[ByteArray, ByteArray] | None:
    """Tables of 16 by the low and by the high half of a byte whose sum, modulo 256, a table of 256
    is, if there are any."""
    by_halves = table.reshape(16, 16)  # high, low
    low, high = by_halves[0], by_halves[:, 0] - by_halves[0, 0]
    return (low, high) if (by_halves == high[:, None] + low).all() else None


def _by_terms(
    multiplier: Multiplier, zero_point: int, present: npt.NDArray[np.bool_], most: float
) -> Recipe | None:
    """The multiplier's separable terms, in bytes; None where there are more than ``most``."""
    factors = terms_of(multiplier)
    rows = RAW_BYTES - zero_point - ACTIVATION_MIN
    terms: list[ByteTerm] = []
    for f, g in zip(factors.activation[:, rows], factors.weight * present):
        if f.any() and g.any():
            terms += byte_terms(f, g)
        if len(terms) > most:
            return None
    return Recipe(tuple(terms), (), _NOTHING)


def _by_error(
    multiplier: Multiplier, zero_point: int, present: npt.NDArray[np.bool_]
) -> list[Recipe]:
    """The exact product as one term, and the error looked up: by the activation's byte, or, where
    it is the sum of an error for each half of the byte, by those. Such errors may be terms, too.

    Multipliers that are built of smaller ones have such errors, if activations have no sign.
    """
    w = WEIGHTS[present]
    activations = RAW_BYTES - zero_point
    exact = _in_bytes(activations[None], _spread(w, present)[None])
    error = _error(multiplier, zero_point)[present]
    lookups, constant = _byte_lookups(error, WHOLE_BYTE, present)
    recipes = [Recipe(exact, lookups, constant)]
    low, high = _halves(error)
    if _is_sum_of(error, low, high):
        recipes.append(_by_halves(exact, low, high, present))
        narrowed = _narrowed(w, 1 << _trailing_zeros(low))
        if recipes[-1].lookups and narrowed.any():
            narrow = tuple(byte_terms(activations, _spread(narrowed, present)))
            rest = error + np.outer(w - narrowed, activations)
            recipes.append(_by_halves(narrow, *_halves(rest), present))
        terms = _terms_of_halves(multiplier, zero_point)
        if terms is not None:
            recipes.append(Recipe(exact + _of_present(terms, present), (), _NOTHING))
    return recipes


@lru_cache(maxsize=256)
def _error(multiplier: Multiplier, zero_point: int) -> Int64Array:
    """What the multiplier adds to the exact product, [w + 128, byte]."""
    activations = RAW_BYTES - zero_point
    error = multiplier.table[activations - ACTIVATION_MIN].T - np.outer(WEIGHTS, activations)
    error.flags.writeable = False
    return error


def _halves(error: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Errors [weights, 16] of the low half of a byte, and what the high one adds, from errors
    [weights, byte]."""
    return error[:, :16], error[:, ::16] - error[:, :1]


def _is_sum_of(error: Int64Array, low: Int64Array, high: Int64Array) -> bool:
    return np.array_equal(error.reshape(-1, 16, 16), high[:, :, None] + low[:, None, :])


@lru_cache(maxsize=256)
def _terms_of_halves(multiplier: Multiplier, zero_point: int) -> tuple[ByteTerm, ...] | None:
    """The error as terms of halves of the activation's byte, for all weights, if it is a sum of
    errors for each half."""
    error = _error(multiplier, zero_point)
    low, high = _halves(error)
    if not _is_sum_of(error, low, high):
        return None
    byte = np.arange(256, dtype=np.int64)
    terms: tuple[ByteTerm, ...] = ()
    for half, index in ((low, byte & 15), (high, byte >> 4)):
        factors = factorise(half.T)
        terms += _in_bytes(factors.activation[:, index], factors.weight)
    return terms


def _of_present(
    terms: tuple[ByteTerm, ...], present: npt.NDArray[np.bool_]
) -> tuple[ByteTerm, ...]:
    """Terms without weights that do not occur."""
    kept = (
        replace(term, weight=np.where(present, term.weight, 0).astype(np.int8)) for term in terms
    )
    return tuple(term for term in kept if term.weight.any())


def _by_seven_bits(
    multiplier: Multiplier, zero_point: int, present: npt.NDArray[np.bool_]
) -> list[Recipe]:
    """The error looked up by seven bits of the activation's byte, and as terms what the eighth bit
    adds to it: little, where products are sums of rows."""
    recipes = []
    for highest in (0, 128):
        terms, below = _beyond_seven_bits(multiplier, zero_point, highest)
        if terms is None:
            continue
        lookups, constant = _byte_lookups(below[present], SEVEN_BITS, present)
        recipes.append(Recipe(_of_present(terms, present), lookups, constant))
    return recipes


@lru_cache(maxsize=256)
def _beyond_seven_bits(
    multiplier: Multiplier, zero_point: int, highest: int
) -> tuple[tuple[ByteTerm, ...] | None, Int64Array]:
    """The exact product, and what is added to its error where the highest bit is not ``highest``,
    as terms for all weights; and its error where it is, [w + 128, byte]. No terms where they would
    be many."""
    most = 12
    error = _error(multiplier, zero_point)
    below = error[:, np.arange(256, dtype=np.int64) & 127 | highest]
    rest = error - below
    if np.linalg.matrix_rank(rest.astype(np.float64)) > most:
        return None, below
    factors = factorise(rest.T)
    exact = byte_terms(RAW_BYTES - zero_point, WEIGHTS)
    terms = (*exact, *_in_bytes(factors.activation, factors.weight))
    return terms if len(terms) <= most else None, below


def _by_halves(
    terms: tuple[ByteTerm, ...],
    low: Int64Array,
    high: Int64Array,
    present: npt.NDArray[np.bool_],
) -> Recipe:
    """Terms, and what they leave [present w, 16] looked up by the halves of a byte."""
    lows, low_constant = _byte_lookups(low, LOW_HALF, present)
    highs, high_constant = _byte_lookups(high, HIGH_HALF, present)
    return Recipe(terms, lows + highs, low_constant + high_constant)


def _narrowed(w: Int64Array, step: int) -> Int64Array:
    """Weights of at most :data:`NARROW`, by as few steps as possible. What is taken off is a
    multiple of the unit of the errors, so that it is looked up with these."""
    beyond = np.maximum(np.abs(w) - NARROW, 0)
    return w - np.sign(w) * (-(-beyond // step) * step)


NARROW = 64
"""Products of two bytes with such weights fit a word together."""

_NOTHING = np.zeros(256, np.int64)


def _in_bytes(activation: Int64Array, weight: Int64Array) -> tuple[ByteTerm, ...]:
    """Terms [K, 256] by the activation's byte and by ``w + 128``, in bytes."""
    pairs = ((f, g) for f, g in zip(activation, weight) if f.any() and g.any())
    return tuple(term for f, g in pairs for term in byte_terms(f, g))


def _byte_lookups(
    error: Int64Array, part: int, present: npt.NDArray[np.bool_]
) -> tuple[tuple[ByteLookup, ...], Int64Array]:
    """Look-ups that add up to ``error`` [present w, byte or half] less its minimum for each w, and
    that."""
    constant = error.min(axis=1)
    rest = error - constant[:, None]
    lookups: list[ByteLookup] = []
    exponent = _trailing_zeros(rest)
    rest >>= exponent
    while rest.any():
        tables = _spread((rest & 255).astype(np.uint8), present)
        lookups.append(ByteLookup(tables, exponent, part))
        rest >>= 8
        exponent += 8
    return tuple(lookups), _spread(constant, present)


def _spread(values: npt.NDArray[Integer], present: npt.NDArray[np.bool_]) -> npt.NDArray[Integer]:
    """Values of the weights that occur in their places among all; zeros for the others."""
    spread = np.zeros((len(present), *values.shape[1:]), values.dtype)
    spread[present] = values
    return spread


def byte_terms(f: Int64Array, g: Int64Array) -> list[ByteTerm]:
    """``f(byte) * g(w)`` as terms whose tables fit unsigned and whose weights fit signed bytes."""
    shift_f, shift_g = _trailing_zeros(f), _trailing_zeros(g)
    f, g = f >> shift_f, g >> shift_g
    exponent = shift_f + shift_g
    low = ((g + 128) & 255) - 128
    high = (g - low) >> 8
    if high.any():
        shifted = high << (exponent + 8)
        parts = byte_terms(f, shifted)
        return parts + (byte_terms(f, low << exponent) if low.any() else [])
    offset = int(f.min())
    bytes_ = f - offset
    if bytes_.max() <= 255:
        return [ByteTerm(bytes_.astype(np.uint8), offset, g.astype(np.int8), exponent)]
    # The offset goes with the low byte.
    lower = ByteTerm((bytes_ & 255).astype(np.uint8), offset, g.astype(np.int8), exponent)
    return [*byte_terms(bytes_ >> 8, g << (exponent + 8)), lower]


def _trailing_zeros(values: npt.NDArray[Integer]) -> int:
    """Largest e such that 2**e divides every value; 0 where all are zero."""
    bits = int(np.bitwise_or.reduce(values, axis=None))
    return (bits & -bits).bit_length() - 1 if bits else 0


# --- layers --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plane:
    """A table that activations go through, and the weights its bytes are multiplied by."""

    table: ByteArray
    """[256] by the activation's byte."""
    weights: npt.NDArray[np.int8]
    """[filters, rows, columns, channels]."""
    exponent: int


def with_few_exponents(planes: Sequence[Plane]) -> list[Plane]:
    """The same sums, in order of falling exponent, with as few exponents as possible, because the
    kernel brings sums to memory between them.

    Where tables and weights leave bytes unused, they take over powers of two. Planes that are equal
    then become one.
    """
    used = [plane for plane in planes if plane.weights.any() and plane.table.any()]
    table_bits = [_spare_bits(plane.table, 255) for plane in used]
    weight_bits = [_spare_bits(plane.weights, 127) for plane in used]
    shared: dict[tuple[bytes, int], list[npt.NDArray[np.int8]]] = {}
    # Intervals of possible exponents, by their upper ends: the lowest of those left is an exponent.
    exponent = -1
    for k in sorted(range(len(used)), key=lambda k: used[k].exponent):
        plane = used[k]
        if plane.exponent - table_bits[k] - weight_bits[k] > exponent or exponent < 0:
            exponent = plane.exponent
        shift = plane.exponent - exponent
        in_table = max(0, shift - weight_bits[k])
        table = (plane.table << in_table).astype(np.uint8)
        weights = plane.weights.astype(np.int64) << (shift - in_table)
        places = shared.setdefault((table.tobytes(), exponent), [])
        for n, other in enumerate(places):
            total = other + weights
            if total.min() >= -128 and total.max() <= 127:
                places[n] = total.astype(np.int8)
                break
        else:
            places.append(weights.astype(np.int8))
    return [
        Plane(np.frombuffer(table, np.uint8), weights, exponent)
        for (table, exponent), several in reversed(shared.items())
        for weights in several
    ]


def _spare_bits(values: npt.NDArray[Integer], most: int) -> int:
    """By how many bits values, some not zero, can be shifted left within plus or minus ``most``."""
    times = most // int(np.abs(values.astype(np.int64)).max())  # none where a weight is -128
    return max(times, 1).bit_length() - 1


@dataclass(frozen=True, eq=False)
class LookupPlane:
    """Bytes looked up per weight."""

    tables: ByteArray
    """[tables, 256 or 16] by the activation's byte or half of it; table 0 is all zeros."""
    index: npt.NDArray[np.int32]
    """[filters, rows, columns, channels]: the table of each weight, 0 for none."""
    exponent: int
    part: int


@dataclass(frozen=True, eq=False)
class LayerRecipe:
    """A layer under a plan."""

    planes: tuple[Plane, ...]
    """In order of falling exponent."""
    lookups: tuple[LookupPlane, ...]
    bias: npt.NDArray[np.int32]
    """The layer's biases with all constants added."""


@dataclass(frozen=True, eq=False)
class LayerTables:
    """What becomes of a layer's weights, by code and value: [codes, 256] each, by ``w + 128``."""

    planes: tuple[Plane, ...]
    """Their weights are by code and value."""
    lookups: tuple[LookupPlane, ...]
    """Their indices are by code and value."""
    constant: Int64Array

    def recipe(self, layer: graph.WeightedLayer, codes: LayerCodes) -> LayerRecipe:
        """The layer's recipe: a table of each kind is indexed once."""
        at = places(layer, codes)
        return LayerRecipe(
            tuple(replace(p, weights=p.weights.reshape(-1)[at]) for p in self.planes),
            tuple(replace(p, index=p.index.reshape(-1)[at]) for p in self.lookups),
            self.bias(layer, at),
        )

    def bias(self, layer: graph.WeightedLayer, at: npt.NDArray[np.intp]) -> npt.NDArray[np.int32]:
        """The layer's biases with the constants of weights at :func:`places` added."""
        bias = layer.bias.astype(np.int64) + self.constant.reshape(-1)[at].sum(
            axis=(1, 2, 3), dtype=np.int64
        )
        # Sums are modulo 2**32, as the accumulators are.
        return ((bias + 2**31) % 2**32 - 2**31).astype(np.int32)


def places(layer: graph.WeightedLayer, codes: LayerCodes) -> npt.NDArray[np.intp]:
    """Where tables by code and value have a layer's weights, [filters, rows, columns, channels]."""
    return codes.codes.astype(np.intp) * 256 + (layer.kernel.astype(np.intp) - WEIGHT_MIN)


def layer_recipe(
    layer: graph.WeightedLayer, zero_point: int, codes: LayerCodes, costs: Costs
) -> LayerRecipe:
    """How the accumulators of ``layer`` are computed."""
    rows = len(codes.multipliers) + 1
    at = places(layer, codes).reshape(-1)
    counts = (
        np.bincount(at.astype(np.intp), minlength=rows * 256).astype(np.int64).reshape(rows, 256)
    )
    return layer_tables(codes, zero_point, counts, costs).recipe(layer, codes)


def layer_tables(
    codes: LayerCodes, zero_point: int, counts: Int64Array, costs: Costs
) -> LayerTables:
    """The tables of a layer whose weights occur so often, [codes, 256]: others may be wrong."""
    rows = len(codes.multipliers) + 1
    constant = np.zeros((rows, 256), np.int64)
    gathered: dict[tuple[bytes, int, int], npt.NDArray[np.int8]] = {}
    lookups: list[LookupPlane] = []
    for k, multiplier in enumerate(codes.multipliers, start=1):
        used = counts[k].astype(np.int64)
        recipe = recipe_of(multiplier, zero_point, used.tobytes(), costs)
        constant[k] = recipe.constant
        keys: list[tuple[bytes, int, int]] = []
        for term in recipe.terms:
            constant[k] += term.weight.astype(np.int64) * term.offset << term.exponent
            # Multipliers share planes; two equal planes of one multiplier would not fit one.
            key = (term.table.tobytes(), term.exponent, 0)
            while key in keys:
                key = (key[0], key[1], key[2] + 1)
            keys.append(key)
            gathered.setdefault(key, np.zeros((rows, 256), np.int8))[k] = term.weight
        for lookup in recipe.lookups:
            values = np.flatnonzero(lookup.tables.any(axis=1) & (used > 0))
            if len(values):
                number = np.zeros((rows, 256), np.int32)
                number[k, values] = np.arange(1, len(values) + 1, dtype=np.int32)
                none = np.zeros((1, lookup.tables.shape[1]), np.uint8)
                tables = np.concatenate([none, lookup.tables[values]])
                lookups.append(LookupPlane(tables, number, lookup.exponent, lookup.part))
    by_code = [
        Plane(np.frombuffer(table, np.uint8), np.where(counts > 0, weights, 0), exponent)
        for (table, exponent, _), weights in gathered.items()
    ]
    return LayerTables(tuple(with_few_exponents(by_code)), tuple(lookups), constant)
