# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Table I of the MAx-DNN paper, for any network.

Fronts of ``axynq explore`` against networks that use one EvoApprox multiplier everywhere:

    axynq explore MODEL --data D --output found --levels filter,channel,row
    python examples/exploration/table1.py MODEL --data D --evoapprox evoapprox_mul8u.npz \
        --front found/front.json --output table1.json

The file of EvoApprox multipliers holds 256 x 256 tables by name, such as mul8u_2AC. Evaluations are
kept beside the output; started again, the script goes on where it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from axynq.emulator import Plan, files, load_model
from axynq.emulator.energy import EnergyFigures, relative_energy
from axynq.emulator.model.graph import Model
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.search.measure import Measure
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import LocalWorker
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.emulator.studies.tuning.weights import WEIGHT_RULES, WeightRule
from axynq.host.cli.inputs import read_examples

NAMES = ("mul8u_2AC", "mul8u_2HH", "mul8u_NGR", "mul8u_ZFB", "mul8u_7C1")
"""The five of the paper."""

GRAINED = ("filter", "channel", "row", "column")
"""Levels of FLAM and KLAM."""


def main(
    model: Path,
    data: Annotated[Path, typer.Option(help="Labelled images.")],
    evoapprox: Annotated[Path, typer.Option(help="Tables of EvoApprox multipliers, .npz.")],
    front: Annotated[list[Path], typer.Option(help="front.json of an exploration; repeatable.")],
    output: Annotated[Path, typer.Option(help="Raw figures, .json.")],
    weights: Annotated[
        list[str], typer.Option(help="Also with weights tuned by this rule; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    limit: Annotated[int, typer.Option(help="Test examples.")] = 10_000,
    energy: Annotated[
        str, typer.Option(help="characterised, characterised-glitches, published, or a .json file.")
    ] = "characterised",
) -> None:
    network = load_model(model)
    tested = read_examples(network, data, "test", limit)
    figures = EnergyFigures(energy)
    rows: list[dict[str, Any]] = []
    with Store(output.with_suffix(".sqlite")) as store:
        baseline = _measure(network, tested, store, None).accuracies([Plan.uniform()])[0]
        for rule in ("none", *weights):
            tuner = None
            if rule != "none":
                known = read_examples(network, data, "train", 1024)
                tuner = Tuner(network, known.x, _rule(rule), compensate=True)
            measure = _measure(network, tested, store, tuner)
            for name in NAMES:
                plan = Plan.uniform(f"table:{evoapprox}#{name}")
                accuracy = measure.accuracies([plan])[0]
                relative = relative_energy(network, plan, figures)
                rows.append(_row("uniform, EvoApprox", name, rule, relative, accuracy, baseline))
                print(_line(rows[-1]), flush=True)
    evo = list(rows)
    summary: list[dict[str, Any]] = []
    for path in front:
        ours = _front_rows(json.loads(path.read_text()), path.parent.name, len(tested))
        rows += ours
        summary += _summary(evo, ours, path.parent.name)
    content = {
        "model": model.name,
        "test_examples": len(tested),
        "baseline_accuracy": baseline,
        "energy": "multiplications times relative energy; sources as in each front's 'energies', "
        "EvoApprox: power x delay over that of the exact mul8u_1JFF",
        "rows": rows,
        "summary": summary,
    }
    files.write_text(output, json.dumps(content, indent=2) + "\n")
    print("\n".join(["", "| approach | configuration | tuning | energy saved | accuracy loss |",
                     "|---|---|---|---|---|", *map(_line, rows)]))  # fmt: skip
    print(json.dumps(summary, indent=2))


def _measure(network: Model, examples: Examples, store: Store, tuner: Tuner | None) -> Measure:
    worker = LocalWorker(Evaluator(network, examples, tuner, cache_bytes=0))
    return Measure(network, len(examples), worker, store)


def _rule(text: str) -> WeightRule:
    return next(rule for rule in WEIGHT_RULES if rule == text)


def _row(
    approach: str, name: str, tuning: str, relative: float | None, accuracy: float, baseline: float
) -> dict[str, Any]:
    if relative is None:
        raise typer.BadParameter(f"there is no energy figure for {name}: give them by --energy")
    return {
        "approach": approach,
        "configuration": name,
        "tuning": tuning,
        "energy_gain": 1 - relative,
        "accuracy": accuracy,
        "accuracy_loss": baseline - accuracy,
    }


def _front_rows(content: dict[str, Any], front: str, examples: int) -> list[dict[str, Any]]:
    """The points of the filter and kernel levels that nothing beats."""
    if content["test_examples"] != examples:
        raise typer.BadParameter(
            f"the front was measured on {content['test_examples']} examples, not on {examples}"
        )
    points = [p for p in content["points"] if p["level"] in GRAINED and p["on_front"]]
    return [
        _row(
            f"proposed, {front}", p["name"], content["tuning"]["weights"], 1 - p["energy_gain"],
            p["accuracy"], content["baseline_accuracy"],
        )
        for p in points
    ]  # fmt: skip


def _summary(
    evo: list[dict[str, Any]], ours: list[dict[str, Any]], front: str
) -> list[dict[str, Any]]:
    """For each EvoApprox network the front's largest gain at no less accuracy."""
    found = []
    for row in evo:
        able = [mine for mine in ours if mine["accuracy"] >= row["accuracy"]]
        best = max(able, key=lambda mine: mine["energy_gain"], default=None)
        found.append(
            {
                "against": row["configuration"],
                "its_tuning": row["tuning"],
                "its_gain": row["energy_gain"],
                "front": front,
                "best": None if best is None else best["configuration"],
                "gain": None if best is None else best["energy_gain"],
                "ratio": None if best is None else best["energy_gain"] / row["energy_gain"],
            }
        )
    return found


def _line(row: dict[str, Any]) -> str:
    return (
        f"| {row['approach']} | {row['configuration']} | {row['tuning']} "
        f"| {100 * row['energy_gain']:.1f} % | {100 * row['accuracy_loss']:.2f} points |"
    )


if __name__ == "__main__":
    typer.run(main)
