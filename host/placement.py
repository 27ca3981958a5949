"""Which lane computes which filter, and when.

A *group* is a set of filters that the array computes at the same time, at most one per lane. Within
a group every lane must hold the multipliers its filter needs, and the filters' channels must fall
on different bytes of a memory word, because each byte lane is written once. Both together are an
edge colouring of a bipartite graph between byte lanes and array lanes: by König's theorem as many
groups suffice as the busiest lane or byte has filters.
"""

from __future__ import annotations

from collections.abc import Sequence

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
        bytes_per_word: bytes of a memory word, at least ``lanes``.
    """
    plain = _in_order(channels, allowed, lanes)
    if plain is not None:
        return plain
    lane_of = _balanced_lanes(allowed, lanes)
    edges = [(channel % bytes_per_word, lane) for channel, lane in zip(channels, lane_of)]
    colours = colour_edges(edges)
    groups: Groups = [[None] * lanes for _ in range(max(colours, default=-1) + 1)]
    for index, (lane, colour) in enumerate(zip(lane_of, colours)):
        groups[colour][lane] = channels[index]
    return groups


def _in_order(
    channels: Sequence[int], allowed: Sequence[frozenset[int]], lanes: int
) -> Groups | None:
    """Filter k on lane ``k % lanes``, where all lanes can do that."""
    if any(k % lanes not in allowed[k] for k in range(len(channels))):
        return None
    groups: Groups = []
    for start in range(0, len(channels), lanes):
        group: list[int | None] = list(channels[start : start + lanes])
        groups.append(group + [None] * (lanes - len(group)))
    return groups


def _balanced_lanes(allowed: Sequence[frozenset[int]], lanes: int) -> list[int]:
    """A lane for each filter such that the busiest lane has as few filters as possible."""
    limit = -(-len(allowed) // lanes)
    while True:
        lane_of = _matching(allowed, lanes, limit)
        if lane_of is not None:
            return lane_of
        limit += 1
        if limit > len(allowed):
            raise ProgramError("a filter needs multipliers that no lane holds")


def _matching(allowed: Sequence[frozenset[int]], lanes: int, limit: int) -> list[int] | None:
    """A lane for each filter with at most ``limit`` filters a lane (augmenting paths)."""
    held: list[list[int]] = [[] for _ in range(lanes)]

    def place(index: int, visited: set[int]) -> bool:
        for lane in sorted(allowed[index], key=lambda candidate: len(held[candidate])):
            if lane in visited:
                continue
            visited.add(lane)
            if len(held[lane]) < limit:
                held[lane].append(index)
                return True
            for position, other in enumerate(held[lane]):
                if place(other, visited):
                    held[lane][position] = index
                    return True
        return False

    for index in range(len(allowed)):
        if not place(index, set()):
            return None
    lane_of = [0] * len(allowed)
    for lane, indices in enumerate(held):
        for index in indices:
            lane_of[index] = lane
    return lane_of


def colour_edges(edges: Sequence[tuple[int, int]]) -> list[int]:
    """A colour for each edge (left, right) of a bipartite multigraph so that edges which share a
    node differ, with as many colours as the largest degree."""
    left: dict[int, dict[int, int]] = {}  # node -> colour -> edge
    right: dict[int, dict[int, int]] = {}
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
    edges: Sequence[tuple[int, int]],
    colours: list[int],
    left: dict[int, dict[int, int]],
    right: dict[int, dict[int, int]],
    node: int,
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
