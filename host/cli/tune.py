"""``axynq tune``: weights and biases that fit a plan's multipliers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from axynq.emulator import Emulator, load_model, save_model
from axynq.emulator.energy import relative_energy
from axynq.emulator.plan import Plan
from axynq.emulator.studies.tuning.compensation import Method, frozen
from axynq.emulator.studies.tuning.compensation import tune as tune_network
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.cli.inputs import (
    DataOption,
    EnergyOption,
    LimitOption,
    MethodOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    WeightsOption,
    read_energy,
    read_examples,
    read_plan,
    read_weight_rule,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    progress_bar,
    results,
    table,
)


def tune(
    model: ModelArgument,
    plan: PlanOption,
    data: DataOption,
    output: Annotated[Path, typer.Option(help="The tuned network, a .tflite file.")],
    weights: WeightsOption = "histogram",
    compensate: Annotated[
        bool, typer.Option(help="Take the mean error of each filter off its bias.")
    ] = True,
    method: MethodOption = Method.BEST,
    calibration: Annotated[
        int, typer.Option(min=1, help="Examples of the train split to tune with.")
    ] = 1024,
    calibration_split: Annotated[str, typer.Option(help="Where those are from.")] = "train",
    split: SplitOption = "test",
    limit: LimitOption = None,
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Tune a network's weights and biases to a plan, without retraining."""
    network = load_model(model)
    chosen = read_plan(network, plan)
    known = read_examples(network, data, calibration_split, calibration)
    tested = read_examples(network, data, split, limit)
    tuner = Tuner(network, known.x, read_weight_rule(weights), compensate)
    with progress_bar(f"tuning {network.name}", len(network.layers)) as advance:
        tuned = tune_network(tuner, chosen, known.x, method, advance)
    save_model(tuned, output)
    # Skipping by weight value means other weights now: the plan beside the network says which.
    fixed = frozen(chosen, network)
    plan_path = output.with_suffix(".plan.json")
    fixed.save(plan_path)
    outcome: dict[str, Any] = {
        "model": str(model),
        "plan": plan,
        "output": str(output),
        "output_plan": str(plan_path),
        "weights": weights,
        "compensate": compensate,
        "examples": len(tested),
        "accuracy_exact": Emulator(network, Plan.uniform("exact")).accuracy(tested.x, tested.y),
        "accuracy_before": Emulator(network, chosen).accuracy(tested.x, tested.y),
        "accuracy": Emulator(load_model(output), fixed).accuracy(tested.x, tested.y),
        "relative_energy": relative_energy(network, chosen, read_energy(network, chosen, energy)),
    }
    if json:
        print_json(outcome)
        return
    shown = table("", "accuracy", title=f"{network.name} on {len(tested)} examples")
    shown.add_row("exact multipliers", percent(outcome["accuracy_exact"]))
    shown.add_row(plan, percent(outcome["accuracy_before"]))
    shown.add_row("the same, tuned", percent(outcome["accuracy"]))
    results.print(shown)
    results.print(f"multiplier energy relative to exact: {percent(outcome['relative_energy'], 1)}")
    console.print(f"wrote {output} and {plan_path}")
