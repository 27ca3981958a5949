# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Large arrays that are used again once nobody holds them: fresh memory costs more than the sums
that are written to it, because the system clears it first."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

LIMIT = 1 << 29
"""Bytes kept at most."""

ALIGNMENT = 64
"""Bytes: a cache line, and a vector."""

_UNUSED = sys.getrefcount(object()) + 1
"""References to an array that only the pool's list holds, as :func:`sys.getrefcount` counts."""


class ArrayPool:
    """Hands out uninitialised arrays, to any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[npt.NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of the shape, whose memory no other array has."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            return self._take(size).view(dtype).reshape(shape)

    def _take(self, size: int) -> npt.NDArray[np.uint8]:
        for number in range(len(self._kept)):
            if self._kept[number].nbytes == size + ALIGNMENT and self._unused(number):
                return _aligned(self._kept[number], size)
        memory = np.empty(size + ALIGNMENT, np.uint8)
        self._drop_unused_beyond(LIMIT - size)
        if size <= LIMIT:
            self._kept.append(memory)
        return _aligned(memory, size)

    def _unused(self, number: int) -> bool:
        return sys.getrefcount(self._kept[number]) <= _UNUSED

    def _drop_unused_beyond(self, limit: int) -> None:
        """Forget unused memory, oldest first, until what is kept is within ``limit``."""
        number = 0
        while number < len(self._kept) and sum(kept.nbytes for kept in self._kept) > limit:
            if self._unused(number):
                del self._kept[number]
            else:
                number += 1


def _aligned(memory: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]
