# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The operators that functions and loops consist of, by kind and width.

What remains of a function after inlining, unrolling and narrowing is what a synthesis tool has to
build. Casts, shifts by constants and constant addresses are wires and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.ir import Function, Instruction
from axynq.host.synthesis.memories import Memories
from axynq.host.synthesis.pragmas import loop_number
from axynq.host.synthesis.registers import MULTIPLEXER
from axynq.host.synthesis.widths import Widths

DIVISIONS = frozenset(["sdiv", "udiv", "srem", "urem"])
EXTREMES = ("llvm.smax", "llvm.smin", "llvm.umax", "llvm.umin")
SIGNS = (("slt", 0), ("sgt", -1))
"""Comparisons that a sign bit answers."""
FREE = frozenset(
    [
        *("zext", "sext", "trunc", "freeze", "bitcast", "br", "ret", "unreachable"),
        *("alloca", "getelementptr", "extractvalue", "insertvalue"),
    ]
)


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        kind: ``add``, ``sub``, ``icmp``, ``equal`` (a comparison for equality), ``select``,
            ``mux`` (a choice among several by a number), ``shift`` (by a variable), ``mul``,
            ``div``, ``and``, ``or``, ``xor``, ``extreme`` (the larger or smaller of two),
            ``register`` (a value that a loop keeps), ``load``, ``store``, ``call``.
        width: bits of the result; of the operands for a comparison.
        operands: bits of each operand.
        constant: whether an operand is constant.
        name: what is called, or accessed.
        place: file and line; empty where unknown.
    """

    kind: str
    width: int
    operands: tuple[int, ...] = ()
    constant: bool = False
    name: str = ""
    place: str = ""


@dataclass(frozen=True)
class Region:
    """Part of a function: an innermost loop, or what is outside all of them.

    Attributes:
        function: as the linker calls it.
        loop: the loop's label; empty outside of loops, or for one without a label.
        pipelined: whether its iterations overlap.
        operators: what it consists of.
    """

    function: str
    loop: str
    pipelined: bool
    operators: tuple[Operator, ...]


def regions(compiled: Compiled, memories: Memories) -> list[Region]:
    """All operators, by function and by innermost loop. An operator whose operands do not change
    while its loop runs belongs to what is outside."""
    found = []
    for function in compiled.module.functions.values():
        groups: dict[str, list[Instruction]] = {"": []}
        innermost: dict[str, str] = {}
        for loop in function.loops:
            groups[loop.header] = []
            innermost |= dict.fromkeys(loop.blocks, loop.header)
        for block in function.order:
            groups[innermost.get(block, "")] += function.blocks[block].instructions
        described = {loop.header: loop for loop in function.loops}
        for header, instructions in groups.items():
            inner = described.get(header)
            number = loop_number(compiled.module, inner.metadata) if inner else 0
            source = compiled.sources.loops.get(number)
            made = tuple(operators(compiled, memories, function, instructions, header))
            label = source.label if source is not None else ""
            pipelined = source is not None and source.has("PIPELINE")
            if made:
                found.append(Region(function.name, label, pipelined, made))
    return found


def operators(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    instructions: list[Instruction],
    header: str = "",
) -> Iterator[Operator]:
    """The operators of instructions; ``header`` is that of the loop they are in."""
    widths = memories.widths[function.name]
    for i in instructions:
        made = operator(memories, function, widths, i, header)
        if made is not None:
            yield made


def operator(
    memories: Memories, function: Function, widths: Widths, i: Instruction, header: str = ""
) -> Operator | None:
    """The operator that an instruction is; None: it is wires."""
    if i.opcode in FREE or _wires(i):
        return None
    constant = any(isinstance(operand, int) for operand in i.operands)
    width = widths.result(i) if i.name and i.width else i.width
    inputs = tuple(widths.width(operand, i.width) for operand in i.operands)
    if i.opcode in ("add", "sub", "and", "or", "xor"):
        return Operator(i.opcode, width, inputs, constant)
    if i.opcode == "mul":
        return Operator("mul", width, inputs, constant)
    if i.opcode in DIVISIONS:
        return Operator("div", width, inputs, constant, i.opcode)
    if i.opcode == "icmp":
        kind = "equal" if i.detail in ("eq", "ne") else "icmp"
        return Operator(kind, max(inputs, default=0), inputs, constant)
    if i.opcode == "select":
        return Operator("select", width, (1, *inputs[1:]), constant)
    if i.opcode == "phi":
        kind = "register" if i.block == header else "select" if len(inputs) == 2 else "mux"
        return Operator(kind, width, inputs)
    if i.opcode == "switch":
        return Operator("equal", i.width, (i.width,), True)
    if i.opcode in ("shl", "lshr", "ashr"):
        return Operator("shift", width, inputs)
    if i.opcode in ("load", "store"):
        return _access(memories, function, i, width)
    return _called(widths, i, width, inputs)


def _wires(i: Instruction) -> bool:
    """Whether an operation takes no gates: a mask, bits side by side, an inverter, which goes into
    the LUT behind it, a shift by a constant, a comparison that the sign answers."""
    if i.opcode in ("and", "or"):
        return i.detail == "disjoint" or any(isinstance(operand, int) for operand in i.operands)
    if i.opcode == "xor":
        return -1 in i.operands
    if i.opcode in ("shl", "lshr", "ashr"):
        return isinstance(i.operands[1], int)
    return i.opcode == "icmp" and (i.detail, i.operands[1]) in SIGNS


def _access(memories: Memories, function: Function, i: Instruction, width: int) -> Operator | None:
    places = memories.places(function, i)
    memory = places[0].memory
    if memory.kind == "scalar":
        return None
    if memory.kind == "registers":
        variable = any(place.variable for place in places)
        if not variable:
            return None
        if i.opcode == "load":
            return Operator("mux", width, (width,) * memory.banks, False, memory.name)
    return Operator(i.opcode, width or i.width, (), False, memory.name)


def _called(widths: Widths, i: Instruction, width: int, inputs: tuple[int, ...]) -> Operator | None:
    if i.detail.startswith(MULTIPLEXER):
        return Operator("mux", width, (width,) * (len(i.operands) - 1))
    if i.detail.startswith(EXTREMES):
        constant = any(isinstance(operand, int) for operand in i.operands)
        return Operator("extreme", width, inputs, constant)
    if i.detail.startswith(("llvm.fshl", "llvm.fshr")):
        return None if isinstance(i.operands[2], int) else Operator("shift", width, inputs)
    if i.detail.startswith("llvm.abs"):
        return Operator("sub", width, inputs)
    if i.detail.startswith("llvm."):
        return None
    return Operator("call", width, (), False, i.detail)
