# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Cycles among the dependences of a loop, and how far apart iterations must start for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from axynq.host.synthesis.dependences import Edge, LoopGraph, Node

LONGEST = 256
"""Initiation intervals that are tried."""

Time = tuple[int, float]
"""A clock cycle of the iteration, and ns in it."""


@dataclass(frozen=True)
class Recurrence:
    """Values that depend on themselves in an earlier iteration.

    Attributes:
        nodes: those of the longest way around.
        delay: ns of that way for each iteration that it spans, with clock edges of memories
            counted as whole periods.
        ii: the initiation interval that all ways around need.
    """

    nodes: tuple[Node, ...]
    delay: float
    ii: int


def recurrences(graph: LoopGraph, budget: float) -> list[Recurrence]:
    """All recurrences of a loop, the slowest first.

    Args:
        graph: the loop's dependences.
        budget: ns of a clock cycle that operators may fill.
    """
    found = []
    components = strong_components(graph)
    number = {node: k for k, nodes in enumerate(components) for node in nodes}
    inside: dict[int, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        if edge.source in number and number[edge.source] == number.get(edge.target):
            inside[number[edge.source]].append(edge)
    for nodes in components:
        edges = inside[number[nodes[0]]]
        ordered = sorted(nodes, key=lambda node: node.number)
        ii = next(
            (ii for ii in range(1, LONGEST) if times(ordered, edges, budget, ii) is not None),
            LONGEST,
        )
        delay, way = _longest(ordered, edges, budget)
        found.append(Recurrence(tuple(way), delay, ii))
    return sorted(found, key=lambda r: (-r.ii, -r.delay))


def times(
    ordered: list[Node], edges: Sequence[Edge], budget: float, ii: int
) -> dict[Node, Time] | None:
    """When each node has its result, as early as possible; None: not at this interval.

    Args:
        ordered: nodes in the order of an iteration.
        edges: among them.
        budget: ns of a clock cycle that operators may fill.
        ii: clock cycles between iterations.
    """
    incoming: dict[Node, list[Edge]] = defaultdict(list)
    for edge in edges:
        incoming[edge.target].append(edge)
    starts: dict[Node, Time] = {}
    ends: dict[Node, Time] = dict.fromkeys(ordered, (0, 0.0))
    loops = sum(edge.distance > 0 for edge in edges)
    for _ in range(loops + 2):
        changed = False
        for node in ordered:
            start: Time = (0, 0.0)
            for edge in incoming[node]:
                start = max(start, _earliest(edge, starts, ends, ii))
            start = _fitted(node, start, budget)
            if start != starts.get(node):
                starts[node] = start
                end = _end(node, start, budget)
                changed = True
                ends[node] = end
        if not changed:
            return ends
    return None


def _earliest(edge: Edge, starts: dict[Node, Time], ends: dict[Node, Time], ii: int) -> Time:
    cycle, ns = ends[edge.source]
    if edge.cycles is not None:
        begun = starts.get(edge.source, (0, 0.0))[0]
        return begun + edge.cycles - edge.distance * ii, 0.0
    if edge.distance:
        return cycle + 1 - edge.distance * ii, 0.0
    return cycle, ns


def _fitted(node: Node, start: Time, budget: float) -> Time:
    """The start of a node that does not begin in one cycle and end in the next."""
    cycle, ns = start
    if ns > 0 and ns + node.timing.before > budget + 1e-9:
        return cycle + 1, 0.0
    return start


def _end(node: Node, start: Time, budget: float) -> Time:
    cycle, ns = start
    if node.timing.latency:
        return cycle + node.timing.latency, min(node.timing.after, budget)
    return cycle, min(ns + node.timing.before, budget)


def depth(graph: LoopGraph, budget: float, ii: int) -> int:
    """Clock cycles from the start of an iteration to its end."""
    found = times(graph.nodes, graph.edges, budget, ii)
    return 1 + max((cycle for cycle, _ in found.values()), default=0) if found is not None else 0


def strong_components(graph: LoopGraph) -> list[list[Node]]:
    """Nodes that can reach each other (Kosaraju's algorithm, without recursion)."""
    outgoing: dict[Node, list[Node]] = defaultdict(list)
    incoming: dict[Node, list[Node]] = defaultdict(list)
    for edge in graph.edges:
        outgoing[edge.source].append(edge.target)
        incoming[edge.target].append(edge.source)
    seen: set[Node] = set()
    finished: list[Node] = []
    for root in graph.nodes:
        finished += _finished(root, outgoing, seen)
    seen = set()
    parts = (_finished(root, incoming, seen) for root in reversed(finished))
    return [part for part in parts if len(part) > 1 or (part and part[0] in outgoing[part[0]])]


def _finished(root: Node, edges: dict[Node, list[Node]], seen: set[Node]) -> list[Node]:
    """Nodes reached from ``root`` and not seen before, each after those reached from it."""
    if root in seen:
        return []
    seen.add(root)
    found = []
    work = [(root, iter(edges[root]))]
    while work:
        node, targets = work[-1]
        target = next((t for t in targets if t not in seen), None)
        if target is None:
            work.pop()
            found.append(node)
        else:
            seen.add(target)
            work.append((target, iter(edges[target])))
    return found


def _longest(ordered: list[Node], edges: list[Edge], budget: float) -> tuple[float, list[Node]]:
    """The way around that takes longest for each iteration it spans, and its ns for each."""
    period = budget
    cost = {}
    for edge in edges:
        timing = edge.source.timing
        if edge.cycles is not None:
            cost[edge] = edge.cycles * period
        elif timing.latency:
            cost[edge] = timing.latency * period + timing.after
        else:
            cost[edge] = timing.before
    low, high = 0.0, sum(cost.values()) + 1.0
    way: list[Node] = []
    while high - low > 0.01:
        middle = (low + high) / 2
        cycle = _positive(ordered, edges, cost, middle)
        if cycle is None:
            high = middle
        else:
            low = max(middle, _ratio(cycle, cost))
            way = [edge.source for edge in cycle]
            high = max(high, low)
    return round(low, 2), way


def _ratio(cycle: list[Edge], cost: dict[Edge, float]) -> float:
    return sum(cost[e] for e in cycle) / max(sum(e.distance for e in cycle), 1)


def _positive(
    ordered: list[Node], edges: list[Edge], cost: dict[Edge, float], ns: float
) -> list[Edge] | None:
    """A way around that takes longer than ``ns`` for each iteration; None: there is none."""
    length = dict.fromkeys(ordered, 0.0)
    came: dict[Node, Edge] = {}
    by_target: dict[Node, list[Edge]] = defaultdict(list)
    for edge in edges:
        by_target[edge.target].append(edge)
    loops = sum(edge.distance > 0 for edge in edges)
    for _ in range(loops + 2):
        changed = False
        for node in ordered:
            for edge in by_target[node]:
                longer = length[edge.source] + cost[edge] - edge.distance * ns
                if longer > length[node] + 1e-9:
                    length[node] = longer
                    came[node] = edge
                    changed = True
        if not changed:
            return None
        cycle = _closed(ordered, came)
        if cycle is not None and _ratio(cycle, cost) > ns:
            return cycle
    return None


def _closed(ordered: list[Node], came: dict[Node, Edge]) -> list[Edge] | None:
    """A way around among the last edges of the longest ways."""
    done: set[Node] = set()
    for root in ordered:
        way: list[Node] = []
        node: Node | None = root
        place: dict[Node, int] = {}
        while node is not None and node not in done and node not in place:
            place[node] = len(way)
            way.append(node)
            edge = came.get(node)
            node = edge.source if edge is not None else None
        if node is not None and node in place:
            return [came[n] for n in reversed(way[place[node] :])]
        done.update(way)
    return None
