"""``axynq explore``: a search for the best plans of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional, cast

import numpy as np
import typer
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from axynq.emulator import load_model
from axynq.emulator.engine.choice import thread_count
from axynq.emulator.errors import PlanError
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import Multiplier, multiplier, split_multipliers
from axynq.emulator.plan import Assignment, Plan
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.search.exploration import Outcome, Task
from axynq.emulator.studies.search.exploration import explore as run_exploration
from axynq.emulator.studies.search.front import Candidate
from axynq.emulator.studies.search.report import Point, points_of, write_report
from axynq.emulator.studies.search.search import Cycles, Settings
from axynq.emulator.studies.search.space import LEVELS, Level
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import DaskWorkers, LocalWorker, Workers, connect
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.cli.inputs import (
    LARGEST_SEED,
    DataOption,
    EnergyOption,
    EngineOption,
    LimitOption,
    MethodOption,
    ModelArgument,
    SplitOption,
    ThreadsOption,
    WeightsOption,
    read_examples,
    read_weight_rule,
)
from axynq.host.cli.output import JsonOption, console, finite, percent, print_json, results, table
from axynq.host.compiler.compilation import TYPICAL_BATCH, compile_program
from axynq.host.energy import energy_figures
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import program_cycles

LIBRARY = "exact|roup:0,4|roup:0,6|roup:0,8|roup:1,4|roup:1,6|roup:1,8|roup:2,6|roup:2,8|roup:3,6"
"""From little to much approximation, all with characterised energies."""

SHOWN = 12
"""Points of the front that the progress display and the summary show."""


def explore(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option(help="Folder for the results; also for resuming.")],
    levels: Annotated[
        str, typer.Option(help=f"Levels to search, of {', '.join(LEVELS)}.")
    ] = "layer,filter,channel,row,column",
    multipliers: Annotated[
        Optional[str],
        typer.Option(
            metavar="M1|M2|…",
            help=f"Multipliers to choose from; default: {LIBRARY}, or what the overlay has.",
        ),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes of a layer at most.")] = 3,
    skip: Annotated[
        Optional[str], typer.Option(metavar="K1|K2", help="Choices of klms, such as 3|4.")
    ] = None,
    overlay: Annotated[
        Optional[str], typer.Option(help="Only plans whose filters fit this overlay's lanes.")
    ] = None,
    weights: WeightsOption = "none",
    compensate: Annotated[
        bool, typer.Option("--compensate", help="Take mean errors off the biases.")
    ] = False,
    method: MethodOption = Method.BEST,
    energy: EnergyOption = "characterised",
    max_loss: Annotated[
        Optional[float],
        typer.Option(
            min=0, callback=finite, help="Accuracy loss in points that is not acceptable any more."
        ),
    ] = None,
    evaluations: Annotated[int, typer.Option(min=1, help="Plans to look at per level.")] = 320,
    population: Annotated[int, typer.Option(min=4, max=10000, help="Plans of a generation.")] = 32,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the search.")] = 0,
    finalists: Annotated[
        int, typer.Option(min=1, help="Plans per level to measure on all test examples.")
    ] = 24,
    estimate: Annotated[
        bool,
        typer.Option(help="Class elements by estimated sensitivity and begin with its best plans."),
    ] = True,
    search_examples: Annotated[
        int, typer.Option(min=1, help="Examples the search measures on.")
    ] = 1024,
    search_split: Annotated[str, typer.Option(help="Where those are from.")] = "train",
    split: SplitOption = "test",
    limit: LimitOption = None,
    cycles: Annotated[
        bool,
        typer.Option(
            "--cycles",
            help="With --overlay: clock cycles an image as a third objective, by the cycle model. "
            "Each plan is compiled for them, which takes about half a second.",
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes; above 1 they are local Dask workers.")
    ] = 1,
    scheduler: Annotated[
        Optional[str],
        typer.Option(metavar="tcp://HOST:PORT", help="Use the workers of this Dask scheduler."),
    ] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Search plans with little energy and high accuracy (NSGA-II). Started again, it resumes."""
    network = load_model(model)
    if cycles and overlay is None:
        raise PlanError("--cycles needs --overlay: cycles are those of an overlay")
    chosen, banks = _library(multipliers, overlay)
    searched = read_examples(network, data, search_split, search_examples)
    tested = read_examples(network, data, split, limit)
    tuner = None
    if compensate or weights != "none":
        tuner = Tuner(network, searched.x, read_weight_rule(weights), compensate)
    floor = 0.0
    if max_loss is not None:
        exact = Evaluator(network, searched, None, engine, threads).correct(Plan.uniform("exact"))
        floor = exact / len(searched) - max_loss / 100
    task = Task(
        network,
        searched,
        tested,
        chosen,
        _levels(levels),
        Settings(population, evaluations, seed, floor),
        classes,
        _skips(skip),
        banks,
        energy_figures(energy, [multiplier(spec) for spec in chosen]),
        tuner,
        method,
        engine,
        threads,
        cycles=_cycles(network, overlay) if cycles and overlay is not None else None,
        estimate_first=estimate,
        finalists=finalists,
    )
    with Store(output / "evaluations.sqlite") as store:
        stored = len(store)
        if stored:
            console.print(f"{output} has {stored} evaluations already: resuming")
        client = None
        if scheduler is not None or workers > 1:
            each = max(1, thread_count(threads) // workers)
            client = connect(scheduler, workers, each)
        try:

            def workers_for(examples: Examples) -> Workers:
                if client is not None:
                    return DaskWorkers(client, network, examples, tuner, engine)
                return LocalWorker(Evaluator(network, examples, tuner, engine, threads))

            with _display() as progress:
                outcome = run_exploration(task, store, workers_for, progress)
        finally:
            if client is not None:
                if client.cluster is not None:
                    client.cluster.close()
                client.close()
    path = write_report(outcome, task, output, {"model": str(model), "seed": seed})
    _show(outcome, path, json)


def _cycles(network: Model, name: str) -> Cycles:
    """Clock cycles an image takes on an overlay."""
    overlay = Overlay.load(name)

    def cycles(plan: Plan) -> float:
        program = compile_program(network, plan, overlay)
        return program_cycles(program, overlay, TYPICAL_BATCH).cycles_per_image

    return cycles


def _library(
    multipliers: str | None, overlay: str | None
) -> tuple[tuple[str, ...], tuple[frozenset[Multiplier], ...]]:
    """Multipliers to choose from, and what the overlay's lanes hold."""
    banks: tuple[frozenset[Multiplier], ...] = ()
    text = multipliers or LIBRARY
    if overlay is not None:
        held = [frozenset(bank) for bank in Overlay.load(overlay).banks]
        banks = tuple(dict.fromkeys(held))
        if multipliers is None:
            text = "|".join(dict.fromkeys(m.spec for lane in Overlay.load(overlay).banks
                                          for m in lane))  # fmt: skip
    return tuple(split_multipliers(text)), banks


def _skips(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    parsed = [Assignment.parse(f"klms={part}").skip_sigma for part in text.split("|")]
    return tuple(sigma for sigma in parsed if sigma is not None)


def _levels(text: str) -> tuple[Level, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in LEVELS:
            raise PlanError(f"'{name}' is not a level; there are: {', '.join(LEVELS)}")
    return tuple(cast(Level, name) for name in dict.fromkeys(names))


class _Display:
    """Progress, and the front so far."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(),
        )  # fmt: skip
        self.task = self.bar.add_task("")

    def __call__(self, what: str, done: int, of: int, front: Sequence[Candidate]) -> None:
        self.bar.update(self.task, description=what, completed=done, total=of)
        shown = table("level", "energy", "accuracy", title="front so far, on the search examples")
        for candidate in _spread(front):
            shown.add_row(
                candidate.level, percent(candidate.energy, 1), percent(candidate.accuracy)
            )
        self.live.update(Group(self.bar, shown))


@contextmanager
def _display() -> Iterator[_Display]:
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield _Display(live)


def _spread(front: Sequence[Candidate]) -> list[Candidate]:
    places = np.linspace(0, len(front) - 1, min(len(front), SHOWN)).round().astype(int)
    return [front[k] for k in places]


def _show(outcome: Outcome, path: Path, json: bool) -> None:
    points = points_of(outcome)
    front = [point for point in points if point.on_front]
    if json:
        print_json(
            {
                "output": str(path),
                "baseline_accuracy": outcome.baseline,
                "plans_looked_at": outcome.looked_at,
                "evaluations_computed": outcome.computed,
                "seconds": round(outcome.seconds, 1),
                "front": [
                    {
                        "name": p.name,
                        "energy_gain": p.energy_gain,
                        "accuracy": p.accuracy,
                        "accuracy_loss": p.accuracy_loss,
                        "cycles": p.cycles,
                    }
                    for p in front
                ],
            }
        )
        return
    shown = table(
        "plan", "energy gain", "accuracy", "loss",
        title=f"Front; exact: {percent(outcome.baseline)}",
    )  # fmt: skip
    for point in front:
        shown.add_row(*_row(point))
    results.print(shown)
    console.print(
        f"wrote {path}; {outcome.computed} evaluations in {outcome.seconds:.0f} s "
        f"({3600 * outcome.computed / max(outcome.seconds, 1e-9):.0f} an hour)"
    )


def _row(point: Point) -> tuple[str, ...]:
    return (
        point.name,
        percent(point.energy_gain, 1),
        percent(point.accuracy),
        f"{100 * point.accuracy_loss:.2f}",
    )
