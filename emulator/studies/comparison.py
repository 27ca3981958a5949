# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Accuracies with what chance does to them: intervals, and two classifiers on the same examples.

Two classifiers that are compared on the same examples are right and wrong on mostly the same ones.
Only those on which one is right and the other wrong tell them apart, so that their difference is
known far better than from two accuracies alone (Dietterich, Neural Computation 10, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError

Right = npt.NDArray[np.bool_]
"""[examples]: which were classified rightly."""

CONFIDENCE = 0.95
"""How often an interval has the true value in it."""


class Interval(NamedTuple):
    """From, to."""

    low: float
    high: float


def wilson_interval(right: int, examples: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share (Journal of the American Statistical Association 22,
    1927): the shares from which so many right ones are no surprise.

    Args:
        right: how many of the examples, 0 to ``examples``.
        examples: at least 1.
        confidence: between 0 and 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = right / examples, z * z / examples
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / examples + spread / examples / 4) / (1 + spread)
    # With none or all right one end is the share itself, but for rounding.
    low = 0.0 if right == 0 else middle - half
    high = 1.0 if right == examples else middle + half
    return Interval(low, high)


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same examples, by who is right. Here the first is what the second is
    measured against, so that the difference of their accuracies is what the second loses."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(cls, first: Right, second: Right) -> Comparison:
        """From which examples each is right on, [examples] both.

        Raises:
            DataError: there are no examples, or not as many for both.
        """
        if first.shape != second.shape or first.ndim != 1 or first.size == 0:
            raise DataError(
                "two classifiers are compared on the same examples, not on "
                f"{first.size} and {second.size}"
            )
        counted = np.bincount(2 * first.astype(np.intp) + second.astype(np.intp), minlength=4)
        neither, only_second, only_first, both = map(int, counted)
        return cls(both, only_first, only_second, neither)

    @property
    def examples(self) -> int:
        """How many."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def first_right(self) -> int:
        """Examples on which the first is right."""
        return self.both + self.only_first

    @property
    def second_right(self) -> int:
        """Examples on which the second is right."""
        return self.both + self.only_second

    @property
    def first_accuracy(self) -> float:
        """0 to 1."""
        return self.first_right / self.examples

    @property
    def second_accuracy(self) -> float:
        """0 to 1."""
        return self.second_right / self.examples

    @property
    def loss(self) -> float:
        """Accuracy of the first less that of the second, -1 to 1."""
        return (self.only_first - self.only_second) / self.examples

    def loss_interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The interval of :attr:`loss` from Wilson's intervals of both accuracies and the
        correlation of the two classifiers: Newcombe's method 10 (Statistics in Medicine 17, 1998,
        pages 2635-2650)."""
        n = self.examples
        low1, high1 = wilson_interval(self.first_right, n, confidence)
        low2, high2 = wilson_interval(self.second_right, n, confidence)
        p1, p2, phi = self.first_accuracy, self.second_accuracy, self._correlation()

        def distance(a: float, b: float) -> float:
            return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

        return Interval(
            self.loss - distance(p1 - low1, high2 - p2), self.loss + distance(high1 - p1, p2 - low2)
        )

    def _correlation(self) -> float:
        """The phi coefficient of the two, continuity-corrected as method 10 has it."""
        margins = (
            self.first_right
            * (self.only_second + self.neither)
            * self.second_right
            * (self.only_first + self.neither)
        )
        if margins == 0:
            return 0.0
        excess = float(self.both * self.neither - self.only_first * self.only_second)
        if excess > 0:
            excess = max(0.0, excess - self.examples / 2)
        return excess / math.sqrt(margins)

    def p_value(self) -> float:
        """McNemar's test, exact and two-sided (Psychometrika 12, 1947): how often two classifiers
        that are equally good would differ by as much or more, as far as they differ at all."""
        return min(1.0, 2 * self._as_few(min(self.only_first, self.only_second)))

    def p_value_ahead(self) -> float:
        """The same test, one-sided: how often the second of two equally good classifiers would be
        ahead of the first by as much or more."""
        return self._as_few(self.only_first)

    def _as_few(self, count: int) -> float:
        """How often at most so many of the examples on which they differ are one classifier's, if
        each is as likely the other's."""
        differing = self.only_first + self.only_second
        tail, term = 0, 1
        for k in range(count + 1):
            tail += term
            term = term * (differing - k) // (k + 1)
        return tail / (1 << differing)
