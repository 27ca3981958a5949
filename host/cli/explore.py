# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq explore``: a search for the best plans of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional, cast

import typer
from rich.console import Group
from rich.live import Live

from axynq.emulator import load_model
from axynq.emulator.datasets import evenly_spread
from axynq.emulator.engine.choice import thread_count
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import Assignment, Plan
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.joint.options import JointOptions
from axynq.emulator.studies.search.exploration import Cells, Outcome, Task
from axynq.emulator.studies.search.exploration import Progress as SearchProgress
from axynq.emulator.studies.search.exploration import explore as run_exploration
from axynq.emulator.studies.search.folder import check_network, mark_network
from axynq.emulator.studies.search.front import Candidate
from axynq.emulator.studies.search.reduction import KEPT
from axynq.emulator.studies.search.report import (
    Finished,
    Point,
    cell_costs,
    points_of,
    test_figures,
    write_report,
)
from axynq.emulator.studies.search.search import Cycles, Settings
from axynq.emulator.studies.search.space import LEVELS, Level
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import DaskWorkers, LocalWorker, Workers, connect
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.cli import completion
from axynq.host.cli.explore_retrain import (
    LARGEST_LOSS,
    CandidatesOption,
    RetrainBatchOption,
    RetrainExamplesOption,
    RetrainOption,
    RetrainRateOption,
    SearchAgainOption,
    SharedEpochsOption,
    SharedPlansOption,
    explore_with_retraining,
    joint_task,
    retraining_of,
    words,
)
from axynq.host.cli.inputs import (
    CompensateOption,
    DataOption,
    EnergyOption,
    Engine,
    EngineOption,
    LimitOption,
    MaxLossOption,
    MethodOption,
    ModelArgument,
    ResumedFolderOption,
    SearchExamplesOption,
    SearchSplitOption,
    SeedOption,
    SplitOption,
    ThreadsOption,
    WeightsOption,
    read_examples,
    read_examples_apart,
)
from axynq.host.cli.libraries import choose_library, has_family
from axynq.host.cli.output import (
    INTERVAL,
    JsonOption,
    console,
    percent,
    points_interval,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import PhaseBar, PhaseLines
from axynq.host.cli.training import (
    AugmentOption,
    DistillationOption,
    HeldOutOption,
    TeacherOption,
    TorchDeviceOption,
)
from axynq.host.cli.usage import UsageError, judged
from axynq.host.compiler.compilation import TYPICAL_BATCH, compile_program
from axynq.host.netlists.cells import cells
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import program_cycles
from axynq.host.report.live import SearchPage, both, following

LIBRARY = "exact|roup:0,4|roup:0,6|roup:0,8|roup:1,4|roup:1,6|roup:1,8|roup:2,6|roup:2,8|roup:3,6"
"""From little to much approximation, all with characterised energies."""

SHOWN = 12
"""Points of the front that the progress display and the summary show."""


def known_levels(text: str) -> str:
    """For options: refuses unknown levels.

    Raises:
        typer.BadParameter: a level is unknown.
    """
    for name in text.split(","):
        if name.strip() not in LEVELS:
            raise typer.BadParameter(
                f"'{name.strip()}' is not a level; there are: {', '.join(LEVELS)}"
            )
    return text


def known_skips(text: str | None) -> str | None:
    """For options: refuses what is no list of deviations.

    Raises:
        typer.BadParameter: it is none.
    """
    with judged():
        _skips(text)
    return text


LevelsOption = Annotated[
    str,
    typer.Option(
        metavar="LEVEL,…",
        callback=known_levels,
        help=f"What a plan's classes consist of, of {', '.join(LEVELS)}; each is searched in "
        "turn. mixed: each layer has a level of its own.",
        rich_help_panel="Search",
        autocompletion=completion.levels,
    ),
]
MultipliersOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="M1|M2|…",
        help="Multipliers to choose from; default: those of --overlay, or else the exact one and "
        "nine ROUP multipliers. A * stands for any number: roup:*, roup:3,*, roup:2,0-0-*-* and "
        "smapprox:* are families, of which only the --members that are worth it are searched.",
        rich_help_panel="Multipliers and plan",
        autocompletion=completion.multipliers,
    ),
]
MembersOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Of the families in --multipliers search so many at most, of those that no other "
        "beats in energy and in what is left of its error once weights suit it.",
        rich_help_panel="Multipliers and plan",
    ),
]
DesignsOption = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        help="Only plans with at most this many different multipliers, the exact one included: "
        "for an array whose lanes all have a bank of so many; default: any number.",
        rich_help_panel="Multipliers and plan",
    ),
]
ClassesOption = Annotated[
    int,
    typer.Option(
        min=1, help="A layer is divided into at most this many classes.", rich_help_panel="Search"
    ),
]
SkipOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="K1|K2|…",
        callback=known_skips,
        help="Also try to skip weights further than K standard deviations from the mean (klms=K "
        "of plans), such as 3|4; default: skip none.",
        rich_help_panel="Multipliers and plan",
    ),
]
FittingOverlayOption = Annotated[
    Optional[str],
    typer.Option(
        help="Search only plans that this overlay can run: a name, such as z2-mixed16, or the "
        "path of a .toml description; default: any plan.",
        metavar="OVERLAY",
        rich_help_panel="Multipliers and plan",
        autocompletion=completion.overlays,
    ),
]
EvaluationsOption = Annotated[
    int, typer.Option(min=1, help="Plans to look at, per level.", rich_help_panel="Search")
]
PopulationOption = Annotated[
    int, typer.Option(min=4, max=10000, help="Plans per generation.", rich_help_panel="Search")
]
FinalistsOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Plans per level that are measured again, on --choice-examples; what none of them "
        "beats there is measured on the examples of --split.",
        rich_help_panel="Search",
    ),
]
EstimateOption = Annotated[
    bool,
    typer.Option(
        help="Divide layers by estimated sensitivity, and begin with the plans that the estimate "
        "finds best.",
        rich_help_panel="Search",
    ),
]
ChoiceExamplesOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Other examples of --search-split, on which it is decided which of the finalists are "
        "on the front; with --retrain these are those of --held-out.",
        rich_help_panel="Data",
    ),
]
CyclesOption = Annotated[
    bool,
    typer.Option(
        "--cycles",
        help="With --overlay: also look for few clock cycles, by the cycle model. Adds about half "
        "a second per plan.",
        rich_help_panel="Search",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Processes that evaluate plans, as local Dask workers.",
        rich_help_panel="Computing",
    ),
]
SchedulerOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="tcp://HOST:PORT",
        help="Use the workers of this Dask scheduler instead.",
        rich_help_panel="Computing",
    ),
]


