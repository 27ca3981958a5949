# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Intervals and depths of the pipelined loops of the overlays that come with axynq.

They were read from the HLS sources (``host/synthesis``, docs/schedule.md) and are kept in
``schedules.json``, so that using them takes no compiler.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import NamedTuple

from axynq.host.overlay import Overlay

FILE = "schedules.json"


class LoopFigures(NamedTuple):
    """A pipelined loop, in clock cycles."""

    ii: int
    """From the start of an iteration to that of the next."""
    depth: int
    """From the start of an iteration to its end."""


def loop_figures(overlay: Overlay) -> dict[str, LoopFigures] | None:
    """The figures of an overlay's loops, by their labels; None: none are kept for it, as it is not
    one of those that come with axynq, or not as it comes."""
    kept = _kept().get(overlay.name)
    if kept is None or kept["identifier"] != f"{overlay.identifier:08x}":
        return None
    loops: dict[str, LoopFigures] = kept["loops"]
    return loops


@cache
def _kept() -> dict[str, dict]:  # type: ignore[type-arg]
    text = (resources.files("axynq.host.performance") / FILE).read_text(encoding="utf-8")
    overlays: dict[str, dict] = json.loads(text)["overlays"]  # type: ignore[type-arg]
    for kept in overlays.values():
        loops = kept["loops"].items()
        kept["loops"] = {name: LoopFigures(**figures) for name, figures in loops}
    return overlays
