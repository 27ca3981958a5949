"""``axynq compile`` and ``axynq run``: programs for the accelerator."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import typer

from axynq.emulator import load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import DataError
from axynq.host.accelerator import Accelerator
from axynq.host.cli.evaluate import check_labels
from axynq.host.cli.inputs import (
    BatchOption,
    DataOption,
    DeviceOption,
    LimitOption,
    ModelArgument,
    OverlayOption,
    PlanOption,
    SplitOption,
    device_name,
    read_data,
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
from axynq.host.compiler import TYPICAL_BATCH, compile_program
from axynq.host.overlay import Overlay
from axynq.host.program import Program


def compile_(
    model: ModelArgument,
    overlay: OverlayOption,
    plan: PlanOption = "exact",
    output: Annotated[
        Optional[Path], typer.Option(help="Program file; default: beside the model, .axp.")
    ] = None,
    batch: BatchOption = TYPICAL_BATCH,
    json: JsonOption = False,
) -> None:
    """Compile a network under a plan to a program for an overlay."""
    network = load_model(model)
    program = compile_program(network, read_plan(network, plan), Overlay.load(overlay), batch)
    path = output or model.with_suffix(".axp")
    program.save(path)
    summary: dict[str, Any] = {
        "program": str(path),
        "model": program.model,
        "overlay": program.overlay,
        "overlay_hash": program.overlay_hash,
        "layers": len(program.layers),
        "program_bytes": len(program.memory),
        "feature_map_bytes_per_image": program.arena_words * program.word_bytes,
    }
    if json:
        print_json(summary)
    else:
        console.print(
            f"wrote {path}: {len(program.layers)} layers for {program.overlay}, "
            f"{len(program.memory) / 1024:.0f} KiB, "
            f"{summary['feature_map_bytes_per_image'] / 1024:.0f} KiB of feature maps an image"
        )


def run(
    program: Annotated[Path, typer.Argument(help="A compiled program.", metavar="PROGRAM.axp")],
    data: DataOption,
    overlay: Annotated[
        Optional[str], typer.Option(help="The overlay; default: the program's.")
    ] = None,
    device: DeviceOption = "auto",
    split: SplitOption = "test",
    limit: LimitOption = None,
    output: Annotated[
        Optional[Path], typer.Option(help="Write the network's int8 output to this .npy file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a compiled program on a board, or on the software board."""
    loaded = Program.load(program)
    chosen = device_name(device)
    examples = read_data(data, split, limit)
    check_labels(examples, int(np.prod(loaded.output.shape)))
    x = quantise_examples(loaded.input.tensor, examples.x)
    with Accelerator(Overlay.load(overlay or loaded.overlay), chosen) as accelerator:
        started = time.perf_counter()
        with progress_bar(f"{loaded.model} on {loaded.overlay}", len(x)) as advance:
            y = accelerator.run(loaded, x, advance)
        seconds = time.perf_counter() - started
    if output is not None:
        try:
            np.save(output, y)
        except OSError as error:
            raise DataError(f"'{output}' cannot be written: {error.strerror}") from error
    accuracy = float((y.reshape(len(y), -1).argmax(axis=1) == examples.y).mean())
    if json:
        print_json(
            {
                "program": str(program),
                "overlay": loaded.overlay,
                "device": device,
                "examples": len(y),
                "accuracy": accuracy,
                "seconds": round(seconds, 3),
            }
        )
        return
    shown = table("", "", title=f"{loaded.model} on {loaded.overlay}, {device}")
    shown.add_row("examples", str(len(y)))
    shown.add_row("accuracy", percent(accuracy))
    shown.add_row("seconds", f"{seconds:.2f}")
    results.print(shown)
