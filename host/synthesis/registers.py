# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Arrays in registers: an index that is not constant becomes what hardware has in its place.

Reading one is a multiplexer over the elements, a call of ``axynq.mux``; writing one is, for each
element, a comparison and a choice between old and new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from axynq.host.synthesis.addresses import Address, Array, addresses, array_at, arrays
from axynq.host.synthesis.ir import (
    Function,
    Instruction,
    Module,
    Operand,
    read_instruction,
    read_module,
)
from axynq.host.synthesis.pragmas import Pragma, Sources, Variable

MULTIPLEXER = "axynq.mux"


def with_multiplexers(text: str, sources: Sources) -> str:
    """LLVM's text with constant indices alone into arrays that are registers."""
    # First loads from one of two places, whose addresses may be variable themselves.
    text = _rewritten(text, "%axynq.both", _loads_of_both)
    declared: dict[str, str] = {}

    def multiplexer(module: Module, function: Function, i: Instruction, name: str) -> list[str]:
        place = _registers(module, function, sources, i)
        return [] if place is None else list(_written(module, i, *place, name, declared))

    return "\n".join([_rewritten(text, "%axynq.chosen", multiplexer), *declared.values(), ""])


def _rewritten(
    text: str, names: str, rewrite: Callable[[Module, Function, Instruction, str], list[str]]
) -> str:
    """LLVM's text with what ``rewrite`` gives, if anything, in place of loads and stores; it is
    given a name for new values, which starts as ``names``."""
    module = read_module(text)
    functions = iter(module.functions.values())
    function: Function | None = None
    lines: list[str] = []
    count = 0
    for line in text.splitlines():
        if line.startswith("define "):
            function = next(functions)
        elif function is not None and re.match(r"  (%\S+ = load |store )", line):
            i = read_instruction(line.strip(), "")
            written = rewrite(module, function, i, f"{names}{count}")
            if written:
                count += 1
                tail = "".join(re.findall(r", !dbg !\d+", line))
                lines += [f"  {new}{tail}" for new in written]
                continue
        lines.append(line)
    return "\n".join(lines)


def _loads_of_both(_: Module, function: Function, i: Instruction, name: str) -> list[str]:
    if i.opcode != "load" or i.volatile or not _choice(function, i.operands[0]):
        return []
    return _both_loaded(function, i, name)


def _choice(function: Function, pointer: Operand) -> Instruction | None:
    """The choice between two pointers that a pointer is."""
    i = function.values.get(str(pointer))
    return i if i is not None and i.opcode == "select" else None


def _both_loaded(function: Function, i: Instruction, name: str) -> list[str]:
    """A choice between what lies at two places, for a load from one of the places."""
    choice = _choice(function, i.operands[0])
    assert choice is not None
    lines = []
    for k, pointer in enumerate(choice.operands[1:]):
        inner = Instruction(f"{name}.{k}", "load", i.type, [pointer], i.block)
        if _choice(function, pointer):
            lines += _both_loaded(function, inner, inner.name)
        else:
            lines.append(f"{inner.name} = load {i.type}, ptr {pointer}")
    a, b = f"{i.type} {name}.0", f"{i.type} {name}.1"
    return [*lines, f"{i.name} = select i1 {choice.operands[0]}, {a}, {b}"]


def variable_of(function: Function, sources: Sources, base: str) -> Variable | None:
    """The variable that a base is, if the sources have one."""
    found = re.search(r"!(\d+)", base)
    if found is not None:
        return sources.variables[int(found[1])]
    return sources.parameters.get((function.name, base[1:].strip('"')))


def is_register(array: Array, pragmas: list[tuple[tuple[str, ...], Pragma]]) -> bool:
    """Whether every element of an array is apart from all others."""
    dimensions = {
        pragma.dimension
        for path, pragma in pragmas
        if pragma.kind == "ARRAY_PARTITION" and path == array.path[: len(path)]
    }
    return 0 in dimensions or dimensions >= set(range(1, len(array.dimensions) + 1))


def _registers(
    module: Module, function: Function, sources: Sources, i: Instruction
) -> tuple[Address, Array] | None:
    """The register that an access chooses by a variable; None: it does not."""
    found = addresses(module, function, i.operands[-1])
    if len(found) != 1 or not found[0].terms:
        return None
    address = found[0]
    variable = variable_of(function, sources, address.base)
    if variable is None or not variable.number or address.base not in function.values:
        return None
    inside = arrays(module, sources.members, function.values[address.base].detail)
    array = array_at(inside, address.offset) or (inside[0] if len(inside) == 1 else None)
    if array is None or module.size(i.type) != array.size:
        return None
    return (address, array) if is_register(array, variable.pragmas) else None


def _written(
    module: Module,
    i: Instruction,
    address: Address,
    array: Array,
    name: str,
    declared: dict[str, str],
) -> Iterator[str]:
    offsets = _candidates(address, array)
    index, step = f"{name}.index", 1
    if len(address.terms) == 1:
        value, step = address.terms[0]
        yield f"{index} = add i64 {value}, 0"
        numbers = [(offset - address.offset) // step for offset in offsets]
    else:
        for k, (value, factor) in enumerate(address.terms):
            yield f"{name}.term{k} = mul i64 {value}, {factor}"
            before = f"{name}.sum{k - 1}" if k else "0"
            result = f"{name}.sum{k}" if k + 1 < len(address.terms) else index
            yield f"{result} = add i64 {name}.term{k}, {before}"
        numbers = [offset - address.offset for offset in offsets]
    # In the order of the values that choose them; a constant beside the variable turns the order
    # around and costs nothing.
    length = (numbers[-1] - numbers[0]) // max(len(numbers) - 1, 1) * len(numbers) or 1
    ordered = sorted(zip(numbers, offsets), key=lambda pair: pair[0] % length)
    elements = []
    for k, (offset, number) in enumerate((o, n) for n, o in ordered):
        yield f"{name}.place{k} = getelementptr i8, ptr {address.base}, i64 {offset}"
        yield f"{name}.old{k} = load {i.type}, ptr {name}.place{k}"
        elements.append(f"{i.type} {name}.old{k}")
        if i.opcode == "store":
            yield f"{name}.is{k} = icmp eq i64 {index}, {number}"
            yield (
                f"{name}.new{k} = select i1 {name}.is{k}, {i.type} {i.operands[0]}, "
                f"{i.type} {name}.old{k}"
            )
            yield f"store {i.type} {name}.new{k}, ptr {name}.place{k}"
    if i.opcode == "load":
        called = f"@{MULTIPLEXER}.{i.type}.{len(elements)}"
        types = ", ".join(["i64", *[i.type] * len(elements)])
        declared[called] = f"declare {i.type} {called}({types}) memory(none) nounwind willreturn"
        yield f"{i.name} = call {i.type} {called}(i64 {index}, {', '.join(elements)})"


def _candidates(address: Address, array: Array) -> list[int]:
    """Offsets of the elements that an access may mean."""
    every = range(array.start, array.end, array.size)
    if len(address.terms) != 1:
        return list(every)
    step = address.terms[0][1]
    within = next((n * s for n, s in array.dimensions if s == step), array.end - array.start)
    slice_ = (address.offset - array.start) // within
    return [
        offset
        for offset in every
        if (offset - address.offset) % step == 0 and (offset - array.start) // within == slice_
    ]
