# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the engines do besides multiplying by weights, in numpy.

Written from the numeric contract and apart from the oracle, so that comparing the two means
something: factors of all filters at a time, sums by table, pooling by windows, movements by index.
Tables of single values and the formulas over a last axis are those that all share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint, nearest_int8
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, activation_bounds
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.movement import BETWEEN_ONE, between, filling, places
from axynq.emulator.model.quantisation import (
    ADD_LEFT_SHIFT,
    add_factors,
    identity_factor,
    layer_factors,
    mean_factor,
    product_factor,
    reduced_axes,
    sum_scale_and_bias,
)
from axynq.emulator.softmax import l2_normalised, log_softmax, softmax

Int64Array = npt.NDArray[np.int64]


def requantise(
    model: graph.Model, layer: graph.WeightedLayer, sums: graph.Int32Array
) -> graph.Int8Array:
    """From accumulators [images, rows, columns, filters] to the output, [images, *shape]."""
    output = model.tensors[layer.output]
    scaled = _rescaled(sums.astype(np.int64), layer_factors(model, layer))
    return _quantised(scaled, output, activation_bounds(layer.activation, output))


def compute(model: graph.Model, op: graph.Operator, inputs: list[Int8Array]) -> Int8Array:
    """The output [images, *shape] of an operator without weights.

    Raises:
        AssertionError: there is no such operator.
    """
    x = inputs[0]
    if isinstance(op, (graph.Add, graph.Elementwise)):
        return _paired(model, op, x, inputs[1])
    if isinstance(op, graph.Movement):
        return _moved(model, op, inputs)
    if isinstance(op, graph.Lookup):
        return lookup_table(model, op)[x.astype(np.int16) - INT8_MIN]
    if isinstance(op, graph.Pool):
        return _pool(model, op, x)
    if isinstance(op, (graph.Mean, graph.Reduce)):
        total = x.sum(axis=tuple(axis + 1 for axis in reduced_axes(op)), dtype=np.int64)
        y = reduced(model, op)(total)
        return y.reshape(len(x), *model.tensors[op.output].shape)
    if isinstance(op, graph.Pad):
        return _padded(x, op.padding, model.tensors[op.output].zero_point)
    if isinstance(op, graph.ResizeBilinear):
        return _resized(model, op, x)
    if isinstance(op, graph.Softmax):
        return softmax(model.tensors[op.inputs[0]].scale, op.beta, x)
    if isinstance(op, graph.LogSoftmax):
        return log_softmax(model.tensors[op.inputs[0]].scale, x)
    if isinstance(op, graph.L2Normalisation):
        return l2_normalised(model.tensors[op.inputs[0]].zero_point, x)
    assert isinstance(op, graph.Reshape), op
    return x.reshape(len(x), *model.tensors[op.output].shape)


def _rescaled(values: Int64Array, factors: list[FixedPoint]) -> Int64Array:
    """Values [..., factors or any] times their factors; one factor is that of all."""
    multiplier, shift = np.array(factors, np.int64).T
    right = np.maximum(-shift, 0)
    shifted = values << np.maximum(shift, 0)
    saturated = np.minimum(np.maximum(shifted, -(2**31)), 2**31 - 1)
    doubled = (saturated * multiplier >> 30) + 1  # twice the quotient, and the half that rounds it
    quotient = doubled >> 1
    half = np.where(right > 0, 1 << np.maximum(right - 1, 0), 0)
    away = half - ((quotient < 0) & (right > 0))
    return quotient + away >> right


def _quantised(values: Int64Array, output: graph.Tensor, bounds: tuple[int, int]) -> Int8Array:
    y = np.clip(values + output.zero_point, *bounds).astype(np.int8)
    return y.reshape(len(y), *output.shape)


# --- pairs ---------------------------------------------------------------------------------------


def _paired(
    model: graph.Model, op: graph.Add | graph.Elementwise, first: Int8Array, second: Int8Array
) -> Int8Array:
    """Values in pairs, after numpy's broadcasting with the images apart."""
    output = model.tensors[op.output]
    kind = op.kind if isinstance(op, graph.Elementwise) else "add"
    first, second = (_with_axes(x, len(output.shape)) for x in (first, second))
    bounds = activation_bounds(op.activation, output)
    if kind in ("maximum", "minimum"):
        larger = np.maximum if kind == "maximum" else np.minimum
        return np.clip(larger(first, second), *bounds).astype(np.int8)
    a, b = (
        x.astype(np.int64) - model.tensors[index].zero_point
        for x, index in zip((first, second), op.inputs)
    )
    if kind in ("add", "subtract"):
        *input_factors, output_factor = add_factors(model, op)
        a, b = (_widened(x, factor) for x, factor in zip((a, b), input_factors))
        total = a - b if kind == "subtract" else a + b
        scaled = _rescaled(total, [output_factor])
    else:
        assert isinstance(op, graph.Elementwise)
        scaled = _rescaled(a * b, [product_factor(model, op)])
        if kind == "prelu":
            scaled = np.where(a < 0, scaled, _rescaled(a, [identity_factor(model, op)]))
    return _quantised(scaled, output, bounds)


