# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Filters that are computed together, and their weights in the order the loops read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import MOST_FILTERS, SEGMENT, TILE_GROUPS
from axynq.emulator.engine.packing_geometry import (
    TAPS_PER_GROUP,
    BoolArray,
    Geometry,
    IndexArray,
    counts_of,
)
from axynq.emulator.engine.packing_sums import Line, Parts


def filter_blocks(needed: BoolArray, convolutions: int, most: int) -> tuple[IndexArray, IndexArray]:
    """Filters of a convolution that need the same planes, a few at a time.

    Args:
        needed: [filters, planes].
        convolutions: of the layer.
        most: filters of a block.

    Returns:
        The filters of each block [blocks, most], -1 behind the last; and the blocks' convolutions.
    """
    filters = len(needed)
    convolution = np.arange(filters, dtype=np.int64) // (filters // convolutions)
    _, need = np.unique(needed, axis=0, return_inverse=True)
    kind = convolution * filters + need.reshape(-1)
    order = np.argsort(kind, kind="stable")
    _, first, count = np.unique(kind[order], return_index=True, return_counts=True)
    # Filters of a kind in as few parts as possible, the sizes as equal as possible.
    parts = -(-count // most)
    least, larger = count // parts, count % parts
    which = np.repeat(np.arange(len(parts), dtype=np.int64), parts)
    before = np.cumsum(parts, dtype=np.int64) - parts
    part = np.arange(len(which), dtype=np.int64) - np.repeat(before, parts)
    sizes = least[which] + (part < larger[which])
    start = first[which] + part * least[which] + np.minimum(part, larger[which])
    slot = np.arange(most, dtype=np.int64)
    place = np.where(slot < sizes[:, None], start[:, None] + slot, -1)
    members = np.where(place >= 0, order[place], -1)
    return members, convolution[members[:, 0]]


def segments_of(
    in_block: BoolArray,
    line: Line,
    parts: Parts,
    has: BoolArray,
    geometry: Geometry,
    most_groups: int,
) -> tuple[npt.NDArray[Any], IndexArray, IndexArray]:
    """Runs of groups that some filter of a block needs and whose activations are contiguous.

    Args:
        in_block: [blocks, groups], whether a group is needed.
        line: the groups.
        parts: what the groups are of.
        has: [blocks, planes], whether the block's convolution has a plane.
        geometry: of the layer.
        most_groups: of a segment.

    Returns:
        The segments, block after block; how many each block has; and its final shift.
    """
    stacks = parts.stacks
    starts = np.flatnonzero(np.diff(stacks, prepend=-1))
    # Stacks that a block's convolution has, and planes of a stack before a plane.
    widths = np.add.reduceat(has, starts, axis=1, dtype=np.int64)
    number = np.cumsum(widths > 0, axis=1, dtype=np.int64) - 1
    before = np.cumsum(has, axis=1, dtype=np.int64) - has
    before -= before[:, starts][:, stacks]

    follows = np.zeros_like(in_block)
    follows[:, 1:] = in_block[:, :-1] & ~line.opens[1:]
    place = np.arange(in_block.shape[1], dtype=np.int64)
    run_begins = np.maximum.accumulate(np.where(follows, 0, place), axis=1)
    follows &= (place - run_begins) % most_groups != 0
    block, first = np.nonzero(in_block & ~follows)
    ends = np.zeros_like(in_block)
    ends[:, :-1] = follows[:, 1:] & in_block[:, 1:]
    end = np.nonzero(in_block & ~ends)[1] + 1
    part = line.part[first]
    plane = parts.plane[part]
    stack = stacks[plane]
    opens = np.diff(block, prepend=-1) != 0
    exponent = parts.exponents[part]
    runs = np.zeros(len(block), SEGMENT)
    runs["stack"] = number[block, stack]
    runs["kernel_row"] = line.row[first]
    pixels = line.column[first] * geometry.dilation[1] * widths[block, stack]
    runs["offset"] = (pixels + before[block, plane]) * geometry.row_groups + line.group[first]
    runs["groups"] = end - first
    runs["shift"] = np.where(opens, 0, np.roll(exponent, 1) - exponent)
    runs["part"] = parts.kinds[part]
    final_shift = np.zeros(len(in_block), np.int64)
    final_shift[block] = exponent  # the last of equal places stays
    return runs, counts_of(block, len(in_block)), final_shift


def block_weights(
    weights: npt.NDArray[np.int32], in_block: BoolArray, members: IndexArray
) -> tuple[npt.NDArray[np.int32], IndexArray]:
    """The weights of blocks with equally many filters, [filters, groups, ...]: block by block, for
    each group that is needed those of every filter; and how many each block has."""
    block, group = np.nonzero(in_block)
    packed = weights[members[block], group[:, None]]
    counts = counts_of(block, len(members)) * members.shape[1]
    return packed.reshape(-1, *weights.shape[2:]), counts


def tile_weights(
    weights: npt.NDArray[np.int32],
    in_block: BoolArray,
    members: IndexArray,
    segments: npt.NDArray[Any],
    counts: IndexArray,
) -> tuple[npt.NDArray[np.int32], IndexArray]:
    """The weights of blocks in tiles, in order, and how many integers each block has.

    Args:
        weights: [filters, groups].
        in_block: [blocks, groups].
        members: filters [blocks, MOST_FILTERS], -1 for none.
        segments, counts: of all blocks, as of :func:`segments_of`.
    """
    block, group = np.nonzero(in_block)
    values = weights[members[block], group[:, None]]
    values[members[block] < 0] = 0
    # Groups follow each other as segments do.
    lengths = segments["groups"].astype(np.int64)
    tiles = -(-lengths // TILE_GROUPS)
    segment = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    place = (
        np.arange(len(block), dtype=np.int64)
        - (np.cumsum(lengths, dtype=np.int64) - lengths)[segment]
    )
    tile = (np.cumsum(tiles, dtype=np.int64) - tiles)[segment] + place // TILE_GROUPS
    packed = np.zeros((int(tiles.sum(dtype=np.int64)), MOST_FILTERS, TILE_GROUPS), np.int32)
    packed[tile, :, place % TILE_GROUPS] = values
    owner = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    of_block = np.zeros(len(counts), np.int64)
    np.add.at(of_block, owner, tiles)
    return packed.reshape(-1), of_block * MOST_FILTERS * TILE_GROUPS


def neighbours_fit(weights: npt.NDArray[np.int32]) -> BoolArray:
    """Whether a filter's products of two neighbouring taps with any bytes fit 16 bits.

    Args:
        weights: [filters, groups] of four bytes.
    """
    taps = np.ascontiguousarray(weights).view(np.int8)
    pairs = taps.reshape(len(weights), -1, 2).astype(np.int64)
    highest = np.maximum(pairs, 0).sum(axis=2, dtype=np.int64).max(axis=1, initial=0)
    lowest = np.minimum(pairs, 0).sum(axis=2, dtype=np.int64).min(axis=1, initial=0)
    return (255 * highest < 2**15) & (255 * lowest >= -(2**15))


def widened(weights: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Groups of four bytes as four words, in the order 0, 2, 1, 3."""
    four = weights.view(np.int8).reshape(-1, TAPS_PER_GROUP)[:, [0, 2, 1, 3]]
    return four.astype(np.int16).reshape(-1).view(np.int64)
