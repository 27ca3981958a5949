"""Reads an int8 ``.tflite`` file into the typed graph. Needs no TensorFlow."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tflite

from axynq.emulator import files
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.foreign import foreign_file, foreign_folder
from axynq.emulator.file_formats.tflite_file import (
    DamagedError,
    Node,
    RawTensor,
    TFLiteFile,
    type_name,
)
from axynq.emulator.file_formats.tflite_problems import (
    all_together,
    by_operator,
    not_int8,
    not_supported,
    refuse_compiled,
    wrong_type,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Operator, Padding
from axynq.emulator.model.windows import window_geometry
from axynq.emulator.softmax import MOST_CLASSES, SMALLEST_STEP

MOST_POSITIONS = 2**23
"""Of a window that is summed, each -255 .. 255."""

MOST_PADDED = 2**28
"""Values of an image's feature map with its padding, which engines may hold in memory."""

_ACTIVATIONS: dict[int, Activation] = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
}


def load_model(path: str | Path) -> graph.Model:
    """Read an int8 ``.tflite`` network.

    QUANTIZE and DEQUANTIZE operators at the very input and output are left out: the model's input
    and output are the int8 tensors behind them, and remember what the file has there.

    Raises:
        ModelError: the file does not exist, is damaged, is not an int8 model, or uses operators
            or options that are not supported. The message names all offences of a kind.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelError(f"model '{path}' is {foreign_folder(path)}")
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be read: {error.strerror}") from error
    return parse_model(data, path.name)


def parse_model(data: bytes, name: str = "model") -> graph.Model:
    """As :func:`load_model`, from the file's content; ``name`` is used in messages."""
    if len(data) < 16:
        raise ModelError(f"'{name}' is not a TFLite model: it has only {len(data)} bytes")
    if data[4:8] != b"TFL3":
        kind = foreign_file(data)
        known = f". It is {kind}" if kind else ""
        raise ModelError(f"'{name}' is not a TFLite model: it lacks the identifier 'TFL3'{known}")
    try:
        return _Reader(data, name).read()
    except ModelError as error:
        raise ModelError(f"'{name}': {error}") from error.__cause__
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError,
            OverflowError, MemoryError, RecursionError, AssertionError) as error:  # fmt: skip
        # The flatbuffers package does not verify: a damaged offset ends in any of these.
        raise ModelError(f"'{name}' is damaged or truncated ({error})") from error


