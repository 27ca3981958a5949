# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq tune``: weights and biases that fit a plan's multipliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from axynq.emulator import Emulator, files, load_model, save_model
from axynq.emulator.datasets import Split
from axynq.emulator.energy import relative_energy
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.tuning.compensation import Method, frozen
from axynq.emulator.studies.tuning.compensation import tune as tune_network
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.emulator.studies.tuning.weights import WeightRule
from axynq.host.cli.inputs import (
    DataOption,
    EnergyOption,
    LimitOption,
    MethodOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    WeightsOption,
    check_can_be_written,
    read_energy,
    read_examples,
    read_plan,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import progress_bar


@dataclass(frozen=True)
class Inputs:
    """What to tune, and with what."""

    network: Model
    plan: Plan
    calibration: Examples
    test: Examples
    weights: WeightRule
    compensate: bool
    method: Method


class Outcome(NamedTuple):
    """Files that were written, and accuracies on the test examples."""

    plan_path: Path
    exact: float
    """Before, with exact multipliers."""
    before: float
    """Under the plan."""
    after: float
    """The tuned network under its plan."""


def tune(
    model: ModelArgument,
    plan: PlanOption,
    data: DataOption,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The .tflite file to write the tuned network to; its plan goes beside it, into "
            ".plan.json.",
            metavar="FILE",
        ),
    ],
    weights: WeightsOption = "histogram",
    compensate: Annotated[
        bool, typer.Option(help="Take the mean error of each filter off its bias.")
    ] = True,
    method: MethodOption = Method.BEST,
    calibration_examples: Annotated[
        int, typer.Option(min=1, help="Examples to tune with; their labels are not used.")
    ] = 1024,
    calibration_split: Annotated[
        Split, typer.Option(help="The part of the data that the examples to tune with are from.")
    ] = "train",
    split: SplitOption = "test",
    limit: LimitOption = None,
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Fit a network's weights and biases to a plan.

    Nothing is trained. The result has the same quantisation.
    """
    _check_plan_stays(plan, output)
    network = load_model(model)
    check_can_be_written(network)
    chosen = read_plan(network, plan)
    inputs = Inputs(
        network,
        chosen,
        read_examples(network, data, calibration_split, calibration_examples),
        read_examples(network, data, split, limit),
        weights,
        compensate,
        method,
    )
    with progress_bar(f"tuning {network.name}", len(network.layers)) as advance:
        outcome = measure(inputs, output, advance)
    spent = relative_energy(network, chosen, read_energy(network, chosen, energy))
    if json:
        print_json(
            "axynq/tune/1",
            {
                "model": str(model),
                "plan": plan,
                "output": str(output),
                "output_plan": str(outcome.plan_path),
                "weights": weights,
                "compensate": compensate,
                "examples": len(inputs.test),
                "accuracy_exact": outcome.exact,
                "accuracy_before": outcome.before,
                "accuracy": outcome.after,
                "relative_energy": spent,
            },
        )
    else:
        title = f"{network.name} on {len(inputs.test)} examples"
        _show(title, plan, outcome, spent)
        console.note(f"wrote {output} and {outcome.plan_path}")


def _plan_beside(output: Path) -> Path:
    return output.with_suffix(".plan.json")


def _check_plan_stays(plan: str, output: Path) -> None:
    """The plan that is written may be another than the one that is read, which it must not replace.

    Raises:
        DataError: it would.
    """
    written = _plan_beside(output)
    if files.is_file(plan) and files.is_file(written) and written.samefile(plan):
        raise DataError(
            f"'{written}', where the tuned network's plan goes, is read by this command (--plan): "
            "give another --output"
        )


def _show(title: str, plan: str, outcome: Outcome, spent: float | None) -> None:
    shown = table("", "accuracy", title=title)
    shown.add_row("exact multipliers", percent(outcome.exact))
    shown.add_row(plan, percent(outcome.before))
    shown.add_row("the same, tuned", percent(outcome.after))
    results.print(shown)
    results.print(f"multiplier energy relative to exact: {percent(spent, 1)}")


def measure(inputs: Inputs, output: Path, advance: Callable[[int], None]) -> Outcome:
    """Tune, write the network and its plan, and measure what was written."""
    network, plan, test = inputs.network, inputs.plan, inputs.test
    tuner = Tuner(network, inputs.calibration.x, inputs.weights, inputs.compensate)
    tuned = tune_network(tuner, plan, inputs.calibration.x, inputs.method, advance)
    save_model(tuned, output)
    # Skipping by weight value means other weights now: the plan beside the network says which.
    fixed = frozen(plan, network)
    plan_path = _plan_beside(output)
    fixed.save(plan_path)
    return Outcome(
        plan_path,
        exact=Emulator(network, Plan.uniform("exact")).accuracy(test.x, test.y),
        before=Emulator(network, plan).accuracy(test.x, test.y),
        after=Emulator(load_model(output), fixed).accuracy(test.x, test.y),
    )
