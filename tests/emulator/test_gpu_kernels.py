# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The kernels in Triton against those in PyTorch, and by that the oracle: on a GPU, or interpreted
where ``TRITON_INTERPRET=1``, as ``test_gpu.py`` has it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Plan, reference
from axynq.emulator.model import graph
from tests.any_network import any_models, random_inputs
from tests.conftest import data_file
from tests.emulator.test_engine import plans
from tests.networks import convolution, random_input, weighted_models

torch = pytest.importorskip("torch", reason="torch is not installed: pip install axynq[torch]")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or not (INTERPRETED or DEVICE.type == "cuda"),
    reason="needs Triton, and a GPU or TRITON_INTERPRET=1",
)

EXAMPLES = 15 if INTERPRETED else 100


def on_device(model: graph.Model, plan: Plan):  # type: ignore[no-untyped-def]
    """The network with Triton's kernels."""
    from axynq.emulator.engine.gpu import kernels
    from axynq.emulator.engine.gpu.network import DeviceNetwork

    network = DeviceNetwork(model, plan.expand(model), DEVICE)
    assert network._kernels is kernels
    return network


def assert_equal_to_oracle(model: graph.Model, plan: Plan, x: list[graph.Int8Array]) -> None:
    products = reference.plan_products(model, plan)
    expected = reference.run(model, x, products)
    network = on_device(model, plan)
    found = network.tensors(x)
    assert set(found) == set(expected)
    for index, value in expected.items():
        assert np.array_equal(found[index], value), model.maker(index)
    sums = network.accumulators(x)
    for layer in model.layers:
        source = expected.get(layer.inputs[0])
        if source is not None:
            approximate = reference.accumulators(model, layer, source, products[layer.name])
            assert np.array_equal(sums[layer.name][0], approximate)
            assert np.array_equal(sums[layer.name][1], reference.accumulators(model, layer, source))


@settings(max_examples=EXAMPLES)
@given(weighted_models(), plans(), st.integers(0, 2**32 - 1))
def test_layers(model: graph.Model, text: str, seed: int) -> None:
    assert_equal_to_oracle(model, Plan.parse(model, text), [random_input(model, 3, seed)])


@settings(max_examples=EXAMPLES)
@given(any_models(), st.integers(0, 2**32 - 1))
def test_networks(model: graph.Model, seed: int) -> None:
    plan = Plan.parse(model, "flam=smapprox:1100|exact")
    assert_equal_to_oracle(model, plan, random_inputs(model, 3, seed))


@settings(max_examples=EXAMPLES)
@given(weighted_models(), st.integers(0, 2**32 - 1), st.booleans())
def test_tables_that_are_looked_up(model: graph.Model, seed: int, mixed: bool) -> None:
    spec = f"table:{data_file('evoapprox_mul8u.npz')}#mul8u_ZFB"
    plan = Plan.parse(model, f"flam={spec}|roup:1,4" if mixed else spec)
    assert_equal_to_oracle(model, plan, [random_input(model, 3, seed)])


def test_errors_of_32_bits(tmp_path: Path) -> None:
    table = np.random.default_rng(5).integers(-(2**20), 2**20, (256, 256))
    np.save(tmp_path / "t.npy", table)
    model = convolution(5, 5, 20, 11, 3, seed=2)
    plan = Plan.parse(model, f"table:{tmp_path}/t.npy")
    assert_equal_to_oracle(model, plan, [random_input(model, 2, 0)])


def test_codes_of_single_weights() -> None:
    rng = np.random.default_rng(3)
    model = convolution(6, 5, 20, 18, 3, seed=1)
    specs = ["exact", "smapprox:3330", "roup:2,6"]
    codes = {layer.name: (specs, rng.integers(0, 4, layer.kernel.shape)) for layer in model.layers}
    assert_equal_to_oracle(model, Plan.from_codes(codes), [random_input(model, 2, 0)])


def test_several_filters_a_channel() -> None:
    rng = np.random.default_rng(1)
    op = graph.DepthwiseConvolution(
        "layer_0", (0,), 1, rng.integers(-127, 128, (3, 2, 40)).astype(np.int8),
        rng.integers(-99, 99, 40).astype(np.int32), np.full(40, 0.05, np.float32),
        stride=(1, 2), padding=graph.Padding(1, 1, 1, 0),
    )  # fmt: skip
    tensors = (graph.Tensor("x", (5, 6, 20), 0.5, 3), graph.Tensor("y", (5, 3, 40), 30.0, -7))
    model = graph.Model("depthwise", tensors, (op,), (0,), (1,))
    spec = f"table:{data_file('evoapprox_mul8u.npz')}#mul8u_ZFB"
    plan = Plan.parse(model, f"flam={spec}|roup:1,4")
    assert_equal_to_oracle(model, plan, [random_input(model, 3, 0)])


def test_many_tiles() -> None:
    """Several tiles of positions, of filters and of taps, of each size."""
    for filters, channels in ((16, 3), (40, 20), (130, 64)):
        model = convolution(9, 9, channels, filters, 3, seed=filters, stride=2)
        plan = Plan.parse(model, "roup:1,4")
        assert_equal_to_oracle(model, plan, [random_input(model, 7, 0)])


def test_layers_of_very_many_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    from axynq.emulator.engine.gpu import packed

    monkeypatch.setattr(packed, "MOST_TAPS", 9)
    model = convolution(5, 6, 7, 9, 3, seed=1)
    plan = Plan.parse(model, "flam=smapprox:1100|exact")
    assert_equal_to_oracle(model, plan, [random_input(model, 3, 0)])


def test_no_images(digits: graph.Model) -> None:
    network = on_device(digits, Plan.parse(digits, "roup:1,4"))
    assert network.run([random_input(digits, 0, 0)])[0].shape == (0, 10)
