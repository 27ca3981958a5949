# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks from ONNX files, operator by operator.

Maps are channels first there and channels last here (:mod:`quantisation.channels_first`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats import onnx_file
from axynq.emulator.file_formats.onnx_file import Array, Node
from axynq.emulator.file_formats.onnx_formulas import UNARY
from axynq.emulator.file_formats.onnx_reader import is_quantised
from axynq.emulator.file_formats.onnx_windows import pads_of, transposed_window, window_of
from axynq.emulator.file_formats.problems import content_of, errors_named
from axynq.emulator.frameworks.onnx_float_importer import Function, Importer, Operand
from axynq.emulator.frameworks.onnx_float_movement import MOVEMENTS, axis_of
from axynq.emulator.frameworks.onnx_functions import GRID
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding
from axynq.emulator.quantisation.channels_first import Value
from axynq.emulator.quantisation.float_network import FloatNetwork


def load_float_onnx(path: str | Path) -> FloatNetwork:
    """The float network of an ONNX file.

    Raises:
        ModelError: the file cannot be read, is damaged, is quantised, or uses operators or options
            that int8 networks do not have. The message names all offences of a kind.
        ToolError: the package ``onnx`` is not installed.
    """
    path = Path(path)
    return parse_float_onnx(content_of(path), path.name, path.parent)


def parse_float_onnx(
    content: bytes, name: str = "model", folder: Path | None = None
) -> FloatNetwork:
    """As :func:`load_float_onnx`, from the file's content; ``name`` is used in messages, and
    ``folder`` is where constants in other files lie."""
    with errors_named(name):
        file = onnx_file.parse(content, folder)
        if is_quantised(file):
            raise ModelError(
                "is quantised already: load_model and all other commands take it as it is"
            )
        return Importer(file, Path(name).stem, HANDLERS).read()


# --- functions of single values ------------------------------------------------------------------


def _function(importer: Importer, operand: Operand) -> Function:
    if isinstance(operand, Function):
        return operand
    value = importer.value(operand)
    return Function(value, GRID, lambda: value, value)


_FORMULAS: dict[str, Callable[[Array, Node], Array]] = {
    **UNARY,
    # Not among them: int8 networks have its slope in float32.
    "LeakyRelu": lambda x, node: np.where(x < 0, node.attribute("alpha", 0.01) * x, x),
}


def _unary(make: Callable[[Importer, Node, Value], Value] | None = None) -> Any:
    """A reader of a function; ``make`` makes it of what the graph has."""

    def handler(importer: Importer, node: Node) -> Function:
        operand = importer.operand(node, 0)
        before = _function(importer, operand)

        def made() -> Value:
            if make is None:
                raise ModelError(
                    f"{node.kind} (operator {node.place}) is supported as a part of a function "
                    "that int8 networks have, such as GELU, alone"
                )
            return make(importer, node, importer.value(operand))

        with np.errstate(all="ignore"):
            return Function(before.base, _FORMULAS[node.kind](before.samples, node), made)

    return handler


def _elu(importer: Importer, node: Node, x: Value) -> Value:
    if float(node.attribute("alpha", 1.0)) != 1.0:
        raise ModelError("has another alpha than 1, which is not supported")
    return importer.first.elu(x)


def _bounds(importer: Importer, node: Node) -> tuple[float, float]:
    # Limits beyond what float32 holds are none.
    largest = float(np.finfo(np.float32).max)
    low, high = importer.limits(node)
    return (-math.inf if low <= -largest else low), (math.inf if high >= largest else high)


def _clip(importer: Importer, node: Node) -> Function:
    low, high = _bounds(importer, node)
    operand = importer.operand(node, 0)
    before = _function(importer, operand)

    def made() -> Value:
        return importer.first.clip(importer.value(operand), low, high)

    return Function(before.base, np.clip(before.samples, low, high), made)


def _prelu(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    slopes = importer.constant(node, 1, "slope")
    if slopes.size == 1:
        return importer.first.prelu(x, slopes)
    return importer.first.elementwise("prelu", x, slopes)


# --- pairs ---------------------------------------------------------------------------------------

_PAIRS: dict[str, tuple[graph.ElementwiseKind, Callable[[Array, Array], Array]]] = {
    "Add": ("add", np.add),
    "Sum": ("add", np.add),
    "Sub": ("subtract", np.subtract),
    "Mul": ("multiply", np.multiply),
    "Max": ("maximum", np.maximum),
    "Min": ("minimum", np.minimum),
}


def _binary(importer: Importer, node: Node) -> Operand:
    kind, function = _PAIRS[node.kind]
    x = importer.operand(node, 0)
    for position in range(1, len(node.inputs)):
        x = _pair(importer, kind, function, x, importer.operand(node, position))
    return x


def _divide(importer: Importer, node: Node) -> Operand:
    divisor = importer.constant(node, 1, "divisor").astype(np.float32)
    with np.errstate(divide="ignore"):
        reciprocal = np.asarray(1 / divisor, np.float32)
    if not np.isfinite(reciprocal).all():
        raise ModelError("divides by 0")
    return _pair(importer, "multiply", np.multiply, importer.operand(node, 0), reciprocal)


def _power(importer: Importer, node: Node) -> Operand:
    exponents = importer.constant(node, 1, "exponent")
    if exponents.size != 1:
        raise ModelError("has several exponents; one for all values is supported")
    exponent = float(exponents.reshape(-1)[0])
    operand = importer.operand(node, 0)
    before = _function(importer, operand)

    def made() -> Value:
        if exponent not in (1.0, 2.0, 3.0, 4.0):
            raise ModelError(f"the power of {exponent} is not supported")
        x = importer.value(operand)
        result = x
        for _ in range(int(exponent) - 1):
            result = importer.first.elementwise("multiply", result, x)
        return result

    with np.errstate(all="ignore"):
        return Function(before.base, np.power(before.samples, exponent), made)


def _pair(
    importer: Importer,
    kind: graph.ElementwiseKind,
    function: Callable[[Array, Array], Array],
    x: Operand,
    y: Operand,
) -> Operand:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):  # of a Sum, Max or Min of several
        return function(x, y)

    def made() -> Value:
        first, second = (v if isinstance(v, np.ndarray) else importer.value(v) for v in (x, y))
        if isinstance(first, Value) and isinstance(second, Value):
            rank = max(len(first.shape), len(second.shape))
            first, second = (_ranked(importer, v, rank) for v in (first, second))
        for v, other in ((first, second), (second, first)):
            if isinstance(v, np.ndarray) and isinstance(other, Value):
                _check_constant(v, other)
        return importer.first.elementwise(kind, first, second)

    samples, bases = [], []
    for operand in (x, y):
        if isinstance(operand, np.ndarray):
            if operand.size != 1:
                return made()
            samples.append(np.full_like(GRID, float(operand.reshape(-1)[0])))
        else:
            before = _function(importer, operand)
            samples.append(before.samples)
            bases.append(before.base)
    if len({id(base.node) for base in bases}) != 1 or any(base != bases[0] for base in bases):
        return made()
    return Function(bases[0], function(*samples), made)


def _check_constant(values: Array, other: Value) -> None:
    shape = values.shape
    while len(shape) > len(other.shape) and shape[0] == 1:
        shape = shape[1:]
    fits = len(shape) <= len(other.shape) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(other.shape))
    )
    if not fits:
        raise ModelError(f"pairs numbers {list(values.shape)} with {[1, *other.shape]}")


