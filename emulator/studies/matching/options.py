# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How to search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class SearchOptions:
    """The recipe of a gradient search. Two runs with the same recipe on the same processor give the
    same deviations and the same network."""

    strength: float = 0.2
    """Weight of what noise is worth against the classification's loss (lambda of the paper): the
    larger, the more noise."""
    initial: float = 0.025
    """Deviation of each layer's noise at the beginning, relative to the layer's output."""
    limit: float = 0.5
    """Deviations beyond this are worth no more (sigma_max of the paper)."""
    epochs: int = 1
    batch: int = 128
    rate: float = 1e-3
    """Learning rate of the weights at the start; it falls to nothing along a cosine."""
    noise_rate: float = 1e-2
    """Learning rate of the deviations, likewise."""
    momentum: float = 0.9
    augment: bool = False
    """Shift images by up to four pixels and mirror them at random."""
    validation: int = 2000
    """Training examples held out, evenly spread, on which every epoch is measured."""
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
