# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the analysis of the sources says of an array: its clock and what it takes.

Looking at an array compiles the HLS sources for it, which takes seconds. So what was found is kept
in the cache folder (:func:`axynq.emulator.toolchain.cache_folder`), under a name that contains a
hash of all that it depends on: the array, its board, the clocks to choose from, the sources.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from axynq.emulator import files
from axynq.emulator.errors import ToolError
from axynq.emulator.toolchain import cache_folder, sources_hash
from axynq.host.design.clocks import why_too_fast
from axynq.host.overlay import Overlay
from axynq.host.synthesis.compilation import compile_overlay
from axynq.host.synthesis.delays import PACE
from axynq.host.synthesis.estimate import content_of, estimate
from axynq.host.synthesis.schedule import schedule

RESOURCES = ("lut", "flip_flop", "block_ram_36k", "dsp")

SOURCES = ("axynq.hls", "axynq.host.synthesis", "axynq.host.netlists",
           "axynq.host.generate", "axynq.host.overlay", "axynq.emulator.multipliers")  # fmt: skip
"""Packages whose files a look depends on."""


@dataclass(frozen=True)
class Look:
    """What was found of an array."""

    clock_mhz: float | None
    """The fastest of the clocks at which every loop begins an iteration a cycle and every netlist
    fits; None: there is none."""
    refused: dict[str, str]
    """What stands against each faster one, by its MHz."""
    depth: int
    """Of the multiplication loop, in cycles; 0 where there is no clock."""
    resources: dict[str, dict[str, float]]
    """By resource ``low``, ``likely`` and ``high``; empty where there is no clock."""

    def likely(self, resource: str) -> float:
        """Of :data:`RESOURCES`."""
        return self.resources[resource]["likely"]


def look_at(overlay: Overlay, clocks: Sequence[float]) -> Look:
    """An array under the sources' analysis, from the cache where it is known.

    Args:
        overlay: the array; its own clock does not matter.
        clocks: MHz to choose from.

    Raises:
        ToolError: clang or LLVM is not installed.
    """
    path = _path(overlay, clocks)
    known = _read(path)
    if known is not None:
        return known
    found = _looked(overlay, clocks)
    if path is not None:
        _write(found, path)
    return found


def is_known(overlay: Overlay, clocks: Sequence[float]) -> bool:
    """Whether the cache has what :func:`look_at` would find."""
    return _read(_path(overlay, clocks)) is not None


def _looked(overlay: Overlay, clocks: Sequence[float]) -> Look:
    compiled = compile_overlay(overlay)
    board = overlay.board_description
    refused: dict[str, str] = {}
    for clock in sorted(clocks, reverse=True):
        made = schedule(compiled, overlay.name, 1000 / clock, PACE[board.family])
        why = why_too_fast(made, overlay.lanes, board)
        if why is not None:
            refused[f"{clock:g}"] = why
            continue
        depth = next((loop.depth for loop in made.loops if loop.name == "MULTIPLY"), 0)
        at_clock = overlay.model_copy(update={"clock_mhz": clock})
        totals = content_of(estimate(at_clock, compiled))["totals"]
        return Look(clock, refused, depth, totals)
    return Look(None, refused, 0, {})


# --- the cache -----------------------------------------------------------------------------------


def _path(overlay: Overlay, clocks: Sequence[float]) -> Path | None:
    """Where a look is kept; None: there is no cache folder."""
    content = overlay.model_dump(mode="json", exclude={"name", "clock_mhz"})
    content["board"] = overlay.board_description.model_dump(mode="json")
    content["clocks"] = sorted(clocks)
    content["sources"] = _sources()
    text = json.dumps(content, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    try:
        return cache_folder() / "designs" / f"{name}.json"
    except ToolError:
        return None


@cache
def _sources() -> str:
    """A hash of everything that a look is computed by."""
    own = Path(__file__).with_name("clocks.py").read_bytes()
    return hashlib.sha256(sources_hash(*SOURCES).encode() + own).hexdigest()


def _read(path: Path | None) -> Look | None:
    """What is kept, or None where there is nothing that can be used."""
    if path is None:
        return None
    try:
        found = Look(**json.loads(files.read_text(path)))
        if found.clock_mhz is not None:
            _ = [found.likely(resource) + found.clock_mhz for resource in RESOURCES]
        return found
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(found: Look, path: Path) -> None:
    """Keeps a look; where the cache cannot be written, the next run looks again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps(asdict(found)))
    except OSError:
        pass
