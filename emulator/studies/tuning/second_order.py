# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Weights chosen together: what one product gets wrong, the filter's other weights make good.

The squared error of a filter's accumulators is quadratic in its weights; its curvature is the
covariance of what the taps see. Weights are replaced one after the other, each by the one whose
approximate products come nearest to what is wanted, and the rest of the filter moves to make good
the difference (optimal brain quantisation, in the form of GPTQ: Frantar et al., ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.model.graph import DepthwiseConvolution, Int8Array, Model, WeightedLayer
from axynq.emulator.model.taps import tap_inputs
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP
from axynq.emulator.studies.tuning.weights import LOWEST, activation_rows

FloatArray = npt.NDArray[np.float64]

DAMPING = 0.01
"""Of the curvature's diagonal, relative to its mean: taps that hardly vary are not relied upon."""


SAMPLES = 1 << 14
"""Positions, over all images, that a covariance is computed from."""


STEPS = 8
"""Wanted weights are told apart down to this part of an integer step, where a scale is chosen."""

LIMIT = 512
"""Wanted weights, in integer steps; further from 0, all have the same integer."""


class Curvature(NamedTuple):
    """How taps vary together."""

    order: npt.NDArray[np.int64]
    """Taps in the order in which they are replaced: those that vary most come first."""
    factor: FloatArray
    """Upper Cholesky factor of the inverse of the damped covariance, in that order."""


class Linear(NamedTuple):
    """A multiplier as a line per weight: ``m(a, w) = value(w) * a + constant + noise``."""

    value: FloatArray
    """[256] by ``w + 128``."""
    noise: FloatArray
    """[256]: variance of the noise."""


def curvatures(model: Model, layer: WeightedLayer, x: Int8Array) -> list[Curvature]:
    """The curvature of a layer's filters: one for all, or of a depthwise layer one per filter.

    ``x`` are the layer's inputs, int8 [images, *shape].
    """
    seen = [v.reshape(-1, v.shape[-1]) for _, v in tap_inputs(model, layer, x)]
    places = evenly_spread(len(seen[0]), SAMPLES)
    stacked = np.stack([v[places] for v in seen], axis=1).astype(np.float32)
    if isinstance(layer, DepthwiseConvolution):
        channels = stacked.shape[-1]
        each = len(layer.bias) // channels
        return [_curvature(stacked[..., c]) for c in range(channels) for _ in range(each)]
    return [_curvature(stacked.reshape(len(stacked), -1))]


def _curvature(samples: npt.NDArray[np.float32]) -> Curvature:
    """Of samples [positions, taps]."""
    centred = samples - samples.mean(axis=0)
    covariance = (centred.T @ centred).astype(np.float64) / len(samples)
    diagonal = np.diag(covariance)
    damped = covariance + np.eye(len(covariance)) * max(DAMPING * float(diagonal.mean()), 1e-6)
    order = np.argsort(-diagonal, kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    return Curvature(order, np.linalg.cholesky((inverse + inverse.T) / 2).T)


def linear(multiplier: Multiplier, zero_point: int, shares: FloatArray) -> Linear:
    """The best line for each weight, for activations that occur as ``shares`` [256] says."""
    p = shares / shares.sum()
    a = (np.arange(-128, 128) - zero_point).astype(np.float64)
    products = multiplier.table[activation_rows(zero_point)].astype(np.float64)
    centred = a - p @ a
    variance = p @ centred**2
    deviation = products - p @ products
    value = (p * centred) @ deviation / max(variance, 1e-9)
    noise = p @ (deviation - centred[:, None] * value) ** 2
    return Linear(value, noise)


class Nearest(NamedTuple):
    """What a multiplier's weights nearest to wanted values amount to, by :data:`STEPS`."""

    value: FloatArray
    noise: FloatArray

    def of(self, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Value and noise for wanted values."""
        middle = len(self.value) // 2
        place = np.rint(wanted * STEPS).astype(np.int64) + middle
        place = place.clip(0, len(self.value) - 1)
        return self.value[place], self.noise[place]


def nearest(line: Linear, variance: float, lowest: int) -> Nearest:
    """For activations of so much variance."""
    wanted = np.arange(-LIMIT * STEPS, LIMIT * STEPS + 1) / STEPS
    places = nearest_weights(line, wanted, variance, lowest) + 128
    return Nearest(line.value[places], line.noise[places])


def nearest_weights(
    line: Linear, wanted: FloatArray, variance: float, lowest: int
) -> npt.NDArray[np.int64]:
    """For each wanted value the weight, from ``lowest`` on, whose line comes nearest to it for
    activations of so much variance."""
    value, noise = line.value[lowest + 128 :], line.noise[lowest + 128 :]
    cost = (wanted[:, None] - value) ** 2 * max(variance, 1e-6) + noise
    return cost.argmin(axis=1) + lowest


def second_order_weights(
    kernel: FloatArray | Int8Array,
    codes: npt.NDArray[np.uint8],
    lines: Sequence[Linear],
    curvature_of: Sequence[Curvature],
    lowest: int = LOWEST,
) -> Int8Array:
    """Weights for a layer whose products come near those of other weights.

    Args:
        kernel: the weights that are wanted, in integer steps [filters, rows, columns, channels].
        codes: their multipliers, of the same shape; 0 skips.
        lines: of each multiplier, the first for code 1.
        curvature_of: what :func:`curvatures` gives.
        lowest: no weight is below it.
    """
    filters = len(kernel)
    wanted = kernel.reshape(filters, -1).astype(np.float64)
    chosen_codes = codes.reshape(filters, -1)
    if len(curvature_of) == 1:
        parts = [_replace(wanted, chosen_codes, lines, curvature_of[0], lowest)]
    else:
        parts = [
            _replace(wanted[f : f + 1], chosen_codes[f : f + 1], lines, curvature_of[f], lowest)
            for f in range(filters)
        ]
    return np.concatenate(parts).reshape(kernel.shape)


def _replace(
    kernel: FloatArray,
    codes: npt.NDArray[np.uint8],
    lines: Sequence[Linear],
    curvature: Curvature,
    lowest: int,
) -> Int8Array:
    """Filters [filters, taps] that share a curvature."""
    order, factor = curvature
    wanted = kernel[:, order]
    code = codes[:, order]
    replaced = np.zeros(kernel.shape, np.int8)
    candidates = np.arange(lowest, 128)
    offered = [(values[lowest + 128 :], noise[lowest + 128 :]) for values, noise in lines]
    for tap in range(kernel.shape[1]):
        target = wanted[:, tap]
        value = np.zeros(len(kernel))
        for k, (values, noise) in enumerate(offered, start=1):
            mine = np.flatnonzero(code[:, tap] == k)
            if len(mine) == 0:
                continue
            cost = values - target[mine, None]
            np.square(cost, out=cost)
            cost /= factor[tap, tap] ** 2
            cost += noise
            choice = cost.argmin(axis=1)
            best = cost[np.arange(len(mine)), choice][:, None]
            # Equally good weights: the one nearest to what is wanted.
            good = cost <= best * (1 + 1e-9) + 1e-9
            tied = np.flatnonzero(np.count_nonzero(good, axis=1) > 1)
            if len(tied):
                away = np.abs(candidates - target[mine[tied], None])
                choice[tied] = np.where(good[tied], away, np.inf).argmin(axis=1)
            replaced[mine, order[tap]] = candidates[choice]
            value[mine] = values[choice]
        skipped = code[:, tap] == SKIP
        replaced[skipped, order[tap]] = _nearest(kernel[skipped, order[tap]], lowest)
        error = (target - value) / factor[tap, tap]
        wanted[:, tap + 1 :] -= error[:, None] * factor[tap, tap + 1 :]
    return replaced


def _nearest(wanted: FloatArray, lowest: int) -> Int8Array:
    return np.rint(np.clip(wanted, lowest, 127)).astype(np.int8)
