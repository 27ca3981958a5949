"""Ways of gradients through approximate products, compared: accuracy after a short retraining.

    pip install 'axynq[train,images]'
    python examples/retraining/gradients.py resnet8 --data cifar10-jpeg.tar.xz

All methods compute the approximate network itself on the way forward, and start from the network
as it is. What counts of a method is the learning rate, of those tried, that does best on training
images held out; test images choose nothing. Every run is recorded in
results/gradients_NETWORK.json when it is done; started again, the script goes on with what is
missing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from experiment import RESULTS, Records, Subject, short, subject

from axynq.emulator.studies.retraining import RetrainOptions, retrain

METHODS = ("behavioural", "multiplier-aware", "lut-1d", "lut-2d")

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
            compare(examples, records, name, plan, chosen, rates, seeds, device)
    print(markdown(records))


def specification(name: str, evoapprox: Path | None) -> str | None:
    """The plan for a multiplier's name; None where its table is not given."""
    if name not in EVOAPPROX:
        return name
    return None if evoapprox is None else f"table:{evoapprox}#{name}"


def compare(
    examples: Subject, records: Records, name: str, plan: str, method: str, rates: list[float],
    seeds: int, device: str | None,
) -> None:  # fmt: skip
    """All rates with one seed, then the best of them with the others."""
    tried = {
        rate: done(examples, records, name, plan, method, rate, 0, device)["held_out"]
        for rate in rates
    }
    best = max(tried, key=lambda rate: tried[rate])
    for seed in range(1, seeds):
        done(examples, records, name, plan, method, best, seed, device)


def done(
    examples: Subject, records: Records, name: str, plan: str, method: str, rate: float, seed: int,
    device: str | None,
) -> dict[str, Any]:  # fmt: skip
    """The record of a run, which is made if there is none."""
    key = {"multiplier": name, "method": method, "rate": rate, "seed": seed}
    found = records.find(**key)
    if found is not None:
        return found
    started = time.perf_counter()
    options = RetrainOptions(method=method, rate=rate, seed=seed, **RECIPE)  # type: ignore[arg-type]
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
        f"{examples.name} {short(name):>9} {method:<17} rate {rate:g} seed {seed}: "
        f"held out {made['held_out']:.2%}, test {made['accuracy']:.2%}, {seconds:.0f} s",
        flush=True,
    )
    return made


def of_best_rate(records: Records, multiplier: str, method: str) -> list[dict[str, Any]]:
    """The runs at the rate that does best, with the first seed, on images held out."""
    runs = [
        run
        for run in records.content["runs"]
        if (run["multiplier"], run["method"]) == (multiplier, method) and "rate" in run
    ]
    first = [run for run in runs if run["seed"] == 0]
    if not first:
        return []
    best = max(first, key=lambda run: float(run["held_out"]))["rate"]
    return [run for run in runs if run["rate"] == best]


def markdown(records: Records) -> str:
    """Mean accuracies in percent."""
    lines = [f"| multiplier | as it is | {' | '.join(METHODS)} |", f"|---{'|---' * 5}|"]
    for name in MULTIPLIERS:
        before = records.find(multiplier=name, method="before")
        if before is None:
            continue
        cells = [f"{100 * before['accuracy']:.2f}"]
        for method in METHODS:
            runs = of_best_rate(records, name, method)
            mean = sum(run["accuracy"] for run in runs) / max(1, len(runs))
            cells.append(f"{100 * mean:.2f}" if runs else "")
        lines.append(f"| {short(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
