# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads the operators of a ``.tflite`` file that only move values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import require_moderate_size
from axynq.emulator.file_formats.tflite_file import Node, options_of
from axynq.emulator.file_formats.tflite_reading import (
    ACTIVATION_TYPES,
    Reading,
    as_int8,
    int8_quantisation,
    require_no_activation,
)
from axynq.emulator.file_formats.tflite_static import strided_slice_index
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import nearest_int8
from axynq.emulator.model.graph import Padding


def _reshape(reading: Reading, node: Node) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the file says what shape comes out."""
    reading.needs(node, 1)
    source = reading.source(node)
    target = reading.activation(node.outputs[0])
    before, after = reading.shape(source), reading.shape(target)
    if math.prod(before) != math.prod(after):
        raise ModelError(f"cannot turn {list(before)} into {list(after)}")
    reading.emit(node, graph.Reshape, "reshape", (source,), after, moves=True)


def _concatenation(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    options = options_of(node, tflite.ConcatenationOptions)
    require_no_activation(options.FusedActivationFunction())
    _joined(reading, node, options.Axis(), [len(reading.raw[i].shape) for i in node.inputs])


def _joined(reading: Reading, node: Node, axis: int, ranks: list[int]) -> None:
    """Inputs one after another."""
    rank = max(ranks)
    if any(n != rank for n in ranks) or not -rank <= axis < rank:
        raise ModelError(f"joins inputs of {ranks} dimensions along axis {axis}")
    axis %= rank
    positions = range(len(node.inputs))
    stripped = axis > 0 and all(reading.strips(i) for i in node.inputs)
    sources = []
    for position in positions:
        file_index = node.inputs[position]
        if reading.is_static(file_index):
            values = reading.values(file_index)
            if values is None or reading.raw[file_index].type not in ACTIVATION_TYPES:
                raise ModelError("has a constant operand that is not int8")
            shape = values.shape[1:] if stripped else values.shape
            sources.append(reading.constant_tensor(file_index, shape))
        else:
            reading.source(node, position)
            sources.append(
                reading.source(node, position) if stripped else reading.whole(node, position)
            )
    if reading.is_legacy(node):
        sources = [_rescaled(reading, node, k, i) for k, i in enumerate(sources)]
    shapes = [list(reading.shape(i)) for i in sources]
    along = axis - 1 if stripped else axis
    others = [[n for k, n in enumerate(shape) if k != along] for shape in shapes]
    if any(other != others[0] for other in others):
        raise ModelError(f"joins {' and '.join(map(str, shapes))} along axis {axis}")
    result = list(shapes[0])
    result[along] = sum(shape[along] for shape in shapes)
    reading.emit(
        node, graph.Concatenation, "concatenation", tuple(sources), tuple(result), along,
        moves=True,
    )  # fmt: skip


def _rescaled(reading: Reading, node: Node, number: int, source: int) -> int:
    """An input of a concatenation in the quantisation of its output, which TFLite's uint8 kernel
    brings it to in float32."""
    before = reading.tensors[source]
    after = reading.tensors[reading.activation(node.outputs[0])]
    if (before.scale, before.zero_point) == (after.scale, after.zero_point):
        return source
    scale = np.float32(before.scale) * (np.float32(1) / np.float32(after.scale))
    bias = np.float32(-(before.zero_point + 128)) * scale
    real = np.arange(256, dtype=np.float32) * scale + bias
    table = nearest_int8(real, after.zero_point)
    name = reading.name("table", node, f"_{number}")
    target = reading.new(f"{before.name}/{name}", before.shape, after.scale, after.zero_point)
    reading.append(graph.Lookup, name, (source,), target, "table", table=table)
    return target


def _pack(reading: Reading, node: Node) -> None:
    """Every input gets another dimension, along which they are joined."""
    reading.needs(node, 1)
    rank = len(reading.raw[node.inputs[0]].shape) + 1
    axis = options_of(node, tflite.PackOptions).Axis() % rank
    sources = []
    for position in range(len(node.inputs)):
        source = reading.source(node, position)
        shape = list(reading.raw[node.inputs[position]].shape)
        shape.insert(axis, 1)
        sources.append(reading.shaped(node, source, tuple(shape)))
    result = list(reading.shape(sources[0]))
    if any(list(reading.shape(i)) != result for i in sources):
        raise ModelError("packs inputs of different shapes")
    result[axis] = len(sources)
    reading.emit(
        node, graph.Concatenation, "concatenation", tuple(sources), tuple(result), axis,
        moves=True,
    )  # fmt: skip


# --- parts ---------------------------------------------------------------------------------------


def _cut(
    reading: Reading,
    node: Node,
    position: int,
    steps: list[tuple[int, int, int]],
    output: int = 0,
    suffix: str = "",
) -> None:
    """One output: ``begin, stride, count`` along each axis of the file's shape."""
    if any(count < 1 for _, _, count in steps):
        raise ModelError("gives nothing")
    source = reading.source(node, position)
    if reading.strips(node.inputs[position]):
        steps = steps[1:]
    steps = steps or [(0, 1, 1)]  # a number without axes, which the graph has with one
    reading.emit(
        node, graph.Slice, "slice", (source,), tuple(count for _, _, count in steps),
        tuple(begin for begin, _, _ in steps), tuple(stride for _, stride, _ in steps),
        output=output, suffix=suffix, moves=True,
    )  # fmt: skip


