"""The oracle: every operator in plain numpy, slow and short, straight from the numeric contract.

Feature maps are int8 arrays [images, rows, columns, channels]; all arithmetic is int64 or, for the
softmax, float32 as in TFLite's reference kernels. The fast engine and the accelerator are tested
against this file, and this file against TFLite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, activation_bounds
from axynq.emulator.model.quantisation import (
    ADD_LEFT_SHIFT,
    FixedPoint,
    add_factors,
    layer_factors,
    mean_factor,
)

Int64Array = npt.NDArray[np.int64]

Products = Callable[[Int64Array, Int64Array, int, int], Int64Array]
"""``products(a, w, row, column)``: products of activation operands [..., filters or 1, channels]
and weights [filters, channels] at one position of the kernel."""


def exact_products(a: Int64Array, w: Int64Array, row: int, column: int) -> Int64Array:
    """Products of the exact multiplier."""
    return a * w


# --- requantisation ------------------------------------------------------------------------------


def rescale(values: Int64Array, factor: FixedPoint) -> Int64Array:
    """``values * factor`` as TFLite rounds it: twice.

    A saturating rounding doubling high multiplication (halves away from zero), then a rounding
    division by a power of two (halves away from zero).
    """
    widened = values << max(factor.shift, 0)
    product = widened * factor.multiplier
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30)).astype(np.int64)
    high = divide_towards_zero(product + nudge, 1 << 31)
    exponent = max(-factor.shift, 0)
    remainder = high & ((1 << exponent) - 1)
    threshold = (((1 << exponent) - 1) >> 1) + (high < 0)
    return (high >> exponent) + (remainder > threshold)


def divide_towards_zero(values: Int64Array, divisor: int) -> Int64Array:
    """Integer division as C does it."""
    return np.sign(values) * (np.abs(values) // divisor)


def clamp(values: Int64Array, low: int = INT8_MIN, high: int = INT8_MAX) -> Int8Array:
    """``values`` limited to ``low..high``, as int8."""
    return np.clip(values, low, high).astype(np.int8)


# --- operators that multiply ---------------------------------------------------------------------


def accumulators(
    model: graph.Model,
    layer: graph.WeightedLayer,
    x: Int8Array,
    products: Products = exact_products,
) -> Int64Array:
    """``bias + sum over taps of m(a, w)``, shaped [images, rows, columns, filters].

    A padded tap has ``a = 0`` and is multiplied like any other.
    """
    a = x.astype(np.int64) - model.tensors[layer.inputs[0]].zero_point
    stride, dilation = (1, 1), (1, 1)
    if isinstance(layer, graph.FullyConnected):
        a = a.reshape(len(x), 1, 1, -1)
    else:
        assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
        stride, dilation = layer.stride, layer.dilation
        p = layer.padding
        a = np.pad(a, ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0)))
    filters, k_rows, k_columns, _ = layer.kernel.shape
    rows = (a.shape[1] - (k_rows - 1) * dilation[0] - 1) // stride[0] + 1
    columns = (a.shape[2] - (k_columns - 1) * dilation[1] - 1) // stride[1] + 1
    if isinstance(layer, graph.DepthwiseConvolution):
        per_filter = np.repeat(a, filters // a.shape[-1], axis=-1)[..., None]
    else:
        per_filter = a[..., None, :]
    total = np.zeros((len(x), rows, columns, filters), np.int64) + layer.bias
    for row in range(k_rows):
        for column in range(k_columns):
            top, left = row * dilation[0], column * dilation[1]
            taps = per_filter[
                :,
                top : top + (rows - 1) * stride[0] + 1 : stride[0],
                left : left + (columns - 1) * stride[1] + 1 : stride[1],
            ]
            w = layer.kernel[:, row, column].astype(np.int64)
            total += products(taps, w, row, column).sum(axis=-1, dtype=np.int64)
    return total


def requantise(
    model: graph.Model, layer: graph.WeightedLayer, accumulated: Int64Array
) -> Int8Array:
    """From a layer's accumulators [images, rows, columns, filters] to its int8 output."""
    output = model.tensors[layer.output]
    scaled = np.stack(
        [
            rescale(accumulated[..., f], factor)
            for f, factor in enumerate(layer_factors(model, layer))
        ],
        axis=-1,
    )
    low, high = activation_bounds(layer.activation, output)
    y = clamp(scaled + output.zero_point, low, high)
    return y.reshape(len(y), *output.shape)


# --- the other operators -------------------------------------------------------------------------


