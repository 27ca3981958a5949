# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Ways of gradients through approximate products, compared: accuracy after a short retraining.

    pip install 'axynq[train,images]'
    python examples/retraining/gradients.py resnet8 --data cifar10-jpeg.tar.xz

All methods compute the approximate network itself on the way forward, and start from the network
as it is. What counts of a method is the learning rate (and the smoothing, of those by slopes), of
those tried, that does best on training images held out; test images choose nothing. Every run is
recorded in results/gradients_NETWORK.json when it is done; started again, the script goes on with
what is missing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from experiment import RESULTS, Records, Subject, short, subject

from axynq.emulator.studies.retraining import RetrainOptions, retrain

BY_SLOPES = ("lut-1d", "lut-2d")

METHODS = ("behavioural", "multiplier-aware", *BY_SLOPES)

EVOAPPROX = ("mul8u_ZFB",)

MULTIPLIERS = ("roup:3,0", "smapprox:3333", "smapprox:2222", "roup:2,6", *EVOAPPROX)
"""Those of EvoApproxLib by their names."""

COARSE, USUAL = (6e-4, 2e-3), (1e-4, 3e-4)

RATES = {"smapprox:3333": COARSE, "smapprox:2222": COARSE}
"""Learning rates to try by multiplier; for others, the usual ones."""

IMAGES = 8_400
"""Training images, evenly spread: 100 steps, and those held out."""

RECIPE: dict[str, Any] = {
    **{"epochs": 1, "batch": 64, "optimiser": "adam", "warmup": 0.1, "augment": True},
    **{"keep": "last", "validation": 2000},
}


def main(
    network: Annotated[str, typer.Argument(help="resnet8, resnet14 or allcnn.")],
    data: Annotated[Path, typer.Option(help="CIFAR-10, as `axynq evaluate` takes it.")],
    evoapprox: Annotated[
        Optional[Path], typer.Option(help="evoapprox_mul8u.npz; default: without its multipliers.")
    ] = None,
    multiplier: Annotated[Optional[list[str]], typer.Option(help="Repeatable; default: all.")] = (
        None
    ),
    method: Annotated[Optional[list[str]], typer.Option(help="Repeatable; default: all.")] = None,
    rate: Annotated[
        Optional[list[float]], typer.Option(help="Repeatable; default: two by multiplier.")
    ] = None,
    smoothing: Annotated[
        Optional[list[int]], typer.Option(help="Repeatable; default: 32. Of methods by slopes.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs at the best rate, each with a seed.")] = 1,
    device: Annotated[
        Optional[str], typer.Option(help="PyTorch's; default: a GPU if there is one.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
) -> None:
    examples = subject(network, data)
    facts = {
        "network": network,
        "data": "CIFAR-10, JPEG copies; 10 000 test images, bit-exact emulation",
        "baseline": examples.accuracy(examples.model, "exact"),
        "recipe": RECIPE,
        "images": IMAGES,
    }
    records = Records(output / f"gradients_{network}.json", facts)
    for name in multiplier or MULTIPLIERS:
        plan = specification(name, evoapprox)
        if plan is None:
            continue
        if records.find(multiplier=name, method="before") is None:
            before = examples.accuracy(examples.model, plan)
            records.add(multiplier=name, method="before", accuracy=before)
        for chosen in method or METHODS:
            rates = rate or [*RATES.get(name, USUAL)]
            settings = [{"rate": one} for one in rates]
            if chosen in BY_SLOPES:
                settings = [{**one, "smoothing": h} for one in settings for h in smoothing or [32]]
            compare(examples, records, name, plan, chosen, settings, seeds, device)
    print(markdown(records))


def specification(name: str, evoapprox: Path | None) -> str | None:
    """The plan for a multiplier's name; None where its table is not given."""
    if name not in EVOAPPROX:
        return name
    return None if evoapprox is None else f"table:{evoapprox}#{name}"


def compare(
    examples: Subject, records: Records, name: str, plan: str, method: str,
    settings: list[dict[str, Any]], seeds: int, device: str | None,
) -> None:  # fmt: skip
    """All settings with one seed, then the best of them with the others."""
    tried = [done(examples, records, name, plan, method, s, 0, device) for s in settings]
    best = tried.index(max(tried, key=lambda run: float(run["held_out"])))
    for seed in range(1, seeds):
        done(examples, records, name, plan, method, settings[best], seed, device)


def done(
    examples: Subject, records: Records, name: str, plan: str, method: str,
    setting: dict[str, Any], seed: int, device: str | None,
) -> dict[str, Any]:  # fmt: skip
    """The record of a run, which is made if there is none."""
    key = {"multiplier": name, "method": method, **setting, "seed": seed}
    found = records.find(**key)
    if found is not None:
        return found
    started = time.perf_counter()
    options = RetrainOptions(method=method, seed=seed, **setting, **RECIPE)  # type: ignore[arg-type]
    result = retrain(examples.model, plan, *examples.part(IMAGES), options, device=device)
    seconds = time.perf_counter() - started
    records.add(
        **key,
        held_out=result.history[-1].accuracy,
        accuracy=examples.accuracy(result.model, plan),
        seconds=round(seconds, 1),
    )
    made = records.find(**key)
    assert made is not None
    print(
        f"{examples.name} {short(name):>9} {method:<17} {setting} seed {seed}: "
        f"held out {made['held_out']:.2%}, test {made['accuracy']:.2%}, {seconds:.0f} s",
        flush=True,
    )
    return made


def of_best_setting(records: Records, multiplier: str, method: str) -> list[dict[str, Any]]:
    """The runs with the setting that does best, with the first seed, on images held out."""
    runs = [
        run
        for run in records.content["runs"]
        if (run["multiplier"], run["method"]) == (multiplier, method)
    ]
    first = [run for run in runs if run["seed"] == 0]
    if not first:
        return []
    best = max(first, key=lambda run: float(run["held_out"]))
    return [run for run in runs if setting_of(run) == setting_of(best)]


def setting_of(run: dict[str, Any]) -> tuple[Any, ...]:
    return run["rate"], run.get("smoothing")


def markdown(records: Records) -> str:
    """Mean accuracies in percent."""
    lines = [f"| multiplier | as it is | {' | '.join(METHODS)} |", f"|---{'|---' * 5}|"]
    for name in MULTIPLIERS:
        before = records.find(multiplier=name, method="before")
        if before is None:
            continue
        cells = [f"{100 * before['accuracy']:.2f}"]
        for method in METHODS:
            runs = of_best_setting(records, name, method)
            mean = sum(run["accuracy"] for run in runs) / max(1, len(runs))
            cells.append(f"{100 * mean:.2f}" if runs else "")
        lines.append(f"| {short(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
