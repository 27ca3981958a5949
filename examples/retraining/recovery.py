# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Accuracy before and after retraining, by multiplier and method (Fig. 6 and 7 of the
error-modelling paper), and what a longer recipe reaches.

    pip install 'axynq[train,images,plot]'
    python examples/retraining/recovery.py resnet8 --data cifar10-jpeg.tar.xz

Every run is recorded in results/recovery_NETWORK.json when it is done; started again, the script
goes on with what is missing, a run that was interrupted from its last epoch. Retrained networks are
kept in --models, for cross_evaluation.py and for `axynq run`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from experiment import MULTIPLIERS, RESULTS, Records, Subject, short, subject

from axynq.emulator import Plan, load_model, save_model
from axynq.emulator.model.graph import Model
from axynq.emulator.studies.retraining import RetrainOptions, retrain
from axynq.emulator.studies.tuning.compensation import tune
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.emulator.studies.tuning.weights import WeightRule


@dataclass(frozen=True)
class Recipe:
    """A way to a network for a plan."""

    options: dict[str, Any] | None
    """Of `axynq retrain`; None: no retraining."""
    images: int | None = None
    """Training images of an epoch, evenly spread; None: all."""
    tuned: WeightRule = "none"
    """Begins with the network that `axynq tune` makes by this rule."""
    multipliers: tuple[str, ...] = MULTIPLIERS
    """What it is for, unless others are asked for."""

    @property
    def key(self) -> dict[str, Any]:
        """What a result must agree in."""
        return {"options": self.options, "images": self.images}


USUAL: dict[str, Any] = {
    **{"batch": 64, "optimiser": "adam", "augment": True, "keep": "last", "validation": 500}
}


def short_run(method: str) -> Recipe:
    """The methods compared, each for 125 steps."""
    return Recipe({"method": method, "epochs": 1, "rate": 5e-4, **USUAL}, 8_500)


METHODS = ("plain", "weight-noise", "gaussian", "error-model", "behavioural")

RECIPES = {
    **{method: short_run(method) for method in METHODS},
    "tuned": Recipe(None, tuned="second-order"),
    "tuned, rescaled": Recipe(None, tuned="rescaled"),
    "error-model, tuned": Recipe(
        {"method": "error-model", "epochs": 1, "rate": 2e-4, "distillation": 0.7, **USUAL},
        12_500,
        tuned="second-order",
    ),
    "multiplier-aware, tuned": Recipe(
        {
            **{"method": "multiplier-aware", "fitted": True, "epochs": 3, "rate": 6e-4},
            **{"warmup": 0.1, "distillation": 1.0, **USUAL},
        },
        tuned="second-order",
        multipliers=("smapprox:3333", "smapprox:2222"),
    ),
}
"""By the name that they have in results and pictures."""

SHOWN = {
    "fig6": ("before", "weight-noise", "gaussian", "error-model"),
    "fig7": ("before", "behavioural", "error-model"),
    "beyond": (
        *("before", "tuned", "tuned, rescaled", "error-model, tuned", "multiplier-aware, tuned"),
    ),
}


def main(
    network: Annotated[str, typer.Argument(help="resnet8, resnet14 or allcnn.")],
    data: Annotated[Path, typer.Option(help="CIFAR-10, as `axynq evaluate` takes it.")],
    recipe: Annotated[list[str], typer.Option(help="Repeatable; default: all.")] = [  # noqa: B006 - copied
        *RECIPES
    ],
    multiplier: Annotated[
        Optional[list[str]], typer.Option(help="Repeatable; default: those a recipe is for.")
    ] = None,
    models: Annotated[Path, typer.Option(help="Where retrained networks go.")] = Path(
        "build/retraining"
    ),
    output: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
    pictures: Annotated[Path, typer.Option(help="Folder of pictures.")] = Path("build/retraining"),
) -> None:
    examples = subject(network, data)
    baseline = examples.accuracy(examples.model, "exact")
    facts = {
        "network": network,
        "data": "CIFAR-10, JPEG copies; 10 000 test images, bit-exact emulation",
        "baseline": baseline,
    }
    records = Records(output / f"recovery_{network}.json", facts)
    for chosen in recipe:
        key = RECIPES[chosen].key
        for plan in multiplier or RECIPES[chosen].multipliers:
            if records.find(multiplier=plan, recipe="before") is None:
                before = examples.accuracy(examples.model, plan)
                records.add(multiplier=plan, recipe="before", accuracy=before)
            if records.find(multiplier=plan, recipe=chosen, **key) is None:
                records.add(**run(examples, plan, chosen, models, records))
                print(line(records, plan, chosen), flush=True)
    pictures.mkdir(parents=True, exist_ok=True)
    for name, shown in SHOWN.items():
        draw(records, shown, pictures / f"{network}_{name}.png")
    print(markdown(records))


