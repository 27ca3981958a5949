# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads the operators of a ``.tflite`` file that compute values without weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import (
    require_moderate_size,
    require_softmax,
    require_sum_in_32_bits,
    require_vector,
)
from axynq.emulator.file_formats.tflite_file import Node, options_of
from axynq.emulator.file_formats.tflite_reading import Reading, fused, require_no_activation
from axynq.emulator.model import graph
from axynq.emulator.model.lookups import hard_swish_fits
from axynq.emulator.model.quantisation import FIXED_OUTPUTS
from axynq.emulator.model.windows import window_geometry

_NOT_IN_UINT8 = (
    "is not the same in uint8 as in int8 (TFLite rounds otherwise): convert the float network "
    "again, to int8"
)

# --- pairs ---------------------------------------------------------------------------------------


def _pair(reading: Reading, node: Node) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Two operands, at least one of them computed, and the shape of what they give."""
    reading.needs(node, 2)
    first, second = node.inputs[:2]
    if first >= 0 and second >= 0 and reading.is_static(first) and reading.is_static(second):
        raise ModelError("has two constant operands; that is not supported")
    rank = max(len(reading.raw[i].shape) for i in node.inputs[:2])
    sources = reading.operand(node, 0, rank), reading.operand(node, 1, rank)
    try:
        shape = np.broadcast_shapes(*(reading.shape(i) for i in sources))
    except ValueError as error:
        shapes = " and ".join(str(list(reading.shape(i))) for i in sources)
        raise ModelError(f"operands of shapes {shapes} do not fit") from error
    return sources, shape


_PAIRS: dict[int, tuple[graph.ElementwiseKind, type[Any] | None]] = {
    tflite.BuiltinOperator.ADD: ("add", tflite.AddOptions),
    tflite.BuiltinOperator.SUB: ("subtract", tflite.SubOptions),
    tflite.BuiltinOperator.MUL: ("multiply", tflite.MulOptions),
    tflite.BuiltinOperator.MAXIMUM: ("maximum", None),
    tflite.BuiltinOperator.MINIMUM: ("minimum", None),
    tflite.BuiltinOperator.PRELU: ("prelu", None),
}


def _elementwise(reading: Reading, node: Node) -> None:
    kind, options = _PAIRS[node.code]
    activation: graph.Activation = "none"
    if options is not None:
        activation = fused(options_of(node, options).FusedActivationFunction())
    sources, shape = _pair(reading, node)
    constant = any(i in reading.constants for i in sources)
    same = reading.shape(sources[0]) == reading.shape(sources[1])
    if kind == "add" and same and not constant:
        reading.emit(node, graph.Add, "add", sources, shape, activation)
        return
    if kind == "prelu" and sources[0] in reading.constants:
        raise ModelError("a constant operand is not supported here")
    alike = kind in ("maximum", "minimum")
    reading.emit(
        node, graph.Elementwise, kind, sources, shape, kind, activation, moves=alike
    )  # fmt: skip


# --- one value each ------------------------------------------------------------------------------

_LOOKUPS: dict[int, graph.LookupKind] = {
    tflite.BuiltinOperator.RELU: "relu",
    tflite.BuiltinOperator.RELU6: "relu6",
    tflite.BuiltinOperator.RELU_N1_TO_1: "relu_n1_to_1",
    tflite.BuiltinOperator.RELU_0_TO_1: "relu_0_to_1",
    tflite.BuiltinOperator.LEAKY_RELU: "leaky_relu",
    tflite.BuiltinOperator.GELU: "gelu",
    tflite.BuiltinOperator.LOGISTIC: "logistic",
    tflite.BuiltinOperator.TANH: "tanh",
    tflite.BuiltinOperator.HARD_SWISH: "hard_swish",
    tflite.BuiltinOperator.ABS: "absolute",
    tflite.BuiltinOperator.EXP: "exponential",
    tflite.BuiltinOperator.RSQRT: "reciprocal_square_root",
    tflite.BuiltinOperator.QUANTIZE: "quantise",
}


def _lookup(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source, kind = reading.source(node), _LOOKUPS[node.code]
    tensor = reading.tensors[source]
    alpha = 0.0
    if kind == "leaky_relu":
        alpha = float(options_of(node, tflite.LeakyReluOptions).Alpha())
        if not math.isfinite(alpha):
            raise ModelError(f"has a slope of {alpha}")
    elif kind == "gelu" and node.options is not None:
        alpha = float(options_of(node, tflite.GeluOptions).Approximate())
    elif kind == "logistic":
        reading.require_quantisation(node, *FIXED_OUTPUTS["logistic"])
    elif kind == "hard_swish":
        target = reading.tensors[reading.activation(node.outputs[0])]
        if not hard_swish_fits(tensor, target):
            raise ModelError(
                f"output scale {target.scale:g} is below 1/128 of the input's, {tensor.scale:g}, "
                "which TFLite refuses"
            )
    elif kind == "reciprocal_square_root" and tensor.zero_point != graph.INT8_MIN:
        raise ModelError("the input may be negative, where TFLite stops")
    if reading.is_legacy(node) and kind in ("absolute", "exponential", "gelu"):
        raise ModelError(_NOT_IN_UINT8)
    reading.emit(node, graph.Lookup, kind, (source,), reading.shape(source), kind, alpha)


# --- the last axis -------------------------------------------------------------------------------


def _softmax(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source = reading.source(node)
    options = options_of(node, tflite.SoftmaxOptions)
    reading.require_quantisation(node, *FIXED_OUTPUTS["softmax"])
    beta = float(options.Beta())
    tensor = reading.tensors[source]
    require_softmax(tensor.shape[-1], tensor.scale, beta)
    reading.emit(node, graph.Softmax, "softmax", (source,), reading.shape(source), beta)


def _log_softmax(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source = reading.source(node)
    if reading.is_legacy(node):
        raise ModelError(_NOT_IN_UINT8)
    reading.require_quantisation(node, *FIXED_OUTPUTS["log_softmax"])
    tensor = reading.tensors[source]
    require_softmax(tensor.shape[-1], tensor.scale)
    reading.emit(node, graph.LogSoftmax, "log_softmax", (source,), reading.shape(source))


def _l2_normalisation(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source = reading.source(node)
    if reading.is_legacy(node):
        raise ModelError(_NOT_IN_UINT8)
    if node.options is not None:
        require_no_activation(options_of(node, tflite.L2NormOptions).FusedActivationFunction())
    reading.require_quantisation(node, *FIXED_OUTPUTS["l2_normalisation"])
    shape = reading.shape(source)
    require_vector(shape[-1])
    reading.emit(node, graph.L2Normalisation, "l2_normalisation", (source,), shape)


# --- windows and axes ----------------------------------------------------------------------------


def _pool(reading: Reading, node: Node) -> None:
    reading.needs(node, 1)
    source, rows, columns, channels = reading.feature_map(node)
    options = options_of(node, tflite.Pool2DOptions)
    window = (options.FilterHeight(), options.FilterWidth())
    stride = (options.StrideH(), options.StrideW())
    same = options.Padding() == tflite.Padding.SAME
    size, padding = window_geometry((rows, columns), window, stride, (1, 1), same)
    require_moderate_size(padding.around((rows, columns, channels)))
    average = node.code == tflite.BuiltinOperator.AVERAGE_POOL_2D
    if average:
        require_sum_in_32_bits(min(window[0], rows) * min(window[1], columns))
        if reading.is_legacy(node) and _has_even_windows(rows, columns, window, stride, padding):
            whole = (rows, columns) == window and size == (1, 1) and not any(padding)
            if not whole or fused(options.FusedActivationFunction()) != "none":
                raise ModelError(_HALVES)
            _legacy_average(reading, node, source)
            return
    reading.emit(
        node, graph.Pool, "average_pool" if average else "max_pool", (source,),
        (*size, channels), "average" if average else "max", window, stride, padding,
        fused(options.FusedActivationFunction()), moves=True,
    )  # fmt: skip


_HALVES = (
    "averages over an even number of uint8 values round halves up, and of int8 away from zero: "
    "convert the float network again, to int8"
)


def _legacy_average(reading: Reading, node: Node, source: int) -> None:
    """The average of a whole map with halves up: a sum to a scale as many times larger as there are
    values, where that has halves on the right side, read as what it stands for."""
    tensor = reading.tensors[source]
    rows, columns, channels = tensor.shape
    count = rows * columns
    sums = np.arange(255 * count + 1, dtype=np.int64)  # of values less the zero point
    expected = (sums + count // 2) // count
    if tensor.zero_point != graph.INT8_MIN:  # sums may be negative
        raise ModelError(_HALVES)
    with np.errstate(over="ignore"):
        scale = np.float32(count * tensor.scale)
    for _ in range(8):
        factor = np.float32(tensor.scale) / scale
        total = (sums + count * tensor.zero_point).astype(np.float32)
        real = total * factor + np.float32(-tensor.zero_point) * factor * np.float32(count)
        if np.array_equal(np.floor(real.astype(np.float64) + 0.5).astype(np.int64), expected):
            break
        scale = np.nextafter(scale, np.float32(0))
    else:
        raise ModelError(_HALVES)
    reading.require_same_quantisation(source, reading.activation(node.outputs[0]))
    name = f"{tensor.name}/sum_{node.number}"
    total_index = reading.new(name, (1, 1, channels), float(scale), graph.INT8_MIN)
    reading.append(
        graph.Reduce, reading.name("sum", node), (source,), total_index, "sum", (0, 1), True
    )
    same = np.arange(graph.INT8_MIN, graph.INT8_MAX + 1, dtype=np.int64).astype(np.int8)
    reading.emit(
        node, graph.Lookup, "table", (total_index,), (1, 1, channels), "table", table=same
    )  # fmt: skip


def _has_even_windows(
    rows: int, columns: int, window: tuple[int, int], stride: tuple[int, int],
    padding: graph.Padding,
) -> bool:  # fmt: skip
    """Whether some window has an even number of positions inside the map."""
    counts = []
    for size, extent, step, before, after in (
        (rows, window[0], stride[0], padding.top, padding.bottom),
        (columns, window[1], stride[1], padding.left, padding.right),
    ):
        starts = range(-before, size + after - extent + 1, step)
        counts.append({min(start + extent, size) - max(start, 0) for start in starts})
    return any(count % 2 == 0 for along in counts for count in along)


def _reduce(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    options = options_of(node, tflite.ReducerOptions)
    source = reading.source(node)
    axes = reading.axes(node, 1, len(reading.raw[node.inputs[0]].shape))
    mean = node.code == tflite.BuiltinOperator.MEAN
    if reading.is_legacy(node) and not mean:
        raise ModelError(_NOT_IN_UINT8)
    if reading.strips(node.inputs[0]) and axes != {0}:
        over = tuple(sorted(axis - 1 for axis in axes if axis))
    else:
        source, over = reading.whole(node), tuple(sorted(axes))
    shape = reading.shape(source)
    require_sum_in_32_bits(math.prod(shape[axis] for axis in over))
    keep = bool(options.KeepDims())
    result = tuple(1 if k in over else n for k, n in enumerate(shape) if keep or k not in over)
    if not result:
        keep, result = True, (1,) * len(shape)
    if mean and len(shape) == 3 and over == (0, 1):
        reading.emit(node, graph.Mean, "mean", (source,), result, keep)
        return
    if not mean:
        ratio = (
            reading.tensors[source].scale
            / reading.tensors[reading.activation(node.outputs[0])].scale
        )
        if ratio > 2.0**20:
            raise ModelError(f"a step of the input is {ratio:g} of the output's")
    kind = "mean" if mean else "sum"
    reading.emit(node, graph.Reduce, kind, (source,), result, kind, over, keep)


def _reduce_max(reading: Reading, node: Node) -> None:
    """The largest value over axes: a pooling of all places, in an order in which these come
    first."""
    reading.needs(node, 2)
    keep = bool(options_of(node, tflite.ReducerOptions).KeepDims())
    source, shape = reading.whole(node), reading.raw[node.inputs[0]].shape
    if not shape:
        raise ModelError("takes the maximum of a number without axes")
    over = reading.axes(node, 1, len(shape))
    order = tuple(sorted(range(len(shape)), key=lambda axis: axis not in over))
    if [n for k, n in enumerate(shape) if n > 1] != [shape[k] for k in order if shape[k] > 1]:
        source = reading.part(
            node, graph.Transpose, "transpose", (source,), source,
            tuple(shape[k] for k in order), order,
        )  # fmt: skip
    places = math.prod(shape[k] for k in over)
    source = reading.shaped(node, source, (places, 1, math.prod(shape) // places))
    result = tuple(1 if k in over else n for k, n in enumerate(shape) if keep or k not in over)
    reading.emit(
        node, graph.Pool, "max_pool", (source,), (1, 1, math.prod(result)), "max", (places, 1),
        (1, 1), moves=True,
    )  # fmt: skip


def _resize_bilinear(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    if reading.is_legacy(node):
        raise ModelError(_NOT_IN_UINT8)
    options = options_of(node, tflite.ResizeBilinearOptions)
    source, _, _, channels = reading.feature_map(node)
    size = tuple(int(n) for n in reading.integers(node, 1, "size").reshape(-1))
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"size {list(size)} is not rows and columns")
    flags = bool(options.AlignCorners()), bool(options.HalfPixelCenters())
    if all(flags):
        raise ModelError("aligned corners and half-pixel centres exclude each other")
    reading.emit(
        node, graph.ResizeBilinear, "resize_bilinear", (source,), (*size, channels), *flags,
        moves=True,
    )  # fmt: skip


_CODES = tflite.BuiltinOperator

VALUES: dict[int, Callable[[Reading, Node], None]] = {
    **dict.fromkeys(_PAIRS, _elementwise),
    **dict.fromkeys(_LOOKUPS, _lookup),
    _CODES.SOFTMAX: _softmax,
    _CODES.LOG_SOFTMAX: _log_softmax,
    _CODES.L2_NORMALIZATION: _l2_normalisation,
    _CODES.AVERAGE_POOL_2D: _pool,
    _CODES.MAX_POOL_2D: _pool,
    _CODES.MEAN: _reduce,
    _CODES.SUM: _reduce,
    _CODES.REDUCE_MAX: _reduce_max,
    _CODES.RESIZE_BILINEAR: _resize_bilinear,
}
