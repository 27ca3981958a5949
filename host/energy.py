"""Energy figures for the multipliers in use, measured on their netlists where none ship."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from axynq.emulator.energy import Energy, EnergyFigures
from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers import Exact, Multiplier, Roup, SMApprox, Table
from axynq.emulator.yosys import has_yosys

if TYPE_CHECKING:
    from axynq.host.netlists.activity import Activity


def energy_figures(source: str, multipliers: Iterable[Multiplier]) -> EnergyFigures:
    """The figures of ``source``; multipliers that the characterised ones lack are measured. Tables
    are where a netlist of them can be made here.

    Args:
        source: one of :data:`axynq.emulator.energy.SHIPPED`, or a JSON file.
        multipliers: those that figures are needed for.

    Raises:
        DataError: the file cannot be read or is not of the format.
    """
    figures = EnergyFigures(source)
    if not source.startswith("characterised"):
        return figures
    missing = [m for m in multipliers if _may_be_measured(m) and not figures.has(m)]
    glitches = source.endswith("-glitches")
    found = {}
    for m in missing:
        relative = _measured(m)
        if relative is not None:
            found[m.spec] = Energy(relative.unit_delay if glitches else relative.zero_delay, source)
    return figures.extended(found)


def _may_be_measured(m: Multiplier) -> bool:
    if isinstance(m, Table):
        return m.circuit is not None and has_yosys()
    return isinstance(m, (Exact, Roup, SMApprox))


def _measured(m: Multiplier) -> Activity | None:
    """Relative activity of a multiplier's netlist; None where a table has none: the emulator also
    takes C functions that hardware cannot be made of."""
    from axynq.host.netlists.characterise import STIMULUS, characterise
    from axynq.host.netlists.operands import shipped_operands

    try:
        (row,) = characterise([m.spec], {STIMULUS: shipped_operands()})
    except (MultiplierError, ToolError):
        if isinstance(m, Table):
            return None
        raise
    return row.relative[STIMULUS]
