"""A layer's recipe in the order the native kernel reads it.

A depthwise layer is a convolution for each input channel, so a network has thousands: all of a
layer are packed together, in whole-array steps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import (
    CONVOLUTION,
    FILTER_BLOCK,
    LOOKUP_FILTER,
    LOOKUP_TAP,
    MOST_FILTERS,
    REAL_FACTOR,
    SEGMENT,
    TILE_GROUPS,
    VECTOR_FILTERS,
    Memory,
)
from axynq.emulator.engine.kernel import Kernel
from axynq.emulator.engine.recipe import Costs, LayerRecipe, LookupPlane, Plane
from axynq.emulator.model import graph
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
    factors: Mapping[str, int] | None = None,
) -> npt.NDArray[Any]:
    """The layer as convolutions: one, or one per input channel where it is depthwise.

    ``factors`` is what :func:`pack_factors` gives, where it is known already.
    """
    output = model.tensors[layer.output]
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
        **(factors or pack_factors(model, layer, library, memory)),
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
    costs = kernel.variant.costs
    if costs.tile_term is None:
        return costs
    geometry = _geometry(model, layer)
    groups = geometry.row_groups * (1 if geometry.flattened else geometry.kernel[1])
    every = np.ones((1, geometry.output_shape[2], geometry.kernel[0], groups), bool)
    return replace(costs, term=costs.tile_term) if _tiles_pay(every, geometry) else costs


def pack_factors(
    model: graph.Model, layer: graph.WeightedLayer, library: ctypes.CDLL, memory: Memory
) -> dict[str, int]:
    """The factors of the requantisation: as whole numbers, and in real ones where these do. They do
    not depend on the weights."""
    factors = layer_factors(model, layer)
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


def _addresses(
    memory: Memory, records: npt.NDArray[Any], counts: IndexArray, weights: bool = False
) -> IndexArray:
    """Where the records of each owner begin, which has so many of them, one owner after another."""
    first = np.cumsum(counts, dtype=np.int64) - counts
    return memory.pointer(records, weights) + first * records.itemsize


def _counts(owner: IndexArray, owners: int) -> IndexArray:
    """How often each owner occurs."""
    return np.bincount(owner.astype(np.intp), minlength=owners).astype(np.int64)


# --- planes --------------------------------------------------------------------------------------


def _pack_planes(
    planes: tuple[Plane, ...], geometry: Geometry, library: ctypes.CDLL, memory: Memory
) -> dict[str, Any]:
    """The planes that each convolution needs, and its filter blocks."""
    weights = _in_groups(planes, geometry)
    used = weights.view(np.int32)[..., 0] != 0  # [planes, filters, rows, groups]
    needed = used.any(axis=(2, 3)).T  # [filters, planes]
    each = len(needed) // geometry.convolutions
    has = needed.reshape(geometry.convolutions, each, len(planes)).any(axis=1)
    tiles = bool(library.axynq_tiles()) and _tiles_pay(used, geometry)
    most = MOST_FILTERS if tiles else VECTOR_FILTERS
    members, convolution = _filter_blocks(needed, geometry.convolutions, most)
    sizes = (members >= 0).sum(axis=1, dtype=np.int64)
    blocks = np.zeros(len(members), FILTER_BLOCK)
    blocks["filters"], blocks["tiles"] = sizes, tiles
    blocks["filter"][:, :most] = np.maximum(members, 0)
    in_block = np.zeros((len(members), len(planes), *used.shape[2:]), bool)
    for slot in range(most):
        there = sizes > slot
        in_block[there] |= used[:, members[there, slot]].swapaxes(0, 1)
    # Convolutions number the planes they have.
    number = (np.cumsum(has, axis=1, dtype=np.int64) - 1)[convolution]
    exponents = np.array([plane.exponent for plane in planes], np.int64)
    segments, counts, final_shift = _segments(in_block, number, exponents, geometry)
    blocks["segments"], blocks["final_shift"] = counts, final_shift
    blocks["segment"] = _addresses(memory, segments, counts)
    if tiles:
        packed, counts = _tile_weights(weights, in_block, members, segments, counts)
        blocks["weights"] = _addresses(memory, packed, counts, weights=True)
    else:
        wide = bool(library.axynq_wide_weights())
        for size in np.unique(sizes):
            alike = np.flatnonzero(sizes == size)
            packed, counts = _block_weights(weights, in_block[alike], members[alike, :size])
            packed_as = _widened(packed) if wide else packed
            blocks["weights"][alike] = _addresses(memory, packed_as, counts, weights=True)
    counts = _counts(convolution, geometry.convolutions)
    return {
        "planes": has.sum(axis=1, dtype=np.int64),
        "plane_tables": _plane_tables(planes, has, memory),
        "blocks": counts,
        "block": _addresses(memory, blocks, counts),
    }


def _plane_tables(planes: tuple[Plane, ...], has: BoolArray, memory: Memory) -> IndexArray:
    """Where the tables of the planes lie that each convolution has: once for those alike."""
    tables = np.stack([np.zeros(256, np.uint8), *(plane.table for plane in planes)])
    kinds, kind = np.unique(has, axis=0, return_inverse=True)
    addresses = [memory.pointer(tables[1:][one] if one.any() else tables[:1]) for one in kinds]
    return np.array(addresses)[kind.reshape(-1)]


def _in_groups(planes: tuple[Plane, ...], geometry: Geometry) -> npt.NDArray[np.int8]:
    """[planes, filters, kernel rows, groups of a kernel row, 4], with zeros where a group is not
    full."""
    filters = geometry.output_shape[2]
    rows, columns = geometry.kernel
    channels = geometry.channels
    if geometry.flattened:
        columns, channels = 1, columns * channels
    groups = geometry.row_groups
    full = np.zeros((len(planes), filters, rows, columns, groups * TAPS_PER_GROUP), np.int8)
    for p, plane in enumerate(planes):  # a fully connected layer's kernel is flat
        full[p, ..., :channels] = plane.weights.reshape(filters, rows, columns, channels)
    return full.reshape(len(planes), filters, rows, columns * groups, TAPS_PER_GROUP)


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
    in_block: BoolArray, number: IndexArray, exponents: IndexArray, geometry: Geometry
) -> tuple[npt.NDArray[Any], IndexArray, IndexArray]:
    """Runs of groups that some filter of a block needs and whose activations are contiguous.

    Args:
        in_block: [blocks, planes, rows, groups], whether a group is needed.
        number: [blocks, planes], the number of each plane in the block's convolution.
        exponents: [planes].
        geometry: of the layer.

    Returns:
        The segments, block after block; how many each block has; and its final shift.
    """
    width = in_block.shape[3] // geometry.spans
    spans = in_block.reshape(*in_block.shape[:3], geometry.spans, width)
    none = np.zeros((*spans.shape[:-1], 1), bool)
    changes = np.diff(np.concatenate([none, spans, none], axis=-1).astype(np.int8))
    block, plane, row, span, first = np.nonzero(changes == 1)
    end = np.nonzero(changes == -1)[-1]
    exponent = exponents[plane]
    opens = np.diff(block, prepend=-1) != 0
    runs = np.zeros(len(block), SEGMENT)
    runs["plane"] = number[block, plane]
    runs["kernel_row"] = row
    runs["offset"] = first + span * geometry.dilation[1] * width
    runs["groups"] = end - first
    runs["shift"] = np.where(opens, 0, np.roll(exponent, 1) - exponent)
    final_shift = np.zeros(len(in_block), np.int64)
    final_shift[block] = exponent  # the last of equal places stays
    return runs, _counts(block, len(in_block)), final_shift


def _block_weights(
    weights: npt.NDArray[np.int8], in_block: BoolArray, members: IndexArray
) -> tuple[npt.NDArray[np.int32], IndexArray]:
    """The weights of blocks with equally many filters: block by block, for each group that is
    needed four bytes per filter, as one integer; and how many integers each block has."""
    groups = weights.view(np.int32)[..., 0]
    block, plane, row, group = np.nonzero(in_block)
    packed = groups[plane[:, None], members[block], row[:, None], group[:, None]]
    counts = _counts(block, len(members)) * members.shape[1]
    return packed.reshape(-1), counts


def _tile_weights(
    weights: npt.NDArray[np.int8],
    in_block: BoolArray,
    members: IndexArray,
    segments: npt.NDArray[Any],
    counts: IndexArray,
) -> tuple[npt.NDArray[np.int32], IndexArray]:
    """The weights of blocks in tiles, in order, and how many integers each block has.

    Args:
        weights: as of :func:`_in_groups`.
        in_block: [blocks, planes, rows, groups].
        members: filters [blocks, MOST_FILTERS], -1 for none.
        segments, counts: of all blocks, as of :func:`_segments`.
    """
    groups = weights.view(np.int32)[..., 0]
    block, plane, row, group = np.nonzero(in_block)
    values = groups[plane[:, None], members[block], row[:, None], group[:, None]]
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


def _tiles_pay(used: BoolArray, geometry: Geometry) -> bool:
    """Whether a layer is computed faster in tiles: where many filters share long rows of groups.

    Args:
        used: [planes, filters, rows, groups], whether a filter has weights there.
    """
    filters = geometry.output_shape[2] // geometry.convolutions
    rows = used.any(axis=1)  # [planes, rows, groups]
    vectors = 2 * filters * int(np.count_nonzero(rows))
    width = rows.shape[2] // geometry.spans
    spans = rows.reshape(-1, width).sum(axis=1, dtype=np.int64)
    blocks = -(-filters // MOST_FILTERS)
    steps = int((-(-spans // TILE_GROUPS)).sum(dtype=np.int64))
    planes = int(np.count_nonzero(rows.any(axis=(1, 2))))
    return blocks * (_TILE_STEP * steps + _TILE_PLANE * planes) < vectors


_TILE_STEP, _TILE_PLANE = 70, 200
"""Cycles of a step of four tiles, and of bringing sums to memory once for each plane; a group of
one filter takes 2 in vectors. Estimated for Intel's Sapphire Rapids."""


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
    tables: list[npt.NDArray[np.uint8]] = [np.zeros((1, 256), np.uint8)]
    first_table = 1
    for plane in lookups:
        # By filter, small tables first: many of them fit into a byte together.
        index = plane.index.reshape(filters, -1)
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
        shape = (*geometry.kernel, geometry.channels)
        taps["kernel_row"], taps["kernel_column"], taps["channel"] = np.unravel_index(tap, shape)
        taps["table"] = table + first_table - 1
        taps["flush"] = flushes(library, ranges[table].astype(np.int32), counts)
        of_plane = np.zeros(len(looking), LOOKUP_FILTER)
        of_plane["filter"] = looking
        of_plane["shift"], of_plane["part"], of_plane["taps"] = plane.exponent, plane.part, counts
        of_plane["tap"] = _addresses(memory, taps, counts)
        records.append(of_plane)
        padded = np.zeros((len(plane.tables) - 1, 256), np.uint8)
        padded[:, : plane.tables.shape[1]] = plane.tables[1:]
        tables.append(padded)
        first_table += len(padded)
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
