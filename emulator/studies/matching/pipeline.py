# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From a network to points of energy and accuracy: search, match, retrain.

Whatever takes long is kept in checkpoints named after what it depends on: the same command resumes
an interrupted run, and another library of multipliers uses the same gradient searches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from axynq.emulator.energy import EnergyFigures, relative_energy
from axynq.emulator.errors import PlanError
from axynq.emulator.keys import plan_key
from axynq.emulator.model.graph import Model
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.multipliers import multiplier
from axynq.emulator.plan import Assignment, Plan
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.matching.gradient_search import (
    SearchResult,
    held_out,
    search_key,
    search_noise,
)
from axynq.emulator.studies.matching.options import SearchOptions
from axynq.emulator.studies.matching.prediction import Prediction, predict
from axynq.emulator.studies.retraining import RetrainOptions, RetrainResult, retrain

Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of it that is done, 0 to 1."""

Deviations = Mapping[str, Mapping[str, float]]
"""By layer name and specification, relative to the layer's output."""


@dataclass(frozen=True)
class Task:
    """What to find multipliers for, and how."""

    model: Model
    training: Examples
    """What is trained on; some of them are held out."""
    test: Examples
    """What the points are measured on."""
    library: tuple[str, ...]
    """Specifications of multipliers; the exact one must be among them."""
    strengths: tuple[float, ...]
    """A point for each."""
    search: SearchOptions = SearchOptions()
    """Of each search, but for the strength."""
    retraining: RetrainOptions | None = None
    """Of each matched network; None: nothing is retrained."""
    prediction: Prediction = "multi-distribution"
    samples: int = 128
    """Training examples, evenly spread, for the predictions."""
    figures: EnergyFigures = field(default_factory=EnergyFigures)
    device: str | None = None
    """Of PyTorch; default: a GPU where there is one."""


@dataclass(frozen=True)
class Found:
    """A plan, the network for it, and what is known of both."""

    strength: float
    retrained: bool
    plan: Plan
    model: Model
    energy: float
    """Relative to exact multipliers everywhere."""
    against_exact: Comparison
    """On the test examples: the network as it came, with exact multipliers, and this one."""
    choice_accuracy: float
    """On the examples held out, by which the front is chosen, 0 to 1."""
    deviations: Mapping[str, float]
    """The noise that each layer was found to bear, relative to its output."""
    predicted: Mapping[str, float]
    """By layer name, the errors of the multiplier that it got, likewise."""

    @property
    def name(self) -> str:
        return f"strength-{self.strength:g}" + ("-retrained" if self.retrained else "")


@dataclass(frozen=True)
class Outcome:
    """What was found."""

    baseline: float
    """Accuracy of the network as it came, with exact multipliers, on the test examples."""
    choice_baseline: float
    """The same on the examples held out."""
    found: tuple[Found, ...]
    """In the order of the strengths, retrained after matched."""


def match(
    deviations: Mapping[str, float],
    predicted: Deviations,
    library: Sequence[str],
    figures: EnergyFigures,
) -> Plan:
    """For each layer the cheapest multiplier whose predicted errors are no larger than the noise
    that the layer bears; of several the one with the smallest errors.

    Args:
        deviations: by layer name, the noise.
        predicted: by layer name and specification, the errors; both relative to the output.
        library: specifications, the exact multiplier among them.
        figures: the energies.

    Raises:
        PlanError: a multiplier has no energy figure, or none has no errors.
    """
    energies = _energies(library, figures)
    layers = {}
    for name, bearable in deviations.items():
        able = [spec for spec in library if predicted[name][spec] <= bearable]
        if not able:
            raise PlanError(
                f"layer '{name}' bears errors of {bearable:.4f} of its output, and no multiplier "
                "has so small ones: give the exact one too"
            )
        chosen = min(able, key=lambda spec: (energies[spec], predicted[name][spec]))
        layers[name] = Assignment(multipliers=(chosen,))
    return Plan(layers)


