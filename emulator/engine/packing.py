"""A layer's recipe in the order the native kernel reads it.

A depthwise layer is a convolution for each input channel, so a network has thousands: all of a
layer are packed together, in whole-array steps.
"""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import (
    BLOCK,
    CONVOLUTION,
    FILTER_BLOCK,
    LOOKUP_CHANNELS,
    LOOKUP_FILTER,
    LOOKUP_TAP,
    MOST_FILTERS,
    REAL_FACTOR,
    SEGMENT,
    TILE_GROUPS,
    VECTOR_FILTERS,
    WHOLE_BYTE,
    Memory,
)
from axynq.emulator.engine.kernel import Kernel
from axynq.emulator.engine.recipe import Costs, LayerRecipe, LookupPlane, Plane, part_of
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.model.graph import Padding, activation_bounds, rows_columns_channels
from axynq.emulator.model.quantisation import layer_factors

TAPS_PER_GROUP = 4

IndexArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Geometry:
    """The convolutions that make up a layer, and what each filter sees of its input."""

    convolutions: int
    """One, or one per input channel where the layer is depthwise; the filters of each follow each
    other."""
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    channels: int
    """Seen by each filter."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding

    @property
    def flattened(self) -> bool:
        """Whether groups of four taps run over columns and channels of a kernel row: with few
        channels, groups of channels would be mostly empty."""
        return self.channels < TAPS_PER_GROUP

    @property
    def row_groups(self) -> int:
        """Groups of a kernel row (flattened), or of a pixel."""
        taps = self.channels * (self.kernel[1] if self.flattened else 1)
        return -(-taps // TAPS_PER_GROUP)

    @property
    def spans(self) -> int:
        """Parts of a kernel row whose activations are contiguous: a pixel's are, and those of
        neighbouring columns too, unless the kernel is dilated."""
        return self.kernel[1] if not self.flattened and self.dilation[1] > 1 else 1


def pack_layer(
    model: graph.Model,
    layer: graph.WeightedLayer,
    recipe: LayerRecipe,
    library: ctypes.CDLL,
    memory: Memory,
) -> npt.NDArray[Any]:
    """The layer as convolutions: one, or one per input channel where it is depthwise."""
    output = model.tensors[layer.output]
    factors = layer_factors(model, layer)
    low, high = activation_bounds(layer.activation, output)
    geometry = _geometry(model, layer)
    records = np.zeros(geometry.convolutions, CONVOLUTION)
    values: dict[str, Any] = {
        "first_channel": np.arange(geometry.convolutions, dtype=np.int64),
        "channels": geometry.channels,
        "flattened": geometry.flattened,
        "row_groups": geometry.row_groups,
        "padding_top": geometry.padding.top,
        "padding_left": geometry.padding.left,
        "pad_value": model.tensors[layer.inputs[0]].zero_point,
        "bias": memory.pointer(recipe.bias),
        **_pack_factors(factors, library, memory),
        "output_zero_point": output.zero_point,
        "clamp_low": low,
        "clamp_high": high,
        **_pack_planes(recipe.planes, geometry, library, memory),
        **_pack_lookups(recipe.lookups, geometry, library, memory),
    }
    for side, (rows, columns, channels) in (
        ("input", geometry.input_shape),
        ("output", geometry.output_shape),
    ):
        values |= {f"{side}_rows": rows, f"{side}_columns": columns, f"{side}_channels": channels}
    for name in ("kernel", "stride", "dilation"):
        values[f"{name}_rows"], values[f"{name}_columns"] = getattr(geometry, name)
    for name, value in values.items():
        records[name] = value
    return records


def costs_of(model: graph.Model, layer: graph.WeightedLayer, kernel: Kernel) -> Costs:
    """What products of a layer cost: terms are cheap in tiles."""
    geometry = _geometry(model, layer)
    inputs, outputs = math.prod(geometry.input_shape), math.prod(geometry.output_shape)
    taps = geometry.channels * math.prod(geometry.kernel)
    costs = replace(kernel.variant.costs, uses=outputs * taps / inputs)
    if costs.tile_term is None:
        return costs
    line = _Line.of(geometry, np.zeros(1, np.int64))
    every = np.ones((geometry.output_shape[2], len(line.plane)), bool)
    return replace(costs, term=costs.tile_term) if _tiles_pay(every, line, geometry) else costs


def _pack_factors(
    factors: Sequence[FixedPoint], library: ctypes.CDLL, memory: Memory
) -> dict[str, int]:
    """The factors of the requantisation: as whole numbers, and in real ones where these do."""
    multiplier = memory.pointer(np.array([f.multiplier for f in factors], np.int32))
    shift = memory.pointer(np.array([f.shift for f in factors], np.int32))
    real = memory.pointer(np.zeros(len(factors), REAL_FACTOR))
    library.axynq_real_factors(multiplier, shift, len(factors), real)
    return {"multiplier": multiplier, "shift": shift, "real": real}


def _geometry(model: graph.Model, layer: graph.WeightedLayer) -> Geometry:
    source = rows_columns_channels(model.tensors[layer.inputs[0]].shape)
    target = rows_columns_channels(model.tensors[layer.output].shape)
    if isinstance(layer, graph.FullyConnected):
        # As large as its input.
        rows, columns, channels = source
        return Geometry(1, source, target, channels, (rows, columns), (1, 1), (1, 1), Padding())
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    kernel = (layer.kernel.shape[1], layer.kernel.shape[2])
    rest = (kernel, layer.stride, layer.dilation, layer.padding)
    if isinstance(layer, graph.Convolution):
        return Geometry(1, source, target, source[2], *rest)
    return Geometry(source[2], source, target, 1, *rest)


def _addresses(memory: Memory, records: npt.NDArray[Any], counts: IndexArray) -> IndexArray:
    """Where the records of each owner begin, which has so many of them, one owner after another."""
    first = np.cumsum(counts, dtype=np.int64) - counts
    return memory.pointer(records) + first * records.itemsize


def _counts(owner: IndexArray, owners: int) -> IndexArray:
    """How often each owner occurs."""
    return np.bincount(owner.astype(np.intp), minlength=owners).astype(np.int64)


# --- planes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """All groups of four taps of a filter, in the order in which they are computed: by stack of
    planes, row of the kernel, and place in memory."""

    stack: IndexArray
    row: IndexArray
    column: IndexArray
    plane: IndexArray
    group: IndexArray
    """Of a pixel, or of a kernel row where the layer is flattened."""
    opens: BoolArray
    """Whether the activations do not follow those of the group before."""

    @classmethod
    def of(cls, geometry: Geometry, stacks: IndexArray) -> _Line:
        """For planes in stacks [planes], with numbers that never fall."""
        rows, columns = geometry.kernel
        columns = 1 if geometry.flattened else columns
        shape = (len(stacks), rows, columns, geometry.row_groups)
        plane, row, column, group = (axis.reshape(-1) for axis in np.indices(shape, np.int64))
        stack = stacks[plane]
        order = np.lexsort((group, plane, column, row, stack))
        stack, row, column = stack[order], row[order], column[order]
        area = np.stack([stack, row, column if geometry.spans > 1 else np.zeros_like(column)])
        opens = (np.diff(area, axis=1, prepend=-1) != 0).any(axis=0)
        return cls(stack, row, column, plane[order], group[order], opens)


def _pack_planes(
    planes: tuple[Plane, ...], geometry: Geometry, library: ctypes.CDLL, memory: Memory
) -> dict[str, Any]:
    """The planes that each convolution needs, and its filter blocks."""
    exponents = np.array([plane.exponent for plane in planes], np.int64)
    stacks = np.cumsum(np.diff(exponents, prepend=exponents[:1]) != 0, dtype=np.int64)
    line = _Line.of(geometry, stacks)
    weights = _in_groups(planes, geometry)[:, line.plane, line.row, line.column, line.group]
    used = weights != 0  # [filters, groups]
    filters = len(used)
    needed = np.zeros((filters, len(planes)), bool)
    for plane in range(len(planes)):
        needed[:, plane] = used[:, line.plane == plane].any(axis=1)
    each = filters // geometry.convolutions
    has = needed.reshape(geometry.convolutions, each, len(planes)).any(axis=1)
    tiles = bool(library.axynq_tiles()) and _tiles_pay(used, line, geometry)
    most = MOST_FILTERS if tiles else VECTOR_FILTERS
    members, convolution = _filter_blocks(needed, geometry.convolutions, most)
    sizes = (members >= 0).sum(axis=1, dtype=np.int64)
    blocks = np.zeros(len(members), FILTER_BLOCK)
    blocks["filters"], blocks["tiles"] = sizes, tiles
    blocks["filter"][:, :most] = np.maximum(members, 0)
    in_block = np.zeros((len(members), used.shape[1]), bool)
    for slot in range(most):
        there = sizes > slot
        in_block[there] |= used[members[there, slot]]
    segments, counts, final_shift = _segments(in_block, line, has[convolution], exponents, geometry)
    blocks["segments"], blocks["final_shift"] = counts, final_shift
    blocks["segment"] = _addresses(memory, segments, counts)
    if tiles:
        packed, counts = _tile_weights(weights, in_block, members, segments, counts)
        blocks["weights"] = _addresses(memory, packed, counts)
    else:
        wide = bool(library.axynq_wide_weights())
        fit = np.append(neighbours_fit(weights), True)  # the last for members that are none
        blocks["narrow"] = fit[members].all(axis=1)
        for size, narrow in itertools.product(np.unique(sizes), (0, 1)):
            alike = np.flatnonzero((sizes == size) & (blocks["narrow"] == narrow))
            packed, counts = _block_weights(weights, in_block[alike], members[alike, :size])
            packed_as = _widened(packed) if wide and not narrow else packed
            blocks["weights"][alike] = _addresses(memory, packed_as, counts)
    counts = _counts(convolution, geometry.convolutions)
    return {
        **_plane_tables(planes, stacks, has, memory),
        "blocks": counts,
        "block": _addresses(memory, blocks, counts),
    }


def _plane_tables(
    planes: tuple[Plane, ...], stacks: IndexArray, has: BoolArray, memory: Memory
) -> dict[str, IndexArray]:
    """The tables of the planes that each convolution has: once for those alike."""
    tables = np.stack([np.zeros(256, np.uint8), *(plane.table for plane in planes)])
    parts = np.array([WHOLE_BYTE, *(part_of(plane.table) for plane in planes)], np.int32)
    kinds, kind = np.unique(has, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    addresses = []
    for one in kinds:
        chosen = np.flatnonzero(one) + 1 if one.any() else np.zeros(1, np.int64)
        _, widths = np.unique(stacks[one], return_counts=True)
        arrays = tables[chosen], parts[chosen], widths.astype(np.int32)
        addresses.append((*map(memory.pointer, arrays), len(widths)))
    tables_at, parts_at, widths_at, count = np.array(addresses, np.int64).T
    return {
        "planes": has.sum(axis=1, dtype=np.int64),
        "stacks": count[kind],
        "plane_tables": tables_at[kind],
        "plane_parts": parts_at[kind],
        "stack_planes": widths_at[kind],
    }


def _in_groups(planes: tuple[Plane, ...], geometry: Geometry) -> npt.NDArray[np.int32]:
    """[filters, planes, kernel rows, kernel columns or 1, groups]: four bytes as an integer, with
    zeros where a group is not full."""
    filters = geometry.output_shape[2]
    rows, columns = geometry.kernel
    channels = geometry.channels
    if geometry.flattened:
        columns, channels = 1, columns * channels
    groups = geometry.row_groups
    full = np.zeros((filters, len(planes), rows, columns, groups * TAPS_PER_GROUP), np.int8)
    for p, plane in enumerate(planes):  # a fully connected layer's kernel is flat
        full[:, p, ..., :channels] = plane.weights.reshape(filters, rows, columns, channels)
    return full.view(np.int32)


def _filter_blocks(
    needed: BoolArray, convolutions: int, most: int
) -> tuple[IndexArray, IndexArray]:
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


def _segments(
    in_block: BoolArray,
    line: _Line,
    has: BoolArray,
    exponents: IndexArray,
    geometry: Geometry,
) -> tuple[npt.NDArray[Any], IndexArray, IndexArray]:
    """Runs of groups that some filter of a block needs and whose activations are contiguous.

    Args:
        in_block: [blocks, groups], whether a group is needed.
        line: the groups.
        has: [blocks, planes], whether the block's convolution has a plane.
        exponents: [planes].
        geometry: of the layer.

    Returns:
        The segments, block after block; how many each block has; and its final shift.
    """
    stacks = np.zeros(len(exponents), np.int64)
    stacks[line.plane] = line.stack
    starts = np.flatnonzero(np.diff(stacks, prepend=-1))
    # Stacks that a block's convolution has, and planes of a stack before a plane.
    widths = np.add.reduceat(has, starts, axis=1, dtype=np.int64)
    number = np.cumsum(widths > 0, axis=1, dtype=np.int64) - 1
    before = np.cumsum(has, axis=1, dtype=np.int64) - has
    before -= before[:, starts][:, stacks]

    follows = np.zeros_like(in_block)
    follows[:, 1:] = in_block[:, :-1] & ~line.opens[1:]
    block, first = np.nonzero(in_block & ~follows)
    ends = np.zeros_like(in_block)
    ends[:, :-1] = follows[:, 1:] & in_block[:, 1:]
    end = np.nonzero(in_block & ~ends)[1] + 1
    plane, stack = line.plane[first], line.stack[first]
    opens = np.diff(block, prepend=-1) != 0
    exponent = exponents[plane]
    runs = np.zeros(len(block), SEGMENT)
    runs["stack"] = number[block, stack]
    runs["kernel_row"] = line.row[first]
    pixels = line.column[first] * geometry.dilation[1] * widths[block, stack]
    runs["offset"] = (pixels + before[block, plane]) * geometry.row_groups + line.group[first]
    runs["groups"] = end - first
    runs["shift"] = np.where(opens, 0, np.roll(exponent, 1) - exponent)
    final_shift = np.zeros(len(in_block), np.int64)
    final_shift[block] = exponent  # the last of equal places stays
    return runs, _counts(block, len(in_block)), final_shift


def _block_weights(
    weights: npt.NDArray[np.int32], in_block: BoolArray, members: IndexArray
) -> tuple[npt.NDArray[np.int32], IndexArray]:
    """The weights of blocks with equally many filters: block by block, for each group that is
    needed four bytes per filter, as one integer; and how many integers each block has."""
    block, group = np.nonzero(in_block)
    packed = weights[members[block], group[:, None]]
    counts = _counts(block, len(members)) * members.shape[1]
    return packed.reshape(-1), counts


def _tile_weights(
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
        segments, counts: of all blocks, as of :func:`_segments`.
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


def _tiles_pay(used: BoolArray, line: _Line, geometry: Geometry) -> bool:
    """Whether a layer is computed faster in tiles: where many filters share long runs of groups.

    Args:
        used: [filters, groups], whether a filter has weights there.
        line: the groups.
        geometry: of the layer.
    """
    filters = len(used) // geometry.convolutions
    groups = used.any(axis=0)
    vectors = 2 * filters * int(np.count_nonzero(groups))
    runs = np.cumsum(line.opens, dtype=np.int64)[groups]
    lengths = np.bincount(runs.astype(np.intp)).astype(np.int64)
    blocks = -(-filters // MOST_FILTERS)
    steps = int((-(-lengths // TILE_GROUPS)).sum(dtype=np.int64))
    stacks = len(np.unique(line.stack[groups]))
    return blocks * (_TILE_STEP * steps + _TILE_STACK * stacks) < vectors


_TILE_STEP, _TILE_STACK = 70, 200
"""Cycles of a step of four tiles, and of bringing sums to memory once for each stack; a group of
one filter takes 2 in vectors. Estimated for Intel's Sapphire Rapids."""


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


