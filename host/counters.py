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
    """What one layer, or a whole program, makes the loops do: the simulation's counters, in its
    order."""

    record_words: int = _counter("words of header and descriptors read")
    weight_words: int = _counter("words of weights and codes read")
    constant_words: int = _counter("words of constants read")
    load_words: int = _counter("words of feature maps read")
    store_words: int = _counter("words of feature maps written")
    load_bursts: int = _counter("runs of consecutive words of feature maps read")
    store_bursts: int = _counter("runs of consecutive words of feature maps written")
    program_bursts: int = _counter("runs of consecutive words of the program read")
    tiles: int = _counter("tiles computed, once for each block of filters")
    multiply_steps: int = _counter("iterations of the multiplication loop")
    multiplications: int = _counter("products computed whose weight is not zero")
    pool_steps: int = _counter("iterations of the pooling loop")

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in COUNTERS))

    @property
    def words(self) -> int:
        """All words that cross the memory ports."""
        program = self.record_words + self.weight_words + self.constant_words
        return program + self.load_words + self.store_words


COUNTERS = tuple(item.name for item in fields(Counts))
"""Names of the counters, in the simulation's order."""
