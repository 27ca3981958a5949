"""Filters on lanes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from axynq.host.placement import colour_edges, place_filters


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


def test_two_kinds_of_lanes_are_both_kept_busy() -> None:
    # 32 filters for the first 12 of 16 lanes, 32 for the last 4: 8 groups, 4 would fit the array.
    first, last = frozenset(range(12)), frozenset(range(12, 16))
    allowed = [first] * 32 + [last] * 32
    assert len(place_filters(list(range(64)), allowed, 16, 16)) == 8


def test_equal_lanes_are_filled_in_order() -> None:
    every = frozenset(range(4))
    groups = place_filters(list(range(6)), [every] * 6, 4, 4)
    assert groups == [[0, 1, 2, 3], [4, 5, None, None]]
