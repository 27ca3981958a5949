# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Emulators that go on with other weights, and tensors as real numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan
from axynq.emulator.engine.choice import PORTABLE
from axynq.emulator.engine.kernel import supported_variants
from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.segments import replace_layers
from tests.any_network import any_models, random_inputs
from tests.networks import convolution, depthwise, random_input

SPECS = ("exact", "roup:1,4", "smapprox:3330", "roup:2,6")

ENGINES = (*(variant.name for variant in supported_variants()), PORTABLE)


def mixed_plan(model: graph.Model, rng: np.random.Generator) -> Plan:
    """Multipliers by weight, by filter or by channel, and weights that are skipped."""
    codes = {}
    for layer in model.layers:
        shape = np.array(layer.kernel.shape)
        alike = [(), (1, 2, 3), (0, 1, 2), (0, 1, 2, 3)][rng.integers(4)]
        shape[list(alike)] = 1
        of_each = rng.integers(0, len(SPECS) + 1, shape)
        codes[layer.name] = SPECS, np.broadcast_to(of_each, layer.kernel.shape)
    return Plan.from_codes(codes)


def other_weights(model: graph.Model, rng: np.random.Generator) -> Iterator[graph.Model]:
    """The network with random weights, only few others than before, and none but zeros."""

    def changed(layer: graph.WeightedLayer, kind: int) -> graph.WeightedLayer:
        weights = rng.integers(-128, 128, layer.weights.shape).astype(np.int8)
        if kind == 1:
            weights = np.where(rng.random(weights.shape) < 0.1, weights, layer.weights)
        bias = rng.integers(-(2**31), 2**31, layer.bias.shape).astype(np.int32)
        return replace(layer, weights=weights * np.int8(kind < 2), bias=bias)

    for kind in range(3):
        yield replace_layers(model, [changed(layer, kind) for layer in model.layers])


def same(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[key], expected[key]) for key in found
    )


@settings(max_examples=30)
@given(any_models(), st.integers(0, 2**32 - 1))
def test_exchanged_weights_are_those_of_a_new_emulator(model: graph.Model, seed: int) -> None:
    assume(model.layers)
    rng = np.random.default_rng(seed)
    plan, x = mixed_plan(model, rng), random_inputs(model, 67, seed)
    emulator = Emulator(model, plan)
    for other in other_weights(model, rng):
        emulator.exchange_weights(other)
        new = Emulator(other, plan, engine=PORTABLE)
        assert same(emulator.tensors(x), new.tensors(x))
        assert same(emulator.accumulators(x), new.accumulators(x))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["smapprox:3330", "roup:1,4", "klam-channel=exact|roup:2,6"])
@pytest.mark.parametrize(
    "model",
    [
        convolution(5, 6, 5, 40, 3, seed=1),
        convolution(6, 5, 16, 20, 3, seed=2),
        depthwise(4, 3, 30, 3, seed=2),
    ],
    ids=["few channels", "groups of channels", "depthwise"],
)
def test_exchanged_weights_on_every_engine(model: graph.Model, text: str, engine: str) -> None:
    plan, x = Plan.parse(model, text), random_input(model, 70, 3)
    emulator = Emulator(model, plan, engine=engine)
    for other in other_weights(model, np.random.default_rng(4)):
        emulator.exchange_weights(other)
        assert np.array_equal(emulator.run(x), Emulator(other, plan, engine=PORTABLE).run(x))
    assert emulator.model is other


def test_codes_follow_the_weights(digits: graph.Model) -> None:
    """Which weights ``klms`` skips depends on them."""
    x = random_input(digits, 40, 0)
    emulator = Emulator(digits, "llam=roup:1,4+klms=1")
    for other in other_weights(digits, np.random.default_rng(1)):
        emulator.exchange_weights(other)
        new = Emulator(other, "llam=roup:1,4+klms=1")
        assert np.array_equal(emulator.run(x), new.run(x))
        assert all(np.array_equal(emulator.codes[k].codes, new.codes[k].codes) for k in new.codes)


def test_weights_of_another_network(digits: graph.Model) -> None:
    emulator = Emulator(digits, "llam=roup:1,4")
    x = random_input(digits, 3, 0)
    before = emulator.run(x)
    with pytest.raises(ModelError, match="it has other layers"):
        emulator.exchange_weights(convolution(3, 4, 5, 7, 3, 1))
    assert np.array_equal(emulator.run(x), before)


# --- real numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["auto", PORTABLE])
@pytest.mark.parametrize("threads", [1, 3])
def test_real_tensors(digits: graph.Model, engine: str, threads: int) -> None:
    emulator = Emulator(digits, "roup:2,6", engine=engine, threads=threads)
    x = random_input(digits, 130, 0)
    real = emulator.real_tensors(x)
    for index, values in emulator.tensors(x).items():
        tensor = digits.tensors[index]
        wide = (values.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(
            tensor.scale
        )
        assert real[index].dtype == np.float32
        assert np.array_equal(real[index], wide)


def test_real_tensors_that_are_held_stay(digits: graph.Model) -> None:
    emulator = Emulator(digits, "roup:2,6")
    first, second = (emulator.real_tensors(random_input(digits, 20, seed)) for seed in (0, 1))
    again = emulator.real_tensors(random_input(digits, 20, 0))
    assert same(first, again)
    assert not any(np.shares_memory(first[k], second[k]) for k in first)
    assert not np.array_equal(first[digits.output_index], second[digits.output_index])
