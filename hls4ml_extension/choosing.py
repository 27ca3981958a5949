# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which multipliers a design may have: what they cost in accuracy, and what they save in energy."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.engine.choice import thread_count
from axynq.emulator.errors import PlanError
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import Multiplier, multiplier
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.search import exploration
from axynq.emulator.studies.search.front import Candidate
from axynq.emulator.studies.search.search import Settings
from axynq.emulator.studies.search.space import LEVELS, Level
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import LocalWorker, Workers
from axynq.emulator.studies.sensitivity.layers import LayerSensitivity, layer_sensitivity
from axynq.hls4ml.checks import check_multiplier
from axynq.hls4ml.compiled_evaluator import (
    CompiledEvaluator,
    CompiledWorkers,
    RealExamples,
    labels,
    real_examples,
)
from axynq.hls4ml.layers import weighted_nodes
from axynq.hls4ml.selectable import SelectableDesign, selectable_layers
from axynq.hls4ml.settings import with_plan
from axynq.host.energy import energy_figures

NETWORK = "axynq_model"
"""A design's attribute: the int8 network that it was made from, which computes the same faster."""

Labelled = tuple[npt.ArrayLike, npt.ArrayLike]
"""Inputs and labels."""


@dataclass(frozen=True)
class Choice:
    """A plan on the front: no other plan has less energy and at least its accuracy on the examples
    that plans were chosen by."""

    accuracy: float
    """Accuracy on the test examples, 0 to 1."""
    choice_accuracy: float
    """Accuracy on the examples that it was chosen by, which is slightly optimistic."""
    energy: float
    """Energy of the multiplications in the layers with a choice, relative to exact ones."""
    plan: Plan
    """The plan."""
    level: Level
    """The level of the search that found it: what parts of layers have a multiplier each."""
    hls_config: dict[str, Any]
    """The design's configuration with the plan, for conversion. For a design made from an int8
    network, pass :attr:`plan` to ``from_model`` instead."""


@dataclass(frozen=True)
class Choices:
    """The result of :func:`explore`."""

    baseline: float
    """Accuracy on the test examples with exact multipliers."""
    choice_baseline: float
    """Accuracy on the examples that plans were chosen by, with exact multipliers."""
    front: tuple[Choice, ...]
    """The plans on the front, by energy, the cheapest first."""
    left_out: Mapping[str, str]
    """Multiplying layers that keep hls4ml's own products, by name, with the reason. Energies do not
    include their multiplications."""
    outcome: exploration.Outcome
    """All details, as from :mod:`axynq.emulator.studies.search`."""

    def cheapest(self, loss: float = 0.01) -> Choice:
        """The choice with the least energy within a loss of accuracy, both accuracies on the
        examples that plans were chosen by: the test examples decide nothing.

        Args:
            loss: how far the accuracy may be below the baseline, 0 to 1 (0.01 is one percentage
                point).

        Raises:
            PlanError: there is none.
        """
        for choice in self.front:
            # The difference of two shares is not exactly a decimal.
            if choice.choice_accuracy >= self.choice_baseline - loss - 1e-9:
                return choice
        raise PlanError(
            f"no plan that was found is within {loss:g} of the accuracy of {self.choice_baseline:g}"
        )


def sensitivity(
    hls_model: Any,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    multipliers: str | Sequence[str],
    advance: Callable[[int], None] = lambda evaluations: None,
) -> LayerSensitivity:
    """Measure how much accuracy each layer of a design loses under approximate multipliers: each
    layer alone, and the first layers together.

    Args:
        hls_model: as for :func:`explore`.
        x, y: examples, as for :func:`explore`.
        multipliers: specifications.
        advance: called with 1 after each evaluation; there are one and two for each layer and
            multiplier.

    Raises:
        AxynqError: as of :func:`explore`.
    """
    specs = [multipliers] if isinstance(multipliers, str) else list(multipliers)
    setup = _setup(hls_model, specs, [(x, y)], 1)
    return layer_sensitivity(setup.evaluator(setup.examples[0]), specs, advance)


