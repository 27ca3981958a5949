# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Intervals of small loops that can be worked out by hand."""

from __future__ import annotations

from typing import get_args

import pytest

from axynq.host.overlay.board import Board
from axynq.host.synthesis.delays import PACE, Timing, dsps, timing
from axynq.host.synthesis.dependences import Edge, LoopGraph, Node
from axynq.host.synthesis.operators import Operator
from axynq.host.synthesis.recurrences import depth, recurrences

BUDGET = 7.3


def graph(timings: list[Timing], edges: list[tuple[int, int, int]]) -> LoopGraph:
    nodes = [Node(timing, number=k) for k, timing in enumerate(timings)]
    return LoopGraph(nodes, [Edge(nodes[a], nodes[b], distance) for a, b, distance in edges])


def test_a_short_way_around_takes_one_cycle() -> None:
    [found] = recurrences(graph([Timing(3.0), Timing(4.0)], [(0, 1, 0), (1, 0, 1)]), BUDGET)
    assert (found.ii, found.delay, len(found.nodes)) == (1, 7.0, 2)


def test_a_long_way_around_takes_two() -> None:
    [found] = recurrences(graph([Timing(3.0), Timing(4.5)], [(0, 1, 0), (1, 0, 1)]), BUDGET)
    assert (found.ii, found.delay) == (2, 7.5)


def test_a_way_over_two_iterations_has_twice_the_time() -> None:
    [found] = recurrences(graph([Timing(5.0), Timing(5.0)], [(0, 1, 0), (1, 0, 2)]), BUDGET)
    assert (found.ii, found.delay) == (1, 5.0)


def test_clock_edges_count() -> None:
    """A load takes a clock edge: with an addition and a store, the next iteration waits."""
    load, add, store = Timing(3.3, 1, 3.3), Timing(2.6), Timing(1.0)
    made = graph([load, add, store], [(0, 1, 0), (1, 2, 0)])
    made.edges.append(Edge(made.nodes[2], made.nodes[0], 1, 1))
    [found] = recurrences(made, BUDGET)
    assert found.ii == 2
    assert depth(made, BUDGET, found.ii) == 2


def test_what_does_not_depend_on_itself_can_wait() -> None:
    made = graph([Timing(7.0)] * 5, [(k, k + 1, 0) for k in range(4)])
    assert recurrences(made, BUDGET) == []
    assert depth(made, BUDGET, 1) == 5


def test_of_several_ways_around_the_longest_is_told() -> None:
    timings = [Timing(1.0), Timing(2.0), Timing(5.0), Timing(0.5)]
    edges = [(0, 1, 0), (0, 2, 0), (1, 3, 0), (2, 3, 0), (3, 0, 1)]
    [found] = recurrences(graph(timings, edges), BUDGET)
    assert found.delay == 6.5
    assert {node.number for node in found.nodes} == {0, 2, 3}


@pytest.mark.parametrize(
    ("operands", "width", "expected"),
    [((18, 25), 43, 1), ((32, 32), 32, 3), ((32, 32), 64, 4), ((9, 8), 17, 1), ((32, 16), 48, 2)],
)
def test_dsps(operands: tuple[int, int], width: int, expected: int) -> None:
    assert dsps(Operator("mul", width, operands)) == expected


def test_wider_operators_take_longer() -> None:
    for kind in ("add", "icmp", "shift"):
        delays = [timing(Operator(kind, w, (w, 6))).before for w in (4, 12, 32, 64)]
        assert delays == sorted(delays)
        assert delays[0] < delays[-1]


def test_every_family_of_devices_has_a_pace() -> None:
    families = get_args(Board.model_fields["family"].annotation)
    assert set(PACE) == set(families)
