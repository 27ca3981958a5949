# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pooling, reductions, softmax and interpolation of an int8 ONNX network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import (
    require_softmax,
    require_sum_in_32_bits,
    require_vector,
)
from axynq.emulator.file_formats.onnx_drawing import Flat, Held
from axynq.emulator.file_formats.onnx_file import Node
from axynq.emulator.file_formats.onnx_movement import (
    Arguments,
    linear_kind,
    resize_nearest,
    resized_shape,
)
from axynq.emulator.file_formats.onnx_reading import Reading
from axynq.emulator.file_formats.onnx_values import Curve, Pending, Value
from axynq.emulator.file_formats.onnx_windows import Window, window_of
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Padding, Quantisation
from axynq.emulator.model.quantisation import FIXED_OUTPUTS


def max_pool(reading: Reading, node: Node, x: Value) -> Value:
    """MaxPool: quantised numbers are compared as they are."""
    if len([name for name in node.outputs if name]) > 1:
        raise ModelError("gives the places of its maxima, which is not supported")
    rank = len(x.shape)
    kernel = [int(n) for n in node.attribute("kernel_shape", [])]

    def move(value: Held) -> Held:
        source = reading.drawing.channels_last(value)
        window = _pool_window(node, source.shape[1:], kernel)
        return _pooled(reading, source, "max", (kernel[-2:]), window, rank == 3)

    return _monotone(reading, node, x, move)


def _pool_window(node: Node, size: Sequence[int], kernel: list[int]) -> Window:
    """Where a pool's kernel is applied.

    Raises:
        ModelError: it has dilations, or windows that lie beyond the map.
    """
    kernel = [1] * (2 - len(kernel)) + kernel
    window = window_of(node, size, kernel, bool(node.attribute("ceil_mode", 0)))
    if window.dilation != (1, 1):
        raise ModelError("has dilations, which are not supported in pooling")
    rows, columns = kernel[-2:]
    padding = window.padding
    if max(padding.top, padding.bottom) >= rows or max(padding.left, padding.right) >= columns:
        raise ModelError(f"has pads as wide as its kernel, {rows} by {columns}: what it pools is "
                         "beyond the map")  # fmt: skip
    return window


def global_max_pool(reading: Reading, node: Node, x: Value) -> Value:
    """GlobalMaxPool."""

    def move(value: Held) -> Held:
        source = reading.drawing.channels_last(value)
        kernel = source.stored[:2]
        window = Window((1, 1), (1, 1), (1, 1), Padding())
        return _pooled(reading, source, "max", list(kernel), window, len(value.shape) == 3)

    return _monotone(reading, node, x, move)


def _monotone(reading: Reading, node: Node, x: Value, move: Callable[[Held], Held]) -> Value:
    """What keeps the order of values, of real numbers or integers."""
    drawing = reading.drawing

    def moved(value: Held | Flat) -> Held:
        since = len(drawing.tensors)
        return drawing.named(move(drawing.settled(value)), node.outputs[0], since)

    if isinstance(x, Pending):
        shape = reading.tried(moved, x.shape)
        return replace(x, shape=shape, after=(*x.after, moved), with_bias=None)
    if isinstance(x, Curve):
        if (x.reals[1:] >= x.reals[:-1]).all():
            return replace(x, base=moved(x.base))
        return moved(reading.held(x))
    return moved(reading.movable(x))


def _pooled(
    reading: Reading, source: Held, kind: str, kernel: list[int], window: Window, sequence: bool
) -> Held:
    """A Pool that keeps the quantisation."""
    drawing = reading.drawing
    rows, columns = [1] * (2 - len(kernel)) + list(kernel)
    channels = source.shape[1]
    quantisation = reading.quantisation(source)
    output = reading.tensor(
        f"{drawing.tensors[source.tensor].name}/{kind}_pool", (*window.size, channels), quantisation
    )
    drawing.append(
        graph.Pool, f"{kind}_pool", [source.tensor], output, kind, (rows, columns), window.stride,
        window.padding,
    )  # fmt: skip
    result = replace(source, tensor=output, shape=(1, channels, *window.size))
    shape = (1, channels, window.size[1]) if sequence else result.shape
    return drawing.like(result, shape)


