# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Circuits that Yosys mapped to cells of the 7 series, as netlists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axynq.emulator.errors import MultiplierError
from axynq.host.netlists.netlist import (
    CHAIN_BITS,
    LUT_INPUTS,
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
    needed_pins,
)

REGISTERS = {"FDRE": "R", "FDSE": "S", "FDCE": "CLR", "FDPE": "PRE"}
"""Kinds of flip-flops, and the pin that makes their value 0 or 1."""

_MUX = 0b11001010
"""Table of a multiplexer: its pins are I0, I1 and S."""


def add_mapped(
    made: Netlist, module: Mapping[str, Any], operands: Mapping[str, Sequence[Net]]
) -> tuple[dict[str, tuple[Net, ...]], int]:
    """Add the cells of a mapped module to a netlist: the nets of its outputs, by port, and how many
    registers it has. They are left out, as if what goes in came out at once.

    Args:
        made: the netlist.
        module: in Yosys' JSON.
        operands: nets of its inputs by port, but for clock and enable.

    Raises:
        MultiplierError: it has cells that are no LUTs, carry chains or registers.
    """
    name = made.name
    bits: dict[Any, Net] = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}
    through: dict[Any, Any] = {}
    cells = [cell for cell in module["cells"].values() if not cell["type"].startswith("$")]
    registers = [cell for cell in cells if cell["type"] in REGISTERS]
    own: list[Cell] = []
    for cell in registers:
        if cell["connections"][REGISTERS[cell["type"]]][0] == "0":
            through[cell["connections"]["Q"][0]] = cell["connections"]["D"][0]

    def net(bit: Any) -> Net:
        while bit in through:
            bit = through[bit]
        if bit not in bits:
            bits[bit] = made.new_net()
        return bits[bit]

    # Always enabled, where logic looks at the enable too.
    bits.update((cell["connections"]["CE"][0], ONE) for cell in registers)
    for port, nets in operands.items():
        bits.update(zip(module["ports"][port]["bits"], nets))
    known = set(bits.values())
    outputs = {p: d["bits"] for p, d in module["ports"].items() if d["direction"] == "output"}
    carries = _carries(cells, (bit for each in outputs.values() for bit in each))
    for cell in cells:
        if cell["type"] not in REGISTERS or cell["connections"]["Q"][0] not in through:
            own += _cells(cell, net, carries, name)
    made.cells += _ordered(made, own, known)
    return {port: tuple(map(net, each)) for port, each in outputs.items()}, len(registers)


def _cells(
    cell: Mapping[str, Any], net: Callable[[Any], Net], carries: _Carries, what: str
) -> list[Cell]:
    """What a cell is. Carry blocks behind others are part of those."""
    kind, pins = cell["type"], cell["connections"]
    if kind == "CARRY4":
        return [] if pins["CI"][0] in carries.following else list(_chains(cell, net, carries))
    if kind in REGISTERS:  # its value is set by other logic than D's
        if kind in ("FDCE", "FDPE"):
            raise MultiplierError(f"{what} has registers that are reset at any time: reset none")
        operands = (net(pins["D"][0]), net(pins[REGISTERS[kind]][0]))
        return [_lut(operands, 0b0010 if kind == "FDRE" else 0b1110, net(pins["Q"][0]))]
    if kind == "INV":
        return [Lut((net(pins["I"][0]),), 0b01, net(pins["O"][0]))]
    if kind in ("MUXF7", "MUXF8"):
        inputs = tuple(net(pins[pin][0]) for pin in ("I0", "I1", "S"))
        return [Lut(inputs, _MUX, net(pins["O"][0]))]
    if kind == "LUT6_2":
        return _dual(cell, net)
    if not kind.startswith("LUT"):
        raise MultiplierError(f"{what} has a cell {kind}: only LUTs, carry chains and registers do")
    inputs = tuple(net(pins[f"I{i}"][0]) for i in range(int(kind[3:])))
    return [_lut(inputs, int(cell["parameters"]["INIT"], 2), net(pins["O"][0]))]