class _End(NamedTuple):
    """A network's input or output."""

    tensor: int
    """The file's index of the int8 tensor."""
    interface: graph.Interface | None


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.file = TFLiteFile(data)
        self.raw = self.file.tensors
        self.tensors: list[graph.Tensor] = []
        self.index_of: dict[int, int] = {}  # file's tensor index -> index in self.tensors
        self.unread: set[int] = set()  # outputs of operators that cannot be read

    def read(self) -> graph.Model:
        if not self.file.nodes:
            raise ModelError("has no operators")
        refuse_compiled(self.file.nodes)
        nodes, sources, targets = self._strip_edges()
        problems = [
            f"has {len(ends)} {what}s; exactly one is supported"
            for ends, what in ((sources, "input"), (targets, "output"))
            if len(ends) != 1
        ]
        problems += not_int8(self.file, nodes)
        if problems:
            raise all_together(not_supported(nodes, _HANDLERS), problems, _HANDLERS)
        (source,), (target,) = sources, targets
        operators = self._operators(
            source.tensor, [n._replace(number=k) for k, n in enumerate(nodes)]
        )
        if target.tensor not in self.index_of:
            raise DamagedError("is damaged: no operator computes the output")
        input_index, output_index = self.index_of[source.tensor], self.index_of[target.tensor]
        if output_index == input_index:
            raise ModelError("has an input that is its output as well")
        for index, end in ((input_index, source), (output_index, target)):
            self.tensors[index] = replace(self.tensors[index], interface=end.interface)
        return graph.Model(
            Path(self.name).stem,
            tuple(self.tensors),
            operators,
            (input_index,),
            (output_index,),
        )

    def _operators(self, source: int, nodes: Sequence[Node]) -> tuple[Operator, ...]:
        """All operators, or one error that says what is wrong with the input and each of them."""
        operators: list[Operator] = []
        problems: list[str] = []
        complaints: dict[str, list[Node]] = {}
        try:
            self.activation(source)
        except ModelError as error:
            problems.append(str(error))
            self.unread.add(source)
        for node in nodes:
            handler = _HANDLERS.get(node.code)
            if handler is None or any(i in self.unread for i in node.inputs):
                self._skip(node)  # a complaint would only repeat the one that is known
                continue
            try:
                self._check_new(node)
                operators.append(handler(self, node))
            except DamagedError as error:
                raise DamagedError(f"operator {node.place} ({node.kind}): {error}") from error
            except ModelError as error:
                complaints.setdefault(str(error), []).append(node)
                self._skip(node)
        problems += by_operator(complaints)
        unknown = not_supported(nodes, _HANDLERS)
        if unknown or problems:
            raise all_together(unknown, problems, _HANDLERS)
        return tuple(operators)

    def _check_new(self, node: Node) -> None:
        if any(i in self.index_of for i in node.outputs):
            raise DamagedError("is damaged: it computes a tensor that is there already")

    def _skip(self, node: Node) -> None:
        """Enter the outputs of an operator that cannot be read, so that those after it can."""
        for index in node.outputs:
            if index >= 0 and index not in self.index_of:
                try:
                    self.activation(index)
                except ModelError:
                    self.unread.add(index)

    def _strip_edges(self) -> tuple[list[Node], list[_End], list[_End]]:
        """The operators but for those that turn another input or output type into int8 and back;
        what is left of inputs and outputs."""
        quantise, dequantise = tflite.BuiltinOperator.QUANTIZE, tflite.BuiltinOperator.DEQUANTIZE
        nodes = self.file.nodes
        sources: list[_End] = []
        targets: list[_End] = []
        for source in self.file.inputs:
            readers = [n for n in nodes if source in n.inputs]
            end = _End(source, None)
            if (
                len(readers) == 1
                and readers[0].code == quantise
                and readers[0].inputs == (source,)
                and len(readers[0].outputs) == 1
                and self.raw[source].type != tflite.TensorType.INT8
            ):
                end = _End(readers[0].outputs[0], self._interface(source, "input"))
                nodes = [n for n in nodes if n is not readers[0]]
            sources.append(end)
        for target in self.file.outputs:
            writer = next((n for n in nodes if target in n.outputs), None)
            end = _End(target, None)
            if (
                writer is not None
                and writer.code in (quantise, dequantise)
                and writer.outputs == (target,)
                and len(writer.inputs) == 1
                and self.raw[target].type != tflite.TensorType.INT8
            ):
                end = _End(writer.inputs[0], self._interface(target, "output"))
                nodes = [n for n in nodes if n is not writer]
            targets.append(end)
        if not nodes:
            raise ModelError("has no operators but QUANTIZE and DEQUANTIZE")
        return nodes, sources, targets

    def _interface(self, file_index: int, what: str) -> graph.Interface:
        """What the file has in place of an int8 input or output."""
        raw = self.raw[file_index]
        if raw.type == tflite.TensorType.FLOAT32:
            return graph.Interface(raw.name, "float32")
        if raw.type != tflite.TensorType.UINT8:
            raise ModelError(
                f"its {what} '{raw.name}' is {type_name(raw.type)}; int8, uint8 and float32 are "
                "supported"
            )
        scale, zero_point = one_scale(raw)
        return graph.Interface(raw.name, "uint8", scale, zero_point)

    # --- what handlers use -----------------------------------------------------------------------

    def activation(self, file_index: int) -> int:
        """Index in ``self.tensors`` of an int8 activation tensor, entering it when first seen."""
        if file_index in self.index_of:
            return self.index_of[file_index]
        if file_index < 0:
            raise DamagedError("is damaged: a tensor is left out where one is needed")
        raw = self.raw[file_index]
        if raw.type != tflite.TensorType.INT8:
            raise ModelError(wrong_type(raw))
        scale, zero_point = one_scale(raw)
        if not raw.shape or raw.shape[0] != 1 or 0 in raw.shape:
            raise ModelError(f"tensor '{raw.name}' has shape {list(raw.shape)}; batch must be 1")
        self.index_of[file_index] = len(self.tensors)
        self.tensors.append(graph.Tensor(raw.name, raw.shape[1:], scale, zero_point))
        return self.index_of[file_index]

    def inputs(self, node: Node, count: int) -> tuple[int, ...]:
        """The first ``count`` inputs as activations that are already computed."""
        if len(node.inputs) < count or len(node.outputs) != 1:
            raise ModelError(f"has {len(node.inputs)} inputs and {len(node.outputs)} outputs")
        for file_index in node.inputs[:count]:
            if file_index >= 0 and self.raw[file_index].constant:
                raise ModelError("a constant operand is not supported here")
            if file_index not in self.index_of:
                self.activation(file_index)  # a wrong type is the better message
                raise DamagedError("is damaged: it reads a tensor that nothing computed")
        return tuple(self.index_of[i] for i in node.inputs[:count])

    def output(self, node: Node, expected: tuple[int, ...]) -> int:
        """The output activation, whose shape (without batch) must be ``expected``."""
        index = self.activation(node.outputs[0])
        shape = self.tensors[index].shape
        if shape != expected:
            raise ModelError(f"output has shape {list(shape)} where {list(expected)} follows")
        return index

    def constant(self, node: Node, position: int, type_: int, what: str) -> RawTensor:
        """A constant input of the given type."""
        if position >= len(node.inputs) or node.inputs[position] < 0:
            raise ModelError(f"lacks its {what}")
        raw = self.raw[node.inputs[position]]
        if raw.type != type_:
            raise ModelError(f"{what} is {type_name(raw.type)}, not {type_name(type_)}")
        if raw.data is None:
            raise ModelError(f"{what} is sparse" if raw.constant else f"{what} is not a constant")
        return raw

    def feature_map(self, index: int) -> tuple[int, int, int]:
        shape = self.tensors[index].shape
        if len(shape) != 3:
            raise ModelError(f"input has shape {list(shape)}, not [rows, columns, channels]")
        return shape[0], shape[1], shape[2]

    def weights_and_bias(
        self, node: Node, filter_axis: int, dimensions: int
    ) -> tuple[graph.Int8Array, graph.Int32Array, graph.Float32Array, bool]:
        weights = self.constant(node, 1, tflite.TensorType.INT8, "weights")
        assert weights.data is not None
        if len(weights.shape) != dimensions:
            raise ModelError(f"weights have shape {list(weights.shape)}")
        filters = weights.shape[filter_axis]
        if len(weights.scales) not in (1, filters):
            raise ModelError(f"weights have {len(weights.scales)} scales for {filters} filters")
        if not (np.isfinite(weights.scales).all() and (weights.scales >= 0).all()):
            raise ModelError("weights have a scale that is negative or not finite")
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

    def options(self, node: Node, kind: type[Any]) -> Any:
        """The operator's options table."""
        if node.options is None:
            raise ModelError("lacks its options")
        if node.options_type != getattr(tflite.BuiltinOptions, kind.__name__):
            raise ModelError("has the options of another operator")
        options = kind()
        options.Init(node.options.Bytes, node.options.Pos)
        return options


