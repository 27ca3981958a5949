# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From samples to joules: integration, idle power, intervals.

A run's energy is the trapezoidal integral of a rail's samples over the run. What idling would have
cost is the mean power of the idle stretches on both sides times the run's length. A contender's
energy per inference is the mean over its runs, with a Student t interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LARGEST_GAP = 0.25
"""A stretch without a reading for more than this share of its length does not count."""

CONFIDENCE = 0.95

_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t for a two-sided 95 % interval, from 1 degree of freedom."""

FloatArray = npt.NDArray[np.float64]


class Trace(NamedTuple):
    """A rail over time."""

    time: FloatArray
    """Seconds, rising."""
    watts: FloatArray


class Figure(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    half_width: float
    """Of the interval; infinite for a single run."""
    runs: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width


def trace(time: Sequence[float], watts: Sequence[float]) -> Trace:
    """Samples in order of time; of several at one time the last counts."""
    times, values = np.asarray(time, np.float64), np.asarray(watts, np.float64)
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.append(np.diff(times) > 0, True) if len(times) else np.zeros(0, bool)
    return Trace(times[last], values[last])


def integral(samples: Trace, start: float, end: float, settle: float = 0.0) -> float | None:
    """Joules from ``start`` to ``end``, or None where readings are too far apart.

    Between readings power is taken to change in a straight line. Power jumps where a slot begins
    and ends, so readings from outside do not count: the first and the last inside hold to the ends.
    Readings within ``settle`` seconds of the start are left out, for sensors that average.
    """
    settled = start + settle
    if not end > settled:
        return None
    inside = (samples.time >= settled) & (samples.time <= end)
    time, watts = samples.time[inside], samples.watts[inside]
    edges = np.concatenate([[settled], time, [end]])
    if len(time) < 2 or np.diff(edges).max() > LARGEST_GAP * (end - settled):
        return None
    values = np.concatenate([watts[:1], watts, watts[-1:]])
    joules = float((np.diff(edges) * (values[:-1] + values[1:]) / 2).sum())
    return joules * (end - start) / (end - settled)


def mean_power(samples: Trace, start: float, end: float, settle: float = 0.0) -> float | None:
    """Watts from ``start`` to ``end``, or None where readings are too far apart."""
    joules = integral(samples, start, end, settle)
    return None if joules is None else joules / (end - start)


def figure(values: Sequence[float], covariance: float = 0.0) -> Figure:
    """Mean and interval of repeated measurements, at least one.

    ``covariance`` is the sum over all pairs of them. It widens the interval twice over: the mean of
    what varies together varies more, and their spread shows less of it.
    """
    count = len(values)
    if count == 1:
        return Figure(float(values[0]), math.inf, 1)
    degrees = count - 1
    t = _T975[degrees - 1] if degrees <= len(_T975) else _beyond_table(degrees)
    variance = float(np.var(values, ddof=1)) / count + 2 * covariance / (count * degrees)
    return Figure(float(np.mean(values)), t * math.sqrt(max(0.0, variance)), count)


def _beyond_table(degrees: int) -> float:
    """Student's t from many degrees of freedom, by its expansion about the normal quantile."""
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees)
