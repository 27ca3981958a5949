# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Intervals and tests against published figures, brute force, and chance itself."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator.errors import DataError
from axynq.emulator.studies.comparison import Comparison, wilson_interval

counts = st.integers(0, 400)
comparisons = st.builds(Comparison, counts, counts, counts, counts).filter(lambda c: c.examples)


@pytest.mark.parametrize(
    ("right", "examples", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), pages 857-872, Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_of_the_literature(right: int, examples: int, low, high) -> None:
    assert wilson_interval(right, examples) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson_interval(examples - right, examples)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


@given(st.integers(1, 2000), st.data())
def test_wilson_ends_are_what_the_score_test_just_accepts(examples: int, data) -> None:
    right = data.draw(st.integers(0, examples))
    share = right / examples
    low, high = wilson_interval(right, examples)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            score = (share - end) / math.sqrt(end * (1 - end) / examples)
            assert abs(score) == pytest.approx(1.959964, abs=1e-4)


def test_newcombe_interval_of_the_literature() -> None:
    """Airway hyper-responsiveness before and after a transplantation (Bentur et al. 2009), as in
    Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014), pages 2850-2875."""
    found = Comparison(both=1, only_first=1, only_second=7, neither=12)
    assert found.loss == pytest.approx(-6 / 21)
    assert found.loss_interval() == pytest.approx((-0.507, -0.026), abs=5e-4)
    assert found.p_value() == pytest.approx(0.0703, abs=5e-5)


@given(comparisons)
def test_intervals_hold_the_loss_and_turn_with_it(c: Comparison) -> None:
    low, high = c.loss_interval()
    assert -1 - 1e-12 <= low <= c.loss <= high <= 1 + 1e-12
    assert c.loss == pytest.approx(c.first_accuracy - c.second_accuracy)
    turned = Comparison(c.both, c.only_second, c.only_first, c.neither)
    assert turned.loss_interval() == pytest.approx((-high, -low))
    assert turned.p_value() == c.p_value()
    wide = c.loss_interval(0.99)
    assert wide.low <= low
    assert high <= wide.high


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_counts_coins(first: int, second: int) -> None:
    """Each example on which the two differ is a coin."""
    n = first + second
    chance = [Fraction(math.comb(n, k), 2**n) for k in range(n + 1)]
    expected = sum(chance[k] for k in range(n + 1) if abs(2 * k - n) >= abs(first - second))
    found = Comparison(5, first, second, 7).p_value()
    assert found == pytest.approx(float(expected), rel=1e-12)
    ahead = Comparison(5, first, second, 7).p_value_ahead()
    assert ahead == pytest.approx(float(sum(chance[second:])), rel=1e-12)


def test_mcnemar_of_thousands() -> None:
    assert Comparison(0, 5000, 5000, 0).p_value() == 1
    assert Comparison(0, 6000, 4000, 0).p_value() < 1e-80
    assert Comparison(9000, 0, 0, 1000).p_value() == 1
    assert Comparison(0, 4000, 6000, 0).p_value_ahead() < 1e-80
    assert Comparison(0, 6000, 4000, 0).p_value_ahead() == pytest.approx(1)
    assert Comparison(9000, 0, 0, 1000).p_value_ahead() == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_counts(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    found = Comparison.of(first, second)
    assert found.both == pairs.count((True, True))
    assert found.only_first == pairs.count((True, False))
    assert found.only_second == pairs.count((False, True))
    assert found.neither == pairs.count((False, False))
    assert found.first_accuracy == first.mean()
    assert found.second_accuracy == second.mean()


def test_other_examples_are_refused() -> None:
    for sizes in ((3, 4), (0, 0)):
        first, second = (np.ones(size, bool) for size in sizes)
        with pytest.raises(DataError, match="on the same examples, not on"):
            Comparison.of(first, second)


@pytest.mark.parametrize("shares", [(0.80, 0.04, 0.03, 0.13), (0.84, 0.010, 0.002, 0.148)])
def test_95_of_100_intervals_hold_the_true_loss(shares: tuple[float, ...]) -> None:
    """As networks differ: most examples are common to both."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(1000, shares, size=3000)
    truth = shares[1] - shares[2]
    held = 0
    for row in drawn:
        low, high = Comparison(*map(int, row)).loss_interval()
        held += low <= truth <= high
    assert 0.935 <= held / len(drawn) <= 0.985
