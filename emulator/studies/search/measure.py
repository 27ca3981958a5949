"""Accuracies from a store, and from workers where the store has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from axynq.emulator.keys import plan_key
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
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
        missing = {key: plan for key, plan in zip(keys, plans) if key not in known}
        names = list(missing)

        def done(index: int, correct: int) -> None:
            self.store.put(self.workers.context, names[index], correct)
            known[names[index]] = correct
            self.computed += 1
            self.advance(1)

        for _ in range(len(plans) - len(missing)):
            self.advance(0)
        if missing:
            self.workers.correct(list(missing.values()), done)
        return [known[key] / self.examples for key in keys]
