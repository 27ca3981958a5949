# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Circuits of the cells an FPGA of the 7 series is made of: LUTs and carry chains.

A :class:`Netlist` is built from its inputs onwards, so that its cells are in an order in which they
can be evaluated. The contents of LUTs are computed from Python functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LUT_INPUTS = 6
DUAL_INPUTS = 5
"""A LUT with two outputs shares five inputs between them."""

CHAIN_BITS = 4
"""Bits of one CARRY4."""

Net = int
"""A signal of one bit, by its number in the netlist."""

ZERO: Net = 0
ONE: Net = 1

Function = Callable[..., int]
"""A boolean function: one integer, 0 or 1, per input; its result counts by its lowest bit."""


@dataclass(frozen=True)
class Lut:
    """A look-up table: ``output`` is bit ``sum of inputs[i] << i`` of ``table``."""

    inputs: tuple[Net, ...]
    table: int
    output: Net


@dataclass(frozen=True)
class DualLut:
    """Two functions of the same inputs, at most five, in one LUT."""

    inputs: tuple[Net, ...]
    tables: tuple[int, int]
    outputs: tuple[Net, Net]


@dataclass(frozen=True)
class Chain:
    """A carry chain of any length: ``sums[i] = selects[i] ^ carry``, and the carry into the next
    bit is the carry where ``selects[i]`` is set, ``data[i]`` otherwise."""

    carry_in: Net
    selects: tuple[Net, ...]
    data: tuple[Net, ...]
    sums: tuple[Net, ...]
    carry_out: Net


Cell = Lut | DualLut | Chain


@dataclass
class Netlist:
    """A combinational circuit.

    Attributes:
        name: the module's name, an identifier in Verilog and C++.
        inputs: nets of each input port, least significant bit first.
        outputs: the same of the output ports.
        cells: in an order of evaluation.
        comment: what it computes, for the head of the Verilog.
    """

    name: str
    comment: str = ""
    inputs: dict[str, tuple[Net, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[Net, ...]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    nets: int = 2

    def new_net(self) -> Net:
        self.nets += 1
        return self.nets - 1

    def input(self, name: str, width: int) -> tuple[Net, ...]:
        self.inputs[name] = tuple(self.new_net() for _ in range(width))
        return self.inputs[name]

    def output(self, name: str, bits: Sequence[Net]) -> None:
        self.outputs[name] = tuple(bits)

    def lut(self, function: Function, *inputs: Net) -> Net:
        """One function of at most six nets. Constant and repeated inputs take no pin; what is
        constant, or one of the nets, takes no LUT."""
        pins, table = truth_table(function, inputs)
        if not pins:
            return ONE if table else ZERO
        if len(pins) == 1 and table == 0b10:
            return pins[0]
        net = self.new_net()
        self.cells.append(Lut(pins, table, net))
        return net

    def dual(self, first: Function, second: Function, *inputs: Net) -> tuple[Net, Net]:
        """Two functions of the same nets, at most five of them, in one LUT."""
        pins = tuple(net for net in dict.fromkeys(inputs) if net not in (ZERO, ONE))
        tables = tuple(_tabulate(function, inputs, pins) for function in (first, second))
        if any(len(needed_pins(table, pins)[0]) < 1 for table in tables):
            return self.lut(first, *inputs), self.lut(second, *inputs)
        outputs = self.new_net(), self.new_net()
        self.cells.append(DualLut(pins, (tables[0], tables[1]), outputs))
        return outputs

    def chain(
        self, selects: Sequence[Net], data: Sequence[Net], carry_in: Net = ZERO
    ) -> tuple[tuple[Net, ...], Net]:
        """A carry chain; its sums and the carry out of its last bit."""
        sums = tuple(self.new_net() for _ in selects)
        carry_out = self.new_net()
        self.cells.append(Chain(carry_in, tuple(selects), tuple(data), sums, carry_out))
        return sums, carry_out

    def resources(self) -> dict[str, int]:
        """LUTs (a LUT with two outputs is one) and CARRY4s."""
        chains = [cell for cell in self.cells if isinstance(cell, Chain)]
        return {
            "LUT": len(self.cells) - len(chains),
            "CARRY4": sum(-(-len(chain.selects) // CHAIN_BITS) for chain in chains),
        }


def cell_inputs(cell: Cell) -> tuple[Net, ...]:
    """The nets that a cell reads."""
    if isinstance(cell, Chain):
        return (cell.carry_in, *cell.selects, *cell.data)
    return cell.inputs


def cell_outputs(cell: Cell) -> tuple[Net, ...]:
    """The nets that a cell drives."""
    if isinstance(cell, Chain):
        return (*cell.sums, cell.carry_out)
    return cell.outputs if isinstance(cell, DualLut) else (cell.output,)


def dependencies(cell: Cell) -> dict[Net, tuple[Net, ...]]:
    """The nets that each output really depends on. Two functions in one LUT may differ in that."""
    if isinstance(cell, DualLut):
        return {
            output: needed_pins(table, cell.inputs)[0]
            for output, table in zip(cell.outputs, cell.tables)
        }
    return dict.fromkeys(cell_outputs(cell), cell_inputs(cell))


def truth_table(function: Function, inputs: Sequence[Net]) -> tuple[tuple[Net, ...], int]:
    """The nets on which the function really depends, and its table over them."""
    pins = tuple(net for net in dict.fromkeys(inputs) if net not in (ZERO, ONE))
    return needed_pins(_tabulate(function, inputs, pins), pins)


def _tabulate(function: Function, inputs: Sequence[Net], pins: Sequence[Net]) -> int:
    assert len(pins) <= LUT_INPUTS, "a LUT has six inputs"
    table = 0
    for row in range(1 << len(pins)):
        values = {ZERO: 0, ONE: 1} | {net: row >> i & 1 for i, net in enumerate(pins)}
        table |= (function(*(values[net] for net in inputs)) & 1) << row
    return table


def needed_pins(table: int, pins: Sequence[Net]) -> tuple[tuple[Net, ...], int]:
    """The pins that have influence on a table, and the table over them."""
    for i in reversed(range(len(pins))):
        rows = range(1 << len(pins))
        if all(table >> row & 1 == table >> (row ^ 1 << i) & 1 for row in rows):
            kept = [row for row in rows if not row >> i & 1]
            shorter = sum((table >> row & 1) << place for place, row in enumerate(kept))
            return needed_pins(shorter, (*pins[:i], *pins[i + 1 :]))
    return tuple(pins), table
