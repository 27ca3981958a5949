# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Candidates of a search, and which of them nothing else beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from axynq.emulator.plan import Plan
from axynq.emulator.studies.search.space import Level

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A plan and what is known of it."""

    level: Level
    plan: Plan
    key: str
    """Of what the plan means (:func:`axynq.emulator.keys.plan_key`)."""
    energy: float
    """Relative to exact multipliers everywhere."""
    accuracy: float
    """Share of right classifications."""
    cycles: float | None = None
    """What the cycles function says, where one was given."""


def objectives(candidate: Candidate) -> tuple[float, ...]:
    """What is minimised."""
    cycles = () if candidate.cycles is None else (candidate.cycles,)
    return (-candidate.accuracy, candidate.energy, *cycles)


def pareto_front(
    items: Sequence[T], values: Callable[[T], tuple[float, ...]], margin: float = 0.0
) -> list[T]:
    """Items that no other is at least as good as in every value and better in one.

    Of items with equal values the first is kept. With a ``margin`` an item must be beaten by more
    than that in its first value to be left out. Sorted by the second value.
    """
    ranked = sorted(enumerate(items), key=lambda pair: (values(pair[1]), pair[0]))
    front: list[tuple[tuple[float, ...], T]] = []
    for _, item in ranked:
        own = values(item)
        beaten = any(
            other[0] + margin <= own[0] and all(a <= b for a, b in zip(other[1:], own[1:]))
            for other, _ in front
        )
        if not beaten:
            front.append((own, item))
    return [item for _, item in sorted(front, key=lambda pair: pair[0][1])]