def _ranked(importer: Importer, value: Value, rank: int) -> Value:
    while len(value.shape) < rank:
        value = importer.first.unsqueeze(value, 0)
    return value


# --- layers --------------------------------------------------------------------------------------


def _as_map(importer: Importer, x: Value) -> tuple[Value, bool]:
    """A sequence [channels, values] as a map of one row, and whether it was one."""
    if len(x.shape) == 2:
        return importer.first.unsqueeze(x, 1), True
    if len(x.shape) != 3:
        raise ModelError(f"input has shape {[1, *x.shape]}, not [1, channels, rows, columns]")
    return x, False


def _back(importer: Importer, y: Value, sequence: bool) -> Value:
    return importer.first.squeeze(y, [1]) if sequence else y


def _weights(importer: Importer, node: Node, sequence: bool) -> npt.NDArray[np.float32]:
    weights = importer.constant(node, 1, "weights").astype(np.float32)
    weights = weights[:, :, None, :] if sequence and weights.ndim == 3 else weights
    if weights.ndim != 4 or 0 in weights.shape:
        raise ModelError(f"has weights of shape {list(weights.shape)}")
    return weights


def _bias(importer: Importer, node: Node) -> npt.NDArray[np.float32] | None:
    if importer.optional(node, 2) is None:
        return None
    return importer.constant(node, 2, "bias").astype(np.float32).reshape(-1)


