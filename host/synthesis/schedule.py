"""The schedule of an accelerator: for each pipelined loop its interval and what forces it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from axynq.host.netlists.blackbox import LATENCY
from axynq.host.overlay import Overlay
from axynq.host.synthesis import delays
from axynq.host.synthesis.compilation import Compiled, compile_overlay
from axynq.host.synthesis.dependences import (
    LoopGraph,
    Node,
    loop_graph,
    reached_blocks,
    reads_and_writes,
)
from axynq.host.synthesis.ir import Function, Loop
from axynq.host.synthesis.memories import Memories, Memory, Place, plain_name
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.pragmas import SourceLoop, loop_number
from axynq.host.synthesis.recurrences import Recurrence, depth, recurrences
from axynq.host.synthesis.regions import DataflowRegion, dataflow_regions


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


@dataclass(frozen=True)
class Way:
    """A recurrence, told.

    Attributes:
        delay_ns: of the longest way around, for each iteration.
        ii: the interval that it needs.
        operators: those on the way, in order.
        places: where they are in the sources.
    """

    delay_ns: float
    ii: int
    operators: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Count:
    """Operators of a kind.

    Attributes:
        operands: bits of each operand, or of each choice.
        width: bits of the result.
        count: how many.
        dsps: of each of them.
        places: where in the sources.
    """

    operands: tuple[int, ...]
    width: int
    count: int
    dsps: int
    places: tuple[str, ...]


@dataclass(frozen=True)
class LoopSchedule:
    """A pipelined loop.

    Attributes:
        name: its label.
        function: where it stands.
        ii: clock cycles from the start of one iteration to that of the next.
        depth: clock cycles that an iteration takes.
        accesses: of arrays, channels and ports.
        recurrences: the slowest first.
        dividers: divisions with a variable divisor.
        multiplications: by widths.
        multiplexers: choices among elements of an array by a variable, by widths.
        slow: operators that no clock cycle has room for.
        obstacles: what keeps it from being pipelined at all.
    """

    name: str
    function: str
    ii: int
    depth: int
    accesses: tuple[Access, ...]
    recurrences: tuple[Way, ...]
    dividers: int
    divider_places: tuple[str, ...]
    multiplications: tuple[Count, ...]
    multiplexers: tuple[Count, ...]
    slow: tuple[str, ...]
    obstacles: tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """What a scheduler makes of an overlay's accelerator.

    Attributes:
        overlay: its name.
        clock_ns: the clock's period.
        budget_ns: what operators may fill of it.
        loops: those that are pipelined.
        regions: those whose processes run at the same time.
    """

    overlay: str
    clock_ns: float
    budget_ns: float
    loops: tuple[LoopSchedule, ...]
    regions: tuple[DataflowRegion, ...]


def schedule_overlay(overlay: Overlay) -> Schedule:
    """The schedule of an overlay's accelerator.

    Raises:
        ToolError: the packages for it are not installed, or the sources do not compile.
    """
    return schedule(compile_overlay(overlay), overlay.name, 1000 / overlay.clock_mhz)


def schedule(compiled: Compiled, name: str, clock_ns: float) -> Schedule:
    """The schedule of compiled sources at a clock period in ns."""
    memories = Memories(compiled)
    places = Places(compiled.module)
    budget = delays.budget(clock_ns)
    loops = []
    for function in compiled.module.functions.values():
        for loop in function.loops:
            number = loop_number(compiled.module, loop.metadata)
            source = compiled.sources.loops.get(number)
            if source is not None and source.has("PIPELINE"):
                loops.append(_loop(compiled, memories, places, function, loop, source, budget))
    return Schedule(
        name,
        clock_ns,
        round(budget, 3),
        tuple(loops),
        tuple(dataflow_regions(compiled, memories)),
    )


def _loop(
    compiled: Compiled,
    memories: Memories,
    places: Places,
    function: Function,
    loop: Loop,
    source: SourceLoop,
    budget: float,
) -> LoopSchedule:
    inner = [other for other in function.loops if other.parent is loop]
    obstacles = [f"the loop at {places.of_loop(function, other)} inside it" for other in inner]
    graph = loop_graph(compiled, memories, function, loop, source, LATENCY)
    for node in graph.nodes:
        made = node.operator
        if made is not None and made.kind == "call" and made.name in compiled.module.functions:
            obstacles.append(f"a call of {plain_name(made.name)}")
    accesses = _accesses(graph, function, loop, places)
    ways = recurrences(graph, budget)
    ii = max([1, *(a.ii for a in accesses), *(way.ii for way in ways)])
    found = [n for n in graph.nodes if n.operator is not None and n.kind != "kept"]
    divisions = [n for n in found if n.operator is not None and n.operator.kind == "div"]
    return LoopSchedule(
        source.label or places.of_loop(function, loop),
        plain_name(function.name),
        ii,
        depth(graph, budget, ii),
        tuple(accesses),
        tuple(_told(way, places) for way in ways),
        len(divisions),
        _where(divisions, places),
        tuple(_counted(found, places, "mul")),
        tuple(_counted(found, places, "mux")),
        tuple(_slow(found, places, budget)),
        tuple(dict.fromkeys(obstacles)),
    )


def _where(nodes: Sequence[Node], places: Places) -> tuple[str, ...]:
    found = (places.of(node.instruction) for node in nodes if node.instruction is not None)
    return tuple(dict.fromkeys(filter(None, found)))


def _accesses(
    graph: LoopGraph, function: Function, loop: Loop, places: Places
) -> list[Access]:
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
        banks = {place.bank for _, place in accesses if not place.variable} or {()}
        most = {"load": 0, "store": 0}
        ii = 1
        for bank in banks:
            counted = {}
            for opcode in most:
                words: dict[tuple[object, ...], str] = {}
                for node, place in accesses:
                    assert node.instruction is not None
                    meets = all(a is None or a == b for a, b in zip(place.bank, bank))
                    if node.instruction.opcode == opcode and (meets or bank == ()):
                        words.setdefault((place.bank, place.address), node.instruction.block)
                counted[opcode] = _most(order, followers, Counter(words.values()))
                most[opcode] = max(most[opcode], counted[opcode])
            ii = max(ii, memory.cycles(counted["load"], counted["store"]))
        found.append(
            Access(
                memory.name,
                memory.banks,
                most["load"],
                most["store"],
                any(place.variable for _, place in accesses),
                ii,
                _where([node for node, _ in accesses], places),
            )
        )
    return sorted(found, key=lambda access: -access.ii)


def _most(order: list[str], followers: dict[str, list[str]], counts: Counter[str]) -> int:
    """The most that any way through an iteration meets."""
    most: dict[str, int] = {}
    for name in reversed(order):
        most[name] = counts[name] + max((most[t] for t in followers[name]), default=0)
    return most[order[0]]


def _told(way: Recurrence, places: Places) -> Way:
    told, where = [], []
    for node in way.nodes:
        if node.kind == "condition":
            told.append("condition")
        elif node.kind == "kept" and node.operator is None and node.instruction is not None:
            told.append(f"register {node.instruction.width}")
        elif node.operator is not None:
            kind, width = node.operator.kind, node.operator.width
            if kind != "register":
                told.append(f"{kind} {width}" + (f" {node.operator.name}" if kind in ("load", "store") else ""))
        if node.instruction is not None and node.timing.before > 0:
            where.append(places.of(node.instruction))
    return Way(way.delay, way.ii, tuple(told), tuple(dict.fromkeys(filter(None, where))))


def _counted(nodes: Sequence[Node], places: Places, kind: str) -> list[Count]:
    groups: dict[tuple[tuple[int, ...], int], list[Node]] = defaultdict(list)
    for node in nodes:
        made = node.operator
        if made is None or made.kind != kind or node.timing.before == 0:
            continue
        if kind == "mux" and node.instruction is not None and node.instruction.opcode == "phi":
            continue
        operands = tuple(sorted(made.operands, reverse=True))
        groups[operands, made.width].append(node)
    found = []
    for (operands, width), members in groups.items():
        first = members[0].operator
        assert first is not None
        dsps = delays.dsps(first) if kind == "mul" else 0
        found.append(Count(operands, width, len(members), dsps, _where(members, places)))
    return sorted(found, key=lambda count: (-count.dsps, -count.width, -count.count))


def _slow(nodes: Sequence[Node], places: Places, budget: float) -> list[str]:
    found = []
    for node in nodes:
        if node.timing.before > budget and node.operator is not None:
            assert node.instruction is not None
            found.append(
                f"{node.operator.kind} {node.operator.width} at {places.of(node.instruction)}: "
                f"{node.timing.before:.1f} ns"
            )
    return list(dict.fromkeys(found))


def problems(found: Schedule) -> list[str]:
    """What keeps loops from a new iteration every clock cycle, and processes from overlapping."""
    told = []
    for loop in found.loops:
        title = f"{loop.name} in {loop.function}"
        told += [f"{title}: not pipelined because of {what}" for what in loop.obstacles]
        for access in loop.accesses:
            if access.variable_bank:
                told.append(
                    f"{title}: a variable chooses the bank of {access.array}: {access.reads} reads "
                    f"and {access.writes} writes of each of {access.banks} banks"
                )
            elif access.ii > 1:
                told.append(
                    f"{title}: {access.reads} reads and {access.writes} writes of a bank of "
                    f"{access.array}"
                )
        for way in loop.recurrences:
            if way.ii > 1:
                told.append(
                    f"{title}: {way.delay_ns:.1f} ns from one iteration to the next: "
                    f"{', '.join(way.operators)}"
                )
        if loop.dividers:
            told.append(f"{title}: {loop.dividers} dividers")
        told += [f"{title}: no clock cycle has room for {what}" for what in loop.slow]
    for region in found.regions:
        told += [f"{region.function}: {what}" for what in region.problems]
    return told


def base_name(path: str) -> str:
    """The last part of a path."""
    return re.split(r"[\\/]", path)[-1]
