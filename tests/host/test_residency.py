# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Maps on chip: places that do not overlap."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from axynq.host.compiler.residency import Resident, find_places
from axynq.host.isa import MAPS

MAP_WORDS = 64


@st.composite
def maps_of_a_segment(
    draw: st.DrawFn,
) -> tuple[dict[int, Resident], dict[int, set[int]]]:
    """Maps of random sizes and lifetimes; some of those that meet lie in different memories."""
    residents = {}
    for key in range(draw(st.integers(1, 9))):
        first = draw(st.integers(0, 8))
        spans = [(first, first + draw(st.integers(0, 4)))]
        if draw(st.integers(0, 4)) == 0:
            again = spans[0][1] + draw(st.integers(1, 3))
            spans.append((again, again + draw(st.integers(0, 3))))
        residents[key] = Resident(draw(st.integers(1, MAP_WORDS + 4)), tuple(spans))
    apart: dict[int, set[int]] = {}
    for one, other in combinations(residents, 2):
        if residents[one].meets(residents[other]) and draw(st.booleans()):
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
    return residents, apart


@given(maps_of_a_segment())
def test_maps_that_are_there_together_do_not_overlap(
    segment: tuple[dict[int, Resident], dict[int, set[int]]],
) -> None:
    residents, apart = segment
    places = find_places(residents, apart, MAP_WORDS)
    if places is None:
        return
    assert places.keys() == residents.keys()
    for key, place in places.items():
        assert 0 <= place.memory < MAPS
        assert 0 <= place.base <= MAP_WORDS - residents[key].words
    for one, other in combinations(residents, 2):
        if other in apart.get(one, ()):
            assert places[one].memory != places[other].memory
        together = residents[one].meets(residents[other])
        if together and places[one].memory == places[other].memory:
            assert (
                places[one].base + residents[one].words <= places[other].base
                or places[other].base + residents[other].words <= places[one].base
            )


def at(words: int, *spans: tuple[int, int]) -> Resident:
    return Resident(words, spans)


def test_memories_are_shared_side_by_side_and_one_after_the_other() -> None:
    # A chain whose maps fill a memory each: three memories suffice.
    chain = {step: at(MAP_WORDS, (step, step + 1)) for step in range(12)}
    neighbours = {step: {step - 1, step + 1} & chain.keys() for step in chain}
    assert find_places(chain, neighbours, MAP_WORDS) is not None
    # Six maps of half a memory each, all at the same time.
    halves = {key: at(MAP_WORDS // 2, (0, 0)) for key in range(6)}
    assert find_places(halves, {}, MAP_WORDS) is not None
    halves[6] = at(1, (0, 0))
    assert find_places(halves, {}, MAP_WORDS) is None


def test_a_map_moves_where_another_has_to_be() -> None:
    """The first maps find places that leave none for the last, and others that do."""
    residents = {"a": at(40, (0, 2)), "b": at(20, (0, 2)), "c": at(20, (1, 2)), "d": at(64, (2, 2))}
    places = find_places(residents, {"a": {"b"}, "b": {"a", "c"}, "c": {"b"}}, MAP_WORDS)
    assert places is not None
    assert places["a"].memory == places["c"].memory


def test_the_next_image_needs_its_place_again() -> None:
    """What comes in ahead may not be where another map still is."""
    residents = {"input": at(40, (0, 0), (3, 4)), "long": at(40, (1, 4))}
    places = find_places(residents, {}, MAP_WORDS)
    assert places is not None
    assert places["input"].memory != places["long"].memory
    apart = {"input": {"x", "y"}, "x": {"y", "input"}, "y": {"x", "input"}}
    crowded = {"input": at(40, (0, 0), (3, 3)), "x": at(40, (3, 3)), "y": at(40, (3, 3))}
    assert find_places(crowded, apart, MAP_WORDS) is not None
    assert find_places({**crowded, "z": at(40, (3, 3))}, apart, MAP_WORDS) is None


def test_no_memory_is_large_enough() -> None:
    assert find_places({0: at(MAP_WORDS + 1, (0, 0))}, {}, MAP_WORDS) is None
    assert find_places({}, {}, MAP_WORDS) == {}
