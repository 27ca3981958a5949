# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq rtl``: LUT-level Verilog of multipliers, with Vitis HLS blackboxes."""

from __future__ import annotations

import os
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.host.cli import completion
from axynq.host.cli.output import JsonOption, console, print_json, results, table
from axynq.host.cli.usage import UsageError
from axynq.host.netlists.files import SHIPPED, UNSIGNED, rtl_files
from axynq.host.overlay import Overlay
from axynq.host.overlay.naming import DSP_PAIR_PREFIX
from axynq.host.synthesis.estimate import content_of, estimate
from axynq.host.synthesis.findings import costs, problems
from axynq.host.synthesis.parts import BOUNDS
from axynq.host.synthesis.schedule import LoopSchedule, schedule_overlay


def rtl(
    specs: Annotated[
        Optional[list[str]],
        typer.Argument(
            help="Multipliers, such as roup:1,4. 'exact|roup:1,4' is one cell that a code sets to "
            f"either; {UNSIGNED}smapprox:WXYZ multiplies magnitudes; {DSP_PAIR_PREFIX}dsp48e1 and "
            f"{DSP_PAIR_PREFIX}dsp48e2 are two exact products in a DSP block. Default: the "
            "selection that ships with axynq.",
            metavar="SPEC…",
            autocompletion=completion.multipliers,
        ),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="Folder to write the files to; default: write none.",
            metavar="FOLDER",
        ),
    ] = None,
    overlay: Annotated[
        Optional[str],
        typer.Option(
            "--estimate",
            metavar="OVERLAY",
            help="Estimate instead the FPGA resources of this overlay, the whole design part "
            "by part: a name, such as "
            "z2-mixed16, or the path of a .toml description.",
            autocompletion=completion.overlays,
        ),
    ] = None,
    scheduled: Annotated[
        Optional[str],
        typer.Option(
            "--schedule",
            metavar="OVERLAY",
            help="Show instead how a scheduler of an HLS tool sees the C++ of this overlay: the "
            "initiation interval of every pipelined loop and what forces it.",
            autocompletion=completion.overlays,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write LUT-level Verilog of multipliers, for Vitis HLS.

    Shows how many LUTs, carry chains and DSP blocks each multiplier takes. With --output, also
    writes the Verilog and the blackbox descriptions by which Vitis HLS uses it.
    """
    for option, name, show in (
        ("--estimate", overlay, _estimate),
        ("--schedule", scheduled, _schedule),
    ):
        if name is not None:
            if specs or output is not None or (overlay and scheduled):
                raise UsageError(f"{option} takes no multipliers and writes no files")
            show(name, json)
            return
    contents: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    include = str(resources.files("axynq.hls") / "include") if output is None else _include(output)
    for spec in specs or SHIPPED:
        made = rtl_files(spec, include)
        contents |= made.files
        rows.append({"spec": spec, "module": made.module, **made.resources})
    if output is not None:
        _write(contents, output)
    if json:
        print_json(
            "axynq/rtl/1", {"multipliers": rows, "files": sorted(contents) if output else []}
        )
        return
    shown = table("multiplier", "module", "LUTs", "CARRY4s", "DSPs")
    for row in rows:
        cells = (str(row[kind] or "") for kind in ("LUT", "CARRY4", "DSP"))
        shown.add_row(row["spec"], row["module"], *cells)
    results.print(shown)
    if output is not None:
        results.print(f"{len(contents)} files in {output}")


def _include(output: Path) -> str:
    """The HLS headers as the blackbox's folder sees them."""
    headers = Path(str(resources.files("axynq.hls") / "include")).resolve()
    return Path(os.path.relpath(headers, output.resolve())).as_posix()


def _write(contents: dict[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            files.write_text(folder / file, content)
    except OSError as error:
        raise DataError(f"'{folder}' cannot be written: {error.strerror}") from error


RESOURCES = {
    "lut": "LUTs",
    "flip_flop": "flip-flops",
    "block_ram_36k": "block RAMs",
    "dsp": "DSPs",
}


def _estimate(name: str, json: bool) -> None:
    overlay = Overlay.load(name)
    with console.status(f"compiling the HLS sources of {overlay.name}"):
        made = estimate(overlay)
    content = content_of(made)
    if json:
        print_json("axynq/rtl-estimate/1", content)
        return
    totals = content["totals"]
    shown = table(
        "part",
        "instances",
        *RESOURCES.values(),
        "basis",
        title=f"{made.overlay}: estimated resources",
    )
    for part in sorted(made.parts, key=lambda part: -part.lut):
        values = (round(part.amount(r), 1) for r in RESOURCES)
        cells = (f"{v:g}" if v else "" for v in values)
        shown.add_row(part.name, str(part.instances), *cells, part.basis)
    for bound in BOUNDS:
        cells = (f"{totals[r][bound]:.0f}" for r in RESOURCES)
        shown.add_row(f"total, {bound}", "", *cells, "")
    shown.add_row(made.board, "", *(str(made.available[r]) for r in RESOURCES), "")
    shares = (f"{100 * totals[r]['likely'] / made.available[r]:.0f} %" for r in RESOURCES)
    shown.add_row("share, likely", "", *shares, "")
    results.print(shown)
    results.print("An estimate of what Vivado would report: no vendor's tool was run.")


def _schedule(name: str, json: bool) -> None:
    overlay = Overlay.load(name)
    with console.status(f"compiling the HLS sources of {overlay.name}"):
        made = schedule_overlay(overlay)
    told = {"problems": problems(made), "costs": costs(made)}
    if json:
        print_json("axynq/rtl-schedule/1", {**asdict(made), **told})
        return
    shown = table(
        "loop",
        "function",
        "II",
        "depth",
        "of accesses",
        "of recurrences",
        "longest recurrence",
        "dividers",
        "DSPs",
        title=f"{made.overlay}: {made.budget_ns:.1f} of {made.clock_ns:.1f} ns for operators",
    )
    for loop in made.loops:
        shown.add_row(*_loop_row(loop))
    results.print(shown)
    for title, lines in told.items():
        results.print(f"{title.capitalize()}: {'none' if not lines else ''}")
        for line in lines:
            results.print(f"- {line}")
    results.print("An analysis of the sources, not the schedule of a vendor's tool.")


def _loop_row(loop: LoopSchedule) -> list[str]:
    longest = max((way.delay_ns for way in loop.recurrences), default=0.0)
    return [
        loop.name,
        loop.function,
        str(loop.ii),
        str(loop.depth),
        str(max((access.ii for access in loop.accesses), default=1)),
        str(max((way.ii for way in loop.recurrences), default=1)),
        f"{longest:.1f} ns",
        str(loop.dividers or ""),
        str(sum(count.count * count.dsps for count in loop.multiplications) or ""),
    ]
