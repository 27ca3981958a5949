# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What range of real numbers a tensor's int8 values are to represent, by calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Quantisation
from axynq.emulator.quantisation import forward
from axynq.emulator.quantisation.float_network import FloatArray, FloatNetwork

RangeRule = Literal["min-max", "percentile", "least-error"]
"""All values; a share of them; the range with the least mean squared error."""

Range = tuple[float, float]

BINS = 4096


@dataclass
class Statistics:
    """What calibration inputs made of a network's tensors."""

    ranges: dict[int, Range] = field(default_factory=dict)
    """By tensor."""
    means: dict[int, FloatArray] = field(default_factory=dict)
    """The mean over the images, [1, *shape], of tensors that were asked for."""


def batches(
    network: FloatNetwork,
    x: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[int, npt.ArrayLike],
    images: int,
) -> Iterator[dict[int, FloatArray]]:
    """Inputs by tensor, so many images at a time.

    Raises:
        DataError: there are none, or one is not finite.
        ModelError: an input is missing or has another shape.
    """
    given = network.batch(x)
    count = min(len(value) for value in given.values())
    if count == 0:
        raise DataError("quantisation needs at least one calibration input")
    for start in range(0, count, images):
        yield {index: value[start : start + images] for index, value in given.items()}


def collected(
    network: FloatNetwork,
    x: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[int, npt.ArrayLike],
    rule: RangeRule,
    percentile: float,
    mean_of: frozenset[int],
    images: int,
    advance: Callable[[int], None],
) -> Statistics:
    """The range of every tensor under a rule, and the means of some; inputs keep all their values.

    Raises:
        DataError: there are no inputs, or a tensor gets values that are not finite.
    """
    lows: dict[int, float] = {}
    highs: dict[int, float] = {}
    totals: dict[int, npt.NDArray[np.float64]] = {}
    count = 0

    def bounds(index: int, values: FloatArray) -> None:
        low, high = float(values.min()), float(values.max())
        # The sides of padding with the smallest number do not matter.
        if not np.isfinite(high) or np.isnan(low):
            name = network.tensors[index].name
            raise DataError(
                f"tensor '{name}' gets values that are not finite: check the calibration inputs "
                "and the network's weights"
            )
        if low == -np.inf:
            low = float(values[np.isfinite(values)].min(initial=high))
        lows[index] = min(lows.get(index, low), low)
        highs[index] = max(highs.get(index, high), high)
        if index in mean_of:
            total = values.sum(axis=0, dtype=np.float64, keepdims=True)
            totals[index] = totals.get(index, np.zeros_like(total)) + total

    for part in batches(network, x, images):
        forward.run(network, part, network.outputs, bounds)
        size = len(next(iter(part.values())))
        count += size
        advance(size)
    ranges = {index: (lows[index], highs[index]) for index in lows}
    means = {index: (total / count).astype(np.float32) for index, total in totals.items()}
    if rule == "min-max" or (rule == "percentile" and percentile >= 100):
        return Statistics(ranges, means)
    counts = {index: np.zeros(BINS, np.int64) for index in ranges}

    def histogram(index: int, values: FloatArray) -> None:
        found, _ = np.histogram(values, BINS, _wide(ranges[index]))
        counts[index] += found

    for part in batches(network, x, images):
        forward.run(network, part, network.outputs, histogram)
        advance(len(next(iter(part.values()))))
    for index in set(ranges) - set(network.inputs):
        if rule == "percentile":
            ranges[index] = _percentile(counts[index], ranges[index], percentile)
        else:
            ranges[index] = _least_error(counts[index], ranges[index])
    return Statistics(ranges, means)


def quantisation(low: float, high: float) -> Quantisation:
    """Scale and zero point for ``low..high``, widened to contain 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        high = low + 1.0
    # Anything smaller is no range to be told from 0.
    scale = max(float(np.float32((high - low) / 255)), 1e-20)
    return Quantisation(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def _wide(bounds: Range) -> Range:
    return bounds if bounds[1] > bounds[0] else (bounds[0] - 0.5, bounds[0] + 0.5)


def _percentile(counts: npt.NDArray[np.int64], bounds: Range, percentile: float) -> Range:
    low, high = _wide(bounds)
    below = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    edges = np.linspace(low, high, BINS + 1)
    outside = 1 - percentile / 100
    found = (np.interp(outside, below, edges), np.interp(1 - outside, below, edges))
    return max(float(found[0]), bounds[0]), min(float(found[1]), bounds[1])


def _least_error(counts: npt.NDArray[np.int64], bounds: Range) -> Range:
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    start, end = _wide(bounds)
    middles = start + (np.arange(BINS) + 0.5) * (end - start) / BINS

    def error(bottom: float, top: float) -> float:
        """Of values that are rounded inside the range and limited outside."""
        step = (top - bottom) / 255
        outside = middles - np.clip(middles, bottom, top)
        each = np.where(outside == 0, step**2 / 12, outside**2)
        return float((counts * each).sum())

    shares = np.linspace(1, 0.1, 46)
    best = (low, high)
    for _ in range(3):
        best = min(((low * s, best[1]) for s in shares), key=lambda r: error(*r))
        best = min(((best[0], high * s) for s in shares), key=lambda r: error(*r))
    both = min(((low * s, high * s) for s in shares), key=lambda r: error(*r))
    return min(best, both, key=lambda r: error(*r))
