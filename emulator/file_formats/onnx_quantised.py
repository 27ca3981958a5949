# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""ONNX's operators on integers (QOperator), and those between integers and real numbers (QDQ)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_drawing import Flat, Held, default_order
from axynq.emulator.file_formats.onnx_elementwise import combined, leaky_relu, sigmoid
from axynq.emulator.file_formats.onnx_file import Node
from axynq.emulator.file_formats.onnx_folding import constant_of
from axynq.emulator.file_formats.onnx_pooling import (
    average_pool,
    global_average_pool,
    reduce,
    softmax,
)
from axynq.emulator.file_formats.onnx_reading import Reading
from axynq.emulator.file_formats.onnx_values import Fixed, Value, quantisation_of, quantised
from axynq.emulator.file_formats.onnx_weighted import convolution, dense
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Quantisation

_TYPES = {2: np.uint8, 3: np.int8, 6: np.int32}
"""ONNX's numbers of the integers that QuantizeLinear gives."""


def quantize_linear(reading: Reading, node: Node) -> Value:
    """Real numbers as integers; of constants too."""
    value = reading.operand(node, 0)
    type_ = int(node.attribute("output_dtype", 0)) or 2
    if type_ not in _TYPES:
        raise ModelError("quantises to another type than int8 and uint8")
    if isinstance(value, Fixed):
        value = value.reals
    if isinstance(value, np.ndarray):
        return _quantised_constant(reading, node, value, _TYPES[type_])
    quantisation, unsigned = reading.scale_of(node, 1, 2, type_ == 2)
    return reading.quantise(value, quantisation, unsigned)


def _quantised_constant(reading: Reading, node: Node, reals: Value, type_: Any) -> Value:
    assert isinstance(reals, np.ndarray)
    scale = reading.constant(node, 1, "scale").astype(np.float32)
    zero = np.zeros(scale.shape, type_)
    if reading.optional(node, 2) is not None:
        zero = reading.constant(node, 2, "zero point")
    if zero.dtype not in (np.int8, np.uint8, np.int32):
        raise ModelError(f"quantises constants to {zero.dtype}; int8, uint8 and int32 are known")
    axis = int(node.attribute("axis", 1))
    spread = [-1 if k == axis % max(reals.ndim, 1) else 1 for k in range(reals.ndim)]
    if scale.size > 1:
        scale, zero_64 = scale.reshape(spread), zero.reshape(spread).astype(np.int64)
    else:
        scale, zero_64 = scale.reshape(-1)[:1], zero.reshape(-1)[:1].astype(np.int64)
    with np.errstate(all="ignore"):
        steps = np.rint(reals.astype(np.float32) / scale)
    if not np.isfinite(steps).all():
        raise ModelError("quantises a constant by a scale of 0")
    limits = np.iinfo(zero.dtype)
    values = np.clip(steps.astype(np.float64) + zero_64, limits.min, limits.max)
    return values.astype(zero.dtype).reshape(reals.shape)


def dequantize_linear(reading: Reading, node: Node) -> Value:
    """Integers as real numbers: nothing is drawn."""
    return reading.dequantised(node, 0, 1, 2, int(node.attribute("axis", 1)))


# --- QOperator -----------------------------------------------------------------------------------


def _result(reading: Reading, node: Node, real: Value, scale: int, zero_point: int) -> Value:
    quantisation, unsigned = reading.scale_of(node, scale, zero_point)
    return reading.quantise(real, quantisation, unsigned)


def qlinear_conv(reading: Reading, node: Node) -> Value:
    """QLinearConv."""
    x = reading.dequantised(node, 0, 1, 2)
    weights = reading.dequantised(node, 3, 4, 5)
    if node.attribute("channels_last", 0):
        raise ModelError("has channels last, which is not supported")
    bias = _accumulator_units(reading, node, 8, x, weights)
    return _result(reading, node, convolution(reading, node, x, weights, bias), 6, 7)


