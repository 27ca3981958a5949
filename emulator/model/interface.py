# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Inputs in the type that a file takes, where that is not int8: what its QUANTIZE makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Int8Array, Tensor


def as_file_takes(tensor: Tensor, x: Int8Array) -> npt.NDArray[np.generic]:
    """Inputs of the file's own type that its QUANTIZE turns into the int8 values ``x``.

    Where it turns no uint8 value into one of them, that which comes nearest.
    """
    if tensor.interface is None:
        return x
    if tensor.interface.type == "float32":
        operand = x.astype(np.float32) - np.float32(tensor.zero_point)
        return np.asarray(operand * np.float32(tensor.scale))
    reached = tensor.int8_of_uint8.astype(np.int64)
    distance = np.abs(np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)[:, None] - reached)
    return distance.argmin(axis=1).astype(np.uint8)[x.astype(np.int64) - INT8_MIN]
