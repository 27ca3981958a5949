# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Evaluates netlists with numpy, on many operands at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.host.netlists.netlist import ONE, ZERO, Cell, Chain, DualLut, Lut, Net, Netlist

Bits = npt.NDArray[np.uint8]
"""Values of a net: 0 or 1 for each operand pair."""

IntArray = npt.NDArray[np.int64]


def net_values(netlist: Netlist, operands: dict[str, IntArray]) -> dict[Net, Bits]:
    """The value of every net, uint8 of shape [N], for N settings of the input ports.

    Args:
        netlist: the circuit.
        operands: integers of shape [N] by input port; negative ones in two's complement.
    """
    size = len(next(iter(operands.values())))
    values: dict[Net, Bits] = {ZERO: np.zeros(size, np.uint8), ONE: np.ones(size, np.uint8)}
    for port, nets in netlist.inputs.items():
        for i, net in enumerate(nets):
            values[net] = (operands[port] >> i & 1).astype(np.uint8)
    for cell in netlist.cells:
        values.update(cell_values(cell, values))
    return values


def cell_values(cell: Cell, values: dict[Net, Bits]) -> dict[Net, Bits]:
    """What a cell drives, given what it reads."""
    if isinstance(cell, Chain):
        made, carry = {}, values[cell.carry_in]
        for select, data, output in zip(cell.selects, cell.data, cell.sums):
            made[output] = values[select] ^ carry
            carry = np.where(values[select] == 1, carry, values[data])
        made[cell.carry_out] = carry
        return made
    rows = selected_rows(cell, values)
    if isinstance(cell, Lut):
        return {cell.output: _column(cell.table, len(cell.inputs))[rows]}
    return {
        output: _column(table, len(cell.inputs))[rows]
        for output, table in zip(cell.outputs, cell.tables)
    }


def selected_rows(cell: Lut | DualLut, values: dict[Net, Bits]) -> Bits:
    """The row of a LUT's table that its inputs select."""
    rows = np.zeros_like(values[ZERO])
    for i, net in enumerate(cell.inputs):
        rows |= values[net] << np.uint8(i)
    return rows


def _column(table: int, inputs: int) -> Bits:
    return np.array([table >> row & 1 for row in range(1 << inputs)], np.uint8)
