# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An exploration from beginning to end: estimate, search on a few examples, choose on more, and
measure what was chosen on all test examples.

Everything that takes time is written down in the output folder as it is found out, so that an
exploration that was interrupted is resumed by starting it again.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from axynq.emulator import files
from axynq.emulator.arrays import open_arrays
from axynq.emulator.datasets import evenly_spread
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import DataError
from axynq.emulator.keys import multiplier_key
from axynq.emulator.model.graph import Model
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import CLASS_AXES, Axis, Plan
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.search.front import Candidate, objectives, pareto_front
from axynq.emulator.studies.search.measure import Measure
from axynq.emulator.studies.search.search import Cycles, Settings, assess, search
from axynq.emulator.studies.search.space import Genome, Level, Space
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import TuningWorker, Workers
from axynq.emulator.studies.sensitivity.estimate import Increase, estimate, sensitivity_ranking
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.tuner import Tuner

ESTIMATE_EXAMPLES = 128
"""Examples of the first-order estimate."""


Cells = Callable[[Sequence[str]], Mapping[str, tuple[int, Mapping[str, float]]]]
"""Ways to make a cell that has some multipliers: for specifications, by the way's name, its LUTs
and the relative energies of its multipliers, where they are known."""

Progress = Callable[[str, int, int, Sequence[Candidate]], None]
"""Called with what is being done, how far it is, of how much, and the front so far."""


class _Counter:
    """Tells progress of evaluations one by one."""

    def __init__(self, progress: Progress, what: str, of: int, seen: Sequence[Candidate]) -> None:
        self.progress, self.what, self.of, self.seen = progress, what, of, seen
        self.done = 0

    def __call__(self, computed: int) -> None:
        self.done += 1
        self.progress(self.what, self.done, self.of, pareto_front(self.seen, objectives))


@dataclass(frozen=True)
class Task:
    """What to explore."""

    model: Model
    search_examples: Examples
    """What the search measures accuracy on."""
    test_examples: Examples
    """What is measured in the end, and decides nothing."""
    library: tuple[str, ...]
    levels: tuple[Level, ...]
    settings: Settings = Settings()
    """For each level; the accuracy floor is relative to 1."""
    classes: int = 3
    skips: tuple[float, ...] = ()
    banks: tuple[frozenset[Multiplier], ...] = ()
    figures: EnergyFigures = field(default_factory=EnergyFigures)
    tuner: Tuner | None = None
    """Tunes networks to plans before they are evaluated."""
    method: Method = Method.EXPECTED
    """How mean errors of finalists are found; the search takes expected ones."""
    engine: str = "auto"
    threads: int | None = None
    cycles: Cycles | None = None
    estimate_first: bool = True
    """Sort elements into classes by estimated sensitivity, and begin with the estimate's best."""
    finalists: int = 24
    """Plans of each level that are measured on the choice examples."""
    choice_examples: Examples | None = None
    """What finalists are chosen by; None: the test examples, so that what is quoted of the front is
    a little too good."""
    known: tuple[Plan, ...] = ()
    """Plans of the layer level, with multipliers of the library, that every level begins from
    too."""
    designs: int | None = None
    """Different multipliers of a plan at most; default: any number."""
    cells: Cells | None = None
    """Tells what the cell of a lane costs that has the multipliers of a plan."""

    @property
    def deciding_examples(self) -> Examples:
        """What finalists are chosen by."""
        return self.choice_examples or self.test_examples


@dataclass(frozen=True)
class Measured:
    """A finalist."""

    candidate: Candidate
    """With the accuracy on the choice examples."""
    search_accuracy: float
    """On the search's examples; of a retrained network on the choice examples."""
    against_exact: Comparison | None = None
    """On the test examples: the exact network and this one. None: it was not chosen."""
    retrained: bool = False
    """Whether its network was trained for its plan, not only tuned."""


@dataclass(frozen=True)
class Outcome:
    """What an exploration found."""

    baseline: float
    """Accuracy on the test examples with exact multipliers."""
    measured: tuple[Measured, ...]
    """All finalists, by energy."""
    looked_at: int
    """Plans the search looked at."""
    computed: int
    """Evaluations computed by this run, not found in the store."""
    seconds: float
    choice_baseline: float
    """Accuracy on the choice examples with exact multipliers."""

    def front(self, level: Level | None = None, retrained: bool = False) -> list[Candidate]:
        """Finalists that no other (of the level) beats on the choice examples, by energy: those
        that were retrained, or those that were not.

        On the same examples the order by accuracy is that by what is lost against the exact
        network. The two kinds are no rivals: a network that was first trained on the choice
        examples still remembers them where it is not retrained on others.
        """
        return pareto_front(
            [
                m.candidate
                for m in self.measured
                if m.retrained == retrained and level in (None, m.candidate.level)
            ],
            objectives,
        )