def _with_axes(x: Int8Array, axes: int) -> Int8Array:
    """With so many axes besides the images, those that it lacks in front of the others."""
    return x.reshape(len(x), *(1,) * (axes + 1 - x.ndim), *x.shape[1:])


def _widened(x: Int64Array, factor: FixedPoint) -> Int64Array:
    """Operands of a sum, -255 to 255, in its fine steps: by table."""
    every = np.arange(-255, 256, dtype=np.int64) << ADD_LEFT_SHIFT
    return _rescaled(every, [factor])[x + 255]


def paired_tables(model: graph.Model, op: graph.Operator, constant: int) -> Int8Array:
    """What an operator with one operand of ``constant`` values makes of the other: int8 [256, 256]
    by the constant's value and the other's, both + 128.

    ``constant`` is the place of the operand among the operator's inputs, 0 or 1.
    """
    assert isinstance(op, (graph.Add, graph.Elementwise))
    every = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int16).astype(np.int8)
    operands = [every[None, :], every[None, :]]
    operands[constant] = every[:, None]
    flat = [np.broadcast_to(x, (256, 256)).reshape(-1, 1) for x in operands]
    tensors = list(model.tensors)
    for index in (*op.inputs, op.output):
        t = tensors[index]
        tensors[index] = graph.Tensor(t.name, (1,), t.scale, t.zero_point)
    alone = graph.Model(model.name, tuple(tensors), (op,), op.inputs, (op.output,))
    return _paired(alone, op, *flat).reshape(256, 256)


# --- sums ----------------------------------------------------------------------------------------


def reduced(model: graph.Model, op: graph.Mean | graph.Reduce) -> Callable[[Int64Array], Int8Array]:
    """What becomes of the sum of the values ``x`` that a mean or sum is taken over: a function that
    never falls."""
    source, output = model.tensors[op.inputs[0]], model.tensors[op.output]
    if isinstance(op, graph.Reduce) and op.kind == "sum":
        scale, bias = sum_scale_and_bias(model, op)

        def summed(total: Int64Array) -> Int8Array:
            with np.errstate(over="ignore", invalid="ignore"):
                real = total.astype(np.float32) * scale + bias
            return nearest_int8(real, output.zero_point)

        return summed
    factor = mean_factor(model, op)
    terms = int(np.prod([source.shape[axis] for axis in reduced_axes(op)], dtype=np.int64))

    def averaged(total: Int64Array) -> Int8Array:
        y = _rescaled(total - terms * source.zero_point, [factor]) + output.zero_point
        return np.clip(y, INT8_MIN, INT8_MAX).astype(np.int8)

    return averaged


def _pool(model: graph.Model, op: graph.Pool, x: Int8Array) -> Int8Array:
    output = model.tensors[op.output]
    low, high = activation_bounds(op.activation, output)
    if op.kind == "max":
        y = _windows(_padded(x, op.padding, INT8_MIN), op).max(axis=(-2, -1))
        return np.clip(y, low, high)
    ones = _padded(np.ones((1, *x.shape[1:3], 1), np.int8), op.padding, 0)
    count = _windows(ones, op).sum(axis=(-2, -1), dtype=np.int64)
    total = _windows(_padded(x, op.padding, 0), op).sum(axis=(-2, -1), dtype=np.int64)
    average = np.sign(total) * ((2 * np.abs(total) + count) // (2 * count))
    return np.clip(average, low, high).astype(np.int8)


def _windows(x: Int8Array, op: graph.Pool) -> Int8Array:
    """[images, output rows, output columns, channels, window rows, window columns]."""
    rows = sliding_window_view(x, op.window[0], axis=1)[:, :: op.stride[0]]
    return sliding_window_view(rows, op.window[1], axis=2)[:, :, :: op.stride[1]]


# --- movements -----------------------------------------------------------------------------------


def _moved(model: graph.Model, op: graph.Movement, inputs: list[Int8Array]) -> Int8Array:
    images = len(inputs[0])
    new = np.full((images, 1), filling(model, op), np.int8)
    values = np.concatenate([*(x.reshape(images, -1) for x in inputs), new], axis=1)
    return values[:, places(model, op)]  # FILLED is the last


def _padded(x: Int8Array, padding: graph.Padding, value: int) -> Int8Array:
    return np.pad(x, ((0, 0), *padding.amounts), constant_values=value)


# --- resizing ------------------------------------------------------------------------------------


def _resized(model: graph.Model, op: graph.ResizeBilinear, x: Int8Array) -> Int8Array:
    """Columns first, then rows: the sum is that of four products."""
    shapes = zip(x.shape[1:3], model.tensors[op.output].shape[:2])
    rows, columns = (between(*s, op.align_corners, op.half_pixel_centers) for s in shapes)
    values = x.astype(np.int64)
    for axis, (lower, upper, share) in ((2, columns), (1, rows)):
        share = share.reshape(-1, *(1,) * (3 - axis))
        first, second = values.take(lower, axis), values.take(upper, axis)
        values = BETWEEN_ONE * first + share * (second - first)
    rounded = (np.abs(values) + BETWEEN_ONE**2 // 2) // BETWEEN_ONE**2
    return np.clip(np.sign(values) * rounded, INT8_MIN, INT8_MAX).astype(np.int8)
