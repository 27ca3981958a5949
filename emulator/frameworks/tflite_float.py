# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks from float ``.tflite`` files, as TFLite's converter writes them without
quantisation.

Weights may be float16 or, with float activations, int8: they are taken as the real numbers that
they stand for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.problems import by_operator, content_of, errors_named
from axynq.emulator.file_formats.tflite_file import (
    Node,
    RawTensor,
    TFLiteFile,
    options_of,
    require_identifier,
    type_name,
)
from axynq.emulator.file_formats.tflite_problems import all_together, not_supported
from axynq.emulator.file_formats.tflite_reading import fused
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding
from axynq.emulator.model.windows import transposed_geometry
from axynq.emulator.quantisation import builder as building
from axynq.emulator.quantisation.builder import NetworkBuilder
from axynq.emulator.quantisation.float_network import FloatNetwork
from axynq.emulator.quantisation.simplification import simplified

FloatArray = npt.NDArray[np.float32]

_CODES = tflite.BuiltinOperator


def load_float_tflite(path: str | Path) -> FloatNetwork:
    """Read a float ``.tflite`` file.

    Raises:
        ModelError: the file cannot be read, is damaged, is quantised already, or has operators that
            int8 networks do not; the message lists them.
    """
    path = Path(path)
    content = content_of(path)
    require_identifier(content, path.name)
    with errors_named(path.name):
        return simplified(_Reader(content, path.stem).read())


Read = building.Node | npt.NDArray[Any]
"""A tensor of the network, or numbers."""


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self.file = TFLiteFile(content)
        self.builder = NetworkBuilder(name)
        self.values: dict[int, Read] = {}

    def read(self) -> FloatNetwork:
        raw = self.file.tensors
        ends = [raw[index] for index in (*self.file.inputs, *self.file.outputs)]
        others = [tensor for tensor in ends if tensor.type != tflite.TensorType.FLOAT32]
        if others:
            kinds = ", ".join(sorted({type_name(tensor.type) for tensor in others}))
            raise ModelError(
                f"its inputs or outputs are {kinds}, not float32: give the network as it was before"
                " it was quantised. One that is int8 already needs no quantisation"
            )
        for index in self.file.inputs:
            node = self.builder.add_input(raw[index].name, _stripped(raw[index]))
            self.values[index] = node
        unknown: list[Node] = []
        complaints: dict[str, list[Node]] = {}
        failed: set[int] = set()
        for operator in self.file.nodes:
            if any(index in failed for index in operator.inputs):
                failed.update(operator.outputs)
                continue
            if operator.code not in _HANDLERS:
                unknown.append(operator)
                failed.update(operator.outputs)
                continue
            try:
                self._import(operator)
            except ModelError as error:
                complaints.setdefault(str(error), []).append(operator)
                failed.update(operator.outputs)
        if unknown or complaints:
            raise all_together(
                not_supported(unknown, _HANDLERS), by_operator(complaints), _HANDLERS
            )
        self.builder.set_outputs([self.node(index) for index in self.file.outputs])
        return self.builder.network()

    def _import(self, operator: Node) -> None:
        made = _HANDLERS[operator.code](self, operator)
        results = made if isinstance(made, list) else [made]
        for index, result in zip(operator.outputs, results):
            if isinstance(result, building.Node):
                expected = _stripped(self.file.tensors[index])
                if result.shape != expected:
                    raise ModelError(
                        f"its output has shape {list(expected)} where {list(result.shape)} follows"
                    )
            self.values[index] = result

    # --- what handlers use -----------------------------------------------------------------------

    def node(self, index: int) -> building.Node:
        """A tensor that is computed."""
        value = self.value(index)
        if not isinstance(value, building.Node):
            raise ModelError("a constant is not supported here")
        return value

    def value(self, index: int) -> Read:
        """A tensor, or numbers; without the axis of images."""
        if index in self.values:
            return self.values[index]
        raw = self.file.tensors[index]
        if not raw.constant:
            raise ModelError(f"'{raw.name}' is read before it is computed")
        return self.numbers(index)

    def numbers(self, index: int) -> npt.NDArray[Any]:
        """Constant numbers, real ones where they stand for such."""
        if index in self.values and isinstance(self.values[index], np.ndarray):
            return np.asarray(self.values[index])
        raw = self.file.tensors[index]
        if raw.data is None:
            what = "is not a constant" if not raw.constant else f"is {type_name(raw.type)}"
            raise ModelError(f"'{raw.name}' {what}, where numbers are needed")
        return raw.data if not len(raw.scales) else _real(raw)

    def floats(self, operator: Node, place: int, filters: int) -> FloatArray:
        """A constant input, such as a bias; zeros where it is left out."""
        if place >= len(operator.inputs) or operator.inputs[place] < 0:
            return np.zeros(filters, np.float32)
        return np.asarray(self.numbers(operator.inputs[place]), np.float32).reshape(-1)

    def activated(self, x: building.Node, code: int) -> building.Node:
        """What a fused activation makes of it."""
        kind = fused(code)
        return x if kind == "none" else self.builder.lookup(x, kind)


