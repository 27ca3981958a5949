"""A layer's recipe in the order the native kernel reads it."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import (
    CONVOLUTION,
    FILTER_BLOCK,
    FILTERS,
    LOOKUP_FILTER,
    LOOKUP_TAP,
    SEGMENT,
    Memory,
)
from axynq.emulator.engine.recipe import LayerRecipe, LookupPlane, Plane
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding, activation_bounds
from axynq.emulator.model.quantisation import layer_factors

TAPS_PER_GROUP = 4


@dataclass(frozen=True)
class Geometry:
    """A convolution: what each filter sees of its input."""

    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    first_channel: int
    channels: int
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
    shared = {
        "pad_value": model.tensors[layer.inputs[0]].zero_point,
        "bias": memory.pointer(recipe.bias),
        "multiplier": memory.pointer(np.array([f.multiplier for f in factors], np.int32)),
        "shift": memory.pointer(np.array([f.shift for f in factors], np.int32)),
        "output_zero_point": output.zero_point,
        "clamp_low": low,
        "clamp_high": high,
    }
    geometry, filters = _geometry(model, layer)
    made = np.zeros(len(geometry), CONVOLUTION)
    for record, one, mine in zip(made, geometry, filters):
        _pack_convolution(record, one, mine, recipe, library, memory)
        for name, value in shared.items():
            record[name] = value
    return made


def three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Any shape as rows, columns, channels with the values in the same order."""
    padded = (1, 1, *shape)
    return math.prod(padded[:-2]), padded[-2], padded[-1]


def _geometry(
    model: graph.Model, layer: graph.WeightedLayer
) -> tuple[list[Geometry], list[npt.NDArray[np.int64]]]:
    """The convolutions that make up a layer, and the filters of each."""
    source = three(model.tensors[layer.inputs[0]].shape)
    target = three(model.tensors[layer.output].shape)
    every = np.arange(len(layer.bias), dtype=np.int64)
    if isinstance(layer, graph.FullyConnected):
        # As large as its input.
        rows, columns, channels = source
        one = Geometry(source, target, 0, channels, (rows, columns), (1, 1), (1, 1), Padding())
        return [one], [every]
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    kernel = (layer.kernel.shape[1], layer.kernel.shape[2])
    rest = (kernel, layer.stride, layer.dilation, layer.padding)
    if isinstance(layer, graph.Convolution):
        return [Geometry(source, target, 0, source[2], *rest)], [every]
    filters = np.array_split(every, source[2])
    return [Geometry(source, target, c, 1, *rest) for c in range(source[2])], filters


def _pack_convolution(
    record: Any,
    geometry: Geometry,
    filters: npt.NDArray[np.int64],
    recipe: LayerRecipe,
    library: ctypes.CDLL,
    memory: Memory,
) -> None:
    shape = (-1, *geometry.kernel, geometry.channels)  # a fully connected layer's kernel is flat
    planes = [
        Plane(plane.table, plane.weights[filters].reshape(shape), plane.exponent)
        for plane in recipe.planes
    ]
    planes = [plane for plane in planes if plane.weights.any()]
    lookups = [
        replace(plane, index=plane.index[filters].reshape(shape)) for plane in recipe.lookups
    ]
    blocks = _filter_blocks(planes, filters, geometry, library, memory)
    looked_up, tables = _lookup_filters(lookups, filters, library, memory)
    values: dict[str, Any] = {
        "first_channel": geometry.first_channel,
        "channels": geometry.channels,
        "flattened": geometry.flattened,
        "row_groups": geometry.row_groups,
        "padding_top": geometry.padding.top,
        "padding_left": geometry.padding.left,
        "planes": len(planes),
        "plane_tables": memory.pointer(
            np.stack([plane.table for plane in planes]) if planes else np.zeros(1, np.uint8)
        ),
        "blocks": len(blocks),
        "block": memory.pointer(blocks),
        "lookups": len(looked_up),
        "lookup": memory.pointer(looked_up),
        "lookup_tables": memory.pointer(tables),
        "lookup_parts": sum(1 << part for part in {plane.part for plane in lookups}),
    }
    for side, (rows, columns, channels) in (
        ("input", geometry.input_shape),
        ("output", geometry.output_shape),
    ):
        values |= {f"{side}_rows": rows, f"{side}_columns": columns, f"{side}_channels": channels}
    for name in ("kernel", "stride", "dilation"):
        values[f"{name}_rows"], values[f"{name}_columns"] = getattr(geometry, name)
    for name, value in values.items():
        record[name] = value


# --- planes --------------------------------------------------------------------------------------


