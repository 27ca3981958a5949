"""A part of an estimate: what it takes, and on what that rests."""

from __future__ import annotations

from dataclasses import dataclass

from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.storage import Storage

MAPPED = "mapped by hand"
MEASURED = "measured by Yosys"
COUNTED = "counted in the sources, weighed by operators measured by Yosys"
PUBLISHED = "published"
RULE = "by rule"

BOUNDS = ("low", "likely", "high")

FACTORS: dict[str, dict[str, float]] = {
    MAPPED: {"low": 1.0, "likely": 1.0, "high": 1.0},
    MEASURED: {"low": 0.7, "likely": 0.85, "high": 1.0},
    COUNTED: {"low": 0.55, "likely": 0.77, "high": 1.05},
    PUBLISHED: {"low": 0.7, "likely": 0.9, "high": 1.1},
    RULE: {"low": 1.0, "likely": 1.0, "high": 1.0},
}
"""LUTs that Vivado makes of what was measured, counted or published as one, by what it rests on.

Vivado lets a LUT compute two functions of five inputs that are the same, which Yosys does not: what
is measured becomes 10 to 30 % less (benchmarks/resources/comparison.json). What is counted in the
sources and not joined with anything is 10 % above what Yosys makes of the whole, 20 % more or less.
"""


@dataclass(frozen=True)
class Part:
    """What all instances of a part take together, as counted, measured or published.

    Attributes:
        name: of the part.
        basis: on what the figures rest, a key of :data:`FACTORS`.
        source: where a published figure comes from.
        instances: how many there are.
    """

    name: str
    basis: str
    instances: int
    lut: float = 0
    flip_flop: float = 0
    block_ram_36k: float = 0
    dsp: float = 0
    source: str = ""

    def amount(self, resource: str, bound: str = "likely") -> float:
        """Of ``lut``, ``flip_flop``, ``block_ram_36k`` or ``dsp``; ``low``, ``likely`` or ``high``."""
        value: float = getattr(self, resource)
        return value * FACTORS[self.basis][bound] if resource == "lut" else value

    @classmethod
    def of(cls, name: str, basis: str, instances: int, cost: Cost) -> Part:
        """Of what all instances cost together."""
        lut, registers = round(cost.lut), round(cost.flip_flop)
        return cls(name, basis, instances, lut, registers, dsp=round(cost.dsp))

    @classmethod
    def stored(cls, name: str, basis: str, instances: int, each: Storage) -> Part:
        """Of what one instance takes."""
        n = instances
        return cls(name, basis, n, n * each.lut, n * each.flip_flop, n * each.block_ram_36k)
