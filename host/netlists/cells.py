# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the cell of a lane costs that multiplies as any of several multipliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers import Exact, Roup, multiplier
from axynq.host.netlists.designs import bank_netlist, configurable_netlist, netlist
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.relative import relative_to_exact


class Cell(NamedTuple):
    """One way to make a cell."""

    luts: int
    energies: Mapping[str, float]
    """By multiplier the energy of one multiplication while the cell is set to it, relative to a
    cell that is an exact multiplier and nothing else."""


def cells(specs: Sequence[str], glitches: bool = False) -> dict[str, Cell]:
    """Cells that have all of ``specs``, by how they are made: ``bank`` has a circuit for each, and
    ``configurable`` is one array for all, where all are exact or ROUP. Of a single multiplier,
    ``bank`` is its own circuit. Empty where there is no netlist, as of banks with tables.

    Args:
        specs: the multipliers.
        glitches: count them in energies, or settled changes alone.

    Raises:
        MultiplierError: a specification is malformed.
    """
    return dict(_cells(tuple(sorted(specs)), glitches))


@cache
def _cells(specs: tuple[str, ...], glitches: bool) -> dict[str, Cell]:
    made = [multiplier(spec) for spec in specs]
    try:
        if len(specs) == 1:
            return {"bank": _cell(netlist(specs[0]), specs, glitches)}
        found = {"bank": _cell(bank_netlist(specs), specs, glitches)}
    except (MultiplierError, ToolError):
        return {}
    if all(isinstance(m, (Exact, Roup)) for m in made):
        found["configurable"] = _cell(configurable_netlist(specs), specs, glitches)
    return found


def _cell(circuit: Netlist, specs: tuple[str, ...], glitches: bool) -> Cell:
    energies = {}
    for code, spec in enumerate(specs):
        held = {"code": np.int64(code)} if "code" in circuit.inputs else {}
        energies[spec] = relative_to_exact(circuit, glitches, held)
    return Cell(circuit.resources()["LUT"], energies)
