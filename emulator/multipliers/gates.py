# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Combinational circuits of gates, as Yosys leaves them, evaluated for many operands at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import MultiplierError

Net = int
ZERO: Net = 0
ONE: Net = 1

Bits = npt.NDArray[np.uint8]
"""Values of a net for N settings of the inputs, eight in a byte."""

KINDS: dict[str, Callable[..., Any]] = {
    "NOT": lambda a: ~a,
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NAND": lambda a, b: ~(a & b),
    "NOR": lambda a, b: ~(a | b),
    "XNOR": lambda a, b: ~(a ^ b),
    "ANDNOT": lambda a, b: a & ~b,
    "ORNOT": lambda a, b: a | ~b,
    "MUX": lambda a, b, s: (a & ~s) | (b & s),
}
"""Gates by Yosys' names, bit by bit; inputs in the order of their pins' names."""


@dataclass(frozen=True)
class Gate:
    """One gate: ``output = KINDS[kind](*inputs)``."""

    kind: str
    inputs: tuple[Net, ...]
    output: Net


@dataclass(frozen=True)
class Gates:
    """A circuit.

    Attributes:
        inputs: nets of each input port, least significant bit first.
        outputs: the same of the output ports.
        gates: in an order of evaluation.
    """

    inputs: Mapping[str, tuple[Net, ...]]
    outputs: Mapping[str, tuple[Net, ...]]
    gates: tuple[Gate, ...]

    def evaluated(self, **operands: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
        """Output ports as unsigned integers, int64 of shape [N], for N settings of the inputs that
        they depend on; negative operands in two's complement."""
        size = len(next(iter(operands.values())))
        packed = -(-size // 8)
        nets = {ZERO: np.zeros(packed, np.uint8), ONE: np.full(packed, 255, np.uint8)}
        for port, values in operands.items():
            for place, net in enumerate(self.inputs[port]):
                nets[net] = np.packbits((values >> place & 1).astype(np.uint8))
        for gate in self.gates:
            nets[gate.output] = KINDS[gate.kind](*(nets[net] for net in gate.inputs))
        return {port: _number(nets, bits, size) for port, bits in self.outputs.items()}


def _number(nets: Mapping[Net, Bits], bits: tuple[Net, ...], size: int) -> npt.NDArray[np.int64]:
    total = np.zeros(size, np.int64)
    for place, net in enumerate(bits):
        total |= np.unpackbits(nets[net], count=size).astype(np.int64) << place
    return total


def read_gates(module: Mapping[str, Any], what: str) -> Gates:
    """The circuit of a module in Yosys' JSON. Registers are left out: what goes in comes out.

    Args:
        module: with cells ``$_AND_`` and so on, and flip-flops without enable or reset.
        what: names it in errors.

    Raises:
        MultiplierError: it has other cells, nets that nothing drives, or a loop.
    """
    numbers: dict[Any, Net] = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}

    def net(bit: Any) -> Net:
        return numbers.setdefault(bit, len(numbers) - 2)

    ports = module["ports"]
    inputs, outputs = (
        {
            name: tuple(map(net, port["bits"]))
            for name, port in ports.items()
            if port["direction"] == direction
        }
        for direction in ("input", "output")
    )
    drivers: dict[Net, Gate] = {}
    same: dict[Net, Net] = {}
    for cell in module["cells"].values():
        kind, pins = cell["type"], cell["connections"]
        if kind == "$scopeinfo":
            continue
        if kind in ("$_DFF_P_", "$_DFF_N_"):
            same[net(pins["Q"][0])] = net(pins["D"][0])
            continue
        name = kind.removeprefix("$_").removesuffix("_")
        if name not in KINDS:
            raise MultiplierError(
                f"{what} has what is neither a gate nor a register with one clock and a plain "
                f"enable: Yosys' cell {kind}"
            )
        order = [pin for pin in ("A", "B", "S") if pin in pins]
        output = net(pins["Y"][0])
        drivers[output] = Gate(name, tuple(net(pins[pin][0]) for pin in order), output)
    return Gates(
        inputs,
        {
            name: tuple(_through(same, each, what) for each in nets)
            for name, nets in outputs.items()
        },
        _ordered(inputs, outputs, drivers, same, what),
    )


def _through(same: Mapping[Net, Net], net: Net, what: str) -> Net:
    """What a net is, registers left out."""
    seen = {net}
    while net in same:
        net = same[net]
        if net in seen:
            raise MultiplierError(_LOOP.format(what=what))
        seen.add(net)
    return net


_LOOP = "{what} computes in a loop: it is no pipeline, whose products depend on one pair only"


def _ordered(
    inputs: Mapping[str, tuple[Net, ...]],
    outputs: Mapping[str, tuple[Net, ...]],
    drivers: Mapping[Net, Gate],
    same: Mapping[Net, Net],
    what: str,
) -> tuple[Gate, ...]:
    """Gates that the outputs depend on, each behind those it depends on."""
    done = {ZERO, ONE, *(net for nets in inputs.values() for net in nets)}
    made: list[Gate] = []
    open_nets: set[Net] = set()
    stack = [_through(same, net, what) for nets in outputs.values() for net in nets]
    while stack:
        net = stack[-1]
        if net in done:
            stack.pop()
            continue
        if net not in drivers:
            raise MultiplierError(f"{what} reads a net that nothing drives")
        gate = drivers[net]
        sources = tuple(_through(same, each, what) for each in gate.inputs)
        missing = [source for source in sources if source not in done]
        if not missing:
            made.append(Gate(gate.kind, sources, net))
            done.add(net)
            open_nets.discard(net)
            stack.pop()
            continue
        open_nets.add(net)
        if not open_nets.isdisjoint(missing):
            raise MultiplierError(_LOOP.format(what=what))
        stack += missing
    return tuple(made)
