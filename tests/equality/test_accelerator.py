# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Emulator = C simulation reached through the software board, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from axynq.emulator import Plan
from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host import Accelerator
from tests.equality.whole_way import assert_equal
from tests.networks import branched_models, convolution, other_models, random_input, weighted_models
from tests.overlays import write_overlay

GRANULARITIES = [
    "exact",
    "roup:1,4",
    "smapprox:3330",
    "flam=exact|roup:1,4|smapprox:3330",
    "flam=roup:1,4|roup:2,6",
    "klam-channel=exact|roup:1,4",
    "klam-row=exact|smapprox:3330|exact",
    "klam-column=roup:1,4|exact",
    "klms=1",
    "klms=2",
    "flam=exact|roup:1,4+klms=1",
]
SLOW = ("exact", "flam=exact|roup:1,4|smapprox:3330")
SOME = [
    pytest.param(plan, marks=pytest.mark.slow if plan in SLOW else pytest.mark.thorough)
    for plan in GRANULARITIES
]
"""For networks that take seconds."""


@pytest.fixture(scope="module")
def tiny4() -> Iterator[Accelerator]:
    with Accelerator("tiny4", device="software") as opened:
        yield opened


@pytest.fixture(scope="module")
def mixed16() -> Iterator[Accelerator]:
    with Accelerator("z2-mixed16", device="software") as opened:
        yield opened


@st.composite
def fitting_plans(draw: st.DrawFn) -> str:
    """Plans whose multipliers every lane of both overlays' first lane group has."""
    specs = draw(st.lists(st.sampled_from(["exact", "roup:1,4"]), min_size=1, max_size=3))
    name = draw(st.sampled_from(["llam", "flam", "klam-channel", "klam-row", "klam-column"]))
    text = f"{name}={specs[0] if name == 'llam' else '|'.join(specs)}"
    return text + draw(st.sampled_from(["", "", "+klms=1"]))


@settings(max_examples=150)
@given(weighted_models(), fitting_plans(), st.integers(0, 2**32 - 1))
def test_random_layers(tiny4, model: graph.Model, plan: str, seed: int) -> None:
    assert_equal(tiny4, model, plan, random_input(model, 3, seed))


@settings(max_examples=60)
@given(weighted_models(), fitting_plans(), st.integers(0, 2**32 - 1))
def test_random_layers_on_a_larger_array(mixed16, model, plan: str, seed: int) -> None:
    assert_equal(mixed16, model, plan, random_input(model, 2, seed))


@settings(max_examples=100)
@given(
    other_models().filter(lambda model: not isinstance(model.operators[0], graph.Softmax)),
    st.integers(0, 2**32 - 1),
)
def test_random_operators_without_weights(tiny4, model: graph.Model, seed: int) -> None:
    assert_equal(tiny4, model, "exact", random_input(model, 3, seed))


@settings(max_examples=100)
@given(branched_models(), fitting_plans(), st.integers(0, 2**32 - 1))
def test_random_sums_of_layers(tiny4, model: graph.Model, plan: str, seed: int) -> None:
    assert_equal(tiny4, model, plan, random_input(model, 2, seed))


@pytest.fixture(
    scope="module",
    params=[
        "narrow",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("wide", "few-lanes")),
    ],
)
def cramped(request, tmp_path_factory) -> Iterator[Accelerator]:
    """Arrays of other proportions, with buffers so small that most layers come in parts."""
    values = {
        "narrow": {
            "inputs": 4,
            "requantisers": 1,
            "lanes": [
                (1, ("exact",), "separate"),
                (1, ("roup:1,4",), "separate"),
                (2, ("roup:1,4", "exact", "roup:2,6"), "configurable"),
            ],
            "weight_vectors": 8,
            "groups": 4,
            "partial_sums": 32,
            "map_words": 128,
        },
        "wide": {
            "filters": 4,
            "inputs": 16,
            "requantisers": 4,
            "weight_vectors": 32,
            "map_words": 64,
        },
        "few-lanes": {
            "filters": 3,
            "inputs": 8,
            "requantisers": 3,
            "lanes": [(3, ("exact", "roup:1,4"), "configurable")],
            "weight_vectors": 16,
            "partial_sums": 16,
            "map_words": 128,
        },
    }[request.param]
    overlay = write_overlay(tmp_path_factory.mktemp("overlay"), request.param, **values)
    with Accelerator(overlay, device="software") as opened:
        yield opened


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.one_of(weighted_models(), weighted_models(), branched_models()),
    fitting_plans(),
    st.integers(0, 2**32 - 1),
)
def test_random_layers_in_parts(cramped, model: graph.Model, plan: str, seed: int) -> None:
    try:
        assert_equal(cramped, model, plan, random_input(model, 3, seed))
    except ProgramError:
        reject()  # a row of it does not fit


