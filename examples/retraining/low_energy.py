# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks for plans that save most of the energy: tuned, then retrained for long.

    pip install 'axynq[train,images]'
    python examples/retraining/low_energy.py resnet8 --data cifar10-jpeg.tar.xz

For each plan file in plans/ that begins with the network's name: weights are tuned to the plan
(`rescaled`), then trained multiplier-aware while they learn from the exact network. Every run is
recorded in results/low_energy_NETWORK.json when it is done; started again, the script goes on with
what is missing, a run that was interrupted from its last epoch. Networks are kept in --models.

Epochs are decided beforehand, the last is kept, and nothing is chosen on test images: `held_out`
are accuracies on training images that no run was trained on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from experiment import MODELS, RESULTS, Records, Subject, subject

from axynq.emulator import Plan, load_model, save_model
from axynq.emulator.energy import relative_energy
from axynq.emulator.studies.retraining import RetrainOptions, retrain
from axynq.emulator.studies.tuning.compensation import tune
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.emulator.studies.tuning.weights import WeightRule
from axynq.host.energy import energy_figures

PLANS = Path(__file__).parent / "plans"

RECIPE: dict[str, Any] = {
    **{"method": "multiplier-aware", "fitted": True, "optimiser": "adam"},
    **{"warmup": 0.05, "distillation": 0.7, "augment": True, "keep": "last", "validation": 1000},
}


def main(
    network: Annotated[str, typer.Argument(help="resnet8, resnet14 or allcnn.")],
    data: Annotated[Path, typer.Option(help="CIFAR-10, as `axynq evaluate` takes it.")],
    plan: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Name of a file in plans/ without the network's, or a multiplier for all layers; "
            "repeatable; default: all files."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Of all 49 000 images.")] = 60,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    decay: Annotated[float, typer.Option(help="Weight decay.")] = 0.0,
    weights: Annotated[str, typer.Option(help="Rule of `axynq tune`.")] = "rescaled",
    seed: Annotated[int, typer.Option(help="Of the training.")] = 0,
    batch: Annotated[int, typer.Option(help="Images of a step.")] = 128,
    teacher: Annotated[
        Optional[str],
        typer.Option(help="Network to learn from; default: itself with exact products."),
    ] = None,
    begin: Annotated[
        Optional[Path],
        typer.Option(
            help="Go on from this network, which was retrained for the plan, not a tuned one."
        ),
    ] = None,
    models: Annotated[Path, typer.Option(help="Where networks go.")] = Path("build/low_energy"),
    output: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
) -> None:
    examples = subject(network, data)
    facts = {
        "network": network,
        "data": "CIFAR-10, JPEG copies; 10 000 test images, bit-exact emulation",
        "baseline": examples.accuracy(examples.model, "exact"),
        "energy": "settled switching activity of netlists, relative to exact multipliers",
    }
    records = Records(output / f"low_energy_{network}.json", facts)
    varied = {"epochs": epochs, "batch": batch, "rate": rate, "decay": decay, "seed": seed}
    options = {**RECIPE, **varied}
    for name in plan or plans_of(network):
        key = {"plan": name, "weights": weights, "teacher": teacher or network, "options": options}
        key["begin"] = begin and begin.stem
        if records.find(**key) is None:
            records.add(**key, **run(examples, key, models, begin))
        found = records.find(**key) or {}
        loss = 100 * (facts["baseline"] - found["accuracy"])
        print(
            f"{network} {name}, {weights}, rate {rate:g}, seed {seed}: gain "
            f"{found['energy_gain']:.1%}, {found['accuracy']:.2%} ({loss:.2f} points lost), held "
            f"out {found['held_out'][0]:.2%} -> {found['held_out'][-1]:.2%}, "
            f"{found['seconds']:.0f} s",
            flush=True,
        )


def plans_of(network: str) -> list[str]:
    """Names of the files for a network."""
    return [path.stem.removeprefix(f"{network}-") for path in sorted(PLANS.glob(f"{network}-*"))]


def run(examples: Subject, key: dict[str, Any], models: Path, begin: Path | None) -> dict[str, Any]:
    """Tune, retrain and measure; the record of it."""
    name, options, model = key["plan"], key["options"], examples.model
    file = PLANS / f"{examples.name}-{name}.json"
    plan = Plan.load(file) if file.exists() else Plan.parse(model, name)
    started = time.perf_counter()
    rule: WeightRule = "second-order" if key["weights"] == "second-order" else "rescaled"
    if begin is None:
        tuned = tune(Tuner(model, examples.samples, rule), plan, examples.samples)
    else:
        tuned = load_model(begin)
    varied = [f"{options[k]:g}" for k in ("epochs", "batch", "rate", "decay", "seed")]
    label = "_".join([name.rpartition("#")[2], rule, key["teacher"], *varied])
    if begin is not None:
        label += "_again"
    path = models / examples.name / label.replace(":", "-")
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = path.with_name(path.name + ".pt")
    result = retrain(
        tuned,
        plan,
        examples.x_train,
        examples.y_train,
        RetrainOptions(**options),
        teacher=load_model(MODELS / f"{key['teacher']}_int8.tflite"),
        checkpoint=checkpoint,
    )
    save_model(result.model, path.with_name(path.name + ".tflite"))
    checkpoint.unlink(missing_ok=True)
    trained = load_model(path.with_name(path.name + ".tflite"))
    multipliers = [m for codes in plan.expand(model).values() for m in codes.multipliers]
    spent = relative_energy(model, plan, energy_figures("characterised", multipliers))
    return {
        "energy_gain": None if spent is None else round(1 - spent, 5),
        "accuracy_tuned": examples.accuracy(tuned, plan),
        "accuracy": examples.accuracy(trained, plan),
        "held_out": [round(epoch.accuracy, 4) for epoch in result.history],
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    typer.run(main)
