# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which reader reads which operator of an int8 ONNX network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats import onnx_movement as movement
from axynq.emulator.file_formats.onnx_drawing import Flat, Held
from axynq.emulator.file_formats.onnx_elementwise import (
    binary,
    clip,
    leaky_relu,
    prelu,
    unary,
)
from axynq.emulator.file_formats.onnx_file import Node
from axynq.emulator.file_formats.onnx_formulas import UNARY
from axynq.emulator.file_formats.onnx_pooling import (
    average_pool,
    global_average_pool,
    global_max_pool,
    l2_normalisation,
    max_pool,
    reduce,
    resize,
    softmax,
)
from axynq.emulator.file_formats.onnx_quantised import (
    QOPERATORS,
    concatenated,
    dequantize_linear,
    quantize_linear,
)
from axynq.emulator.file_formats.onnx_reading import Reading
from axynq.emulator.file_formats.onnx_values import Curve, Fixed, Pending, Value, quantised
from axynq.emulator.file_formats.onnx_weighted import (
    convolution,
    dense,
    transposed_convolution,
)
from axynq.emulator.model.graph import Activation, Quantisation

Handler = Callable[[Reading, Node], "Value | list[Value]"]


# --- movements -----------------------------------------------------------------------------------


def apply(
    reading: Reading, x: Value, move: movement.Movement, name: str, pads: bool = False
) -> Value:
    """A movement of integers, of real numbers, or of a result that waits to be quantised; ``name``
    is what ONNX calls what comes of it."""
    drawing = reading.drawing

    def moved(value: Held | Flat) -> Held | Flat:
        since = len(drawing.tensors)
        result = move(drawing, value)
        return drawing.named(result, name, since) if isinstance(result, Held) else result

    if isinstance(x, Pending):
        shape = reading.tried(moved, x.shape)
        return replace(
            x, shape=shape, after=(*x.after, moved), padded=x.padded or pads, with_bias=None
        )
    if isinstance(x, Curve) and not pads:
        return replace(x, base=drawing.settled(moved(x.base)))
    return moved(reading.movable(x))


def _moving(make: Callable[[movement.Arguments], movement.Movement]) -> Handler:
    def handler(reading: Reading, node: Node) -> Value:
        move = make(reading.arguments(node))
        return apply(reading, reading.operand(node, 0), move, node.outputs[0])

    return handler


def _split(reading: Reading, node: Node) -> list[Value]:
    x = reading.operand(node, 0)
    moves = movement.split(reading.arguments(node))
    return [apply(reading, x, move, name) for move, name in zip(moves, node.outputs)]


def _pad(reading: Reading, node: Node) -> Value:
    def value_of(held: Held, number: float) -> int | None:
        quantisation = reading.quantisation(held)
        stored = int(quantised(np.array([number], np.float32), quantisation)[0])
        if not held.real:  # a number of the integers themselves
            stored = int(number) - (128 if held.unsigned else 0)
        return None if stored == quantisation.zero_point else stored

    move = movement.pad(reading.arguments(node), value_of)
    return apply(reading, reading.operand(node, 0), move, node.outputs[0], pads=True)


def _identity(reading: Reading, node: Node) -> Value:
    if node.kind == "Dropout" and len([name for name in node.outputs if name]) > 1:
        raise ModelError("gives its mask, which is not supported")
    return reading.operand(node, 0)


def _cast(reading: Reading, node: Node) -> Value:
    if int(node.attribute("to", 1)) != 1:
        raise ModelError("casts computed numbers to another type than float32")
    value = reading.operand(node, 0)
    if isinstance(value, (Held, Flat)):
        reading.movable(value, integers=False)
    return value


# --- layers --------------------------------------------------------------------------------------


def _conv(reading: Reading, node: Node) -> Value:
    x, weights = reading.operand(node, 0), reading.operand(node, 1)
    return convolution(reading, node, x, weights, reading.optional(node, 2))


