# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Arrays whose lanes are not all alike, or more than a word has bytes: emulator = C simulation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Plan
from axynq.emulator.model import graph
from axynq.host import Accelerator
from tests.equality.whole_way import assert_equal
from tests.networks import (
    branched_models,
    convolution,
    other_models,
    random_input,
    weighted_models,
)
from tests.overlays import Lanes, write_overlay

EXACT = ("exact",)
ROUP, SMAPPROX = ("exact", "roup:2,6"), ("smapprox:3330",)


class Case(NamedTuple):
    """An array."""

    filters: int
    requantisers: int
    lanes: Lanes
    array: dict[str, int]


CASES = {
    # Everything at once: two rounds of bytes, DSP pairs, some window lanes, three copies.
    "hybrid": Case(
        8,
        2,
        ((1, ROUP, "separate"), (3, SMAPPROX, "separate"), (4, EXACT, "dsp pair")),
        {"adders": 1, "window_lanes": 3, "copies": 3},
    ),
    # The last round has fewer lanes than a word has bytes.
    "rounds": Case(6, 2, ((2, EXACT, "separate"), (4, ROUP, "configurable")), {"window_lanes": 4}),
    # Lane n writes byte n of a word, and n - 4.
    "straight": Case(8, 4, ((8, ROUP, "configurable"),), {"adders": 2}),
    "pairs": Case(4, 2, ((4, EXACT, "dsp pair"),), {"adders": 1}),
    "copies": Case(4, 2, ((4, ROUP, "configurable"),), {"copies": 2}),
    "one window lane": Case(4, 4, ((4, ROUP, "separate"),), {"window_lanes": 1, "copies": 4}),
}
FAST = ("hybrid", "straight")


@pytest.fixture(
    scope="module",
    params=[
        name if name in FAST else pytest.param(name, marks=pytest.mark.thorough) for name in CASES
    ],
)
def accelerator(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accelerator]:
    case = CASES[request.param]
    overlay = write_overlay(
        tmp_path_factory.mktemp("overlay"),
        filters=case.filters,
        requantisers=case.requantisers,
        lanes=case.lanes,
        array=case.array,
    )
    with Accelerator(overlay, device="software") as opened:
        yield opened


def plans(accelerator: Accelerator, model: graph.Model, seed: int) -> Plan:
    """For each filter the bank of some lane that can take it, and from it a multiplier, or a skip,
    for each weight."""
    overlay, rng = accelerator.overlay, np.random.default_rng(seed)
    codes = {}
    for layer in model.layers:
        depthwise = isinstance(layer, graph.DepthwiseConvolution)
        lanes = [
            n for n in range(overlay.array.filters) if not depthwise or overlay.takes_windows(n)
        ]
        specs = list(dict.fromkeys(m.spec for lane in lanes for m in overlay.banks[lane]))
        chosen = np.zeros(layer.kernel.shape, np.uint8)
        for number in range(len(chosen)):
            bank = [specs.index(m.spec) + 1 for m in overlay.banks[rng.choice(lanes)]]
            chosen[number] = rng.choice([0, *bank], chosen[number].shape)
        codes[layer.name] = (specs, chosen)
    return Plan.from_codes(codes)


@settings(max_examples=60)
@given(st.data())
def test_random_networks(accelerator: Accelerator, data: st.DataObject) -> None:
    some = other_models().filter(lambda model: not isinstance(model.operators[0], graph.Softmax))
    model = data.draw(st.one_of(weighted_models(), branched_models(), some))
    plan = plans(accelerator, model, data.draw(st.integers(0, 2**32 - 1)))
    # Batches that the copies take in whole turns and others.
    x = random_input(model, data.draw(st.integers(1, 10)), data.draw(st.integers(0, 2**32 - 1)))
    assert_equal(accelerator, model, plan, x)


def test_digits(accelerator: Accelerator, digits: graph.Model) -> None:
    for images in (1, 7, 12):
        plan = plans(accelerator, digits, images)
        assert_equal(accelerator, digits, plan, random_input(digits, images, 0))


def test_more_words_of_a_pixel_than_groups(accelerator: Accelerator) -> None:
    """Where a group fills several words, a phase of all groups has more words than groups."""
    array = accelerator.overlay.array
    filters = accelerator.overlay.buffers.groups * array.filters - 3
    model = convolution(2, 1, 3, filters, kernel=1, seed=0)
    assert_equal(accelerator, model, plans(accelerator, model, 0), random_input(model, 2, 0))
