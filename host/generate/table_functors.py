# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""C++ functors of tables that have a circuit: C functions as they are, Verilog modules as gates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from axynq.emulator.multipliers import Multiplier, Table
from axynq.emulator.multipliers.circuit import CCircuit, VerilogCircuit
from axynq.emulator.multipliers.gates import ONE, ZERO, Gates, Net
from axynq.host.generate.template import render
from axynq.host.overlay.circuits import ZERO_WEIGHT, check_hardware, zero_is_zero
from axynq.host.overlay.naming import module_name

_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(include|define)\b[ \t]*([^\n]*)$", re.MULTILINE)

_OPERATORS = {
    "NOT": "!{0}",
    "AND": "{0} && {1}",
    "OR": "{0} || {1}",
    "XOR": "{0} != {1}",
    "NAND": "!({0} && {1})",
    "NOR": "!({0} || {1})",
    "XNOR": "{0} == {1}",
    "ANDNOT": "{0} && !{1}",
    "ORNOT": "{0} || !{1}",
    "MUX": "{2} ? {1} : {0}",
}
"""Gates by their kind, of ``bool``."""


def functor_path(m: Table) -> str:
    """What a functor's header is included by."""
    return f"axynq/multipliers/{module_name(m)}.hpp"


def table_headers(multipliers: Iterable[Multiplier]) -> dict[str, str]:
    """Headers of the functors of those that are tables, by the path they are included by."""
    return {functor_path(m): table_header(m) for m in multipliers if isinstance(m, Table)}


def table_header(m: Table) -> str:
    """The header of a table's functor, ``axynq::NAME`` by :func:`module_name`.

    Raises:
        MultiplierError: the table has no circuit.
    """
    check_hardware(m)
    circuit, name = m.circuit, module_name(m)
    if isinstance(circuit, CCircuit):
        directives = _DIRECTIVE.findall(circuit.text)
        return render(
            "table_c.hpp.j2",
            name=name,
            source=m.source,
            includes=sorted({f"#include {what.strip()}" for kind, what in directives
                             if kind == "include"} - {"#include <stdint.h>"}),
            text=_without_includes(circuit.text),
            macros=sorted({re.match(r"\w*", what)[0] for kind, what in directives  # type: ignore[index]
                           if kind == "define"}),
            functor=_functor(m, name, _c_call(circuit, name)),
        )  # fmt: skip
    assert isinstance(circuit, VerilogCircuit)
    return render(
        "table_gates.hpp.j2",
        name=name,
        source=m.source,
        widths=circuit.widths,
        lines=list(_lines(circuit.gates)),
        functor=_functor(m, name, _gates_call(circuit, name)),
    )


def _without_includes(text: str) -> str:
    def kept(match: re.Match[str]) -> str:
        return "" if match[1] == "include" else match[0]

    return _DIRECTIVE.sub(kept, text).strip()


def _functor(m: Table, name: str, call: str) -> str:
    circuit = m.circuit
    return render(
        "table_functor.hpp.j2",
        name=name,
        operands=m.operands,
        call=call,
        zero_is_zero=zero_is_zero(m),
        zero_weight=ZERO_WEIGHT,
        width=circuit.widths[2] if isinstance(circuit, VerilogCircuit) else 16,
    )


def _c_call(circuit: CCircuit, name: str) -> str:
    byte = "unsigned char" if circuit.operands == "magnitudes" else "signed char"
    own = ["own_a", "own_w"] if circuit.activation == "first" else ["own_w", "own_a"]
    arguments = (f"({kind})(({byte})int({value}))" for kind, value in zip(circuit.types, own))
    result = "unsigned short" if circuit.operands == "magnitudes" else "short"
    return f"({result})({name}_source::{circuit.name}({', '.join(arguments)}))"


def _gates_call(circuit: VerilogCircuit, name: str) -> str:
    own = ["own_a", "own_w"] if circuit.activation == "first" else ["own_w", "own_a"]
    arguments = (f"ap_uint<{width}>({value})" for width, value in zip(circuit.widths, own))
    return f"{name}_source::gates({', '.join(arguments)})"


def _lines(gates: Gates) -> Iterator[str]:
    """The body of a C++ function of ``first`` and ``second``."""
    names: dict[Net, str] = {ZERO: "false", ONE: "true"}
    for port in ("first", "second"):
        for place, net in enumerate(gates.inputs[port]):
            names[net] = f"{port}{place}"
            yield f"const bool {port}{place} = {port}[{place}];"
    for gate in gates.gates:
        names[gate.output] = f"n{gate.output}"
        value = _OPERATORS[gate.kind].format(*(names[net] for net in gate.inputs))
        yield f"const bool n{gate.output} = {value};"
    yield "bits_t product = 0;"
    for place, net in enumerate(gates.outputs["product"]):
        if net != ZERO:
            yield f"product[{place}] = {names[net]};"
    yield "return product;"
