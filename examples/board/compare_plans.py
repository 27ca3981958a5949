# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Energy of two plans on one overlay, from Python.

    python examples/board/compare_plans.py model.tflite z2-roup16 [hwmon | MODULE:FUNCTION | ...]

Runs on a board; with an axynq[software] installation and a sensor of your own it also runs on the
software board, whose power is that of the PC.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from axynq.emulator import load_model
from axynq.host import Accelerator, compile_program
from axynq.host.power.analysis import analyse
from axynq.host.power.experiment import Contender, Durations, run_experiment
from axynq.host.power.log import Log
from axynq.host.power.sampler import Sampler
from axynq.host.power.sensor import open_sensors
from axynq.host.runtime.hardware import board_present

PLANS = ("exact", "roup:1,4")


def main(
    path: Annotated[str, typer.Argument(metavar="MODEL")],
    overlay: str,
    sensor: Annotated[str, typer.Argument(help="as `axynq power --sensor`")] = "hwmon",
) -> None:
    """Energy of two plans on one overlay."""
    model = load_model(path)
    x = np.random.default_rng(0).integers(-128, 128, (64, *model.input.shape)).astype(np.int8)
    sampler = Sampler(open_sensors(sensor), rate=50)
    log = Log(Path("compare_plans"), {"model": path, "overlay": overlay, "sensor": sensor})
    with Accelerator(overlay, "auto" if board_present() else "software") as accelerator:

        def contender(plan: str) -> Contender:
            program = compile_program(model, plan, overlay)
            return Contender(plan, lambda: len(accelerator.run(program, x)))

        durations = Durations(run=3.0, idle=2.0, warm_up=2.0)
        run_experiment([contender(plan) for plan in PLANS], 10, durations, sampler, log)
    for result in analyse(log.records, log.samples):
        energy = result.net_joules
        if energy is not None:
            print(
                f"{result.contender:10} {result.rail:20} {1e6 * energy.mean:8.1f} µJ an inference "
                f"above idle, ± {1e6 * energy.half_width:.1f}"
            )


if __name__ == "__main__":
    typer.run(main)
