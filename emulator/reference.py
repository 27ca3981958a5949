"""The oracle: every operator in plain numpy, slow and short, straight from the numeric contract.

Feature maps are int8 arrays [images, rows, columns, channels]; all arithmetic is int64, and what
becomes of values that 32 bits do not hold is written down. The engines and the accelerator are
tested against this file, and this file against TFLite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, activation_bounds
from axynq.emulator.model.quantisation import (
    ADD_LEFT_SHIFT,
    add_factors,
    layer_factors,
    mean_factor,
)
from axynq.emulator.plan import LayerCodes, Plan
from axynq.emulator.softmax import softmax

Int64Array = npt.NDArray[np.int64]
IntegerLike = Int64Array | int

Products = Callable[[Int64Array, Int64Array, int, int], Int64Array]
"""``products(a, w, row, column)``: products of activation operands [..., filters or 1, channels]
and weights [filters, channels] at one position of the kernel."""


def exact_products(a: Int64Array, w: Int64Array, row: int, column: int) -> Int64Array:
    """Products of the exact multiplier."""
    return a * w


# --- requantisation ------------------------------------------------------------------------------


INT32 = np.iinfo(np.int32)


def rescale(values: Int64Array, multiplier: IntegerLike, shift: IntegerLike) -> Int64Array:
    """``values * multiplier / 2**31 * 2**shift``, of int32 values, rounded twice as TFLite does.

    The product with the significand is divided by 2**31, halves up: -1.5 becomes -1. A right shift
    then divides by a power of two, halves away from zero: -1.5 becomes -2. A left shift comes
    before both and saturates.
    """
    left = np.maximum(np.asarray(shift, np.int64), 0)
    right = np.maximum(np.negative(np.asarray(shift, np.int64)), 0)
    widened = np.clip(values << left, INT32.min, INT32.max)
    high = (widened * multiplier + (1 << 30)) >> 31
    half = (1 << right) >> 1
    return np.sign(high) * ((np.abs(high) + half) >> right)


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

    A padded tap has ``a = 0`` and is multiplied like any other. Sums are int32, modulo 2**32.
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
    return total.astype(np.int32).astype(np.int64)


def requantise(
    model: graph.Model, layer: graph.WeightedLayer, accumulated: Int64Array
) -> Int8Array:
    """From a layer's accumulators [images, rows, columns, filters] to its int8 output."""
    output = model.tensors[layer.output]
    multipliers, shifts = np.array(layer_factors(model, layer), np.int64).T
    scaled = rescale(accumulated, multipliers, shifts)
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
        total += rescale(widened, *factor)
    output = model.tensors[op.output]
    y = rescale(total, *output_factor) + output.zero_point
    return clamp(y, *activation_bounds(op.activation, output))


def pool(model: graph.Model, op: graph.Pool, x: Int8Array) -> Int8Array:
    """Pooling over the window's positions that lie inside the map; averages round halves away from
    zero."""
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
    y = clamp(rescale(total, *mean_factor(model, op)) + output.zero_point)
    return y.reshape(len(x), *output.shape)


def pad(model: graph.Model, op: graph.Pad, x: Int8Array) -> Int8Array:
    """Surround with the zero point."""
    p = op.padding
    amounts = ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0))
    return np.pad(x, amounts, constant_values=model.tensors[op.inputs[0]].zero_point)


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
    """Every tensor of the network, by index. ``products`` gives layers their multipliers, by name,
    as :func:`plan_products` has them; the others are exact."""
    values = {model.input_index: x}
    for op in model.operators:
        layer_products = (products or {}).get(op.name, exact_products)
        values[op.output] = evaluate(model, op, [values[i] for i in op.inputs], layer_products)
    return values


# --- plans ---------------------------------------------------------------------------------------


def code_products(codes: LayerCodes) -> Products:
    """Each weight's products by the multiplier that its code names; those of a weight that is
    skipped are 0."""

    def products(a: Int64Array, w: Int64Array, row: int, column: int) -> Int64Array:
        total = np.zeros(np.broadcast_shapes(a.shape, w.shape), np.int64)
        for code, multiplier in enumerate(codes.multipliers, start=1):
            total += np.where(codes.codes[:, row, column] == code, multiplier.product(a, w), 0)
        return total

    return products


def plan_products(model: graph.Model, plan: Plan) -> dict[str, Products]:
    """The products of every layer under a plan, by the layer's name.

    Raises:
        PlanError: the plan does not fit the model.
    """
    return {name: code_products(codes) for name, codes in plan.expand(model).items()}