def one_scale(raw: RawTensor) -> tuple[float, int]:
    """Scale and zero point of an activation tensor."""
    if len(raw.scales) != 1 or len(raw.zero_points) != 1:
        raise ModelError(f"activation tensor '{raw.name}' needs one scale and one zero point")
    scale, zero_point = float(raw.scales[0]), int(raw.zero_points[0])
    if not (np.isfinite(scale) and scale > 0):
        raise ModelError(f"tensor '{raw.name}' has a scale of {scale}, not a positive number")
    low = 0 if raw.type == tflite.TensorType.UINT8 else graph.INT8_MIN
    if not low <= zero_point <= low + 255:
        raise ModelError(f"tensor '{raw.name}' has a zero point of {zero_point}")
    return scale, zero_point


def _fused(code: int) -> Activation:
    if code not in _ACTIVATIONS:
        raise ModelError(f"fused activation number {code} is not supported")
    return _ACTIVATIONS[code]


def _convolution_geometry(
    reader: _Reader, source: int, options: Any, window: tuple[int, int]
) -> tuple[tuple[int, int], dict[str, Any]]:
    rows, columns, _ = reader.feature_map(source)
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    same = options.Padding() == tflite.Padding.SAME
    size, padding = window_geometry((rows, columns), window, stride, dilation, same)
    _require_moderate_padding(reader, source, padding)
    return size, {
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "activation": _fused(options.FusedActivationFunction()),
    }


