# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq deploy``: compile here, run on a board over ssh, bring the results back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from axynq.emulator import files, load_model
from axynq.emulator.errors import DataError
from axynq.host.cli.inputs import (
    BatchOption,
    DataOption,
    Device,
    LimitOption,
    ModelArgument,
    OverlayOption,
    PlanOption,
    SplitOption,
    check_one_input,
    check_one_output,
    read_data,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, print_json, results
from axynq.host.cli.usage import judged
from axynq.host.compiler.compilation import TYPICAL_BATCH, compile_program
from axynq.host.deploy import bundle, remote_board, run_remotely
from axynq.host.overlay import Overlay
from axynq.host.runtime.bitstream_store import find_bitstream

BoardOption = Annotated[str, typer.Option(metavar="USER@HOST", help="The board, as ssh takes it.")]
RemoteDeviceOption = Annotated[
    Device,
    typer.Option(
        help="auto: the board's FPGA; software: a C simulation of the accelerator, on the "
        "board's processor."
    ),
]
FolderOption = Annotated[
    str,
    typer.Option(
        help="Folder on the board, below the home directory. If an earlier deploy made it, its "
        "other files are removed.",
        metavar="FOLDER",
    ),
]
PythonOption = Annotated[
    str,
    typer.Option(
        help="Command on the board that starts the Python that has pynq.", metavar="COMMAND"
    ),
]
WheelOption = Annotated[
    Optional[Path],
    typer.Option(
        help="Install this axynq wheel on the board first; default: axynq is installed there.",
        metavar="FILE",
    ),
]
RemoteBaselineOption = Annotated[
    bool,
    typer.Option(help="Also run the network on the board's processor, by TFLite, to compare."),
]
OutputOption = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder on this machine for outputs and results.", metavar="FOLDER"
    ),
]


def deploy(
    model: ModelArgument,
    board: BoardOption,
    data: DataOption,
    overlay: OverlayOption,
    plan: PlanOption = "exact",
    batch: BatchOption = TYPICAL_BATCH,
    split: SplitOption = "test",
    limit: LimitOption = None,
    device: RemoteDeviceOption = "auto",
    folder: FolderOption = "axynq-deploy",
    python: PythonOption = "sudo -E /usr/local/share/pynq-venv/bin/python3",
    wheel: WheelOption = None,
    baseline: RemoteBaselineOption = False,
    output: OutputOption = Path("deployed"),
    json: JsonOption = False,
) -> None:
    """Compile a network, and run it on a board over ssh.

    Copies program, bitstream and examples to the board by rsync, runs them there, and brings
    outputs and results back.
    """
    with judged():
        remote = remote_board(board, folder, python)
    network = load_model(model)
    check_one_input(network, "axynq deploy takes")
    check_one_output(network, "axynq deploy compares")
    chosen = Overlay.load(overlay)
    program = compile_program(network, read_plan(network, plan), chosen, batch)
    if wheel is not None and not files.is_file(wheel):
        raise DataError(f"the wheel '{wheel}' is not there: python -m build makes it in dist/")
    bitstream = find_bitstream(chosen) if device == "auto" else None
    examples = read_data(data, split, limit)
    with (
        console.status(f"{board}: copying") as status,
        bundle(output, program, examples, bitstream, model if baseline else None, wheel) as copied,
    ):
        content = run_remotely(
            remote, copied, output, device, baseline,
            lambda text: status.update(f"{board}: {text}"),
        )  # fmt: skip
    if json:
        print_json("axynq/deploy/1", {key: content[key] for key in content if key != "schema"})
        return
    results.print(
        f"{board}: {content['examples']} examples, accuracy {100 * content['accuracy']:.2f} %, "
        f"{content['seconds']:.2f} s; outputs are in {output / 'outputs.npy'}"
    )
