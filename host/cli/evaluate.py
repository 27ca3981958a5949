# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq evaluate``: accuracy of a network under a plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import typer

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import Dataset
from axynq.emulator.energy import relative_energy
from axynq.emulator.model.batch import check_classifier
from axynq.emulator.model.graph import Model
from axynq.emulator.studies.comparison import Comparison, Interval, Right, wilson_interval
from axynq.emulator.studies.evaluator import Examples
from axynq.host.cli import completion
from axynq.host.cli.inputs import (
    DataOption,
    EnergyOption,
    EngineOption,
    LimitOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    ThreadsOption,
    quantised,
    read_data,
    read_energy,
    read_plan,
)
from axynq.host.cli.output import (
    INTERVAL,
    JsonOption,
    console,
    facts,
    percent,
    percent_interval,
    points_interval,
    print_json,
    results,
)
from axynq.host.cli.progress import progress_bar

STEP = 1024
"""Examples between updates of the progress bar."""

AgainstOption = Annotated[
    Optional[Path],
    typer.Option(
        metavar="MODEL",
        help="Also run this network on the same examples and say what the first one loses against "
        "it, with an interval; default, with --against-plan: the same network.",
        autocompletion=completion.models,
    ),
]
AgainstPlanOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="PLAN",
        help="The plan of the network to compare with; default, with --against: exact.",
        autocompletion=completion.plans,
    ),
]


@dataclass(frozen=True)
class Measured:
    """A network under a plan, on all examples."""

    model: Path
    plan: str
    right: Right
    seconds: float

    @property
    def accuracy(self) -> float:
        """0 to 1."""
        return float(self.right.mean())

    @property
    def interval(self) -> Interval:
        """Of the accuracy."""
        return wilson_interval(int(self.right.sum()), len(self.right))


def evaluate(
    model: ModelArgument,
    data: DataOption,
    plan: PlanOption = "exact",
    against: AgainstOption = None,
    against_plan: AgainstPlanOption = None,
    split: SplitOption = "test",
    limit: LimitOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Measure the accuracy of a network under a plan, by emulation.

    The emulation is bit-exact: the accelerator gives the same outputs.
    """
    network, chosen = _read(model, plan)
    compared = against is not None or against_plan is not None
    other_model, other_plan = against or model, against_plan or "exact"
    other = _read(other_model, other_plan) if compared else None
    examples = read_data(data, split, limit)
    figures = read_energy(network, chosen, energy)
    emulator = Emulator(network, chosen, engine, threads)
    measured = _measured(emulator, model, plan, examples)
    reference = None
    if other is not None:
        reference = _measured(Emulator(*other, engine, threads), other_model, other_plan, examples)
    spent = relative_energy(network, chosen, figures)
    if json:
        print_json(
            "axynq/evaluate/1",
            {
                "model": str(model),
                "plan": plan,
                "examples": len(examples),
                "accuracy": measured.accuracy,
                "accuracy_interval": measured.interval,
                "relative_energy": spent,
                "energy_figures": energy,
                "engine": emulator.engine,
                "threads": emulator.threads,
                "seconds": round(measured.seconds, 3),
                "weights_by_multiplier": {
                    name: codes.counts() for name, codes in emulator.codes.items()
                },
                **({} if reference is None else _against(reference, measured)),
            },
        )
        return
    rows = [
        ("plan", plan),
        ("accuracy", percent(measured.accuracy)),
        (INTERVAL, percent_interval(measured.interval)),
    ]
    if reference is not None:
        comparison = Comparison.of(reference.right, measured.right)
        rows += [
            ("compared with", f"{other_model}, {other_plan}"),
            ("its accuracy", percent(reference.accuracy)),
            ("loss against it, points", f"{100 * comparison.loss:.2f}"),
            (INTERVAL, points_interval(comparison.loss_interval())),
            ("p-value (McNemar, exact)", f"{comparison.p_value():.2g}"),
        ]
    rows += [
        ("multiplier energy", f"{percent(spent, 1)} of exact ({energy})"),
        ("engine", f"{emulator.engine}, {emulator.threads} threads"),
        ("examples per second", f"{len(examples) / max(measured.seconds, 1e-9):.0f}"),
    ]
    results.print(facts(f"{network.name} on {len(examples)} examples of {data}", rows))


def _read(model: Path, plan: str) -> tuple[Model, Plan]:
    network = load_model(model)
    for note in network.notes:
        console.note(note)
    check_classifier(network)
    return network, read_plan(network, plan)


def _measured(emulator: Emulator, model: Path, plan: str, data: Dataset) -> Measured:
    examples = quantised(emulator.model, data)
    with progress_bar(f"{emulator.model.name}, {plan}", len(examples)) as advance:
        right, seconds = measure(emulator, examples, advance)
    return Measured(model, plan, right, seconds)


def _against(reference: Measured, measured: Measured) -> dict[str, Any]:
    """For JSON: what a network loses against another."""
    comparison = Comparison.of(reference.right, measured.right)
    return {
        "against": {
            "model": str(reference.model),
            "plan": reference.plan,
            "accuracy": reference.accuracy,
            "accuracy_interval": reference.interval,
        },
        "accuracy_loss": comparison.loss,
        "accuracy_loss_interval": comparison.loss_interval(),
        "p_value": comparison.p_value(),
        "right_on": {
            "both": comparison.both,
            "only_against": comparison.only_first,
            "only_model": comparison.only_second,
            "neither": comparison.neither,
        },
    }


def measure(
    emulator: Emulator, examples: Examples, advance: Callable[[int], None]
) -> tuple[Right, float]:
    """Which examples are classified rightly, [examples], and seconds."""
    started = time.perf_counter()
    right = np.empty(len(examples), bool)
    for start in range(0, len(examples), STEP):
        y = emulator.run(examples.x[start : start + STEP])
        predicted = y.reshape(len(y), -1).argmax(axis=1)
        right[start : start + STEP] = predicted == examples.y[start : start + STEP]
        advance(len(y))
    return right, time.perf_counter() - started
