# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float ``.tflite`` files: int8 ones with real numbers in place of integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
import tflite


def float_twin(content: bytes) -> bytes:
    """The file of the float network that an int8 file stands for: activations are float32, weights
    and biases the real numbers that they are."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for tensor in model.subgraphs[0].tensors:
        quantisation = tensor.quantization
        if quantisation is None or quantisation.scale is None or not len(quantisation.scale):
            continue
        buffer = model.buffers[tensor.buffer]
        if buffer.data is not None and len(buffer.data):
            dtype = {tflite.TensorType.INT8: np.int8, tflite.TensorType.INT32: np.int32}
            raw = np.frombuffer(bytes(bytearray(buffer.data)), dtype[tensor.type])
            real = _real(raw.reshape(tuple(tensor.shape)), quantisation)
            buffer.data = np.frombuffer(real.astype(np.float32).tobytes(), np.uint8)
        tensor.type = tflite.TensorType.FLOAT32
        tensor.quantization = None
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _real(raw: np.ndarray, quantisation: Any) -> np.ndarray:
    scales = np.asarray(quantisation.scale, np.float64)
    zeros = np.asarray(quantisation.zeroPoint, np.float64)
    shape = [1] * raw.ndim
    if len(scales) > 1:
        shape[quantisation.quantizedDimension] = len(scales)
    return (raw - zeros.reshape(shape if len(zeros) > 1 else [1] * raw.ndim)) * scales.reshape(
        shape
    )


def half_precision_twin(content: bytes) -> bytes:
    """A float file with its first operator's weights in float16, behind a DEQUANTIZE, as TFLite's
    converter writes them."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraph = model.subgraphs[0]
    weights = subgraph.tensors[subgraph.operators[0].inputs[1]]
    half, buffer, code = schema.TensorT(), schema.BufferT(), schema.OperatorCodeT()
    real = np.frombuffer(bytes(bytearray(model.buffers[weights.buffer].data)), np.float32)
    buffer.data = np.frombuffer(real.astype(np.float16).tobytes(), np.uint8)
    half.shape, half.name = weights.shape, b"half"
    half.type, half.buffer = tflite.TensorType.FLOAT16, len(model.buffers)
    weights.buffer = 0
    code.builtinCode = code.deprecatedBuiltinCode = tflite.BuiltinOperator.DEQUANTIZE
    code.version = 3
    dequantise = schema.OperatorT()
    dequantise.opcodeIndex = len(model.operatorCodes)
    dequantise.inputs = np.array([len(subgraph.tensors)], np.int32)
    dequantise.outputs = np.array([subgraph.operators[0].inputs[1]], np.int32)
    model.buffers.append(buffer)
    model.operatorCodes.append(code)
    subgraph.tensors.append(half)
    subgraph.operators.insert(0, dequantise)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_operators(content: bytes, codes: Mapping[int, int]) -> bytes:
    """A file with other operators in place of some, by their codes."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for held in model.operatorCodes:
        held.builtinCode = codes.get(held.builtinCode, held.builtinCode)
        held.deprecatedBuiltinCode = min(held.builtinCode, 127)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
