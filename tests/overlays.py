# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Overlays for tests only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from axynq.host import Overlay
from axynq.host.overlay import overlay_names

BUFFERS = {
    "map_words": 512,
    "weight_vectors": 128,
    "groups": 16,
    "partial_sums": 64,
}

FAST = ("tiny4", "z2-mixed16")


def every_overlay() -> list[Any]:
    """The overlays that ship, as parameters: the C++ of each takes seconds to compile, so that most
    run with the thorough tests."""
    return [
        name if name in FAST else pytest.param(name, marks=pytest.mark.thorough)
        for name in overlay_names()
    ]


Lanes = Sequence[tuple[int, Sequence[str], str]]
"""For each group of lanes: how many, their bank, and the kind of cell."""


def description(
    name: str = "mine",
    filters: int = 4,
    inputs: int = 4,
    requantisers: int = 2,
    lanes: Lanes = ((4, ("exact", "roup:1,4"), "separate"),),
    array: Mapping[str, int] | None = None,
    **buffers: int,
) -> str:
    """The TOML text of an overlay; ``array``: further values of the table of that name."""
    sizes = {"filters": filters, "inputs": inputs, "requantisers": requantisers, **(array or {})}
    parts = [
        f'name = "{name}"\nboard = "pynq-z2"\nclock_mhz = 100.0',
        "[array]\n" + "\n".join(f"{key} = {value}" for key, value in sizes.items()),
    ]
    for count, bank, cell in lanes:
        parts.append(f'[[lanes]]\ncount = {count}\nbank = {list(bank)}\ncell = "{cell}"')
    sizes = {**BUFFERS, **buffers}
    parts.append("[buffers]\n" + "\n".join(f"{key} = {value}" for key, value in sizes.items()))
    return "\n".join(parts) + "\n"


def write_overlay(folder: Path, name: str = "mine", **values: Any) -> Overlay:
    """An overlay from its description in a file."""
    path = folder / f"{name}.toml"
    path.write_text(description(name, **values))
    return Overlay.load(path)