def _conv_transpose(reading: Reading, node: Node) -> Value:
    x, weights = reading.operand(node, 0), reading.operand(node, 1)
    return transposed_convolution(reading, node, x, weights, reading.optional(node, 2))


def _gemm(reading: Reading, node: Node) -> Value:
    for name, usual in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
        if float(node.attribute(name, usual)) != usual:
            raise ModelError(f"has {name} {node.attribute(name, usual)}, which is not supported")
    axis = 0 if node.attribute("transB", 0) else 1
    x, weights = reading.operand(node, 0), reading.operand(node, 1)
    return dense(reading, node, x, weights, axis, reading.optional(node, 2))


def _matmul(reading: Reading, node: Node) -> Value:
    return dense(reading, node, reading.operand(node, 0), reading.operand(node, 1), 1, None)


def _concat(reading: Reading, node: Node) -> Value:
    values = [reading.operand(node, position) for position in range(len(node.inputs))]
    computed = [value for value in values if not isinstance(value, (np.ndarray, Fixed))]
    integers = [v for v in computed if isinstance(v, Held) and not v.real]
    if integers:
        first = integers[0]
        quantisation = reading.quantisation(first)
        if len(integers) != len(values) or any(
            (reading.quantisation(v), v.unsigned) != (quantisation, first.unsigned)
            for v in integers
        ):
            raise ModelError("joins integers that stand for different numbers")
        reals: list[Value] = [replace(v, real=True) for v in integers]
        joined = concatenated(reading, node, reals, quantisation)
        return replace(joined, real=False, unsigned=first.unsigned)
    for value in computed:
        if not isinstance(value, (Pending, Curve)):
            reading.movable(value, integers=False)
    rank = len(values[0].shape)
    axis = int(node.attribute("axis", 1))
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis < rank or any(len(value.shape) != rank for value in values):
        raise ModelError("joins what has different axes")
    total = sum(value.shape[axis] for value in values)
    shape = tuple(total if k == axis else n for k, n in enumerate(values[0].shape))

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        return concatenated(reading, node, values, quantisation)

    return Pending(node, shape, emit)


def _of_input(function: Callable[[Reading, Node, Value], Value]) -> Handler:
    return lambda reading, node: function(reading, node, reading.operand(node, 0))


def _resize(reading: Reading, node: Node) -> Value:
    return resize(reading, node, reading.operand(node, 0), reading.arguments(node))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum"), binary),
    **QOPERATORS,
    "AveragePool": _of_input(average_pool),
    "Cast": _cast,
    "Clip": clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _moving(movement.depth_to_space),
    "DequantizeLinear": dequantize_linear,
    "Dropout": _identity,
    "Flatten": _moving(movement.flatten),
    "Gather": _moving(movement.gather),
    "Gemm": _gemm,
    "GlobalAveragePool": _of_input(global_average_pool),
    "GlobalMaxPool": _of_input(global_max_pool),
    "Identity": _identity,
    "LeakyRelu": _of_input(leaky_relu),
    "LogSoftmax": _of_input(softmax),
    "LpNormalization": _of_input(l2_normalisation),
    "MatMul": _matmul,
    "MaxPool": _of_input(max_pool),
    "PRelu": prelu,
    "Pad": _pad,
    "QuantizeLinear": quantize_linear,
    "ReduceMax": _of_input(reduce),
    "ReduceMean": _of_input(reduce),
    "ReduceSum": _of_input(reduce),
    "Reshape": _moving(movement.reshape),
    "Resize": _resize,
    "Slice": _moving(movement.slice_),
    "Softmax": _of_input(softmax),
    "SpaceToDepth": _moving(movement.space_to_depth),
    "Split": _split,
    "Squeeze": _moving(movement.squeeze),
    "Transpose": _moving(movement.transpose),
    "Unsqueeze": _moving(movement.unsqueeze),
    "Upsample": _resize,
}
"""By the operator's name."""
