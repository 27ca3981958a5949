# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fewer blocks than threads: several threads compute each operator of a block."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.engine.kernel import supported_variants
from axynq.emulator.model.graph import Model
from axynq.emulator.quantisation.builder import NetworkBuilder
from tests.networks import random_input


@pytest.fixture(scope="module")
def network() -> Model:
    """Convolutions with strides, a depthwise one, a sum, a pool and a fully connected layer, large
    enough to be shared."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("shared", (17, 13, 3))

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    x = builder.convolution(
        builder.input, normal(40, 3, 3, 3), normal(40), (1, 1), activation="relu"
    )
    y = builder.convolution(x, normal(40, 3, 3, 40), normal(40), (1, 1))
    x = builder.add(x, y, "relu")
    x = builder.depthwise(x, normal(40, 3, 3, 1), normal(40), (2, 2), activation="relu")
    x = builder.convolution(x, normal(40, 1, 1, 40), normal(40), (1, 1), activation="relu")
    x = builder.flatten(builder.pool(x, "average", (3, 3)))
    builder.softmax(builder.fully_connected(x, normal(10, x.shape[0]), normal(10)))
    images = rng.uniform(0, 1, (8, 17, 13, 3)).astype(np.float32)
    return builder.quantise(images, input_range=(0.0, 1.0))


@pytest.mark.parametrize("engine", [variant.name for variant in supported_variants()])
@pytest.mark.parametrize("text", ["roup:1,4", "flam=exact|smapprox:3330"])
def test_shared_blocks(network: Model, engine: str, text: str) -> None:
    plan = Plan.parse(network, text)
    alone = Emulator(network, plan, engine=engine, threads=1)
    for threads, images in ((2, 1), (2, 64), (3, 40), (3, 70), (5, 130), (19, 64)):
        x = random_input(network, images, threads)
        together = Emulator(network, plan, engine=engine, threads=threads)
        found, expected = together.tensors(x), alone.tensors(x)
        assert all(np.array_equal(found[index], expected[index]) for index in expected)
        assert np.array_equal(together.run(x), alone.run(x))


def test_shared_sums(network: Model) -> None:
    x = random_input(network, 70, 1)
    found, expected = (
        Emulator(network, "smapprox:3330", threads=threads).accumulators(x) for threads in (5, 1)
    )
    for name, sums in expected.items():
        assert np.array_equal(found[name].approximate, sums.approximate)
        assert np.array_equal(found[name].exact, sums.exact)
