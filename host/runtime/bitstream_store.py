# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where built bitstreams are looked for, and which one fits."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from axynq.emulator.errors import DeviceError
from axynq.host.overlay import Overlay
from axynq.host.runtime.manifest import Manifest


class Bitstream(NamedTuple):
    """A bitstream that fits an overlay."""

    bit: Path
    """Its ``.hwh`` is beside it."""
    manifest: Manifest


def user_folder() -> Path:
    """Where ``axynq build`` puts bitstreams: ``AXYNQ_BITSTREAMS``, or the user's data folder."""
    given = os.environ.get("AXYNQ_BITSTREAMS")
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "axynq" / "bitstreams"


def folders() -> list[Path]:
    """Folders in which bitstreams are looked for, in this order: the user's, then those that ship
    with axynq (``bitstreams/built`` of the source tree)."""
    shipped = Path(str(resources.files("axynq.bitstreams"))) / "built"
    return [user_folder(), shipped]


def find_bitstream(overlay: Overlay) -> Bitstream:
    """The first bitstream that fits the overlay.

    Raises:
        DeviceError: there is none; the message says why each that was found does not fit.
    """
    refused = []
    for folder in folders():
        path = folder / f"{overlay.name}.json"
        if not path.is_file():
            continue
        manifest = Manifest.load(path)
        reason = manifest.misfit(overlay, folder)
        if reason is None:
            return Bitstream(folder / manifest.bit.name, manifest)
        refused.append(f"{path}: {reason}")
    searched = " or ".join(map(str, folders()))
    if refused:
        raise DeviceError(f"no bitstream fits overlay '{overlay.name}'. " + "; ".join(refused))
    raise DeviceError(
        f"there is no bitstream for overlay '{overlay.name}' in {searched}. Build it where Vivado "
        f"is: axynq build --overlay {overlay.name}; then copy {overlay.name}.bit, .hwh and .json "
        "here"
    )
