# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What waits for what in an iteration of a loop, and in the next.

The loop's blocks become one: as an HLS tool does, both sides of a branch are computed, and what
has an effect waits for the condition under which its block runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from axynq.host.netlists.latency import latency_of
from axynq.host.synthesis.compilation import Compiled
from axynq.host.synthesis.delays import (
    BLOCK_RAM,
    CHANNEL,
    CHOICE,
    LOGIC,
    LOOP_REGISTER,
    LUT_RAM,
    PORT_LATENCY,
    Timing,
    timing,
)
from axynq.host.synthesis.ir import Function, Instruction, Loop, Operand
from axynq.host.synthesis.memories import ACCESSES, Memories, Memory, Place, plain_name
from axynq.host.synthesis.operators import DIVISIONS, Operator, operator
from axynq.host.synthesis.pragmas import SourceLoop
from axynq.host.synthesis.registers import MULTIPLEXER


@dataclass(eq=False, slots=True)
class Node:
    """Something that takes time in an iteration.

    Attributes:
        timing: how much.
        instruction: of which it is; None for conditions.
        operator: what an instruction builds; None for wires.
        kind: ``value``, ``register`` (a value of the iteration before), ``condition``, ``start``.
        number: place in the order of the iteration.
    """

    timing: Timing
    instruction: Instruction | None = None
    operator: Operator | None = None
    kind: str = "value"
    number: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """``target`` waits for ``source``.

    Attributes:
        distance: iterations from the source's to the target's.
        cycles: for accesses of one memory, clock cycles between them at least; None: the target
            takes the source's result.
    """

    source: Node
    target: Node
    distance: int = 0
    cycles: int | None = None


@dataclass(eq=False)
class LoopGraph:
    """The dependences of a loop.

    Attributes:
        nodes: in an order in which no node waits for a later one of the same iteration.
        edges: all of them.
        accesses: loads and stores with the places that they may go to.
    """

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    accesses: list[tuple[Node, list[Place]]] = field(default_factory=list)


def loop_graph(
    compiled: Compiled,
    memories: Memories,
    function: Function,
    loop: Loop,
    source: SourceLoop | None,
) -> LoopGraph:
    """The dependences of a loop without loops inside it."""
    return _Builder(compiled, memories, function, loop, source).build()


