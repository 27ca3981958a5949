# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How much of a board's resources an array may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axynq.host.design.looks import RESOURCES, Look
from axynq.host.design.surrogate import Floats
from axynq.host.overlay.board import Board

NAMES = {"lut": "LUTs", "flip_flop": "flip-flops", "block_ram_36k": "block RAMs", "dsp": "DSPs"}


@dataclass(frozen=True)
class Limits:
    """Shares of the board's resources that an array may use, 0 to 1, by the likely estimates. A
    device that is nearly full cannot be routed, or only slowly."""

    lut: float = 0.8
    flip_flop: float = 0.8
    block_ram_36k: float = 0.95
    dsp: float = 0.95

    def amounts(self, board: Board) -> Floats:
        """In the order of :data:`axynq.host.design.looks.RESOURCES`."""
        has = board.resources.model_dump()
        return np.array([getattr(self, name) * has[name] for name in RESOURCES], np.float64)

    def exceeded(self, look: Look, board: Board) -> list[str]:
        """What an array takes too much of, in words."""
        likely = [look.likely(name) for name in RESOURCES]
        return [
            f"{amount:,.0f} {NAMES[name]} of {allowed:,.0f}"
            for name, amount, allowed in zip(RESOURCES, likely, self.amounts(board))
            if amount > allowed
        ]


def tightest(likely: Sequence[float], limits: Limits, board: Board) -> str:
    """What an array comes nearest to the limit of, of :data:`axynq.host.design.looks.RESOURCES`."""
    shares = np.asarray(likely) / limits.amounts(board)
    return RESOURCES[int(shares.argmax())]
