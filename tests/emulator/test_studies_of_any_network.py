# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Statistics, tuning and evaluation of networks of all operators, several inputs and outputs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, reference
from axynq.emulator.energy import (
    Energy,
    EnergyFigures,
    multiplications_outside,
    relative_energy,
)
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.segments import replace_layers, segments, stretches
from axynq.emulator.studies.errors import extract
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.tuning.compensation import Calibration, Method, frozen, tune
from axynq.emulator.studies.tuning.tuner import Tuner, with_parameters
from tests.any_network import any_models, random_inputs

ROUGH = "smapprox:2222"


def with_layers(model: graph.Model) -> graph.Model:
    assume(model.layers)
    return model


@settings(max_examples=40)
@given(any_models().map(with_layers), st.integers(0, 9))
def test_statistics_of_any_network(model: graph.Model, seed: int) -> None:
    x = random_inputs(model, 130, seed)
    plan = Plan.parse(model, ROUGH)
    found = extract(model, plan, x)
    layer = model.layers[-1]
    tensors = reference.run(model, [v[:130] for v in x], reference.plan_products(model, plan))
    products = reference.plan_products(model, plan)[layer.name]
    source = tensors[layer.inputs[0]]
    exact = reference.accumulators(model, layer, source)
    error = reference.accumulators(model, layer, source, products) - exact
    moments = found.layers[layer.name].neurons
    np.testing.assert_allclose(moments.error_mean, error.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.output_mean, exact.mean(axis=0), rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(any_models(), st.integers(0, 9))
def test_stretches_of_any_network(model: graph.Model, seed: int) -> None:
    x = random_inputs(model, 5, seed)
    values = {k: np.repeat(v[None], 5, axis=0) for k, v in model.constants.items()}
    values |= dict(zip(model.inputs, x))
    parts = stretches(model)
    for part in parts:
        assert [op for op in part.operators if isinstance(op, graph.WeightedLayer)] in (
            [],
            [part.operators[0]],
        )
        found = Emulator(part).run([values[k] for k in part.inputs] if len(part.inputs) > 1
                                   else values[part.inputs[0]])  # fmt: skip
        values |= zip(part.outputs, found if len(part.outputs) > 1 else (found,))
    assert [op for part in parts for op in part.operators] == list(model.operators)
    whole = Emulator(model).tensors(x if len(x) > 1 else x[0])
    for index in model.outputs:
        assert np.array_equal(values[index], whole[index])


@settings(max_examples=25)
@given(any_models().map(with_layers), st.integers(0, 9))
def test_sequential_tuning_is_the_network_measured_again_for_each_layer(
    model: graph.Model, seed: int
) -> None:
    x = random_inputs(model, 70, seed)
    plan = frozen(Plan.parse(model, ROUGH + "+klms=1"), model)
    tuner = Tuner(model, x)
    calibration = Calibration(model, x)
    found = tune(tuner, plan, calibration, Method.SEQUENTIAL)
    assert found.layers[0].name in calibration.means

    wanted = Emulator(model).accumulators(x)
    slow = tune(tuner, plan, x, Method.EXPECTED)
    for name in (layer.name for layer in model.layers):
        sums = Emulator(slow, plan).accumulators(x)[name].approximate
        mean, target = (
            a.mean(axis=(1, 2), dtype=float).sum(axis=0) / len(a)
            for a in (sums, wanted[name].exact)
        )
        layer = slow.layer(name)
        bias = layer.bias + np.rint(target - mean).astype(np.int64)
        slow = replace_layers(slow, [with_parameters(layer, layer.kernel, bias.astype(np.int32))])
    for layer in slow.layers:
        assert np.array_equal(found.layer(layer.name).bias, layer.bias)
        assert np.array_equal(found.layer(layer.name).weights, layer.weights)


@settings(max_examples=10)
@given(any_models(("convolution", "depthwise", "elementwise", "lookup", "concatenation")))
def test_tuning_any_network_brings_it_nearer(model: graph.Model) -> None:
    """Mean accumulators come back to where they are in the exact network."""
    assume(model.layers)
    x = random_inputs(model, 40, 0)
    plan = Plan.parse(model, ROUGH)
    tuner = Tuner(model, x)
    first = model.layers[0].name

    def distance(network: graph.Model) -> float:
        found = Emulator(network, plan).accumulators(x)[first]
        wanted = Emulator(model).accumulators(x)[first].exact
        return float(
            np.abs(found.approximate.mean(axis=(0, 1, 2)) - wanted.mean(axis=(0, 1, 2))).max()
        )

    for method in Method:
        tuned = tune(tuner, plan, x, method)
        assert distance(tuned) <= max(distance(model), 1.0)
        assert tuned.constants is model.constants


def flattened(model: graph.Model) -> graph.Model:
    """The network with an output that may be scores of classes."""
    last = model.tensors[model.output_index]
    flat = replace(last, name="scores", shape=(math.prod(last.shape),))
    end = graph.Reshape("scores", (model.output_index,), len(model.tensors))
    return replace(
        model,
        tensors=(*model.tensors, flat),
        operators=(*model.operators, end),
        outputs=(end.output,),
    )


@settings(max_examples=25)
@given(any_models(most=8), st.integers(0, 9))
def test_evaluator_of_any_network(model: graph.Model, seed: int) -> None:
    assume(len(model.inputs) == 1)
    model = flattened(replace(model, outputs=model.outputs[-1:]))
    x = random_inputs(model, 70, seed)
    examples = Examples(x[0], np.zeros(70, np.int64))
    plan = Plan.parse(model, ROUGH) if model.layers else Plan.uniform("exact")
    expected = Emulator(model, plan).run(x).reshape(70, -1)
    evaluator = Evaluator(model, examples)
    assert np.array_equal(evaluator.outputs(plan), expected)
    assert np.array_equal(evaluator.outputs(plan), expected)  # of what was kept


def test_segments_hold_the_constants() -> None:
    tensors = tuple(graph.Tensor(name, (4,), 0.1, 0) for name in "xabcy")

    def layer(name: str, source: int, target: int) -> graph.FullyConnected:
        weights = np.eye(4, dtype=np.int8) * 100
        return graph.FullyConnected(
            name, (source,), target, weights, np.zeros(4, np.int32), np.full(4, 0.01, np.float32)
        )

    operators = (
        layer("fc_0", 0, 1), graph.Elementwise("add_1", (1, 3), 2, "add"), layer("fc_2", 2, 4),
    )  # fmt: skip
    constant = np.array([1, 2, 3, 4], np.int8)
    model = graph.Model("m", tensors, operators, (0,), (4,), {3: constant})
    parts = segments(model)
    assert [[op.name for op in part.operators] for part in parts] == [["fc_0", "add_1"], ["fc_2"]]
    x = np.zeros((2, 4), np.int8)
    y = Blocks.of(x).in_order((4,))
    for part in parts:
        y = Emulator(part).run(y)
    assert np.array_equal(y, np.stack([constant, constant]))


def test_what_needs_classes_says_so() -> None:
    tensors = tuple(graph.Tensor(name, (4,), 0.1, 0) for name in "abyz")
    operators = (
        graph.Add("add_0", (0, 1), 2),
        graph.Elementwise("multiply_1", (0, 1), 3, "multiply"),
    )
    x = np.zeros((3, 4), np.int8)
    examples = Examples(x, np.zeros(3, np.int64))
    two = graph.Model("m", tensors, operators[:1], (0, 1), (2,))
    with pytest.raises(ModelError, match=r"'m' has 2 inputs \(a, b\), where only one makes sense"):
        Evaluator(two, examples)
    with pytest.raises(ModelError, match=r"'m' has 2 outputs \(y, z\), so that there is no"):
        Evaluator(replace(two, operators=operators, outputs=(2, 3)), examples)


def test_products_outside_the_array_cost_what_exact_ones_cost() -> None:
    tensors = tuple(graph.Tensor(name, (4,), 0.1, 0) for name in "xabcdy")
    layer = graph.FullyConnected(
        "fc_0", (0,), 1, np.eye(4, dtype=np.int8), np.zeros(4, np.int32), np.ones(4, np.float32)
    )
    pairs = (
        graph.Elementwise("multiply_1", (0, 1), 2, "multiply"),
        graph.Elementwise("prelu_2", (2, 4), 3, "prelu"),
        graph.Elementwise("add_3", (3, 4), 5, "add"),
    )
    constants = {4: np.ones(4, np.int8)}
    model = graph.Model("m", tensors, (layer, *pairs), (0,), (5,), constants)
    assert multiplications_outside(model) == {"multiply_1": 4, "prelu_2": 4}
    figures = EnergyFigures().extended({"roup:1,4": Energy(0.5, "here")})
    found = relative_energy(model, Plan.parse(model, "roup:1,4"), figures)
    assert found == (16 * 0.5 + 8) / (16 + 8)
    nothing = replace(model, operators=pairs[2:], inputs=(3,))
    assert relative_energy(nothing, Plan.uniform("exact")) == 1.0
