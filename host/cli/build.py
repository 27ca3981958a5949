# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq build``: a bitstream from an overlay's description, with the vendor's tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator.errors import OverlayError
from axynq.host.bitstream.flow import Built, retarget
from axynq.host.bitstream.flow import build as build_bitstream
from axynq.host.cli import completion
from axynq.host.cli.inputs import OverlayOption, known_board
from axynq.host.cli.output import JsonOption, console, facts, percent, print_json, results
from axynq.host.cli.usage import UsageError
from axynq.host.overlay import Overlay
from axynq.host.runtime.bitstream_store import user_folder


def build(
    overlay: OverlayOption,
    board: Annotated[
        Optional[str],
        typer.Option(
            help="The board, such as pynq-z2; default: the one the overlay is for.",
            metavar="BOARD",
            callback=known_board,
            autocompletion=completion.boards,
        ),
    ] = None,
    retarget_: Annotated[
        bool,
        typer.Option(
            "--retarget",
            help="With --board: build for a board that the overlay is not for; the result is an "
            "overlay called OVERLAY-BOARD.",
        ),
    ] = False,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="Folder for the bitstream; default: where axynq looks for bitstreams.",
            metavar="FOLDER",
        ),
    ] = None,
    work: Annotated[
        Path,
        typer.Option(
            help="Folder for intermediate files, which later builds reuse.", metavar="FOLDER"
        ),
    ] = Path("build/bitstreams"),
    netlists: Annotated[
        bool,
        typer.Option(
            "--netlists/--functors",
            help="Multipliers as LUT-level netlists, or as Vitis HLS synthesises the C++.",
        ),
    ] = True,
    json: JsonOption = False,
) -> None:
    """Build an overlay's bitstream, with the vendor's tools.

    Needs Vitis HLS and Vivado 2023.2 or newer, and takes an hour or so.
    """
    if retarget_ and board is None:
        raise UsageError("--retarget needs --board")
    chosen = _for_board(Overlay.load(overlay), board, retarget_)
    with console.status(f"building {chosen.name} for {chosen.board}") as status:

        def say(line: str) -> None:
            console.detail(line)
            if console.live:
                status.update(f"building {chosen.name} for {chosen.board}: {line[:80]}")

        folder = output or user_folder()
        built = build_bitstream(chosen, work.resolve() / chosen.name, folder, say, netlists)
    if json:
        content: dict[str, Any] = built.manifest.model_dump(mode="json")
        print_json("axynq/build/1", {"manifest": str(built.path), **content})
    else:
        _show(chosen.name, built)


def _for_board(overlay: Overlay, board: str | None, allowed: bool) -> Overlay:
    """The overlay for a board, its own if None.

    Raises:
        OverlayError: it is for another board, and no other overlay is ``allowed``.
    """
    if board in (None, overlay.board):
        return overlay
    if not allowed:
        raise OverlayError(
            f"overlay '{overlay.name}' is for {overlay.board}, not {board}. Leave out --board, "
            f"or add --retarget to build the same array as overlay '{overlay.name}-{board}'"
        )
    return retarget(overlay, board)


def _show(name: str, built: Built) -> None:
    manifest = built.manifest
    rows = [
        ("bitstream", str(built.path.with_name(manifest.bit.name))),
        ("clock", f"{manifest.clock_mhz:g} MHz"),
        ("worst slack", f"{manifest.timing.setup_slack_ns:g} ns"),
    ]
    for resource, use in manifest.utilisation.items():
        share = percent(use.used / use.available, 1)
        rows.append((resource.replace("_", " "), f"{use.used:g} of {use.available} ({share})"))
    results.print(facts(f"{name} for {manifest.board} ({manifest.part})", rows))