def _stripped(raw: RawTensor) -> tuple[int, ...]:
    if not raw.shape or raw.shape[0] != 1:
        raise ModelError(
            f"tensor '{raw.name}' has shape {list(raw.shape)}: its first axis must be one image"
        )
    return raw.shape[1:]


def _real(raw: RawTensor) -> npt.NDArray[Any]:
    assert raw.data is not None
    if len(raw.scales) == 1:
        zero = raw.zero_points[0] if len(raw.zero_points) else 0
        return ((raw.data.astype(np.float64) - zero) * raw.scales[0]).astype(np.float32)
    shape = [-1 if k == raw.scale_axis else 1 for k in range(len(raw.shape))]
    return (raw.data * raw.scales.reshape(shape)).astype(np.float32)


# --- operators -----------------------------------------------------------------------------------


_Handler = Callable[[_Reader, Node], Any]


def _convolution(r: _Reader, node: Node) -> building.Node:
    o = options_of(node, tflite.Conv2DOptions)
    weights = np.asarray(r.numbers(node.inputs[1]), np.float32)
    x, window = r.node(node.inputs[0]), _window(o)
    bias = r.floats(node, 2, len(weights))
    groups = x.shape[-1] // weights.shape[-1]
    if groups == 1:
        y = r.builder.convolution(x, weights, bias, **window)
    else:
        each, channels, parts = len(weights) // groups, weights.shape[-1], []
        for group in range(groups):
            part = r.builder.slice(x, (0, 0, group * channels), (*x.shape[:2], channels))
            chosen = slice(group * each, (group + 1) * each)
            parts.append(r.builder.convolution(part, weights[chosen], bias[chosen], **window))
        y = r.builder.concatenate(parts)
    return r.activated(y, o.FusedActivationFunction())


def _depthwise(r: _Reader, node: Node) -> building.Node:
    o = options_of(node, tflite.DepthwiseConv2DOptions)
    weights = np.asarray(r.numbers(node.inputs[1]), np.float32)[0].transpose(2, 0, 1)[..., None]
    bias = r.floats(node, 2, len(weights))
    y = r.builder.depthwise(r.node(node.inputs[0]), weights, bias, **_window(o))
    return r.activated(y, o.FusedActivationFunction())


def _window(o: Any) -> dict[str, Any]:
    return {
        "stride": (o.StrideH(), o.StrideW()),
        "dilation": (max(o.DilationHFactor(), 1), max(o.DilationWFactor(), 1)),
        "same": o.Padding() == tflite.Padding.SAME,
    }


def _transposed(r: _Reader, node: Node) -> building.Node:
    o = options_of(node, tflite.TransposeConvOptions)
    weights = np.asarray(r.numbers(node.inputs[1]), np.float32)[:, ::-1, ::-1]
    x, target = r.node(node.inputs[2]), r.file.tensors[node.outputs[0]].shape
    stride = (o.StrideH(), o.StrideW())
    padding = transposed_geometry(
        (x.shape[0], x.shape[1]), (target[1], target[2]), (weights.shape[1], weights.shape[2]),
        stride, o.Padding() == tflite.Padding.SAME,
    )  # fmt: skip
    spread = r.builder.spread(x, stride, padding)
    bias = r.floats(node, 3, len(weights))
    y = r.builder.convolution(spread, np.ascontiguousarray(weights), bias, padding=Padding())
    return r.activated(y, o.FusedActivationFunction())


