# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A C function of gates as Verilog: what clang makes of it, instruction by instruction.

The front end is clang, from the package ``ziglang``; LLVM's own passes, through ``llvmlite``, leave
one straight line of operations on integers.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers.circuit import CCircuit

PACKAGES = ("ziglang", "llvmlite")

_TOP = "axynq_product"

_WRAPPER = """#include <stdint.h>
#include "function.c"
__attribute__((flatten))
unsigned short {top}(unsigned char first, unsigned char second) {{
  return (unsigned short){name}(({types[0]})({byte})first, ({types[1]})({byte})second);
}}
"""

_FLAGS = (
    *("-target", "x86_64-linux-gnu", "-O1", "-Xclang", "-disable-llvm-passes"),
    *("-S", "-emit-llvm", "-fsigned-char", "-fno-stack-protector", "-w"),
)

_VALUE = r"(%[\w.]+|-?\d+|true|false)"
_FORMS: tuple[tuple[re.Pattern[str], Callable[..., str]], ...] = tuple(
    (re.compile(rf"(%[\w.]+) = {form}"), write)
    for form, write in (
        (
            rf"(add|sub|mul|and|or|xor|shl|lshr|ashr)(?: [a-z]+)* i(\d+) {_VALUE}, {_VALUE}",
            lambda op, bits, a, b: _binary(op, int(bits), a, b),
        ),
        (
            rf"(zext|sext|trunc)(?: [a-z]+)* i(\d+) {_VALUE} to i(\d+)",
            lambda op, old, a, new: _cast(op, int(old), a, int(new)),
        ),
        (
            rf"icmp(?: samesign)? ([a-z]+) i(\d+) {_VALUE}, {_VALUE}",
            lambda op, bits, a, b: _comparison(op, int(bits), a, b),
        ),
        (
            rf"select i1 {_VALUE}, i(\d+) {_VALUE}, i\d+ {_VALUE}",
            lambda c, bits, a, b: (
                f"{_operand(c, 1)} ? {_operand(a, int(bits))} : {_operand(b, int(bits))}"
            ),
        ),
        (rf"freeze i(\d+) {_VALUE}", lambda bits, a: _operand(a, int(bits))),
        (
            rf"(?:tail )?call (?:range\([^)]*\) )?i\d+ @llvm\.([us](?:min|max))\.i(\d+)"
            rf"\(i\d+ {_VALUE}, i\d+ {_VALUE}\)",
            lambda op, bits, a, b: _extreme(op, int(bits), a, b),
        ),
    )
)
"""Instructions, and Verilog of what they compute."""

_BINARY = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^", "shl": "<<",
           "lshr": ">>"}  # fmt: skip
_COMPARISONS = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def c_verilog(circuit: CCircuit, module: str) -> str:
    """A module ``module(first, second, product)`` of 8, 8 and 16 bits.

    Raises:
        MultiplierError: the function does not compile, or is more than gates and arithmetic.
        ToolError: the packages for it are not installed.
    """
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise ToolError("Verilog of a C function needs clang and LLVM: pip install 'axynq[rtl]'")
    lines = _instructions(_optimised(_front_end(circuit)), circuit.name)
    body, result = [], ""
    for line in lines:
        returned = re.match(rf"ret i16 {_VALUE}", line)
        if returned:
            result = _operand(returned[1], 16)
            continue
        body.append(_statement(line, circuit.name))
    return "\n".join(
        [
            f"module {module} (input [7:0] first, input [7:0] second, output [15:0] product);",
            "  wire [7:0] v0 = first, v1 = second;",
            *body,
            f"  assign product = {result};",
            "endmodule",
            "",
        ]
    )


def _front_end(circuit: CCircuit) -> str:
    """LLVM's text of the function before any pass."""
    byte = "uint8_t" if circuit.operands == "magnitudes" else "int8_t"
    wrapper = _WRAPPER.format(top=_TOP, name=circuit.name, types=circuit.types, byte=byte)
    with tempfile.TemporaryDirectory() as work:
        files.write_text(Path(work, "function.c"), circuit.text)
        files.write_text(Path(work, "wrapper.c"), wrapper)
        command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "wrapper.c", "-o", "made.ll"]
        ran = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if ran.returncode:
            errors = [line for line in ran.stderr.splitlines() if "error" in line]
            reason = errors[0] if errors else ran.stderr.strip()[-300:]
            raise MultiplierError(f"clang rejects the C function {circuit.name}: {reason}")
        return Path(work, "made.ll").read_text(encoding="utf-8")


def _optimised(text: str) -> Any:
    """The function after inlining, unrolling and simplification, as a module of LLVM."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    module = llvm.parse_assembly(text, llvm.create_context())
    machine = llvm.Target.from_default_triple().create_target_machine()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def _instructions(module: Any, name: str) -> list[str]:
    """The instructions of the function, which has no branches."""
    blocks = list(module.get_function(_TOP).blocks)
    if len(blocks) != 1:
        raise MultiplierError(
            f"the C function {name} decides which way to go by its operands: hardware needs a "
            "function of gates and arithmetic alone"
        )
    texts = (re.sub(r",? ![\w.]+.*", "", str(each)) for each in blocks[0].instructions)
    return [text.strip() for text in texts]


def _statement(line: str, name: str) -> str:
    for pattern, write in _FORMS:
        found = pattern.fullmatch(line)
        if found:
            target, *parts = found.groups()
            return f"  wire [{_width(line) - 1}:0] {_name(target)} = {write(*parts)};"
    raise MultiplierError(
        f"the C function {name} is more than gates and arithmetic: '{line}' has no hardware here"
    )


def _width(line: str) -> int:
    """Bits of an instruction's result."""
    if " = icmp" in line:
        return 1
    cast = re.search(r" to i(\d+)$", line)
    if cast:
        return int(cast[1])
    select = re.search(r"select i1 [^,]*, i(\d+)", line)
    found = select or re.search(r" i(\d+)", line)
    assert found is not None
    return int(found[1])


def _name(value: str) -> str:
    return "v" + value[1:].replace(".", "_")


def _operand(value: str, bits: int) -> str:
    if value.startswith("%"):
        return _name(value)
    number = {"true": 1, "false": 0}.get(value)
    number = int(value) if number is None else number
    return f"{bits}'h{number % (1 << bits):x}"


def _binary(op: str, bits: int, a: str, b: str) -> str:
    left, right = _operand(a, bits), _operand(b, bits)
    if op == "ashr":
        return f"$signed({left}) >>> {right}"
    return f"{left} {_BINARY[op]} {right}"


def _cast(op: str, old: int, a: str, new: int) -> str:
    value = _operand(a, old)
    if op == "trunc":
        return f"{value}[{new - 1}:0]"
    fill = f"{value}[{old - 1}]" if op == "sext" else "1'b0"
    return f"{{{{{new - old}{{{fill}}}}}, {value}}}"


def _comparison(op: str, bits: int, a: str, b: str) -> str:
    left, right = _operand(a, bits), _operand(b, bits)
    if op.startswith("s"):
        left, right = f"$signed({left})", f"$signed({right})"
    return f"{left} {_COMPARISONS[op if op in _COMPARISONS else op[1:]]} {right}"


def _extreme(op: str, bits: int, a: str, b: str) -> str:
    compared = _comparison(op[0] + ("lt" if op.endswith("min") else "gt"), bits, a, b)
    return f"{compared} ? {_operand(a, bits)} : {_operand(b, bits)}"
