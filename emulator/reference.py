# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The oracle: every operator in plain numpy, slow and short, straight from the numeric contract.

Feature maps are int8 arrays [images, rows, columns, channels]; all arithmetic is int64, and what
becomes of values that 32 bits do not hold is written down. The engines and the accelerator are
tested against this file, and this file against TFLite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, activation_bounds
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.quantisation import (
    ADD_LEFT_SHIFT,
    add_factors,
    identity_factor,
    layer_factors,
    mean_factor,
    product_factor,
    sum_scale_and_bias,
)
from axynq.emulator.plan import LayerCodes, Plan
from axynq.emulator.softmax import l2_normalised, log_softmax, softmax

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


def lookup(model: graph.Model, op: graph.Lookup, x: Int8Array) -> Int8Array:
    """Every value by its table."""
    return lookup_table(model, op)[x.astype(np.int64) - INT8_MIN]


def elementwise(
    model: graph.Model, op: graph.Elementwise, first: Int8Array, second: Int8Array
) -> Int8Array:
    """Values in pairs: broadcast, the images apart."""
    operands = []
    for x, index in zip((first, second), op.inputs):
        axes = max(first.ndim, second.ndim) - x.ndim
        aligned = x.reshape(len(x), *[1] * axes, *x.shape[1:]).astype(np.int64)
        operands.append(aligned - model.tensors[index].zero_point)
    a, b = operands
    output = model.tensors[op.output]
    if op.kind in ("maximum", "minimum"):  # one quantisation
        y = np.maximum(a, b) if op.kind == "maximum" else np.minimum(a, b)
    elif op.kind == "multiply":
        y = rescale(a * b, *product_factor(model, op))
    elif op.kind == "prelu":
        negative = rescale(a * b, *product_factor(model, op))
        y = np.where(a >= 0, rescale(a, *identity_factor(model, op)), negative)
    else:
        first_factor, second_factor, output_factor = add_factors(model, op)
        a = rescale(a << ADD_LEFT_SHIFT, *first_factor)
        b = rescale(b << ADD_LEFT_SHIFT, *second_factor)
        y = rescale(a + b if op.kind == "add" else a - b, *output_factor)
    return clamp(y + output.zero_point, *activation_bounds(op.activation, output))


def reduce(model: graph.Model, op: graph.Reduce, x: Int8Array) -> Int8Array:
    """Mean or sum over axes."""
    source, output = model.tensors[op.inputs[0]], model.tensors[op.output]
    axes = tuple(axis + 1 for axis in op.axes)
    if op.kind == "mean":
        total = (x.astype(np.int64) - source.zero_point).sum(axis=axes, dtype=np.int64)
        y = rescale(total, *mean_factor(model, op)) + output.zero_point
    else:
        scale, bias = sum_scale_and_bias(model, op)
        real = x.sum(axis=axes, dtype=np.int64).astype(np.float32) * scale + bias
        steps = np.clip(real, np.float32(-1024), np.float32(1024)).astype(np.float64)
        y = np.trunc(steps + np.copysign(0.5, steps)).astype(np.int64) + output.zero_point
    return clamp(y).reshape(len(x), *output.shape)


def resize_bilinear(model: graph.Model, op: graph.ResizeBilinear, x: Int8Array) -> Int8Array:
    """Between the four nearest values, whose weights have 10 bits each way; halves away from
    zero."""
    rows, columns = model.tensors[op.output].shape[:2]
    lower_row, upper_row, down = _between(x.shape[1], rows, op)
    left_column, right_column, right = _between(x.shape[2], columns, op)
    down, right = down[:, None, None], right[:, None]
    x64 = x.astype(np.int64)
    top, bottom = x64[:, lower_row], x64[:, upper_row]
    y = (top[:, :, left_column] * (1024 - down) + bottom[:, :, left_column] * down) * (
        1024 - right
    ) + (top[:, :, right_column] * (1024 - down) + bottom[:, :, right_column] * down) * right
    return (np.sign(y) * ((np.abs(y) + 2**19) >> 20)).astype(np.int8)


