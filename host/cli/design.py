# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq design``: a search for the array that suits a network and a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from axynq.emulator import load_model
from axynq.emulator.multipliers import split_multipliers
from axynq.emulator.plan import Plan
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.cli import completion
from axynq.host.cli.inputs import (
    BatchOption,
    CompensateOption,
    LimitOption,
    MaxLossOption,
    ModelArgument,
    PlanOption,
    SearchExamplesOption,
    SearchSplitOption,
    SplitOption,
    WeightsOption,
    check_can_be_written,
    known_board,
    read_examples,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, finite, percent, print_json, results, table
from axynq.host.cli.progress import phases
from axynq.host.cli.usage import UsageError
from axynq.host.compiler.compilation import TYPICAL_BATCH
from axynq.host.design.breakdown import MULTIPLIERS
from axynq.host.design.designer import Design, Figures, Objective, Request, description, design
from axynq.host.design.library import Library
from axynq.host.design.limits import NAMES, Limits
from axynq.host.design.report import content_of, shares_of, write_design
from axynq.host.overlay.board import board_names


def clock_list(text: str | None) -> str | None:
    """For options: refuses what is no list of numbers.

    Raises:
        typer.BadParameter: it is none.
    """
    if text is not None:
        try:
            clocks = [finite(float(part)) for part in text.split(",")]
        except ValueError:
            raise typer.BadParameter(f"'{text}' is not a list of MHz, such as 100,125.") from None
        if any(clock is None or clock <= 0 for clock in clocks):
            raise typer.BadParameter("clocks must be above 0 MHz.")
    return text


BoardOption = Annotated[
    str,
    typer.Option(
        help=f"The board to design for: {', '.join(board_names())}.",
        metavar="BOARD",
        callback=known_board,
        rich_help_panel="Array",
        autocompletion=completion.boards,
    ),
]
ObjectiveOption = Annotated[
    Objective,
    typer.Option(
        help="throughput: most images a second at --batch; latency: the shortest time for an image "
        "alone; energy: the least estimated energy an image, of arrays on the front.",
        rich_help_panel="Array",
    ),
]
ClocksOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="MHZ,…",
        callback=clock_list,
        help="Clocks to choose from; default: those that the board's I/O PLL is usually divided "
        "to. An array gets the fastest that its loops and multipliers keep up with.",
        rich_help_panel="Array",
    ),
]
LutLimitOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1,
        help="Likely LUTs at most, as a share of the board's.",
        metavar="SHARE",
        rich_help_panel="Limits",
    ),
]
FlipFlopLimitOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1,
        help="Flip-flops at most, as a share of the board's.",
        metavar="SHARE",
        rich_help_panel="Limits",
    ),
]
BlockRamLimitOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1,
        help="Block RAMs at most, as a share of the board's.",
        metavar="SHARE",
        rich_help_panel="Limits",
    ),
]
DspLimitOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1,
        help="DSP blocks at most, as a share of the board's.",
        metavar="SHARE",
        rich_help_panel="Limits",
    ),
]
ProductsOption = Annotated[
    bool,
    typer.Option(
        help="Let DSP blocks multiply exactly for some lanes, two lanes for each block.",
        rich_help_panel="Array",
    ),
]
ExactOnlyOption = Annotated[
    bool,
    typer.Option(
        "--exact-only",
        help="Only arrays with exact multipliers; instead of --plan.",
        rich_help_panel="Multipliers and plan",
    ),
]
CompareOption = Annotated[
    bool,
    typer.Option(
        help="Also find the best exact arrays, with and without products in DSP blocks, to "
        "compare.",
        rich_help_panel="Search",
    ),
]
TimeLimitOption = Annotated[
    float,
    typer.Option(
        min=0,
        callback=finite,
        help="Look at no new arrays after about this many seconds.",
        metavar="SECONDS",
        rich_help_panel="Search",
    ),
]
LibraryOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="M1|M2|…",
        help="Instead of --plan: multipliers to choose from. Arrays have lanes of one of them "
        "beside exact ones, which take the most sensitive filters.",
        rich_help_panel="Multipliers and plan",
        autocompletion=completion.multipliers,
    ),
]
LibraryDataOption = Annotated[
    Optional[Path],
    typer.Option(
        help="With --multipliers: labelled examples, by which filters are ranked and accuracy is "
        "measured (.npz with x and y, image folders, CIFAR-10); default: filters are ranked by the "
        "errors of their weights.",
        metavar="DATA",
        rich_help_panel="Data",
    ),
]
WorkersOption = Annotated[
    Optional[int],
    typer.Option(
        min=1, help="Processes; default: as many as processors.", rich_help_panel="Computing"
    ),
]


