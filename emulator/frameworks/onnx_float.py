"""Float networks from ONNX files, operator by operator.

Maps are channels first there and channels last here (:mod:`quantisation.channels_first`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats import onnx_file
from axynq.emulator.file_formats.onnx_file import Array, Node, OnnxFile
from axynq.emulator.file_formats.onnx_folding import FOLDED, fold
from axynq.emulator.file_formats.onnx_hints import hints
from axynq.emulator.file_formats.onnx_movement import (
    Arguments,
    completed,
    coordinate_mode,
    nearest_kind,
    require_whole_sizes,
    resized_shape,
)
from axynq.emulator.file_formats.onnx_reader import (
    constant_of,
    input_order,
    input_shape,
    is_quantised,
    output_order,
    shape_of,
)
from axynq.emulator.file_formats.onnx_walk import NONSENSE, walked
from axynq.emulator.file_formats.onnx_weighted import transposed_window
from axynq.emulator.file_formats.onnx_windows import window_of
from axynq.emulator.file_formats.problems import (
    DamagedError,
    by_operator,
    together,
    unknown_operators,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding
from axynq.emulator.quantisation.channels_first import ChannelsFirst, Value
from axynq.emulator.quantisation.float_network import FloatNetwork

_FAR = np.geomspace(9, 1e30, 600)
GRID = np.concatenate([-_FAR[::-1], np.linspace(-9, 9, 1441), _FAR])
"""Where functions are compared: closely around 0, and far out, where limits may be."""


def load_float_onnx(path: str | Path) -> FloatNetwork:
    """The float network of an ONNX file.

    Raises:
        ModelError: the file cannot be read, is damaged, is quantised, or uses operators or options
            that int8 networks do not have. The message names all offences of a kind.
        ToolError: the package ``onnx`` is not installed.
    """
    path = Path(path)
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be read: {error.strerror}") from error
    return parse_float_onnx(content, path.name, path.parent)


def parse_float_onnx(
    content: bytes, name: str = "model", folder: Path | None = None
) -> FloatNetwork:
    """As :func:`load_float_onnx`, from the file's content; ``name`` is used in messages, and
    ``folder`` is where constants in other files lie."""
    try:
        file = onnx_file.parse(content, folder)
        if is_quantised(file):
            raise ModelError(
                "is quantised already: load_model and all other commands take it as it is"
            )
        return _Importer(file, Path(name).stem).read()
    except ModelError as error:
        raise ModelError(f"'{name}': {error}") from error.__cause__
    except NONSENSE as error:
        raise ModelError(f"'{name}' is damaged ({type(error).__name__}: {error})") from error


@dataclass(eq=False)
class Function:
    """A function of each value of a tensor by itself, made when something needs it."""

    base: Value
    samples: Array
    """Its results on :data:`GRID`."""
    make: Callable[[], Value]
    """Makes it of the operators that the file has."""
    made: Value | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape


Operand = Value | Function | Array


@dataclass
class _Importer:
    file: OnnxFile
    name: str
    values: dict[str, Operand] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.first = ChannelsFirst(self.name)

    def read(self) -> FloatNetwork:
        self.values.update(self.file.constants)
        problems = []
        for end in self.file.inputs:
            if not any(end.name in node.inputs for node in self.file.nodes):
                continue
            try:
                if end.type != "float32":
                    raise ModelError(f"its input '{end.name}' is {end.type}; float32 is supported")
                shape = input_shape(end)
                channels_last = len(shape) == 4 and input_order(self.file, end.name, shape)[0] == 1
                self.values[end.name] = self._input(end.name, shape, channels_last)
            except ModelError as error:
                problems.append(str(error))
                self.unread.add(end.name)
        unknown, found = walked(self.file, self._known, self._node, self.unread)
        problems += by_operator(found)
        if unknown or problems:
            raise together(unknown_operators(unknown, hints), problems, HANDLERS)
        outputs = []
        for end in self.file.outputs:
            value = self.values.get(end.name)
            if value is None:
                raise DamagedError(f"is damaged: no operator computes the output '{end.name}'")
            if isinstance(value, np.ndarray):
                raise ModelError(f"its output '{end.name}' is a constant")
            outputs.append(self._output(end.name, self.value(value)))
        return self.first.finish(outputs)

    def _input(self, name: str, shape: tuple[int, ...], channels_last: bool) -> Value:
        """A map that the file has with channels last keeps them there."""
        if not channels_last:
            return self.first.input(name, shape[1:])
        rows, columns, channels = shape[1:]
        turned = self.first.input(name, (channels, rows, columns))
        return self.first.permute(turned, (1, 2, 0))

    def _output(self, name: str, value: Value) -> Value:
        """A map with channels last, but where the file has them so."""
        order = output_order(self.file, name, (1, *value.shape))
        places = tuple(axis - 1 for axis in order)
        return Value(self.first.arranged(value, places), places)

    def _known(self, node: Node) -> bool:
        return (
            node.kind in HANDLERS
            or node.kind in ("Constant", "Shape", "Size")
            or (node.kind in FOLDED and self._constant(node))
        )

    def _constant(self, node: Node) -> bool:
        return all(isinstance(self.values.get(name), np.ndarray) for name in node.inputs if name)

    def _node(self, node: Node) -> None:
        if all(name in self.values for name in node.outputs if name) and any(node.outputs):
            if node.kind != "Add":  # a bias that became part of a layer
                raise DamagedError("is damaged: it computes a tensor that is there already")
            return
        result = self._result(node)
        results = result if isinstance(result, list) else [result]
        if len(results) < len([name for name in node.outputs if name]):
            raise ModelError(f"has {len(node.outputs)} outputs")
        for name, value in zip(node.outputs, results):
            if name:
                self.values[name] = value

    def _result(self, node: Node) -> Operand | list[Operand]:
        inputs = [self.optional(node, position) for position in range(len(node.inputs))]
        if node.kind == "Constant":
            return constant_of(node)
        if node.kind in ("Shape", "Size") and inputs and inputs[0] is not None:
            shape = inputs[0].shape
            images = () if isinstance(inputs[0], np.ndarray) else (1,)
            return shape_of(node, (*images, *shape))
        if self._constant(node) and node.kind in FOLDED:
            given = [value if isinstance(value, np.ndarray) else None for value in inputs]
            return list(fold(node, given, self.file.opsets))
        return HANDLERS[node.kind](self, node)

    # --- what handlers use -----------------------------------------------------------------------

    def optional(self, node: Node, position: int) -> Operand | None:
        """An input; None where it is left out."""
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        if node.inputs[position] not in self.values:
            raise DamagedError(f"is damaged: it reads '{node.inputs[position]}', which is nowhere")
        return self.values[node.inputs[position]]

    def operand(self, node: Node, position: int) -> Operand:
        """An input."""
        found = self.optional(node, position)
        if found is None:
            raise ModelError(f"lacks input {position}")
        return found

    def value(self, operand: Operand) -> Value:
        """A computed tensor."""
        if isinstance(operand, np.ndarray):
            raise ModelError("takes a constant where only a computed tensor is supported")
        if isinstance(operand, Value):
            return operand
        if operand.made is None:
            kind = _known_function(operand.samples)
            if kind is None:
                operand.made = operand.make()
            else:
                operand.made = self.first.lookup(operand.base, kind[0], kind[1])
        return operand.made

    def computed(self, node: Node, position: int = 0) -> Value:
        """An input that is computed."""
        return self.value(self.operand(node, position))

    def constant(self, node: Node, position: int, what: str) -> Array:
        """A constant input."""
        found = self.operand(node, position)
        if not isinstance(found, np.ndarray):
            raise ModelError(f"its {what} is computed; only a constant is supported")
        return found

    def numbers(self, node: Node, attribute: str, position: int, what: str) -> list[int] | None:
        """Whole numbers that older files have in an attribute and newer ones in an input."""
        if attribute in node.attributes:
            given = node.attributes[attribute]
            return [int(n) for n in (given if isinstance(given, (list, tuple)) else [given])]
        if self.optional(node, position) is None:
            return None
        return [int(n) for n in self.constant(node, position, what).reshape(-1)]

    def arguments(self, node: Node) -> Arguments:
        """A node for what int8 and float networks share."""
        return Arguments(
            node,
            self.file.opset,
            lambda attribute, position, what: self.numbers(node, attribute, position, what),
            lambda position, what: self.constant(node, position, what),
            lambda position: self.optional(node, position) is not None,
        )


def _axis(axis: int, value: Value) -> int:
    """An axis of ONNX without the images."""
    rank = len(value.shape) + 1
    number = axis + rank if axis < 0 else axis
    if not 0 < number < rank:
        raise ModelError(f"is over axis {axis} of {rank}, which is not supported")
    return number - 1


# --- functions of single values ------------------------------------------------------------------


def _erf(x: Array) -> Array:
    return np.array([math.erf(value) for value in x])


_KNOWN: tuple[tuple[graph.LookupKind, float, Callable[[Array], Array]], ...] = (
    ("relu", 0.0, lambda x: np.maximum(x, 0)),
    ("relu6", 0.0, lambda x: np.clip(x, 0, 6)),
    ("relu_n1_to_1", 0.0, lambda x: np.clip(x, -1, 1)),
    ("relu_0_to_1", 0.0, lambda x: np.clip(x, 0, 1)),
    ("hard_swish", 0.0, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("logistic", 0.0, lambda x: 1 / (1 + np.exp(-x))),
    ("tanh", 0.0, np.tanh),
    ("absolute", 0.0, np.abs),
    ("exponential", 0.0, np.exp),
    ("gelu", 0.0, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),
    (
        "gelu", 1.0,
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
)  # fmt: skip
"""Functions that the graph has, with their ``alpha``."""

with np.errstate(over="ignore"):
    _SAMPLED = [(kind, alpha, function(GRID)) for kind, alpha, function in _KNOWN]


def _known_function(samples: Array) -> tuple[graph.LookupKind, float] | None:
    """Kind and ``alpha`` of a function that the graph has a name for."""
    # What is computed by way of infinities, as exp(x) / (1 + exp(x)) far out, says nothing there.
    told = ~np.isnan(samples)
    for kind, alpha, known in _SAMPLED:
        if np.allclose(samples[told], known[told], rtol=1e-5, atol=1e-5):
            return kind, alpha
    return None


def _function(importer: _Importer, operand: Operand) -> Function:
    if isinstance(operand, Function):
        return operand
    value = importer.value(operand)
    return Function(value, GRID, lambda: value, value)


def _unary(
    samples: Callable[[Array, Node], Array],
    make: Callable[[_Importer, Node, Value], Value] | None = None,
) -> Any:
    """A reader of a function: its results, and how it is made of what the graph has."""

    def handler(importer: _Importer, node: Node) -> Function:
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
            return Function(before.base, samples(before.samples, node), made)

    return handler


def _elu(importer: _Importer, node: Node, x: Value) -> Value:
    if float(node.attribute("alpha", 1.0)) != 1.0:
        raise ModelError("has another alpha than 1, which is not supported")
    return importer.first.elu(x)


def _bounds(importer: _Importer, node: Node) -> tuple[float, float]:
    found = []
    for position, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        if importer.optional(node, position) is not None:
            found.append(float(importer.constant(node, position, "limit").reshape(-1)[0]))
        else:
            found.append(float(node.attribute(name, default)))
    # Limits beyond what float32 holds are none.
    largest = float(np.finfo(np.float32).max)
    low, high = found
    return (-math.inf if low <= -largest else low), (math.inf if high >= largest else high)


def _clip(importer: _Importer, node: Node) -> Function:
    low, high = _bounds(importer, node)
    operand = importer.operand(node, 0)
    before = _function(importer, operand)

    def made() -> Value:
        return importer.first.clip(importer.value(operand), low, high)

    return Function(before.base, np.clip(before.samples, low, high), made)


def _prelu(importer: _Importer, node: Node) -> Value:
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


def _binary(importer: _Importer, node: Node) -> Operand:
    kind, function = _PAIRS[node.kind]
    x = importer.operand(node, 0)
    for position in range(1, len(node.inputs)):
        x = _pair(importer, kind, function, x, importer.operand(node, position))
    return x


def _divide(importer: _Importer, node: Node) -> Operand:
    divisor = importer.constant(node, 1, "divisor").astype(np.float32)
    with np.errstate(divide="ignore"):
        reciprocal = np.asarray(1 / divisor, np.float32)
    if not np.isfinite(reciprocal).all():
        raise ModelError("divides by 0")
    return _pair(importer, "multiply", np.multiply, importer.operand(node, 0), reciprocal)


def _power(importer: _Importer, node: Node) -> Operand:
    exponent = float(importer.constant(node, 1, "exponent").reshape(-1)[0])
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
    importer: _Importer,
    kind: graph.ElementwiseKind,
    function: Callable[[Array, Array], Array],
    x: Operand,
    y: Operand,
) -> Operand:
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


def _ranked(importer: _Importer, value: Value, rank: int) -> Value:
    while len(value.shape) < rank:
        value = importer.first.unsqueeze(value, 0)
    return value


# --- layers --------------------------------------------------------------------------------------


def _as_map(importer: _Importer, x: Value) -> tuple[Value, bool]:
    """A sequence [channels, values] as a map of one row, and whether it was one."""
    if len(x.shape) == 2:
        return importer.first.unsqueeze(x, 1), True
    if len(x.shape) != 3:
        raise ModelError(f"input has shape {[1, *x.shape]}, not [1, channels, rows, columns]")
    return x, False


def _back(importer: _Importer, y: Value, sequence: bool) -> Value:
    return importer.first.squeeze(y, [1]) if sequence else y


def _weights(importer: _Importer, node: Node, sequence: bool) -> npt.NDArray[np.float32]:
    weights = importer.constant(node, 1, "weights").astype(np.float32)
    weights = weights[:, :, None, :] if sequence and weights.ndim == 3 else weights
    if weights.ndim != 4 or 0 in weights.shape:
        raise ModelError(f"has weights of shape {list(weights.shape)}")
    return weights


def _bias(importer: _Importer, node: Node) -> npt.NDArray[np.float32] | None:
    if importer.optional(node, 2) is None:
        return None
    return importer.constant(node, 2, "bias").astype(np.float32).reshape(-1)


def _convolution(importer: _Importer, node: Node) -> Value:
    x, sequence = _as_map(importer, importer.computed(node))
    weights = _weights(importer, node, sequence)
    window = window_of(node, x.shape[1:], weights.shape[2:])
    y = importer.first.convolution(
        x, weights, _bias(importer, node), stride=window.stride, padding=window.padding,
        dilation=window.dilation, groups=int(node.attribute("group", 1)),
    )  # fmt: skip
    return _back(importer, y, sequence)


def _transposed_convolution(importer: _Importer, node: Node) -> Value:
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


def _gemm(importer: _Importer, node: Node) -> Value:
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


def _matmul(importer: _Importer, node: Node) -> Value:
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
    importer: _Importer,
    x: Value,
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32] | None,
) -> Value:
    if not x.shape or x.shape[-1] != weights.shape[1]:
        raise ModelError(f"its weights expect {weights.shape[1]} inputs, not {[1, *x.shape]}")
    return importer.first.linear(x, np.ascontiguousarray(weights), bias)


def _normalisation(importer: _Importer, node: Node) -> Value:
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


def _pool(importer: _Importer, node: Node) -> Value:
    if len([name for name in node.outputs if name]) > 1:
        raise ModelError("gives the places of its maxima, which is not supported")
    x, sequence = _as_map(importer, importer.computed(node))
    kernel = [int(n) for n in node.attribute("kernel_shape", [])]
    kernel = [1] * (2 - len(kernel)) + kernel
    ceil = bool(node.attribute("ceil_mode", 0))
    window = window_of(node, x.shape[1:], kernel)
    if window.dilation != (1, 1):
        raise ModelError("has dilations, which are not supported in pooling")
    padding = window.padding
    if ceil:
        pads = [int(n) for n in node.attribute("pads", [])] or [0] * 4
        pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
        padding = Padding(pads[0], pads[2], pads[1], pads[3])
    kind: Literal["average", "max"] = "max" if node.kind == "MaxPool" else "average"
    y = importer.first.pool(
        x, kind, (kernel[0], kernel[1]), window.stride, padding, ceil=ceil,
        count_padding=bool(node.attribute("count_include_pad", 0)),
    )  # fmt: skip
    return _back(importer, y, sequence)


def _global(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    axes = tuple(range(1, len(x.shape)))
    kind: Literal["mean", "max"] = "max" if node.kind == "GlobalMaxPool" else "mean"
    return importer.first.reduce(x, kind, axes, True)


def _reduce(importer: _Importer, node: Node) -> Value:
    axes = importer.numbers(node, "axes", 1, "list of axes")
    x = importer.computed(node)
    kinds: dict[str, Literal["mean", "sum", "max"]] = {
        "ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max",
    }  # fmt: skip
    if not axes:
        raise ModelError("is over all axes, images too, which is not supported")
    places = [_axis(axis, x) for axis in axes]
    return importer.first.reduce(x, kinds[node.kind], places, bool(node.attribute("keepdims", 1)))


def _softmax(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    axis = _axis(int(node.attribute("axis", -1 if importer.file.opset >= 13 else 1)), x)
    if importer.file.opset < 13 and any(n > 1 for n in x.shape[axis + 1 :]):
        raise ModelError("is over several axes, as before opset 13, which is not supported")
    return importer.first.softmax(x, axis, node.kind == "LogSoftmax")


def _length(importer: _Importer, node: Node) -> Value:
    if int(node.attribute("p", 2)) != 2:
        raise ModelError("is supported for p = 2 alone")
    x = importer.computed(node)
    return importer.first.l2_normalisation(x, _axis(int(node.attribute("axis", -1)), x))


# --- movements -----------------------------------------------------------------------------------


def _to_shape(importer: _Importer, x: Value, shape: Sequence[int]) -> Value:
    if not shape or shape[0] != 1:
        raise ModelError(f"turns {[1, *x.shape]} into {list(shape)}: images must stay apart")
    return importer.first.reshape(x, tuple(shape[1:]))


def _reshape(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    target = importer.numbers(node, "shape", 1, "shape") or []
    given = (1, *x.shape)
    if not node.attribute("allowzero", 0):
        target = [given[k] if n == 0 and k < len(given) else n for k, n in enumerate(target)]
    return _to_shape(importer, x, completed(given, target))


def _flatten(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    given, axis = (1, *x.shape), int(node.attribute("axis", 1))
    axis = axis + len(given) if axis < 0 else axis
    return _to_shape(importer, x, (math.prod(given[:axis]), math.prod(given[axis:])))


def _squeeze(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    axes = importer.numbers(node, "axes", 1, "list of axes")
    if axes is None:
        raise ModelError("leaves out all axes of 1, the images' too: name the axes")
    places = [_axis(axis, x) for axis in axes]
    if any(x.shape[axis] != 1 for axis in places):
        raise ModelError(f"leaves out axes {axes} of {[1, *x.shape]}")
    return importer.first.squeeze(x, places)


def _unsqueeze(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    axes = importer.numbers(node, "axes", 1, "list of axes") or []
    rank = len(x.shape) + 1 + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        if not 0 < axis < rank:
            raise ModelError(f"puts in axes {axes} before the images, which is not supported")
        x = importer.first.unsqueeze(x, axis - 1)
    return x


def _transpose(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    rank = len(x.shape) + 1
    permutation = [int(n) for n in node.attribute("perm", None) or range(rank - 1, -1, -1)]
    if sorted(permutation) != list(range(rank)) or permutation[0] != 0:
        raise ModelError(f"has perm {permutation}: the images must stay first")
    return importer.first.permute(x, [axis - 1 for axis in permutation[1:]])


def _slice(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    starts = importer.numbers(node, "starts", 1, "start") or []
    ends = importer.numbers(node, "ends", 2, "end") or []
    axes = importer.numbers(node, "axes", 3, "list of axes") or list(range(len(starts)))
    steps = importer.numbers(node, "steps", 4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(f"has starts {starts}, ends {ends}, axes {axes} and steps {steps}")
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if axis in (0, -len(x.shape) - 1):
            if len(range(1)[start:end:step]) == 1:
                continue
            raise ModelError("takes images apart, which is not supported")
        place = _axis(axis, x)
        n = x.shape[place]
        stop = None if step < 0 and end < -n else end
        chosen = range(n)[start:stop:step]
        if not chosen:
            raise ModelError(f"leaves no values of {[1, *x.shape]}")
        x = importer.first.slice(x, place, chosen.start, chosen.stop, chosen.step)
    return x


def _split(importer: _Importer, node: Node) -> list[Operand]:
    x = importer.computed(node)
    axis = _axis(int(node.attribute("axis", 0)), x)
    n, count = x.shape[axis], len(node.outputs)
    each = -(-n // count)
    sizes = importer.numbers(node, "split", 1, "sizes") or (
        [each] * (count - 1) + [n - each * (count - 1)]
    )
    if len(sizes) != count or sum(sizes) != n or min(sizes) < 1:
        raise ModelError(f"has parts of {sizes} for {n} values and {count} outputs")
    ends = np.cumsum(sizes).tolist()
    return [importer.first.slice(x, axis, end - size, end) for size, end in zip(sizes, ends)]


def _gather(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    indices = importer.constant(node, 1, "list of indices").astype(np.int64)
    axis = _axis(int(node.attribute("axis", 0)), x)
    n = x.shape[axis]
    places = [int(k) + n if k < 0 else int(k) for k in indices.reshape(-1)]
    if indices.ndim > 1 or not places or not all(0 <= k < n for k in places):
        raise ModelError(f"has indices {indices.tolist()}, which are not supported")
    steps = set(np.diff(places).tolist()) or {1}
    if len(steps) != 1 or 0 in steps:
        raise ModelError("has indices that do not lie at equal distances")
    step = steps.pop()
    y = importer.first.slice(x, axis, places[0], places[-1] + (1 if step > 0 else -1), step)
    return importer.first.squeeze(y, [axis]) if indices.ndim == 0 else y


def _concat(importer: _Importer, node: Node) -> Value:
    values = [importer.computed(node, position) for position in range(len(node.inputs))]
    axis = _axis(int(node.attribute("axis", 1)), values[0])
    others = {tuple(n for k, n in enumerate(v.shape) if k != axis) for v in values}
    if len(others) != 1:
        raise ModelError(f"joins {', '.join(str([1, *v.shape]) for v in values)}")
    return importer.first.concatenate(values, axis)


def _pad(importer: _Importer, node: Node) -> Value:
    x = importer.computed(node)
    if str(node.attribute("mode", "constant")) != "constant":
        raise ModelError(f"pads in mode '{node.attributes['mode']}'; only 'constant' is supported")
    amounts = importer.numbers(node, "pads", 1, "amounts") or []
    number = float(node.attribute("value", 0.0))
    if importer.optional(node, 2) is not None:
        number = float(importer.constant(node, 2, "value").reshape(-1)[0])
    rank = len(x.shape) + 1
    axes = importer.numbers(node, "axes", 3, "list of axes") or list(range(rank))
    if len(amounts) != 2 * len(axes):
        raise ModelError(f"has amounts {amounts} for {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for k, axis in enumerate(axes):
        before[axis], after[axis] = amounts[k], amounts[k + len(axes)]
    if before[0] or after[0]:
        raise ModelError("pads images, which is not supported")
    return importer.first.pad(x, before[1:], after[1:], number)


def _resize(importer: _Importer, node: Node) -> Value:
    x, arguments = importer.computed(node), importer.arguments(node)
    mode, given = str(node.attribute("mode", "nearest")), (1, *x.shape)
    shape, scales = resized_shape(arguments, given)
    if len(shape) != 4 or shape[:2] != given[:2]:
        raise ModelError("resizes more than the rows and columns of a map")
    size = (shape[2], shape[3])
    if mode == "nearest":
        corners, centers = nearest_kind(arguments, given)
        return importer.first.resize(x, size, "nearest", corners, centers)
    places = coordinate_mode(arguments)
    require_whole_sizes(given, shape, scales)
    if places == "pytorch_half_pixel" and min(size) > 1:
        places = "half_pixel"
    supported = ("half_pixel", "align_corners", "asymmetric")
    if mode != "linear" or places not in supported or node.attribute("antialias", 0):
        raise ModelError(f"is in mode '{mode}' with coordinates '{places}', not supported")
    return importer.first.resize(
        x, size, "bilinear", places == "align_corners", places == "half_pixel"
    )


def _depth_to_space(importer: _Importer, node: Node) -> Value:
    x, block = importer.computed(node), int(node.attribute("blocksize", 0))
    if block < 1 or not x.shape or x.shape[0] % block**2:
        raise ModelError(f"has blocks of {block} for {[1, *x.shape]}")
    return importer.first.depth_to_space(x, block, str(node.attribute("mode", "DCR")) == "CRD")


def _space_to_depth(importer: _Importer, node: Node) -> Value:
    x, block = importer.computed(node), int(node.attribute("blocksize", 0))
    if block < 1 or len(x.shape) != 3 or x.shape[1] % block or x.shape[2] % block:
        raise ModelError(f"has blocks of {block} for {[1, *x.shape]}")
    return importer.first.space_to_depth(x, block, channels_first=False)


def _identity(importer: _Importer, node: Node) -> Operand:
    if node.kind == "Dropout" and len([name for name in node.outputs if name]) > 1:
        raise ModelError("gives its mask, which is not supported")
    if node.kind == "Cast" and int(node.attribute("to", 1)) != 1:
        raise ModelError("casts computed numbers to another type than float32")
    return importer.operand(node, 0)


def _lookup(kind: graph.LookupKind) -> Callable[[_Importer, Node, Value], Value]:
    return lambda importer, node, x: importer.first.lookup(x, kind)


HANDLERS: dict[str, Callable[[_Importer, Node], Any]] = {
    **dict.fromkeys(_PAIRS, _binary),
    **dict.fromkeys(("Identity", "Dropout", "Cast"), _identity),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceSum"), _reduce),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "Abs": _unary(lambda x, node: np.abs(x), _lookup("absolute")),
    "BatchNormalization": _normalisation,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "DepthToSpace": _depth_to_space,
    "Div": _divide,
    "Elu": _unary(lambda x, node: np.where(x < 0, np.expm1(x), x), _elu),
    "Erf": _unary(lambda x, node: _erf(x)),
    "Exp": _unary(lambda x, node: np.exp(x), _lookup("exponential")),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _unary(
        lambda x, node: _SAMPLED[-1 if node.attribute("approximate", "none") == "tanh" else -2][2],
        lambda importer, node, x: importer.first.lookup(
            x, "gelu", 1.0 if node.attribute("approximate", "none") == "tanh" else 0.0
        ),
    ),
    "Gemm": _gemm,
    "HardSigmoid": _unary(
        lambda x, node: np.clip(
            node.attribute("alpha", 0.2) * x + node.attribute("beta", 0.5), 0, 1
        ),
        lambda importer, node, x: importer.first.hard_sigmoid(
            x, float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))
        ),
    ),
    "HardSwish": _unary(
        lambda x, node: x * np.clip(x / 6 + 0.5, 0, 1), _lookup("hard_swish")
    ),
    "LeakyRelu": _unary(
        lambda x, node: np.where(x < 0, node.attribute("alpha", 0.01) * x, x),
        lambda importer, node, x: importer.first.lookup(
            x, "leaky_relu", float(node.attribute("alpha", 0.01))
        ),
    ),
    "LpNormalization": _length,
    "MatMul": _matmul,
    "Neg": _unary(
        lambda x, node: -x,
        lambda importer, node, x: importer.first.elementwise("multiply", x, np.float32(-1)),
    ),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _power,
    "Relu": _unary(lambda x, node: np.maximum(x, 0), _lookup("relu")),
    "Reshape": _reshape,
    "Sigmoid": _unary(lambda x, node: 1 / (1 + np.exp(-x)), _lookup("logistic")),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tanh": _unary(lambda x, node: np.tanh(x), _lookup("tanh")),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}  # fmt: skip
"""By the operator's name."""
