# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Designs under g++ compute what the multipliers' tables say, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import axynq.hls4ml  # noqa: F401
from tests.hls4ml.designs import LayerCase, Number, build, random_case, sums

IMAGES = 5


def check(cases: dict[str, LayerCase], folder: Path, io: str, backend: str) -> None:
    model = build(cases, folder, io, backend)
    model.compile()
    given = sums(cases, model, IMAGES)
    for name, case in cases.items():
        np.testing.assert_array_equal(given[name], case.expected(IMAGES), f"{name}: {case}")


def random_cases(seed: int, io: str, count: int = 7) -> dict[str, LayerCase]:
    rng = np.random.default_rng(seed)
    return {f"layer{k}": random_case(rng, io == "io_stream") for k in range(count)}


@pytest.mark.parametrize(
    "io", [pytest.param("io_parallel", marks=pytest.mark.thorough), "io_stream"]
)
def test_random_layers(tmp_path: Path, io: str) -> None:
    cases = random_cases(1, io)
    nothing = {"multipliers": ["exact"], "axis": "filter", "classes": [-1, -1, -1]}
    cases["skipped"] = LayerCase("Conv2D", 3, 2, (4, 4), (2, 2), multipliers=nothing, specs="")
    # Plans do not tell these two apart, though ROUP is defined from -255.
    both = ["roup:0,0", "exact"]
    cases["exact"] = LayerCase("Dense", 2, 30, data=Number(9), multipliers=both, specs="exact")
    assert cases["exact"].inputs(IMAGES).min() == -256
    check(cases, tmp_path, io, "Vitis")


@pytest.mark.thorough
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
def test_random_layers_of_the_older_backend(tmp_path: Path, io: str) -> None:
    check(random_cases(2, io), tmp_path, io, "Vivado")


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("seed", range(3, 9))
def test_more_random_layers(tmp_path: Path, seed: int, io: str, backend: str) -> None:
    check(random_cases(seed, io, 14), tmp_path, io, backend)


def stock_and_exact(seed: int, io: str, count: int) -> tuple[dict[str, LayerCase], ...]:
    """Layers with hls4ml's own products, and with exact multipliers; some with accumulators that
    cut off, saturate or wrap, so that the order of the sums matters."""
    rng = np.random.default_rng(seed)
    own, exact = {}, {}
    for name, case in random_cases(seed, io, count).items():
        fraction = case.data.fraction + case.weight.fraction
        if io == "io_parallel" and case.kind.startswith(("Depthwise", "Separable")):
            # hls4ml's headers for both dimensions exclude each other, and it has one strategy.
            if case.kind.endswith("1D" if seed % 2 else "2D"):
                continue
            case = replace(case, strategy="Latency")
        # hls4ml aborts at other reuse factors.
        taps = case.window[0] * case.window[1] * case.channels
        regular = int(rng.choice([1, taps])) if case.kind in ("Dense", "Conv1D", "Conv2D") else 1
        case = replace(case, reuse=regular)
        width = int(rng.integers(6, 14))
        mode = str(rng.choice(["AP_TRN,AP_WRAP", "AP_RND,AP_SAT", "AP_RND_CONV,AP_SAT_SYM"]))
        narrow = f"ap_fixed<{width},{width - fraction + int(rng.integers(0, 3))},{mode}>"
        accum = narrow if rng.random() < 0.6 else None
        own[name] = replace(case, multipliers=None, specs="exact", accum=accum)
        exact[name] = replace(own[name], multipliers="exact")
    return own, exact


def check_stock(seed: int, folder: Path, io: str, backend: str, count: int = 8) -> None:
    given = []
    for number, cases in enumerate(stock_and_exact(seed, io, count)):
        model = build(cases, folder / str(number), io, backend)
        model.compile()
        given.append((cases, sums(cases, model, IMAGES)))
    (cases, own), (_, exact) = given
    assert any(case.accum for case in cases.values())
    for name, case in cases.items():
        np.testing.assert_array_equal(own[name], exact[name], f"{name}: {case}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "io", ["io_parallel", pytest.param("io_stream", marks=pytest.mark.thorough)]
)
def test_exact_multipliers_give_what_hls4ml_gives(tmp_path: Path, io: str) -> None:
    check_stock(1, tmp_path, io, "Vitis", 5)


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("seed", range(2, 5))
def test_exact_multipliers_give_it_often(tmp_path: Path, seed: int, io: str, backend: str) -> None:
    check_stock(seed, tmp_path, io, backend)
