"""Inputs in the type that a file takes, where that is not int8: what its QUANTIZE makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, Tensor
from axynq.emulator.model.quantisation import FixedPoint, fixed_point


def int8_of_uint8(tensor: Tensor) -> Int8Array:
    """For each uint8 value of the tensor's interface the int8 one, [256], as TFLite's QUANTIZE
    rescales them. With equal scales that is the difference of the zero points."""
    interface = tensor.interface
    assert interface is not None
    factor = fixed_point(interface.scale / tensor.scale)
    values = [_rescaled(u - interface.zero_point, factor) + tensor.zero_point for u in range(256)]
    return np.clip(np.array(values, np.int64), INT8_MIN, INT8_MAX).astype(np.int8)


def _rescaled(value: int, factor: FixedPoint) -> int:
    """As the numeric contract has it: halves up, then halves away from zero."""
    widened = min(max(value << max(factor.shift, 0), -(2**31)), 2**31 - 1)
    high = (widened * factor.multiplier + 2**30) >> 31
    exponent = max(-factor.shift, 0)
    size = (abs(high) + (1 << exponent >> 1)) >> exponent
    return size if high >= 0 else -size


def as_file_takes(tensor: Tensor, x: Int8Array) -> npt.NDArray[np.generic]:
    """Inputs of the file's own type that its QUANTIZE turns into the int8 values ``x``.

    Where it turns no uint8 value into one of them, that which comes nearest.
    """
    if tensor.interface is None:
        return x
    if tensor.interface.type == "float32":
        operand = x.astype(np.float32) - np.float32(tensor.zero_point)
        return np.asarray(operand * np.float32(tensor.scale))
    reached = int8_of_uint8(tensor).astype(np.int64)
    distance = np.abs(np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)[:, None] - reached)
    return distance.argmin(axis=1).astype(np.uint8)[x.astype(np.int64) - INT8_MIN]
