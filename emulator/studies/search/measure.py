# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Accuracies from a store, and from workers where the store has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from axynq.emulator.keys import plan_key
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import Right
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import Workers


def ignore(computed: int) -> None:
    """The progress of those who do not want to know."""


class Measure:
    """Measures plans of one network on one set of examples; nothing is measured twice.

    Args:
        model: the network.
        examples: how many examples the workers have.
        workers: who evaluates.
        store: where results are written, each as soon as it is known.
        advance: called for each result, with 1 where it was computed and 0 where it was stored.
    """

    def __init__(
        self,
        model: Model,
        examples: int,
        workers: Workers,
        store: Store,
        advance: Callable[[int], None] = ignore,
    ) -> None:
        self.model = model
        self.examples = examples
        self.workers = workers
        self.store = store
        self.advance = advance
        self.computed = 0
        """Plans evaluated, not found in the store."""

    def keys(self, plans: Sequence[Plan]) -> list[str]:
        """What each plan means for the network."""
        return [plan_key(plan.expand(self.model)) for plan in plans]

    def accuracies(self, plans: Sequence[Plan]) -> list[float]:
        """The share of examples classified rightly under each plan."""
        keys = self.keys(plans)
        known = self.store.get(self.workers.context, keys)
        found = self._missing(plans, keys, known)
        known |= {key: int(right.sum()) for key, right in found.items()}
        return [known[key] / self.examples for key in keys]

    def right(self, plans: Sequence[Plan]) -> list[Right]:
        """Which examples are classified rightly under each plan, [examples] each."""
        keys = self.keys(plans)
        known = self.store.right(self.workers.context, keys, self.examples)
        known |= self._missing(plans, keys, known)
        return [known[key] for key in keys]

    def _missing(
        self, plans: Sequence[Plan], keys: Sequence[str], known: Mapping[str, object]
    ) -> dict[str, Right]:
        """Evaluates what is not known, and writes it down."""
        missing = {key: plan for key, plan in zip(keys, plans) if key not in known}
        names = list(missing)
        found: dict[str, Right] = {}

        def done(index: int, right: Right) -> None:
            self.store.put(self.workers.context, names[index], right)
            found[names[index]] = right
            self.computed += 1
            self.advance(1)

        for _ in range(len(plans) - len(missing)):
            self.advance(0)
        if missing:
            self.workers.right(list(missing.values()), done)
        return found