def explore(  # noqa: PLR0913 - options, all by name
    hls_model: Any,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    library: Sequence[str],
    *,
    levels: Sequence[Level] = ("layer",),
    test: Labelled | None = None,
    max_loss: float | None = None,
    settings: Settings | None = None,
    classes: int = 3,
    skips: Sequence[float] = (),
    search_examples: int | None = 1024,
    finalists: int = 24,
    energy: str | EnergyFigures = "characterised",
    folder: str | Path | None = None,
    threads: int | None = None,
    progress: exploration.Progress = lambda what, done, of, front: None,
) -> Choices:
    """Search for multipliers of a design with little energy and high accuracy.

    The design is compiled once, as a copy whose multipliers are selected while it runs, and
    evaluated as it is, with its own types. One that was made of an int8 network is evaluated by the
    emulator, which gives the same values faster.

    Args:
        hls_model: an hls4ml ``ModelGraph`` that classifies, with one input and one output. It is
            not changed, and need not be compiled. Multipliers that it already has are ignored.
        x: inputs that the search measures accuracy on, real numbers [examples, ...] as for
            ``predict``; for a design made from an int8 network, as for ``Emulator.run``.
        y: their labels: class numbers [examples], or one-hot rows [examples, classes].
        library: specifications of multipliers to choose from, such as ``exact`` and ``roup:1,4``.
        levels: what parts of layers have a multiplier each; some of
            :data:`axynq.emulator.studies.search.space.LEVELS`.
        test: other examples, ``(x, y)``, on which the chosen plans are measured; they decide
            nothing. None: all of those given; then accuracies are slightly optimistic.
        max_loss: the largest loss of accuracy on the search's examples, 0 to 1, that is acceptable;
            None: any, down to the ``accuracy_floor`` of ``settings``.
        settings: population, number of evaluations and seed of the search.
        classes: the largest number of classes in a layer, for levels finer than layers.
        skips: values of K for ``klms`` to choose from, besides none.
        search_examples: how many of the examples the search uses, evenly spread; None: all.
        finalists: how many plans of each level are measured on the examples to choose by: those
            given that the search does not use; all, where it uses all or ``test`` is None.
        energy: energy figures, or their source: one of :data:`axynq.emulator.energy.SHIPPED`, or a
            JSON file.
        folder: where evaluations are kept; the same call continues from them. None: nothing is
            kept.
        threads: threads for evaluations; None: ``AXYNQ_THREADS``, or one per core.
        progress: called as the search proceeds.

    Raises:
        ModelError: the design has several inputs or outputs, gives a single value, or has no layer
            that can have multipliers.
        DataError: the examples do not fit the design or their labels; the figures or the folder
            cannot be read.
        PlanError: the library is empty, has a multiplier without an energy figure, or one that does
            not suit a layer; a level does not exist; or a number is out of its range.
        MultiplierError: a multiplier does not exist.
        ToolError: g++ is missing or does not compile the design; or pymoo is not installed.
    """
    specs = [library] if isinstance(library, str) else list(library)
    figures = _figures(energy, specs)
    _check_levels(levels)
    settings = settings or Settings()
    _check_numbers(settings, max_loss, classes, skips, finalists)
    setup = _setup(hls_model, specs, [(x, y), test or (x, y)], thread_count(threads))
    searched = setup.examples[0].evenly(search_examples)
    if max_loss is not None:
        exact = setup.evaluator(searched).correct(Plan.uniform("exact")) / len(searched)
        settings = replace(settings, accuracy_floor=exact - max_loss)
    task = exploration.Task(
        setup.network,
        searched,
        setup.examples[1],
        tuple(specs),
        tuple(levels),
        settings,
        classes,
        tuple(skips),
        figures=figures,
        estimate_first=not setup.designs,  # it needs gradients, which a design has none of
        finalists=finalists,
        choice_examples=None if test is None else _besides(setup.examples[0], searched),
    )
    with ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="axynq-explore-"))
        store = stack.enter_context(Store(Path(folder) / "evaluations.sqlite"))
        outcome = exploration.explore(task, store, setup.workers, progress)
    config = _configuration(hls_model)
    tested = {m.candidate.key: m.against_exact for m in outcome.measured}
    front = tuple(_choice(c, tested[c.key], config) for c in outcome.front())
    return Choices(outcome.baseline, outcome.choice_baseline, front, setup.left_out, outcome)


def _besides(given: Examples, searched: Examples) -> Examples:
    """The examples that the search does not take; all, where it takes all."""
    if len(searched) == len(given):
        return given
    return given.evenly_besides(len(searched), len(given))