@pytest.mark.parametrize("plan", GRANULARITIES)
def test_digits(tiny4, digits: graph.Model, plan: str) -> None:
    assert_equal(tiny4, digits, plan, random_input(digits, 20, 0))


def test_codes_of_single_weights(tiny4, digits: graph.Model) -> None:
    rng = np.random.default_rng(4)
    codes = {
        layer.name: (["exact", "smapprox:3330"], rng.integers(0, 3, layer.kernel.shape))
        for layer in digits.layers
    }
    assert_equal(tiny4, digits, Plan.from_codes(codes), random_input(digits, 5, 1))


@pytest.mark.parametrize("plan", SOME)
def test_resnet8(tiny4, resnet8: graph.Model, cifar10_images: np.ndarray, plan: str) -> None:
    assert_equal(tiny4, resnet8, plan, cifar10_images[:2])


@pytest.mark.parametrize("plan", SOME)
def test_keyword_model(tiny4, keyword: graph.Model, keyword_samples, plan: str) -> None:
    assert_equal(tiny4, keyword, plan, keyword_samples[0][:5])


@pytest.mark.thorough
@pytest.mark.parametrize("plan", ["exact", "roup:1,4", "smapprox:3330",
                                  "flam=exact|roup:1,4|smapprox:3330",
                                  "klam-row=exact|roup:1,4+klms=2"])  # fmt: skip
def test_networks_on_lanes_of_two_kinds(
    mixed16, resnet8, keyword, cifar10_images, keyword_samples, plan: str
) -> None:
    assert_equal(mixed16, resnet8, plan, cifar10_images[:8])
    assert_equal(mixed16, keyword, plan, keyword_samples[0][:8])


# --- shapes that need the buffers in parts -------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "columns", "channels", "filters", "kernel"),
    [
        (40, 40, 12, 8, 3),  # several row tiles
        (5, 5, 30, 70, 3),  # several filter blocks, the last one not full
        (30, 33, 9, 130, 1),  # both
    ],
)
def test_layers_larger_than_the_buffers(tiny4, rows, columns, channels, filters, kernel) -> None:
    model = convolution(rows, columns, channels, filters, kernel, seed=rows)
    x = random_input(model, 2, 0)
    assert_equal(tiny4, model, "flam=exact|roup:1,4", x)
    counts = tiny4.device.core.simulation.counters()
    # It really was done in parts: there are more runs than one for each image, two to take in the
    # phase, one each in and out.
    assert counts["runs"] > len(x) + 4


def test_reshaped_input_and_flattened_feature_map(tiny4) -> None:
    rng = np.random.default_rng(0)
    tensors = (
        graph.Tensor("x", (60,), 0.1, 5),
        graph.Tensor("m", (4, 5, 3), 0.1, 5),
        graph.Tensor("f", (60,), 0.1, 5),
        graph.Tensor("y", (6,), 5.0, 0),
        graph.Tensor("s", (6,), 1 / 256, -128),
    )
    operators = (
        graph.Reshape("reshape_0", (0,), 1),
        graph.Reshape("reshape_1", (1,), 2),
        graph.FullyConnected(
            "fully_connected_2", (2,), 3, rng.integers(-127, 128, (6, 60)).astype(np.int8),
            rng.integers(-99, 99, 6).astype(np.int32), np.full(6, 0.1, np.float32),
        ),
        graph.Softmax("softmax_3", (3,), 4, 1.0),
    )  # fmt: skip
    model = graph.Model("m", tensors, operators, (0,), (4,))
    assert_equal(tiny4, model, "klam-channel=exact|roup:1,4", random_input(model, 4, 0))


@pytest.mark.parametrize("output_scale", [1e-6, 1e-3, 0.02, 0.3, 1e3, 1e7])
def test_factors_from_the_very_large_to_the_very_small(tiny4, output_scale: float) -> None:
    """What leaves the lanes is narrowed before large factors: it must not show."""
    rng = np.random.default_rng(0)
    tensors = (graph.Tensor("x", (6, 6, 3), 0.5, 3), graph.Tensor("y", (6, 6, 8), output_scale, -7))
    op = graph.Convolution(
        "conv_0", (0,), 1, rng.integers(-3, 4, (8, 1, 1, 3)).astype(np.int8),
        rng.integers(-40, 41, 8).astype(np.int32), np.full(8, 0.4, np.float32),
    )  # fmt: skip
    model = graph.Model("factors", tensors, (op,), (0,), (1,))
    assert_equal(tiny4, model, "exact", random_input(model, 8, 1))
