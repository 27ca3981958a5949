# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq compile``: programs for the accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import load_model
from axynq.host.cli.inputs import (
    BatchOption,
    ModelArgument,
    OverlayOption,
    PlanOption,
    read_plan,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    print_json,
)
from axynq.host.compiler.compilation import TYPICAL_BATCH, compile_program
from axynq.host.overlay import Overlay


def compile_(
    model: ModelArgument,
    overlay: OverlayOption,
    plan: PlanOption = "exact",
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="The program file to write; default: MODEL with the ending .axp.",
            metavar="FILE",
        ),
    ] = None,
    batch: BatchOption = TYPICAL_BATCH,
    json: JsonOption = False,
) -> None:
    """Compile a network under a plan for an overlay.

    The program is a file for `axynq run` and `axynq power`.
    """
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
        "starts_of_the_core": len(program.core_stages),
        "host_operators": {op.name: program.reasons[op.name] for op in program.host_operators},
        "program_bytes": len(program.memory),
        "feature_map_bytes_per_image": program.arena_words * program.word_bytes,
    }
    if json:
        print_json("axynq/compile/1", summary)
    else:
        console.note(
            f"wrote {path}: {len(program.layers)} layers for {program.overlay}, "
            f"{len(program.memory) / 1024:.0f} KiB, "
            f"{summary['feature_map_bytes_per_image'] / 1024:.0f} KiB of feature maps an image"
        )
        if len(program.core_stages) > 1:
            console.note(
                f"the core is started {len(program.core_stages)} times a batch, the host computes "
                f"{len(program.host_operators)} operators: axynq inspect --overlay says why"
            )
