"""What the cell of a lane costs that has one or several multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers import Exact, Roup, multiplier
from axynq.host.netlists.designs import bank_netlist, configurable_netlist, netlist


def cell_luts(specs: Sequence[str]) -> dict[str, int]:
    """LUTs of a cell that multiplies as any of ``specs``, by how it is made: ``bank`` has a circuit
    for each, and ``configurable`` is one array for all, where all are exact or ROUP. Of a single
    multiplier both are its own. Empty where there is no netlist, as of tables in banks.

    Raises:
        MultiplierError: a specification is malformed.
    """
    return dict(_luts(tuple(sorted(specs))))


@cache
def _luts(specs: tuple[str, ...]) -> dict[str, int]:
    made = [multiplier(spec) for spec in specs]
    try:
        if len(specs) == 1:
            alone = netlist(specs[0]).resources()["LUT"]
            return {"bank": alone, "configurable": alone}
        luts = {"bank": bank_netlist(specs).resources()["LUT"]}
    except (MultiplierError, ToolError):
        return {}
    if all(isinstance(m, (Exact, Roup)) for m in made):
        luts["configurable"] = configurable_netlist(specs).resources()["LUT"]
    return luts
