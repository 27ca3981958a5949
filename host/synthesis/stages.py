# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Registers between the stages of a pipeline: values that live longer than a clock cycle."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.dependences import Edge, LoopGraph, Node
from axynq.host.synthesis.ir import Instruction
from axynq.host.synthesis.recurrences import strong_components, times
from axynq.host.synthesis.widths import Widths

SHORTEST_SHIFT = 3
"""Registers in a row that Vivado makes a shift register in LUTs of (UG901, ``-shreg_min_size``)."""
SHIFT_LUT = 0.5
"""LUTs of a bit of one: a LUT holds two of up to 16 stages (UG474)."""


@dataclass(frozen=True)
class Stages:
    """What a pipeline keeps between its stages.

    Attributes:
        depth: clock cycles that an iteration takes.
        cost: of the registers.
        ii: clock cycles between iterations.
        starts: the cycle in which each instruction takes its operands.
        cycle: the cycle in which each has its result, by its name.
        latency: clock edges inside each that has some, by its name.
    """

    depth: int
    cost: Cost
    ii: int
    starts: dict[Instruction, int]
    cycle: dict[str, int]
    latency: dict[str, int]


def stages(graph: LoopGraph, widths: Widths, budget: float, ii: int) -> Stages | None:
    """The stages of a loop whose iterations start ``ii`` cycles apart, each operator as early as
    possible, or later where that keeps fewer bits; None: not at this interval."""
    ends = times(graph.nodes, graph.edges, budget, ii)
    if ends is None:
        return None
    starts = {node: ends[node][0] - node.timing.latency for node in graph.nodes}
    depth = 1 + max((cycle for cycle, _ in ends.values()), default=0)
    bits_of = {node: _bits(node, widths) for node in graph.nodes}
    _delay(graph, starts, bits_of, ii)
    last = _last_uses(graph, starts)
    flip_flops = luts = 0.0
    for node in graph.nodes:
        life, bits = last[node] - starts[node] - node.timing.latency, bits_of[node]
        if life >= SHORTEST_SHIFT:
            luts += bits * SHIFT_LUT * -(-life // 16)
            flip_flops += bits
        else:
            flip_flops += bits * life
    flip_flops += depth  # which stages hold an iteration
    made = [(n, n.instruction) for n in graph.nodes if n.instruction is not None]
    made = [(n, i) for n, i in made if n.kind != "kept"]
    return Stages(
        depth,
        Cost(luts, flip_flops),
        ii,
        {i: starts[n] for n, i in made},
        {i.name: starts[n] + n.timing.latency for n, i in made},
        {i.name: n.timing.latency for n, i in made if n.timing.latency},
    )


def _last_uses(graph: LoopGraph, starts: dict[Node, int]) -> dict[Node, int]:
    """The clock cycle in which a value is needed last, behind wires too."""
    targets: dict[Node, list[Node]] = defaultdict(list)
    for edge in graph.edges:
        if edge.cycles is None and edge.distance == 0:
            targets[edge.source].append(edge.target)
    last: dict[Node, int] = {}
    for node in reversed(graph.nodes):
        used = [last[t] if is_wire(t) else starts[t] for t in targets[node]]
        last[node] = max([starts[node] + node.timing.latency, *used])
    return last


def _delay(graph: LoopGraph, starts: dict[Node, int], bits_of: dict[Node, int], ii: int) -> None:
    """Lets operators wait until just before their results are needed, where that keeps fewer bits:
    a memory is read late, a sum is kept in place of what it is of."""
    incoming: dict[Node, list[Edge]] = defaultdict(list)
    outgoing: dict[Node, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        incoming[edge.target].append(edge)
        outgoing[edge.source].append(edge)
    recurring = {node for nodes in strong_components(graph) for node in nodes}
    last = _last_uses(graph, starts)
    for node in reversed(graph.nodes):
        if node in recurring or node.instruction is None or not outgoing[node]:
            continue
        latest = min(_latest(edge, starts, ii) for edge in outgoing[node])
        moved = latest - starts[node]
        if moved <= 0:
            continue
        kept = 0
        for edge in incoming[node]:
            if edge.cycles is None and edge.distance == 0:
                kept += bits_of[edge.source] * max(latest - last[edge.source], 0)
        if is_wire(node) or kept < bits_of[node] * moved:
            starts[node] = latest
            for edge in incoming[node]:
                if edge.cycles is None and edge.distance == 0:
                    last[edge.source] = max(last[edge.source], latest)


def _latest(edge: Edge, starts: dict[Node, int], ii: int) -> int:
    """The last cycle in which an edge's source may start."""
    after = starts[edge.target] + edge.distance * ii
    if edge.cycles is not None:
        return after - edge.cycles
    if is_wire(edge.source):
        return after
    return after - 1 - edge.source.timing.latency


def is_wire(node: Node) -> bool:
    """Whether a value only passes through."""
    return node.kind == "value" and node.operator is None


def _bits(node: Node, widths: Widths) -> int:
    """Bits that have to be kept."""
    i = node.instruction
    if i is None:
        return 1 if node.kind == "condition" else 0
    if is_wire(node) or not i.name or node.kind == "kept":
        return 0
    return 1 if i.opcode == "icmp" else widths.result(i) if i.width else 0
