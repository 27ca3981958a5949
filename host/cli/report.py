# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq report``: all that is known of a network under a plan, as one page."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer

from axynq.emulator import Emulator, __version__, load_model
from axynq.emulator.energy import relative_energy
from axynq.emulator.model.batch import check_classifier
from axynq.emulator.model.graph import Model
from axynq.emulator.studies.search.folder import other_network
from axynq.emulator.toolchain import processor_lines
from axynq.host.cli import completion
from axynq.host.cli.inputs import (
    BatchOption,
    DataOption,
    EnergyOption,
    EngineOption,
    LimitOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    ThreadsOption,
    quantised,
    read_data,
    read_energy,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, print_json
from axynq.host.cli.progress import progress_bar
from axynq.host.compiler.compilation import TYPICAL_BATCH
from axynq.host.overlay import Overlay
from axynq.host.report import gathering, kept
from axynq.host.report.page import write
from axynq.host.report.sections import report_page


def report(
    model: ModelArgument,
    data: DataOption,
    plan: PlanOption = "exact",
    against: Annotated[
        Optional[Path],
        typer.Option(
            metavar="MODEL",
            help="Compare with this network, with exact multipliers, such as the one that the "
            "first was tuned or retrained from; default: the same network.",
            rich_help_panel="Multipliers and plan",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The HTML file to write the report to.",
            rich_help_panel="Results",
        ),
    ] = Path("report.html"),
    overlay: Annotated[
        Optional[str],
        typer.Option(
            metavar="OVERLAY",
            help="Also report clock cycles and the roofline on this overlay, by the cycle model: "
            "a name, such as z2-mixed16, or the path of a .toml description.",
            rich_help_panel="Further sections",
            autocompletion=completion.overlays,
        ),
    ] = None,
    batch: BatchOption = TYPICAL_BATCH,
    sensitivity: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE",
            help="Also report what `axynq sensitivity --json` printed into this file.",
            rich_help_panel="Further sections",
        ),
    ] = None,
    front: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FOLDER",
            help="Also show the plan beside the front of this folder of `axynq explore` or `axynq "
            "match`.",
            rich_help_panel="Further sections",
        ),
    ] = None,
    power: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FOLDER",
            help="Also report what this folder of `axynq power`, or its results as a JSON file, "
            "has measured.",
            rich_help_panel="Further sections",
        ),
    ] = None,
    split: SplitOption = "test",
    limit: LimitOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    energy: EnergyOption = "characterised",
    json: JsonOption = False,
) -> None:
    """Report a network under a plan, as one HTML page.

    Accuracy against exact multipliers, energy, plan and errors by layer, and with further options
    cycles, sensitivity, the front of a search and measured power. The page needs nothing else.
    """
    network = load_model(model)
    for note in network.notes:
        console.note(note)
    check_classifier(network)
    reference = network if against is None else load_model(against)
    check_classifier(reference)
    chosen = read_plan(network, plan)
    # What cannot be read is known before the work begins.
    array = None if overlay is None else Overlay.load(overlay)
    layers_tolerance = None if sensitivity is None else kept.read_sensitivity(sensitivity)
    searched = None if front is None else kept.read_front(front)
    same_networks = (network, reference)
    sensitivity_of = front_of = ""
    if layers_tolerance is not None:
        sensitivity_of = _other(layers_tolerance, same_networks)
    if front is not None:
        front_of = _other_searched(front, model, same_networks)
    for option, of in (("--sensitivity", sensitivity_of), ("--front", front_of)):
        if of:
            console.warn(f"{option} is of another network than '{network.name}': '{of}'")
    measured_power = None if power is None else kept.read_power(power)
    cycles = None if array is None else gathering.cycles_of(network, chosen, array, batch)
    figures = read_energy(network, chosen, energy)
    labelled = read_data(data, split, limit)
    examples, same = quantised(network, labelled), quantised(reference, labelled)
    few = examples.evenly(gathering.ERROR_EXAMPLES)
    emulator = Emulator(network, chosen, engine, threads)
    with progress_bar(f"{network.name}, {plan}", 2 * len(examples) + len(few)) as advance:
        found = gathering.predictions(emulator, examples, advance)
        exact = gathering.predictions(Emulator(reference, None, engine, threads), same, advance)
        errors = gathering.errors_of(network, chosen, few, engine, threads, advance)
    classes = max(int(np.prod(each.output.shape)) for each in (network, reference))
    layers = gathering.layers_of(network, chosen, figures)
    gathered = gathering.Gathered(
        gathering.Subject(
            str(model), network.name, plan, str(data), split, __version__, processor(),
            emulator.engine, emulator.threads,
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            shlex.join(["axynq", *sys.argv[1:]]), energy,
            "" if against is None else str(against),
        ),
        gathering.accuracy_of(examples.y, exact, found, classes),
        layers,
        gathering.multipliers_of(network, chosen, figures, layers),
        sum(layer.multiplications for layer in layers),
        relative_energy(network, chosen, figures),
        errors,
        len(few),
        cycles,
        layers_tolerance,
        searched,
        measured_power,
        sensitivity_of,
        front_of,
    )  # fmt: skip
    write(report_page(gathered), output)
    console.note(f"wrote {output}")
    if json:
        print_json("axynq/report/1", {"output": str(output), **gathered.as_json()})


def _other(found: kept.Sensitivity, networks: Sequence[Model]) -> str:
    """The name of the network that layers' sensitivity is of, where it is none of these; else
    empty."""
    name = Path(found.model).stem
    for network in networks:
        layers = tuple(layer.name for layer in network.layers)
        if name == network.name and found.layers == layers:
            return ""
    return name


def _other_searched(place: Path, model: Path, networks: Sequence[Model]) -> str:
    """The same of a front. Networks that the search itself wrote are its own."""
    folder = place if place.is_dir() else place.parent
    if folder.resolve() in model.resolve().parents:
        return ""
    names = [other_network(folder, network) for network in networks]
    return "" if None in names else str(names[0])


def processor() -> str:
    """The name of this machine's processor, as far as it tells."""
    names = (line for line in processor_lines() if line.startswith("model name"))
    named = (line.partition(":")[2].strip() for line in names)
    return next(named, "") or platform.processor() or platform.machine()