def average_pool(reading: Reading, node: Node, x: Value) -> Value:
    """AveragePool; where the result has another quantisation, it is rounded a second time."""
    if node.attribute("channels_last", 0):
        raise ModelError("has channels last, which is not supported")
    drawing = reading.drawing
    value = reading.held(x)
    source = drawing.channels_last(value)
    kernel = [int(n) for n in node.attribute("kernel_shape", [])]
    kernel = [1] * (2 - len(kernel)) + kernel
    ceil = bool(node.attribute("ceil_mode", 0))
    window = _pool_window(node, source.shape[1:], kernel)
    require_sum_in_32_bits(math.prod(kernel))
    size = window.size if len(value.shape) == 4 else window.size[1:]
    shape = (1, source.shape[1], *size)
    if node.attribute("count_include_pad", 0) and any(window.padding):
        if ceil:
            raise ModelError("counts padding and has ceil_mode, which is not supported")
        padding = window.padding
        rows, columns, channels = padding.around(source.stored)
        tensor = drawing.moved(
            graph.Pad, "pad", [source.tensor], (rows, columns, channels), padding=padding
        )
        source = replace(source, tensor=tensor, shape=(1, channels, rows, columns))
        window = window._replace(padding=Padding())

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        since = len(drawing.tensors)
        pooled = _pooled(reading, source, "average", kernel, window, len(shape) == 3)
        result = reading.requantised(pooled, quantisation)
        return drawing.named(result, node.outputs[0], since)

    return Pending(node, shape, emit)


def global_average_pool(reading: Reading, node: Node, x: Value) -> Value:
    """GlobalAveragePool."""
    if node.attribute("channels_last", 0):
        raise ModelError("has channels last, which is not supported")
    value = reading.held(x)
    axes = list(range(2, len(value.shape)))
    return _reduced(reading, node, value, "mean", axes, True)


def reduce(reading: Reading, node: Node, x: Value) -> Value:
    """ReduceMean, ReduceSum and ReduceMax."""
    axes = reading.numbers(node, "axes", 1, "list of axes")
    keep = bool(node.attribute("keepdims", 1))
    value = reading.movable(x) if node.kind == "ReduceMax" else reading.held(x)
    rank = len(value.shape)
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            return x
        axes = list(range(rank))
    axes = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if any(not 0 <= axis < rank for axis in axes):
        raise ModelError(f"has axes {axes} for {rank} axes")
    if node.kind != "ReduceMax":
        kind = "sum" if node.kind == "ReduceSum" else "mean"
        return _reduced(reading, node, reading.drawing.settled(value), kind, axes, keep)
    if axes != [2, 3] or rank != 4:
        raise ModelError("is supported over rows and columns of a map alone")
    largest = global_max_pool(reading, node, x)
    if keep:
        return largest
    held = reading.drawing.settled(reading.movable(largest))
    return reading.drawing.reshaped(held, held.shape[:2])


def _reduced(
    reading: Reading, node: Node, value: Held, kind: str, axes: list[int], keep: bool
) -> Pending:
    if value.images and 0 in axes:
        axes = [axis for axis in axes if axis]  # there is one image
        if not keep:
            raise ModelError("leaves out the axis of images, which is not supported")
    drawing = reading.drawing
    kept = tuple(1 if k in axes else n for k, n in enumerate(value.shape))
    shape = kept if keep else tuple(n for k, n in enumerate(value.shape) if k not in axes)
    places = tuple(k for k, axis in enumerate(value.order) if axis in axes)
    require_sum_in_32_bits(math.prod(value.shape[axis] for axis in axes))
    stored = [kept[axis] for axis in value.order]
    over_map = kind == "mean" and len(value.order) == 3 and places == (0, 1)

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        output = reading.tensor(node.outputs[0], stored, quantisation)
        if over_map:
            drawing.append(graph.Mean, "mean", [value.tensor], output, True)
        else:
            drawing.append(graph.Reduce, kind, [value.tensor], output, kind, places, True)
        result = drawing.reshaped(replace(value, tensor=output, shape=kept), shape)
        return drawing.settled(result)

    return Pending(node, shape, emit)


