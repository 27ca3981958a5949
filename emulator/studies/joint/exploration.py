# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A joint exploration from beginning to end: search, weights for many plans, search again, rounds
of retraining.

What is decided is decided on held-out training examples. The test examples are used once, for the
networks that are left at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.errors import PlanError
from axynq.emulator.keys import plan_key
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import Comparison, Right
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.joint.examples import held_out_of
from axynq.emulator.studies.joint.halving import Contender, Dropped, separated, spread
from axynq.emulator.studies.joint.options import JointOptions
from axynq.emulator.studies.joint.records import Retrained
from axynq.emulator.studies.joint.retrainers import Job, Retrainer, Setting, rehearse
from axynq.emulator.studies.retraining import Parameters
from axynq.emulator.studies.search.exploration import (
    Measured,
    Outcome,
    Progress,
    Task,
    explore,
    level_fronts,
)
from axynq.emulator.studies.search.front import Candidate, objectives, pareto_front
from axynq.emulator.studies.search.measure import Measure
from axynq.emulator.studies.search.report import Finished
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import LocalWorker, Workers
from axynq.emulator.studies.tuning.compensation import Method, frozen, tune
from axynq.emulator.studies.tuning.tuner import Tuner

RetrainerFor = Callable[[Setting], AbstractContextManager[Retrainer]]
"""Makes what trains in a setting."""

FOLDER = "retraining"
"""In the output folder: what became of each training."""


@dataclass(frozen=True)
class JointTask:
    """What to explore, and how to retrain."""

    search: Task
    """The search, with a tuner. Finalists are chosen by :attr:`held_out`, whatever it says."""
    training: Examples
    """To train on, with those that are held out
    (:func:`~axynq.emulator.studies.joint.examples.with_held_out`)."""
    options: JointOptions
    teacher: Model | None = None
    """To learn from; default: the network itself, with exact multipliers."""
    device: str | None = None
    """Of PyTorch; default: a GPU where there is one."""

    @cached_property
    def held_out(self) -> Examples:
        """What plans are compared on."""
        return held_out_of(self.training, self.options.held_out)


@dataclass(frozen=True)
class JointOutcome:
    """What a joint exploration found."""

    outcome: Outcome
    """Retrained networks, and finalists of the search without. The fronts of both, chosen on the
    held-out examples, were measured on the test examples."""
    finished: Mapping[str, Finished]
    """The retrained networks by their candidates' keys."""
    dropped: tuple[tuple[int, Dropped], ...]
    """Candidates that were beaten, and after how many epochs."""
    shared: Mapping[str, Any]
    """Of the weights for many plans: the plans' energies, epochs, accuracies when exact."""


@dataclass
class _Run:
    """The parts of an exploration that stages share."""

    task: JointTask
    store: Store
    workers_for: Callable[[Task, Examples], Workers]
    retrainer_for: RetrainerFor
    progress: Progress
    trained: int = 0
    """Trainings done by this run, not found in the folder."""
    computed: int = 0
    """Evaluations likewise."""
    dropped: list[tuple[int, Dropped]] = field(default_factory=list)
    _tuner: Tuner | None = None

    def explore(self, model: Model, test: Examples, known: Sequence[Plan] = ()) -> Outcome:
        """The search for plans of a network of the same layers, beginning from some."""
        task = replace(
            self.task.search, model=model, tuner=self.tuner(model), test_examples=test,
            choice_examples=self.task.held_out, known=tuple(known),
        )  # fmt: skip
        outcome = explore(
            task, self.store, lambda examples: self.workers_for(task, examples), self.progress
        )
        self.computed += outcome.computed
        return outcome

    def tuner(self, model: Model) -> Tuner:
        """That of the search, or one like it for a network of the same layers."""
        own = self.task.search.tuner
        assert own is not None
        if model is own.model:
            return own
        if self._tuner is None or self._tuner.model is not model:
            images = self.task.search.search_examples.x
            self._tuner = Tuner(model, images, own.weights, own.compensate)
        return self._tuner

    def tuned(self, model: Model, plans: Sequence[Plan]) -> tuple[Model, ...]:
        """For each plan the network tuned to it."""
        tuner = self.tuner(model)
        return tuple(tune(tuner, plan, tuner.x, Method.EXPECTED) for plan in plans)

    def train(
        self, retrainer: Retrainer, jobs: Sequence[Job], what: str, front: Sequence[Candidate]
    ) -> list[Retrained]:
        """What becomes of jobs, from the folder where it is there."""
        folder = self.store.path.parent / FOLDER
        setting = retrainer.setting.key()
        names = [job.key(setting, retrainer.setting.model)[:24] for job in jobs]
        results = {k: Retrained.load(folder / f"{name}.npz") for k, name in enumerate(names)}
        missing = [k for k, result in results.items() if result is None]
        checkpoints = [folder / f"{names[k]}.pt" for k in missing]
        epochs = sum(max(1, job.epochs) for job in jobs)
        done = epochs - sum(max(1, jobs[k].epochs) for k in missing)
        self.progress(what, done, epochs, front)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.progress(what, done, epochs, front)

        def finished(index: int, result: Retrained) -> None:
            k = missing[index]
            result.save(folder / f"{names[k]}.npz")
            checkpoints[index].unlink(missing_ok=True)
            results[k] = result
            self.trained += 1
            if jobs[k].epochs == 0:
                advance(1)

        if missing:
            retrainer.train([jobs[k] for k in missing], checkpoints, finished, advance)
        return [result for k in range(len(jobs)) for result in [results[k]] if result is not None]


