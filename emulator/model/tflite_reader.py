"""Reads an int8 ``.tflite`` file into the typed graph. Needs no TensorFlow."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Operator, Padding

_BUILTIN_NAMES: dict[int, str] = {
    code: name
    for name, code in vars(tflite.BuiltinOperator).items()
    if isinstance(code, int) and not name.startswith("_")
}
_TYPE_NAMES: dict[int, str] = {
    code: name.lower() for name, code in vars(tflite.TensorType).items() if isinstance(code, int)
}
_ACTIVATIONS: dict[int, Activation] = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
}
_NUMPY_TYPES: dict[int, type[np.integer[Any]]] = {
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.INT32: np.int32,
}


def load_model(path: str | Path) -> graph.Model:
    """Read an int8 ``.tflite`` network.

    QUANTIZE and DEQUANTIZE operators at the very input and output are left out: the model's input
    and output are the int8 tensors behind them.

    Raises:
        ModelError: the file does not exist, is damaged, is not an int8 model, or uses an operator
            or an option that is not supported. The message names the offence.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be read: {error.strerror}") from error
    return parse_model(data, path.name)


def parse_model(data: bytes, name: str = "model") -> graph.Model:
    """As :func:`load_model`, from the file's content; ``name`` is used in messages."""
    if len(data) < 16:
        raise ModelError(f"'{name}' is not a TFLite model: it has only {len(data)} bytes")
    if data[4:8] != b"TFL3":
        raise ModelError(f"'{name}' is not a TFLite model: it lacks the identifier 'TFL3'")
    try:
        return _Reader(data, name).read()
    except ModelError as error:
        raise ModelError(f"'{name}': {error}") from error.__cause__
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError,
            OverflowError, MemoryError, RecursionError) as error:  # fmt: skip
        # The flatbuffers package does not verify: a damaged offset ends in any of these.
        raise ModelError(f"'{name}' is damaged or truncated ({error})") from error


class _Raw(NamedTuple):
    """A tensor as the file has it."""

    name: str
    shape: tuple[int, ...]
    type: int
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    data: npt.NDArray[np.integer[Any]] | None


