"""``axynq evaluate``: accuracy of a network under a plan."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.energy import relative_energy
from axynq.host.cli.inputs import (
    DataOption,
    EnergyOption,
    EngineOption,
    LimitOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    ThreadsOption,
    check_labels,
    read_data,
    read_energy,
    read_plan,
)
from axynq.host.cli.output import JsonOption, percent, print_json, progress_bar, results, table

STEP = 1024
"""Examples between updates of the progress bar."""


def evaluate(
    model: ModelArgument,
    data: DataOption,
    plan: PlanOption = "exact",
    split: SplitOption = "test",
    limit: LimitOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Measure the accuracy of a network under a plan, by bit-exact emulation."""
    network = load_model(model)
    chosen = read_plan(network, plan)
    examples = read_data(data, split, limit)
    x = quantise_examples(network.input, examples.x)
    check_labels(examples, int(np.prod(network.output.shape)))
    figures = read_energy(network, chosen, energy)
    emulator = Emulator(network, chosen, engine, threads)
    started = time.perf_counter()
    right = 0
    with progress_bar(f"{network.name}, {plan}", len(x)) as advance:
        for start in range(0, len(x), STEP):
            y = emulator.run(x[start : start + STEP])
            predicted = y.reshape(len(y), -1).argmax(axis=1)
            right += int((predicted == examples.y[start : start + STEP]).sum())
            advance(len(y))
    outcome: dict[str, Any] = {
        "model": str(model),
        "plan": plan,
        "examples": len(x),
        "accuracy": right / len(x),
        "relative_energy": relative_energy(network, chosen, figures),
        "energy_figures": energy,
        "engine": emulator.engine,
        "threads": emulator.threads,
        "seconds": round(time.perf_counter() - started, 3),
        "weights_by_multiplier": {name: codes.counts() for name, codes in emulator.codes.items()},
    }
    if json:
        print_json(outcome)
        return
    shown = table("", "", title=f"{network.name} on {len(x)} examples of {data}")
    shown.add_row("plan", plan)
    shown.add_row("accuracy", percent(outcome["accuracy"]))
    shown.add_row(
        f"multiplier energy relative to exact ({energy})", percent(outcome["relative_energy"], 1)
    )
    shown.add_row("engine", f"{emulator.engine}, {emulator.threads} threads")
    shown.add_row("examples per second", f"{len(x) / max(outcome['seconds'], 1e-9):.0f}")
    results.print(shown)
