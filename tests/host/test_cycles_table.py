# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The figures of docs/accelerator.md are what `axynq inspect` says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs.documents import document

Inspect = Callable[..., dict[str, Any]]


def spaced(value: float) -> str:
    """As the page writes large numbers."""
    return f"{value:,.0f}".replace(",", " ")


@pytest.fixture
def inspect(axynq) -> Inspect:
    def run(path: Path, overlay: str, batch: int, plan: str = "exact") -> dict[str, Any]:
        code, out, error = axynq(
            "inspect", path, "--overlay", overlay, "--batch", batch, "--plan", plan, "--json"
        )
        assert code == 0, error
        content: dict[str, Any] = json.loads(out)
        return content

    return run


def test_table(inspect: Inspect, resnet8_path: Path, keyword_path: Path) -> None:
    (table,) = document("docs/accelerator.md").tables("Cycles")
    for name, clock, *cells in table[1:]:
        columns = [(path, batch) for path in (resnet8_path, keyword_path) for batch in (1, 16)]
        for (path, batch), cell in zip(columns, cells, strict=True):
            found = inspect(path, name.strip("`"), batch)
            said = f"{spaced(found['cycles_per_image'])} ({100 * found['utilisation']:.0f} %)"
            if ":" in cell:
                said += f": {found['milliseconds_per_image']:.3f} ms"
            assert cell == said, (name, path.stem, batch)
            assert clock == f"{found['clock_mhz']:g} MHz"


def test_prose(inspect: Inspect, resnet8_path: Path) -> None:
    text = re.sub(r"\s+", " ", document("docs/accelerator.md").text)
    quarter = inspect(resnet8_path, "z2-sm16", 16)
    assert f"a quarter of the lanes ({spaced(quarter['cycles_per_image'])} cycles)" in text
    plan = "flam=exact|smapprox:1110|smapprox:3330|smapprox:2222"
    whole = inspect(resnet8_path, "z2-sm16", 16, plan)
    assert f"`{plan}` uses all of them ({spaced(whole['cycles_per_image'])})" in text
    alone, batch = (inspect(resnet8_path, "z2-exact16", images) for images in (1, 16))
    lost = [
        sum(step["start_up_cycles"] for step in each["steps"]) / each["batch"]
        for each in (alone, batch)
    ]
    assert f"{spaced(lost[0])} cycles pass in which the lanes compute nothing at batch 1" in text
    assert f"({spaced(lost[1])} per image at batch 16)" in text
    assert alone["steps"][0]["start_up_cycles"] == pytest.approx(lost[0] / 2, rel=0.1)  # half
    assert f"fills {100 * batch['steps'][0]['utilisation']:.0f} % of the array" in text
