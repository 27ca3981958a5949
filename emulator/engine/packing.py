"""A layer's recipe in the order the native kernel reads it.

A depthwise layer is a convolution for each input channel, so a network has thousands: all of a
layer are packed together, in whole-array steps.
"""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import (
    BLOCK,
    CONVOLUTION,
    FILTER_BLOCK,
    HALF_TABLES,
    HIGH_HALF,
    LOOKUP_CHANNELS,
    LOOKUP_FILTER,
    LOOKUP_TAP,
    LOW_HALF,
    MOST_FILTERS,
    REAL_FACTOR,
    SEGMENT,
    SEGMENT_TILES,
    SEVEN_BITS,
    TILE_GROUPS,
    TILE_POSITIONS,
    VECTOR_FILTERS,
    WHOLE_BYTE,
    Memory,
)
from axynq.emulator.engine.recipe import Costs, LayerRecipe, LookupPlane, Plane, halves_of
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
    costs: Costs,
    library: ctypes.CDLL,
    memory: Memory,
    factors: Mapping[str, int] | None = None,
    any_weights: bool = False,
) -> npt.NDArray[Any]:
    """The layer as convolutions: one, or one per input channel where it is depthwise.

    Costs tell whether tiles pay; ``factors`` is what :func:`pack_factors` gives, where it is known
    already. ``any_weights`` says that other weights will take their places.
    """
    output = model.tensors[layer.output]
    low, high = activation_bounds(layer.activation, output)
    geometry = _geometry(model, layer)
    in_groups = [plane for plane in recipe.lookups if _looked_up_in_groups(plane, library)]
    in_rows = [plane for plane in recipe.lookups if plane not in in_groups]
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
        **_pack_planes(recipe.planes, in_groups, geometry, costs, library, memory, any_weights),
        **_pack_lookups(in_rows, geometry, library, memory),
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


def _looked_up_in_groups(plane: LookupPlane, library: ctypes.CDLL) -> bool:
    """Whether tables of half bytes lie with the weights."""
    halves = plane.part in (LOW_HALF, HIGH_HALF) and bool(library.axynq_group_lookups())
    return halves and plane.index.size <= _MOST_TABLES


_MOST_TABLES = 1 << 20
"""Of sixteen bytes, that lie with weights."""

_ONE_BY_ONE = 1.6
"""What a look-up takes that is not one of four together, against one that is."""


def costs_of(model: graph.Model, layer: graph.WeightedLayer, costs: Costs) -> Costs:
    """What products of a layer cost: mapped activations are shared by all that use them, and terms
    are cheap in tiles where these pay."""
    geometry = _geometry(model, layer)
    inputs, outputs = math.prod(geometry.input_shape), math.prod(geometry.output_shape)
    taps = geometry.channels * math.prod(geometry.kernel)
    costs = replace(costs, uses=outputs * taps / inputs)
    if costs.in_groups and layer.kernel.size > _MOST_TABLES:
        half_lookup = _ONE_BY_ONE * costs.half_lookup
        costs = replace(costs, half_lookup=half_lookup, in_groups=False)
    if costs.tile_term is None:
        return costs
    line = _Line.of(geometry, np.zeros(_TYPICAL_PLANES, np.int64))
    every = np.ones((geometry.output_shape[2], len(line.part)), bool)
    return replace(costs, in_tiles=_tiles_pay(every, line, geometry, costs))


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
    return memory.aligned(records, weights) + first * records.itemsize


def _counts(owner: IndexArray, owners: int) -> IndexArray:
    """How often each owner occurs."""
    return np.bincount(owner.astype(np.intp), minlength=owners).astype(np.int64)


