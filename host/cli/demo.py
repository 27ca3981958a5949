# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq demo``: the main job on real data, end to end, on the software board."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import Dataset, handwritten_digits, quantise_examples
from axynq.emulator.energy import relative_energy
from axynq.emulator.errors import DeviceError
from axynq.emulator.model.graph import Model
from axynq.emulator.pictures import new_figure, save_figure
from axynq.host.cli.inputs import picture
from axynq.host.cli.output import JsonOption, console, percent, print_json, results, table
from axynq.host.compiler.compilation import compile_program
from axynq.host.runtime.accelerator import Accelerator

OVERLAY = "z2-mixed16"

Predictions = dict[str, np.ndarray[Any, np.dtype[np.int64]]]
"""Classes of all examples, by the plan's name."""

PLANS = {
    "exact": "exact",
    "one ROUP multiplier": "llam=roup:1,4",
    "mixed per filter": "flam=exact|roup:1,4|smapprox:3330",
}


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The picture to draw (.png, .svg).",
            callback=picture,
            metavar="FILE",
        ),
    ] = Path("demo.png"),
    json: JsonOption = False,
) -> None:
    """Run a CNN with approximate multipliers, without a board.

    Classifies handwritten digits on the software board (a C simulation) under three plans, and
    compares every output with the emulator's, bit for bit.
    """
    with resources.as_file(resources.files("axynq.models") / "digits_int8.tflite") as path:
        network = load_model(path)
    digits = handwritten_digits("test")
    rows, predictions = measure(network, digits, console.status)
    _draw(output, digits, predictions, rows)
    if json:
        content = {"examples": len(digits), "overlay": OVERLAY, "picture": str(output)}
        print_json("axynq/demo/1", {**content, "plans": rows})
    else:
        _show(rows, len(digits))
        console.note(f"wrote {output}")
    if any(row["outputs_that_differ"] for row in rows):
        raise DeviceError("the software board and the emulator disagree: this is a fault in axynq")


def measure(
    network: Model, digits: Dataset, status: Callable[[str], AbstractContextManager[object]]
) -> tuple[list[dict[str, Any]], Predictions]:
    """Run all plans on the software board and in the emulator: figures, and classes by plan."""
    x = quantise_examples(network.input, digits.x)
    rows: list[dict[str, Any]] = []
    predictions: Predictions = {}
    with status(f"building the software board for overlay {OVERLAY}"):
        accelerator = Accelerator(OVERLAY, device="software")
    with accelerator:
        for name, text in PLANS.items():
            plan = Plan.parse(network, text)
            program = compile_program(network, plan, OVERLAY)
            with status(f"{name}: {len(x)} digits on the software board"):
                started = time.perf_counter()
                board = accelerator.run(program, x)
                seconds = time.perf_counter() - started
            emulated = Emulator(network, plan).run(x)
            predictions[name] = board.argmax(axis=1)
            rows.append(
                {
                    "name": name,
                    "plan": text,
                    "accuracy": float((predictions[name] == digits.y).mean()),
                    "relative_energy": relative_energy(network, plan),
                    "outputs": int(board.size),
                    "outputs_that_differ": int((board != emulated).sum()),
                    "seconds": round(seconds, 2),
                }
            )
    return rows, predictions


def _show(rows: list[dict[str, Any]], examples: int) -> None:
    shown = table(
        "multipliers", "accuracy", "energy (estimate)", "board = emulator",
        title=f"{examples} held-out handwritten digits, overlay {OVERLAY} on the software board",
    )  # fmt: skip
    for row in rows:
        same = "yes" if row["outputs_that_differ"] == 0 else "NO"
        shown.add_row(
            f"{row['name']}: {row['plan']}",
            percent(row["accuracy"]),
            percent(row["relative_energy"], 1),
            f"{same}, {row['outputs']} values",
        )
    results.print(shown)


def _draw(
    output: Path,
    digits: Dataset,
    predictions: Predictions,
    rows: list[dict[str, Any]],
) -> None:
    """Accuracy against energy, and the digits on which the plans differ most."""
    figure = new_figure(10, 4.2)
    halves: Any = figure.subfigures(1, 2)
    left, right = halves
    axes = left.subplots()
    for row in rows:
        point = axes.plot(100 * row["relative_energy"], 100 * row["accuracy"], "o", markersize=10)
        axes.annotate(
            row["name"],
            (100 * row["relative_energy"], 100 * row["accuracy"]),
            xytext=(0, 10),
            textcoords="offset points",
            ha="center",
            color=point[0].get_color(),
        )
    axes.margins(0.25)
    axes.set_xlabel("estimated multiplier energy, % of exact")
    axes.set_ylabel("accuracy on held-out digits, %")
    axes.grid(alpha=0.3)
    wrong = sum((p != digits.y).astype(int) for p in predictions.values())
    chosen = np.argsort(-wrong, kind="stable")[:10]
    right.suptitle("hardest digits: label → " + ", ".join(row["name"] for row in rows), fontsize=9)
    for place, number in zip(right.subplots(2, 5).flat, chosen):
        place.imshow(digits.x[number, :, :, 0], cmap="gray_r")
        answers = ", ".join(str(p[number]) for p in predictions.values())
        place.set_title(f"{digits.y[number]} → {answers}", fontsize=9)
        place.set_axis_off()
    save_figure(figure, output)
