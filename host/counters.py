# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the C simulation counts while it computes, and the cycle model predicts.

This file is the single source: ``hls/include/axynq/counters.hpp`` is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


def _counter(note: str) -> Any:
    return field(default=0, metadata={"note": note})


@dataclass(frozen=True)
class Counts:
    """What a phase, or a whole program, makes the loops do: the simulation's counters, in its
    order."""

    record_words: int = _counter("words of header and descriptors read")
    set_words: int = _counter("words of sets and of later passes' weights read")
    load_words: int = _counter("words of feature maps read")
    store_words: int = _counter("words of feature maps written")
    load_bursts: int = _counter("runs of consecutive words of feature maps read")
    store_bursts: int = _counter("runs of consecutive words of feature maps written")
    program_bursts: int = _counter("runs of consecutive words of the program read")
    phases: int = _counter("phases run; the first only takes in the set of the second")
    runs: int = _counter("runs of the multiplication loop")
    steps: int = _counter("iterations of the multiplication loop")
    multiply_steps: int = _counter("iterations in which the lanes compute")
    multiplications: int = _counter("products computed whose weight is not zero")

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in COUNTERS))

    def __mul__(self, times: int) -> Counts:
        return Counts(*(times * getattr(self, name) for name in COUNTERS))

    @property
    def words(self) -> int:
        """All words that cross the memory ports."""
        return self.record_words + self.set_words + self.load_words + self.store_words


COUNTERS = tuple(item.name for item in fields(Counts))
"""Names of the counters, in the simulation's order."""