def _strided_slice(reading: Reading, node: Node) -> None:
    reading.needs(node, 4)
    shape = reading.raw[node.inputs[0]].shape
    begin, end, strides = (
        reading.integers(node, k, what).reshape(-1)
        for k, what in ((1, "beginnings"), (2, "ends"), (3, "strides"))
    )
    if not len(begin) == len(end) == len(strides) or (strides == 0).any():
        raise ModelError("beginnings, ends and strides do not fit")
    index = strided_slice_index(node, len(shape), begin, end, strides)
    spans = [entry for entry in index if entry is not None]
    missing = len(shape) - sum(entry is not Ellipsis for entry in spans)
    place = next((k for k, entry in enumerate(spans) if entry is Ellipsis), len(spans))
    spans = [*spans[:place], *[slice(None)] * missing, *spans[place + 1 :]]
    steps = []
    for n, entry in zip(shape, spans):
        if isinstance(entry, slice):
            chosen = range(*entry.indices(n))
            steps.append((chosen.start, chosen.step, len(chosen)))
        elif -n <= entry < n:
            steps.append((entry % n, 1, 1))
        else:
            raise ModelError(f"takes place {entry} of {n}")
    _cut(reading, node, 0, steps)


def _slice(reading: Reading, node: Node) -> None:
    reading.needs(node, 3)
    shape = reading.raw[node.inputs[0]].shape
    begin = reading.integers(node, 1, "beginnings").reshape(-1)
    size = reading.integers(node, 2, "sizes").reshape(-1)
    if not len(begin) == len(size) == len(shape):
        raise ModelError("beginnings and sizes do not fit")
    steps = []
    for n, first, count in zip(shape, begin.tolist(), size.tolist()):
        length = n - first if count < 0 else count
        if not 0 <= first <= first + length <= n:
            raise ModelError(f"takes {length} places from {first} of {n}")
        steps.append((first, 1, length))
    _cut(reading, node, 0, steps)


