# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The real numbers that tensors stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from axynq.emulator.engine.abi import REALS
from axynq.emulator.engine.kernel import Kernel
from axynq.emulator.engine.pool import ArrayPool
from axynq.emulator.model import graph


class Dequantiser:
    """Makes real numbers of int8 tensors, on the native kernel where there is one.

    Args:
        kernel: None: in numpy.
        threads: of the kernel.
    """

    def __init__(self, kernel: Kernel | None, threads: int) -> None:
        self._kernel, self._threads = kernel, threads
        self._pool = ArrayPool()

    def __call__(
        self, model: graph.Model, values: Mapping[int, graph.Int8Array]
    ) -> dict[int, graph.Float32Array]:
        """``scale * (value - zero point)`` in float32, rounded once, by the index of the tensor.

        The arrays are used again when nobody holds them any more.
        """
        if self._kernel is None:
            return {index: _real(model.tensors[index], each) for index, each in values.items()}
        found = {index: self._pool.take(each.shape, np.float32) for index, each in values.items()}
        given = [np.ascontiguousarray(each) for each in values.values()]
        records = np.zeros(len(values), REALS)
        for record, index, each in zip(records, values, given):
            tensor = model.tensors[index]
            record["from"], record["to"] = each.ctypes.data, found[index].ctypes.data
            record["count"] = each.size
            record["scale"], record["zero_point"] = tensor.scale, tensor.zero_point
        self._kernel.library.axynq_reals(records.ctypes.data, len(records), self._threads)
        return found


def _real(tensor: graph.Tensor, values: graph.Int8Array) -> graph.Float32Array:
    return (values.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