def _widened(weights: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Groups of four bytes as four words, in the order 0, 2, 1, 3."""
    four = weights.view(np.int8).reshape(-1, TAPS_PER_GROUP)[:, [0, 2, 1, 3]]
    return four.astype(np.int16).reshape(-1).view(np.int64)


# --- look-ups ------------------------------------------------------------------------------------


def _pack_lookups(
    lookups: tuple[LookupPlane, ...], geometry: Geometry, library: ctypes.CDLL, memory: Memory
) -> dict[str, Any]:
    """For each convolution, filter and plane the taps that look something up."""
    filters = geometry.output_shape[2]
    records: list[npt.NDArray[Any]] = [np.zeros(0, LOOKUP_FILTER)]
    tables: list[npt.NDArray[np.uint8]] = [np.zeros(0, np.uint8)]
    width = min(geometry.channels, LOOKUP_CHANNELS)
    first_table, next_table = 0, 0
    for plane, first in itertools.product(lookups, range(0, geometry.channels, width)):
        if first == 0:
            tables.append(plane.tables[1:].reshape(-1))
            first_table, next_table = next_table, next_table + tables[-1].size
        # By filter, small tables first: many of them fit into a byte together.
        index = plane.index.reshape(filters, *geometry.kernel, geometry.channels)
        index = index[..., first : first + width]
        shape = index.shape[1:]
        index = index.reshape(filters, -1)
        looking = np.flatnonzero(index.any(axis=1))
        index = index[looking]
        ranges = plane.tables.max(axis=1).astype(np.uint16)
        ranges[0] = 256  # none: behind all others
        order = np.argsort(ranges[index], axis=1, kind="stable")
        counts = np.count_nonzero(index, axis=1)
        member, tap = np.nonzero(np.arange(index.shape[1], dtype=np.int64) < counts[:, None])
        tap = order[member, tap]
        table = index[member, tap]
        taps = np.zeros(len(tap), LOOKUP_TAP)
        row, column, channel = np.unravel_index(tap, shape)
        taps["kernel_row"] = row
        taps["offset"] = (column * geometry.dilation[1] * width + channel) * BLOCK
        taps["table"] = first_table + (table - 1) * plane.tables.shape[1]
        taps["flush"] = flushes(library, ranges[table].astype(np.int32), counts)
        of_plane = np.zeros(len(looking), LOOKUP_FILTER)
        of_plane["filter"], of_plane["channels"] = looking, first // width
        of_plane["shift"], of_plane["part"], of_plane["taps"] = plane.exponent, plane.part, counts
        of_plane["tap"] = _addresses(memory, taps, counts)
        records.append(of_plane)
    every = np.concatenate(records)
    convolution = every["filter"] // (filters // geometry.convolutions)
    every = every[np.argsort(convolution, kind="stable")]
    counts = _counts(convolution, geometry.convolutions)
    return {
        "lookups": counts,
        "lookup": _addresses(memory, every, counts),
        "lookup_tables": memory.pointer(np.concatenate(tables)),
        "lookup_parts": sum(1 << part for part in {plane.part for plane in lookups}),
    }


def flushes(
    library: ctypes.CDLL, ranges: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Before which taps byte sums (1), and word sums too (2), are widened, lest they overflow.

    Args:
        library: the kernel.
        ranges: the largest value each tap looks up, filter after filter.
        counts: taps of each filter.
    """
    ranges = np.ascontiguousarray(ranges, np.int32)
    counts = np.ascontiguousarray(counts, np.int64)
    result = np.zeros(len(ranges), np.int32)
    library.axynq_flushes(ranges.ctypes.data, counts.ctypes.data, len(counts), result.ctypes.data)
    return result
