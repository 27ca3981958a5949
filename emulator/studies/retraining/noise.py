# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Normal noise in the amounts that training takes.

Drawing a number for every neuron of every image costs as much as the network itself. Numbers are
drawn once an epoch instead, and each use reads them from a random place on.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIZE = 1 << 22
"""Numbers drawn at least."""


class NoisePool:
    """Standard normal numbers."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self._generator = generator
        self._device = device
        self._numbers = self._draw(SIZE)

    def like(self, tensor: Tensor) -> Tensor:
        """Noise of a tensor's shape and memory layout. Not to be written to."""
        count = tensor.numel()
        if 2 * count > len(self._numbers):
            self._numbers = self._draw(2 * count)
        last = len(self._numbers) - count
        first = int(torch.randint(last + 1, (1,), generator=self._generator))
        part = self._numbers[first : first + count]
        return part.as_strided(tensor.shape, tensor.stride(), part.storage_offset())

    def _draw(self, count: int) -> Tensor:
        return torch.randn(count, generator=self._generator).to(self._device)