def _fully_connected(r: _Reader, node: Node) -> building.Node:
    o = options_of(node, tflite.FullyConnectedOptions)
    weights = np.asarray(r.numbers(node.inputs[1]), np.float32)
    x, bias = r.node(node.inputs[0]), r.floats(node, 2, len(weights))
    if (o.KeepNumDims() and len(x.shape) > 1) or math.prod(x.shape) != weights.shape[1]:
        positions = x.shape[:-1]
        flat = r.builder.reshape(x, (math.prod(positions), 1, x.shape[-1]))
        y = r.builder.convolution(flat, weights[:, None, None], bias, padding=Padding())
        y = r.builder.reshape(y, r.file.tensors[node.outputs[0]].shape[1:])
    else:
        y = r.builder.fully_connected(x, weights, bias)
    return r.activated(y, o.FusedActivationFunction())


def _pair(kind: graph.ElementwiseKind, options: type[Any] | None) -> _Handler:
    def handler(r: _Reader, node: Node) -> Read:
        first, second = (r.value(index) for index in node.inputs[:2])
        if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            raise ModelError("two constants are paired")
        nodes = [
            r.builder.constant(_of_images(value)) if isinstance(value, np.ndarray) else value
            for value in (first, second)
        ]
        y = r.builder.elementwise(kind, nodes[0], nodes[1])
        if options is None or node.options is None:
            return y
        return r.activated(y, options_of(node, options).FusedActivationFunction())

    return handler


