"""What the portable engine does besides multiplying, in numpy.

Written from the numeric contract and apart from the oracle, so that comparing the two means
something: factors of all filters at a time, additions by table, pooling by windows. The softmax
alone is the oracle's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, activation_bounds
from axynq.emulator.model.quantisation import (
    ADD_LEFT_SHIFT,
    add_factors,
    layer_factors,
    mean_factor,
)
from axynq.emulator.softmax import softmax

Int64Array = npt.NDArray[np.int64]


def requantise(
    model: graph.Model, layer: graph.WeightedLayer, sums: graph.Int32Array
) -> graph.Int8Array:
    """From accumulators [images, rows, columns, filters] to the output, [images, *shape]."""
    output = model.tensors[layer.output]
    scaled = _rescaled(sums.astype(np.int64), layer_factors(model, layer))
    return _quantised(scaled, output, activation_bounds(layer.activation, output))


def compute(model: graph.Model, op: graph.Operator, inputs: list[Int8Array]) -> Int8Array:
    """The output [images, *shape] of an operator without weights."""
    x = inputs[0]
    if isinstance(op, graph.Add):
        return _add(model, op, x, inputs[1])
    if isinstance(op, graph.Pool):
        return _pool(model, op, x)
    if isinstance(op, graph.Mean):
        return _mean(model, op, x)
    if isinstance(op, graph.Pad):
        return _padded(x, op.padding, model.tensors[op.output].zero_point)
    if isinstance(op, graph.Softmax):
        return softmax(model.tensors[op.inputs[0]].scale, op.beta, x)
    assert isinstance(op, graph.Reshape)
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


def _add(model: graph.Model, op: graph.Add, first: Int8Array, second: Int8Array) -> Int8Array:
    output = model.tensors[op.output]
    *input_factors, output_factor = add_factors(model, op)
    total = np.zeros(first.shape, np.int64)
    for x, index, factor in zip((first, second), op.inputs, input_factors):
        every = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64) - model.tensors[index].zero_point
        table = _rescaled(every << ADD_LEFT_SHIFT, [factor])
        total += table[x.astype(np.int16) - INT8_MIN]
    scaled = _rescaled(total, [output_factor])
    return _quantised(scaled, output, activation_bounds(op.activation, output))


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


def _mean(model: graph.Model, op: graph.Mean, x: Int8Array) -> Int8Array:
    source, output = model.tensors[op.inputs[0]], model.tensors[op.output]
    positions = x.shape[1] * x.shape[2]
    total = x.sum(axis=(1, 2), dtype=np.int64) - positions * source.zero_point
    return _quantised(_rescaled(total, [mean_factor(model, op)]), output, (INT8_MIN, INT8_MAX))


def _padded(x: Int8Array, padding: graph.Padding, value: int) -> Int8Array:
    p = padding
    amounts = ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0))
    return np.pad(x, amounts, constant_values=value)
