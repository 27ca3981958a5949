# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What most tests need and takes long to make: made once, before several workers want it at once.

Everything is kept in the user's cache folder, so that there is nothing to do a second time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from axynq.emulator.engine import kernel
from axynq.emulator.engine.calibration import measured_costs
from axynq.emulator.errors import AxynqError
from axynq.emulator.yosys import has_yosys, run_yosys
from axynq.host import Overlay
from axynq.host.software_board import simulation
from tests.overlays import FAST


def prepare() -> None:
    """Makes all of it, on all processors. What cannot be made is the tests' own to report."""
    made: list[Callable[[], None]] = [start_yosys] if has_yosys() else []
    made += [partial(compile_kernel, variant.name) for variant in kernel.supported_variants()]
    made += [partial(compile_simulation, name) for name in FAST]
    spawning = multiprocessing.get_context("spawn")
    with (
        contextlib.suppress(BrokenProcessPool),
        ProcessPoolExecutor(os.cpu_count(), mp_context=spawning) as pool,
    ):
        for future in [pool.submit(attempt, task) for task in made]:
            future.result()
    for variant in kernel.supported_variants():  # undisturbed: it measures
        attempt(partial(measure_kernel, variant.name))


def attempt(task: Callable[[], None]) -> None:
    with contextlib.suppress(AxynqError):
        task()


def start_yosys() -> None:
    """Its first start compiles it, on one processor for about a minute."""
    with tempfile.TemporaryDirectory() as folder:
        run_yosys(["log"], Path(folder))


def compile_kernel(name: str) -> None:
    kernel.load_kernel(name)


def measure_kernel(name: str) -> None:
    measured_costs(kernel.load_kernel(name))


def compile_simulation(name: str) -> None:
    simulation.build(Overlay.load(name))