def _dual(cell: Mapping[str, Any], net: Callable[[Any], Net]) -> list[Cell]:
    """A LUT with two outputs; two of them where its sixth pin is not simply high."""
    pins = cell["connections"]
    table = int(cell["parameters"]["INIT"], 2)
    half = 1 << LUT_INPUTS - 1
    lower, upper = table & (1 << half) - 1, table >> half
    inputs = tuple(net(pins[f"I{i}"][0]) for i in range(LUT_INPUTS))
    if not pins.get("O5"):
        return [_lut(inputs, table, net(pins["O6"][0]))]
    second = net(pins["O5"][0])
    if not pins.get("O6"):
        return [_lut(inputs[:-1], lower, second)]
    first = net(pins["O6"][0])
    if inputs[-1] == ONE:
        return [DualLut(inputs[:-1], (upper, lower), (first, second))]
    return [_lut(inputs, table, first), _lut(inputs[:-1], lower, second)]


def _lut(inputs: tuple[Net, ...], table: int, output: Net) -> Lut:
    """Without pins that are constant."""
    for place, net in reversed(list(enumerate(inputs))):
        if net in (ZERO, ONE):
            rows = [row for row in range(1 << len(inputs)) if (row >> place & 1) == (net == ONE)]
            table = sum((table >> row & 1) << n for n, row in enumerate(rows))
            inputs = inputs[:place] + inputs[place + 1 :]
    return Lut(*needed_pins(table, inputs), output)


@dataclass(frozen=True)
class _Carries:
    """How carry blocks hang together."""

    following: Mapping[Any, Mapping[str, Any]]
    """The block that goes on with a block's last carry, by that carry's bit."""
    needed: frozenset[Any]
    """Carries that something else reads."""


def _carries(cells: Sequence[Mapping[str, Any]], outputs: Iterable[Any]) -> _Carries:
    blocks = [cell for cell in cells if cell["type"] == "CARRY4"]
    last = {cell["connections"]["CO"][CHAIN_BITS - 1] for cell in blocks}
    following = {
        cell["connections"]["CI"][0]: cell
        for cell in blocks
        if cell["connections"]["CI"][0] in last
    }
    read = {
        bit
        for cell in cells
        for pin, bits in cell["connections"].items()
        if cell["port_directions"][pin] == "input" and (cell["type"], pin) != ("CARRY4", "CI")
        for bit in bits
    }
    return _Carries(following, frozenset(read.union(outputs)))


def _chains(
    cell: Mapping[str, Any], net: Callable[[Any], Net], carries: _Carries
) -> Iterator[Chain]:
    """A carry block and those that go on with its carry; cut behind carries that are needed."""
    pins = cell["connections"]
    carry = net(pins["CYINIT"][0] if pins["CI"][0] in ("0", "x") else pins["CI"][0])
    bits: list[tuple[Net, Net, Net]] = []
    block: Mapping[str, Any] | None = cell
    while block is not None:
        pins = block["connections"]
        block = carries.following.get(pins["CO"][CHAIN_BITS - 1])
        for place, out in enumerate(pins["CO"]):
            bits.append((net(pins["S"][place]), net(pins["DI"][place]), net(pins["O"][place])))
            if out in carries.needed or (block is None and place == CHAIN_BITS - 1):
                selects, data, sums = zip(*bits)
                yield Chain(carry, selects, data, sums, net(out))
                carry, bits = net(out), []


def _ordered(netlist: Netlist, cells: list[Cell], known: set[Net]) -> list[Cell]:
    """Cells in an order of evaluation; the nets that are ``known`` before grow. A chain whose later
    bits depend on its earlier ones is cut."""
    rest: list[Cell] = cells
    made: list[Cell] = []
    while rest:
        later: list[Cell] = []
        for cell in rest:
            if known.issuperset(cell_inputs(cell)):
                made.append(cell)
                known.update(cell_outputs(cell))
            else:
                later.append(cell)
        if len(later) == len(rest):
            later = _cut(netlist, later, known)
        rest = later
    return made


def _cut(netlist: Netlist, cells: list[Cell], known: set[Net]) -> list[Cell]:
    """The cells with one chain in two: the bits whose operands are known, and the others."""
    for place, cell in enumerate(cells):
        if not isinstance(cell, Chain) or cell.carry_in not in known:
            continue
        ready = 0
        while {cell.selects[ready], cell.data[ready]} <= known:
            ready += 1
        if ready:
            carry = netlist.new_net()
            first = Chain(
                cell.carry_in, cell.selects[:ready], cell.data[:ready], cell.sums[:ready], carry
            )
            second = Chain(
                carry,
                cell.selects[ready:],
                cell.data[ready:],
                cell.sums[ready:],
                cell.carry_out,
            )
            return [*cells[:place], first, second, *cells[place + 1 :]]
    raise MultiplierError(f"{netlist.name} computes in a loop")
