# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq selftest``: whether the accelerator computes what it should."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from axynq.emulator.errors import DeviceError
from axynq.host.cli.inputs import LARGEST_SEED, DeviceOption, OverlayOption
from axynq.host.cli.output import JsonOption, console, finite, print_json, results, table
from axynq.host.overlay import Overlay
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.selftest.checks import Outcome, run_checks


def selftest(
    overlay: OverlayOption,
    device: DeviceOption = "auto",
    soak: Annotated[
        float,
        typer.Option(
            min=0,
            callback=finite,
            help="Run random programs for this many seconds at the end.",
            metavar="SECONDS",
        ),
    ] = 0.0,
    stride: Annotated[
        int,
        typer.Option(
            min=1, help="Check every n-th weight of each multiplier; 1 checks all products."
        ),
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the first random program.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Check that an accelerator computes what it should.

    Golden vectors, every product of every multiplier, repeated calls, odd sizes, and if asked for
    a soak of random programs. Exit code 1 if a check fails.
    """
    chosen = Overlay.load(overlay)
    outcomes: list[Outcome] = []
    with (
        console.status(f"opening {chosen.name}") as status,
        Accelerator(chosen, device) as accelerator,
    ):
        for outcome in run_checks(accelerator, soak, stride, seed):
            outcomes.append(outcome)
            status.update(f"{outcome.check}: done")
    failed = [outcome.check for outcome in outcomes if not outcome.passed]
    if json:
        content: dict[str, Any] = {
            "overlay": chosen.name,
            "overlay_hash": chosen.hash,
            "device": device,
            "passed": not failed,
            "checks": [{**o._asdict(), "passed": o.passed} for o in outcomes],
        }
        print_json("axynq/selftest/1", content)
    else:
        _show(f"self-test of {chosen.name}, device {device}", outcomes)
    if failed:
        raise DeviceError(f"the self-test failed: {', '.join(failed)}")


def _show(title: str, outcomes: list[Outcome]) -> None:
    shown = table("check", "result", "values", "wrong", "seconds", "detail",
                  title=title)  # fmt: skip
    for o in outcomes:
        verdict = Text("passed", "green") if o.passed else Text("FAILED", "red")
        shown.add_row(o.check, verdict, str(o.compared), str(o.wrong), f"{o.seconds:.1f}",
                      o.detail)  # fmt: skip
    results.print(shown)
