# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Gradients of any network: those of the estimates against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator
from axynq.emulator.model import graph
from axynq.emulator.model.lookups import lookup_table, table_slopes
from axynq.emulator.quantisation.builder import NetworkBuilder, Node
from axynq.emulator.studies.sensitivity.derivatives import _slope
from axynq.emulator.studies.sensitivity.estimate import estimate
from axynq.emulator.studies.sensitivity.gradients import accumulator_gradients
from tests.any_network import KINDS, LOOKUPS, any_models, random_inputs
from tests.networks import tensor

torch = pytest.importorskip("torch")

from axynq.emulator.studies.retraining.network import TrainableNetwork, without_softmax
from axynq.emulator.studies.retraining.operators import channels_first, computed

torch.set_num_threads(1)  # tests run beside each other

# Of equal values the estimates let all share the gradient, PyTorch's pooling one.
SMOOTH = tuple(kind for kind in KINDS if kind != "pool")


@settings(max_examples=80)
@given(any_models(SMOOTH, most=6), st.integers(0, 9))
def test_gradients_of_any_network_are_torchs(model: graph.Model, seed: int) -> None:
    model = replace(model, outputs=model.outputs[-1:])
    assume(model.layers)
    check_gradients(model, seed)


INSIDE: dict[str, Callable[[NetworkBuilder, Node], Node]] = {
    "padding": lambda b, x: b.pad(x, (1, 0, 0), (0, 2, 0)),
    "log softmax": lambda b, x: b.log_softmax(x),
    "softmax": lambda b, x: b.softmax(x, 0.5),
    "length": lambda b, x: b.l2_normalisation(x),
    "reversal": lambda b, x: b.slice(x, (3, 0, 0), (4, 2, 3), (-1, 2, 1)),
}


@pytest.mark.parametrize("name", INSIDE)
def test_gradients_through_an_operator_are_torchs(name: str) -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("inside", (4, 4, 2))
    x = builder.convolution(builder.input, rng.normal(size=(3, 3, 3, 2)), rng.normal(size=3))
    x = INSIDE[name](builder, x)
    builder.convolution(x, rng.normal(size=(4, 1, 1, 3)), rng.normal(size=4))
    check_gradients(builder.quantise(rng.normal(size=(16, 4, 4, 2))), 0)


@pytest.mark.parametrize("kind", ["tanh", "hard_swish", "gelu"])
def test_gradients_of_a_table_are_those_of_its_function(kind: graph.LookupKind) -> None:
    """Functions of ONNX that have no name here, such as Softplus, are tables."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("inside", (4, 4, 2))
    x = builder.convolution(builder.input, rng.normal(size=(3, 3, 3, 2)) / 4, rng.normal(size=3))
    builder.convolution(builder.lookup(x, kind), rng.normal(size=(4, 1, 1, 3)), rng.normal(size=4))
    model = builder.quantise(rng.normal(size=(16, 4, 4, 2)))
    named = model.operators[1]
    assert isinstance(named, graph.Lookup)
    table = replace(named, kind="table", table=lookup_table(model, named))
    other = replace(model, operators=(model.operators[0], table, model.operators[2]))
    check_gradients(other, 0)
    real = model.tensors[named.inputs[0]].dequantise(np.arange(-128, 128))
    expected = _slope(named, real)
    # A table's steps are rounded, by up to a half each.
    step = model.tensors[named.output].scale / model.tensors[named.inputs[0]].scale
    assert np.abs(table_slopes(other, table) - expected)[1:-1].max() < 0.75 * step


def check_gradients(model: graph.Model, seed: int) -> None:
    x = random_inputs(model, 3, seed)
    plain = without_softmax(model)
    values = int(np.prod(plain.output.shape))
    y = np.random.default_rng(seed).integers(0, values, 3)
    emulator = Emulator(model, engine="portable")
    tensors = emulator.tensors(x)
    found = accumulator_gradients(model, tensors, y)

    network = TrainableNetwork(model)
    given_ = [channels_first(torch.from_numpy(v)) for v in x]
    real = emulator.real_tensors(x)
    known = {k: channels_first(torch.from_numpy(v)) for k, v in real.items()}
    scores = network(given_, None, known)
    shape = plain.output.shape
    if len(shape) == 3:  # a map: channels come first
        rows, columns, channels = shape
        scores = scores.reshape(3, channels, rows, columns).permute(0, 2, 3, 1).flatten(1)
    loss = torch.nn.functional.cross_entropy(
        scores * _beta(model), torch.from_numpy(y), reduction="sum"
    )
    if not loss.requires_grad:
        assume(False)  # no layer reaches the output
    loss.backward()
    for layer in model.layers:
        gradient = network.bias[layer.name].grad
        expected = np.zeros(len(layer.bias)) if gradient is None else gradient.numpy()
        scale = model.tensors[layer.inputs[0]].scale * layer.weight_scales
        by_filter = found[layer.name].sum(axis=(0, 1, 2)) / scale
        size = max(np.abs(expected).max(), np.abs(found[layer.name]).sum() / scale.min() / 100)
        np.testing.assert_allclose(by_filter, expected, rtol=1e-3, atol=1e-3 * size + 1e-6)


def _beta(model: graph.Model) -> float:
    last = [op for op in model.operators if op.output == model.output_index]
    return last[0].beta if last and isinstance(last[0], graph.Softmax) else 1.0


@pytest.mark.parametrize("kind", [*LOOKUPS, "reciprocal_square_root"])
def test_slopes_of_single_values_are_torchs(kind: graph.LookupKind) -> None:
    tensors = (tensor("x", (256,), 0.05, -3), tensor("y", (256,), 0.1, 0))
    op = graph.Lookup("lookup_0", (0,), 1, kind, 0.25 if kind == "leaky_relu" else 0.0)
    model = graph.Model("m", tensors, (op,), (0,), (1,))
    real = torch.from_numpy(tensors[0].dequantise(np.arange(-128, 128)))[None].requires_grad_()
    y = computed(model, op, [real])
    y[torch.isfinite(y)].sum().backward()
    np.testing.assert_allclose(_slope(op, real.detach().numpy()[0]), real.grad[0], atol=1e-12)


def test_estimates_of_several_inputs_and_a_layer_without_effect() -> None:
    rng = np.random.default_rng(0)
    tensors = (
        tensor("a", (3, 3, 2), 0.1, 0), tensor("b", (4,), 0.1, 0), tensor("dead", (4,), 1.0, 0),
        tensor("y", (4,), 3.0, 0), tensor("z", (4,), 3.0, 0),
    )  # fmt: skip

    def layer(name: str, target: int) -> graph.FullyConnected:
        return graph.FullyConnected(
            name, (0,), target, rng.integers(-127, 128, (4, 18)).astype(np.int8),
            np.zeros(4, np.int32), np.full(4, 0.02, np.float32),
        )  # fmt: skip

    operators = (
        layer("fc_0", 2), layer("fc_1", 3),
        graph.Elementwise("multiply_2", (3, 1), 4, "multiply"),
    )  # fmt: skip
    model = graph.Model("m", tensors, operators, (0, 1), (4,))
    x = random_inputs(model, 20, 0)
    found = estimate(model, x, rng.integers(0, 4, 20), ["roup:2,6"])
    assert not found["fc_0", "filter", "roup:2,6"].any()
    assert found["fc_1", "filter", "roup:2,6"].any()
