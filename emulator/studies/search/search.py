# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""NSGA-II over the plans of a space: accuracy against energy, and cycles where they are asked for.

The search is deterministic: given its seed and what evaluations say, it always asks for the same
plans in the same order. That is what makes it resumable from a store of evaluations alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from axynq.emulator.energy import relative_energy
from axynq.emulator.errors import ToolError
from axynq.emulator.plan import Plan
from axynq.emulator.studies.search.front import Candidate
from axynq.emulator.studies.search.measure import Measure
from axynq.emulator.studies.search.space import Genome, Space

Cycles = Callable[[Plan], float]
"""Clock cycles an image takes under a plan."""


@dataclass(frozen=True)
class Settings:
    """How a space is searched."""

    population: int = 32
    evaluations: int = 320
    """Plans of the space to look at; rounded up to whole generations."""
    seed: int = 0
    accuracy_floor: float = 0.0
    """Plans below are not acceptable."""


def search(
    space: Space,
    measure: Measure,
    settings: Settings,
    seeds: Sequence[Genome] = (),
    cycles: Cycles | None = None,
) -> Iterator[list[Candidate]]:
    """Candidates, a generation at a time.

    Args:
        space: the plans to choose from.
        measure: gives accuracies.
        settings: population, budget, seed, floor.
        seeds: vectors to begin with, most important first; half of the first generation at most,
            the other half is random.
        cycles: a third objective.

    Raises:
        ToolError: pymoo is not installed.
    """
    algorithm, problem, evaluate = _nsga2(space, settings, seeds, cycles is not None)
    seen = 0
    while seen < settings.evaluations:
        population = algorithm.ask()
        if population is None or len(population) == 0:
            return  # the space is exhausted
        genomes = np.atleast_2d(population.get("X")).astype(np.int64)
        candidates = assess(space, measure, [space.plan(g) for g in genomes], cycles)
        evaluate(problem, population, candidates)
        algorithm.tell(infills=population)
        seen += len(candidates)
        yield candidates


def assess(
    space: Space, measure: Measure, plans: Sequence[Plan], cycles: Cycles | None = None
) -> list[Candidate]:
    """Plans with everything that is known of them."""
    candidates = []
    for plan, key, accuracy in zip(plans, measure.keys(plans), measure.accuracies(plans)):
        energy = relative_energy(space.model, plan, space.figures)
        assert energy is not None  # a space has only multipliers with figures
        time = None if cycles is None else float(cycles(plan))
        candidates.append(Candidate(space.level, plan, key, energy, accuracy, time))
    return candidates


def _nsga2(space: Space, settings: Settings, seeds: Sequence[Genome], cycles: bool) -> Any:
    """Algorithm, problem, and what tells it the candidates' values."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator as Told
        from pymoo.core.mutation import Mutation
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.pntx import TwoPointCrossover
        from pymoo.problems.static import StaticProblem
    except ImportError as error:
        raise ToolError("exploring needs pymoo: pip install 'axynq[explore]'") from error

    class Steps(Mutation):  # type: ignore[misc, unused-ignore]
        """Moves a gene to a neighbouring multiplier, or sometimes to any."""

        def _do(
            self,
            problem: Any,
            X: Any,  # noqa: N803 (pymoo's name)
            random_state: Any = None,
            **options: Any,
        ) -> Any:
            mutated = X.astype(np.int64)
            changes = random_state.random(X.shape) < 1 / X.shape[1]
            steps = random_state.choice([-1, 1], X.shape)
            anywhere = random_state.integers(0, np.broadcast_to(space.choices, X.shape))
            near = random_state.random(X.shape) < 0.7
            moved = np.clip(mutated + steps, 0, space.choices - 1)
            return np.where(changes, np.where(near, moved, anywhere), mutated)

    problem = Problem(
        n_var=len(space.choices), n_obj=3 if cycles else 2, n_ieq_constr=1,
        xl=np.zeros(len(space.choices)), xu=space.choices - 1, vtype=int,
    )  # fmt: skip
    # Two cut points leave the first layers of a child as in one parent: what is known of them is
    # used again.
    algorithm = NSGA2(
        pop_size=settings.population,
        sampling=_first_generation(space, settings, seeds),
        crossover=TwoPointCrossover(),
        mutation=Steps(),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=NoTermination(), seed=settings.seed, verbose=False)

    def evaluate(problem: Any, population: Any, candidates: Sequence[Candidate]) -> None:
        values = [
            [-c.accuracy, c.energy] + ([] if c.cycles is None else [c.cycles]) for c in candidates
        ]
        missing = [[settings.accuracy_floor - c.accuracy] for c in candidates]
        static = StaticProblem(problem, F=np.array(values), G=np.array(missing))
        Told().eval(static, population)

    return algorithm, problem, evaluate


def _first_generation(space: Space, settings: Settings, seeds: Sequence[Genome]) -> Genome:
    """Seeds, and random vectors around a strength of approximation each, all different unless the
    space is very small."""
    random = np.random.default_rng(settings.seed)
    genomes = list({tuple(seed): seed for seed in seeds}.values())[: settings.population // 2]
    for _ in range(10 * settings.population):
        if len(genomes) == settings.population:
            break
        # Uniformly random genes would all have the same, middling energy.
        strength = random.random()
        spread = random.normal(strength, 0.2, len(space.choices))
        drawn = (np.clip(spread, 0, 0.999) * space.choices).astype(np.int64)
        if not any(np.array_equal(drawn, genome) for genome in genomes):
            genomes.append(drawn)
    return np.stack(genomes)