def _between(
    source: int, target: int, op: graph.ResizeBilinear
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """For each row or column of the output the two of the input it lies between, and how far from
    the first, in 1024ths."""
    step = (1024 * source + target // 2) // target
    if op.align_corners and target > 1:
        step = (1024 * (source - 1) + (target - 1) // 2) // (target - 1)
    place = np.arange(target, dtype=np.int64) * step
    if op.half_pixel_centers:
        place += step // 2 - 512
    lower = np.maximum(divide_towards_zero(place, 1024), 0)
    upper = np.minimum(divide_towards_zero(place + 1023, 1024), source - 1)
    return lower, upper, place - 1024 * lower


# --- operators that move values ------------------------------------------------------------------


def move(model: graph.Model, op: graph.Movement, inputs: list[Int8Array]) -> Int8Array:
    """Values of the inputs, and the zero point, in another order."""
    x = inputs[0]
    output = model.tensors[op.output]
    images, zero_point = len(x), output.zero_point
    if isinstance(op, graph.Concatenation):
        return np.concatenate(inputs, axis=op.axis + 1)
    if isinstance(op, graph.Slice):
        for axis, (begin, stride, count) in enumerate(zip(op.begin, op.stride, output.shape)):
            x = x.take([begin + stride * k for k in range(count)], axis=axis + 1)
        return x
    if isinstance(op, graph.Transpose):
        return x.transpose(0, *(axis + 1 for axis in op.permutation))
    if isinstance(op, graph.Surround):
        value = zero_point if op.value is None else op.value
        amounts = [(0, 0), *zip(op.before, op.after)]
        return np.pad(x, amounts, constant_values=value)
    if isinstance(op, graph.Spread):
        return _spread(op, x, output.shape, zero_point)
    if isinstance(op, graph.ResizeNearest):
        for axis, count in enumerate(output.shape[:2], start=1):
            x = x.take([_nearest(x.shape[axis], count, k, op) for k in range(count)], axis=axis)
        return x
    rows, columns, channels = output.shape
    if isinstance(op, graph.DepthToSpace):
        n = op.block
        blocks = x.reshape(images, rows // n, columns // n, n, n, channels)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(images, rows, columns, channels)
    assert isinstance(op, graph.SpaceToDepth)
    n = op.block
    blocks = x.reshape(images, rows, n, columns, n, channels // (n * n))
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(images, rows, columns, channels)


def _spread(op: graph.Spread, x: Int8Array, shape: tuple[int, ...], zero_point: int) -> Int8Array:
    """Every value at its place among zeros, where that is inside the output."""
    y = np.full((len(x), *shape), zero_point, np.int8)
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            down = row * op.stride[0] + op.padding.top
            right = column * op.stride[1] + op.padding.left
            if 0 <= down < shape[0] and 0 <= right < shape[1]:
                y[:, down, right] = x[:, row, column]
    return y


def _nearest(source: int, target: int, place: int, op: graph.ResizeNearest) -> int:
    """The row or column of ``source`` that one of ``target`` takes its values from, in float32."""
    step = np.float32(source) / np.float32(target)
    if op.align_corners and target > 1:
        step = np.float32(source - 1) / np.float32(target - 1)
    exact = (np.float32(place) + np.float32(0.5 if op.half_pixel_centers else 0)) * step
    whole = np.floor(float(exact) + 0.5) if op.align_corners else np.floor(exact)
    return int(np.clip(whole, 0, source - 1))


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
    if isinstance(op, graph.Elementwise):
        return elementwise(model, op, x, inputs[1])
    if isinstance(op, graph.Movement):
        return move(model, op, inputs)
    formula: Callable[[graph.Model, Any, Int8Array], Int8Array] = _OF_ONE_INPUT[type(op)]
    return formula(model, op, x)


def reshape(model: graph.Model, op: graph.Reshape, x: Int8Array) -> Int8Array:
    """The same values in the output's shape."""
    return x.reshape(len(x), *model.tensors[op.output].shape)


_OF_ONE_INPUT: dict[type[graph.Operator], Callable[[graph.Model, Any, Int8Array], Int8Array]] = {
    graph.Pool: pool,
    graph.Mean: mean,
    graph.Pad: pad,
    graph.Reshape: reshape,
    graph.Lookup: lookup,
    graph.Reduce: reduce,
    graph.ResizeBilinear: resize_bilinear,
    graph.Softmax: lambda model, op, x: softmax(model.tensors[op.inputs[0]].scale, op.beta, x),
    graph.LogSoftmax: lambda model, op, x: log_softmax(model.tensors[op.inputs[0]].scale, x),
    graph.L2Normalisation: lambda model, op, x: l2_normalised(
        model.tensors[op.inputs[0]].zero_point, x
    ),
}


def run(
    model: graph.Model,
    x: Int8Array | Sequence[Int8Array],
    products: Mapping[str, Products] | None = None,
) -> dict[int, Int8Array]:
    """Every tensor of the network that is given or computed, by index.

    Args:
        model: the network.
        x: the input, int8 [images, *shape], or a sequence of them, one for each of several.
        products: gives layers their multipliers, by name, as :func:`plan_products` has them; the
            others are exact.
    """
    given = (x,) if isinstance(x, np.ndarray) else tuple(x)
    values = dict(zip(model.inputs, given))
    images = len(given[0])
    for op in model.operators:
        layer_products = (products or {}).get(op.name, exact_products)
        inputs = [
            np.broadcast_to(model.constants[i], (images, *model.constants[i].shape))
            if i in model.constants
            else values[i]
            for i in op.inputs
        ]
        values[op.output] = evaluate(model, op, inputs, layer_products)
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