def add(model: graph.Model, op: graph.Add, first: Int8Array, second: Int8Array) -> Int8Array:
    """Sum of two tensors: both are widened and brought to one scale, their sum to the output's."""
    total = np.zeros(first.shape, np.int64)
    *input_factors, output_factor = add_factors(model, op)
    for x, index, factor in zip((first, second), op.inputs, input_factors):
        widened = (x.astype(np.int64) - model.tensors[index].zero_point) << ADD_LEFT_SHIFT
        total += rescale(widened, factor)
    output = model.tensors[op.output]
    y = rescale(total, output_factor) + output.zero_point
    return clamp(y, *activation_bounds(op.activation, output))


def pool(model: graph.Model, op: graph.Pool, x: Int8Array) -> Int8Array:
    """Pooling over the window's positions that lie inside the map."""
    output = model.tensors[op.output]
    rows, columns, channels = output.shape
    y = np.zeros((len(x), rows, columns, channels), np.int64)
    for row in range(rows):
        for column in range(columns):
            top = row * op.stride[0] - op.padding.top
            left = column * op.stride[1] - op.padding.left
            window = x[
                :,
                max(top, 0) : top + op.window[0],
                max(left, 0) : left + op.window[1],
            ].astype(np.int64)
            if op.kind == "max":
                y[:, row, column] = window.max(axis=(1, 2))
            else:
                count = window.shape[1] * window.shape[2]
                total = window.sum(axis=(1, 2), dtype=np.int64)
                half = np.where(total > 0, count // 2, -(count // 2))
                y[:, row, column] = divide_towards_zero(total + half, count)
    return clamp(y, *activation_bounds(op.activation, output))


def mean(model: graph.Model, op: graph.Mean, x: Int8Array) -> Int8Array:
    """Mean over rows and columns."""
    source, output = model.tensors[op.inputs[0]], model.tensors[op.output]
    total = (x.astype(np.int64) - source.zero_point).sum(axis=(1, 2), dtype=np.int64)
    y = clamp(rescale(total, mean_factor(model, op)) + output.zero_point)
    return y.reshape(len(x), *output.shape)


def pad(model: graph.Model, op: graph.Pad, x: Int8Array) -> Int8Array:
    """Surround with the zero point."""
    p = op.padding
    amounts = ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0))
    return np.pad(x, amounts, constant_values=model.tensors[op.inputs[0]].zero_point)


def softmax(scale: float, beta: float, x: Int8Array) -> Int8Array:
    """Softmax over the last axis, to int8 of scale 1/256 and zero point -128.

    TFLite looks ``exp`` up in a table of float32 and sums in float32, in order.
    """
    table = _exponentials(float(-np.float32(scale) * np.float32(beta)))
    below_maximum = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    e = table[below_maximum]
    total = np.cumsum(e, axis=-1, dtype=np.float32)[..., -1:]
    inverse = np.float32(1) / (total * np.float32(1 / 256))
    return clamp((e * inverse + np.float32(0.5)).astype(np.int64) - 128)


@lru_cache(maxsize=64)
def _exponentials(step: float) -> npt.NDArray[np.float32]:
    """``exp(step * n)`` for n = 0..255, the product in float32, rounded correctly to double and
    then to float32: libraries of mathematics differ in the last bit from processor to processor.
    """
    exponents = np.float32(step) * np.arange(256, dtype=np.float32)
    correctly = Context(prec=40)
    doubles = [float(correctly.exp(Decimal(float(exponent)))) for exponent in exponents]
    return np.array(doubles, np.float64).astype(np.float32)


# --- networks ------------------------------------------------------------------------------------


def evaluate(
    model: graph.Model, op: graph.Operator, inputs: list[Int8Array], products: Products
) -> Int8Array:
    """The output of one operator."""
    x = inputs[0]
    if isinstance(op, graph.WeightedLayer):
        return requantise(model, op, accumulators(model, op, x, products))
    if isinstance(op, graph.Add):
        return add(model, op, x, inputs[1])
    if isinstance(op, graph.Pool):
        return pool(model, op, x)
    if isinstance(op, graph.Mean):
        return mean(model, op, x)
    if isinstance(op, graph.Pad):
        return pad(model, op, x)
    if isinstance(op, graph.Softmax):
        return softmax(model.tensors[op.inputs[0]].scale, op.beta, x)
    assert isinstance(op, graph.Reshape)
    return x.reshape(len(x), *model.tensors[op.output].shape)


def run(
    model: graph.Model, x: Int8Array, products: Mapping[str, Products] | None = None
) -> dict[int, Int8Array]:
    """Every tensor of the network, by index. ``products`` gives layers their multipliers, by name;
    the others are exact."""
    values = {model.input_index: x}
    for op in model.operators:
        chosen = (products or {}).get(op.name, exact_products)
        values[op.output] = evaluate(model, op, [values[i] for i in op.inputs], chosen)
    return values
