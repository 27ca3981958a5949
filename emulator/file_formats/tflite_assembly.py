# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The tables of a ``.tflite`` file, put together from plain descriptions of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

_CODES = tflite.BuiltinOperator

DESCRIPTION = "axynq"
"""Of files that are written here: in them weights are named after their layers."""

VERSIONS: dict[int, int] = {
    _CODES.CONV_2D: 3,
    _CODES.DEPTHWISE_CONV_2D: 3,
    _CODES.FULLY_CONNECTED: 4,
    _CODES.TRANSPOSE_CONV: 3,
    _CODES.ADD: 2,
    _CODES.SUB: 3,
    _CODES.MUL: 2,
    _CODES.MAXIMUM: 2,
    _CODES.MINIMUM: 2,
    _CODES.AVERAGE_POOL_2D: 2,
    _CODES.MAX_POOL_2D: 2,
    _CODES.MEAN: 2,
    _CODES.SUM: 2,
    _CODES.SOFTMAX: 2,
    _CODES.LOG_SOFTMAX: 2,
    _CODES.L2_NORMALIZATION: 2,
    _CODES.PAD: 2,
    _CODES.PADV2: 2,
    _CODES.QUANTIZE: 2,
    _CODES.DEQUANTIZE: 2,
    _CODES.CONCATENATION: 2,
    _CODES.LOGISTIC: 2,
    _CODES.TANH: 2,
    _CODES.RELU: 2,
    _CODES.RELU6: 2,
    _CODES.LEAKY_RELU: 2,
    _CODES.GELU: 2,
    _CODES.EXP: 2,
    _CODES.ABS: 2,
    _CODES.RSQRT: 2,
    _CODES.SLICE: 2,
    _CODES.STRIDED_SLICE: 2,
    _CODES.SPLIT: 2,
    _CODES.TRANSPOSE: 2,
    _CODES.RESIZE_BILINEAR: 3,
    _CODES.RESIZE_NEAREST_NEIGHBOR: 3,
    _CODES.SPACE_TO_DEPTH: 2,
    _CODES.BATCH_MATMUL: 2,
}
"""Versions of operators that introduced int8 (per-channel weights, half-pixel centres, where these
apply); 1 for all others."""


@dataclass
class FileTensor:
    """A tensor as a file has it."""

    name: str
    shape: tuple[int, ...]
    type: int
    data: bytes = b""
    scales: list[float] = field(default_factory=list)
    zero_points: list[int] = field(default_factory=list)
    axis: int = 0


@dataclass
class FileOperator:
    """An operator as a file has it. Without ``options_kind`` it has no table of options."""

    code: int
    inputs: list[int]
    outputs: list[int]
    options_kind: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def assemble(
    tensors: Sequence[FileTensor],
    operators: Sequence[FileOperator],
    inputs: Sequence[int],
    outputs: Sequence[int],
    custom: str = "",
) -> bytes:
    """The content of the file; ``custom`` is the name of its custom operators, if it has some."""
    return _Assembly().file(tensors, operators, inputs, outputs, custom)


class _Assembly:
    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 16)

    def file(
        self,
        tensors: Sequence[FileTensor],
        operators: Sequence[FileOperator],
        inputs: Sequence[int],
        outputs: Sequence[int],
        custom: str,
    ) -> bytes:
        codes = sorted({op.code for op in operators})
        buffers = [self._table("Buffer")]  # buffer 0 is empty by convention
        tensor_offsets = []
        for tensor in tensors:
            number = 0
            if tensor.data:
                number = len(buffers)
                buffers.append(self._table("Buffer", Data=self._aligned(tensor.data)))
            tensor_offsets.append(self._tensor(tensor, number))
        operator_offsets = [self._operator(op, codes) for op in operators]
        subgraph = self._table(
            "SubGraph",
            Tensors=self._vector(tensor_offsets, tflite.SubGraphStartTensorsVector),
            Inputs=np.array(inputs, np.int32),
            Outputs=np.array(outputs, np.int32),
            Operators=self._vector(operator_offsets, tflite.SubGraphStartOperatorsVector),
            Name="main",
        )
        code_offsets = [
            self._table(
                "OperatorCode",
                DeprecatedBuiltinCode=min(code, 127),
                BuiltinCode=code,
                Version=VERSIONS.get(code, 1),
                **({"CustomCode": custom} if code == _CODES.CUSTOM else {}),
            )
            for code in codes
        ]
        root = self._table(
            "Model",
            Version=3,
            OperatorCodes=self._vector(code_offsets, tflite.ModelStartOperatorCodesVector),
            Subgraphs=self._vector([subgraph], tflite.ModelStartSubgraphsVector),
            Description=DESCRIPTION,
            Buffers=self._vector(buffers, tflite.ModelStartBuffersVector),
        )
        self.builder.Finish(root, b"TFL3")
        return bytes(self.builder.Output())

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

    def _tensor(self, tensor: FileTensor, buffer: int) -> int:
        fields: dict[str, Any] = {}
        if tensor.scales:
            fields["Quantization"] = self._table(
                "QuantizationParameters",
                Scale=np.array(tensor.scales, np.float32),
                ZeroPoint=np.array(tensor.zero_points, np.int64),
                QuantizedDimension=tensor.axis,
            )
        if tensor.shape:
            fields["Shape"] = np.array(tensor.shape, np.int32)
        return self._table("Tensor", Type=tensor.type, Buffer=buffer, Name=tensor.name, **fields)

    def _operator(self, operator: FileOperator, codes: list[int]) -> int:
        fields: dict[str, Any] = {}
        if operator.options_kind is not None:
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operator.options_kind)
            fields["BuiltinOptions"] = self._table(operator.options_kind, **operator.options)
        return self._table(
            "Operator",
            OpcodeIndex=codes.index(operator.code),
            Inputs=np.array(operator.inputs, np.int32),
            Outputs=np.array(operator.outputs, np.int32),
            **fields,
        )


_TYPES = {
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
}


def constant_tensor(
    name: str,
    values: npt.NDArray[Any],
    scales: Sequence[float] = (),
    zero_points: Sequence[int] | None = None,
    axis: int = 0,
) -> FileTensor:
    """A tensor with values of its own; zero points are 0 unless given."""
    little_endian = values.astype(values.dtype.newbyteorder("<"))
    zeros = [0] * len(scales) if zero_points is None else list(zero_points)
    return FileTensor(
        name, values.shape, _TYPES[values.dtype], little_endian.tobytes(), list(scales), zeros, axis
    )