class _Builder:
    def __init__(
        self,
        compiled: Compiled,
        memories: Memories,
        function: Function,
        loop: Loop,
        source: SourceLoop | None,
    ) -> None:
        self.compiled = compiled
        self.memories = memories
        self.function = function
        self.loop = loop
        self.independent = source.independent if source is not None else set()
        self.order = [name for name in function.order if name in loop.blocks]
        self.widths = memories.widths[function.name]
        self.graph = LoopGraph()
        self.node_of: dict[str, Node] = {}
        self.conditions: dict[tuple[str, str], Node | None] = {}
        self.invariant = _invariants(compiled, memories, function, self.order, loop)
        self.after = postdominators(function, self.order, loop)
        self.reached = reached_blocks(function, self.order, loop)

    def build(self) -> LoopGraph:
        start = self._add(Node(Timing(0.0), kind="start"))
        for name in self.order:
            for i in self.function.blocks[name].instructions:
                self._instruction(i, start)
        self._registers()
        for name in self.order:  # whether there is a next iteration
            block = self.function.blocks[name]
            if any(target not in self.loop.blocks for target in block.successors):
                for node in self._decided_by(name):
                    self._edge(node, start, 1)
        self._memory_edges()
        return self.graph

    def _add(self, node: Node) -> Node:
        node.number = len(self.graph.nodes)
        self.graph.nodes.append(node)
        return node

    def _edge(self, source: Node, target: Node, distance: int = 0) -> None:
        self.graph.edges.append(Edge(source, target, distance))

    def _value(self, operand: Operand) -> Node | None:
        return self.node_of.get(operand) if isinstance(operand, str) else None

    def _instruction(self, i: Instruction, start: Node) -> None:
        if i.name in self.invariant or i.opcode == "br":
            return
        if i.opcode == "phi" and i.block == self.loop.header:
            node = self.node_of[i.name] = self._add(Node(Timing(0.0), i, kind="register"))
            node.operator = operator(self.memories, self.function, self.widths, i, self.loop.header)
            self._edge(start, node)
            return
        made = operator(self.memories, self.function, self.widths, i, self.loop.header)
        inputs = [n for n in (self._value(operand) for operand in i.operands) if n is not None]
        if i.opcode == "phi":
            inputs += self._choosing(i)
        elif _has_effect(i):
            condition = self._condition(self.loop.header, i.block)
            inputs += [condition] if condition is not None else []
        node = self._add(Node(Timing(0.0), i, made))
        places = self.memories.places(self.function, i) if i.opcode in ACCESSES else []
        node.timing = self._timing(i, made, places)
        if places:
            self.graph.accesses.append((node, places))
        if i.name:
            self.node_of[i.name] = node
        for source in inputs:
            self._edge(source, node)

    def _timing(self, i: Instruction, made: Operator | None, places: list[Place]) -> Timing:
        if places:
            return access_timing(places[0].memory, i, made)
        if made is None:
            return Timing(0.0)
        if made.kind == "call":
            inside = made.name in self.compiled.module.functions
            return Timing(0.0, 0 if inside else latency_of(plain_name(made.name)), 0.0)
        if i.opcode == "phi":
            return Timing(CHOICE * max(len(i.operands) - 1, 1).bit_length())
        return timing(made)

    # --- conditions ---

    def _decided_by(self, block: str) -> list[Node]:
        """What the end of a block decides by."""
        found = (self._value(operand) for operand in self.function.blocks[block].end.operands)
        return [node for node in found if node is not None]

    def _condition(self, above: str, block: str) -> Node | None:
        """Whether a block runs, given that ``above`` does, which leads to it; None: it does."""
        key = (above, block)
        if key in self.conditions:
            return self.conditions[key]
        made: Node | None = None
        if block != above:
            before = self.function.dominators[block]
            if block in self.after.get(before, set()):
                made = self._condition(above, before)
            else:
                inputs: list[Node] = []
                for source in self.function.predecessors[block]:
                    if source in self.loop.blocks and self.function.dominates(above, source):
                        inputs += self._leads(above, source)
                inputs = list(dict.fromkeys(inputs))
                if inputs:
                    made = self._add(Node(Timing(LOGIC), kind="condition"))
                    for node in inputs:
                        self._edge(node, made)
        self.conditions[key] = made
        return made

    def _leads(self, above: str, source: str) -> list[Node]:
        """What decides whether a way out of a block is taken."""
        condition = self._condition(above, source)
        return [*([condition] if condition is not None else []), *self._decided_by(source)]

    def _choosing(self, i: Instruction) -> list[Node]:
        """What decides which of its values a ``phi`` is."""
        above = self.function.dominators[i.block]
        found: list[Node] = []
        for source in i.targets:
            if source in self.loop.blocks:
                found += self._leads(above, source)
        return list(dict.fromkeys(found))

    # --- from one iteration to the next ---

    def _registers(self) -> None:
        for i in self.function.blocks[self.loop.header].instructions:
            if i.opcode != "phi" or i.name not in self.node_of:
                continue
            kept = self._add(Node(Timing(LOOP_REGISTER), i, kind="kept"))
            for value, block in zip(i.operands, i.targets):
                node = self._value(value)
                if block in self.loop.blocks and node is not None:
                    self._edge(node, kept)
            self._edge(kept, self.node_of[i.name], 1)

    def _memory_edges(self) -> None:
        by_memory: dict[Memory, list[tuple[Node, Place]]] = defaultdict(list)
        for node, places in self.graph.accesses:
            for place in places:
                by_memory[place.memory].append((node, place))
        for memory, accesses in by_memory.items():
            if memory.kind in ("channel", "port"):
                continue
            stores = [a for a in accesses if _is_store(a[0])]
            independent = memory.name.split(".")[0] in self.independent
            for writer, written in stores:
                for other, place in accesses:
                    self._order(writer, written, other, place, memory, independent)

    def _order(
        self,
        writer: Node,
        written: Place,
        other: Node,
        place: Place,
        memory: Memory,
        independent: bool,
    ) -> None:
        if not _may_meet(written.bank, place.bank) or writer is other:
            return
        if _is_store(other) and written.address == place.address:
            return  # parts of one word
        register = memory.kind in ("registers", "scalar")
        same, distances = self._meeting(written, place)
        if self._apart(writer, other):
            same = False
        if same and writer.number < other.number:
            if not register:
                self.graph.edges.append(Edge(writer, other, 0, 1))
            elif not _is_store(other):
                self._edge(writer, other)
        elif same and other.number < writer.number and not _is_store(other):
            self.graph.edges.append(Edge(other, writer, 0, 0))
        if not independent:
            for distance in distances:
                self.graph.edges.append(Edge(writer, other, distance, 1))

    def _apart(self, a: Node, b: Node) -> bool:
        """Whether two accesses are never both made in an iteration."""
        assert a.instruction is not None
        assert b.instruction is not None
        first, second = a.instruction.block, b.instruction.block
        return second not in self.reached[first] and first not in self.reached[second]

    def _meeting(self, written: Place, place: Place) -> tuple[bool, list[int]]:
        """Whether two accesses of a bank may mean the same word in one iteration, and in
        iterations how far apart."""
        if not written.address and not place.address:
            return True, [1]
        first = self._line(written.address)
        second = self._line(place.address)
        if first is None or second is None or first[1] != second[1]:
            return True, [1]
        gap = first[0] - second[0]
        step = sum(
            factor * self._step(value) for value, factor in first[1] if value not in self.invariant
        )
        moving = [v for v, _ in first[1] if v in self.node_of]
        if not moving:
            return gap == 0, [1] if gap == 0 else []
        if step == 0 or any(self._step(v) == 0 for v in moving):
            return gap == 0, [1]
        distance = gap / step
        return gap == 0, [int(distance)] if distance > 0 and distance == int(distance) else []

    def _line(self, address: tuple[object, ...]) -> tuple[int, tuple[tuple[str, int], ...]] | None:
        """The one index of an address as a constant and multiples of values."""
        parts = [part for part in address if isinstance(part, tuple)]
        constant = 0
        terms: dict[str, int] = defaultdict(int)
        used = 0
        for part in parts:
            index, variables = part
            if index == 0 and not variables:
                continue
            used += 1
            scale = min((factor for _, factor in variables), default=1)
            constant += index
            for value, factor in variables:
                base, found = self._affine(value)
                constant += base * factor // scale
                for name, times in found.items():
                    terms[name] += times * factor // scale
        if used > 1:
            return None
        return constant, tuple(sorted((v, n) for v, n in terms.items() if n))

    def _affine(self, value: str) -> tuple[int, dict[str, int]]:
        i = self.function.values.get(value)
        if i is None or value in self.invariant:
            return 0, {value: 1}
        if i.opcode in ("zext", "sext") and isinstance(i.operands[0], str):
            return self._affine(i.operands[0])
        a, b = i.operands[0], i.operands[-1]
        sum_ = i.opcode == "add" or (i.opcode == "or" and i.detail == "disjoint")
        if (sum_ or i.opcode == "shl") and isinstance(a, str) and isinstance(b, int):
            base, found = self._affine(a)
            if i.opcode == "shl":
                return base << b, {name: n << b for name, n in found.items()}
            return base + b, found
        return 0, {value: 1}

    def _step(self, value: str) -> int:
        """What an iteration adds to a value of the header; 0: it is not known."""
        i = self.function.values.get(value)
        if i is None or i.opcode != "phi" or i.block != self.loop.header:
            return 0
        for operand, block in zip(i.operands, i.targets):
            if block in self.loop.blocks and isinstance(operand, str):
                base, found = self._affine(operand)
                if found != {value: 1}:
                    return 0
                return base
        return 0


