# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What of a family of multipliers is worth searching: those that no other beats.

A family has thousands of members. One is left out where another has no more energy and no larger
*error*, and less of one of them. The error is what matters once weights have been chosen to suit
the multiplier, so not ``m(a, w) - a * w``: a multiplier is a line per weight and noise around it,
``m(a, w') = value(w') * a + constant + noise(w')``
(:func:`axynq.emulator.studies.tuning.second_order.linear`), and what counts is how near one of its
slopes comes to what is wanted, and how noisy that line is. For a weight ``w`` of a layer

    error(w) = min over w' of curvature * (value(w') - w)**2 + noise(w')

is the mean square of what the product adds to the accumulator. The curvature is the variance of the
activations or, where the weights of a filter are chosen together, what the other weights leave of
it. Without compensation of mean errors their square is added; without a rule for weights,
``w' = w``. A layer's error is the mean over its weights relative to the power of their products
(``variance * w**2``), a network's the mean over layers, each as often as it multiplies. Where a
rule chooses scales of weights too, errors are those in the scales that the network has.

Energies of netlists take time to measure. Rounding further up, or leaving out a partial product,
leaves a ROUP multiplier less to do, so that what has been measured bounds what has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import PlanError
from axynq.emulator.model.graph import WeightedLayer
from axynq.emulator.multipliers import WEIGHT_MAX, WEIGHT_MIN, Multiplier, Roup
from axynq.emulator.multipliers.roup import DIGITS, MAX_ROUNDING, booth_digit, round_half_up
from axynq.emulator.studies.tuning.second_order import FloatArray, linear
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.emulator.studies.tuning.weights import LOWEST, activation_rows

WANTED = 48
"""Weights of a layer that the error is the mean over: one of each of so many equal parts, from
the smallest to the largest."""

AT_A_TIME = 128
"""Multipliers whose costs fit a processor's cache together."""

NEGLIGIBLE = 1e-4
"""Relative errors below are equal: rounding to int8 adds as much to a normal variable of which
eight standard deviations are in range, ``(8 / 256)**2 / 12``."""

TOLERANCE = 0.002
"""Energies of ROUP multipliers that leave more out were higher by 0.001 of the exact multiplier's
at most."""

KEPT = 24
"""Members that are kept at most, by default."""

Energies = Callable[[Multiplier], "float | None"]
"""The relative energy of a multiplier, or None where none is known."""


class Fit(NamedTuple):
    """Multipliers as lines, each [multipliers, 256] by ``w + 128``."""

    value: FloatArray
    """Slopes."""
    noise: FloatArray
    """Mean square of what is not on the line."""
    mean: FloatArray
    """Mean products."""


@dataclass(frozen=True)
class Member:
    """A multiplier, with what it is judged by."""

    multiplier: Multiplier
    energy: float
    """Relative to the exact multiplier's."""
    error: float
    """Relative to the power of the products; :data:`NEGLIGIBLE` at least."""


@dataclass(frozen=True)
class Reduction:
    """What is left of a family."""

    kept: tuple[Member, ...]
    """By falling energy."""
    members: int
    """Of the family."""
    unbeaten: int
    """Members that no other beats, of which those kept are a selection."""
    measured: int
    """Members whose energies were looked at."""


def reduce_family(
    multipliers: Sequence[Multiplier],
    tuner: Tuner,
    energy: Energies,
    count: int = KEPT,
    advance: Callable[[], None] = lambda: None,
) -> Reduction:
    """The members of a family that a search for a network should choose from.

    Args:
        multipliers: the family, each of another function.
        tuner: what adapts the network, and knows its activations.
        energy: gives relative energies; members without one are left out.
        count: keep so many at most.
        advance: called after each look at an energy.

    Raises:
        PlanError: no member has an energy.
    """
    errors = np.maximum(relative_errors(multipliers, tuner), NEGLIGIBLE)
    energies = _energies(multipliers, errors, energy, advance)
    known = np.flatnonzero(~np.isnan(energies))
    if len(known) == 0:
        raise PlanError(
            "there is no energy figure for any member of the family: add them to a file for "
            "--energy"
        )
    found = [Member(multipliers[k], float(energies[k]), float(errors[k])) for k in known]
    front = unbeaten(found)
    return Reduction(tuple(thinned(front, count)), len(multipliers), len(front), len(known))


def unbeaten(found: Iterable[Member]) -> list[Member]:
    """Members than which no other has as little of both energy and error, by falling energy. Of
    equal ones the first is kept."""
    front: list[Member] = []
    for member in sorted(found, key=lambda m: (m.energy, m.error)):
        if not front or member.error < front[-1].error:
            front.append(member)
    return front[::-1]


def thinned(front: Sequence[Member], count: int) -> list[Member]:
    """So many of a front at most: again and again the one is left out without which the least is
    lost of the area between energies and logarithms of errors (the hypervolume contribution, as
    in SMS-EMOA: Beume, Naujoks and Emmerich, European Journal of Operational Research 181, 2007).
    Both ends stay."""
    kept = list(front)
    while len(kept) > max(count, 2):
        lost = [
            (before.energy - own.energy) * np.log(after.error / own.error)
            for before, own, after in zip(kept, kept[1:], kept[2:])
        ]
        del kept[1 + int(np.argmin(lost))]
    return kept[: max(count, 0)]


# --- errors --------------------------------------------------------------------------------------


def relative_errors(multipliers: Sequence[Multiplier], tuner: Tuner) -> FloatArray:
    """The error of each multiplier in a network, as this module defines it, [multipliers], to six
    digits: sums may differ in their last bits from run to run, and a search must not."""
    model = tuner.model
    total = np.zeros(len(multipliers))
    weight = 0.0
    for layer in model.layers:
        relative = _layer_errors(multipliers, tuner, layer)
        if relative is not None:
            total += model.multiplications(layer) * relative
            weight += model.multiplications(layer)
    return np.array([float(f"{error:.6g}") for error in total / max(weight, 1)])


def _layer_errors(
    multipliers: Sequence[Multiplier], tuner: Tuner, layer: WeightedLayer
) -> FloatArray | None:
    """Of one layer; None where its products are constant."""
    zero_point = tuner.model.tensors[layer.inputs[0]].zero_point
    shares = tuner.shares(layer)
    p = shares / shares.sum()
    a = (np.arange(-128, 128) - zero_point).astype(np.float64)
    mean = float(p @ a)
    variance = float(p @ (a - mean) ** 2)
    weights = np.sort(layer.kernel.reshape(-1)).astype(np.int64)
    power = variance * float((weights.astype(np.float64) ** 2).mean())
    if power == 0:
        return None
    left = tuner.left_over(layer)
    curvature = variance if left is None else float(left.mean())
    count = min(WANTED, len(weights))
    # In the middle of equal parts: the ends stand for no more than others.
    wanted = weights[(2 * np.arange(count, dtype=np.int64) + 1) * len(weights) // (2 * count)]
    fit = lines(multipliers, zero_point, p)
    if tuner.weights == "none":
        candidates = None
    else:
        candidates = np.arange(min(LOWEST, int(weights[0])), WEIGHT_MAX + 1) - WEIGHT_MIN
    errors = np.zeros(len(multipliers))
    for first in range(0, len(multipliers), AT_A_TIME):
        part = slice(first, first + AT_A_TIME)
        value, noise, means = (of_all[part] for of_all in fit)
        for w in wanted:
            chosen = np.array([w - WEIGHT_MIN], np.int64) if candidates is None else candidates
            cost = value[:, chosen] - w
            np.square(cost, out=cost)
            cost *= curvature
            cost += noise[:, chosen]
            if not tuner.compensate:
                cost += (means[:, chosen] - w * mean) ** 2
            errors[part] += cost.min(axis=1)
    return errors / len(wanted) / power


def lines(multipliers: Sequence[Multiplier], zero_point: int, shares: FloatArray) -> Fit:
    """Each multiplier's lines, as :func:`linear` finds them, for activations that occur as
    ``shares`` [256] says. Those of ROUP multipliers come from their few rounded activations, which
    takes a hundredth of the time."""
    p = shares / shares.sum()
    count = len(multipliers)
    fit = Fit(np.zeros((count, 256)), np.zeros((count, 256)), np.zeros((count, 256)))
    roup = [k for k, m in enumerate(multipliers) if isinstance(m, Roup)]
    made = _roup_lines([m for m in multipliers if isinstance(m, Roup)], zero_point, p)
    for whole, part in zip(fit, made):
        whole[roup] = part
    for k, m in enumerate(multipliers):
        if not isinstance(m, Roup):
            fit.value[k], fit.noise[k] = linear(m, zero_point, p)
            fit.mean[k] = p @ m.table[activation_rows(zero_point)].astype(np.float64)
    return fit


def _roup_lines(multipliers: Sequence[Roup], zero_point: int, p: FloatArray) -> Fit:
    """With ``m = sum over j of f_j(a) * g_j(w)``, slopes and means are sums of the slopes and
    means of ``f_j``, and the noise is a quadratic form in their covariance beside the line."""
    a = np.arange(-128, 128) - zero_point
    rounded = np.stack([round_half_up(a, r) * 2**r for r in range(MAX_ROUNDING + 1)])
    f = rounded.astype(np.float64)
    means = f @ p
    centred = a - p @ a
    variance = p @ centred**2
    beside = f - means[:, None]
    slopes = beside @ (p * centred) / max(variance, 1e-9)
    beside -= slopes[:, None] * centred
    covariance = (beside * p) @ beside.T
    w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1)
    g = np.stack([booth_digit(w, j) * 4**j for j in range(DIGITS)]).astype(np.float64)
    pairs = (g[:, None] * g[None, :]).reshape(DIGITS * DIGITS, -1)
    rounding = np.array([m.rounding for m in multipliers], np.int64).reshape(-1, DIGITS)
    dropped = np.array([m.perforation for m in multipliers], np.int64)
    kept = (np.arange(DIGITS) >= dropped[:, None]).astype(np.float64)
    both = kept[:, :, None] * kept[:, None, :] * covariance[rounding[:, :, None], rounding[:, None]]
    return Fit(
        (slopes[rounding] * kept) @ g,
        both.reshape(-1, DIGITS * DIGITS) @ pairs,
        (means[rounding] * kept) @ g,
    )


# --- energies ------------------------------------------------------------------------------------


def _energies(
    multipliers: Sequence[Multiplier],
    errors: FloatArray,
    energy: Energies,
    advance: Callable[[], None],
) -> FloatArray:
    """Relative energies [multipliers]; NaN where one is not known, or where the multiplier is
    beaten whatever it is."""
    energies = np.full(len(multipliers), np.nan)
    out = np.array([_left_out(m) for m in multipliers], np.int64).reshape(-1, DIGITS)
    known: list[int] = []
    # What leaves most out has the least energy, roughly: it bounds the others.
    for k in np.argsort(-out.sum(axis=1), kind="stable"):
        if isinstance(multipliers[k], Roup) and _is_beaten(
            out[k], errors[k], out[known], errors[known], energies[known]
        ):
            continue
        found = energy(multipliers[k])
        if found is not None:
            energies[k] = found
            known.append(int(k))
        advance()
    return energies


def _left_out(m: Multiplier) -> list[int]:
    """Of each partial product the bits that are left out; all of one that is dropped."""
    if not isinstance(m, Roup):
        return [-1] * DIGITS  # nothing follows for others
    return [
        MAX_ROUNDING + 1 if j < m.perforation else r for j, r in enumerate(m.rounding)
    ]  # fmt: skip


def _is_beaten(
    out: npt.NDArray[np.int64],
    error: float,
    known_out: npt.NDArray[np.int64],
    known_errors: FloatArray,
    known_energies: FloatArray,
) -> bool:
    """Whether a known multiplier of no larger error has less energy than one at least has that
    leaves out what ``out`` says."""
    less_to_do = (known_out >= out).all(axis=1)
    better = known_errors <= error
    if not less_to_do.any() or not better.any():
        return False
    least = float(known_energies[less_to_do].max()) - TOLERANCE
    return bool(known_energies[better].min() <= least)
