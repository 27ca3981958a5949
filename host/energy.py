"""Energy figures for the multipliers in use, measured on their netlists where none ship."""

from __future__ import annotations

from collections.abc import Iterable

from axynq.emulator.energy import Energy, EnergyFigures
from axynq.emulator.multipliers import Exact, Multiplier, Roup, SMApprox, Table
from axynq.emulator.yosys import has_yosys


def _has_netlist(m: Multiplier) -> bool:
    """Whether a netlist of it can be made here."""
    if isinstance(m, Table):
        return m.circuit is not None and has_yosys()
    return isinstance(m, (Exact, Roup, SMApprox))


def energy_figures(source: str, multipliers: Iterable[Multiplier]) -> EnergyFigures:
    """The figures of ``source``; multipliers that the characterised ones lack are measured.

    Args:
        source: one of :data:`axynq.emulator.energy.SHIPPED`, or a JSON file.
        multipliers: those that figures are needed for.

    Raises:
        DataError: the file cannot be read or is not of the format.
    """
    figures = EnergyFigures(source)
    if not source.startswith("characterised"):
        return figures
    missing = [m.spec for m in multipliers if _has_netlist(m) and not figures.has(m)]
    if not missing:
        return figures
    from axynq.host.netlists.characterise import STIMULUS, characterise
    from axynq.host.netlists.operands import shipped_operands

    measured = characterise(missing, {STIMULUS: shipped_operands()})
    glitches = source.endswith("-glitches")
    found = {}
    for row in measured:
        relative = row.relative[STIMULUS]
        found[row.spec] = Energy(relative.unit_delay if glitches else relative.zero_delay, source)
    return figures.extended(found)
