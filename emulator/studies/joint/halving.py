# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which candidates go on to the next round: those that no other beats with confidence.

After successive halving (Jamieson and Talwalkar, AISTATS 2016), but what is dropped is decided by
a test on held-out examples, not by a number: candidates of other energies are no rivals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.studies.comparison import Comparison, Right
from axynq.emulator.studies.search.front import Candidate, objectives, pareto_front

DOUBT = 0.05
"""A candidate is beaten if the other's lead is less probable than this by chance (McNemar's exact
test, one-sided)."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A candidate and how it did on the held-out examples."""

    candidate: Candidate
    """With the accuracy there."""
    right: Right
    """[examples]: which were classified rightly."""


@dataclass(frozen=True, eq=False)
class Dropped:
    """A candidate that does not go on."""

    contender: Contender
    by: Contender


def beats(one: Contender, other: Contender) -> bool:
    """Whether ``one`` costs no more than ``other`` and is more accurate with confidence."""
    costs, others = objectives(one.candidate)[1:], objectives(other.candidate)[1:]
    if any(a > b for a, b in zip(costs, others)):
        return False
    return Comparison.of(other.right, one.right).p_value_ahead() < DOUBT


def separated(contenders: Sequence[Contender]) -> tuple[list[Contender], list[Dropped]]:
    """Those that go on, and those that another of them beats."""
    kept, dropped = [], []
    for contender in contenders:
        by = [other for other in contenders if beats(other, contender)]
        if by:
            best = max(by, key=lambda other: other.candidate.accuracy)
            dropped.append(Dropped(contender, best))
        else:
            kept.append(contender)
    return kept, dropped


def spread(contenders: Sequence[Contender], count: int) -> list[Contender]:
    """So many at most: those of the front first, evenly spread over its energies; then, evenly
    spread, those that are close to it. By energy."""
    front = pareto_front(contenders, lambda contender: objectives(contender.candidate))
    others = sorted(
        (c for c in contenders if c not in front), key=lambda c: objectives(c.candidate)[1]
    )
    chosen = [front[k] for k in evenly_spread(len(front), count)]
    chosen += [others[k] for k in evenly_spread(len(others), max(0, count - len(chosen)))]
    return sorted(chosen, key=lambda c: objectives(c.candidate)[1])
