"""``axynq evaluate``: accuracy of a network under a plan."""

from __future__ import annotations

import time
from collections.abc import Callable

from axynq.emulator import Emulator, load_model
from axynq.emulator.energy import relative_energy
from axynq.emulator.model.batch import check_classifier
from axynq.emulator.studies.evaluator import Examples
from axynq.host.cli.inputs import (
    DataOption,
    EnergyOption,
    EngineOption,
    LimitOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    ThreadsOption,
    read_energy,
    read_examples,
    read_plan,
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
    """Measure the accuracy of a network under a plan, by emulation.

    The emulation is bit-exact: the accelerator gives the same outputs.
    """
    network = load_model(model)
    for note in network.notes:
        console.note(note)
    check_classifier(network)
    chosen = read_plan(network, plan)
    examples = read_examples(network, data, split, limit)
    figures = read_energy(network, chosen, energy)
    emulator = Emulator(network, chosen, engine, threads)
    with progress_bar(f"{network.name}, {plan}", len(examples)) as advance:
        accuracy, seconds = measure(emulator, examples, advance)
    spent = relative_energy(network, chosen, figures)
    if json:
        print_json(
            {
                "model": str(model),
                "plan": plan,
                "examples": len(examples),
                "accuracy": accuracy,
                "relative_energy": spent,
                "energy_figures": energy,
                "engine": emulator.engine,
                "threads": emulator.threads,
                "seconds": round(seconds, 3),
                "weights_by_multiplier": {
                    name: codes.counts() for name, codes in emulator.codes.items()
                },
            }
        )
        return
    shown = table("", "", title=f"{network.name} on {len(examples)} examples of {data}")
    shown.add_row("plan", plan)
    shown.add_row("accuracy", percent(accuracy))
    shown.add_row(f"multiplier energy relative to exact ({energy})", percent(spent, 1))
    shown.add_row("engine", f"{emulator.engine}, {emulator.threads} threads")
    shown.add_row("examples per second", f"{len(examples) / max(seconds, 1e-9):.0f}")
    results.print(shown)


def measure(
    emulator: Emulator, examples: Examples, advance: Callable[[int], None]
) -> tuple[float, float]:
    """Accuracy, 0 to 1, and seconds."""
    started = time.perf_counter()
    right = 0
    for start in range(0, len(examples), STEP):
        y = emulator.run(examples.x[start : start + STEP])
        predicted = y.reshape(len(y), -1).argmax(axis=1)
        right += int((predicted == examples.y[start : start + STEP]).sum())
        advance(len(y))
    return right / len(examples), time.perf_counter() - started
