# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Planes of activations and the filter blocks that multiply them."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from axynq.emulator.engine.abi import (
    FILTER_BLOCK,
    HALF_TABLES,
    MOST_FILTERS,
    SEGMENT_TILES,
    TILE_GROUPS,
    VECTOR_FILTERS,
    WHOLE_BYTE,
    Memory,
)
from axynq.emulator.engine.packing_filter_blocks import (
    block_weights,
    filter_blocks,
    neighbours_fit,
    segments_of,
    tile_weights,
    widened,
)
from axynq.emulator.engine.packing_geometry import (
    TAPS_PER_GROUP,
    BoolArray,
    Geometry,
    IndexArray,
    addresses,
    counts_of,
)
from axynq.emulator.engine.packing_strips import Strip
from axynq.emulator.engine.packing_sums import Line, Parts, group_tables, in_groups
from axynq.emulator.engine.recipe import Costs, LookupPlane, Plane, halves_of


def pack_planes(
    planes: tuple[Plane, ...],
    lookups: Sequence[LookupPlane],
    geometry: Geometry,
    costs: Costs,
    library: ctypes.CDLL,
    memory: Memory,
    any_weights: bool,
) -> dict[str, Any]:
    """The planes that each convolution needs, and its filter blocks."""
    parts = Parts.of(planes, lookups, max(len(planes), 1))
    line = Line.of(geometry, parts.runs)
    weights = in_groups(parts, geometry, line)
    tiles = not lookups and bool(library.axynq_tiles())
    tiles = tiles and tiles_pay(weights != 0, line, geometry, costs)
    strip = Strip.of(geometry, len(parts.planes), tiles)
    stack_by_stack = strip.planes < len(planes)
    if stack_by_stack:
        parts = Parts.of(planes, lookups, strip.planes)
        line = Line.of(geometry, parts.runs)
        weights = in_groups(parts, geometry, line)
    used = weights != 0  # [filters, groups]
    needed, has = _needs(used, parts, line, geometry.convolutions)
    most = MOST_FILTERS if tiles else VECTOR_FILTERS
    members, convolution = filter_blocks(needed, geometry.convolutions, most)
    sizes = (members >= 0).sum(axis=1, dtype=np.int64)
    blocks = np.zeros(len(members), FILTER_BLOCK)
    blocks["filters"], blocks["tiles"] = sizes, tiles
    blocks["filter"][:, :most] = np.maximum(members, 0)
    in_block = np.zeros((len(members), used.shape[1]), bool)
    for slot in range(most):
        there = sizes > slot
        in_block[there] |= used[members[there, slot]]
    most_groups = TILE_GROUPS * SEGMENT_TILES if tiles else used.shape[1] + 1
    segments, counts, final_shift = segments_of(
        in_block, line, parts, has[convolution], geometry, most_groups
    )
    blocks["segments"], blocks["final_shift"] = counts, final_shift
    blocks["segment"] = addresses(memory, segments, counts)
    looked_up = parts.kinds[line.part] != WHOLE_BYTE
    if tiles:
        packed, counts = tile_weights(weights, in_block, members, segments, counts)
        blocks["weights"] = addresses(memory, packed, counts, weights=True)
    else:
        wide = bool(library.axynq_wide_weights())
        if wide and not any_weights:
            fit = np.append(neighbours_fit(weights), True)  # the last for members that are none
            blocks["narrow"] = fit[members].all(axis=1)
        numbers, tables = group_tables(parts, geometry, line) if lookups else (None, None)
        for size, narrow in itertools.product(np.unique(sizes), (0, 1)):
            alike = np.flatnonzero((sizes == size) & (blocks["narrow"] == narrow))
            of = members[alike, :size]
            packed, counts = block_weights(weights, in_block[alike] & ~looked_up, of)
            packed_as = widened(packed) if wide and not narrow else packed
            blocks["weights"][alike] = addresses(memory, packed_as, counts, weights=True)
            if numbers is not None and tables is not None:
                chosen, counts = block_weights(numbers, in_block[alike] & looked_up, of)
                four = tables[chosen].reshape(-1).view(f"V{4 * tables.shape[1]}")
                blocks["tables"][alike] = addresses(memory, four, counts)
    counts = counts_of(convolution, geometry.convolutions)
    return {
        **_plane_tables(parts, has, memory),
        "strip_columns": strip.columns,
        "stack_by_stack": stack_by_stack,
        "blocks": counts,
        "block": addresses(memory, blocks, counts),
    }


