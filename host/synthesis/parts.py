"""A part of an estimate: what it takes, and on what that rests."""

from __future__ import annotations

from dataclasses import dataclass

from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.storage import Storage

MEASURED = "measured by Yosys"
COUNTED = "counted in the sources, weighed by operators measured by Yosys"
PUBLISHED = "published"
RULE = "by rule"

SPREAD: dict[str, tuple[float, float]] = {
    MEASURED: (0.9, 1.1),
    COUNTED: (0.7, 1.3),
    PUBLISHED: (0.7, 1.2),
    RULE: (1.0, 1.0),
}
"""What a figure may be off by, as factors, by what it rests on."""


@dataclass(frozen=True)
class Part:
    """What all instances of a part take together, most likely.

    Attributes:
        name: of the part.
        basis: on what the figures rest, a key of :data:`SPREAD`.
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
        if bound == "likely" or resource in ("block_ram_36k", "dsp"):
            return value
        low, high = SPREAD[self.basis]
        return value * (low if bound == "low" else high)

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