class _Node(NamedTuple):
    """An operator as the file has it, with its index among all operators."""

    number: int
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.file = tflite.Model.GetRootAsModel(data, 0)
        if self.file.SubgraphsLength() != 1:
            raise ModelError(f"has {self.file.SubgraphsLength()} subgraphs; only one is supported")
        self.subgraph = self.file.Subgraphs(0)
        count = self.subgraph.TensorsLength()
        if count > len(data) or self.subgraph.OperatorsLength() > len(data):
            raise ModelError("is damaged: it claims more tensors than the file has bytes")
        self.raw = [self._raw_tensor(i) for i in range(count)]
        self.tensors: list[graph.Tensor] = []
        self.index_of: dict[int, int] = {}  # file's tensor index -> index in self.tensors

    def read(self) -> graph.Model:
        nodes = [self._node(i) for i in range(self.subgraph.OperatorsLength())]
        if not nodes:
            raise ModelError("has no operators")
        source = self._single(self._vector(self.subgraph, "Inputs"), "input")
        target = self._single(self._vector(self.subgraph, "Outputs"), "output")
        nodes, source, target = self._strip_edges(nodes, source, target)
        input_index = self.activation(source)
        operators = []
        for node in nodes:
            handler = _HANDLERS.get(node.code)
            if handler is None:
                raise ModelError(
                    f"operator {node.number} is {_operator_name(node.code)}, which is not "
                    f"supported. Supported: {', '.join(sorted(map(_operator_name, _HANDLERS)))}"
                )
            try:
                operators.append(handler(self, node))
            except ModelError as error:
                raise ModelError(
                    f"operator {node.number} ({_operator_name(node.code)}): {error}"
                ) from error.__cause__
        if target not in self.index_of:
            raise ModelError("is damaged: no operator computes the output")
        return graph.Model(
            Path(self.name).stem,
            tuple(self.tensors),
            tuple(operators),
            input_index,
            self.index_of[target],
        )

    # --- the file's tables -----------------------------------------------------------------------

    def _raw_tensor(self, index: int) -> _Raw:
        tensor = self.subgraph.Tensors(index)
        shape = tuple(int(d) for d in self._vector(tensor, "Shape"))
        if any(d < 0 for d in shape):
            raise ModelError(f"tensor {index} has a negative dimension: {list(shape)}")
        quantisation = tensor.Quantization()
        scales, zero_points = np.zeros(0, np.float32), np.zeros(0, np.int64)
        if quantisation is not None:
            scales = np.array(self._vector(quantisation, "Scale"), np.float32)
            zero_points = np.array(self._vector(quantisation, "ZeroPoint"), np.int64)
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise ModelError(f"tensor {index} has a scale that is not a positive number")
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        data = None
        buffer = self.file.Buffers(tensor.Buffer())
        if buffer is not None and buffer.DataLength() and tensor.Type() in _NUMPY_TYPES:
            dtype = np.dtype(_NUMPY_TYPES[tensor.Type()]).newbyteorder("<")
            content = bytes(buffer.DataAsNumpy())
            if len(content) != dtype.itemsize * int(np.prod(shape, dtype=object)):
                raise ModelError(f"constant '{name}' holds {len(content)} bytes for {list(shape)}")
            data = np.frombuffer(content, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
        return _Raw(name, shape, tensor.Type(), scales, zero_points, data)

    @staticmethod
    def _vector(table: Any, field: str) -> npt.NDArray[Any]:
        """A vector of numbers; absent and empty vectors alike are empty."""
        if getattr(table, f"{field}Length")() == 0:
            return np.zeros(0, np.int64)
        return np.asarray(getattr(table, f"{field}AsNumpy")())

    def _node(self, index: int) -> _Node:
        operator = self.subgraph.Operators(index)
        if not 0 <= operator.OpcodeIndex() < self.file.OperatorCodesLength():
            raise ModelError(f"is damaged: operator {index} has no operator code")
        code = self.file.OperatorCodes(operator.OpcodeIndex())
        inputs = tuple(int(i) for i in self._vector(operator, "Inputs"))
        outputs = tuple(int(i) for i in self._vector(operator, "Outputs"))
        if any(not -1 <= i < len(self.raw) for i in inputs + outputs):
            raise ModelError(f"is damaged: operator {index} names a tensor that does not exist")
        # Files older than schema 3a keep small codes in the deprecated field only.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        return _Node(index, builtin, inputs, outputs, operator.BuiltinOptions())

    def _single(self, indices: npt.NDArray[Any], what: str) -> int:
        if len(indices) != 1:
            raise ModelError(f"has {len(indices)} {what}s; exactly one is supported")
        index = int(indices[0])
        if not 0 <= index < len(self.raw):
            raise ModelError(f"is damaged: its {what} tensor does not exist")
        return index

    def _strip_edges(
        self, nodes: list[_Node], source: int, target: int
    ) -> tuple[list[_Node], int, int]:
        """Leave out the operators that turn another input or output type into int8 and back."""
        quantise, dequantise = tflite.BuiltinOperator.QUANTIZE, tflite.BuiltinOperator.DEQUANTIZE
        first, last = nodes[0], nodes[-1]
        if (
            first.code == quantise
            and first.inputs == (source,)
            and self.raw[source].type != tflite.TensorType.INT8
            and sum(source in node.inputs for node in nodes) == 1
        ):
            source, nodes = first.outputs[0], nodes[1:]
        if (
            last.code in (quantise, dequantise)
            and last.outputs == (target,)
            and self.raw[target].type != tflite.TensorType.INT8
        ):
            target, nodes = last.inputs[0], nodes[:-1]
        return nodes, source, target

    # --- what handlers use -----------------------------------------------------------------------

    def activation(self, file_index: int) -> int:
        """Index in ``self.tensors`` of an int8 activation tensor, entering it when first seen."""
        if file_index in self.index_of:
            return self.index_of[file_index]
        raw = self.raw[file_index]
        if raw.type != tflite.TensorType.INT8:
            raise ModelError(
                f"tensor '{raw.name}' is {_TYPE_NAMES.get(raw.type, raw.type)}; only models "
                "quantised to int8 throughout are supported (full integer quantisation)"
            )
        if len(raw.scales) != 1 or len(raw.zero_points) != 1:
            raise ModelError(f"activation tensor '{raw.name}' needs one scale and one zero point")
        if not graph.INT8_MIN <= raw.zero_points[0] <= graph.INT8_MAX:
            raise ModelError(f"tensor '{raw.name}' has a zero point of {raw.zero_points[0]}")
        if not raw.shape or raw.shape[0] != 1 or 0 in raw.shape:
            raise ModelError(f"tensor '{raw.name}' has shape {list(raw.shape)}; batch must be 1")
        self.index_of[file_index] = len(self.tensors)
        self.tensors.append(
            graph.Tensor(raw.name, raw.shape[1:], float(raw.scales[0]), int(raw.zero_points[0]))
        )
        return self.index_of[file_index]

    def inputs(self, node: _Node, count: int) -> tuple[int, ...]:
        """The first ``count`` inputs as activations that are already computed."""
        if len(node.inputs) < count or len(node.outputs) != 1:
            raise ModelError(f"has {len(node.inputs)} inputs and {len(node.outputs)} outputs")
        for file_index in node.inputs[:count]:
            if file_index >= 0 and self.raw[file_index].data is not None:
                raise ModelError("a constant operand is not supported here")
            if file_index not in self.index_of:
                if file_index >= 0:
                    self.activation(file_index)  # a wrong type is the better message
                raise ModelError("is damaged: it reads a tensor that nothing computed")
        return tuple(self.index_of[i] for i in node.inputs[:count])

    def output(self, node: _Node, expected: tuple[int, ...]) -> int:
        """The output activation, whose shape (without batch) must be ``expected``."""
        index = self.activation(node.outputs[0])
        shape = self.tensors[index].shape
        if shape != expected:
            raise ModelError(f"output has shape {list(shape)} where {list(expected)} follows")
        return index

    def constant(self, node: _Node, position: int, type_: int, what: str) -> _Raw:
        """A constant input of the given type."""
        if position >= len(node.inputs) or node.inputs[position] < 0:
            raise ModelError(f"lacks its {what}")
        raw = self.raw[node.inputs[position]]
        if raw.type != type_:
            raise ModelError(
                f"{what} is {_TYPE_NAMES.get(raw.type, raw.type)}, not {_TYPE_NAMES[type_]}"
            )
        if raw.data is None:
            raise ModelError(f"{what} is not a constant")
        return raw

    def feature_map(self, index: int) -> tuple[int, int, int]:
        shape = self.tensors[index].shape
        if len(shape) != 3:
            raise ModelError(f"input has shape {list(shape)}, not [rows, columns, channels]")
        return shape[0], shape[1], shape[2]

    def weights_and_bias(
        self, node: _Node, filter_axis: int, dimensions: int
    ) -> tuple[graph.Int8Array, graph.Int32Array, graph.Float32Array, bool]:
        weights = self.constant(node, 1, tflite.TensorType.INT8, "weights")
        assert weights.data is not None
        if len(weights.shape) != dimensions:
            raise ModelError(f"weights have shape {list(weights.shape)}")
        filters = weights.shape[filter_axis]
        if len(weights.scales) not in (1, filters):
            raise ModelError(f"weights have {len(weights.scales)} scales for {filters} filters")
        if weights.zero_points.any():
            raise ModelError("weights have a zero point; only symmetric weights are supported")
        bias = np.zeros(filters, np.int32)
        if len(node.inputs) > 2 and node.inputs[2] >= 0:
            constant = self.constant(node, 2, tflite.TensorType.INT32, "bias").data
            assert constant is not None
            bias = constant.astype(np.int32).reshape(-1)
            if len(bias) != filters:
                raise ModelError(f"has {len(bias)} biases for {filters} filters")
        scales = np.broadcast_to(weights.scales, (filters,)).copy()
        return weights.data.astype(np.int8), bias, scales, len(weights.scales) == filters

    def options(self, node: _Node, kind: Callable[[], Any]) -> Any:
        """The operator's options table, or one with every default where the file leaves it out."""
        if node.options is None:
            raise ModelError("lacks its options")
        options = kind()
        options.Init(node.options.Bytes, node.options.Pos)
        return options


def _operator_name(code: int) -> str:
    return _BUILTIN_NAMES.get(code, f"operator code {code}")


def _fused(code: int) -> Activation:
    if code not in _ACTIVATIONS:
        raise ModelError(f"fused activation number {code} is not supported")
    return _ACTIVATIONS[code]


def window_geometry(
    rows_columns: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    same: bool,
) -> tuple[tuple[int, int], Padding]:
    """Output rows and columns, and the padding, of a sliding window (TFLite's SAME or VALID)."""
    sizes, pads = [], []
    for size, k, s, d in zip(rows_columns, window, stride, dilation):
        if min(k, s, d) < 1:
            raise ModelError("window, stride and dilation must be positive")
        extent = (k - 1) * d + 1
        out = -(-size // s) if same else (size - extent) // s + 1
        if out < 1:
            raise ModelError(f"a window of {extent} does not fit a map of {size}")
        total = max((out - 1) * s + extent - size, 0)
        sizes.append(out)
        pads.append((total // 2, total - total // 2))
    return (sizes[0], sizes[1]), Padding(*pads[0], *pads[1])


def _convolution_geometry(
    reader: _Reader, source: int, options: Any, window: tuple[int, int]
) -> tuple[tuple[int, int], dict[str, Any]]:
    rows, columns, _ = reader.feature_map(source)
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    same = options.Padding() == tflite.Padding.SAME
    size, padding = window_geometry((rows, columns), window, stride, dilation, same)
    return size, {
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "activation": _fused(options.FusedActivationFunction()),
    }


def _read_convolution(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.Conv2DOptions)
    weights, bias, scales, per_channel = reader.weights_and_bias(node, 0, 4)
    filters, k_rows, k_columns, channels = weights.shape
    if channels != reader.feature_map(source)[2]:
        raise ModelError(
            f"weights have {channels} channels for an input of {reader.feature_map(source)[2]}"
        )
    size, geometry = _convolution_geometry(reader, source, options, (k_rows, k_columns))
    target = reader.output(node, (*size, filters))
    return graph.Convolution(
        f"conv_{node.number}", (source,), target, weights, bias, scales,
        per_channel=per_channel, **geometry,
    )  # fmt: skip


def _read_depthwise(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.DepthwiseConv2DOptions)
    weights, bias, scales, per_channel = reader.weights_and_bias(node, 3, 4)
    _, k_rows, k_columns, filters = weights.shape
    if weights.shape[0] != 1 or filters % reader.feature_map(source)[2]:
        raise ModelError(f"weights have shape {list(weights.shape)}")
    size, geometry = _convolution_geometry(reader, source, options, (k_rows, k_columns))
    target = reader.output(node, (*size, filters))
    return graph.DepthwiseConvolution(
        f"depthwise_{node.number}", (source,), target, weights[0], bias, scales,
        per_channel=per_channel, **geometry,
    )  # fmt: skip


def _read_fully_connected(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.FullyConnectedOptions)
    if options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise ModelError("shuffled weights are not supported")
    weights, bias, scales, per_channel = reader.weights_and_bias(node, 0, 2)
    filters, inputs = weights.shape
    if inputs != math.prod(reader.tensors[source].shape):
        raise ModelError(f"weights expect {inputs} inputs, not {reader.tensors[source].shape}")
    target = reader.output(node, (filters,))
    return graph.FullyConnected(
        f"fully_connected_{node.number}", (source,), target, weights, bias, scales,
        _fused(options.FusedActivationFunction()), per_channel=per_channel,
    )  # fmt: skip


def _read_add(reader: _Reader, node: _Node) -> Operator:
    sources = reader.inputs(node, 2)
    options = reader.options(node, tflite.AddOptions)
    first, second = (reader.tensors[i].shape for i in sources)
    if first != second:
        raise ModelError(f"broadcasting {list(first)} + {list(second)} is not supported")
    target = reader.output(node, first)
    return graph.Add(
        f"add_{node.number}", sources, target, _fused(options.FusedActivationFunction())
    )


def _read_pool(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.Pool2DOptions)
    rows, columns, channels = reader.feature_map(source)
    window = (options.FilterHeight(), options.FilterWidth())
    stride = (options.StrideH(), options.StrideW())
    same = options.Padding() == tflite.Padding.SAME
    size, padding = window_geometry((rows, columns), window, stride, (1, 1), same)
    target = reader.output(node, (*size, channels))
    _require_same_quantisation(reader, source, target)
    average = node.code == tflite.BuiltinOperator.AVERAGE_POOL_2D
    return graph.Pool(
        f"{'average' if average else 'max'}_pool_{node.number}",
        (source,),
        target,
        "average" if average else "max",
        window,
        stride,
        padding,
        _fused(options.FusedActivationFunction()),
    )


def _read_mean(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.ReducerOptions)
    axes = reader.constant(node, 1, tflite.TensorType.INT32, "list of axes").data
    assert axes is not None
    _, _, channels = reader.feature_map(source)
    if sorted(int(axis) % 4 for axis in axes.reshape(-1)) != [1, 2]:
        raise ModelError(f"axes {axes.tolist()}: only the mean over rows and columns is supported")
    keep = bool(options.KeepDims())
    target = reader.output(node, (1, 1, channels) if keep else (channels,))
    return graph.Mean(f"mean_{node.number}", (source,), target, keep)


def _read_reshape(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    target = reader.activation(node.outputs[0])
    before, after = reader.tensors[source].shape, reader.tensors[target].shape
    if math.prod(before) != math.prod(after):
        raise ModelError(f"cannot turn {list(before)} into {list(after)}")
    _require_same_quantisation(reader, source, target)
    return graph.Reshape(f"reshape_{node.number}", (source,), target)


def _read_softmax(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.SoftmaxOptions)
    target = reader.output(node, reader.tensors[source].shape)
    tensor = reader.tensors[target]
    if (tensor.scale, tensor.zero_point) != (1 / 256, -128):
        raise ModelError("output must have scale 1/256 and zero point -128")
    return graph.Softmax(f"softmax_{node.number}", (source,), target, float(options.Beta()))


def _read_pad(reader: _Reader, node: _Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    amounts = reader.constant(node, 1, tflite.TensorType.INT32, "paddings").data
    assert amounts is not None
    rows, columns, channels = reader.feature_map(source)
    if amounts.shape != (4, 2) or amounts[[0, 3]].any() or (amounts < 0).any():
        raise ModelError(f"paddings {amounts.tolist()}: only rows and columns can be padded")
    top, bottom, left, right = (int(n) for n in amounts[1:3].reshape(-1))
    target = reader.output(node, (rows + top + bottom, columns + left + right, channels))
    _require_same_quantisation(reader, source, target)
    return graph.Pad(f"pad_{node.number}", (source,), target, Padding(top, bottom, left, right))


def _require_same_quantisation(reader: _Reader, source: int, target: int) -> None:
    before, after = reader.tensors[source], reader.tensors[target]
    if (before.scale, before.zero_point) != (after.scale, after.zero_point):
        raise ModelError("input and output must have the same quantisation")


_HANDLERS: dict[int, Callable[[_Reader, _Node], Operator]] = {
    tflite.BuiltinOperator.CONV_2D: _read_convolution,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: _read_depthwise,
    tflite.BuiltinOperator.FULLY_CONNECTED: _read_fully_connected,
    tflite.BuiltinOperator.ADD: _read_add,
    tflite.BuiltinOperator.AVERAGE_POOL_2D: _read_pool,
    tflite.BuiltinOperator.MAX_POOL_2D: _read_pool,
    tflite.BuiltinOperator.MEAN: _read_mean,
    tflite.BuiltinOperator.RESHAPE: _read_reshape,
    tflite.BuiltinOperator.SOFTMAX: _read_softmax,
    tflite.BuiltinOperator.PAD: _read_pad,
}
