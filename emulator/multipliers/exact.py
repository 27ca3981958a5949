# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The exact multiplier."""

from __future__ import annotations

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import IntArray, Multiplier, family


@family("exact")
class Exact(Multiplier):
    """``m(a, w) = a * w``."""

    SYNTAX = "exact"

    def __init__(self) -> None:
        self.spec = "exact"

    @classmethod
    def parse(cls, arguments: str) -> Exact:
        if arguments:
            raise MultiplierError(f"'exact:{arguments}' is not of the form {cls.SYNTAX}")
        return cls()

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        return a * w
