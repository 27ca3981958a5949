"""The exact multiplier."""

from __future__ import annotations

from axynq.emulator.multipliers.base import IntArray, Multiplier


class Exact(Multiplier):
    """``m(a, w) = a * w``."""

    SYNTAX = "exact"

    def __init__(self) -> None:
        self.spec = "exact"

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        return a * w