def level_fronts(measured: Sequence[Measured]) -> list[Candidate]:
    """Finalists that no other of their level, retrained or not as they are, beats on the choice
    examples. What is on none of these fronts is not on one of all levels either."""
    series: dict[tuple[Level, bool], list[Candidate]] = {}
    for m in measured:
        series.setdefault((m.candidate.level, m.retrained), []).append(m.candidate)
    return [candidate for of in series.values() for candidate in pareto_front(of, objectives)]


def explore(
    task: Task,
    store: Store,
    workers_for: Callable[[Examples], Workers],
    progress: Progress = lambda what, done, of, front: None,
) -> Outcome:
    """Search every level, choose among the best plans on the choice examples, and measure what was
    chosen on the test examples.

    Args:
        task: what to explore.
        store: where evaluations are kept.
        workers_for: makes the workers that evaluate on given examples.
        progress: told how far it is.

    Raises:
        PlanError: the library does not fit the network, the energy figures or the banks.
        ToolError: pymoo is not installed.
    """
    started = time.perf_counter()
    spaces = [_space(task, level) for level in task.levels]
    increase = _estimate(task, store, spaces[0], progress) if task.estimate_first else None
    measure = Measure(
        task.model, len(task.search_examples), workers_for(task.search_examples), store
    )
    finalists: list[Candidate] = []
    layer_front: list[Candidate] = []
    looked_at = 0
    # An error of two standard deviations of the accuracy must not cost a good plan its place.
    margin = 2 * np.sqrt(0.25 / len(task.search_examples))
    for space in spaces:
        space = _ranked(space, increase)
        seen: list[Candidate] = []
        # What is good for whole layers is a good beginning for parts of them.
        refined = [
            space.refined(c.plan) for c in _evenly(layer_front, task.settings.population // 4)
        ]
        known = [space.refined(plan) for plan in task.known]
        seeds = [*known, *refined, *_seeds(space, increase, task.settings.population)]
        measure.advance = _Counter(
            progress, f"{space.level} level", task.settings.evaluations, seen
        )
        for generation in search(space, measure, task.settings, seeds, task.cycles):
            seen += generation
        looked_at += len(seen)
        able = [c for c in seen if c.accuracy >= task.settings.accuracy_floor]
        if space.level == "layer":
            layer_front = pareto_front(able, objectives)
        close = pareto_front(able, objectives, margin)
        finalists += _spread(pareto_front(able, objectives), close, task.finalists)
    measure_on = _final_measures(task, store, workers_for)
    measured, choice_baseline, chosen_by = _finals(
        task, spaces[0], measure_on(task.deciding_examples), finalists, progress
    )
    measured, baseline, tested_by = _tested(measured, measure_on(task.test_examples), progress)
    return Outcome(
        baseline,
        tuple(measured),
        looked_at,
        measure.computed + chosen_by + tested_by,
        time.perf_counter() - started,
        choice_baseline,
    )


def _final_measures(
    task: Task, store: Store, workers_for: Callable[[Examples], Workers]
) -> Callable[[Examples], Measure]:
    """What measures finalists on given examples."""
    tuning = _tuning_worker(task)

    def measure_on(examples: Examples) -> Measure:
        workers = workers_for(examples) if tuning is None else tuning.on(examples)
        return Measure(task.model, len(examples), workers, store)

    return measure_on


def _tuning_worker(task: Task) -> TuningWorker | None:
    if task.tuner is None or not task.tuner.compensate or task.method is Method.EXPECTED:
        return None
    return TuningWorker(
        task.tuner, task.search_examples.x, task.deciding_examples, task.method, task.engine,
        task.threads,
    )  # fmt: skip


def _space(task: Task, level: Level) -> Space:
    return Space(
        task.model, task.library, level, task.classes, task.skips, task.banks,
        task.designs, figures=task.figures,
    )  # fmt: skip


def _ranked(space: Space, increase: Increase | None) -> Space:
    if increase is None:
        return space
    specs = [m.spec for m in space.multipliers if m.spec != "exact"]
    return replace(space, ranking=sensitivity_ranking(space.model, increase, specs))


def _seeds(space: Space, increase: Increase | None, population: int) -> list[Genome]:
    """Each multiplier everywhere, then the estimate's best for a row of prices, then others. Half
    of the first generation is seeds, so that of a large library some of each kind are taken, and
    as many with first and last layers kept; also where a bank is chosen, which those begin with."""
    uniform = space.seeds()
    count = len(space.multipliers)
    few = count > population // 2 or space.designs is not None
    best = []
    if increase is not None:
        axis: Axis = "filter" if space.level == "mixed" else space.level
        prices = np.geomspace(0.02, 20, population // 8 if few else 12)
        best = [space.cheapest(increase, float(price), axis) for price in prices]
    if few:
        each = (population // 2 - len(best)) // 2
        kinds = (uniform[:count], space.ends_kept(), best)
        spread = [[kind[k] for k in evenly_spread(len(kind), each)] for kind in kinds if kind]
        chosen = [genome for row in zip_longest(*spread) for genome in row if genome is not None]
    else:
        chosen = [*uniform[:count], *best, *uniform[count:]]
    if increase is None and not few:
        return chosen
    _, first = np.unique(np.stack(chosen), axis=0, return_index=True)
    return [chosen[k] for k in sorted(first)]


def _spread(best: list[Candidate], close: list[Candidate], count: int) -> list[Candidate]:
    """The best and those close to them; where they are too many, spread over the energies."""
    keys = {c.key for c in best}
    distinct = best + [c for c in close if c.key not in keys]
    if len(best) < count:
        return best + _evenly(distinct[len(best) :], count - len(best))
    return _evenly(best, count)


def _evenly(candidates: list[Candidate], count: int) -> list[Candidate]:
    """So many of them at most, from first to last."""
    return [candidates[k] for k in evenly_spread(len(candidates), count)]


def _finals(
    task: Task, space: Space, choice: Measure, finalists: Sequence[Candidate], progress: Progress
) -> tuple[list[Measured], float, int]:
    """Finalists measured on the choice examples, by energy; the accuracy with exact multipliers;
    and how many evaluations were computed. Plans that two levels found count for the first."""
    first: dict[str, Candidate] = {}
    for candidate in finalists:
        first.setdefault(candidate.key, candidate)
    distinct = list(first.values())
    choice.advance = _Counter(progress, "choice examples", len(distinct) + 1, [])
    assessed = assess(space, choice, [c.plan for c in distinct], task.cycles)
    measured = [
        Measured(replace(full, level=c.level), c.accuracy) for full, c in zip(assessed, distinct)
    ]  # fmt: skip
    measured.sort(key=lambda m: m.candidate.energy)
    return measured, choice.accuracies([Plan.uniform("exact")])[0], choice.computed


def _tested(
    measured: Sequence[Measured], test: Measure, progress: Progress
) -> tuple[list[Measured], float, int]:
    """The fronts of all levels measured on the test examples. Also the accuracy with exact
    multipliers, and how many evaluations were computed."""
    chosen = level_fronts(measured)
    test.advance = _Counter(progress, "all test examples", len(chosen) + 1, [])
    exact, *found = test.right([Plan.uniform("exact"), *(c.plan for c in chosen)])
    against = {c.key: Comparison.of(exact, right) for c, right in zip(chosen, found)}
    return (
        [replace(m, against_exact=against.get(m.candidate.key)) for m in measured],
        float(exact.mean()),
        test.computed,
    )


def _estimate(task: Task, store: Store, space: Space, progress: Progress) -> Increase:
    """The first-order estimate; kept in a file, because floating-point sums may differ in their
    last bits from run to run, and a search must not."""
    specs = [m.spec for m in space.multipliers]
    examples = task.search_examples
    key = hashlib.sha256(
        "\0".join(
            [
                *(fingerprint(task.model), examples.fingerprint(), str(task.tuner is not None)),
                *specs,
                *map(multiplier_key, space.multipliers),
            ]
        ).encode()
    ).hexdigest()[:16]
    path = store.path.parent / f"estimate-{key}.npz"
    kept = _load(path)
    if kept is not None:
        return kept
    again = ", again: the one kept is damaged" if path.exists() else ""
    what = f"first-order estimate{again}"
    progress(what, 0, 1, ())
    few = examples.evenly(ESTIMATE_EXAMPLES)
    compensated = task.tuner is not None and task.tuner.compensate
    increase = estimate(task.model, few.x, few.y, specs, compensated)
    rounded: Increase = {
        name: np.array([float(f"{v:.6g}") for v in values]) for name, values in increase.items()
    }
    _save(rounded, path)
    progress(what, 1, 1, ())
    return rounded


def _save(increase: Increase, path: Path) -> None:
    """Numbered arrays, and their names as JSON: names hold paths of tables."""
    arrays = {str(number): values for number, values in enumerate(increase.values())}
    content = io.BytesIO()
    np.savez(content, names=np.array(json.dumps(list(increase))), **arrays)
    try:
        files.write_bytes(path, content.getvalue())
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def _load(path: Path) -> Increase | None:
    """What :func:`_save` wrote, or None where there is nothing that can be used."""
    try:
        with open_arrays(path) as arrays:
            increase: Increase = {}
            for number, name in enumerate(json.loads(str(arrays["names"]))):
                layer, axis, spec = name
                known = next(a for a in CLASS_AXES if a == axis)
                increase[layer, known, spec] = arrays[str(number)]
            return increase
    except (OSError, ValueError, StopIteration):
        return None