@dataclass(frozen=True)
class _Setup:
    """How a design is evaluated."""

    network: Model
    designs: tuple[SelectableDesign, ...]
    """One for each thread; none: the emulator computes the network."""
    examples: tuple[Examples, ...]
    threads: int

    @property
    def left_out(self) -> Mapping[str, str]:
        return self.designs[0].left_out if self.designs else {}

    def evaluator(self, examples: Examples) -> Evaluator | CompiledEvaluator:
        if not self.designs:
            return Evaluator(self.network, examples, threads=self.threads)
        assert isinstance(examples, RealExamples)
        return CompiledEvaluator(self.designs[0], examples)

    def workers(self, examples: Examples) -> Workers:
        if not self.designs:
            return LocalWorker(Evaluator(self.network, examples, threads=self.threads))
        assert isinstance(examples, RealExamples)
        return CompiledWorkers(self.designs, examples)


def _setup(hls_model: Any, specs: Sequence[str], given: Sequence[Labelled], threads: int) -> _Setup:
    """Reads the examples before anything is compiled."""
    multipliers = [multiplier(spec) for spec in specs]
    network = getattr(hls_model, NETWORK, None)
    if isinstance(network, Model):
        quantised = tuple(_quantised(network, x, y) for x, y in given)
        _check(weighted_nodes(hls_model), multipliers)
        return _Setup(network, (), quantised, threads)
    able, _ = selectable_layers(hls_model)
    real = tuple(real_examples(hls_model, x, y) for x, y in given)
    _check(able, multipliers)
    design = SelectableDesign(hls_model)
    if design.left_out:
        warnings.warn(
            "these layers keep hls4ml's own products and are left out of the choice:\n"
            + "\n".join(design.left_out.values()),
            stacklevel=3,
        )
    designs = (design, *(design.twin() for _ in range(threads - 1)))
    return _Setup(design.network, designs, real, threads)


def _check(nodes: Sequence[Any], multipliers: Sequence[Multiplier]) -> None:
    for node in nodes:
        for m in multipliers:
            check_multiplier(node, m)


def _quantised(network: Model, x: npt.ArrayLike, y: npt.ArrayLike) -> Examples:
    values = network.input.batch(x)
    classes = math.prod(network.tensors[network.output_index].shape)
    return Examples(values, labels(y, len(values), classes))


def _figures(energy: str | EnergyFigures, specs: Sequence[str]) -> EnergyFigures:
    multipliers = [multiplier(spec) for spec in specs]
    if not multipliers:
        raise PlanError("the library has no multiplier to choose from")
    figures = energy if isinstance(energy, EnergyFigures) else energy_figures(energy, multipliers)
    for m in multipliers:
        if figures.of(m) is None:
            raise PlanError(
                f"there is no energy figure for '{m.spec}': give figures (energy) that have one"
            )
    return figures


def _check_levels(levels: Sequence[str]) -> None:
    unknown = [level for level in levels if level not in LEVELS]
    if isinstance(levels, str) or unknown or not levels:
        raise PlanError(f"levels are some of {', '.join(LEVELS)}, not {levels!r}")


def _check_numbers(
    settings: Settings,
    max_loss: float | None,
    classes: int,
    skips: Sequence[float],
    finalists: int,
) -> None:
    # Comparisons with NaN are false.
    if max_loss is not None and not 0 <= max_loss <= 1:
        raise PlanError(f"max_loss is a share of accuracy, 0 to 1, not {max_loss}")
    for name, number, least in (
        ("population", settings.population, 1),
        ("evaluations", settings.evaluations, 1),
        ("seed", settings.seed, 0),
        ("classes", classes, 1),
        ("finalists", finalists, 1),
    ):
        if number < least:
            raise PlanError(f"{name} is at least {least}, not {number}")
    for skip in skips:
        if not 0 < skip < math.inf:
            raise PlanError(f"skips are positive numbers of standard deviations, not {skip}")


def _configuration(hls_model: Any) -> dict[str, Any]:
    """What a design was converted with: ``hls_config`` of hls4ml's converters."""
    config = hls_model.config.config
    made = dict(config["HLSConfig"])
    if config.get("InputShape") is not None:  # PyTorch's has it; hls4ml keeps it elsewhere
        made["InputShape"] = config["InputShape"]
    return made


def _choice(candidate: Candidate, tested: Comparison | None, config: Mapping[str, Any]) -> Choice:
    assert tested is not None  # what is on the front has been measured on the test examples
    return Choice(
        tested.second_accuracy,
        candidate.accuracy,
        candidate.energy,
        candidate.plan,
        candidate.level,
        with_plan(config, candidate.plan),
    )