def _filter_blocks(
    planes: list[Plane],
    filters: npt.NDArray[np.int64],
    geometry: Geometry,
    library: ctypes.CDLL,
    memory: Memory,
) -> npt.NDArray[Any]:
    """Up to six filters at a time that need the same planes, with the groups that are not zero."""
    wide = library.axynq_wide_weights()
    grouped = [_in_groups(plane.weights, geometry) for plane in planes]
    needed = np.zeros((len(filters), len(planes)), bool)
    for p, plane in enumerate(planes):
        needed[:, p] = plane.weights.any(axis=(1, 2, 3))
    blocks: list[list[int]] = []
    for need in np.unique(needed, axis=0):
        alike = np.flatnonzero((needed == need).all(axis=1))
        count = -(-len(alike) // FILTERS)
        blocks += [part.tolist() for part in np.array_split(alike, count)]
    made = np.zeros(len(blocks), FILTER_BLOCK)
    for record, members in zip(made, blocks):
        record["filters"] = len(members)
        record["filter"][: len(members)] = filters[members]
        segments, weights, final_shift = _segments(planes, grouped, members, geometry)
        record["segments"] = len(segments)
        record["segment"] = memory.pointer(segments)
        record["weights"] = memory.pointer(_widened(weights) if wide else weights)
        record["final_shift"] = final_shift
    return made


def _widened(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int16]:
    """Groups of four bytes as words, in the order 0, 2, 1, 3."""
    return weights.reshape(-1, TAPS_PER_GROUP)[:, [0, 2, 1, 3]].astype(np.int16)


def _in_groups(weights: npt.NDArray[np.int8], geometry: Geometry) -> npt.NDArray[np.int8]:
    """[filters, kernel rows, groups of a kernel row, 4], with zeros where a group is not full."""
    filters, rows, columns, channels = weights.shape
    if geometry.flattened:
        flat = weights.reshape(filters, rows, columns * channels)
    else:
        padded = geometry.row_groups * TAPS_PER_GROUP
        flat = np.zeros((filters, rows, columns, padded), np.int8)
        flat[..., :channels] = weights
        flat = flat.reshape(filters, rows, -1)
    groups = -(-flat.shape[2] // TAPS_PER_GROUP)
    full = np.zeros((filters, rows, groups * TAPS_PER_GROUP), np.int8)
    full[:, :, : flat.shape[2]] = flat
    return full.reshape(filters, rows, groups, TAPS_PER_GROUP)


def _segments(
    planes: list[Plane],
    grouped: list[npt.NDArray[np.int8]],
    members: list[int],
    geometry: Geometry,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int8], int]:
    """Runs of groups that some member needs and whose activations are contiguous."""
    segments: list[tuple[int, int, int, int, int]] = []
    weights: list[npt.NDArray[np.int8]] = []
    exponent: int | None = None
    # A pixel's groups are contiguous; neighbouring columns too, unless the kernel is dilated.
    per_column = geometry.row_groups
    dilated = not geometry.flattened and geometry.dilation[1] > 1
    for p, plane in enumerate(planes):
        mine = grouped[p][members]
        for row in range(geometry.kernel[0]):
            used = mine[:, row].any(axis=(0, 2))
            for first, last in _runs(used, per_column if dilated else len(used)):
                offset = first
                if dilated:
                    offset += first // per_column * (geometry.dilation[1] - 1) * per_column
                shift = 0 if exponent is None else exponent - plane.exponent
                exponent = plane.exponent
                segments.append((p, row, offset, last - first, shift))
                weights.append(mine[:, row, first:last].transpose(1, 0, 2).reshape(-1))
    made = np.array(segments, SEGMENT) if segments else np.zeros(0, SEGMENT)
    packed = np.concatenate(weights) if weights else np.zeros(0, np.int8)
    return made, packed, exponent or 0


def _runs(used: npt.NDArray[np.bool_], width: int) -> list[tuple[int, int]]:
    """Runs of True, cut at multiples of ``width``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], used.astype(np.int8), [0]])))
    runs = []
    for first, last in edges.reshape(-1, 2):
        for start in range(int(first), int(last)):
            if start == first or start % width == 0:
                runs.append((start, min(int(last), (start // width + 1) * width)))
    return runs


# --- look-ups ------------------------------------------------------------------------------------


def _lookup_filters(
    lookups: list[LookupPlane],
    filters: npt.NDArray[np.int64],
    library: ctypes.CDLL,
    memory: Memory,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """For each filter and plane the taps that look something up."""
    records: list[tuple[int, int, int, int, int]] = []
    tables: list[npt.NDArray[np.uint8]] = [np.zeros((1, 256), np.uint8)]
    first_table = 1
    for plane in lookups:
        member, *places = np.nonzero(plane.index)
        table = plane.index[(member, *places)]
        ranges = plane.tables.max(axis=1).astype(np.int32)[table]
        # By filter, small tables first: many of them fit into a byte together.
        order = np.argsort(256 * member.astype(np.int64) + ranges, kind="stable")
        taps = np.zeros(len(order), LOOKUP_TAP)
        for name, place in zip(("kernel_row", "kernel_column", "channel"), places):
            taps[name] = place[order]
        taps["table"] = table[order] + first_table - 1
        counts = np.bincount(member.astype(np.intp), minlength=len(filters)).astype(np.int64)
        taps["flush"] = flushes(library, ranges[order], counts)
        address = memory.pointer(taps)
        for f, count in zip(filters.tolist(), counts.tolist()):
            if count:
                records.append((f, plane.exponent, count, plane.part, address))
            address += count * LOOKUP_TAP.itemsize
        room = 256 - plane.tables.shape[1]
        tables.append(np.pad(plane.tables[1:], ((0, 0), (0, room))))
        first_table += len(plane.tables) - 1
    made = np.array(records, LOOKUP_FILTER) if records else np.zeros(0, LOOKUP_FILTER)
    return made, np.concatenate(tables)


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
