# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Energy of a program from what it does: an estimate, for machines without a sensor.

Multiplications count with their relative energies (:mod:`axynq.emulator.energy`), memory traffic by
its bytes. The two absolute figures are literature for other technology and only set the scale:
nothing here was measured on an FPGA.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.multipliers import multiplier
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import program_cycles
from axynq.host.runtime.program import Program

_SKIPPED = "skip"
"""What a program's plan calls weights that are not multiplied."""


DSP_PAIRS = (
    "multiplications in DSP blocks are counted as those of the exact multiplier in LUTs: what they "
    "take is not known"
)


class Assumptions(NamedTuple):
    """In picojoules."""

    exact_multiplication: float = 2.8
    """0.2 pJ for 8 bits at 45 nm (Horowitz, ISSCC 2014), times 14 for an FPGA's dynamic power over
    a standard cell's (Kuon and Rose, 2007)."""
    byte_moved: float = 160.0
    """640 pJ for 32 bits of DRAM at 45 nm (Han et al., ISCA 2016)."""


class Estimate(NamedTuple):
    """Joules per inference; an estimate."""

    multiplications: float
    memory: float

    @property
    def joules(self) -> float:
        return self.multiplications + self.memory


def estimate(
    program: Program, overlay: Overlay, batch: int, assumed: Assumptions | None = None
) -> Estimate | None:
    """The estimate for a batch of so many images, or None where a multiplier has no figure."""
    assumed = assumed or Assumptions()
    figures = EnergyFigures()
    cycles = program_cycles(program, overlay, batch)
    spent = 0.0
    for layer in cycles.layers:
        counts = _weights(program, layer.name)
        used = {spec: count for spec, count in counts.items() if spec != _SKIPPED}
        total = sum(used.values())
        for spec, count in used.items():
            energy = figures.of(multiplier(spec))
            if energy is None:
                return None
            spent += energy.relative * layer.macs * count / total
    return Estimate(
        multiplications=spent * assumed.exact_multiplication * 1e-12 / batch,
        memory=cycles.bytes_moved * assumed.byte_moved * 1e-12 / batch,
    )


def notes_on(overlay: Overlay) -> list[str]:
    """What estimates of programs for ``overlay`` do not know."""
    return [DSP_PAIRS] if any(overlay.paired) else []


def _weights(program: Program, step: str) -> Counter[str]:
    """Weights by multiplier of a step, which is called by all of its operators, one of which may
    multiply; one of grouped layers by the first of them and the last."""
    names = list(program.plan)
    own = [names.index(name) for name in re.split("[+…]", step) if name in program.plan]
    weights: Counter[str] = Counter()
    for name in names[min(own) : max(own) + 1] if own else ():
        weights.update(program.plan[name])
    return weights