def _read_convolution(reader: _Reader, node: Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.Conv2DOptions)
    weights, bias, scales, per_channel = reader.weights_and_bias(node, 0, 4)
    filters, k_rows, k_columns, channels = weights.shape
    given = reader.feature_map(source)[2]
    if channels != given:
        if channels and given % channels == 0 and filters % (given // channels) == 0:
            raise ModelError(
                f"is a grouped convolution ({given // channels} groups of {channels} of the "
                f"{given} input channels); only convolutions of all channels and depthwise ones "
                "are supported: train the network without groups"
            )
        raise ModelError(f"weights have {channels} channels for an input of {given}")
    size, geometry = _convolution_geometry(reader, source, options, (k_rows, k_columns))
    target = reader.output(node, (*size, filters))
    return graph.Convolution(
        f"conv_{node.number}", (source,), target, weights, bias, scales,
        per_channel=per_channel, **geometry,
    )  # fmt: skip


def _read_depthwise(reader: _Reader, node: Node) -> Operator:
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


def _read_fully_connected(reader: _Reader, node: Node) -> Operator:
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


def _read_add(reader: _Reader, node: Node) -> Operator:
    sources = reader.inputs(node, 2)
    options = reader.options(node, tflite.AddOptions)
    first, second = (reader.tensors[i].shape for i in sources)
    if first != second:
        raise ModelError(f"broadcasting {list(first)} + {list(second)} is not supported")
    target = reader.output(node, first)
    return graph.Add(
        f"add_{node.number}", sources, target, _fused(options.FusedActivationFunction())
    )


def _read_pool(reader: _Reader, node: Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.Pool2DOptions)
    rows, columns, channels = reader.feature_map(source)
    window = (options.FilterHeight(), options.FilterWidth())
    stride = (options.StrideH(), options.StrideW())
    same = options.Padding() == tflite.Padding.SAME
    size, padding = window_geometry((rows, columns), window, stride, (1, 1), same)
    _require_moderate_padding(reader, source, padding)
    target = reader.output(node, (*size, channels))
    _require_same_quantisation(reader, source, target)
    average = node.code == tflite.BuiltinOperator.AVERAGE_POOL_2D
    if average:
        _require_sum_in_32_bits(min(window[0], rows) * min(window[1], columns))
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


def _read_mean(reader: _Reader, node: Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.ReducerOptions)
    axes = reader.constant(node, 1, tflite.TensorType.INT32, "list of axes").data
    assert axes is not None
    rows, columns, channels = reader.feature_map(source)
    _require_sum_in_32_bits(rows * columns)
    if sorted(int(axis) % 4 for axis in axes.reshape(-1)) != [1, 2]:
        raise ModelError(f"axes {axes.tolist()}: only the mean over rows and columns is supported")
    keep = bool(options.KeepDims())
    target = reader.output(node, (1, 1, channels) if keep else (channels,))
    return graph.Mean(f"mean_{node.number}", (source,), target, keep)


def _read_reshape(reader: _Reader, node: Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    target = reader.activation(node.outputs[0])
    before, after = reader.tensors[source].shape, reader.tensors[target].shape
    if math.prod(before) != math.prod(after):
        raise ModelError(f"cannot turn {list(before)} into {list(after)}")
    _require_same_quantisation(reader, source, target)
    return graph.Reshape(f"reshape_{node.number}", (source,), target)


def _read_softmax(reader: _Reader, node: Node) -> Operator:
    (source,) = reader.inputs(node, 1)
    options = reader.options(node, tflite.SoftmaxOptions)
    target = reader.output(node, reader.tensors[source].shape)
    tensor = reader.tensors[target]
    if (tensor.scale, tensor.zero_point) != (1 / 256, -128):
        raise ModelError("output must have scale 1/256 and zero point -128")
    beta, scale = float(options.Beta()), reader.tensors[source].scale
    if not SMALLEST_STEP < beta * scale < math.inf:
        raise ModelError(f"beta {beta} times input scale {scale} must be above {SMALLEST_STEP:.2g}")
    if tensor.shape[-1] > MOST_CLASSES:
        raise ModelError(f"over {tensor.shape[-1]} values; {MOST_CLASSES} at most are supported")
    return graph.Softmax(f"softmax_{node.number}", (source,), target, beta)


def _read_pad(reader: _Reader, node: Node) -> Operator:
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


def _require_moderate_padding(reader: _Reader, source: int, padding: Padding) -> None:
    rows, columns, channels = reader.feature_map(source)
    rows += padding.top + padding.bottom
    columns += padding.left + padding.right
    if rows * columns * channels > MOST_PADDED:
        raise ModelError(
            f"with its padding the input has {rows} x {columns} x {channels} values; {MOST_PADDED} "
            "at most are supported: is its window or dilation meant to be so large?"
        )


def _require_sum_in_32_bits(positions: int) -> None:
    if positions > MOST_POSITIONS:
        raise ModelError(
            f"the sum of {positions} positions may leave 32 bits; {MOST_POSITIONS} at most are "
            "supported"
        )


def _require_same_quantisation(reader: _Reader, source: int, target: int) -> None:
    before, after = reader.tensors[source], reader.tensors[target]
    if (before.scale, before.zero_point) != (after.scale, after.zero_point):
        raise ModelError("input and output must have the same quantisation")


_HANDLERS: dict[int, Callable[[_Reader, Node], Operator]] = {
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