# --- planes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """All groups of four taps of a filter, in the order in which they are computed: by run of parts
    (:class:`_Parts`), row of the kernel, and place in memory."""

    run: IndexArray
    row: IndexArray
    column: IndexArray
    part: IndexArray
    group: IndexArray
    """Of a pixel, or of a kernel row where the layer is flattened."""
    opens: BoolArray
    """Whether the activations do not follow those of the group before."""

    @classmethod
    def of(cls, geometry: Geometry, runs: IndexArray) -> _Line:
        """For parts in runs [parts], with numbers that never fall."""
        rows, columns, _ = _group_shape(geometry)
        shape = (len(runs), rows, columns, geometry.row_groups)
        part, row, column, group = (axis.reshape(-1) for axis in np.indices(shape, np.int64))
        run = runs[part]
        order = np.lexsort((group, part, column, row, run))
        run, row, column = run[order], row[order], column[order]
        area = np.stack([run, row, column if geometry.spans > 1 else np.zeros_like(column)])
        opens = (np.diff(area, axis=1, prepend=-1) != 0).any(axis=0)
        return cls(run, row, column, part[order], group[order], opens)


def _stacks(exponents: IndexArray, most: int) -> IndexArray:
    """The stack of each plane: of one exponent, and of so many planes at most."""
    opens = np.diff(exponents, prepend=exponents[:1]) != 0
    first = np.maximum.accumulate(np.where(opens, np.arange(len(opens), dtype=np.int64), 0))
    place = np.arange(len(opens), dtype=np.int64) - first
    return np.cumsum(opens | ((place > 0) & (place % most == 0)), dtype=np.int64)


class _Strip(NamedTuple):
    """What is computed together, such that the rows of activations stay in the second-level cache:
    so many output columns, and in tiles so many planes."""

    columns: int
    planes: int

    @classmethod
    def of(cls, geometry: Geometry, planes: int, tiles: bool) -> _Strip:
        """For a layer with so many planes."""
        every = geometry.output_shape[1]
        span = (geometry.kernel[0] - 1) * geometry.dilation[0] + 1
        halo = (geometry.kernel[1] - 1) * geometry.dilation[1]

        def row_bytes(columns: int) -> int:
            """Of all rows of a plane that the kernel spans."""
            seen = columns if geometry.flattened else columns * geometry.stride[1] + halo
            return span * seen * geometry.row_groups * TAPS_PER_GROUP * BLOCK

        def in_strips(most: int) -> int:
            """Columns of strips that are as equal as positions in tiles allow."""
            columns = -(-every // -(-every // most))
            return min(every, -(-columns // TILE_POSITIONS) * TILE_POSITIONS)

        columns = every
        while columns > max(_FEW_COLUMNS, TILE_POSITIONS) and row_bytes(columns) * planes > _CACHE:
            columns = in_strips(columns - TILE_POSITIONS)
        if not tiles or row_bytes(columns) * planes <= _CACHE:
            return cls(columns, max(planes, 1))
        columns = in_strips(_FEW_COLUMNS)
        stacks = -(-planes // max(1, _CACHE // row_bytes(columns)))
        return cls(columns, -(-planes // stacks))


_CACHE = 1 << 20
"""Bytes of rows, beside which a second-level cache should hold weights and sums."""

_FEW_COLUMNS = 16
"""Narrower strips have too much in common with their neighbours."""


@dataclass(frozen=True)
class _Parts:
    """What is added up for each filter: products with planes, and look-ups by halves of bytes, in
    order of falling exponent."""

    planes: tuple[Plane, ...]
    """What rows of activations are made of: those of the products, and one of bytes as they are
    where something is looked up."""
    stacks: IndexArray
    """[planes]: planes of a stack lie side by side."""
    exponents: IndexArray
    """[parts]."""
    kinds: IndexArray
    """[parts]: WHOLE_BYTE for products, or what is looked up."""
    plane: IndexArray
    """[parts]: which plane each reads."""
    lookups: tuple[LookupPlane | None, ...]
    """[parts]."""

    @classmethod
    def of(cls, planes: tuple[Plane, ...], lookups: Sequence[LookupPlane], most: int) -> _Parts:
        """For stacks of so many planes at most."""
        stacks = _stacks(np.array([plane.exponent for plane in planes], np.int64), most)
        both: list[tuple[int, int, LookupPlane | None]] = [
            *((plane.exponent, k, None) for k, plane in enumerate(planes)),
            *((plane.exponent, len(planes), plane) for plane in lookups),
        ]
        both.sort(key=lambda part: -part[0])
        if lookups:
            planes += (Plane(np.arange(256, dtype=np.uint8), np.zeros(0, np.int8), 0),)
            stacks = np.append(stacks, stacks.max(initial=-1) + 1)
        exponents, plane, looked_up = zip(*both) if both else ((), (), ())
        return cls(
            planes,
            stacks,
            np.array(exponents, np.int64),
            np.array([WHOLE_BYTE if part is None else part.part for part in looked_up], np.int64),
            np.array(plane, np.int64),
            looked_up,
        )

    @property
    def runs(self) -> IndexArray:
        """[parts]: numbers that are the same for neighbours whose activations lie side by side."""
        stack = self.stacks[self.plane]
        return np.cumsum(
            (np.diff(stack, prepend=stack[:1]) != 0) | (self.kinds != WHOLE_BYTE), dtype=np.int64
        )


def _pack_planes(
    planes: tuple[Plane, ...],
    lookups: Sequence[LookupPlane],
    geometry: Geometry,
    costs: Costs,
    library: ctypes.CDLL,
    memory: Memory,
    any_weights: bool,
) -> dict[str, Any]:
    """The planes that each convolution needs, and its filter blocks."""
    parts = _Parts.of(planes, lookups, max(len(planes), 1))
    line = _Line.of(geometry, parts.runs)
    tiles = False
    if library.axynq_tiles() and not lookups:
        every = _in_groups(parts, geometry, line) != 0
        tiles = _tiles_pay(every, line, geometry, costs)
    strip = _Strip.of(geometry, len(parts.planes), tiles)
    if strip.planes < len(planes):
        parts = _Parts.of(planes, lookups, strip.planes)
        line = _Line.of(geometry, parts.runs)
    weights = _in_groups(parts, geometry, line)
    used = weights != 0  # [filters, groups]
    filters = len(used)
    needed = np.zeros((filters, len(parts.kinds)), bool)
    for part in range(len(parts.kinds)):
        needed[:, part] = used[:, line.part == part].any(axis=1)
    has = np.zeros((geometry.convolutions, len(parts.planes)), bool)
    each = filters // geometry.convolutions
    has_part = needed.reshape(geometry.convolutions, each, len(parts.kinds)).any(axis=1)
    for part, plane in enumerate(parts.plane):
        has[:, plane] |= has_part[:, part]
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
    most_groups = TILE_GROUPS * SEGMENT_TILES if tiles else used.shape[1] + 1
    segments, counts, final_shift = _segments(
        in_block, line, parts, has[convolution], geometry, most_groups
    )
    blocks["segments"], blocks["final_shift"] = counts, final_shift
    blocks["segment"] = _addresses(memory, segments, counts)
    looked_up = parts.kinds[line.part] != WHOLE_BYTE
    if tiles:
        packed, counts = _tile_weights(weights, in_block, members, segments, counts)
        blocks["weights"] = _addresses(memory, packed, counts, weights=True)
    else:
        wide = bool(library.axynq_wide_weights())
        if wide and not any_weights:
            fit = np.append(neighbours_fit(weights), True)  # the last for members that are none
            blocks["narrow"] = fit[members].all(axis=1)
        for size, narrow in itertools.product(np.unique(sizes), (0, 1)):
            alike = np.flatnonzero((sizes == size) & (blocks["narrow"] == narrow))
            of = members[alike, :size]
            packed, counts = _block_weights(weights, in_block[alike] & ~looked_up, of)
            packed_as = _widened(packed) if wide and not narrow else packed
            blocks["weights"][alike] = _addresses(memory, packed_as, counts, weights=True)
            if lookups:
                numbers, tables = _group_tables(parts, geometry, line)
                chosen, counts = _block_weights(numbers, in_block[alike] & looked_up, of)
                four = tables[chosen].reshape(-1).view(f"V{4 * tables.shape[1]}")
                blocks["tables"][alike] = _addresses(memory, four, counts)
    counts = _counts(convolution, geometry.convolutions)
    return {
        **_plane_tables(parts, has, memory),
        "strip_columns": strip.columns,
        "stack_by_stack": strip.planes < len(planes),
        "blocks": counts,
        "block": _addresses(memory, blocks, counts),
    }


def _plane_tables(parts: _Parts, has: BoolArray, memory: Memory) -> dict[str, IndexArray]:
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


def _in_groups(parts: _Parts, geometry: Geometry, line: _Line) -> npt.NDArray[np.int32]:
    """[filters, groups of the line]: four bytes of weights as an integer, with zeros where a group
    is not full; of look-ups, ones where something is looked up."""
    filters = geometry.output_shape[2]
    full = np.zeros((filters, len(parts.kinds), *_group_shape(geometry)), np.int8)
    for number, (plane, lookup) in enumerate(zip(parts.plane, parts.lookups)):
        # A fully connected layer's kernel is flat.
        values = parts.planes[plane].weights if lookup is None else (lookup.index != 0)
        here = full[:, number]
        here[..., : _taps(geometry)] = values.reshape(*here.shape[:-1], _taps(geometry))
    return full.view(np.int32)[:, line.part, line.row, line.column, line.group]


def _group_shape(geometry: Geometry) -> tuple[int, int, int]:
    """Rows and columns of the kernel, and taps of a pixel in whole groups; flattened, a row is one
    pixel."""
    rows, columns = geometry.kernel
    return rows, 1 if geometry.flattened else columns, geometry.row_groups * TAPS_PER_GROUP


def _taps(geometry: Geometry) -> int:
    """Of a pixel; flattened, of a kernel row."""
    return geometry.channels * (geometry.kernel[1] if geometry.flattened else 1)


def _group_tables(
    parts: _Parts, geometry: Geometry, line: _Line
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Numbers of tables [filters, groups of the line, 4], and all tables [tables, 16]."""
    filters = geometry.output_shape[2]
    numbers = np.zeros((filters, len(parts.kinds), *_group_shape(geometry)), np.int32)
    tables = [np.zeros((1, 16), np.uint8)]
    first = 0
    for part, lookup in enumerate(parts.lookups):
        if lookup is None:
            continue
        here = numbers[:, part]
        index = np.where(lookup.index > 0, lookup.index + first, 0)
        here[..., : _taps(geometry)] = index.reshape(*here.shape[:-1], _taps(geometry))
        tables.append(lookup.tables[1:])
        first += len(lookup.tables) - 1
    four = numbers.reshape(*numbers.shape[:-1], -1, TAPS_PER_GROUP)
    return four[:, line.part, line.row, line.column, line.group], np.concatenate(tables)


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
    parts: _Parts,
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
    return runs, _counts(block, len(in_block)), final_shift


def _block_weights(
    weights: npt.NDArray[np.int32], in_block: BoolArray, members: IndexArray
) -> tuple[npt.NDArray[np.int32], IndexArray]:
    """The weights of blocks with equally many filters, [filters, groups, ...]: block by block, for
    each group that is needed those of every filter; and how many each block has."""
    block, group = np.nonzero(in_block)
    packed = weights[members[block], group[:, None]]
    counts = _counts(block, len(members)) * members.shape[1]
    return packed.reshape(-1, *weights.shape[2:]), counts


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


def _tiles_pay(used: BoolArray, line: _Line, geometry: Geometry, costs: Costs) -> bool:
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


_TYPICAL_PLANES = 8
"""Of multipliers that have several."""


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
    lookups: Sequence[LookupPlane], geometry: Geometry, library: ctypes.CDLL, memory: Memory
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
        "lookup_parts": sum(1 << part for part in {_row_part(plane) for plane in lookups}),
    }


def _row_part(plane: LookupPlane) -> int:
    """The part of a row that is looked up: for seven bits it is the whole byte."""
    return WHOLE_BYTE if plane.part == SEVEN_BITS else plane.part


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