def design_(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for overlay.toml, design.json and pictures; it is made.",
            metavar="FOLDER",
            rich_help_panel="Results",
        ),
    ],
    board: BoardOption = "pynq-z2",
    plan: PlanOption = "exact",
    objective: ObjectiveOption = "throughput",
    batch: BatchOption = TYPICAL_BATCH,
    clocks: ClocksOption = None,
    lut_limit: LutLimitOption = Limits.lut,
    flip_flop_limit: FlipFlopLimitOption = Limits.flip_flop,
    block_ram_limit: BlockRamLimitOption = Limits.block_ram_36k,
    dsp_limit: DspLimitOption = Limits.dsp,
    dsp_products: ProductsOption = True,
    exact_only: ExactOnlyOption = False,
    multipliers: LibraryOption = None,
    data: LibraryDataOption = None,
    max_loss: MaxLossOption = None,
    weights: WeightsOption = "none",
    compensate: CompensateOption = False,
    search_examples: SearchExamplesOption = 512,
    search_split: SearchSplitOption = "train",
    split: SplitOption = "test",
    limit: LimitOption = None,
    compare: CompareOption = True,
    time_limit: TimeLimitOption = 150.0,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Find the array that suits a network and a board.

    Searches overlay descriptions under the board's limits, by the cycle model and by estimates from
    the HLS sources; what was estimated is kept, so that the command resumes when it is run again.
    All figures are models': nothing is built.
    """
    tunes = compensate or weights != "none"
    if plan != "exact" and (exact_only or multipliers is not None):
        other = "--exact-only" if exact_only else "--multipliers"
        raise UsageError(f"{other} and --plan exclude each other: either says what filters need")
    if exact_only and multipliers is not None:
        raise UsageError("--exact-only and --multipliers exclude each other")
    if multipliers is None and data is not None:
        raise UsageError("--data needs --multipliers: a plan that is given is not measured")
    if data is None and max_loss is not None:
        raise UsageError("--max-loss needs --data: accuracy is measured on examples")
    if data is None and tunes:
        raise UsageError("--weights and --compensate need --data: networks are tuned on examples")
    network = load_model(model)
    for note in network.notes:
        console.note(note)
    searched = tested = None
    if data is not None:
        searched = read_examples(network, data, search_split, search_examples)
        tested = read_examples(network, data, split, limit)
    loss = None if max_loss is None else max_loss / 100
    choices = None
    if multipliers is not None:
        tuner = None
        if searched is not None and tunes:
            check_can_be_written(network)
            tuner = Tuner(network, searched.x, weights, compensate)
        choices = Library(network, tuple(split_multipliers(multipliers)), searched, loss, tuner)
    chosen = Plan.uniform("exact") if exact_only else read_plan(network, plan)
    request = Request(
        network,
        chosen,
        board,
        objective,
        batch,
        Limits(lut_limit, flip_flop_limit, block_ram_limit, dsp_limit),
        () if clocks is None else tuple(float(part) for part in clocks.split(",")),
        dsp_products,
        compare,
        time_limit,
        workers,
        library=choices,
        test_examples=tested,
    )
    with phases() as progress:
        made = design(request, progress)
    written = write_design(made, output)
    if json:
        content = content_of(made)
        print_json("axynq/design/1", {"output": str(output), **content, "plan": plan})
        return
    _show(made)
    console.note(f"wrote {', '.join(map(str, written))}")


COLUMNS = (
    "MHz", "images/s", "ms alone", "LUTs", "low to high", "DSPs", "block RAMs", "energy",
    "accuracy",
)  # fmt: skip
"""Of an array: energy is that of the multiplications against exact ones, accuracy that on the
search's examples."""


def _show(made: Design) -> None:
    request = made.request
    shown = table(
        "arrays", "array", *COLUMNS,
        title=f"{request.model.name} on {request.board}, batch {request.batch}: best of each kind",
    )  # fmt: skip
    for name, figures in made.best.items():
        shown.add_row(name, *_row(figures))
    results.print(shown)
    front = table("array", *COLUMNS, title="front: images per second against LUTs")
    for figures in next(iter(made.fronts.values())):
        front.add_row(*_row(figures))
    results.print(front)
    _show_chosen(made)


def _row(figures: Figures) -> tuple[str, ...]:
    look = figures.found.look
    lut = look.resources["lut"]
    return (
        description(figures.found.choice),
        f"{figures.found.clock_mhz:g}",
        f"{figures.images_per_second:,.0f}",
        f"{figures.latency_milliseconds:.3f}",
        f"{lut['likely']:,.0f}",
        f"{lut['low']:,.0f}–{lut['high']:,.0f}",
        f"{look.likely('dsp'):.0f}",
        f"{look.likely('block_ram_36k'):g}",
        percent(figures.relative_energy, 0),
        percent(figures.accuracy),
    )


def _show_chosen(made: Design) -> None:
    breakdown = made.breakdown
    shown = table("LUTs of the chosen array are for", "LUTs", "share", "per lane")
    for name, luts in breakdown.parts.items():
        lane = breakdown.per_lane.get(name)
        each = "" if lane is None else f"{lane:.0f}"
        shown.add_row(name, f"{luts:,.0f}", percent(luts / breakdown.total, 0), each)
    results.print(shown)
    if len(set(made.overlay.banks)) > 1:
        specs = list(next(iter(made.most_filters.values()), {}))
        most = table(
            "layer", *specs,
            title="filters of a layer that may use each multiplier before the layer takes longer",
        )  # fmt: skip
        for name, numbers in made.most_filters.items():
            most.add_row(name, *(str(numbers[spec]) for spec in specs))
        results.print(most)
    shares = ", ".join(f"{NAMES[name]} {percent(s, 0)}" for name, s in shares_of(made).items())
    results.print(f"of the board: {shares}")
    bounds = ", ".join(f"{name} {percent(share, 0)}" for name, share in made.bounds.items())
    results.print(f"cycles by what bounds their layers: {bounds}")
    results.print(
        f"multipliers take {breakdown.parts.get(MULTIPLIERS, 0):,.0f} LUTs, "
        f"{percent(breakdown.multipliers_share, 0)}: if they took none, as many LUTs would be "
        f"{breakdown.most_lanes:.2f} times as many lanes at most"
    )
    for name, accuracy in made.accuracies.items():
        results.print(f"accuracy on the test examples, {name}: {percent(accuracy)}")
    refused = made.chosen.found.look.refused
    for clock, why in refused.items():
        results.print(f"not {clock} MHz: {why}")
    if not all(result.proven for result in made.results.values()):
        results.print("the time was up before the best was certain: run again to go on")
