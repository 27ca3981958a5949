# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Removes from a netlist what its operands never need.

Generators describe circuits plainly; operands have limits, though (an activation is never -256,
and a magnitude of 128 has no other bits), so that some nets never change, are always equal to
others, or some rows of a table are never selected. The whole operand domain is evaluated, so what
is left is the same function on the domain, by construction; outside of it, it may differ.
"""

from __future__ import annotations

import numpy as np

from axynq.host.netlists.evaluate import Bits, IntArray, net_values, selected_rows
from axynq.host.netlists.netlist import (
    DUAL_INPUTS,
    ONE,
    ZERO,
    Cell,
    Chain,
    DualLut,
    Lut,
    Net,
    Netlist,
    cell_inputs,
    cell_outputs,
)


def simplified(netlist: Netlist, domain: dict[str, IntArray]) -> Netlist:
    """The same function of the operands in ``domain`` (integers of shape [N] by input port), in
    fewer cells."""
    values = net_values(netlist, domain)
    same = _representatives(netlist, values)
    cells = [_narrowed(_renamed(cell, same), values) for cell in netlist.cells]
    outputs = {port: tuple(same[net] for net in nets) for port, nets in netlist.outputs.items()}
    made = Netlist(
        netlist.name,
        netlist.comment,
        dict(netlist.inputs),
        outputs,
        _paired(_used(cells, outputs)),
        netlist.nets,
    )
    return made


def _representatives(netlist: Netlist, values: dict[Net, Bits]) -> dict[Net, Net]:
    """For every net the earliest one that always has the same value."""
    first: dict[bytes, Net] = {}
    order = [ZERO, ONE, *(net for nets in netlist.inputs.values() for net in nets)]
    order += [net for cell in netlist.cells for net in cell_outputs(cell)]
    return {net: first.setdefault(np.packbits(values[net]).tobytes(), net) for net in order}


def _renamed(cell: Cell, same: dict[Net, Net]) -> Cell:
    if isinstance(cell, Chain):
        return Chain(
            same[cell.carry_in],
            tuple(same[net] for net in cell.selects),
            tuple(same[net] for net in cell.data),
            cell.sums,
            cell.carry_out,
        )
    inputs = tuple(same[net] for net in cell.inputs)
    if isinstance(cell, Lut):
        return Lut(inputs, cell.table, cell.output)
    return DualLut(inputs, cell.tables, cell.outputs)


def _narrowed(cell: Cell, values: dict[Net, Bits]) -> Cell:
    """Leaves out LUT inputs that the selected rows do not tell apart."""
    if isinstance(cell, Chain):
        return cell
    tables = (cell.table,) if isinstance(cell, Lut) else cell.tables
    rows = set(np.flatnonzero(np.bincount(selected_rows(cell, values))).tolist())
    words = {row: tuple(table >> row & 1 for table in tables) for row in rows}
    inputs = list(cell.inputs)
    for net in (ZERO, ONE, *cell.inputs):
        while net in inputs:
            shorter = _without(words, inputs.index(net))
            if shorter is None:
                break
            words = shorter
            inputs.remove(net)
    packed = [sum(word[n] << row for row, word in words.items()) for n in range(len(tables))]
    if isinstance(cell, Lut):
        return Lut(tuple(inputs), packed[0], cell.output)
    return DualLut(tuple(inputs), (packed[0], packed[1]), cell.outputs)


def _without(words: dict[int, tuple[int, ...]], place: int) -> dict[int, tuple[int, ...]] | None:
    """The rows without the input at ``place``; None where it tells different outputs apart."""
    made: dict[int, tuple[int, ...]] = {}
    low = (1 << place) - 1
    for row, word in words.items():
        shorter = row & low | row >> place + 1 << place
        if made.setdefault(shorter, word) != word:
            return None
    return made


def _used(cells: list[Cell], outputs: dict[str, tuple[Net, ...]]) -> list[Cell]:
    """The cells that the outputs depend on. Chains end with their last bit in use."""
    needed = {net for nets in outputs.values() for net in nets}
    kept: list[Cell] = []
    for cell in reversed(cells):
        if isinstance(cell, Chain):
            cell = _shortened(cell, needed)
            if not cell.selects:
                continue
        elif isinstance(cell, DualLut):
            wanted = [output in needed for output in cell.outputs]
            if not all(wanted) and any(wanted):
                place = wanted.index(True)
                cell = Lut(cell.inputs, cell.tables[place], cell.outputs[place])
        if needed.isdisjoint(cell_outputs(cell)):
            continue
        needed |= set(cell_inputs(cell))
        kept.append(cell)
    return kept[::-1]


def _shortened(chain: Chain, needed: set[Net]) -> Chain:
    length = len(chain.selects)
    if chain.carry_out in needed:
        return chain
    while length and chain.sums[length - 1] not in needed:
        length -= 1
    # The last bit's own data only feed its carry.
    data = (*chain.data[: length - 1], ZERO) if length else ()
    return Chain(chain.carry_in, chain.selects[:length], data, chain.sums[:length], chain.carry_out)


def _paired(cells: list[Cell]) -> list[Cell]:
    """Puts two LUTs into one where they share their inputs, or have five at most together.

    A LUT that a carry chain selects by stays alone: its second output's way out of the slice is
    the sum's.
    """
    selecting = {net for cell in cells if isinstance(cell, Chain) for net in cell.selects}
    level = _levels(cells)
    free = [cell for cell in cells if isinstance(cell, Lut) and cell.output not in selecting]
    pairs: dict[Net, tuple[Lut, Lut]] = {}
    # Those with most inputs find a partner hardest.
    waiting = sorted(free, key=lambda lut: -len(lut.inputs))
    while waiting:
        lut = waiting.pop(0)
        partners = [
            (-len(set(lut.inputs) & set(other.inputs)), place)
            for place, other in enumerate(waiting)
            if len(set(lut.inputs) | set(other.inputs)) <= DUAL_INPUTS
            and level[lut.output] == level[other.output]  # so that no loop can close
        ]
        if partners:
            other = waiting.pop(min(partners)[1])  # most inputs in common
            pairs[lut.output] = pairs[other.output] = (lut, other)
    made: list[Cell] = []
    done: set[Net] = set()
    for cell in cells:
        if not (isinstance(cell, Lut) and cell.output in pairs):
            made.append(cell)
        elif cell.output not in done:
            made.append(_joined(*pairs[cell.output]))
            done |= {lut.output for lut in pairs[cell.output]}
    return _ordered(made)


def _joined(first: Lut, second: Lut) -> DualLut:
    inputs = tuple(dict.fromkeys((*first.inputs, *second.inputs)))
    tables = []
    for lut in (first, second):
        places = [inputs.index(net) for net in lut.inputs]
        table = 0
        for row in range(1 << len(inputs)):
            source = sum((row >> place & 1) << i for i, place in enumerate(places))
            table |= (lut.table >> source & 1) << row
        tables.append(table)
    return DualLut(inputs, (tables[0], tables[1]), (first.output, second.output))


def _levels(cells: list[Cell]) -> dict[Net, int]:
    level: dict[Net, int] = {}
    for cell in cells:
        depth = 1 + max((level.get(net, 0) for net in cell_inputs(cell)), default=0)
        level.update(dict.fromkeys(cell_outputs(cell), depth))
    return level


def _ordered(cells: list[Cell]) -> list[Cell]:
    """In an order of evaluation, otherwise as given."""
    waiting = {net for cell in cells for net in cell_outputs(cell)}
    made: list[Cell] = []
    rest = cells
    while rest:
        later: list[Cell] = []
        for cell in rest:
            if waiting.isdisjoint(cell_inputs(cell)):
                made.append(cell)
                waiting -= set(cell_outputs(cell))
            else:
                later.append(cell)
        assert len(later) < len(rest), "a pair of LUTs closed a loop"
        rest = later
    return made
