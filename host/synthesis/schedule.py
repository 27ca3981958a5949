# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The schedule of an accelerator: for each pipelined loop its interval and what forces it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from axynq.host.overlay import Overlay
from axynq.host.synthesis import delays
from axynq.host.synthesis.compilation import Compiled, compile_overlay
from axynq.host.synthesis.dependences import Node, loop_graph
from axynq.host.synthesis.ir import Function, Loop
from axynq.host.synthesis.memories import Memories, plain_name
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.ports import Access, accesses_of, where_of
from axynq.host.synthesis.pragmas import SourceLoop, loop_number
from axynq.host.synthesis.recurrences import Recurrence, depth, recurrences
from axynq.host.synthesis.regions import DataflowRegion, dataflow_regions


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
        ii: clock cycles from the start of one iteration to that of the next; 0 if a loop inside it
            cannot be unrolled.
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
    accesses: tuple[Access, ...] = ()
    recurrences: tuple[Way, ...] = ()
    dividers: int = 0
    divider_places: tuple[str, ...] = ()
    multiplications: tuple[Count, ...] = ()
    multiplexers: tuple[Count, ...] = ()
    slow: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


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
    pace = delays.PACE[overlay.board_description.family]
    return schedule(compile_overlay(overlay), overlay.name, 1000 / overlay.clock_mhz, pace)


def schedule(compiled: Compiled, name: str, clock_ns: float, pace: float = 1.0) -> Schedule:
    """The schedule of compiled sources.

    Args:
        compiled: the sources.
        name: what they are called in the schedule.
        clock_ns: the clock's period.
        pace: how long operators take on the device, against one of the 7 series.
    """
    memories = Memories(compiled)
    places = Places(compiled.module)
    budget = delays.budget(clock_ns)
    loops = []
    for function in compiled.module.functions.values():
        for loop in function.loops:
            number = loop_number(compiled.module, loop.metadata)
            source = compiled.sources.loops.get(number)
            if source is not None and source.has("PIPELINE"):
                unit = _Unit(compiled, memories, places, function, pace, budget / pace)
                loops.append(unit.scheduled(loop, source))
    return Schedule(
        name,
        clock_ns,
        round(budget, 3),
        tuple(loops),
        tuple(dataflow_regions(compiled, memories)),
    )


@dataclass(frozen=True)
class _Unit:
    """A function whose loops are scheduled, in the time of a device of the 7 series."""

    compiled: Compiled
    memories: Memories
    places: Places
    function: Function
    pace: float
    budget: float

    def scheduled(self, loop: Loop, source: SourceLoop) -> LoopSchedule:
        places, function = self.places, self.function
        name, inside = source.label or places.of_loop(function, loop), plain_name(function.name)
        inner = [other for other in function.loops if other.parent is loop]
        if inner:
            where = (places.of_loop(function, other) for other in inner)
            obstacles = [f"the loop at {place} inside it" for place in where]
            return LoopSchedule(name, inside, 0, 0, obstacles=tuple(obstacles))
        graph = loop_graph(self.compiled, self.memories, function, loop, source)
        found = [n for n in graph.nodes if n.operator is not None and n.kind != "kept"]
        accesses = accesses_of(graph, function, loop, places)
        ways = recurrences(graph, self.budget)
        ii = max([1, *(a.ii for a in accesses), *(way.ii for way in ways)])
        divisions = [n for n in found if n.operator is not None and n.operator.kind == "div"]
        return LoopSchedule(
            name,
            inside,
            ii,
            depth(graph, self.budget, ii),
            tuple(accesses),
            tuple(_told(way, places, self.pace) for way in ways),
            len(divisions),
            where_of(divisions, places),
            tuple(_counted(found, places, "mul")),
            tuple(_counted(found, places, "mux")),
            tuple(self._slow(found)),
            tuple(self._called(found)),
        )

    def _slow(self, nodes: Sequence[Node]) -> list[str]:
        found = []
        for node in nodes:
            if node.timing.before > self.budget and node.operator is not None:
                assert node.instruction is not None
                place, ns = self.places.of(node.instruction), node.timing.before * self.pace
                found.append(f"{node.operator.kind} {node.operator.width} at {place}: {ns:.1f} ns")
        return list(dict.fromkeys(found))

    def _called(self, nodes: Sequence[Node]) -> list[str]:
        """Calls of functions that are none of the multipliers' netlists."""
        called = [n.operator.name for n in nodes if n.operator and n.operator.kind == "call"]
        own = (name for name in called if name in self.compiled.module.functions)
        return [f"a call of {name}" for name in dict.fromkeys(map(plain_name, own))]


def _told(way: Recurrence, places: Places, pace: float) -> Way:
    told = [_word(node) for node in way.nodes]
    where = where_of([node for node in way.nodes if node.timing.before > 0], places)
    return Way(round(way.delay * pace, 2), way.ii, tuple(filter(None, told)), where)


def _word(node: Node) -> str:
    """What a node on a way around is; empty for what takes no time."""
    if node.kind == "condition":
        return "condition"
    if node.kind == "kept" and node.instruction is not None:
        return f"register {node.instruction.width}"
    made = node.operator
    if made is None or made.kind == "register":
        return ""
    name = f" {made.name}" if made.kind in ("load", "store", "call") else ""
    return f"{made.kind} {made.width}{name}"


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
        found.append(Count(operands, width, len(members), dsps, where_of(members, places)))
    return sorted(found, key=lambda count: (-count.dsps, -count.width, -count.count))
