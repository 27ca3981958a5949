# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The netlist of each multiplier."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    WEIGHT_MAX,
    WEIGHT_MIN,
    Exact,
    Multiplier,
    Roup,
    SMApprox,
    Table,
    multiplier,
)
from axynq.host.netlists.booth import (
    ACTIVATION_BITS,
    Schedule,
    booth_product,
    configurable_product,
)
from axynq.host.netlists.evaluate import IntArray
from axynq.host.netlists.netlist import Net, Netlist
from axynq.host.netlists.simplify import simplified
from axynq.host.netlists.smapprox import signed_smapprox_product, smapprox_product
from axynq.host.netlists.table_circuits import PRODUCT_BITS, WEIGHT_BITS, table_circuit
from axynq.host.overlay.naming import module_name

MAX_OR_INPUTS = 6


def netlist(spec: str) -> Netlist:
    """The signed multiplier: ports ``a`` (9 bits, -255..255), ``w`` (8 bits) and ``p`` (17 bits).

    Raises:
        MultiplierError: the specification is malformed, or is that of a table without a circuit.
        ToolError: it is a table, and the tools to make a netlist of it are not installed.
    """
    m = multiplier(spec)
    return table_circuit(m).netlist if isinstance(m, Table) else _signed(m.spec)


def registers_inside(spec: str) -> int:
    """Flip-flops of a multiplier itself, which only pipelined Verilog modules have.

    Raises:
        MultiplierError: see :func:`netlist`.
    """
    m = multiplier(spec)
    return table_circuit(m).registers if isinstance(m, Table) else 0


def unsigned_netlist(digits: str) -> Netlist:
    """The 8x8 SMApprox multiplier of magnitudes: ports ``a``, ``b`` (8 bits) and ``p`` (16 bits).

    Raises:
        MultiplierError: ``digits`` are not four of 0 to 3.
    """
    made = SMApprox.parse(digits)
    circuit = Netlist(
        f"smapprox_{made.digits}_unsigned", f"{made.spec} of magnitudes: 8 x 8 bits, unsigned"
    )
    a, b = circuit.input("a", 8), circuit.input("b", 8)
    circuit.output("p", smapprox_product(circuit, a, b, made.digits))
    return simplified(circuit, unsigned_domain())


def configurable_netlist(specs: Sequence[str]) -> Netlist:
    """One Booth array for several exact or ROUP multipliers: ports ``a``, ``w``, ``code`` (the
    number of the multiplier) and ``p``.

    Raises:
        MultiplierError: fewer than two are given, or one is neither exact nor ROUP.
    """
    made = _bank(specs)
    for m in made:
        if not isinstance(m, (Exact, Roup)):
            raise MultiplierError(f"'{m.spec}': a configurable cell is exact or ROUP")
    names = "_or_".join(module_name(m) for m in made)
    circuit = Netlist(f"configurable_{names}", f"set by code to: {', '.join(specs)}")
    a, w, code = _bank_ports(circuit, made)
    product = configurable_product(circuit, a, w, code, [_schedule(m) for m in made])
    circuit.output("p", _extended(product))
    return simplified(circuit, bank_domain(len(made)))


def bank_netlist(specs: Sequence[str]) -> Netlist:
    """A circuit for each multiplier, as :class:`bank` of the HLS sources has them: those that the
    code does not select see a weight of zero, and an OR joins the products.

    Raises:
        MultiplierError: fewer than two are given, or one has no netlist.
    """
    made = _bank(specs)
    names = "_or_".join(module_name(m) for m in made)
    circuit = Netlist(f"bank_{names}", f"a circuit each for: {', '.join(specs)}")
    a, w, code = _bank_ports(circuit, made)
    products = []
    for number, m in enumerate(made):

        def gate(bit: int, *code: int, number: int = number) -> int:
            return bit & (sum(b << i for i, b in enumerate(code)) == number)

        gated = [circuit.lut(gate, bit, *code) for bit in w]
        products.append(_extended(_product(circuit, a, gated, m)))
    joined = []
    for column in zip(*products):
        terms = list(column)
        while len(terms) > 1:
            terms = [
                circuit.lut(lambda *bits: int(any(bits)), *terms[i : i + MAX_OR_INPUTS])
                for i in range(0, len(terms), MAX_OR_INPUTS)
            ]
        joined.append(terms[0])
    circuit.output("p", joined)
    return simplified(circuit, bank_domain(len(made)))


@cache
def signed_domain() -> dict[str, IntArray]:
    """All 511 x 256 operand pairs, activations outer: by port, shape [130816]."""
    a = np.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1)
    w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1)
    return {"a": np.repeat(a, w.size), "w": np.tile(w, a.size)}


@cache
def unsigned_domain() -> dict[str, IntArray]:
    """All 256 x 256 pairs of magnitudes: by port, shape [65536]."""
    values = np.arange(256)
    return {"a": np.repeat(values, 256), "b": np.tile(values, 256)}


def bank_domain(designs: int) -> dict[str, IntArray]:
    """All operand pairs under every code, codes outermost: by port, shape [designs * 130816]."""
    pairs = signed_domain()
    size = pairs["a"].size
    made = {port: np.tile(values, designs) for port, values in pairs.items()}
    return made | {"code": np.repeat(np.arange(designs), size)}


@cache
def _signed(spec: str) -> Netlist:
    m = multiplier(spec)
    circuit = Netlist(module_name(m), f"{spec}: 9-bit activation (not -256) x 8-bit weight, signed")
    a, w = circuit.input("a", ACTIVATION_BITS), circuit.input("w", WEIGHT_BITS)
    circuit.output("p", _extended(_product(circuit, a, w, m)))
    return simplified(circuit, signed_domain())


def _product(
    circuit: Netlist, a: Sequence[Net], w: Sequence[Net], m: Multiplier
) -> tuple[Net, ...]:
    if isinstance(m, SMApprox):
        return signed_smapprox_product(circuit, a, w, m.digits)
    if isinstance(m, (Exact, Roup)):
        return booth_product(circuit, a, w, _schedule(m))
    raise MultiplierError(f"'{m.spec}': there are no netlists of this family, only a C++ functor")


def _schedule(m: Multiplier) -> Schedule:
    if isinstance(m, Roup):
        return Schedule.of(m.perforation, m.rounding)
    return Schedule.of(0, (0, 0, 0, 0))


def _extended(product: Sequence[Net]) -> tuple[Net, ...]:
    bits = tuple(product)[:PRODUCT_BITS]
    return bits + (bits[-1],) * (PRODUCT_BITS - len(bits))


def _bank(specs: Sequence[str]) -> list[Multiplier]:
    if len(specs) < 2:
        raise MultiplierError("a bank to choose from has two multipliers at least")
    made = [multiplier(spec) for spec in specs]
    for m in made:
        if isinstance(m, Table):
            raise MultiplierError(f"'{m.spec}': a netlist of a whole bank has no tables")
    return made


def _bank_ports(
    circuit: Netlist, bank: Sequence[Multiplier]
) -> tuple[Sequence[Net], Sequence[Net], Sequence[Net]]:
    a, w = circuit.input("a", ACTIVATION_BITS), circuit.input("w", WEIGHT_BITS)
    return a, w, circuit.input("code", (len(bank) - 1).bit_length())