def _energies(library: Sequence[str], figures: EnergyFigures) -> dict[str, float]:
    """Relative energies by specification."""
    energies: dict[str, float] = {}
    for spec in library:
        energy = figures.of(multiplier(spec))
        if energy is None:
            raise PlanError(f"no energy is known of '{spec}': give a file of figures with it")
        energies[spec] = energy.relative
    return energies


def run(task: Task, checkpoints: Path, progress: Progress = lambda what, share: None) -> Outcome:
    """Search, match and, if asked to, retrain, for each strength.

    Args:
        task: what to do.
        checkpoints: a folder for what takes long; nothing in it is computed again.
        progress: told how far it is.

    Raises:
        PlanError: the library has no exact multiplier, or one without an energy figure.
        ModelError: the network has an operator without a gradient.
        DataError: there are too few examples, or a checkpoint cannot be read.
    """
    if "exact" not in task.library:
        raise PlanError("the library needs the exact multiplier, for layers that bear no errors")
    _energies(task.library, task.figures)  # what is missing is missing before the work begins
    _, apart = held_out(task.training, task.search.validation)
    samples = task.training.evenly(task.samples).x
    unapproximated = Plan.uniform("exact")
    exact = Evaluator(task.model, task.test).right(unapproximated)
    found: list[Found] = []
    for strength in task.strengths:
        searched = _search(task, strength, checkpoints, progress)
        what = f"strength {strength:g}: matching"
        progress(what, 0.0)
        predicted = predict(searched.model, task.library, samples, task.prediction)
        plan = match(searched.deviations, predicted, task.library, task.figures)
        progress(what, 0.5)
        energy = relative_energy(task.model, plan, task.figures)
        assert energy is not None  # else it would not have been matched
        errors = {
            name: predicted[name][assignment.multipliers[0]]
            for name, assignment in plan.layers.items()
        }
        matched = Found(
            strength,
            False,
            plan,
            searched.model,
            energy,
            Comparison.of(exact, Evaluator(searched.model, task.test).right(plan)),
            Evaluator(searched.model, apart).correct(plan) / len(apart),
            searched.deviations,
            errors,
        )
        found.append(matched)
        progress(what, 1.0)
        if task.retraining is not None:
            result = _retrain(task, matched, checkpoints, progress)
            found.append(
                replace(
                    matched,
                    retrained=True,
                    model=result.model,
                    against_exact=Comparison.of(
                        exact, Evaluator(result.model, task.test).right(plan)
                    ),
                    choice_accuracy=result.history[result.epoch].accuracy,
                )
            )
    choice_baseline = Evaluator(task.model, apart).correct(unapproximated) / len(apart)
    return Outcome(float(exact.mean()), choice_baseline, tuple(found))


def _search(task: Task, strength: float, checkpoints: Path, progress: Progress) -> SearchResult:
    options = replace(task.search, strength=strength)
    key = search_key(task.model, task.training, options)
    what = f"strength {strength:g}: learning noise"

    def report(epochs: int, step: int, steps: int, loss: float) -> None:
        share = (epochs + step / steps) / options.epochs
        progress(f"{what}, loss {loss:.3f}", share)

    progress(what, 0.0)
    return search_noise(
        task.model, task.training, options, checkpoint=checkpoints / f"search-{key[:16]}.pt",
        device=task.device, progress=report,
    )  # fmt: skip


def _retrain(task: Task, matched: Found, checkpoints: Path, progress: Progress) -> RetrainResult:
    options = task.retraining
    assert options is not None
    content = (
        *(fingerprint(matched.model), fingerprint(task.model)),
        *(task.training.fingerprint(), plan_key(matched.plan.expand(matched.model))),
        json.dumps(options.as_dict()),
    )
    key = hashlib.sha256("\0".join(content).encode()).hexdigest()
    what = f"strength {matched.strength:g}: retraining"
    progress(what, 0.0)
    return retrain(
        matched.model, matched.plan, task.training.x, task.training.y, options,
        teacher=task.model, checkpoint=checkpoints / f"retrain-{key[:16]}.pt", device=task.device,
        progress=lambda last, step, steps, loss: progress(
            f"{what}, loss {loss:.3f}", (last.number + step / steps) / options.epochs
        ),
    )  # fmt: skip
