# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What Vivado says about a finished run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from axynq.emulator.errors import ToolError
from axynq.host.runtime.manifest import Timing, Use

ROWS = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "flip_flop": ("Slice Registers", "CLB Registers"),
    "block_ram_36k": ("Block RAM Tile",),
    "dsp": ("DSPs",),
}
"""Rows of the utilisation report, on 7-series and UltraScale+ parts."""


class Run(NamedTuple):
    """A finished implementation."""

    part: str
    version: str
    timing: Timing


def read_run(path: Path) -> Run:
    """What ``build.tcl`` wrote to ``run.txt``.

    Raises:
        ToolError: something is missing from it.
    """
    text = _read(path)
    values = dict(line.split(None, 1) for line in text.splitlines() if len(line.split()) > 1)
    try:
        timing = Timing(
            setup_slack_ns=float(values["STATS.WNS"]), hold_slack_ns=float(values["STATS.WHS"])
        )
        return Run(values["PART"], values["VERSION"], timing)
    except (KeyError, ValueError) as error:
        raise ToolError(f"'{path}' says nothing about {error}") from error


def read_utilisation(path: Path) -> dict[str, Use]:
    """Used and available resources from Vivado's utilisation report.

    Raises:
        ToolError: a resource is missing from it.
    """
    text = _read(path)
    found = {}
    for resource, names in ROWS.items():
        for name in names:
            # | Slice LUTs* | 31862 | 0 | 0 | 53200 | 59.89 |: used first, available last but one
            row = re.search(rf"^\|\s*{name}\*?\s*\|(.*)\|\s*$", text, re.MULTILINE)
            if row:
                cells = [cell.strip() for cell in row.group(1).split("|")]
                found[resource] = Use(used=float(cells[0]), available=int(cells[-2]))
        if resource not in found:
            raise ToolError(f"'{path}' has no row '{names[0]}'")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ToolError(f"the build left no '{path}': {error.strerror}") from error
