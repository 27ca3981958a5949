# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Filters on lanes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from axynq.emulator.errors import ProgramError
from axynq.host.compiler.placement import colour_edges, groups_needed, place_filters, smallest_load


@st.composite
def edge_lists(draw: st.DrawFn) -> list[tuple[int, int]]:
    left, right = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    return draw(
        st.lists(st.tuples(st.integers(0, left - 1), st.integers(0, right - 1)), max_size=80)
    )


@given(edge_lists())
def test_edge_colouring_is_proper_and_smallest(edges: list[tuple[int, int]]) -> None:
    colours = colour_edges(edges)
    for side in (0, 1):
        seen = [(edge[side], colour) for edge, colour in zip(edges, colours)]
        assert len(seen) == len(set(seen))
    degree = max(
        (sum(edge[side] == node for edge in edges) for side in (0, 1) for node in range(8)),
        default=0,
    )
    assert len(set(colours)) <= degree
    assert max(colours, default=-1) < max(degree, 0)


@given(
    st.integers(1, 8),
    st.sampled_from([8, 16]),
    st.integers(1, 60),
    st.randoms(use_true_random=False),
)
def test_filters_are_placed_once_on_lanes_that_suit(lanes, width, filters, random) -> None:
    allowed = [
        frozenset(random.sample(range(lanes), random.randint(1, lanes))) for _ in range(filters)
    ]
    groups = place_filters(list(range(filters)), allowed, lanes, width)
    placed = [f for group in groups for f in group if f is not None]
    assert sorted(placed) == list(range(filters))
    for group in groups:
        assert len(group) == lanes
        for lane, f in enumerate(group):
            assert f is None or lane in allowed[f]
        bytes_ = [f % width for f in group if f is not None]
        assert len(bytes_) == len(set(bytes_))


@given(
    st.sampled_from([(6, 4), (8, 4), (12, 4), (24, 16), (32, 16)]),
    st.integers(1, 70),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_more_lanes_than_bytes_write_each_byte_once_a_round(array, filters, kinds, random) -> None:
    lanes, width = array
    sets = [frozenset(random.sample(range(lanes), random.randint(1, lanes))) for _ in range(kinds)]
    allowed = [random.choice(sets) for _ in range(filters)]
    groups = place_filters(list(range(filters)), allowed, lanes, width)
    assert groups_needed(list(range(filters)), allowed, lanes, width) == len(groups)
    assert_in_rounds(groups, allowed, width)


def assert_in_rounds(
    groups: Sequence[Sequence[int | None]], allowed: Sequence[frozenset[int]], width: int
) -> None:
    placed = sorted(f for group in groups for f in group if f is not None)
    assert placed == list(range(len(allowed)))
    for group in groups:
        places = [(f % width, lane // width) for lane, f in enumerate(group) if f is not None]
        assert len(places) == len(set(places))
        assert all(f is None or lane in allowed[f] for lane, f in enumerate(group))


@pytest.mark.parametrize(
    ("lanes", "spans"),
    [
        (6, [(5, 6), (0, 5), (3, 6), (0, 5), (3, 6)]),
        (5, [(0, 4), (0, 4), (0, 3), (0, 5), (0, 5), (0, 5), (0, 4), (0, 4), (0, 3), (0, 3)]),
        (5, [*[(0, 3)] * 2, *[(3, 5)] * 4, *[(0, 3)] * 4, (3, 5), (3, 5), *[(0, 3)] * 3]),
    ],
)
def test_filters_moved_for_others_in_vain_go_back_to_their_lanes(lanes, spans) -> None:
    """Each filter may go to the lanes of its span; 4 bytes a word."""
    allowed = [frozenset(range(*span)) for span in spans]
    assert_in_rounds(place_filters(range(len(allowed)), allowed, lanes, 4), allowed, 4)


def test_many_filters_for_overlapping_lanes_are_placed_soon() -> None:
    """Not all ways to move others are tried, which would take minutes."""
    rng = random.Random(0)
    kinds = [frozenset(range(4)), frozenset(range(4, 6)), frozenset(range(6))]
    allowed = [rng.choice(kinds) for _ in range(900)]
    assert_in_rounds(place_filters(range(900), allowed, 6, 4), allowed, 4)


@pytest.mark.parametrize(("exact", "groups"), [(8, 2), (16, 1), (24, 2)])
def test_lanes_of_two_kinds_fill_two_rounds(exact: int, groups: int) -> None:
    """16 lanes of each kind: as many groups as the busier kind needs."""
    first, last = frozenset(range(16)), frozenset(range(16, 32))
    allowed = [last if f % 32 < exact else first for f in range(32)]
    assert len(place_filters(list(range(32)), allowed, 32, 16)) == groups


def test_two_kinds_of_lanes_are_both_kept_busy() -> None:
    # 32 filters for the first 12 of 16 lanes, 32 for the last 4: 8 groups, 4 would fit the array.
    first, last = frozenset(range(12)), frozenset(range(12, 16))
    allowed = [first] * 32 + [last] * 32
    assert len(place_filters(list(range(64)), allowed, 16, 16)) == 8


def test_equal_lanes_are_filled_in_order() -> None:
    every = frozenset(range(4))
    groups = place_filters(list(range(6)), [every] * 6, 4, 4)
    assert groups == [[0, 1, 2, 3], [4, 5, None, None]]


def load_by_hall(allowed: Sequence[frozenset[int]], lanes: int) -> int:
    """The fewest filters of the busiest lane, by Hall's condition for every set of lanes."""
    sets = [
        frozenset(chosen)
        for size in range(1, lanes + 1)
        for chosen in combinations(range(lanes), size)
    ]
    return max(-(-sum(one <= chosen for one in allowed) // len(chosen)) for chosen in sets)


@st.composite
def lane_choices(draw: st.DrawFn) -> tuple[list[frozenset[int]], int]:
    lanes = draw(st.integers(1, 6))
    suiting = st.frozensets(st.integers(0, lanes - 1), min_size=1)
    kinds = draw(st.lists(suiting, min_size=1, max_size=5))
    return draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=40)), lanes


A, B, AB, BC = (frozenset(lanes) for lanes in ({0}, {1}, {0, 1}, {1, 2}))


@given(lane_choices())
@example(([A] * 10, 4))  # one lane for all
@example(([AB, AB, A, A, BC, B], 3))  # filters move on to make room
@example(([BC] * 7 + [AB] * 7 + [B] * 7, 3))
@example(([A, A, A, B], 2))
def test_the_busiest_lane_has_as_few_filters_as_hall_allows(
    choice: tuple[list[frozenset[int]], int],
) -> None:
    allowed, lanes = choice
    assert smallest_load(allowed, lanes) == load_by_hall(allowed, lanes)
    channels = range(len(allowed))
    groups = place_filters(channels, allowed, lanes, 8)
    assert len(groups) == groups_needed(channels, allowed, lanes, 8)
    assert groups == place_filters(channels, allowed, lanes, 8)


def test_a_filter_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(ProgramError, match="no lane holds"):
        smallest_load([frozenset({0}), frozenset()], 2)
