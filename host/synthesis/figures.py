# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The figures that ``axynq.host.performance.schedules`` keeps.

``python -m axynq.host.synthesis.figures`` reads the schedules of all overlays that come with axynq
and writes them anew, beside the module that reads them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.errors import OverlayError
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.performance import schedules
from axynq.host.synthesis.schedule import Schedule, schedule_overlay

NOTE = (
    "Read from the HLS sources by python -m axynq.host.synthesis.figures: an analysis, not the "
    "schedule of a vendor's tool."
)


def figures_of(overlay: Overlay, found: Schedule) -> dict[str, Any]:
    """What is kept of a schedule: of instances of a template, which share a label, the slowest.

    Raises:
        OverlayError: a loop cannot be pipelined.
    """
    loops: dict[str, dict[str, int]] = {}
    for loop in found.loops:
        if loop.obstacles:
            raise OverlayError(f"loop {loop.name} of overlay '{overlay.name}' has no schedule")
        other = loops.get(loop.name, {"ii": 0, "depth": 0})
        loops[loop.name] = {
            "ii": max(loop.ii, other["ii"]),
            "depth": max(loop.depth, other["depth"]),
        }
    return {
        "identifier": f"{overlay.identifier:08x}",
        "clock_ns": found.clock_ns,
        "loops": dict(sorted(loops.items())),
    }


def figures_text(names: Sequence[str]) -> str:
    """The content of the file for overlays that come with axynq.

    Raises:
        ToolError: the packages for it are not installed, or the sources do not compile.
        OverlayError: as :func:`figures_of`.
    """
    overlays = {}
    for name in names:
        overlay = Overlay.load(name)
        overlays[name] = figures_of(overlay, schedule_overlay(overlay))
    return json.dumps({"note": NOTE, "overlays": overlays}, indent=2) + "\n"


def main() -> None:
    """Writes the file."""
    path = Path(schedules.__file__).parent / schedules.FILE
    files.write_text(path, figures_text(overlay_names()))


if __name__ == "__main__":
    main()
