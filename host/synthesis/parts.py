# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
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
    MEASURED: {"low": 0.75, "likely": 0.95, "high": 1.1},
    COUNTED: {"low": 0.65, "likely": 0.9, "high": 1.35},
    PUBLISHED: {"low": 0.7, "likely": 0.9, "high": 1.1},
    RULE: {"low": 1.0, "likely": 1.0, "high": 1.0},
}
"""LUTs that Vivado makes of what was measured, counted or published as one, by what it rests on.

From benchmarks/resources/comparison.json: Vivado needs between three quarters of Yosys' LUTs and a
twelfth more. Of what is counted in the sources Yosys makes 0.9 in the loop of ``tiny4`` and 1.2 in
that of ``z2-roup16``, where most are choices of single bits, two of which can share a LUT in Vivado
but not in Yosys; of small designs of others 0.5 to 0.75.
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
        """Of ``lut``, ``flip_flop``, ``block_ram_36k`` or ``dsp``, by :data:`BOUNDS`."""
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