def _split(reading: Reading, node: Node) -> None:
    """SPLIT and SPLIT_V: a slice for each output that is used."""
    by_sizes = node.code == tflite.BuiltinOperator.SPLIT_V
    source, axis_at = (0, 2) if by_sizes else (1, 0)
    if len(node.inputs) < axis_at + 1 or len(node.inputs) < 2 or not node.outputs:
        raise ModelError(f"has {len(node.inputs)} inputs")
    shape = reading.raw[node.inputs[source]].shape
    axis = int(reading.integers(node, axis_at, "axis").reshape(-1)[0])
    if not -len(shape) <= axis < len(shape):
        raise ModelError(f"splits axis {axis} of {len(shape)}")
    axis %= len(shape)
    parts = len(node.outputs)
    if by_sizes:
        sizes = reading.integers(node, 1, "sizes").reshape(-1).tolist()
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = shape[axis] - sum(sizes) - 1
    else:
        sizes = [shape[axis] // parts] * parts
    if len(sizes) != parts or sum(sizes) != shape[axis] or min(sizes) < 1:
        raise ModelError(f"splits {shape[axis]} places into {sizes}")
    begin = 0
    for k, size in enumerate(sizes):
        steps = [(0, 1, n) for n in shape]
        steps[axis] = (begin, 1, size)
        _cut(reading, node, source, steps, output=k, suffix=f"_{k}")
        begin += size


def _unpack(reading: Reading, node: Node) -> None:
    """A slice for each output, without the axis."""
    if len(node.inputs) != 1 or not node.outputs:
        raise ModelError(f"has {len(node.inputs)} inputs")
    shape = reading.raw[node.inputs[0]].shape
    axis = options_of(node, tflite.UnpackOptions).Axis() % max(len(shape), 1)
    if not shape or len(node.outputs) != shape[axis]:
        raise ModelError(f"splits {list(shape)} into {len(node.outputs)}")
    for k in range(shape[axis]):
        steps = [(0, 1, n) for n in shape]
        steps[axis] = (k, 1, 1)
        _cut(reading, node, 0, steps, output=k, suffix=f"_{k}")


def _reverse(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    shape = reading.raw[node.inputs[0]].shape
    axes = reading.axes(node, 1, len(shape))
    _cut(reading, node, 0, [(n - 1, -1, n) if k in axes else (0, 1, n)
                            for k, n in enumerate(shape)])  # fmt: skip


# --- copies --------------------------------------------------------------------------------------


def _tile(reading: Reading, node: Node) -> None:
    """The input several times along each axis."""
    reading.needs(node, 2)
    source, shape = reading.whole(node), list(reading.raw[node.inputs[0]].shape)
    counts = reading.integers(node, 1, "numbers of copies").reshape(-1).tolist()
    if len(counts) != len(shape) or min(counts) < 1:
        raise ModelError(f"{counts} copies for {len(shape)} dimensions")
    *others, last = [axis for axis, count in enumerate(counts) if count > 1] or [0]
    for axis in others:
        shape[axis] *= counts[axis]
        require_moderate_size(tuple(shape))
        source = reading.part(
            node, graph.Concatenation, "concatenation", (source,) * counts[axis], source,
            tuple(shape), axis, suffix=f"_axis_{axis}",
        )  # fmt: skip
    shape[last] *= counts[last]
    require_moderate_size(tuple(shape))
    reading.emit(
        node, graph.Concatenation, "concatenation", (source,) * counts[last], tuple(shape), last,
        moves=True,
    )  # fmt: skip


def _mirror_pad(reading: Reading, node: Node) -> None:
    """What lies inside an edge, or begins at it, once more outside, turned round."""
    reading.needs(node, 2)
    mode = options_of(node, tflite.MirrorPadOptions).Mode()
    skipped = 1 if mode == tflite.MirrorPadMode.REFLECT else 0
    shape = list(reading.raw[node.inputs[0]].shape)
    amounts = reading.integers(node, 1, "paddings")
    if amounts.shape != (len(shape), 2) or (amounts < 0).any():
        raise ModelError(f"paddings {amounts.tolist()} for {len(shape)} dimensions")
    if (amounts.max(axis=1) > np.array(shape) - skipped).any():
        raise ModelError(f"paddings {amounts.tolist()} are wider than the input, {shape}")
    padded = [axis for axis in range(len(shape)) if amounts[axis].any()]
    if not padded:
        _reshape(reading, node)
        return
    source = reading.whole(node)
    for axis in padded:
        before, after = (int(n) for n in amounts[axis])
        n = shape[axis]
        sources = []
        for count, begin, end in (
            (before, before - 1 + skipped, "before"),
            (after, n - 1 - skipped, "after"),
        ):
            cut = [(0, 1)] * len(shape)
            cut[axis] = (begin, -1)
            part = [*shape[:axis], count, *shape[axis + 1 :]]
            if count:
                index = reading.part(
                    node, graph.Slice, "slice", (source,), source, tuple(part),
                    tuple(b for b, _ in cut), tuple(s for _, s in cut),
                    suffix=f"_axis_{axis}_{end}",
                )  # fmt: skip
                sources.append((end, index))
        first = [index for end, index in sources if end == "before"]
        last = [index for end, index in sources if end == "after"]
        joined = (*first, source, *last)
        shape[axis] += before + after
        if axis == padded[-1]:
            reading.emit(
                node, graph.Concatenation, "concatenation", joined, tuple(shape), axis, moves=True
            )
        else:
            source = reading.part(
                node, graph.Concatenation, "concatenation", joined, source, tuple(shape), axis,
                suffix=f"_axis_{axis}",
            )  # fmt: skip


# --- order and surroundings ----------------------------------------------------------------------


def _transpose(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    source = reading.source(node)
    rank = len(reading.raw[node.inputs[0]].shape)
    order = [int(axis) for axis in reading.integers(node, 1, "order").reshape(-1)]
    order = [axis % rank if -rank <= axis < rank else axis for axis in order]
    if sorted(order) != list(range(rank)):
        raise ModelError(f"order {order} is none of {rank} axes")
    if reading.strips(node.inputs[0]) and order[0] == 0:
        order = [axis - 1 for axis in order[1:]]
    else:
        source = reading.whole(node)
    shape = tuple(reading.shape(source)[axis] for axis in order)
    reading.emit(node, graph.Transpose, "transpose", (source,), shape, tuple(order), moves=True)


def _pad(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    source = reading.source(node)
    rank = len(reading.raw[node.inputs[0]].shape)
    amounts = reading.integers(node, 1, "paddings")
    if amounts.shape != (rank, 2) or (amounts < 0).any():
        raise ModelError(f"paddings {amounts.tolist()} for {rank} dimensions")
    if reading.strips(node.inputs[0]) and not amounts[0].any():
        amounts = amounts[1:]
    else:
        source = reading.whole(node)
    before, after = (tuple(int(n) for n in column) for column in amounts.T)
    shape = tuple(n + b + a for n, b, a in zip(reading.shape(source), before, after))
    require_moderate_size(shape)
    value = None
    if node.code == tflite.BuiltinOperator.PADV2:
        value = _filling(reading, node, source)
    if value is None and len(shape) == 3 and not amounts[2].any():
        around = Padding(before[0], after[0], before[1], after[1])
        reading.emit(node, graph.Pad, "pad", (source,), shape, around, moves=True)
        return
    reading.emit(node, graph.Surround, "pad", (source,), shape, before, after, value, moves=True)


def _filling(reading: Reading, node: Node, source: int) -> int | None:
    """What a PADV2 puts around; None: the zero point."""
    reading.needs(node, 3)
    values = reading.values(node.inputs[2])
    raw = reading.raw[node.inputs[2]]
    if values is None or values.size != 1 or raw.type not in ACTIVATION_TYPES:
        raise ModelError("the value around is not an int8 constant")
    tensor = reading.tensors[source]
    if len(raw.scales) and int8_quantisation(raw) != (tensor.scale, tensor.zero_point):
        raise ModelError("input and value around must have the same quantisation")
    value = int(as_int8(raw, values).reshape(()))
    return None if value == tensor.zero_point else value


# --- rows and columns ----------------------------------------------------------------------------


def _resize_nearest(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    options = options_of(node, tflite.ResizeNearestNeighborOptions)
    source, _, _, channels = reading.feature_map(node)
    size = tuple(int(n) for n in reading.integers(node, 1, "size").reshape(-1))
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"size {list(size)} is not rows and columns")
    require_moderate_size((*size, channels))
    reading.emit(
        node, graph.ResizeNearest, "resize_nearest", (source,), (*size, channels),
        bool(options.AlignCorners()), bool(options.HalfPixelCenters()), moves=True,
    )  # fmt: skip


def _depth_to_space(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source, rows, columns, channels = reading.feature_map(node)
    block = options_of(node, tflite.DepthToSpaceOptions).BlockSize()
    if block < 1 or channels % (block * block):
        raise ModelError(f"makes blocks of {block} of {channels} channels")
    shape = (rows * block, columns * block, channels // block**2)
    reading.emit(node, graph.DepthToSpace, "depth_to_space", (source,), shape, block, moves=True)


def _space_to_depth(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source, rows, columns, channels = reading.feature_map(node)
    block = options_of(node, tflite.SpaceToDepthOptions).BlockSize()
    if block < 1 or rows % block or columns % block:
        raise ModelError(f"makes blocks of {block} of {rows} x {columns} places")
    shape = (rows // block, columns // block, channels * block**2)
    reading.emit(node, graph.SpaceToDepth, "space_to_depth", (source,), shape, block, moves=True)


_CODES = tflite.BuiltinOperator

MOVEMENTS: dict[int, Callable[[Reading, Node], Any]] = {
    _CODES.RESHAPE: _reshape,
    _CODES.SQUEEZE: _reshape,
    _CODES.EXPAND_DIMS: _reshape,
    _CODES.CONCATENATION: _concatenation,
    _CODES.PACK: _pack,
    _CODES.UNPACK: _unpack,
    _CODES.STRIDED_SLICE: _strided_slice,
    _CODES.SLICE: _slice,
    _CODES.SPLIT: _split,
    _CODES.SPLIT_V: _split,
    _CODES.TRANSPOSE: _transpose,
    _CODES.PAD: _pad,
    _CODES.PADV2: _pad,
    _CODES.RESIZE_NEAREST_NEIGHBOR: _resize_nearest,
    _CODES.DEPTH_TO_SPACE: _depth_to_space,
    _CODES.SPACE_TO_DEPTH: _space_to_depth,
    _CODES.REVERSE_V2: _reverse,
    _CODES.TILE: _tile,
    _CODES.MIRROR_PAD: _mirror_pad,
}