@dataclass(frozen=True)
class Computing:
    """Where plans are evaluated."""

    workers: int
    scheduler: str | None
    engine: Engine
    threads: int | None


def explore(
    model: ModelArgument,
    data: DataOption,
    output: ResumedFolderOption,
    levels: LevelsOption = "layer,filter,channel,row,column",
    multipliers: MultipliersOption = None,
    members: MembersOption = KEPT,
    designs: DesignsOption = None,
    classes: ClassesOption = 3,
    skip: SkipOption = None,
    overlay: FittingOverlayOption = None,
    weights: WeightsOption = "none",
    compensate: CompensateOption = False,
    method: MethodOption = Method.BEST,
    energy: EnergyOption = "characterised",
    max_loss: MaxLossOption = None,
    evaluations: EvaluationsOption = 320,
    population: PopulationOption = 32,
    seed: SeedOption = 0,
    finalists: FinalistsOption = 24,
    estimate: EstimateOption = True,
    search_examples: SearchExamplesOption = 1024,
    choice_examples: ChoiceExamplesOption = 5000,
    search_split: SearchSplitOption = "train",
    split: SplitOption = "test",
    limit: LimitOption = None,
    cycles: CyclesOption = False,
    workers: WorkersOption = 1,
    scheduler: SchedulerOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
    retrain: RetrainOption = 0,
    retrain_rate: RetrainRateOption = 6e-4,
    retrain_batch: RetrainBatchOption = 64,
    retrain_examples: RetrainExamplesOption = None,
    held_out: HeldOutOption = 4000,
    shared_plans: SharedPlansOption = 8,
    shared_epochs: SharedEpochsOption = None,
    search_again: SearchAgainOption = True,
    candidates: CandidatesOption = 12,
    distillation: DistillationOption = 0.7,
    teacher: TeacherOption = None,
    augment: AugmentOption = False,
    device: TorchDeviceOption = None,
) -> None:
    """Search for plans with little energy and high accuracy.

    A genetic search (NSGA-II) on some examples; which of the best plans to keep is decided on
    more, and these are measured on the test examples. With --retrain, networks are retrained for
    the plans that are near the front, and plans are judged by that. Everything that takes time is
    kept: rerun the command to resume. progress.html in the output folder shows how far it is.
    """
    _check_together(multipliers, overlay, designs, cycles)
    network = load_model(model)
    check_network(output, network)
    retraining = None
    if retrain:
        options = JointOptions(
            retrain, shared_plans, shared_epochs, search_again, candidates, held_out, retrain_batch,
            retrain_rate, distillation, augment, seed,
        )  # fmt: skip
        retraining = retraining_of(options, retrain_examples, teacher, device)
        weights = "rescaled" if weights == "none" else weights
        compensate = True
        max_loss = LARGEST_LOSS if max_loss is None else max_loss
    text, banks = _library(multipliers, overlay)
    training = None
    choice: Examples | None = None
    if retraining is not None:
        training = read_examples(network, data, "train", retrain_examples)
    if training is not None and search_split == "train":
        searched = training.evenly(search_examples)
    elif training is not None:
        searched = read_examples(network, data, search_split, search_examples)
    else:
        searched, choice = read_examples_apart(
            network, data, search_split, search_examples, choice_examples
        )
    tested = read_examples(network, data, split, limit)
    tuned = compensate or weights != "none"
    tuner = Tuner(network, searched.x, weights, compensate) if tuned or has_family(text) else None
    library = choose_library(text, energy, tuner, members)
    floor = _floor(network, searched, max_loss, engine, threads)
    task = Task(
        network,
        searched,
        tested,
        library.specs,
        _levels(levels),
        Settings(population, evaluations, seed, floor),
        classes,
        _skips(skip),
        banks,
        library.figures,
        tuner if tuned else None,
        method,
        engine,
        threads,
        cycles=_cycles(network, overlay) if cycles and overlay is not None else None,
        estimate_first=estimate,
        finalists=finalists,
        choice_examples=searched if choice is None else choice,
        designs=designs,
        cells=None if designs is None else _cells(energy),
    )
    computing = Computing(workers, scheduler, engine, threads)
    mark_network(output, network)
    with (
        Store(output / "evaluations.sqlite") as store,
        _display() as display,
        following(SearchPage(output, network.name, console.note)) as page,
    ):
        progress = both(display, page)
        if stored := len(store):
            console.note(f"{output} has {stored} evaluations already: resuming")
        context: dict[str, Any] = {"model": str(model), "seed": seed, **library.record()}
        finished: Mapping[str, Finished] = {}
        if retraining is None or training is None:
            outcome = search(task, store, computing, progress)
        else:
            joint = joint_task(
                task, training, len(searched) if search_split == "train" else 0, retraining
            )
            with _client(computing) as client:
                found = explore_with_retraining(
                    joint, store, client, computing.scheduler is None,
                    lambda task, examples: _workers(task, examples, client), progress,
                )  # fmt: skip
            task, choice = joint.search, joint.held_out
            outcome, finished = found.outcome, found.finished
            context["retraining"] = words(joint, found)
        context["choice_examples_in_test"] = _check_apart(choice, tested)
        path = write_report(outcome, task, output, context, finished)
    _show(outcome, path, json, task)


