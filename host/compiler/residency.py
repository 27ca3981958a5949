# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Feature maps that stay on chip: which memory each lies in, and where."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from axynq.host.isa import MAPS

MAX_TRIES = 200
"""Places that are tried for the maps of a segment, all together. Networks whose maps fit seldom
need more than one a map."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Resident:
    """A map that lies on chip for a while."""

    words: int
    spans: tuple[tuple[int, int], ...]
    """First and last time at which it is there; several spans where it comes again for the next
    image."""

    def meets(self, other: Resident) -> bool:
        """Whether both are there at some time."""
        return any(
            first <= other_last and other_first <= last
            for first, last in self.spans
            for other_first, other_last in other.spans
        )


class Place(NamedTuple):
    """Of a map on chip."""

    memory: int
    base: int
    """Its first word."""


def find_places(
    residents: Mapping[Key, Resident], apart: Mapping[Key, set[Key]], map_words: int
) -> dict[Key, Place] | None:
    """A place for each map, or None where none are found.

    Maps lie at the lowest addresses that are free while they are there; where a map finds no room,
    those before it move on to their next memory.

    Args:
        residents: the maps.
        apart: for each map, those that lie in other memories.
        map_words: words of each of the memories.
    """
    order = sorted(residents, key=lambda key: residents[key].spans[0])
    tries = MAX_TRIES
    places: dict[Key, Place] = {}

    def place_from(number: int) -> bool:
        nonlocal tries
        if number == len(order):
            return True
        key = order[number]
        taken = {places[other].memory for other in apart.get(key, ()) if other in places}
        # Memories that no map is in are alike.
        used = 1 + max((place.memory for place in places.values()), default=-1)
        candidates = [
            Place(memory, _lowest_base(key, memory))
            for memory in range(min(used + 1, MAPS))
            if memory not in taken
        ]
        for place in sorted(candidates, key=lambda place: place.base):
            if place.base + residents[key].words > map_words or tries == 0:
                return False
            tries -= 1
            places[key] = place
            if place_from(number + 1):
                return True
            del places[key]
        return False

    def _lowest_base(key: Key, memory: int) -> int:
        own, base = residents[key], 0
        others = sorted(
            (place.base, residents[other].words)
            for other, place in places.items()
            if place.memory == memory and residents[other].meets(own)
        )
        for start, words in others:
            if base + own.words <= start:
                break
            base = max(base, start + words)
        return base

    return places if place_from(0) else None
