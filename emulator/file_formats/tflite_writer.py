"""Writes a typed graph as an int8 ``.tflite`` file that TFLite and LiteRT run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator import files
from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.windows import window_geometry

_FUSED = {
    "none": tflite.ActivationFunctionType.NONE,
    "relu": tflite.ActivationFunctionType.RELU,
    "relu6": tflite.ActivationFunctionType.RELU6,
    "relu_n1_to_1": tflite.ActivationFunctionType.RELU_N1_TO_1,
}

# Operator versions that introduced int8 (per-channel weights where that applies).
_VERSIONS = {
    tflite.BuiltinOperator.CONV_2D: 3,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
    tflite.BuiltinOperator.FULLY_CONNECTED: 4,
    tflite.BuiltinOperator.ADD: 2,
    tflite.BuiltinOperator.AVERAGE_POOL_2D: 2,
    tflite.BuiltinOperator.MAX_POOL_2D: 2,
    tflite.BuiltinOperator.MEAN: 2,
    tflite.BuiltinOperator.RESHAPE: 1,
    tflite.BuiltinOperator.SOFTMAX: 2,
    tflite.BuiltinOperator.PAD: 2,
    tflite.BuiltinOperator.QUANTIZE: 2,
    tflite.BuiltinOperator.DEQUANTIZE: 2,
}


def save_model(model: graph.Model, path: str | Path) -> None:
    """Write ``model`` to ``path``. Reading it back gives an equal graph.

    Input and output have the types of the file that the model was read from. An older file is
    replaced once the new one is whole.

    Raises:
        ModelError: the graph has something a ``.tflite`` file cannot express (a padding that is
            neither SAME nor VALID), or the file cannot be written.
    """
    content = serialise_model(model)
    try:
        files.write_bytes(path, content)
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be written: {error.strerror}") from error


def serialise_model(model: graph.Model) -> bytes:
    """The content of the ``.tflite`` file for ``model``."""
    return _Writer(model).write()


@dataclass
class _FileTensor:
    name: str
    shape: tuple[int, ...]
    type: int
    data: bytes = b""
    scales: list[float] = field(default_factory=list)
    zero_points: list[int] = field(default_factory=list)
    axis: int = 0


@dataclass
class _FileOperator:
    code: int
    inputs: list[int]
    output: int
    options_kind: str
    options: dict[str, Any]


def _quantise(source: int, target: int) -> _FileOperator:
    return _FileOperator(tflite.BuiltinOperator.QUANTIZE, [source], target, "QuantizeOptions", {})


def _dequantise(source: int, target: int) -> _FileOperator:
    return _FileOperator(
        tflite.BuiltinOperator.DEQUANTIZE, [source], target, "DequantizeOptions", {}
    )


class _Writer:
    def __init__(self, model: graph.Model) -> None:
        self.model = model
        self.builder = flatbuffers.Builder(1 << 16)
        self.tensors = [
            _FileTensor(
                t.name, (1, *t.shape), tflite.TensorType.INT8, b"", [t.scale], [t.zero_point]
            )
            for t in model.tensors
        ]  # activations keep their indices, constants follow

    def write(self) -> bytes:
        source, target = self.model.input_index, self.model.output_index
        operators = [self._operator(op) for op in self.model.operators]
        outer_source, outer_target = self._interface(source), self._interface(target)
        if outer_source != source:
            operators.insert(0, _quantise(outer_source, source))
        if outer_target != target:
            # TFLite's DEQUANTIZE makes floats, its QUANTIZE anything else.
            floats = self.tensors[outer_target].type == tflite.TensorType.FLOAT32
            operators.append((_dequantise if floats else _quantise)(target, outer_target))
        codes = sorted({op.code for op in operators})
        buffers = [self._table("Buffer")]  # buffer 0 is empty by convention
        tensor_offsets = []
        for tensor in self.tensors:
            number = 0
            if tensor.data:
                number = len(buffers)
                buffers.append(self._table("Buffer", Data=self._aligned(tensor.data)))
            tensor_offsets.append(self._tensor(tensor, number))
        operator_offsets = [self._file_operator(op, codes) for op in operators]
        subgraph = self._table(
            "SubGraph",
            Tensors=self._vector(tensor_offsets, tflite.SubGraphStartTensorsVector),
            Inputs=np.array([outer_source], np.int32),
            Outputs=np.array([outer_target], np.int32),
            Operators=self._vector(operator_offsets, tflite.SubGraphStartOperatorsVector),
            Name="main",
        )
        code_offsets = [
            self._table(
                "OperatorCode",
                DeprecatedBuiltinCode=min(code, 127),
                BuiltinCode=code,
                Version=_VERSIONS[code],
            )
            for code in codes
        ]
        root = self._table(
            "Model",
            Version=3,
            OperatorCodes=self._vector(code_offsets, tflite.ModelStartOperatorCodesVector),
            Subgraphs=self._vector([subgraph], tflite.ModelStartSubgraphsVector),
            Description="axynq",
            Buffers=self._vector(buffers, tflite.ModelStartBuffersVector),
        )
        self.builder.Finish(root, b"TFL3")
        return bytes(self.builder.Output())

    # --- flatbuffers -----------------------------------------------------------------------------

    def _table(self, kind: str, **fields: Any) -> int:
        """Write a table. Arrays and strings among the fields are written before it."""
        b = self.builder
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                fields[name] = b.CreateNumpyVector(value)
            elif isinstance(value, str):
                fields[name] = b.CreateString(value)
        getattr(tflite, f"{kind}Start")(b)
        for name, value in fields.items():
            getattr(tflite, f"{kind}Add{name}")(b, value)
        return int(getattr(tflite, f"{kind}End")(b))

    def _vector(self, offsets: list[int], start: Callable[..., Any]) -> int:
        start(self.builder, len(offsets))
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _aligned(self, data: bytes) -> int:
        """A vector of bytes at a multiple of 16, as TFLite wants its constants."""
        b = self.builder
        b.StartVector(1, len(data), 16)
        b.head -= len(data)
        b.Bytes[b.head : b.head + len(data)] = data
        return int(b.EndVector())

    def _tensor(self, tensor: _FileTensor, buffer: int) -> int:
        fields: dict[str, Any] = {}
        if tensor.scales:
            fields["Quantization"] = self._table(
                "QuantizationParameters",
                Scale=np.array(tensor.scales, np.float32),
                ZeroPoint=np.array(tensor.zero_points, np.int64),
                QuantizedDimension=tensor.axis,
            )
        return self._table(
            "Tensor",
            Shape=np.array(tensor.shape, np.int32),
            Type=tensor.type,
            Buffer=buffer,
            Name=tensor.name,
            **fields,
        )

    def _file_operator(self, operator: _FileOperator, codes: list[int]) -> int:
        return self._table(
            "Operator",
            OpcodeIndex=codes.index(operator.code),
            Inputs=np.array(operator.inputs, np.int32),
            Outputs=np.array([operator.output], np.int32),
            BuiltinOptionsType=getattr(tflite.BuiltinOptions, operator.options_kind),
            BuiltinOptions=self._table(operator.options_kind, **operator.options),
        )

    def _constant(
        self,
        name: str,
        values: npt.NDArray[Any],
        scales: npt.NDArray[np.float32] | None = None,
        axis: int = 0,
    ) -> int:
        """Enter a constant tensor; its index."""
        kind = tflite.TensorType.INT8 if values.dtype == np.int8 else tflite.TensorType.INT32
        little_endian = values.astype(values.dtype.newbyteorder("<"))
        listed = [] if scales is None else [float(s) for s in scales]
        zeros = [0] * len(listed)
        self.tensors.append(
            _FileTensor(name, values.shape, kind, little_endian.tobytes(), listed, zeros, axis)
        )
        return len(self.tensors) - 1

    # --- operators -------------------------------------------------------------------------------

    def _interface(self, index: int) -> int:
        """The tensor that the file has in place of an int8 input or output, entered if need be."""
        tensor = self.model.tensors[index]
        interface = tensor.interface
        if interface is None:
            return index
        shape = (1, *tensor.shape)
        if interface.type == "float32":
            entry = _FileTensor(interface.name, shape, tflite.TensorType.FLOAT32)
        else:
            scales, zero_points = [interface.scale], [interface.zero_point]
            entry = _FileTensor(
                interface.name, shape, tflite.TensorType.UINT8, b"", scales, zero_points
            )
        self.tensors.append(entry)
        return len(self.tensors) - 1

    def _operator(self, op: graph.Operator) -> _FileOperator:
        constants, code, kind, options = self._describe(op)
        return _FileOperator(code, [*op.inputs, *constants], op.output, kind, options)

    def _describe(self, op: graph.Operator) -> tuple[list[int], int, str, dict[str, Any]]:
        """Constant inputs, builtin code, kind and fields of the options table."""
        codes = tflite.BuiltinOperator
        if isinstance(op, graph.Convolution):
            options = self._convolution_options(op)
            return self._parameters(op, 0), codes.CONV_2D, "Conv2DOptions", options
        if isinstance(op, graph.DepthwiseConvolution):
            channels = self.model.tensors[op.inputs[0]].shape[-1]
            options = self._convolution_options(op)
            options["DepthMultiplier"] = op.kernel.shape[0] // channels
            parameters = self._parameters(op, 3)
            return parameters, codes.DEPTHWISE_CONV_2D, "DepthwiseConv2DOptions", options
        if isinstance(op, graph.FullyConnected):
            options = {"FusedActivationFunction": _FUSED[op.activation]}
            parameters = self._parameters(op, 0)
            return parameters, codes.FULLY_CONNECTED, "FullyConnectedOptions", options
        if isinstance(op, graph.Add):
            options = {"FusedActivationFunction": _FUSED[op.activation]}
            return [], codes.ADD, "AddOptions", options
        if isinstance(op, graph.Pool):
            options = {
                "Padding": self._padding(op, op.window, op.stride, (1, 1), op.padding),
                "StrideH": op.stride[0],
                "StrideW": op.stride[1],
                "FilterHeight": op.window[0],
                "FilterWidth": op.window[1],
                "FusedActivationFunction": _FUSED[op.activation],
            }
            average = op.kind == "average"
            code = codes.AVERAGE_POOL_2D if average else codes.MAX_POOL_2D
            return [], code, "Pool2DOptions", options
        if isinstance(op, graph.Mean):
            axes = self._constant(f"{op.name}/axes", np.array([1, 2], np.int32))
            return [axes], codes.MEAN, "ReducerOptions", {"KeepDims": op.keep_dims}
        if isinstance(op, graph.Reshape):
            target = np.array((-1, *self.model.tensors[op.output].shape), np.int32)
            shape = self._constant(f"{op.name}/shape", target)
            return [shape], codes.RESHAPE, "ReshapeOptions", {"NewShape": target}
        if isinstance(op, graph.Pad):
            p = op.padding
            amounts = np.array([[0, 0], [p.top, p.bottom], [p.left, p.right], [0, 0]], np.int32)
            paddings = self._constant(f"{op.name}/paddings", amounts)
            return [paddings], codes.PAD, "PadOptions", {}
        if isinstance(op, graph.Softmax):
            return [], codes.SOFTMAX, "SoftmaxOptions", {"Beta": op.beta}
        raise ModelError(f"operator '{op.name}' cannot be written to a .tflite file")

    def _convolution_options(
        self, op: graph.Convolution | graph.DepthwiseConvolution
    ) -> dict[str, Any]:
        rows, columns = op.kernel.shape[1:3]
        return {
            "Padding": self._padding(op, (rows, columns), op.stride, op.dilation, op.padding),
            "StrideH": op.stride[0],
            "StrideW": op.stride[1],
            "DilationHFactor": op.dilation[0],
            "DilationWFactor": op.dilation[1],
            "FusedActivationFunction": _FUSED[op.activation],
        }

    def _parameters(self, layer: graph.WeightedLayer, filter_axis: int) -> list[int]:
        """Weights and bias as constants."""
        weights = layer.weights
        if isinstance(layer, graph.DepthwiseConvolution):
            weights = weights[None]
        used = layer.weight_scales if layer.per_channel else layer.weight_scales[:1]
        input_scale = np.float32(self.model.tensors[layer.inputs[0]].scale)
        axis = filter_axis if layer.per_channel else 0
        return [
            self._constant(f"{layer.name}/weights", weights, used, axis),
            self._constant(f"{layer.name}/bias", layer.bias, used * input_scale),
        ]

    def _padding(
        self,
        op: graph.Operator,
        window: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        padding: graph.Padding,
    ) -> int:
        """TFLite's code for a padding given in numbers."""
        rows, columns = self.model.tensors[op.inputs[0]].shape[:2]
        for same, code in ((False, tflite.Padding.VALID), (True, tflite.Padding.SAME)):
            try:
                size, expected = window_geometry((rows, columns), window, stride, dilation, same)
            except ModelError:
                continue  # the window does not fit without padding
            if expected == padding and size == self.model.tensors[op.output].shape[:2]:
                return int(code)
        raise ModelError(f"operator '{op.name}': padding {tuple(padding)} is not SAME or VALID")