def search(task: Task, store: Store, computing: Computing, progress: SearchProgress) -> Outcome:
    """Explore, on workers that are stopped at the end."""
    with _client(computing) as client:
        return run_exploration(
            task, store, lambda examples: _workers(task, examples, client), progress
        )


@contextmanager
def _client(computing: Computing) -> Iterator[Any]:
    """A ``distributed.Client`` whose own workers are stopped at the end; None: none is needed."""
    if computing.scheduler is None and computing.workers == 1:
        yield None
        return
    each = max(1, thread_count(computing.threads) // computing.workers)
    client = connect(computing.scheduler, computing.workers, each)
    try:
        yield client
    finally:
        if client.cluster is not None:
            client.cluster.close()
        client.close()


def _workers(task: Task, examples: Examples, client: Any) -> Workers:
    if client is not None:
        return DaskWorkers(client, task.model, examples, task.tuner, task.engine)
    return LocalWorker(Evaluator(task.model, examples, task.tuner, task.engine, task.threads))


def _check_apart(choice: Examples | None, tested: Examples) -> int:
    """How many examples of the choice are test examples too; there is a note where some are, or
    where there is no choice."""
    if choice is None:
        console.note(
            "--search-examples takes all there are: what the search used also decides the front"
        )
        return 0
    known = {row.tobytes() for row in tested.x}
    shared = sum(row.tobytes() in known for row in choice.x)
    if shared:
        console.note(
            f"{shared} of the {len(choice)} examples that decide the front are test examples too: "
            "losses of what was chosen are a little optimistic. Data with a train and a test part "
            "keeps them apart"
        )
    return shared


def _floor(
    network: Model, examples: Examples, max_loss: float | None, engine: Engine, threads: int | None
) -> float:
    """The lowest accuracy that is acceptable, 0 to 1."""
    if max_loss is None:
        return 0.0
    exact = Evaluator(network, examples, None, engine, threads).correct(Plan.uniform("exact"))
    return exact / len(examples) - max_loss / 100


def _cycles(network: Model, name: str) -> Cycles:
    """What computes the clock cycles per image on an overlay."""
    overlay = Overlay.load(name)

    def cycles(plan: Plan) -> float:
        program = compile_program(network, plan, overlay)
        return program_cycles(program, overlay, TYPICAL_BATCH).cycles_per_image

    return cycles


def _cells(energy: str) -> Cells:
    """What tells costs of cells: energies only where those of multipliers are measured too."""
    if not energy.startswith("characterised"):
        return lambda specs: {way: (cell.luts, {}) for way, cell in cells(specs).items()}
    return partial(cells, glitches=energy.endswith("-glitches"))


def _check_together(
    multipliers: str | None, overlay: str | None, designs: int | None, cycles: bool
) -> None:
    """Raises:
    UsageError: options do not go together.
    """
    if overlay is None:
        if cycles:
            raise UsageError("--cycles needs --overlay: cycles are those of an overlay")
        return
    if designs is not None:
        raise UsageError("--designs chooses what a bank holds, and --overlay has banks: give one")
    if has_family(multipliers or LIBRARY):
        raise UsageError(
            "--multipliers has a family, and the banks of --overlay hold single multipliers: name "
            "those, or leave --multipliers out"
        )


def _library(
    multipliers: str | None, overlay: str | None
) -> tuple[str, tuple[frozenset[Multiplier], ...]]:
    """Multipliers to choose from, as ``M1|M2|…``, and what the overlay's lanes hold."""
    text = multipliers or LIBRARY
    if overlay is None:
        return text, ()
    lanes = Overlay.load(overlay).banks
    if multipliers is None:
        text = "|".join(dict.fromkeys(m.spec for lane in lanes for m in lane))
    return text, tuple(dict.fromkeys(map(frozenset, lanes)))


def _skips(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    parsed = [Assignment.parse(f"klms={part}").skip_sigma for part in text.split("|")]
    return tuple(sigma for sigma in parsed if sigma is not None)


def _levels(text: str) -> tuple[Level, ...]:
    """Each once, in the order given."""
    return tuple(cast(Level, name) for name in dict.fromkeys(text.replace(" ", "").split(",")))


class _Display:
    """Progress, and the front so far."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.phases = PhaseBar(counted=True)

    def __call__(self, what: str, done: int, of: int, front: Sequence[Candidate]) -> None:
        self.phases(what, done, of)
        shown = table("level", "energy", "accuracy", title="front so far, on the search examples")
        for candidate in (front[k] for k in evenly_spread(len(front), SHOWN)):
            shown.add_row(
                candidate.level, percent(candidate.energy, 1), percent(candidate.accuracy)
            )
        self.live.update(Group(self.phases.bar, shown))


@contextmanager
def _display() -> Iterator[SearchProgress]:
    if not console.live:
        lines = PhaseLines()
        yield lambda what, done, of, front: lines(what, done, of)
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield _Display(live)


def _show(outcome: Outcome, path: Path, json: bool, task: Task) -> None:
    front = [point for point in points_of(outcome) if point.on_front]
    if json:
        print_json("axynq/explore/1", _content(outcome, path, front))
        return
    bank = ("bank", "LUTs", "gain in it") if task.cells else ()
    shown = table(
        "plan", "energy saved", "accuracy", "loss", INTERVAL, *bank,
        title=f"Front; exact: {percent(outcome.baseline)}",
    )  # fmt: skip
    for point in front:
        shown.add_row(*_row(point), *(_bank(task, point) if task.cells else ()))
    results.print(shown)
    console.note(
        f"wrote {path}; {outcome.computed} evaluations in {outcome.seconds:.0f} s "
        f"({3600 * outcome.computed / max(outcome.seconds, 1e-9):.0f} an hour)"
    )


def _content(outcome: Outcome, path: Path, front: list[Point]) -> dict[str, Any]:
    return {
        "output": str(path),
        "baseline_accuracy": outcome.baseline,
        "choice_baseline_accuracy": outcome.choice_baseline,
        "plans_looked_at": outcome.looked_at,
        "evaluations_computed": outcome.computed,
        "seconds": round(outcome.seconds, 1),
        "front": [
            {
                "name": p.name,
                "energy_gain": p.energy_gain,
                **test_figures(p),
                "choice_accuracy": p.choice_accuracy,
                "choice_loss": p.choice_loss,
                "cycles": p.cycles,
                "retrained": p.retrained,
                "designs": list(p.designs),
            }
            for p in front
        ],
    }


def _row(point: Point) -> tuple[str, ...]:
    assert point.tested is not None  # it is on the front
    return (
        point.name,
        percent(point.energy_gain, 1),
        percent(point.accuracy),
        f"{100 * point.tested.loss:.2f}",
        points_interval(point.tested.loss_interval()),
    )


def _bank(task: Task, point: Point) -> tuple[str, str, str]:
    """The multipliers of a plan; the LUTs of the smallest cell that has them; and the energy saved
    in such cells."""
    costs = cell_costs(task, point.plan, point.designs).values()
    if not costs:
        return " | ".join(point.designs), "?", "?"
    smallest = min(costs, key=lambda cost: int(cost["luts"]))
    gain = smallest.get("energy_gain")
    shown = "?" if gain is None else percent(gain, 1)
    return " | ".join(point.designs), str(smallest["luts"]), shown
