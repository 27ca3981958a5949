# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the LUTs of an array are for, and what approximation can save of them at most.

The multiplication loop is told apart by where in the sources its operators stand. The rest is as
in the estimate.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources

from axynq.host.overlay import Overlay
from axynq.host.synthesis import delays
from axynq.host.synthesis.compilation import Compiled, compile_overlay
from axynq.host.synthesis.estimate import estimate
from axynq.host.synthesis.logic import Logic, logic_of
from axynq.host.synthesis.memories import Memories, plain_name
from axynq.host.synthesis.parts import COUNTED, FACTORS, MAPPED, MEASURED, PUBLISHED, Part
from axynq.host.synthesis.places import Places

LOOP = "multiply_run"
RUN = "run.hpp"

MULTIPLIERS = "multipliers"
IN_DSPS = "products in DSP blocks"
ADDERS = "adder trees"
ACCUMULATORS = "accumulators"
OPERANDS = "operands: shared or of a window, banks"
WINDOWS = "windows, maxima, what comes before accumulators"
FINISH = "requantisation and second maps"
MAPS = "feature maps: addresses, reading and writing"
INCOMING = "weights and constants that come in"
CONDITIONS = "conditions"
REGISTERS = "registers of stages, control"
PROCESSES = "other processes, sequencer, channels"
AROUND = "memory ports, block design"
MEMORIES = "memories in LUTs"
OTHER = "others of the loop"

OF_FILE = {
    "bank.hpp": OPERANDS,
    "finish.hpp": FINISH,
    "fold.hpp": MAPS,
    "incoming_set.hpp": INCOMING,
    "memories.hpp": MAPS,
    "numbers.hpp": MAPS,
    "packed.hpp": INCOMING,
    "position.hpp": MAPS,
    "requantise.hpp": FINISH,
    "tabulated.hpp": FINISH,
    "": CONDITIONS,
}
"""What the files of the loop are for."""

AROUND_IT = ("memory ports, read", "memory ports, write", "registers", "width converters")
"""Parts of the estimate that are no core of the accelerator's."""

OF_LANES = (MULTIPLIERS, IN_DSPS, ADDERS, ACCUMULATORS, OPERANDS, WINDOWS)
"""What there is once more with each lane."""


@dataclass(frozen=True)
class Breakdown:
    """LUTs of an array, likely figures."""

    parts: dict[str, float]
    """By what they are for, the largest first."""
    lanes: int
    """Of all copies."""

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def multipliers_share(self) -> float:
        """Of all LUTs, 0 to 1: approximation saves no more of them."""
        return self.parts.get(MULTIPLIERS, 0.0) / self.total

    @property
    def per_lane(self) -> dict[str, float]:
        """LUTs that come once more with each lane."""
        return {name: self.parts.get(name, 0.0) / self.lanes for name in OF_LANES}

    @property
    def most_lanes(self) -> float:
        """How many times as many lanes the same LUTs would be, if multipliers took none: what is
        not of lanes is left as it is, requantisers too. An array of the same lanes would need
        ``1 - multipliers_share`` of its LUTs."""
        lanes = sum(self.per_lane.values())
        rest = lanes - self.per_lane[MULTIPLIERS]
        return lanes / rest if rest else 1.0


def break_down(overlay: Overlay) -> Breakdown:
    """What an array's LUTs are for.

    Raises:
        ToolError: clang or LLVM is not installed.
    """
    compiled = compile_overlay(overlay)
    made: dict[str, float] = defaultdict(float)
    for part in estimate(overlay, compiled).parts:
        if not part.name.startswith(f"{LOOP}:"):
            made[_of_part(part)] += part.amount("lut")
    for logic in _loop(overlay, compiled):
        for (place, kind), cost in logic.operators.items():
            made[_of_place(place, kind)] += cost.lut * FACTORS[COUNTED]["likely"]
        for cost in logic.registers.values():
            made[REGISTERS] += cost.lut * FACTORS[COUNTED]["likely"]
    ordered = sorted(made.items(), key=lambda item: -item[1])
    parts = {name: round(luts, 1) for name, luts in ordered if luts >= 0.5}
    return Breakdown(parts, overlay.array.filters * overlay.array.copies)


def _loop(overlay: Overlay, compiled: Compiled) -> list[Logic]:
    memories, places = Memories(compiled), Places(compiled.module)
    pace = delays.PACE[overlay.board_description.family]
    budget = delays.budget(1000 / overlay.clock_mhz) / pace
    return [
        logic_of(compiled, memories, places, function, budget)
        for function in compiled.module.functions.values()
        if plain_name(function.name) == LOOP
    ]


def _of_part(part: Part) -> str:
    if part.basis == MAPPED:
        return IN_DSPS if part.dsp else MULTIPLIERS
    if part.basis == PUBLISHED or part.name in AROUND_IT:
        return AROUND
    if part.basis in (COUNTED, MEASURED) or part.name.startswith("start and end"):
        return PROCESSES
    return MEMORIES


def _of_place(place: str, kind: str) -> str:
    file, _, line = place.partition(":")
    if file == "lanes.hpp":
        return ADDERS if kind == "additions" else OPERANDS
    if file == RUN:
        if not _multiplies(int(line or 0)):
            return MAPS
        return ACCUMULATORS if kind == "additions" else WINDOWS
    return OF_FILE.get(file, OTHER)


def _multiplies(line: int) -> bool:
    """Whether a line of the loop's file stands under the heading of the multiplication."""
    firsts, headings = _headings()
    at = bisect_right(firsts, line) - 1
    return at >= 0 and headings[at].startswith("Multiplication")


@cache
def _headings() -> tuple[list[int], list[str]]:
    """Lines of the loop's file at which its sections begin, and their headings: comments of the
    loop's own depth behind an empty line; and functions, which end them."""
    text = (resources.files("axynq.hls") / "include" / "axynq" / RUN).read_text(encoding="utf-8")
    lines = text.splitlines()
    firsts, headings = [], []
    for number, (before, line) in enumerate(zip(["", *lines], lines), start=1):
        comment = re.match(r"    // (.*)", line)
        if comment and not before.strip():
            firsts.append(number)
            headings.append(comment[1])
        elif re.match(r"(inline|template|struct|static)\b", line):
            firsts.append(number)
            # What shares out activations among lanes' own windows is a function of its own.
            own = "own_activations" in line
            headings.append("Multiplication" if own else "")
    return firsts, headings
