# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The switching activity of a multiplier's netlist relative to the exact one's, under the operands
that the shipped energy figures are for.

A measurement takes some 50 milliseconds. It is kept in the cache folder
(:func:`axynq.emulator.toolchain.cache_folder`), under a name that contains a hash of all that it
depends on: the multiplier, and the sources and operands of this package.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from axynq.emulator import files
from axynq.emulator.errors import ToolError
from axynq.emulator.toolchain import cache_folder, sources_hash
from axynq.host.netlists.activity import activity, settled_activity
from axynq.host.netlists.designs import netlist
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.operands import Operands, shipped_operands

SOURCES = ("axynq.host.netlists", "axynq.emulator.multipliers")
"""Packages whose files a measurement depends on."""


def relative_activity(spec: str, glitches: bool = False) -> float:
    """Measured now.

    Args:
        spec: the multiplier.
        glitches: count them (:attr:`~axynq.host.netlists.activity.Activity.unit_delay`), or settled
            changes alone.

    Raises:
        MultiplierError: it is malformed, or is a table without a netlist.
        ToolError: it is a table, and the tools to make a netlist of it are not installed.
    """
    return relative_to_exact(netlist(spec), glitches)


def relative_to_exact(
    circuit: Netlist, glitches: bool = False, held: Mapping[str, np.int64] | None = None
) -> float:
    """The same of any circuit with the ports ``a`` and ``w``; its other ports stay as ``held``
    says."""
    return _activity(circuit, glitches, held or {}) / _of_exact(glitches)


def kept_relative_activity(spec: str, glitches: bool = False) -> float:
    """The same for a multiplier that is no table, from the cache where it is known."""
    path = _path(spec, glitches)
    known = _read(path)
    if known is not None:
        return known
    found = relative_activity(spec, glitches)
    if path is not None:
        _write(found, path)
    return found


def _activity(circuit: Netlist, glitches: bool, held: Mapping[str, np.int64]) -> float:
    ports = _operands().ports()
    ports |= {port: np.full_like(ports["a"], value) for port, value in held.items()}
    return activity(circuit, ports).unit_delay if glitches else settled_activity(circuit, ports)


@cache
def _of_exact(glitches: bool) -> float:
    return _activity(netlist("exact"), glitches, {})


@cache
def _operands() -> Operands:
    return shipped_operands()


# --- the cache -----------------------------------------------------------------------------------


def _path(spec: str, glitches: bool) -> Path | None:
    """Where a measurement is kept; None: there is no cache folder."""
    content = f"{sources_hash(*SOURCES)} {'glitches' if glitches else 'settled'} {spec}"
    name = hashlib.sha256(content.encode()).hexdigest()[:24]
    try:
        return cache_folder() / "energies" / f"{name}.json"
    except ToolError:
        return None


def _read(path: Path | None) -> float | None:
    """What is kept, or None where there is nothing that can be used."""
    if path is None:
        return None
    try:
        found = float(json.loads(files.read_text(path))["relative"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _write(found: float, path: Path) -> None:
    """Keeps a measurement; where the cache cannot be written, the next run measures again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps({"relative": found}))
    except OSError:
        pass