def _convolution(importer: Importer, node: Node) -> Value:
    x, sequence = _as_map(importer, importer.computed(node))
    weights = _weights(importer, node, sequence)
    window = window_of(node, x.shape, weights.shape[2:])
    y = importer.first.convolution(
        x, weights, _bias(importer, node), stride=window.stride, padding=window.padding,
        dilation=window.dilation, groups=int(node.attribute("group", 1)),
    )  # fmt: skip
    return _back(importer, y, sequence)


def _transposed_convolution(importer: Importer, node: Node) -> Value:
    x, sequence = _as_map(importer, importer.computed(node))
    weights = _weights(importer, node, sequence)
    stride, _, around, dilation = transposed_window(node, x.shape[1:], weights.shape[2:])
    extent = [(k - 1) * d for k, d in zip(weights.shape[2:], dilation)]
    padding = Padding(
        extent[0] - around.top, extent[0] - around.bottom,
        extent[1] - around.left, extent[1] - around.right,
    )  # fmt: skip
    y = importer.first.transposed_convolution(
        x, weights, _bias(importer, node), stride=stride, padding=padding, dilation=dilation,
        groups=int(node.attribute("group", 1)),
    )  # fmt: skip
    return _back(importer, y, sequence)


def _gemm(importer: Importer, node: Node) -> Value:
    if node.attribute("transA", 0):
        raise ModelError("has transA, which is not supported")
    x = importer.computed(node)
    weights = importer.constant(node, 1, "weights").astype(np.float32)
    weights = weights if node.attribute("transB", 0) else weights.T
    bias = _bias(importer, node)
    with np.errstate(invalid="ignore", over="ignore"):
        weights = weights * np.float32(node.attribute("alpha", 1.0))
        if bias is not None:
            bias = np.broadcast_to(bias, (len(weights),)) * np.float32(node.attribute("beta", 1.0))
    return _linear(importer, x, weights, bias)


def _matmul(importer: Importer, node: Node) -> Value:
    if isinstance(importer.operand(node, 0), np.ndarray):
        raise ModelError("multiplies a constant by a computed matrix, which is not supported")
    if not isinstance(importer.operand(node, 1), np.ndarray):
        raise ModelError(
            "multiplies two computed matrices; only a product with constant weights is supported"
        )
    x, weights = importer.computed(node), importer.constant(node, 1, "weights").astype(np.float32)
    if weights.ndim != 2:
        raise ModelError(f"has weights of shape {list(weights.shape)}; two dimensions are needed")
    readers = [other for other in importer.file.nodes if node.outputs[0] in other.inputs]
    ends = [end.name for end in importer.file.outputs]
    if len(readers) == 1 and readers[0].kind == "Add" and node.outputs[0] not in ends:
        others = [name for name in readers[0].inputs if name != node.outputs[0]]
        bias = importer.values.get(others[0]) if len(others) == 1 else None
        if isinstance(bias, np.ndarray) and bias.shape in ((weights.shape[1],), (1,)):
            terms = np.broadcast_to(bias.astype(np.float32), (weights.shape[1],))
            y = _linear(importer, x, weights.T, terms)
            importer.values[readers[0].outputs[0]] = y
            return y
    return _linear(importer, x, weights.T, None)


def _linear(
    importer: Importer,
    x: Value,
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32] | None,
) -> Value:
    if not x.shape or x.shape[-1] != weights.shape[1]:
        raise ModelError(f"its weights expect {weights.shape[1]} inputs, not {[1, *x.shape]}")
    return importer.first.linear(x, np.ascontiguousarray(weights), bias)


def _normalisation(importer: Importer, node: Node) -> Value:
    if node.attribute("training_mode", 0):
        raise ModelError("is in training mode: export the network for inference")
    x = importer.computed(node)
    scale, bias, mean, variance = (
        importer.constant(node, position, "numbers").astype(np.float64) for position in range(1, 5)
    )
    factors = scale / np.sqrt(variance + float(node.attribute("epsilon", 1e-5)))
    if len(factors) != x.shape[0]:
        raise ModelError(f"has {len(factors)} channels for {[1, *x.shape]}")
    terms = bias - mean * factors
    return importer.first.affine(x, factors.astype(np.float32), terms.astype(np.float32))


# --- pooling -------------------------------------------------------------------------------------


