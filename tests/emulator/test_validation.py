# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What users hear of files that are not as they should be: the place and the complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import AxynqError
from axynq.emulator.plan import Plan
from axynq.host.overlay import Overlay
from axynq.host.runtime.manifest import Manifest

ASSIGNMENT = '{"multipliers": ["exact"], "axis": "filter", "klasses": [0]}'


@pytest.mark.parametrize(
    ("load", "content", "reason"),
    [
        (EnergyFigures, "{}", "format: Field required"),
        (EnergyFigures, "{", "Invalid JSON"),
        (EnergyFigures, b"\xff", ".*utf-8"),
        (Manifest.load, "{}", "overlay: Field required"),
        (Manifest.load, b"\xff", ".*utf-8"),
        (Plan.load, "{}", "format: Field required"),
        (
            Plan.load,
            f'{{"format": "axynq-plan", "version": 1, "layers": {{"a.b": {ASSIGNMENT}}}}}',
            "layers.a.b.klasses: Extra inputs",
        ),
        (Overlay.load, 'name = "x"', "board: Field required"),
    ],
)
def test_the_place_is_named(tmp_path: Path, load, content: str | bytes, reason: str) -> None:
    path = tmp_path / ("x.toml" if load == Overlay.load else "x.json")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AxynqError, match=f"not valid: {reason}"):
        load(path)
