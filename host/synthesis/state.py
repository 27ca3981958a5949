# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Registers that variables are, with what chooses among those who write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from axynq.host.synthesis.addresses import addresses
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.ir import Function, Instruction
from axynq.host.synthesis.memories import Memories

CHOICE = 0.75
"""LUTs of a bit that one of two writes: a LUT could hold two, some find no partner."""


def state_of(compiled: Compiled, memories: Memories) -> dict[str, Cost]:
    """Structures, scalars and arrays in registers, by the function that declares them.

    A variable has as many bits as are written to it. Where several functions write it, each bit
    has a choice for each but the first; within a function, choices are operators of its own.
    """
    widths: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    writers: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for function in compiled.module.functions.values():
        for i in function.instructions():
            if i.opcode != "store":
                continue
            bits = memories.widths[function.name].width(i.operands[0], i.width)
            for address in addresses(compiled.module, function, i.operands[-1]):
                for root, offset in memories.roots(function, address.base):
                    if not _kept(compiled, memories, function, i, root):
                        continue
                    for place in _elements(memories, function, i, address.offset + offset):
                        widths[root][place] = max(widths[root][place], bits)
                        writers[root][place].add(function.name)
    found: dict[str, Cost] = defaultdict(Cost)
    for root, places in widths.items():
        for place, bits in places.items():
            choices = len(writers[root][place]) - 1
            found[root[0]] += Cost(bits * choices * CHOICE, bits)
    return dict(found)


def _elements(memories: Memories, function: Function, i: Instruction, offset: int) -> Iterable[int]:
    """Where a store may go: one place, or any element of an array that a variable chooses in."""
    for place in memories.places(function, i):
        array = place.memory.array
        if place.variable:
            return range(array.start, array.start + array.elements * array.size, array.size)
    return (offset,)


def _kept(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    i: Instruction,
    root: tuple[str, str],
) -> bool:
    owner = compiled.module.functions[root[0]]
    declared = root[1] in owner.values
    kinds = {place.memory.kind for place in memories.places(function, i)}
    return declared and kinds <= {"scalar", "registers"}
