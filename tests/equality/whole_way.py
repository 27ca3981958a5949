# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The comparison that the equality tests share."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from axynq.emulator import Emulator, Plan
from axynq.emulator.model import graph
from axynq.host import Accelerator, compile_program
from axynq.host.performance.loops import program_counts


def assert_equal(
    accelerator: Accelerator, model: graph.Model, plan: Plan | str, x: graph.Int8Array
) -> None:
    """The accelerator's outputs are the emulator's, and its loops did what the cycle model
    counts, in the last start of the core.

    ``x`` fits one start of the accelerator.
    """
    program = compile_program(model, plan, accelerator.overlay)
    assert np.array_equal(accelerator.run(program, x), Emulator(model, plan).run(x))
    counted = accelerator.device.core.simulation.counters()
    assert asdict(program_counts(program, accelerator.overlay, len(x))[-1]) == counted