def access_timing(memory: Memory, i: Instruction, made: Operator | None) -> Timing:
    """What an access takes."""
    if memory.kind in ("registers", "scalar"):
        if made is not None:
            return timing(made) if made.kind == "mux" else Timing(CHOICE)
        return Timing(0.0)
    if memory.kind == "channel":
        return Timing(CHANNEL)
    if memory.kind == "port":
        return Timing(CHANNEL, PORT_LATENCY, CHANNEL) if i.opcode == "load" else Timing(CHANNEL)
    delay = LUT_RAM if "lutram" in memory.storage else BLOCK_RAM
    return Timing(delay, 1, delay) if i.opcode == "load" else Timing(delay)


def _has_effect(i: Instruction) -> bool:
    return i.opcode in ACCESSES or (i.opcode == "call" and not i.detail.startswith("llvm."))


def _is_store(node: Node) -> bool:
    return node.instruction is not None and node.instruction.opcode == "store"


def _may_meet(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool:
    return all(x is None or y is None or x == y for x, y in zip(a, b))


def _invariants(
    compiled: Compiled, memories: Memories, function: Function, order: list[str], loop: Loop
) -> set[str]:
    """Values that do not change while a loop runs: those from outside and what is made of them."""
    inside = [i for name in order for i in function.blocks[name].instructions]
    written = {
        place.memory
        for i in inside
        if i.opcode == "store"
        for place in memories.places(function, i)
    }
    calls = any(i.opcode == "call" and i.detail in compiled.module.functions for i in inside)
    varying = {i.name for i in inside if i.name}
    found = set(function.values) - varying | set(function.arguments)
    for i in inside:
        pure = i.opcode != "call" or i.detail.startswith(("llvm.", MULTIPLEXER))
        if not i.name or i.opcode == "phi" or not pure or i.volatile:
            continue
        if i.opcode == "load":
            places = memories.places(function, i)
            steady = all(
                p.memory.kind in ("scalar", "registers") and p.memory not in written for p in places
            )
            if calls or not steady:
                continue
        if i.opcode in DIVISIONS and not _always(function, loop, i):
            continue  # a division by zero must not be made where the sources make none
        if all(not isinstance(o, str) or o[0] != "%" or o in found for o in i.operands):
            found.add(i.name)
    return found


def _always(function: Function, loop: Loop, i: Instruction) -> bool:
    """Whether every iteration runs an instruction, or it can do no harm."""
    divisor = i.operands[1]
    everywhere = all(function.dominates(i.block, latch) for latch in loop.latches)
    return everywhere or (isinstance(divisor, int) and divisor != 0)


def postdominators(function: Function, order: list[str], loop: Loop) -> dict[str, set[str]]:
    """For each block those that every way from it to the iteration's end leads through."""
    found: dict[str, set[str]] = {}
    for name in reversed(order):
        ways = []
        for target in function.blocks[name].successors:
            if target in loop.blocks and target != loop.header:
                ways.append(found[target])
            elif target not in loop.blocks:
                continue  # the last iteration ends here: what follows in it does not count
            else:
                ways.append(set())
        shared = set.intersection(*ways) if ways else set()
        found[name] = {name, *shared}
    return found


def reached_blocks(function: Function, order: list[str], loop: Loop) -> dict[str, set[str]]:
    """For each block itself and those that may follow it in an iteration."""
    found: dict[str, set[str]] = {}
    for name in reversed(order):
        found[name] = {name}
        for target in function.blocks[name].successors:
            if target in loop.blocks and target != loop.header:
                found[name] |= found[target]
    return found


def reads_and_writes(graph: LoopGraph) -> Iterator[tuple[Node, Place]]:
    """Accesses with each place that they may go to."""
    for node, places in graph.accesses:
        for place in places:
            yield node, place
