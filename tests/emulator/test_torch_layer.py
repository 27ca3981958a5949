"""The torch path against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Plan, reference
from axynq.emulator.model import graph
from tests import limits
from tests.emulator.test_engine import plans
from tests.networks import random_input, weighted_models

torch = pytest.importorskip("torch", reason="torch is not installed: pip install axynq[train]")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def assert_equal_to_oracle(
    model: graph.Model, plan: Plan, x: graph.Int8Array, device: str, dtype: str
) -> None:
    from axynq.emulator.engine.torch_layer import TorchLayer

    expanded, products = plan.expand(model), reference.plan_products(model, plan)
    for layer in model.layers:
        made = TorchLayer(model, layer, expanded[layer.name], device, getattr(torch, dtype))
        found = made(torch.from_numpy(x).to(device))
        expected = reference.accumulators(model, layer, x, products[layer.name])
        assert found.dtype == torch.int32
        assert np.array_equal(found.cpu().numpy(), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=60)
@given(weighted_models(), plans(), st.integers(0, 2**32 - 1))
def test_torch_equals_oracle(device: str, dtype: str, model, text: str, seed: int) -> None:
    x = random_input(model, 2, seed)
    assert_equal_to_oracle(model, Plan.parse(model, text), x, device, dtype)


@pytest.mark.parametrize("device", DEVICES)
def test_sums_beyond_what_float32_counts(device: str) -> None:
    # 255 * 127 * 600 is more than 2**24: the sum is taken in pieces.
    source, target = graph.Tensor("x", (600,), 0.1, -128), graph.Tensor("y", (3,), 1e5, 0)
    layer = graph.FullyConnected(
        "fully_connected_0", (0,), 1, np.full((3, 600), 127, np.int8), np.ones(3, np.int32),
        np.ones(3, np.float32),
    )  # fmt: skip
    model = graph.Model("large", (source, target), (layer,), (0,), (1,))
    x = np.full((1, 600), 127, np.int8)
    x[0, 0] = 126
    assert_equal_to_oracle(model, Plan.uniform("exact"), x, device, "float32")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_modulo_2_to_the_32(device: str, dtype: str) -> None:
    for model, x in limits.overflowing_sums():
        assert_equal_to_oracle(model, Plan.parse(model, "exact"), x, device, dtype)
