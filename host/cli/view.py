# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq view``: how far a search or a training is, and what it has found."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.host.cli.output import JsonOption, console, percent, print_json, results, table
from axynq.host.report.page import render, write
from axynq.host.report.progress import Search, Training
from axynq.host.report.serving import Server
from axynq.host.report.viewing import Left, left_in
from axynq.host.report.words import duration, points_of


def view(
    place: Annotated[
        Path,
        typer.Argument(
            help="A folder of `axynq explore` or `axynq match`, or the network that `axynq "
            "retrain` writes.",
            metavar="FOLDER",
        ),
    ],
    output: Annotated[
        Optional[Path],
        typer.Option("--output", "-o", metavar="FILE", help="Write the page to this HTML file."),
    ] = None,
    serve: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Serve the page at this port, to this machine alone, until Ctrl-C; 0 takes a free "
            "port.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show how far a search or a training is.

    Works while it goes on, when it has ended, and when it was killed. The work itself keeps
    progress.html up to date, which browsers open as a file; with --serve they get it over HTTP,
    such as through ssh from another machine.
    """
    left = left_in(place)
    if output is not None:
        write(left.page, output)
        console.note(f"wrote {output}")
    if json:
        print_json("axynq/view/1", _content(left))
    elif serve is None:
        _show(left)
    if serve is not None:
        _serve(place, serve)


def _serve(place: Path, port: int) -> None:
    with Server(port, lambda: render(left_in(place).page)) as server:
        try:
            console.print(f"{server.url} shows {place}, until Ctrl-C")
            server.serve_forever()
        except KeyboardInterrupt:
            return


def _content(left: Left) -> dict[str, Any]:
    return {
        "place": str(left.place),
        "progress": None if left.record is None else left.record.model_dump(mode="json"),
        "front": None if left.front is None else left.front.model_dump(mode="json"),
    }


def _show(left: Left) -> None:
    for line in left.page.lead:
        results.print(line)
    if left.record is not None and left.record.ended is None:  # it goes on, or was killed
        ago = duration(max(0.0, time.time() - left.record.updated))
        results.print(f"Last written {ago} ago.")
    if isinstance(left.record, Search):
        shown = table("stage", "done", "of", "plans on its front", title=left.record.network)
        for stage in left.record.stages:
            shown.add_row(stage.name, str(stage.done), str(stage.of), str(len(stage.front) or ""))
        results.print(shown)
    if isinstance(left.record, Training):
        shown = table("epoch", "loss", "held out", title=left.record.network)
        for epoch in left.record.history:
            shown.add_row(str(epoch.number), epoch.loss_text, percent(epoch.accuracy))
        results.print(shown)
    if left.front is not None:
        shown = table("plan", "energy saved", "loss", title="Front")
        for point in left.front.points:
            if point.on_front:
                shown.add_row(point.name, percent(point.energy_gain, 1), points_of(point.loss))
        results.print(shown)