def _needs(
    used: BoolArray, parts: Parts, line: Line, convolutions: int
) -> tuple[BoolArray, BoolArray]:
    """Which parts each filter needs, [filters, parts], and which planes each convolution has,
    [convolutions, planes].

    Args:
        used: [filters, groups], whether a filter has weights there.
        parts: what the groups are of.
        line: the groups.
        convolutions: of which each has equally many filters.
    """
    needed = np.zeros((len(used), len(parts.kinds)), bool)
    for part in range(len(parts.kinds)):
        needed[:, part] = used[:, line.part == part].any(axis=1)
    has = np.zeros((convolutions, len(parts.planes)), bool)
    each = len(used) // convolutions
    has_part = needed.reshape(convolutions, each, len(parts.kinds)).any(axis=1)
    for part, plane in enumerate(parts.plane):
        has[:, plane] |= has_part[:, part]
    return needed, has


def _plane_tables(parts: Parts, has: BoolArray, memory: Memory) -> dict[str, IndexArray]:
    """The tables of the planes that each convolution has: once for those alike."""
    planes, stacks = parts.planes, parts.stacks
    tables = np.stack([np.zeros(256, np.uint8), *(plane.table for plane in planes)])
    halves = np.zeros(len(tables), HALF_TABLES)
    for record, plane in zip(halves[1:], planes):
        pair = halves_of(plane.table)
        if pair is not None:
            record["exist"], record["low"], record["high"] = True, *pair
    kinds, kind = np.unique(has, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    addresses = []
    for one in kinds:
        chosen = np.flatnonzero(one) + 1 if one.any() else np.zeros(1, np.int64)
        _, widths = np.unique(stacks[one], return_counts=True)
        arrays = tables[chosen], halves[chosen], widths.astype(np.int32)
        addresses.append((*map(memory.pointer, arrays), len(widths)))
    tables_at, halves_at, widths_at, count = np.array(addresses, np.int64).T
    return {
        "planes": has.sum(axis=1, dtype=np.int64),
        "stacks": count[kind],
        "plane_tables": tables_at[kind],
        "plane_halves": halves_at[kind],
        "stack_planes": widths_at[kind],
    }


def tiles_pay(used: BoolArray, line: Line, geometry: Geometry, costs: Costs) -> bool:
    """Whether a layer is computed faster in tiles: where many filters share long runs of groups.

    Args:
        used: [filters, groups], whether a filter has weights there.
        line: the groups.
        geometry: of the layer.
        costs: of terms.
    """
    if costs.tile_term is None:
        return False
    filters = len(used) // geometry.convolutions
    groups = used.any(axis=0)
    vectors = costs.term * TAPS_PER_GROUP * filters * int(np.count_nonzero(groups))
    runs = np.cumsum(line.opens, dtype=np.int64)[groups]
    lengths = np.bincount(runs.astype(np.intp)).astype(np.int64)
    blocks = -(-filters // MOST_FILTERS)
    tiles = int((-(-lengths // TILE_GROUPS)).sum(dtype=np.int64))
    stacks = len(np.unique(line.run[groups]))
    each = costs.tile_term * TAPS_PER_GROUP * TILE_GROUPS * MOST_FILTERS
    return blocks * each * (tiles + stacks) < vectors  # sums are brought to memory, too


TYPICAL_PLANES = 8
"""Of multipliers that have several."""
