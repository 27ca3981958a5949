# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which clocks a board has, and which of them a multiplier's netlist fits.

A model, not a timing analysis: nothing was placed. For loops the schedule says how many cycles an
iteration needs at a clock (:mod:`axynq.host.synthesis.schedule`); a netlist between its registers
must fit the period by the delays of :mod:`axynq.host.netlists.activity`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from axynq.emulator.multipliers import Table, multiplier
from axynq.host.netlists.activity import TICK_NANOSECONDS, longest_delay
from axynq.host.netlists.designs import configurable_netlist, netlist
from axynq.host.netlists.table_circuits import table_circuit
from axynq.host.overlay.board import Board
from axynq.host.overlay.description import LaneGroup
from axynq.host.synthesis.delays import PACE
from axynq.host.synthesis.schedule import Schedule

PLL_MEGAHERTZ = {"zynq-7000": 1000.0, "zynq-ultrascale+": 1500.0}
"""The I/O PLL of the boards known, which the logic's clock is divided from."""
DIVISORS = {"zynq-7000": (10, 9, 8), "zynq-ultrascale+": (8, 7, 6)}
"""What a search divides it by unless told otherwise."""
MARGIN = 0.05
"""Of a period, that has to be left of what operators may fill: their delays are estimates."""
REGISTER_NANOSECONDS = 1.0
"""Of a period, besides a netlist: clock to output, set-up and what the clock arrives apart (about
0.5, 0.1 and 0.3 ns for speed grade 1, DS187)."""


def usual_clocks(board: Board) -> tuple[float, ...]:
    """Rates in MHz that a search tries, ascending."""
    pll = PLL_MEGAHERTZ[board.family]
    return tuple(round(pll / divisor, 2) for divisor in DIVISORS[board.family])


def netlist_nanoseconds(groups: Iterable[LaneGroup], board: Board) -> float:
    """The period that the slowest multiplier between its registers needs, in ns. DSP blocks have
    registers of their own and are faster."""
    slowest = max((_delay(group) for group in groups), default=0.0)
    return REGISTER_NANOSECONDS + slowest * PACE[board.family]


def _delay(group: LaneGroup) -> float:
    if group.cell == "dsp pair":
        return 0.0
    if group.cell == "configurable" and len(group.bank) > 1:
        return _configurable_delay(tuple(group.bank))
    # Separate multipliers are joined by an OR behind their registers.
    return max(_single_delay(spec) for spec in group.bank)


@cache
def _single_delay(spec: str) -> float:
    # A pipelined one, of the user's, is as if its registers divided it evenly.
    m = multiplier(spec)
    stages = table_circuit(m).latency + 1 if isinstance(m, Table) else 1
    return longest_delay(netlist(spec)) * TICK_NANOSECONDS / stages


@cache
def _configurable_delay(bank: tuple[str, ...]) -> float:
    return longest_delay(configurable_netlist(bank)) * TICK_NANOSECONDS


def why_too_fast(schedule: Schedule, groups: Iterable[LaneGroup], board: Board) -> str | None:
    """What stands against the clock of a schedule; None: nothing.

    Args:
        schedule: of an overlay at that clock.
        groups: its lanes.
        board: its board.
    """
    needed = netlist_nanoseconds(groups, board)
    if needed > schedule.clock_ns:
        return f"a multiplier needs {needed:.1f} ns"
    for loop in schedule.loops:
        if loop.obstacles or loop.slow:
            return f"{loop.name}: {(*loop.obstacles, *loop.slow)[0]}"
        if loop.ii > 1:
            return f"{loop.name} would begin an iteration every {loop.ii} cycles only"
        # A way of registers alone takes a whole cycle, whatever the clock.
        longest = max((way.delay_ns for way in loop.recurrences if way.operators), default=0.0)
        if longest > schedule.budget_ns - MARGIN * schedule.clock_ns:
            return f"{loop.name} would have {longest:.1f} ns from a register to itself"
    return None