def qlinear_matmul(reading: Reading, node: Node) -> Value:
    """QLinearMatMul with constant weights."""
    x, weights = reading.dequantised(node, 0, 1, 2), reading.dequantised(node, 3, 4, 5, axis=1)
    return _result(reading, node, dense(reading, node, x, weights, 1, None), 6, 7)


def qgemm(reading: Reading, node: Node) -> Value:
    """QGemm that gives integers."""
    axis = 0 if node.attribute("transB", 0) else 1
    x, weights = reading.dequantised(node, 0, 1, 2), reading.dequantised(node, 3, 4, 5, axis)
    if node.attribute("transA", 0) or float(node.attribute("alpha", 1.0)) != 1.0:
        raise ModelError("has transA or alpha, which is not supported")
    bias = _accumulator_units(reading, node, 6, x, weights)
    real = dense(reading, node, x, weights, axis, bias)
    if reading.optional(node, 7) is None:
        raise ModelError("gives real numbers; one that gives integers is supported")
    return _result(reading, node, real, 7, 8)


def _accumulator_units(
    reading: Reading, node: Node, position: int, x: Value, weights: Value
) -> Value | None:
    """A bias that is written in units of the accumulator."""
    bias = reading.optional(node, position)
    if bias is None or not isinstance(weights, Fixed):
        return None
    if not isinstance(bias, np.ndarray) or not isinstance(x, (Held, Flat)):
        raise ModelError("its bias is computed; only a constant one is supported")
    units = reading.quantisation(x).scale * weights.scales.astype(np.float64)
    values = bias.astype(np.int64)
    return Fixed(values, units, 0, 32)


_PAIRS = {"QLinearAdd": "add", "QLinearMul": "multiply"}


def qlinear_pair(reading: Reading, node: Node) -> Value:
    """QLinearAdd and QLinearMul."""
    x, y = reading.dequantised(node, 0, 1, 2), reading.dequantised(node, 3, 4, 5)
    return _result(reading, node, combined(reading, node, _PAIRS[node.kind], x, y), 6, 7)


_Function = Callable[[Reading, Node, Value], Value]

_OF_ONE: dict[str, _Function] = {
    "QLinearSigmoid": lambda reading, node, x: sigmoid(reading, x),
    "QLinearLeakyRelu": leaky_relu,
    "QLinearAveragePool": average_pool,
    "QLinearGlobalAveragePool": global_average_pool,
}


def qlinear_of_one(reading: Reading, node: Node) -> Value:
    """Operators of one integer tensor."""
    x = reading.dequantised(node, 0, 1, 2)
    return _result(reading, node, _OF_ONE[node.kind](reading, node, x), 3, 4)


def qlinear_reduce_mean(reading: Reading, node: Node) -> Value:
    """QLinearReduceMean."""
    x = reading.dequantised(node, 0, 1, 2)
    if "axes" not in node.attributes:
        raise ModelError("lacks its axes")
    return _result(reading, node, reduce(reading, node._replace(inputs=("",)), x), 3, 4)


def qlinear_softmax(reading: Reading, node: Node) -> Value:
    """QLinearSoftmax."""
    x = reading.dequantised(node, 0, 1, 2)
    return _result(reading, node, softmax(reading, node, x), 3, 4)


def qlinear_concat(reading: Reading, node: Node) -> Value:
    """QLinearConcat."""
    quantisation, unsigned = reading.scale_of(node, 0, 1)
    values = [reading.dequantised(node, k, k + 1, k + 2) for k in range(2, len(node.inputs), 3)]
    real = concatenated(reading, node, values, quantisation)
    return replace(real, real=False, unsigned=unsigned)


