"""Designs under g++ compute what the multipliers' tables say, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import axynq.hls4ml  # noqa: F401
from tests.hls4ml.designs import LayerCase, Number, build, product, random_case, sums

IMAGES = 5


def check(cases: dict[str, LayerCase], folder: Path, io: str, backend: str) -> None:
    model = build(cases, folder, io, backend)
    model.compile()
    given = sums(cases, model, IMAGES)
    for name, case in cases.items():
        np.testing.assert_array_equal(given[name], case.expected(IMAGES), f"{name}: {case}")


def random_cases(seed: int, io: str, count: int = 10) -> dict[str, LayerCase]:
    rng = np.random.default_rng(seed)
    return {f"layer{k}": random_case(rng, io == "io_stream") for k in range(count)}


@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
def test_random_layers(tmp_path: Path, io: str) -> None:
    check(random_cases(1, io), tmp_path, io, "Vitis")


@pytest.mark.slow
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
def test_random_layers_of_the_older_backend(tmp_path: Path, io: str) -> None:
    check(random_cases(2, io), tmp_path, io, "Vivado")


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("seed", range(3, 9))
def test_more_random_layers(tmp_path: Path, seed: int, io: str, backend: str) -> None:
    check(random_cases(seed, io, 14), tmp_path, io, backend)