def _pool(importer: Importer, node: Node) -> Value:
    if len([name for name in node.outputs if name]) > 1:
        raise ModelError("gives the places of its maxima, which is not supported")
    x, sequence = _as_map(importer, importer.computed(node))
    kernel = [int(n) for n in node.attribute("kernel_shape", [])]
    kernel = [1] * (2 - len(kernel)) + kernel
    # What SAME pads leaves nothing to round up.
    same = str(node.attribute("auto_pad", "NOTSET")).startswith("SAME")
    ceil = bool(node.attribute("ceil_mode", 0)) and not same
    window = window_of(node, x.shape, kernel)
    if window.dilation != (1, 1):
        raise ModelError("has dilations, which are not supported in pooling")
    padding = window.padding
    if ceil:
        pads = pads_of(node)
        padding = Padding(pads[0], pads[2], pads[1], pads[3])
    kind: Literal["average", "max"] = "max" if node.kind == "MaxPool" else "average"
    y = importer.first.pool(
        x, kind, (kernel[0], kernel[1]), window.stride, padding, ceil=ceil,
        count_padding=bool(node.attribute("count_include_pad", 0)),
    )  # fmt: skip
    return _back(importer, y, sequence)


def _global(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    axes = tuple(range(1, len(x.shape)))
    kind: Literal["mean", "max"] = "max" if node.kind == "GlobalMaxPool" else "mean"
    return importer.first.reduce(x, kind, axes, True)


def _reduce(importer: Importer, node: Node) -> Value:
    axes = importer.numbers(node, "axes", 1, "list of axes")
    x = importer.computed(node)
    kinds: dict[str, Literal["mean", "sum", "max"]] = {
        "ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max",
    }  # fmt: skip
    if not axes:
        raise ModelError("is over all axes, images too, which is not supported")
    places = [axis_of(axis, x) for axis in axes]
    return importer.first.reduce(x, kinds[node.kind], places, bool(node.attribute("keepdims", 1)))


def _softmax(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    axis = axis_of(int(node.attribute("axis", -1 if importer.file.opset >= 13 else 1)), x)
    if importer.file.opset < 13 and any(n > 1 for n in x.shape[axis + 1 :]):
        raise ModelError("is over several axes, as before opset 13, which is not supported")
    return importer.first.softmax(x, axis, node.kind == "LogSoftmax")


def _length(importer: Importer, node: Node) -> Value:
    if int(node.attribute("p", 2)) != 2:
        raise ModelError("is supported for p = 2 alone")
    x = importer.computed(node)
    return importer.first.l2_normalisation(x, axis_of(int(node.attribute("axis", -1)), x))


def _identity(importer: Importer, node: Node) -> Operand:
    if node.kind == "Dropout" and len([name for name in node.outputs if name]) > 1:
        raise ModelError("gives its mask, which is not supported")
    if node.kind == "Cast" and int(node.attribute("to", 1)) != 1:
        raise ModelError("casts computed numbers to another type than float32")
    return importer.operand(node, 0)


def _lookup(kind: graph.LookupKind) -> Callable[[Importer, Node, Value], Value]:
    return lambda importer, node, x: importer.first.lookup(x, kind)


HANDLERS: dict[str, Callable[[Importer, Node], Any]] = {
    **dict.fromkeys(_PAIRS, _binary),
    **dict.fromkeys(("Identity", "Dropout", "Cast"), _identity),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceSum"), _reduce),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **MOVEMENTS,
    "Abs": _unary(_lookup("absolute")),
    "BatchNormalization": _normalisation,
    "Clip": _clip,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Div": _divide,
    "Elu": _unary(_elu),
    "Erf": _unary(),
    "Exp": _unary(_lookup("exponential")),
    "Gelu": _unary(
        lambda importer, node, x: importer.first.lookup(
            x, "gelu", 1.0 if node.attribute("approximate", "none") == "tanh" else 0.0
        ),
    ),
    "Gemm": _gemm,
    "HardSigmoid": _unary(
        lambda importer, node, x: importer.first.hard_sigmoid(
            x, float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))
        ),
    ),
    "HardSwish": _unary(_lookup("hard_swish")),
    "LeakyRelu": _unary(
        lambda importer, node, x: importer.first.lookup(
            x, "leaky_relu", float(node.attribute("alpha", 0.01))
        ),
    ),
    "LpNormalization": _length,
    "MatMul": _matmul,
    "Neg": _unary(
        lambda importer, node, x: importer.first.elementwise("multiply", x, np.float32(-1)),
    ),
    "PRelu": _prelu,
    "Pow": _power,
    "Relu": _unary(_lookup("relu")),
    "Sigmoid": _unary(_lookup("logistic")),
    "Tanh": _unary(_lookup("tanh")),
}  # fmt: skip
"""By the operator's name."""
