# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Switching activity of netlists: what their dynamic energy is in proportion to.

Energy is the sum over nets of their changes times their load, the number of pins that they drive
(an output port is one). Wires inside carry chains are dedicated and short, and are left out. Two
delay models bound what a circuit does:

- *zero delay*: a net changes at most once per pair of operands. Real circuits change at least as
  often: the floor.
- *unit delay*: every cell passes on its inputs' changes after its delay (transport delay, nothing
  is filtered), so that nets whose inputs arrive apart change several times (glitches).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axynq.host.netlists.evaluate import Bits, IntArray, cell_values, net_values
from axynq.host.netlists.netlist import (
    CHAIN_BITS,
    ONE,
    ZERO,
    Chain,
    Net,
    Netlist,
    cell_inputs,
    dependencies,
)

TICK_NANOSECONDS = 0.12
"""What a tick takes in a 7-series device of speed grade 1."""
LUT_DELAY = 5
"""Ticks from a LUT's input to the next cell's: a LUT and the wire behind it take some 0.6 ns."""
SUM_DELAY = 4
"""Ticks from a carry chain's input to the cell that its sum goes to."""
BLOCK_DELAY = 1
"""Ticks that the carry takes through a CARRY4."""


@dataclass(frozen=True)
class Activity:
    """Changes times load, per operand pair."""

    zero_delay: float
    unit_delay: float


def activity(netlist: Netlist, streams: dict[str, IntArray]) -> Activity:
    """The mean activity when operands follow each other as in ``streams``.

    Args:
        netlist: the circuit.
        streams: by input port integers of shape [streams, length]; a stream's operands are applied
            one after the other.
    """
    load = loads(netlist)
    old, new = _before_and_after(netlist, streams)
    moving = sum(
        load[net] * np.count_nonzero(wave[1:] != wave[:-1])
        for net, wave in _waves(netlist, old, new).items()
        if net in load
    )
    return Activity(_settled(load, old, new), float(moving) / len(old[ZERO]))


def settled_activity(netlist: Netlist, streams: dict[str, IntArray]) -> float:
    """:attr:`Activity.zero_delay` alone, which takes a fraction of the time."""
    return _settled(loads(netlist), *_before_and_after(netlist, streams))


def _before_and_after(
    netlist: Netlist, streams: dict[str, IntArray]
) -> tuple[dict[Net, Bits], dict[Net, Bits]]:
    """Settled values of all nets for each pair of operands, and for the one that follows it."""
    before = {port: values[:, :-1].reshape(-1) for port, values in streams.items()}
    after = {port: values[:, 1:].reshape(-1) for port, values in streams.items()}
    return net_values(netlist, before), net_values(netlist, after)


def _settled(load: dict[Net, int], old: dict[Net, Bits], new: dict[Net, Bits]) -> float:
    changes = sum(weight * np.count_nonzero(old[net] != new[net]) for net, weight in load.items())
    return float(changes) / len(old[ZERO])


def loads(netlist: Netlist) -> dict[Net, int]:
    """The number of pins and output ports that each net drives, where it drives any."""
    pins = [net for cell in netlist.cells for net in cell_inputs(cell)]
    pins += [net for nets in netlist.outputs.values() for net in nets]
    made: dict[Net, int] = {}
    for net in pins:
        if net not in (ZERO, ONE):
            made[net] = made.get(net, 0) + 1
    return made


def levels(netlist: Netlist) -> int:
    """LUTs and carry chains on the longest path."""
    level: dict[Net, int] = {}
    for cell in netlist.cells:
        for output, inputs in dependencies(cell).items():
            level[output] = 1 + max(level.get(net, 0) for net in inputs)
    used = [net for nets in netlist.outputs.values() for net in nets]
    return max(level.get(net, 0) for net in used)


def _waves(netlist: Netlist, old: dict[Net, Bits], new: dict[Net, Bits]) -> dict[Net, Bits]:
    """Every net over time, uint8 of shape [ticks, pairs]; the operands change after tick 0."""
    ticks = 2 + longest_delay(netlist)
    waves: dict[Net, Bits] = {}
    for net in (ZERO, ONE, *(net for nets in netlist.inputs.values() for net in nets)):
        waves[net] = np.repeat(new[net][None], ticks, axis=0)
        waves[net][0] = old[net]
    for cell in netlist.cells:
        if isinstance(cell, Chain):
            waves.update(_chain_waves(cell, waves))
        else:
            waves |= {
                net: _delayed(wave, LUT_DELAY) for net, wave in cell_values(cell, waves).items()
            }
    return waves


def _chain_waves(chain: Chain, waves: dict[Net, Bits]) -> dict[Net, Bits]:
    made, carry = {}, waves[chain.carry_in]
    for place, (select, data, total) in enumerate(zip(chain.selects, chain.data, chain.sums), 1):
        made[total] = _delayed(waves[select] ^ carry, SUM_DELAY)
        carry = np.where(waves[select] == 1, carry, waves[data])
        if place % CHAIN_BITS == 0:
            carry = _delayed(carry, BLOCK_DELAY)
    made[chain.carry_out] = _delayed(carry, SUM_DELAY)
    return made


def _delayed(wave: Bits, ticks: int) -> Bits:
    """Later by some ticks; before the operands changed, everything was settled."""
    made = np.empty_like(wave)
    made[:ticks] = wave[0]
    made[ticks:] = wave[: len(wave) - ticks]
    return made


def longest_delay(netlist: Netlist) -> int:
    """Ticks from a change of the operands to the last change of the product."""
    arrival: dict[Net, int] = {}
    for cell in netlist.cells:
        delay = LUT_DELAY
        if isinstance(cell, Chain):
            delay = SUM_DELAY + BLOCK_DELAY * (len(cell.selects) // CHAIN_BITS)
        for output, inputs in dependencies(cell).items():
            arrival[output] = delay + max(arrival.get(net, 0) for net in inputs)
    return max(arrival.values(), default=0)