def concatenated(
    reading: Reading, node: Node, values: list[Value], quantisation: Quantisation
) -> Held:
    """Tensors one after another, each brought to the result's quantisation."""
    drawing = reading.drawing
    parts = [
        drawing.settled(reading.quantise(value, quantisation, False))
        if not isinstance(value, (np.ndarray, Fixed))
        else _constant(reading, node, value, quantisation)
        for value in values
    ]
    rank = len(parts[0].shape)
    axis = int(node.attribute("axis", 1))
    axis = axis + rank if axis < 0 else axis
    first = max(parts, key=lambda part: len(part.shape) == rank and part.order == parts[0].order)
    order = first.order
    if axis not in order:
        raise ModelError("joins images, which is not supported")
    for part in parts:
        others = [n for k, n in enumerate(part.shape) if k != axis]
        if len(part.shape) != rank or others != [n for k, n in enumerate(first.shape) if k != axis]:
            raise ModelError(f"joins {list(first.shape)} and {list(part.shape)}")
    parts = [drawing.in_order(part, order) for part in parts]
    total = sum(part.shape[axis] for part in parts)
    shape = tuple(total if k == axis else n for k, n in enumerate(first.shape))
    result = replace(parts[0], shape=shape, real=True)
    output = reading.tensor(node.outputs[0], result.stored, quantisation)
    drawing.append(
        graph.Concatenation, "concatenation", [part.tensor for part in parts], output,
        axis=order.index(axis),
    )  # fmt: skip
    return replace(result, tensor=output)


def _constant(reading: Reading, node: Node, value: Value, quantisation: Quantisation) -> Held:
    assert isinstance(value, (np.ndarray, Fixed))
    reals = value.reals if isinstance(value, Fixed) else value
    held = Held(-1, reals.shape, default_order(reals.shape))
    values = quantised(reals, quantisation)
    axes = [axis for axis in range(reals.ndim) if axis not in held.order] + list(held.order)
    stored = np.ascontiguousarray(values.transpose(axes).reshape(held.stored))
    tensor = reading.tensor(f"{node.outputs[0]}/constant", held.stored, quantisation)
    reading.drawing.constants[tensor] = stored
    return replace(held, tensor=tensor)


QOPERATORS: dict[str, Callable[[Reading, Node], Value]] = {
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QGemm": qgemm,
    "QLinearAdd": qlinear_pair,
    "QLinearMul": qlinear_pair,
    "QLinearSigmoid": qlinear_of_one,
    "QLinearLeakyRelu": qlinear_of_one,
    "QLinearAveragePool": qlinear_of_one,
    "QLinearGlobalAveragePool": qlinear_of_one,
    "QLinearReduceMean": qlinear_reduce_mean,
    "QLinearSoftmax": qlinear_softmax,
    "QLinearConcat": qlinear_concat,
}


_KEEPING = frozenset(
    {
        *("Concat", "DepthToSpace", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "ReduceMax"),
        *("Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose"),
        "Unsqueeze",
    }
)
"""Operators on integers that leave what they stand for as it is."""


def _constant_named(reading: Reading, name: str) -> Value | None:
    """A constant of the file, an initialiser or an operator, while nothing is read yet; None: it is
    none."""
    if name in reading.values:
        return reading.values[name]
    writers = (node for node in reading.file.nodes if name in node.outputs)
    return next((constant_of(node) for node in writers if node.kind == "Constant"), None)


def input_quantisation(reading: Reading, name: str, unsigned: bool) -> Quantisation | None:
    """What an integer input stands for: what the first operator says that takes it, or what is
    moved of it. None: none does."""
    names = {name}
    for node in reading.file.nodes:
        if node.kind in _KEEPING and any(given in names for given in node.inputs):
            names.update(node.outputs)
        says = node.kind == "DequantizeLinear" or node.kind in QOPERATORS
        for position in (k for k, given in enumerate(node.inputs) if says and given in names):
            scale, zero = (
                _constant_named(reading, node.inputs[k]) if k < len(node.inputs) else None
                for k in (position + 1, position + 2)
            )
            if isinstance(scale, np.ndarray) and (zero is None or isinstance(zero, np.ndarray)):
                return quantisation_of(scale, zero, unsigned)
    return None
