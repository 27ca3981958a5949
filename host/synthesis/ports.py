# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Accesses of arrays in an iteration of a loop, and the interval that the ports of a bank allow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from axynq.host.synthesis.dependences import LoopGraph, Node, reads_and_writes
from axynq.host.synthesis.ir import Function, Loop
from axynq.host.synthesis.memories import Memory, Place
from axynq.host.synthesis.places import Places


@dataclass(frozen=True)
class Access:
    """What a loop does to an array in one iteration.

    Attributes:
        array: as in the sources.
        banks: memories that it is split into.
        reads: of the bank that is read most.
        writes: of the bank that is written most.
        variable_bank: whether a variable chooses the bank, which counts for all of them.
        ii: the interval that the ports of a bank allow.
        places: where in the sources.
    """

    array: str
    banks: int
    reads: int
    writes: int
    variable_bank: bool
    ii: int
    places: tuple[str, ...]


def accesses_of(graph: LoopGraph, function: Function, loop: Loop, places: Places) -> list[Access]:
    """Accesses in an iteration: the most on any way through it, as those of different sides of a
    branch share ports."""
    by_memory: dict[Memory, list[tuple[Node, Place]]] = defaultdict(list)
    for node, place in reads_and_writes(graph):
        if place.memory.kind in ("memory", "channel", "port"):
            by_memory[place.memory].append((node, place))
    order = [name for name in function.order if name in loop.blocks]
    followers = {
        name: [t for t in function.blocks[name].successors if t in loop.blocks and t != loop.header]
        for name in order
    }
    found = []
    for memory, accesses in by_memory.items():
        reads = writes = 0
        ii = 1
        # Where a variable chooses among all banks, any bank is as good as another.
        banks = {place.bank for _, place in accesses if not place.variable}
        for bank in banks or {accesses[0][1].bank}:
            meeting = [(n, p) for n, p in accesses if not banks or _meets(p, bank)]
            read = _most(order, followers, _words(meeting, "load"))
            written = _most(order, followers, _words(meeting, "store"))
            reads, writes = max(reads, read), max(writes, written)
            ii = max(ii, memory.cycles(read, written))
        variable = any(place.variable for _, place in accesses)
        where = where_of([node for node, _ in accesses], places)
        found.append(Access(memory.name, memory.banks, reads, writes, variable, ii, where))
    return sorted(found, key=lambda access: -access.ii)


def where_of(nodes: Sequence[Node], places: Places) -> tuple[str, ...]:
    """Where nodes come from in the sources."""
    found = (places.of(node.instruction) for node in nodes if node.instruction is not None)
    return tuple(dict.fromkeys(filter(None, found)))


def _meets(place: Place, bank: tuple[int | None, ...]) -> bool:
    return all(a is None or a == b for a, b in zip(place.bank, bank))


def _words(accesses: Sequence[tuple[Node, Place]], opcode: str) -> Counter[str]:
    """Words that are loaded or stored, by block; one that several parts are taken of counts
    once."""
    words: dict[tuple[object, ...], str] = {}
    for node, place in accesses:
        assert node.instruction is not None
        if node.instruction.opcode == opcode:
            words.setdefault((place.bank, place.address), node.instruction.block)
    return Counter(words.values())


def _most(order: list[str], followers: dict[str, list[str]], counts: Counter[str]) -> int:
    """The most that any way through an iteration meets."""
    most: dict[str, int] = {}
    for name in reversed(order):
        most[name] = counts[name] + max((most[t] for t in followers[name]), default=0)
    return most[order[0]]
