# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Energy figures for the multipliers in use, measured on their netlists where none ship."""

from __future__ import annotations

from collections.abc import Iterable

from axynq.emulator.energy import Energy, EnergyFigures
from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers import Multiplier, Table
from axynq.emulator.yosys import has_yosys
from axynq.host.generate.functors import has_netlist


def energy_figures(source: str, multipliers: Iterable[Multiplier]) -> EnergyFigures:
    """The figures of ``source``; multipliers that the characterised ones lack are measured. Tables
    are where a netlist of them can be made here.

    Args:
        source: one of :data:`axynq.emulator.energy.SHIPPED`, or a JSON file.
        multipliers: those that figures are needed for.

    Raises:
        DataError: the file cannot be read or is not of the format.
    """
    return with_measured(EnergyFigures(source), source, multipliers)


def with_measured(
    figures: EnergyFigures, source: str, multipliers: Iterable[Multiplier]
) -> EnergyFigures:
    """``figures``, which are those of ``source``, and what they lack, as :func:`energy_figures`."""
    if not source.startswith("characterised"):
        return figures
    missing = [m for m in multipliers if _may_be_measured(m) and not figures.has(m)]
    found = {}
    for m in missing:
        relative = _measured(m, glitches=source.endswith("-glitches"))
        if relative is not None:
            found[m.spec] = Energy(relative, source)
    return figures.extended(found) if found else figures


def _may_be_measured(m: Multiplier) -> bool:
    if isinstance(m, Table):
        return m.circuit is not None and has_yosys()
    return has_netlist(m)


def _measured(m: Multiplier, glitches: bool) -> float | None:
    """Relative activity of a multiplier's netlist; None where a table has none: the emulator also
    takes C functions that hardware cannot be made of."""
    from axynq.host.netlists.relative import kept_relative_activity, relative_activity

    if not isinstance(m, Table):
        return kept_relative_activity(m.spec, glitches)
    try:
        return relative_activity(m.spec, glitches)
    except (MultiplierError, ToolError):
        return None