def explore_jointly(
    task: JointTask,
    store: Store,
    workers_for: Callable[[Task, Examples], Workers],
    retrainer_for: RetrainerFor,
    progress: Progress = lambda what, done, of, front: None,
) -> JointOutcome:
    """Search, train and retrain.

    Args:
        task: what to explore.
        store: where evaluations are kept; results of training are kept in files beside it.
        workers_for: makes the workers that evaluate a task's plans on given examples.
        retrainer_for: makes what trains.
        progress: told how far it is.

    Raises:
        PlanError: the library does not fit the network, the energy figures or the banks; or no plan
            that saves energy is as accurate as it must be.
        ModelError: the network has an operator without a gradient, or the teacher does not fit.
        DataError: what was kept cannot be read or written.
        ToolError: pymoo is not installed, or workers fail.
    """
    started = time.perf_counter()
    run = _Run(task, store, workers_for, retrainer_for, progress)
    model = task.search.model
    rehearse(_setting(task, model))
    first = run.explore(model, task.held_out)
    pool = _candidates(first, model)
    if all(c.energy >= 1 for c in pool):
        raise PlanError(
            "no plan that saves energy is accurate enough to be retrained: give more "
            "--evaluations, other --multipliers, or a larger --max-loss"
        )
    start: Parameters | None = None
    shared: dict[str, Any] = {}
    if task.options.shared_plans:
        model, start, shared = _shared_weights(run, first)
        if task.options.search_again:
            again = run.explore(model, task.held_out, _of_layers(task.search, first))
            pool = _distinct([*_candidates(again, model), *pool])
    # With exact multipliers there is nothing to recover.
    survivors = _rounds(run, model, start, [c for c in pool if c.energy < 1])
    outcome = run.explore(task.search.model, task.search.test_examples)
    measured, finished = _measured(run, survivors)
    everything = sorted([*outcome.measured, *measured], key=lambda m: m.candidate.energy)
    outcome = replace(
        outcome,
        measured=tuple(everything),
        computed=run.computed + run.trained,
        seconds=time.perf_counter() - started,
    )
    return JointOutcome(outcome, finished, tuple(run.dropped), shared)


def _candidates(outcome: Outcome, model: Model) -> list[Candidate]:
    """An exploration's finalists. What they skip by the value of weights, they skip for good."""
    made = []
    for measured in outcome.measured:
        plan = frozen(measured.candidate.plan, model)
        key = plan_key(plan.expand(model))
        made.append(replace(measured.candidate, plan=plan, key=key))
    return made