def _of_images(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers without the axis of images, if they have one."""
    if values.ndim == 0:
        return values.reshape(1)
    return values[0] if values.ndim > 1 and values.shape[0] == 1 else values


def _divide(r: _Reader, node: Node) -> building.Node:
    value = r.value(node.inputs[1])
    if not isinstance(value, np.ndarray):
        raise ModelError("a division by computed values")
    if not np.all(value):
        raise ModelError("a division by zero")
    factor = r.builder.constant(1 / _of_images(value))
    y = r.builder.elementwise("multiply", r.node(node.inputs[0]), factor)
    return r.activated(y, options_of(node, tflite.DivOptions).FusedActivationFunction())


def _lookup(kind: graph.LookupKind) -> _Handler:
    return lambda r, node: r.builder.lookup(r.node(node.inputs[0]), kind)


def _leaky_relu(r: _Reader, node: Node) -> building.Node:
    alpha = float(options_of(node, tflite.LeakyReluOptions).Alpha())
    return r.builder.lookup(r.node(node.inputs[0]), "leaky_relu", alpha)


def _gelu(r: _Reader, node: Node) -> building.Node:
    approximate = bool(options_of(node, tflite.GeluOptions).Approximate())
    return r.builder.lookup(r.node(node.inputs[0]), "gelu", float(approximate))


def _prelu(r: _Reader, node: Node) -> building.Node:
    slopes = r.builder.constant(_of_images(r.numbers(node.inputs[1])))
    return r.builder.elementwise("prelu", r.node(node.inputs[0]), slopes)


def _pool(kind: Literal["average", "max"]) -> _Handler:
    def handler(r: _Reader, node: Node) -> building.Node:
        o = options_of(node, tflite.Pool2DOptions)
        y = r.builder.pool(
            r.node(node.inputs[0]), kind, (o.FilterHeight(), o.FilterWidth()),
            (o.StrideH(), o.StrideW()), same=o.Padding() == tflite.Padding.SAME,
        )  # fmt: skip
        return r.activated(y, o.FusedActivationFunction())

    return handler


def _reduce(kind: Literal["mean", "sum"]) -> _Handler:
    def handler(r: _Reader, node: Node) -> building.Node:
        x = r.node(node.inputs[0])
        rank = len(x.shape) + 1
        axes = [int(axis) % rank for axis in np.asarray(r.numbers(node.inputs[1])).reshape(-1)]
        if 0 in axes:
            raise ModelError("it works along the images")
        keep = bool(options_of(node, tflite.ReducerOptions).KeepDims())
        return r.builder.reduce(x, kind, [axis - 1 for axis in axes], keep)

    return handler


def _reshape(r: _Reader, node: Node) -> building.Node:
    return r.builder.reshape(r.node(node.inputs[0]), _stripped(r.file.tensors[node.outputs[0]]))


def _softmax(r: _Reader, node: Node) -> building.Node:
    return r.builder.softmax(
        r.node(node.inputs[0]), float(options_of(node, tflite.SoftmaxOptions).Beta())
    )


def _pad(r: _Reader, node: Node) -> building.Node:
    amounts = np.asarray(r.numbers(node.inputs[1])).astype(np.int64).tolist()
    if any(amounts[0]):
        raise ModelError("it works along the images")
    value = float(r.numbers(node.inputs[2]).reshape(-1)[0]) if len(node.inputs) > 2 else 0.0
    before, after = zip(*amounts[1:])
    return r.builder.pad(r.node(node.inputs[0]), before, after, value)


def _concatenation(r: _Reader, node: Node) -> building.Node:
    o = options_of(node, tflite.ConcatenationOptions)
    values = [r.value(index) for index in node.inputs]
    xs = [r.builder.constant(v[0]) if isinstance(v, np.ndarray) else v for v in values]
    axis = o.Axis() % (len(xs[0].shape) + 1)
    if axis == 0:
        raise ModelError("it works along the images")
    return r.activated(r.builder.concatenate(xs, axis - 1), o.FusedActivationFunction())


def _slice(r: _Reader, node: Node) -> building.Node:
    x, target = r.node(node.inputs[0]), _stripped(r.file.tensors[node.outputs[0]])
    begin = np.asarray(r.numbers(node.inputs[1])).astype(np.int64).tolist()
    return r.builder.slice(x, begin[1:], target)


def _strided_slice(r: _Reader, node: Node) -> building.Node:
    o = options_of(node, tflite.StridedSliceOptions)
    x = r.node(node.inputs[0])
    if o.EllipsisMask() or o.NewAxisMask() or o.ShrinkAxisMask() & 1:
        raise ModelError("an ellipsis, a new axis, or one image of several")
    begins, ends, steps = (
        np.asarray(r.numbers(index)).astype(np.int64).tolist() for index in node.inputs[1:4]
    )
    starts, sizes, strides, kept = [], [], [], []
    for axis, length in enumerate((1, *x.shape)):
        bit = 1 << axis
        shrinks = bool(o.ShrinkAxisMask() & bit)
        begin = None if o.BeginMask() & bit or axis >= len(begins) else begins[axis]
        end = None if o.EndMask() & bit or axis >= len(ends) else ends[axis]
        step = steps[axis] if axis < len(steps) else 1
        if shrinks:  # one value, wherever its end is said to be
            begin = (begin or 0) % length
            end, step = begin + 1, 1
        found = range(length)[slice(begin, end, step)]
        if axis:
            starts.append(found.start)
            sizes.append(len(found))
            strides.append(found.step)
            if not shrinks:
                kept.append(len(found))
    y = r.builder.slice(x, starts, sizes, strides)
    return r.builder.reshape(y, tuple(kept)) if len(kept) < len(sizes) else y


def _split(r: _Reader, node: Node) -> list[building.Node]:
    axis_place, place = (0, 1) if node.code == _CODES.SPLIT else (2, 0)
    x = r.node(node.inputs[place])
    axis = int(r.numbers(node.inputs[axis_place]).reshape(-1)[0]) % (len(x.shape) + 1)
    if axis == 0:
        raise ModelError("it works along the images")
    parts, at = [], 0
    for index in node.outputs:
        shape = _stripped(r.file.tensors[index])
        begin = [0] * len(x.shape)
        begin[axis - 1] = at
        parts.append(r.builder.slice(x, begin, shape))
        at += shape[axis - 1]
    return parts


def _transpose(r: _Reader, node: Node) -> building.Node:
    order = np.asarray(r.numbers(node.inputs[1])).astype(np.int64).tolist()
    if order[0] != 0:
        raise ModelError("it moves the images to another axis")
    return r.builder.transpose(r.node(node.inputs[0]), [axis - 1 for axis in order[1:]])


def _resize(r: _Reader, node: Node) -> building.Node:
    nearest = node.code == _CODES.RESIZE_NEAREST_NEIGHBOR
    kind = tflite.ResizeNearestNeighborOptions if nearest else tflite.ResizeBilinearOptions
    o = options_of(node, kind)
    rows, columns, _ = _stripped(r.file.tensors[node.outputs[0]])
    method = r.builder.resize_nearest if nearest else r.builder.resize_bilinear
    corners, halves = bool(o.AlignCorners()), bool(o.HalfPixelCenters())
    return method(r.node(node.inputs[0]), (rows, columns), corners, halves)


def _depth_to_space(r: _Reader, node: Node) -> building.Node:
    block = options_of(node, tflite.DepthToSpaceOptions).BlockSize()
    return r.builder.depth_to_space(r.node(node.inputs[0]), block)


def _space_to_depth(r: _Reader, node: Node) -> building.Node:
    block = options_of(node, tflite.SpaceToDepthOptions).BlockSize()
    return r.builder.space_to_depth(r.node(node.inputs[0]), block)


def _dequantize(r: _Reader, node: Node) -> FloatArray:
    return np.asarray(r.numbers(node.inputs[0]), np.float32)


_HANDLERS: dict[int, _Handler] = {
    _CODES.CONV_2D: _convolution,
    _CODES.DEPTHWISE_CONV_2D: _depthwise,
    _CODES.TRANSPOSE_CONV: _transposed,
    _CODES.FULLY_CONNECTED: _fully_connected,
    _CODES.ADD: _pair("add", tflite.AddOptions),
    _CODES.SUB: _pair("subtract", tflite.SubOptions),
    _CODES.MUL: _pair("multiply", tflite.MulOptions),
    _CODES.DIV: _divide,
    _CODES.MAXIMUM: _pair("maximum", None),
    _CODES.MINIMUM: _pair("minimum", None),
    _CODES.RELU: _lookup("relu"),
    _CODES.RELU6: _lookup("relu6"),
    _CODES.RELU_N1_TO_1: _lookup("relu_n1_to_1"),
    _CODES.RELU_0_TO_1: _lookup("relu_0_to_1"),
    _CODES.LOGISTIC: _lookup("logistic"),
    _CODES.TANH: _lookup("tanh"),
    _CODES.HARD_SWISH: _lookup("hard_swish"),
    _CODES.EXP: _lookup("exponential"),
    _CODES.ABS: _lookup("absolute"),
    _CODES.RSQRT: _lookup("reciprocal_square_root"),
    _CODES.LEAKY_RELU: _leaky_relu,
    _CODES.GELU: _gelu,
    _CODES.PRELU: _prelu,
    _CODES.AVERAGE_POOL_2D: _pool("average"),
    _CODES.MAX_POOL_2D: _pool("max"),
    _CODES.MEAN: _reduce("mean"),
    _CODES.SUM: _reduce("sum"),
    _CODES.RESHAPE: _reshape,
    _CODES.SQUEEZE: _reshape,
    _CODES.EXPAND_DIMS: _reshape,
    _CODES.SOFTMAX: _softmax,
    _CODES.LOG_SOFTMAX: lambda r, node: r.builder.log_softmax(r.node(node.inputs[0])),
    _CODES.L2_NORMALIZATION: lambda r, node: r.builder.l2_normalisation(r.node(node.inputs[0])),
    _CODES.PAD: _pad,
    _CODES.PADV2: _pad,
    _CODES.CONCATENATION: _concatenation,
    _CODES.SLICE: _slice,
    _CODES.STRIDED_SLICE: _strided_slice,
    _CODES.SPLIT: _split,
    _CODES.SPLIT_V: _split,
    _CODES.TRANSPOSE: _transpose,
    _CODES.RESIZE_NEAREST_NEIGHBOR: _resize,
    _CODES.RESIZE_BILINEAR: _resize,
    _CODES.DEPTH_TO_SPACE: _depth_to_space,
    _CODES.SPACE_TO_DEPTH: _space_to_depth,
    _CODES.DEQUANTIZE: _dequantize,
}
