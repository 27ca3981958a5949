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
    """A plan that no other beats in accuracy and energy."""

    accuracy: float
    """Share of right classifications of the test examples, 0 to 1."""
    energy: float
    """Of the multiplications in the layers of the choice, relative to exact ones."""
    plan: Plan
    level: Level
    """What parts of layers the search gave multipliers to when it found the plan."""
    hls_config: dict[str, Any]
    """The design's configuration with the plan, for conversion. Where an int8 network was made a
    design, its plan is given beside the network."""


@dataclass(frozen=True)
class Choices:
    """What :func:`explore` found."""

    baseline: float
    """Accuracy on the test examples with exact multipliers."""
    front: tuple[Choice, ...]
    """By energy, the cheapest first."""
    left_out: Mapping[str, str]
    """By name, the multiplying layers that keep hls4ml's own products, and why. Their
    multiplications are not in the energies."""
    outcome: exploration.Outcome
    """The exploration as of :mod:`axynq.emulator.studies.search`."""

    def cheapest(self, loss: float = 0.01) -> Choice:
        """The choice with the least energy whose accuracy is at most ``loss`` below the baseline.

        Raises:
            PlanError: there is none.
        """
        for choice in self.front:
            # The difference of two shares is not exactly a decimal.
            if choice.accuracy >= self.baseline - loss - 1e-9:
                return choice
        raise PlanError(
            f"no plan that was found is within {loss:g} of the accuracy of {self.baseline:g}"
        )


def sensitivity(
    hls_model: Any,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    multipliers: str | Sequence[str],
    advance: Callable[[int], None] = lambda evaluations: None,
) -> LayerSensitivity:
    """How much accuracy each layer of a design loses under multipliers: each layer alone, and the
    first layers together.

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


def explore(
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
            not changed, and need not be compiled. Its own multipliers play no part.
        x: inputs that the search measures accuracy on, real numbers [examples, ...] as for
            ``predict``; where the design was made of an int8 network, as for ``Emulator.run``.
        y: their labels: class numbers [examples], or one-hot rows [examples, classes].
        library: specifications of multipliers to choose from, such as ``exact`` and ``roup:1,4``.
        levels: what parts of layers have a multiplier each, of
            :data:`axynq.emulator.studies.search.space.LEVELS`.
        test: other examples, ``(x, y)``, that the best plans are measured on; default: all of
            those given. What a search chose by is a little too good on the same examples.
        max_loss: plans that lose more accuracy than this on the search's examples, 0 to 1, are not
            acceptable; default: all are, but for the lowest accuracy that ``settings`` give.
        settings: population, number of evaluations and seed of the search.
        classes: parts of a layer that have a multiplier each at most, with levels below layers.
        skips: choices of ``klms`` besides none.
        search_examples: of the first examples, the search takes so many, evenly spread; None: all.
        finalists: plans of each level that are measured on the test examples.
        energy: figures by multiplier, or where they are from: one of
            :data:`axynq.emulator.energy.SHIPPED`, or a JSON file.
        folder: where evaluations are kept: the same call takes up what is there. Default: nothing
            is kept.
        threads: of the evaluations; default: ``AXYNQ_THREADS``, or all cores.
        progress: told how far it is.

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
    )
    with ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="axynq-explore-"))
        store = stack.enter_context(Store(Path(folder) / "evaluations.sqlite"))
        outcome = exploration.explore(task, store, setup.workers, progress)
    config = _configuration(hls_model)
    front = tuple(_choice(candidate, config) for candidate in outcome.front())
    return Choices(outcome.baseline, front, setup.left_out, outcome)


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


def _choice(candidate: Candidate, config: Mapping[str, Any]) -> Choice:
    return Choice(
        candidate.accuracy,
        candidate.energy,
        candidate.plan,
        candidate.level,
        with_plan(config, candidate.plan),
    )