def _of_layers(task: Task, outcome: Outcome) -> list[Plan]:
    """The best plans of the layer level, a quarter of a generation at most."""
    front = [c.plan for c in outcome.front("layer")]
    return [front[k] for k in evenly_spread(len(front), task.settings.population // 4)]


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.key, candidate)
    return list(first.values())


def _shared_weights(run: _Run, outcome: Outcome) -> tuple[Model, Parameters, dict[str, Any]]:
    """The network whose weights are trained under many plans, its real weights, and words about
    them."""
    task, options = run.task, run.task.options
    front = pareto_front(_candidates(outcome, task.search.model), objectives)
    plans = [front[k] for k in evenly_spread(len(front), options.shared_plans)]
    epochs = options.epochs if options.shared_epochs is None else options.shared_epochs
    chosen = tuple(c.plan for c in plans)
    tuned = run.tuned(task.search.model, chosen)
    job = Job(chosen, tuned, epochs, options.seed, shared=True)
    with _retrainer(run, task.search.model) as retrainer:
        (result,) = run.train(retrainer, [job], f"weights for {len(plans)} plans, epochs", front)
    words = {
        "energies": [c.energy for c in plans],
        "epochs": epochs,
        "held_out_accuracy_exact": list(result.accuracies),
    }
    return result.model(task.search.model), result.parameters, words


def _rounds(
    run: _Run, model: Model, start: Parameters | None, pool: Sequence[Candidate]
) -> list[tuple[Contender, Retrained, int]]:
    """Candidates that are left, what became of them, and after how many epochs."""
    options = run.task.options
    with _retrainer(run, model) as retrainer:

        def trained(
            contenders: Sequence[Candidate], starts: Sequence[Parameters | None], epochs: int,
            number: int,
        ) -> dict[str, tuple[Contender, Retrained]]:  # fmt: skip
            jobs = [
                Job((c.plan,), run.tuned(model, [c.plan]), epochs, options.seed + number, begin)
                for c, begin in zip(contenders, starts)
            ]
            what = f"retraining {len(jobs)} plans, round {number} of {len(options.rounds)}, epochs"
            if epochs == 0:
                what = "plans before retraining"
            known = pareto_front(contenders, objectives)
            results = run.train(retrainer, jobs, what, known)
            return {
                c.key: (_contender(c, result), result) for c, result in zip(contenders, results)
            }

        states = trained(pool, [start] * len(pool), 0, 0)
        total = 0
        kept, dropped = separated([contender for contender, _ in states.values()])
        run.dropped += [(0, each) for each in dropped]
        kept = spread(kept, options.candidates)
        for number, epochs in enumerate(options.rounds, start=1):
            candidates = [contender.candidate for contender in kept]
            states = trained(
                candidates, [states[c.key][1].parameters for c in candidates], epochs, number
            )
            total += epochs
            kept, dropped = separated([contender for contender, _ in states.values()])
            run.dropped += [(total, each) for each in dropped]
    return [(contender, states[contender.candidate.key][1], total) for contender in kept]


def _contender(candidate: Candidate, result: Retrained) -> Contender:
    return Contender(replace(candidate, accuracy=float(result.right.mean())), result.right)


def _retrainer(run: _Run, model: Model) -> AbstractContextManager[Retrainer]:
    return run.retrainer_for(_setting(run.task, model))


def _setting(task: JointTask, model: Model) -> Setting:
    teacher = task.teacher or task.search.model
    return Setting(model, teacher, task.training, task.options, task.device)


def _measured(
    run: _Run, survivors: Sequence[tuple[Contender, Retrained, int]]
) -> tuple[list[Measured], dict[str, Finished]]:
    """Retrained networks, those of their levels' fronts on the test examples."""
    task, test = run.task.search, run.task.search.test_examples

    def right(model: Model, plan: Plan) -> Right:
        worker = LocalWorker(Evaluator(model, test, None, task.engine, task.threads))
        measure = Measure(model, len(test), worker, run.store)
        (found,) = measure.right([plan])
        run.computed += measure.computed
        return found

    measured, finished = [], {}
    for contender, result, epochs in survivors:
        key = f"{contender.candidate.key}-retrained"
        candidate = replace(contender.candidate, key=key)
        measured.append(Measured(candidate, candidate.accuracy, retrained=True))
        finished[key] = Finished(result.model(task.model), {"retrained": True, "epochs": epochs})
    chosen = level_fronts(measured)
    exact = right(task.model, Plan.uniform("exact"))
    against: dict[str, Comparison] = {}
    what = "retrained networks, all test examples"
    run.progress(what, 0, len(chosen), ())
    for number, candidate in enumerate(chosen, start=1):
        found = right(finished[candidate.key].model, candidate.plan)
        against[candidate.key] = Comparison.of(exact, found)
        run.progress(what, number, len(chosen), ())
    return [replace(m, against_exact=against.get(m.candidate.key)) for m in measured], finished
