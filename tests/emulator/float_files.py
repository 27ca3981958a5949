"""Float ``.tflite`` files: int8 ones with real numbers in place of integers."""

from __future__ import annotations

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
