# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the native kernel is told of a run: records that are made once, and filled in for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import NETWORK, PORT
from axynq.emulator.engine.kernel import Kernel

Given = Mapping[int, tuple[npt.NDArray[np.int8], bool]]
"""By tensor the caller's array, contiguous, and whether it is in blocks."""


class Start:
    """One run of the kernel at a time; the records that are given outlive it.

    Args:
        tensors, operators: the network's records.
        inputs: its input tensors.
        sizes: other fields of the network's record: bytes of memory.
    """

    def __init__(
        self,
        tensors: npt.NDArray[Any],
        operators: npt.NDArray[Any],
        inputs: Sequence[int],
        sizes: Mapping[str, int],
    ) -> None:
        self._inputs = np.zeros(len(inputs), PORT)
        self._inputs["tensor"] = inputs
        self._captures = np.zeros(len(tensors), PORT)
        self._captures["tensor"] = np.arange(len(tensors), dtype=np.int32)
        self._numbers = list(inputs)
        self._operators = operators
        # Columns: a record of a structured array takes long to reach.
        self._given, self._given_blocked = self._inputs["images"], self._inputs["blocked"]
        self._made, self._made_blocked = self._captures["images"], self._captures["blocked"]
        self._network = np.zeros(1, NETWORK)
        for name, value in {
            "tensors": len(tensors),
            "operators": len(operators),
            "inputs": len(inputs),
            **sizes,
            "tensor": tensors.ctypes.data,
            "op": operators.ctypes.data,
            "input": self._inputs.ctypes.data,
            "capture": self._captures.ctypes.data,
        }.items():
            self._network[name] = value
        self._address = self._network.ctypes.data

    def run(
        self,
        kernel: Kernel,
        given: Given,
        made: Given,
        images: int,
        in_blocks: int,
        threads: int,
    ) -> None:
        """Run so many images, the first of them in blocks.

        Raises:
            MemoryError: the threads do not get what they need.
        """
        for place, number in enumerate(self._numbers):
            array, blocked = given[number]
            self._given[place], self._given_blocked[place] = address(array), blocked
        for number, (array, blocked) in made.items():
            self._made[number], self._made_blocked[number] = address(array), blocked
        failed = kernel.library.axynq_run_network(self._address, images, in_blocks, threads)
        self._made.fill(0)
        if failed:
            raise MemoryError(f"{threads} threads do not have enough memory for the network")


def address(array: npt.NDArray[Any]) -> int:
    """Where a contiguous array lies."""
    return int(array.__array_interface__["data"][0])
