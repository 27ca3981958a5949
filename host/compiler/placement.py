# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which lane computes which filter, and when.

A *group* is a set of filters that the array computes at the same time, at most one per lane. Within
a group every lane must hold the multipliers its filter needs, and the filters' channels must fall
on different bytes of a memory word, because each byte is written once, or once in each round where
there are more lanes than bytes. Both together are an edge colouring of a bipartite graph between
the bytes of each round and the lanes: by König's theorem as many groups suffice as the busiest lane
or byte has filters.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Sequence
from itertools import pairwise

from axynq.emulator.errors import ProgramError

Groups = list[list[int | None]]
"""For each group the filter on each lane, or None."""


def place_filters(
    channels: Sequence[int], allowed: Sequence[frozenset[int]], lanes: int, bytes_per_word: int
) -> Groups:
    """Groups of filters, as few as possible.

    Args:
        channels: output channel of each filter; its byte is ``channel % bytes_per_word``.
        allowed: for each filter the lanes that hold every multiplier it needs (never empty).
        lanes: lanes of the array.
        bytes_per_word: bytes of a memory word. Where there are more lanes, the bytes are written in
            rounds, the first by the first so many lanes, and so on.
    """
    plain = _in_order(channels, allowed, lanes)
    if plain is not None:
        return plain
    bytes_ = [channel % bytes_per_word for channel in channels]
    load = smallest_load(allowed, lanes)
    if lanes > bytes_per_word:
        lane_of = _balanced_lanes(bytes_, allowed, lanes, bytes_per_word, load)
    else:
        lane_of = _lanes_of_filters(allowed, lanes, load)
    edges = [((byte, lane // bytes_per_word), lane) for byte, lane in zip(bytes_, lane_of)]
    colours = colour_edges(edges)
    groups: Groups = [[None] * lanes for _ in range(max(colours, default=-1) + 1)]
    for index, (lane, colour) in enumerate(zip(lane_of, colours)):
        groups[colour][lane] = channels[index]
    return groups


def _in_order(
    channels: Sequence[int], allowed: Sequence[frozenset[int]], lanes: int
) -> Groups | None:
    """Filter k on lane ``k % n``, where n is the number of lanes that can do all that: all lanes or
    the first ones."""
    first = frozenset.intersection(*allowed) if allowed else frozenset()
    count = len(first)
    if first != frozenset(range(count)) or any(kind != first for kind in allowed):
        count = lanes
    if any(k % count not in allowed[k] for k in range(len(channels))):
        return None
    groups: Groups = []
    for start in range(0, len(channels), count):
        group: list[int | None] = list(channels[start : start + count])
        groups.append(group + [None] * (lanes - len(group)))
    return groups


def groups_needed(
    channels: Sequence[int], allowed: Sequence[frozenset[int]], lanes: int, bytes_per_word: int
) -> int:
    """How many groups :func:`place_filters` makes; without placing anything where a byte is written
    once in each group."""
    if lanes > bytes_per_word:
        return len(place_filters(channels, allowed, lanes, bytes_per_word))
    on_byte = Counter(channel % bytes_per_word for channel in channels)
    return max(smallest_load(allowed, lanes), max(on_byte.values(), default=0))


def smallest_load(allowed: Sequence[frozenset[int]], lanes: int) -> int:
    """The fewest filters that the busiest lane can have.

    Filters that may go to the same lanes flow together. Where they get stuck, the lanes they reach
    are full of filters that may not go elsewhere: by Hall's condition the busiest of those lanes
    has at least its share of them all. The load grows to that and no further, so it is smallest
    when everything is placed.

    Raises:
        ProgramError: a filter may go nowhere.
    """
    load = -(-len(allowed) // lanes)
    if all(len(kind) == lanes for kind in set(allowed)):
        return load
    held: list[Counter[frozenset[int]]] = [Counter() for _ in range(lanes)]
    for kind, left in Counter(allowed).items():
        if not kind:
            raise ProgramError("a filter needs multipliers that no lane holds")
        while left:
            path, reached = _path_to_room(kind, held, load)
            if not path:
                load += -(-left // reached)
                continue
            # The first lane takes filters in; each hands as many of another kind to the next.
            handed = [(lane, given) for (lane, _), (_, given) in pairwise(path)]
            room = load - held[path[-1][0]].total()
            amount = min(left, room, *(held[lane][given] for lane, given in handed))
            for lane, taken in path:
                held[lane][taken] += amount
            for lane, given in handed:
                held[lane][given] -= amount
            left -= amount
    return load


_Path = list[tuple[int, frozenset[int]]]
"""Lanes, and the kind of filters that each takes over."""


def _path_to_room(
    kind: frozenset[int], held: Sequence[Counter[frozenset[int]]], load: int
) -> tuple[_Path, int]:
    """The shortest way to give a filter of that kind to a lane, by moving others on to a lane with
    room; empty where there is none. And the number of lanes reached."""
    paths: dict[int, _Path] = {lane: [(lane, kind)] for lane in sorted(kind)}
    waiting = deque(paths)
    while waiting:
        lane = waiting.popleft()
        if held[lane].total() < load:
            return paths[lane], len(paths)
        for given, count in held[lane].items():
            for further in given if count else ():
                if further not in paths:
                    paths[further] = [*paths[lane], (further, given)]
                    waiting.append(further)
    return [], len(paths)


def _lanes_of_filters(allowed: Sequence[frozenset[int]], lanes: int, load: int) -> list[int]:
    """A lane for each filter with at most ``load`` filters a lane (augmenting paths)."""
    held: list[list[int]] = [[] for _ in range(lanes)]

    def place(index: int, visited: set[int]) -> bool:
        for lane in sorted(allowed[index], key=lambda candidate: len(held[candidate])):
            if lane in visited:
                continue
            visited.add(lane)
            if len(held[lane]) < load:
                held[lane].append(index)
                return True
            for position, other in enumerate(held[lane]):
                if place(other, visited):
                    held[lane][position] = index
                    return True
        return False

    for index in range(len(allowed)):
        placed = place(index, set())
        assert placed, "the load is too small"
    lane_of = [0] * len(allowed)
    for lane, indices in enumerate(held):
        for index in indices:
            lane_of[index] = lane
    return lane_of


def _balanced_lanes(
    bytes_: Sequence[int],
    allowed: Sequence[frozenset[int]],
    lanes: int,
    bytes_per_word: int,
    load: int,
) -> list[int]:
    """A lane for each filter where several rounds of lanes write the bytes of a word: few filters
    on each lane, and few on each byte in each round. Not proved to be the fewest.

    Args:
        bytes_: the byte of each filter.
        allowed: the lanes of each.
        lanes: of the array.
        bytes_per_word: lanes of a round.
        load: at least so many filters a lane are needed.
    """
    on_byte = Counter(bytes_)
    rounds = -(-lanes // bytes_per_word)
    load = max(load, -(-max(on_byte.values(), default=0) // rounds))
    while True:
        rooms = _Rooms(bytes_, allowed, bytes_per_word, load)
        # Those that may go to few lanes first.
        in_turn = sorted(range(len(allowed)), key=lambda index: len(allowed[index]))
        if all(rooms.place(index, {index}) for index in in_turn):
            return [rooms.lane_of[index] for index in range(len(allowed))]
        load += 1


MOST_MOVED = 128
"""Filters that are tried to be moved for another, so that placing many takes no minutes."""


class _Rooms:
    """Filters on lanes, at most so many on a lane, and on a byte in a round."""

    def __init__(
        self,
        bytes_: Sequence[int],
        allowed: Sequence[frozenset[int]],
        bytes_per_word: int,
        load: int,
    ) -> None:
        self.bytes, self.allowed = bytes_, allowed
        self.bytes_per_word, self.load = bytes_per_word, load
        self.lane_of: dict[int, int] = {}
        self.on_lane: dict[int, list[int]] = defaultdict(list)
        self.on_byte: dict[tuple[int, int], list[int]] = defaultdict(list)

    def place(self, index: int, visited: set[int]) -> bool:
        """Whether a filter finds a lane, others moved aside for it; ``visited`` are not."""
        in_turn = sorted(
            self.allowed[index], key=lambda lane: tuple(map(len, self._at(index, lane)))
        )
        for lane in in_turn:
            if all(len(held) < self.load for held in self._at(index, lane)):
                self._put(index, lane)
                return True
        for lane in in_turn:
            full = [held for held in self._at(index, lane) if len(held) == self.load]
            for other in [o for o in full[0] if o in full[-1] and o not in visited]:
                if len(visited) == MOST_MOVED:
                    return False
                visited.add(other)
                before = self.lane_of[other]  # another lane, where only the byte is full
                self._take(other)
                self._put(index, lane)
                if self.place(other, visited):
                    return True
                self._take(index)
                self._put(other, before)
        return False

    def _at(self, index: int, lane: int) -> tuple[list[int], list[int]]:
        """What is on a lane, and in its round on a filter's byte."""
        return self.on_lane[lane], self.on_byte[self.bytes[index], lane // self.bytes_per_word]

    def _put(self, index: int, lane: int) -> None:
        self.lane_of[index] = lane
        for held in self._at(index, lane):
            held.append(index)

    def _take(self, index: int) -> None:
        for held in self._at(index, self.lane_of.pop(index)):
            held.remove(index)


def colour_edges(edges: Sequence[tuple[Hashable, Hashable]]) -> list[int]:
    """A colour for each edge (left, right) of a bipartite multigraph so that edges which share a
    node differ, with as many colours as the largest degree."""
    left: dict[Hashable, dict[int, int]] = {}  # node -> colour -> edge
    right: dict[Hashable, dict[int, int]] = {}
    colours = [-1] * len(edges)
    for index, (a, b) in enumerate(edges):
        at_a, at_b = left.setdefault(a, {}), right.setdefault(b, {})
        free_a, free_b = _first_free(at_a), _first_free(at_b)
        if free_a != free_b:
            _flip_path(edges, colours, left, right, b, free_a, free_b)
        colours[index] = free_a
        at_a[free_a] = at_b[free_a] = index
    return colours


def _first_free(used: dict[int, int]) -> int:
    colour = 0
    while colour in used:
        colour += 1
    return colour


def _flip_path(
    edges: Sequence[tuple[Hashable, Hashable]],
    colours: list[int],
    left: dict[Hashable, dict[int, int]],
    right: dict[Hashable, dict[int, int]],
    node: Hashable,
    colour: int,
    other: int,
) -> None:
    """Swap ``colour`` and ``other`` along the path from right node ``node``, freeing ``colour``."""
    path: list[int] = []
    on_right = True
    wanted = colour
    while True:
        used = (right if on_right else left).get(node, {})
        if wanted not in used:
            break
        edge = used[wanted]
        path.append(edge)
        node = edges[edge][0] if on_right else edges[edge][1]
        on_right = not on_right
        wanted = other if wanted == colour else colour
    for edge in path:
        a, b = edges[edge]
        del left[a][colours[edge]], right[b][colours[edge]]
    for edge in path:
        a, b = edges[edge]
        colours[edge] = other if colours[edge] == colour else colour
        left[a][colours[edge]] = right[b][colours[edge]] = edge