def run(examples: Subject, plan: str, name: str, models: Path, records: Records) -> dict[str, Any]:
    """Retrain and measure; the record of it."""
    recipe = RECIPES[name]
    path = models / examples.name / file_name(plan, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"multiplier": plan, "recipe": name, **recipe.key}
    if name == "plain":
        # Knows nothing of multipliers: one network for all.
        path = path.with_name(file_name("exact", name))
        if path.exists() and (trained := records.find(recipe=name, **recipe.key)):
            model = load_model(path)
            return {**trained, **record, "accuracy": examples.accuracy(model, plan)}
    started = time.perf_counter()
    start = examples.model
    if recipe.tuned != "none":
        start = tuned(examples, plan, recipe.tuned)
    if recipe.options is None:
        save_model(start, path)
        return {**record, "accuracy": examples.accuracy(start, plan)}
    checkpoint = path.with_suffix(".pt")
    result = retrain(
        start,
        "exact" if name == "plain" else plan,
        *examples.part(recipe.images),
        RetrainOptions(**recipe.options),
        teacher=examples.model,
        checkpoint=checkpoint,
    )
    save_model(result.model, path)
    checkpoint.unlink()
    return {
        **record,
        "accuracy": examples.accuracy(result.model, plan),
        "held_out": [round(epoch.accuracy, 4) for epoch in result.history],
        "seconds": round(time.perf_counter() - started, 1),
    }


def file_name(plan: str, recipe: str) -> str:
    """Of a retrained network."""
    return f"{plan}_{recipe}.tflite".replace(":", "_").replace(", ", "_").replace(",", "_")


def tuned(examples: Subject, plan: str, rule: WeightRule) -> Model:
    """The network with weights tuned to the multiplier and mean errors taken off the biases."""
    tuner = Tuner(examples.model, examples.samples, rule)
    return tune(tuner, Plan.parse(examples.model, plan), examples.samples)


def line(records: Records, plan: str, recipe: str) -> str:
    found = records.find(multiplier=plan, recipe=recipe) or {}
    loss = 100 * (records.content["baseline"] - found["accuracy"])
    return f"{short(plan):>9} {recipe:<22} {found['accuracy']:.2%} ({loss:+.2f} points lost)"


def columns(records: Records) -> list[str]:
    """What there are results of, in order."""
    return [r for r in ("before", *RECIPES) if records.find(recipe=r) is not None]


def markdown(records: Records) -> str:
    names = columns(records)
    lines = [f"| multiplier | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for plan in MULTIPLIERS:
        found = [records.find(multiplier=plan, recipe=name) for name in names]
        cells = [f"{100 * f['accuracy']:.2f}" if f else "" for f in found]
        lines.append(f"| {short(plan)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(records: Records, recipes: tuple[str, ...], path: Path) -> None:
    """Bars of accuracies by multiplier."""
    from axynq.emulator.pictures import new_figure, save_figure

    names = [name for name in recipes if name in columns(records)]
    figure = new_figure(10, 4.5)
    axes = figure.add_subplot()
    width = 0.8 / len(names)
    lowest = 100 * records.content["baseline"] - 18
    for index, name in enumerate(names):
        found = [records.find(multiplier=plan, recipe=name) for plan in MULTIPLIERS]
        places = [k + (index - (len(names) - 1) / 2) * width for k in range(len(found))]
        heights = [100 * f["accuracy"] if f else 0 for f in found]
        colour = "0.75" if name == "before" else f"C{index}"
        if name != "before":
            lowest = min(lowest, *(height for height in heights if height))
        axes.bar(places, heights, width, label=name, color=colour)
    baseline = 100 * records.content["baseline"]
    axes.axhline(baseline, color="black", linewidth=0.8, label=f"exact, {baseline:.2f} %")
    axes.axhline(baseline - 1, color="black", linewidth=0.8, linestyle="--", label="1 point less")
    axes.set_xticks(range(len(MULTIPLIERS)), [short(plan) for plan in MULTIPLIERS])
    axes.set_ylim(max(0, lowest - 2), baseline + 2)
    axes.set_ylabel("accuracy in %")
    axes.set_title(f"{records.content['network']}: retrained for each multiplier")
    axes.legend(ncols=3, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.08))
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
