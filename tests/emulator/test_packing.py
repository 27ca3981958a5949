# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Layers in the kernel's order: all of a layer at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, reference
from axynq.emulator.engine.abi import MOST_FILTERS, VECTOR_FILTERS
from axynq.emulator.engine.choice import choose_engine
from axynq.emulator.engine.kernel import supported_variants
from axynq.emulator.engine.packing_filter_blocks import filter_blocks
from axynq.emulator.model import graph
from axynq.emulator.model.segments import replace_layers
from tests.networks import convolution, depthwise, random_input

SPECS = ("exact", "roup:1,4", "smapprox:3330", "roup:2,6")


def random_plan(model: graph.Model, seed: int) -> Plan:
    """A multiplier for each weight; filters that use all, one, or none of them."""
    rng = np.random.default_rng(seed)
    codes = {}
    for layer in model.layers:
        every = rng.integers(0, len(SPECS) + 1, layer.kernel.shape)
        alike = rng.integers(0, len(SPECS) + 1, (len(every), 1, 1, 1))
        mixed = rng.integers(0, 3, alike.shape) == 0
        codes[layer.name] = SPECS, np.where(mixed, every, alike)
    return Plan.from_codes(codes)


@pytest.mark.parametrize(
    "model",
    [convolution(3, 4, 5, 40, 3, seed=1), depthwise(4, 3, 30, 3, seed=2)],
    ids=["convolution", "depthwise"],
)
def test_filters_of_many_kinds(model: graph.Model) -> None:
    plan, x = random_plan(model, seed=3), random_input(model, 2, seed=4)
    expected = reference.run(model, x, reference.plan_products(model, plan))[model.output_index]
    for variant in supported_variants():
        assert np.array_equal(Emulator(model, plan, engine=variant.name).run(x), expected)


@pytest.mark.parametrize("model", [convolution(3, 4, 5, 7, 3, 1), depthwise(4, 3, 5, 3, 2)])
def test_layers_without_products(model: graph.Model) -> None:
    """Nothing but the biases: everything is skipped, or every weight is zero."""
    (layer,) = model.layers
    nothing = Plan.from_codes({layer.name: (SPECS, np.zeros(layer.kernel.shape, np.uint8))})
    zero = replace_layers(model, [replace(layer, weights=np.zeros_like(layer.weights))])
    x = random_input(model, 2, seed=4)
    expected = reference.run(zero, x)[model.output_index]
    for variant in supported_variants():
        assert np.array_equal(Emulator(model, nothing, engine=variant.name).run(x), expected)
        assert np.array_equal(Emulator(zero, engine=variant.name).run(x), expected)


@st.composite
def needs(draw: st.DrawFn) -> tuple[list[tuple[bool, ...]], int]:
    """For each filter the planes it needs, and the number of convolutions."""
    convolutions, each = draw(st.sampled_from([(1, 23), (1, 7), (5, 3), (4, 8), (9, 1)]))
    count = convolutions * each
    one = st.tuples(*[st.booleans()] * draw(st.integers(1, 3)))
    kinds = draw(st.lists(one, min_size=1, max_size=4))
    return draw(st.lists(st.sampled_from(kinds), min_size=count, max_size=count)), convolutions


@given(needs())
@example(([(False,)] * 13, 1))  # nothing is needed at all
@example(([(True, False), (False, True)] * 6, 2))
def test_blocks_have_filters_of_one_kind(case: tuple[list[tuple[bool, ...]], int]) -> None:
    need, convolutions = case
    for most in (VECTOR_FILTERS, MOST_FILTERS):
        check_blocks(need, convolutions, most)


def check_blocks(need: list[tuple[bool, ...]], convolutions: int, most: int) -> None:
    each = len(need) // convolutions
    members, convolution_of = filter_blocks(np.array(need), convolutions, most)
    blocks = [[f for f in block if f >= 0] for block in members.tolist()]
    assert sorted(f for block in blocks for f in block) == list(range(len(need)))
    assert convolution_of.tolist() == sorted(convolution_of)
    for block, convolution_ in zip(blocks, convolution_of.tolist()):
        assert 0 < len(block) <= most
        assert {(f // each, need[f]) for f in block} == {(convolution_, need[block[0]])}
    kinds = Counter((f // each, one) for f, one in enumerate(need))
    assert len(blocks) == sum(-(-count // most) for count in kinds.values())


def test_channels_of_a_depthwise_layer_are_packed_together() -> None:
    """A convolution for each channel, but not an array for each."""
    if choose_engine().kernel is None:
        pytest.skip("there is no native kernel here")
    model = depthwise(4, 4, 64, 3, seed=5)
    network: Any = Emulator(model, "flam=exact|smapprox:3330")._network
    (part,) = network._parts
    assert part._layers["layer_0"].convolutions == 64
    assert len(part._memory._arrays) < 64