# --- along the last axis -------------------------------------------------------------------------


def softmax(reading: Reading, node: Node, x: Value) -> Value:
    """Softmax and LogSoftmax; where the result is not quantised as TFLite's, it is rounded a second
    time."""
    value = reading.held(x)
    rank = len(value.shape)
    axis = int(node.attribute("axis", -1 if reading.file.opset >= 13 else 1))
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis < rank:
        raise ModelError(f"has axis {axis} for {rank} axes")
    before_13 = reading.file.opset < 13 and node.kind in ("Softmax", "LogSoftmax")
    if before_13 and any(n > 1 for n in value.shape[axis + 1 :]):
        raise ModelError("is over several axes, as before opset 13, which is not supported")
    value = _axis_last(reading, value, axis)
    require_softmax(value.shape[axis], reading.quantisation(value).scale)

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        logarithm = node.kind == "LogSoftmax"
        own = FIXED_OUTPUTS["log_softmax" if logarithm else "softmax"]
        output = reading.tensor(node.outputs[0], value.stored, own)
        if logarithm:
            reading.drawing.append(graph.LogSoftmax, "log_softmax", [value.tensor], output)
        else:
            reading.drawing.append(graph.Softmax, "softmax", [value.tensor], output, 1.0)
        return reading.requantised(replace(value, tensor=output), quantisation)

    return Pending(node, value.shape, emit)


def l2_normalisation(reading: Reading, node: Node, x: Value) -> Value:
    """LpNormalization of length 2."""
    if int(node.attribute("p", 2)) != 2:
        raise ModelError("is supported for p = 2 alone")
    value = reading.held(x)
    rank = len(value.shape)
    axis = int(node.attribute("axis", -1))
    value = _axis_last(reading, value, axis + rank if axis < 0 else axis)
    require_vector(value.stored[-1])

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        output = reading.tensor(node.outputs[0], value.stored, FIXED_OUTPUTS["l2_normalisation"])
        reading.drawing.append(graph.L2Normalisation, "l2_normalisation", [value.tensor], output)
        return reading.requantised(replace(value, tensor=output), quantisation)

    return Pending(node, value.shape, emit)


def _axis_last(reading: Reading, value: Held, axis: int) -> Held:
    if axis not in value.order:
        raise ModelError("is over the axis of images, which is not supported")
    if value.order[-1] == axis:
        return value
    order = (*(a for a in value.order if a != axis), axis)
    return reading.drawing.in_order(value, order)


# --- interpolation -------------------------------------------------------------------------------


def resize(reading: Reading, node: Node, x: Value, arguments: Arguments) -> Value:
    """Resize, nearest or linear."""
    mode = str(node.attribute("mode", "nearest"))
    if mode == "nearest":
        move = resize_nearest(arguments)

        def moved(value: Held) -> Held:
            return reading.drawing.settled(move(reading.drawing, value))

        return _monotone(reading, node, x, moved)
    if mode != "linear":
        raise ModelError(f"is in mode '{mode}'; 'nearest' and 'linear' are supported")
    source = reading.drawing.channels_last(reading.held(x))
    shape, scales = resized_shape(arguments, source.shape)
    if shape[:2] != source.shape[:2]:
        raise ModelError("resizes more than rows and columns")
    corners, centers = linear_kind(arguments, source.shape, shape, scales)
    drawing = reading.drawing

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        own = reading.quantisation(source)
        output = reading.tensor(node.outputs[0], (*shape[2:], shape[1]), own)
        drawing.append(
            graph.ResizeBilinear, "resize_bilinear", [source.tensor], output,
            corners, centers,
        )  # fmt: skip
        result = replace(source, tensor=output, shape=shape)
        return reading.requantised(result, quantisation)

    return Pending(node, shape, emit)
