# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every multiplier on every pair of operands: Python's tables against the C++ functors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axynq.emulator.multipliers import SMAPPROX_TABLE_2
from axynq.host import Overlay
from axynq.host.software_board.simulation import Simulation
from tests.overlays import every_overlay, write_overlay


def designs(random: int = 16) -> list[str]:
    """All of the paper, and a spread over both families' parameters, some of it at ``random``."""
    rng = np.random.default_rng(0)
    chosen = ["exact", *(f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2)]
    chosen += [f"roup:{p},{r}" for p in range(4) for r in range(0, 9, 2 if random > 4 else 4)]
    for _ in range(random):
        chosen += [
            f"smapprox:{''.join(map(str, rng.integers(0, 4, 4)))}",
            f"roup:{rng.integers(0, 4)},{'-'.join(map(str, rng.integers(0, 9, 4)))}",
        ]
    return chosen


def overlay_with(folder: Path, specs: list[str], cell: str = "separate") -> Overlay:
    """Four lanes that hold the given multipliers in turn."""
    lanes = [(1, specs[lane::4], cell) for lane in range(4)]
    return write_overlay(folder, "functors", lanes=lanes)


def assert_functors_equal_tables(overlay: Overlay) -> int:
    """Compares every multiplier of every bank; how many there were."""
    simulation, compared = Simulation(overlay), 0
    for lane, bank in enumerate(overlay.banks):
        for code, m in enumerate(bank):
            assert np.array_equal(simulation.products(lane, code), m.table), m.spec
            compared += 1
    return compared


@pytest.mark.parametrize(
    "random",
    [pytest.param(4, marks=pytest.mark.slow), pytest.param(16, marks=pytest.mark.thorough)],
)
def test_all_designs_on_all_511_x_256_operands(tmp_path, random: int) -> None:
    specs = designs(random)
    assert assert_functors_equal_tables(overlay_with(tmp_path, specs)) == len(specs)


@pytest.mark.thorough
def test_settings_of_a_configurable_cell(tmp_path) -> None:
    specs = [spec for spec in designs() if not spec.startswith("smapprox")]
    overlay = overlay_with(tmp_path, specs, "configurable")
    assert assert_functors_equal_tables(overlay) == len(specs)


@pytest.mark.parametrize("name", every_overlay())
def test_every_bank_of_the_overlays(name: str) -> None:
    assert_functors_equal_tables(Overlay.load(name))
