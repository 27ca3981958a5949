"""Every multiplier on every pair of operands: Python's tables against the C++ functors."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator.multipliers import SMAPPROX_TABLE_2
from axynq.host import Overlay
from axynq.host.devices.simulation import Simulation
from axynq.host.overlay import overlay_names

TEMPLATE = """
name = "functors-{number}"
board = "pynq-z2"
clock_mhz = 100.0
[array]
filters = 4
inputs = 4
{lanes}
[buffers]
input_words = 16
output_words = 16
weight_vectors = 16
groups = 1
"""


def designs() -> list[str]:
    """All of the paper, and a spread over both families' parameters."""
    rng = np.random.default_rng(0)
    chosen = ["exact", *(f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2)]
    chosen += [f"smapprox:{''.join(map(str, rng.integers(0, 4, 4)))}" for _ in range(10)]
    chosen += [f"roup:{p},{r}" for p in range(4) for r in range(0, 9, 2)]
    chosen += [
        f"roup:{rng.integers(0, 4)},{'-'.join(map(str, rng.integers(0, 9, 4)))}" for _ in range(19)
    ]
    return chosen


def overlay_with(folder, number: int, specs: list[str]) -> Overlay:
    """Four lanes that hold the given multipliers in turn."""
    banks = [specs[lane::4] for lane in range(4)]
    lanes = "".join(f"[[lanes]]\ncount = 1\nbank = {bank}\n" for bank in banks)
    path = folder / f"functors-{number}.toml"
    path.write_text(TEMPLATE.format(number=number, lanes=lanes))
    return Overlay.load(path)


def assert_functors_equal_tables(overlay: Overlay) -> int:
    """Compares every multiplier of every bank; how many there were."""
    simulation, compared = Simulation(overlay), 0
    for lane, bank in enumerate(overlay.banks):
        for code, m in enumerate(bank, start=1):
            assert np.array_equal(simulation.products(lane, code), m.table), m.spec
            compared += 1
    return compared


@pytest.mark.slow
def test_all_designs_on_all_511_x_256_operands(tmp_path) -> None:
    specs = designs()
    assert assert_functors_equal_tables(overlay_with(tmp_path, 0, specs)) == len(specs)


@pytest.mark.parametrize("name", overlay_names())
def test_every_bank_of_the_overlays(name: str) -> None:
    assert_functors_equal_tables(Overlay.load(name))
