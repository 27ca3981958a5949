# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks: read from files, computed, quantised."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.file_formats.tflite_assembly import (
    FileOperator,
    FileTensor,
    assemble,
    constant_tensor,
)
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.frameworks.float_files import load_float_network
from axynq.emulator.frameworks.tflite_float import load_float_tflite
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding, Quantisation
from axynq.emulator.quantisation import forward
from axynq.emulator.quantisation.builder import NetworkBuilder, Node
from axynq.emulator.quantisation.equalisation import equalised
from axynq.emulator.quantisation.inputs import real_inputs
from axynq.emulator.quantisation.quantise import Options, Quantised, quantise
from axynq.emulator.quantisation.ranges import quantisation
from axynq.emulator.quantisation.report import decibels, float_accuracy, layer_losses
from axynq.emulator.quantisation.simplification import simplified
from tests.any_network import any_models, random_inputs
from tests.emulator import runtime
from tests.emulator.float_files import float_twin, half_precision_twin, with_operators

KINDS = (
    "convolution", "depthwise", "fully_connected", "transposed_convolution", "addition",
    "elementwise", "lookup", "softmax", "reduction", "pool", "pad", "reshape", "concatenation",
    "slice", "transpose", "resize", "blocks",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(any_models(KINDS, tflite=True), st.integers(0, 99))
def test_float_files_are_read(tmp_path_factory, model: graph.Model, seed: int) -> None:
    """The float twins of random int8 networks, against TFLite."""
    # The direction of a vector of hardly anything is anything.
    assume(not any(isinstance(op, graph.L2Normalisation) for op in model.operators))
    assume(
        not any(isinstance(op, graph.Lookup) and op.kind == "quantise" for op in model.operators)
    )
    content = float_twin(serialise_model(model))
    path = tmp_path_factory.mktemp("float") / "net.tflite"
    path.write_bytes(content)
    network = load_float_tflite(path)
    x = [
        model.tensors[index].dequantise(values).astype(np.float32)
        for index, values in zip(model.inputs, random_inputs(model, 2, seed))
    ]
    expected = runtime.run_all("tflite_runtime", content, x)
    found = forward.run(network, dict(zip(network.inputs, x)))
    # Functions with flat tails take what was rounded at the size of their inputs.
    rounding = np.finfo(np.float32).eps * max(
        float(np.abs(v).max(initial=0)) for v in (*x, *found.values())
    )
    for index, values in zip(network.outputs, expected):
        if index in network.constants:
            continue
        largest = max(float(np.abs(values).max()), 1e-6)
        tolerance = 1e-4 * largest + 4 * rounding
        np.testing.assert_allclose(found[index], values, rtol=1e-3, atol=tolerance)


def test_directions_are_read(tmp_path: Path) -> None:
    builder = NetworkBuilder("direction", (3, 4))
    builder.l2_normalisation(builder.input)
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    content = float_twin(serialise_model(builder.quantise(x)))
    path = tmp_path / "direction.tflite"
    path.write_bytes(content)
    network = load_float_tflite(path)
    expected = runtime.run("tflite_runtime", content, x)
    np.testing.assert_allclose(forward.run(network, x)[1], expected, rtol=1e-5)


def test_float16_weights(tmp_path: Path) -> None:
    builder, x = uneven()
    content = half_precision_twin(float_twin(serialise_model(builder.quantise(x))))
    path = tmp_path / "half.tflite"
    path.write_bytes(content)
    network = load_float_tflite(path)
    expected = runtime.run("tflite_runtime", content, x)
    found = forward.run(network, x)[network.outputs[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    any_models(KINDS, tflite=True), st.integers(0, 99), st.sampled_from(["min-max", "least-error"])
)
def test_any_float_network_is_quantised(
    tmp_path_factory, model: graph.Model, seed: int, ranges: str
) -> None:
    """What comes of it keeps the contract, and is the same in a file, which TFLite runs alike."""
    assume(
        not any(isinstance(op, graph.Lookup) and op.kind == "quantise" for op in model.operators)
    )
    path = tmp_path_factory.mktemp("float") / "net.tflite"
    path.write_bytes(float_twin(serialise_model(model)))
    network = load_float_tflite(path)
    assume(all(index not in network.inputs for index in network.outputs))
    rng = np.random.default_rng(seed)
    x = {k: rng.normal(size=(4, *network.tensors[k].shape)) for k in network.inputs}
    try:
        made = quantise(network, x, Options(ranges=ranges)).model  # type: ignore[arg-type]
    except DataError:  # of exponentials that are not finite
        return
    one_quantisation_where_it_must_be(made)
    given8 = [made.tensors[k].quantise(x[j]) for j, k in zip(network.inputs, made.inputs)]
    y = Emulator(made).run(given8 if len(given8) > 1 else given8[0])
    content = serialise_model(made)
    found = runtime.run_all("tflite_runtime", content, given8)
    for one, other in zip(y if len(made.outputs) > 1 else [y], found):
        np.testing.assert_array_equal(one, other)


def one_quantisation_where_it_must_be(model: graph.Model) -> None:
    for op in model.operators:
        target = model.tensors[op.output]
        larger = isinstance(op, graph.Elementwise) and op.kind in ("maximum", "minimum")
        alike = (graph.Movement, graph.Pool, graph.Reshape, graph.Pad, graph.ResizeBilinear)
        if larger or isinstance(op, alike):
            for index in op.inputs:
                source = model.tensors[index]
                assert (source.scale, source.zero_point) == (target.scale, target.zero_point), op


# --- ranges --------------------------------------------------------------------------------------


def line(values: int = 6) -> NetworkBuilder:
    """A fully connected layer that gives its inputs."""
    builder = NetworkBuilder("line", (values,))
    builder.fully_connected(builder.input, np.eye(values, dtype=np.float32), np.zeros(values))
    return builder


def test_ranges() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50_000, 6)).astype(np.float32)
    x[0, 0] = 7
    network = line().network()
    tops = {}
    for rule in ("min-max", "percentile", "least-error"):
        model = quantise(network, x, Options(rule, percentile=99.9)).model
        # An input is what it is.
        assert model.input.dequantise(127) == pytest.approx(7, rel=0.01)
        tops[rule] = float(model.output.dequantise(127))
    assert tops["min-max"] == pytest.approx(7, rel=0.01)
    assert tops["percentile"] == pytest.approx(np.percentile(x, 99.9), rel=0.05)
    assert tops["percentile"] < tops["least-error"] < 6.5


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_a_range_has_zero_in_it(one: float, other: float) -> None:
    scale, zero_point = quantisation(min(one, other), max(one, other))
    assert scale > 0
    assert -128 <= zero_point <= 127
    reach = scale * (np.array([-128, 127]) - zero_point)
    assert reach[0] <= min(one, other, 0) + scale
    assert reach[1] >= max(one, other, 0) - scale


def test_an_input_range_is_kept() -> None:
    model = line().quantise(np.full((2, 6), 0.5), input_range=(0.0, 1.0))
    assert (model.input.scale, model.input.zero_point) == (pytest.approx(1 / 255), -128)


# --- options -------------------------------------------------------------------------------------


def uneven(second: graph.Activation = "relu6") -> tuple[NetworkBuilder, np.ndarray]:
    """Three layers whose channels differ by orders of magnitude, and inputs."""
    rng = np.random.default_rng(0)
    factors = np.exp(rng.normal(size=8) * 2).astype(np.float32)
    builder = NetworkBuilder("uneven", (6, 6, 3))
    first = rng.normal(size=(8, 3, 3, 3)) * factors[:, None, None, None]
    x = builder.convolution(builder.input, first, rng.normal(size=8) * factors, activation="relu")
    depthwise = rng.normal(size=(8, 3, 3, 1))
    x = builder.depthwise(x, depthwise, rng.normal(size=8) * factors, activation=second)
    last = rng.normal(size=(4, 1, 1, 8)) / factors
    builder.convolution(x, last, rng.normal(size=4))
    return builder, rng.normal(size=(16, 6, 6, 3)).astype(np.float32) * 0.05


def test_equalisation_keeps_the_function() -> None:
    builder, x = uneven()
    network = builder.network()
    values = forward.run(network, x)
    ranges = {index: (float(v.min()), float(v.max())) for index, v in values.items()}
    same = equalised(network, ranges)
    found = forward.run(same, x)[same.outputs[0]]
    np.testing.assert_allclose(found, values[network.outputs[0]], rtol=1e-3, atol=1e-4)
    first, second = same.layers[:2]
    np.testing.assert_allclose(
        np.abs(first.weights).max(axis=(1, 2, 3)), np.abs(second.weights).max(axis=(1, 2, 3)),
        rtol=0.05,
    )  # fmt: skip


BETWEEN: dict[str, Callable[[NetworkBuilder, Node], Node]] = {
    "leaky relu": lambda b, x: b.lookup(x, "leaky_relu", 0.1),
    "relu": lambda b, x: b.lookup(x, "relu"),
    "maximum": lambda b, x: b.pool(x, "max", (2, 2)),
    "average": lambda b, x: b.pool(x, "average", (2, 2)),
    "padding": lambda b, x: b.pad(x, (1, 0, 0), (0, 2, 0)),
    "mean": lambda b, x: b.reduce(x, "mean", (0, 1), keep_dims=True),
    "tanh": lambda b, x: b.lookup(x, "tanh"),
    "relu6": lambda b, x: b.lookup(x, "relu6"),
    "limited maximum": lambda b, x: b.pool(x, "max", (2, 2), activation="relu6"),
    "numbers": lambda b, x: b.add(x, b.constant([3.0])),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_factors_go_through_what_keeps_them(between: str) -> None:
    """Layers are equalised across it, or stay as they are: the function is the same."""
    rng = np.random.default_rng(0)
    factors = np.exp(rng.normal(size=8) * 2).astype(np.float32)
    builder = NetworkBuilder("pair", (6, 6, 3))
    first = rng.normal(size=(8, 1, 1, 3)).astype(np.float32) * factors[:, None, None, None]
    x = builder.convolution(builder.input, first, rng.normal(size=8) * factors)
    x = BETWEEN[between](builder, x)
    builder.convolution(x, (rng.normal(size=(4, 1, 1, 8)) / factors).astype(np.float32), np.ones(4))
    network = builder.network()
    x0 = rng.normal(size=(8, 6, 6, 3)).astype(np.float32)
    same = equalised(network, {})
    expected = forward.run(network, x0)[network.outputs[0]]
    np.testing.assert_allclose(
        forward.run(same, x0)[same.outputs[0]], expected, rtol=1e-3, atol=1e-3
    )
    keeps = between in ("leaky relu", "relu", "maximum", "average", "padding", "mean")
    assert np.array_equal(same.layers[0].weights, first) != keeps


def test_no_layer_is_equalised_whose_values_are_known() -> None:
    builder, _ = uneven("relu")
    builder.set_quantisation(Node(builder.network().layers[0].output, ()), Quantisation(0.5, -128))
    network = builder.network()
    first, second, _ = equalised(network, {}).layers
    np.testing.assert_array_equal(first.weights, network.layers[0].weights)
    assert not np.array_equal(second.weights, network.layers[1].weights)


def test_equalisation_of_many_layers_ends() -> None:
    """Factors spread from layer to layer, round by round; it stops where little is to be gained."""
    builder = NetworkBuilder("chain", (2, 2, 1))
    y = builder.input
    for number in range(24):
        size = np.float32(1e4 if number == 0 else 1)
        y = builder.depthwise(y, np.full((1, 1, 1, 1), size), np.float32([0.5]), activation="relu")
    network = builder.network()
    same = equalised(network, {})
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 1)).astype(np.float32)
    found, expected = (forward.run(n, x)[n.outputs[0]] for n in (same, network))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    sizes = [float(np.abs(layer.weights).max()) for layer in same.layers]
    assert max(sizes) < 30


def test_equalisation_loses_less() -> None:
    builder, x = uneven("relu")
    losses = []
    for equalise in (False, True):
        quantised = quantise(builder.network(), x, Options(equalise=equalise))
        losses.append(layer_losses(quantised, x)[-1].total)
    assert losses[1] > losses[0] + 3


def test_bias_correction_removes_mean_errors() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("one", (5, 5, 16))
    weights = rng.normal(size=(6, 3, 3, 16))
    weights[:, 0, 0, 0] = 30  # the others are rounded coarsely
    builder.convolution(builder.input, weights, np.zeros(6))
    x = rng.uniform(1, 2, (20, 5, 5, 16)).astype(np.float32)
    errors = []
    for correct in (False, True):
        model, network = quantise(builder.network(), x, Options(correct_bias=correct))
        real = forward.run(network, x)[1]
        found = model.output.dequantise(Emulator(model).run(x))
        errors.append(np.abs((found - real).mean(axis=(0, 1, 2))).max())
    assert errors[1] < errors[0] / 4


def test_biases_fit() -> None:
    """A filter of zeros or nearly so does not make its bias too large for 32 bits."""
    builder = NetworkBuilder("dead", (4, 4, 1))
    weights = np.zeros((3, 1, 1, 1))
    weights[0], weights[1] = 1, 1e-12
    builder.convolution(builder.input, weights, np.array([0, 100, -100.0]))
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1)) * 1e-3
    model, network = quantise(builder.network(), x)
    found = model.output.dequantise(Emulator(model).run(x))
    assert np.abs(found - forward.run(network, x)[1]).max() < model.output.scale


# --- one quantisation ----------------------------------------------------------------------------


def test_a_concatenation_of_what_is_fixed_has_a_table() -> None:
    builder = NetworkBuilder("joined", (4, 4, 2))
    weights = np.random.default_rng(0).normal(size=(3, 1, 1, 2)) * 4
    x = builder.convolution(builder.input, weights, np.zeros(3))
    builder.concatenate([builder.lookup(x, "logistic"), x])
    given8 = np.random.default_rng(1).normal(size=(8, 4, 4, 2))
    quantised = quantise(builder.network(), given8)
    model = quantised.model
    one_quantisation_where_it_must_be(model)
    tables = [op for op in model.operators if isinstance(op, graph.Lookup)]
    assert [op.kind for op in tables] == ["logistic", "quantise"]
    assert layer_losses(quantised, given8)[-1].total > 35


def test_what_the_source_knows_is_kept() -> None:
    builder = NetworkBuilder("known", (4, 4, 2))
    builder.set_quantisation(builder.input, Quantisation(0.05, 3))
    x = builder.pool(builder.input, "max", (2, 2))
    builder.set_quantisation(x, Quantisation(0.04, -2))
    model = quantise(builder.network(), None).model
    assert [(t.scale, t.zero_point) for t in model.tensors] == [(0.05, 3), (0.04, -2), (0.04, -2)]
    assert [type(op).__name__ for op in model.operators] == ["Lookup", "Pool"]
    with pytest.raises(ModelError, match="give calibration inputs"):
        quantise(line().network(), None)
    with pytest.raises(ModelError, match="equalisation needs calibration inputs"):
        quantise(line().network(), None, Options(equalise=True))


def test_what_the_contract_knows_goes_before_what_the_source_knows() -> None:
    builder = NetworkBuilder("sigmoid", (4, 4, 2))
    builder.set_quantisation(builder.input, Quantisation(0.05, 3))
    builder.set_quantisation(builder.lookup(builder.input, "logistic"), Quantisation(0.01, -128))
    model = quantise(builder.network(), None).model
    assert (model.output.scale, model.output.zero_point) == (1 / 256, -128)
    x = np.random.default_rng(0).integers(-128, 128, (3, 4, 4, 2)).astype(np.int8)
    theirs = runtime.run("tflite_runtime", serialise_model(model), x)
    np.testing.assert_array_equal(Emulator(model).run(x), theirs)


def test_what_nothing_is_known_of_is_as_what_it_is_joined_with() -> None:
    builder = NetworkBuilder("joined", (4, 4, 2))
    builder.set_quantisation(builder.input, Quantisation(0.05, 3))
    weights = np.random.default_rng(0).normal(size=(2, 1, 1, 2)).astype(np.float32)
    x = builder.convolution(builder.input, weights, np.zeros(2))
    gate = builder.lookup(x, "logistic")
    other = builder.lookup(x, "leaky_relu", 0.5)
    for node in (gate, other):
        builder.set_quantisation(node, Quantisation(1 / 256, -128))
    joined = builder.concatenate([x, other])
    builder.set_quantisation(joined, Quantisation(0.1, 7))
    builder.set_outputs([joined, gate])
    model = quantise(builder.network(), None).model
    assert (model.tensors[x.index].scale, model.tensors[x.index].zero_point) == (0.1, 7)
    given = np.random.default_rng(1).integers(-128, 128, (3, 4, 4, 2)).astype(np.int8)
    theirs = runtime.run_all("tflite_runtime", serialise_model(model), [given])
    for mine, other8 in zip(Emulator(model).run(given), theirs):
        np.testing.assert_array_equal(mine, other8)


def test_a_constant_that_is_joined_twice() -> None:
    builder = NetworkBuilder("joined", (4, 4, 2))
    rng = np.random.default_rng(0)
    numbers = builder.constant(rng.normal(size=(4, 4, 3)).astype(np.float32))
    builder.concatenate([numbers, builder.lookup(builder.input, "relu"), numbers])
    x = rng.normal(size=(8, 4, 4, 2)).astype(np.float32)
    quantised = quantise(builder.network(), x)
    one_quantisation_where_it_must_be(quantised.model)
    y = quantised.model.output.dequantise(Emulator(quantised.model).run(x))
    expected = forward.run(quantised.network, x)[quantised.network.outputs[0]]
    rounded = quantised.model.input.scale + quantised.model.output.scale  # by half of each
    assert np.abs(y - expected).max() <= rounded / 2 * 1.001


def test_biases_beyond_the_scale_that_the_source_says_are_refused() -> None:
    builder = NetworkBuilder("large", (4, 4, 1))
    scales = np.float32([1e-9])
    builder.convolution(
        builder.input, np.full((1, 1, 1, 1), 1e-8), np.float32([1e3]), weight_scales=scales
    )
    with pytest.raises(ModelError, match="a bias of 'conv_0' does not fit 32 bits at its scale"):
        builder.quantise(np.ones((2, 4, 4, 1)))


def test_a_maximum_and_numbers() -> None:
    builder = NetworkBuilder("limits", (3, 3, 2))
    x = builder.elementwise("maximum", builder.input, builder.constant([0.25]))
    x = builder.elementwise("multiply", x, builder.constant([[[0.5, 2]]]))
    builder.pad(x, (0, 1, 0), (0, 0, 1), value=1.5)
    x8 = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3, 2))
    quantised = quantise(builder.network(), x8)
    one_quantisation_where_it_must_be(quantised.model)
    assert all(loss.total > 35 for loss in layer_losses(quantised, x8))


def test_normalisations_alone() -> None:
    """A normalisation that follows no layer becomes one."""
    builder = NetworkBuilder("norms", (4, 4, 3))
    x = builder.affine(builder.input, np.array([1, -2, 0.5]), np.array([0, 1, -1]))
    x = builder.flatten(builder.lookup(x, "relu"))
    builder.affine(x, np.full(48, 0.5), np.ones(48))
    network = simplified(builder.network())
    assert [layer.kind for layer in network.layers] == ["depthwise", "depthwise"]
    assert network.layers[0].activation == "relu"
    x8 = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype(np.float32)
    expected = forward.run(builder.network(), x8)[builder.network().outputs[0]]
    np.testing.assert_allclose(forward.run(network, x8)[network.outputs[0]], expected, atol=1e-5)
    with pytest.raises(ModelError, match="has to be folded"):
        quantise(builder.network(), x8)


# --- what it costs -------------------------------------------------------------------------------


def test_losses_say_where() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("lossy", (8,))
    x = builder.fully_connected(builder.input, rng.normal(size=(8, 8)), np.zeros(8))
    x = builder.lookup(x, "logistic")
    builder.fully_connected(x, rng.normal(size=(4, 8)), np.zeros(4))
    inputs = rng.normal(size=(50, 8)).astype(np.float32)
    inputs[0, 0] = 400  # makes the steps of the input coarse
    losses = layer_losses(quantise(builder.network(), inputs), inputs[1:])
    assert [loss.operator for loss in losses] == ["fully connected", "logistic", "fully connected"]
    assert all(loss.own > loss.total for loss in losses)
    assert losses[-1].own > 30 > losses[-1].total
    assert losses[0].saturated == 0


def test_accuracy_of_float_networks() -> None:
    network = line(3).network()
    x = np.eye(3)[[0, 1, 2, 0]]
    assert float_accuracy(network, x, np.array([0, 1, 2, 1])) == 0.75
    with pytest.raises(DataError, match="more inputs than labels"):
        float_accuracy(network, x, np.array([0]))


def test_decibels() -> None:
    assert decibels(100, 1) == 20
    assert decibels(1, 0) == float("inf")
    assert decibels(0, 1) == float("-inf")


# --- inputs and files ----------------------------------------------------------------------------


def test_real_inputs() -> None:
    network = NetworkBuilder("images", (4, 5, 3))
    network.lookup(network.input, "relu")
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    built = network.network()
    np.testing.assert_allclose(real_inputs(built, images, "0..1"), images / 255, rtol=1e-6)
    np.testing.assert_allclose(
        real_inputs(built, images, "-1..1"), images / 127.5 - 1, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(real_inputs(built, images, "0..255"), images)
    turned = images.transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_array_equal(real_inputs(built, turned, "0..1"), images)
    with pytest.raises(DataError, match="quantised"):
        real_inputs(built, images.astype(np.int8), "0..1")
    with pytest.raises(DataError, match=r"takes inputs of shape \[4, 5, 3\]"):
        real_inputs(built, images[:, 1:], "0..1")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.tflite", b"nothing of the kind, but long enough", "lacks the identifier"),
        ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(20), "damaged"),
        ("net.keras", b"", "TFLiteConverter"),
        ("net.bin", b"", "no float network that is known"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_float_network(tmp_path / name)


def test_all_that_float_files_may_not_have_is_named(tmp_path: Path) -> None:
    builder = NetworkBuilder("net", (4, 4, 3))
    outputs = [builder.lookup(builder.input, kind) for kind in ("relu", "tanh")]
    outputs.append(builder.concatenate([builder.input, builder.input]))
    builder.set_outputs(outputs)
    model = builder.quantise(np.random.default_rng(0).normal(size=(2, 4, 4, 3)))
    codes = tflite.BuiltinOperator
    others = {codes.RELU: codes.ELU, codes.TANH: codes.UNIDIRECTIONAL_SEQUENCE_LSTM}
    path = tmp_path / "net.tflite"
    path.write_bytes(with_operators(float_twin(serialise_model(model)), others))
    with pytest.raises(ModelError) as error:
        load_float_network(path)
    for words in ("ELU (1)", "UNIDIRECTIONAL_SEQUENCE_LSTM (1)", "recurrent", "Supported: ABS"):
        assert words in str(error.value)


def test_int8_files_are_no_float_networks(digits_path: Path) -> None:
    with pytest.raises(ModelError, match="int8 already"):
        load_float_network(digits_path)


def test_inputs_are_checked() -> None:
    with pytest.raises(ModelError, match="takes inputs"):
        quantise(line().network(), np.zeros((2, 5)))
    with pytest.raises(DataError, match="at least one"):
        quantise(line().network(), np.zeros((0, 6)))
    with pytest.raises(DataError, match="not finite"):
        quantise(line().network(), np.full((2, 6), np.inf))


def test_builders_say_what_does_not_fit() -> None:
    builder = NetworkBuilder("wrong", (4, 4, 3))
    for call, message in (
        (lambda: builder.convolution(builder.input, np.zeros((2, 3, 3, 2)), np.zeros(2)), "fit"),
        (lambda: builder.convolution(builder.input, np.zeros((2, 3, 3, 3)), np.zeros(1)), "biases"),
        (lambda: builder.depthwise(builder.input, np.zeros((4, 3, 3, 1)), np.zeros(4)), "fit"),
        (lambda: builder.fully_connected(builder.input, np.zeros((2, 7)), np.zeros(2)), "needs"),
        (
            lambda: builder.convolution(
                builder.flatten(builder.input), np.zeros((2, 1, 1, 48)), np.zeros(2)
            ),
            r"do not fit a map \[48\]",
        ),
        (lambda: builder.reshape(builder.input, (7,)), "does not become"),
        (lambda: builder.slice(builder.input, (0, 0, 0), (5, 4, 3)), "leaves"),
        (
            lambda: builder.elementwise("multiply", builder.input, builder.constant([1, 2])),
            "do not fit",
        ),
    ):
        with pytest.raises(ModelError, match=message):
            call()


def test_both_networks_belong_together() -> None:
    builder, x = uneven()
    quantised = quantise(builder.network(), x)
    assert isinstance(quantised, Quantised)
    for index, tensor in enumerate(quantised.network.tensors):
        assert quantised.model.tensors[index].shape == tensor.shape


@settings(max_examples=30, deadline=None)
@given(st.booleans(), st.integers(0, 999))
def test_layers_are_the_same_by_pytorch(depthwise: bool, seed: int) -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder("one", (9, 8, 3))
    options = {
        "stride": tuple(rng.integers(1, 3, 2).tolist()),
        "dilation": tuple(rng.integers(1, 3, 2).tolist()),
        "padding": Padding(*rng.integers(0, 3, 4).tolist()),
        "activation": "relu6",
    }
    window = (*rng.integers(1, 4, 2).tolist(), 1 if depthwise else 3)
    filters = 3 * int(rng.integers(1, 4))
    add = builder.depthwise if depthwise else builder.convolution
    add(builder.input, rng.normal(size=(filters, *window)), rng.normal(size=filters), **options)
    x = rng.normal(size=(3, 9, 8, 3)).astype(np.float32)
    found = []
    for large in (0, 10**12):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(forward, "LARGE", large)
            found.append(builder.run(x)[1])
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_large_layers_need_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    builder, x = uneven()
    expected = builder.run(x)[-1]
    monkeypatch.setattr(forward, "LARGE", 0)
    monkeypatch.setitem(sys.modules, "torch", None)
    forward._torch.cache_clear()
    try:
        np.testing.assert_array_equal(builder.run(x)[-1], expected)
    finally:
        forward._torch.cache_clear()


def test_what_follows_from_constants_is_computed_once() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("constants", (6, 6, 3))
    weights, bias = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)
    known = builder.constant(rng.normal(size=(6, 6, 3)).astype(np.float32))
    seen = builder.convolution(builder.input, weights, bias)
    builder.add(seen, builder.lookup(builder.convolution(known, weights, bias), "relu"))
    x = rng.normal(size=(16, 6, 6, 3)).astype(np.float32)
    model = builder.quantise(x)
    assert [type(op) for op in model.operators] == [graph.Convolution, graph.Elementwise]
    assert len(model.constants) == 1
    y = model.tensors[model.outputs[0]].dequantise(Emulator(model).run(x))
    real = builder.run(x)[-1]
    assert decibels(float(np.square(real).sum()), float(np.square(real - y).sum())) > 30


def test_an_output_of_constants_alone_is_refused() -> None:
    builder = NetworkBuilder("constants", (4,))
    first = builder.lookup(builder.input, "relu")
    builder.set_outputs([first, builder.lookup(builder.constant(np.ones(4, np.float32)), "tanh")])
    with pytest.raises(ModelError, match="output '.*' of 'constants' follows from constants"):
        builder.quantise(np.ones((2, 4), np.float32))


@pytest.mark.parametrize("activation", ["relu6", "relu_n1_to_1"])
@pytest.mark.parametrize("constant", [False, True])
def test_sums_far_larger_than_their_limits(activation: graph.Activation, constant: bool) -> None:
    """TFLite's ADD ends the process where its output is 2**19 times finer than its inputs."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("large", (4, 4, 3))
    other = builder.lookup(builder.input, "leaky_relu", 0.5)
    if constant:
        other = builder.constant(rng.normal(size=3).astype(np.float32))
    builder.add(builder.input, other, activation)
    x = (rng.normal(size=(4, 4, 4, 3)) * 1e9).astype(np.float32)
    model = builder.quantise(x)
    integers = model.input.quantise(x)
    theirs = runtime.run("tflite_runtime", serialise_model(model), integers)
    np.testing.assert_array_equal(Emulator(model).run(integers), theirs)
    finer = [replace(t, scale=1e-3) if k == model.outputs[0] else t
             for k, t in enumerate(model.tensors)]  # fmt: skip
    with pytest.raises(ModelError, match="'add_.*TFLite's kernel ends the process"):
        serialise_model(replace(model, tensors=tuple(finer)))


def test_a_layer_far_larger_than_its_limits_is_not_written() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("large", (8,))
    weights, bias = rng.normal(size=(4, 8)).astype(np.float32), np.zeros(4, np.float32)
    builder.fully_connected(builder.input, weights, bias, activation="relu6")
    model = builder.quantise((rng.normal(size=(4, 8)) * 1e26).astype(np.float32))
    with pytest.raises(ModelError, match="'fully_connected_0'.*TFLite refuses it"):
        serialise_model(model)


def test_sums_beyond_float32_are_not_written() -> None:
    builder = NetworkBuilder("huge", (4,))
    builder.add(builder.input, builder.constant(np.float32([1, 2, 3, 4])))
    model = builder.quantise(np.full((2, 4), 1e36, np.float32))
    with pytest.raises(ModelError, match="so large that TFLite's kernel ends the process"):
        serialise_model(model)


@pytest.mark.parametrize("logarithm", [False, True])
def test_logits_that_are_all_zero(logarithm: bool) -> None:
    builder = NetworkBuilder("dead", (4,))
    zeros = builder.fully_connected(
        builder.input, np.zeros((5, 4), np.float32), np.zeros(5, np.float32)
    )
    scaled = builder.elementwise("multiply", zeros, builder.constant(np.float32(1e-30)))
    tiny = builder.add(scaled, builder.constant(np.full(5, 1e-12, np.float32)))
    if logarithm:
        builder.log_softmax(tiny)
    else:
        builder.softmax(tiny)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    model = builder.quantise(x)
    integers = model.input.quantise(x)
    y = Emulator(model).run(integers)
    theirs = runtime.run("tflite_runtime", serialise_model(model), integers)
    np.testing.assert_array_equal(y, theirs)
    assert len(np.unique(y)) == 1


def test_scales_lie_along_the_axis_that_the_file_names(tmp_path: Path) -> None:
    """Also where another axis is as long: int8 weights of a depthwise layer in a float file."""
    weights = np.random.default_rng(0).integers(-127, 128, (1, 3, 3, 3)).astype(np.int8)
    scales = [0.01, 0.1, 1.0]
    real, shape = tflite.TensorType.FLOAT32, (1, 5, 5, 3)
    int8 = tflite.TensorType.INT8
    tensors = [
        FileTensor("x", shape, real),
        FileTensor("y", shape, real),
        FileTensor("w", weights.shape, int8, weights.tobytes(), scales, [0] * 3, 3),
        constant_tensor("b", np.zeros(3, np.float32)),
    ]
    options = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DepthMultiplier": 1,
               "DilationHFactor": 1, "DilationWFactor": 1}  # fmt: skip
    layer = FileOperator(
        tflite.BuiltinOperator.DEPTHWISE_CONV_2D, [0, 2, 3], [1], "DepthwiseConv2DOptions", options
    )
    path = tmp_path / "float.tflite"
    path.write_bytes(assemble(tensors, [layer], [0], [1]))
    network = load_float_tflite(path)
    found = network.layers[0].weights[..., 0].transpose(1, 2, 0)
    np.testing.assert_allclose(found, weights[0] * np.float32(scales), rtol=1e-6)


# --- operators of float files --------------------------------------------------------------------

CODES, TYPES, FUSED = tflite.BuiltinOperator, tflite.TensorType, tflite.ActivationFunctionType


class FloatFile:
    """A float ``.tflite`` file that grows operator by operator."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(0)
        self.tensors: list[FileTensor] = []
        self.operators: list[FileOperator] = []
        self.inputs = [self.tensor(shape) for shape in shapes]

    def tensor(self, shape: tuple[int, ...], type_: int = TYPES.FLOAT32) -> int:
        """One that is computed, or given."""
        self.tensors.append(FileTensor(f"t{len(self.tensors)}", shape, type_))
        return len(self.tensors) - 1

    def constant(self, values: np.ndarray | list[int]) -> int:
        """Numbers; lists are int32."""
        array = np.asarray(values, None if isinstance(values, np.ndarray) else np.int32)
        self.tensors.append(constant_tensor(f"t{len(self.tensors)}", array))
        return len(self.tensors) - 1

    def reals(self, *shape: int) -> int:
        return self.constant(self.rng.normal(size=shape).astype(np.float32))

    def add(
        self, code: int, inputs: list[int], *shapes: tuple[int, ...], kind: str = "", **options: int
    ) -> list[int]:
        """An operator, whose outputs have those shapes."""
        outputs = [self.tensor(shape) for shape in shapes]
        self.operators.append(FileOperator(code, inputs, outputs, kind or None, dict(options)))
        return outputs

    def content(self, outputs: list[int] | None = None) -> bytes:
        last = self.operators[-1].outputs if self.operators else []
        return assemble(self.tensors, self.operators, self.inputs, outputs or last)


def convolution(file: FloatFile, channels: int = 3) -> None:
    inputs = [0, file.reals(4, 3, 3, channels), file.reals(4)]
    window = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    file.add(CODES.CONV_2D, inputs, (1, 6, 5, 4), kind="Conv2DOptions", **window)


def connected(file: FloatFile, inputs: int, shape: tuple[int, ...], keep: int = 1) -> None:
    layer = [0, file.reals(4, inputs), file.reals(4)]
    file.add(CODES.FULLY_CONNECTED, layer, shape, kind="FullyConnectedOptions", KeepNumDims=keep)


def paired(
    code: int, kind: str, values: np.ndarray, fused: int = FUSED.NONE
) -> Callable[[FloatFile], object]:
    return lambda file: file.add(
        code, [0, file.constant(values)], file.tensors[0].shape, kind=kind,
        FusedActivationFunction=fused,
    )  # fmt: skip


def by_axis(
    code: int, kind: str, numbers: list[int], *shapes: tuple[int, ...], **options: int
) -> Callable[[FloatFile], object]:
    """An operator with whole numbers after its input."""
    return lambda file: file.add(code, [0, file.constant(numbers)], *shapes, kind=kind, **options)


def split(axis: int, *shapes: tuple[int, ...]) -> Callable[[FloatFile], object]:
    return lambda file: file.add(
        CODES.SPLIT, [file.constant([axis]), 0], *shapes, kind="SplitOptions", NumSplits=len(shapes)
    )


def split_by_sizes(file: FloatFile) -> None:
    inputs = [0, file.constant([1, 4]), file.constant([-2])]
    shapes = (1, 6, 1, 6), (1, 6, 4, 6)
    file.add(CODES.SPLIT_V, inputs, *shapes, kind="SplitVOptions", NumSplits=2)


def strided(
    begins: list[int], ends: list[int], steps: list[int], shape: tuple[int, ...], **masks: int
) -> Callable[[FloatFile], object]:
    def build(file: FloatFile) -> None:
        inputs = [0, *(file.constant(numbers) for numbers in (begins, ends, steps))]
        file.add(CODES.STRIDED_SLICE, inputs, shape, kind="StridedSliceOptions", **masks)

    return build


def concatenated(axis: int, shape: tuple[int, ...]) -> Callable[[FloatFile], object]:
    return lambda file: file.add(
        CODES.CONCATENATION, [0, file.reals(1, 6, 5, 6)], shape, kind="ConcatenationOptions",
        Axis=axis,
    )  # fmt: skip


def int8_weights(file: FloatFile) -> None:
    """Dequantised by one scale and zero point before a layer takes them."""
    values = file.rng.integers(-127, 128, (4, 7)).astype(np.int8)
    file.tensors.append(constant_tensor("w", values, [0.02], [5]))
    (weights,) = file.add(CODES.DEQUANTIZE, [len(file.tensors) - 1], (4, 7))
    layer = [0, weights, file.reals(4)]
    file.add(CODES.FULLY_CONNECTED, layer, (1, 4), kind="FullyConnectedOptions")


NUMBER = np.array(2.5, np.float32)
MAP = (1, 6, 5, 6)

FLOAT_OPERATORS: dict[str, tuple[Callable[[FloatFile], object], tuple[int, ...]]] = {
    "grouped convolution": (convolution, MAP),
    "layer of positions": (lambda file: connected(file, 6, (1, 5, 4)), (1, 5, 6)),
    "layer of a map": (lambda file: connected(file, 6, (1, 6, 5, 4)), MAP),
    "layer of all values": (lambda file: connected(file, 180, (1, 4), 0), MAP),
    "weights of a scale": (int8_weights, (1, 7)),
    "division": (
        paired(CODES.DIV, "DivOptions", np.float32([1, 2, -3, 4, 5, 6]), FUSED.RELU6), MAP,
    ),
    "division by a number": (paired(CODES.DIV, "DivOptions", NUMBER), MAP),
    "sum with a number": (paired(CODES.ADD, "AddOptions", NUMBER, FUSED.RELU_N1_TO_1), MAP),
    "split": (split(3, (1, 6, 5, 2), (1, 6, 5, 2), (1, 6, 5, 2)), MAP),
    "split of sizes": (split_by_sizes, MAP),
    "strided slice": (
        strided([0, 1, -1, 0], [1, 6, 0, 6], [1, 2, -2, 1], (1, 3, 2, 6)), MAP,
    ),
    "row": (strided([0, -2], [1, -1], [1, 1], (1, 5, 6), ShrinkAxisMask=2), MAP),
    "row that begins at all": (
        strided([0, 3], [1, 4], [1, 1], (1, 5, 6), ShrinkAxisMask=2, BeginMask=2), MAP,
    ),
    "rest of columns": (
        strided([0, 0, 2], [0, 0, 1], [1, 1, 1], (1, 6, 3, 6), BeginMask=3, EndMask=7), MAP,
    ),
    "concatenation with numbers": (concatenated(-1, (1, 6, 5, 12)), MAP),
    "mean": (by_axis(CODES.MEAN, "ReducerOptions", [-1], (1, 6, 5), KeepDims=0), MAP),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOAT_OPERATORS)
def test_operators_of_float_files(tmp_path: Path, name: str) -> None:
    build, shape = FLOAT_OPERATORS[name]
    file = FloatFile(shape)
    build(file)
    path = tmp_path / "net.tflite"
    path.write_bytes(file.content())
    network = load_float_network(path)
    x = file.rng.normal(size=(3, *shape[1:])).astype(np.float32)
    found = forward.run(network, x)
    for index, expected in zip(
        network.outputs, runtime.run_all("tflite_runtime", file.content(), [x])
    ):
        np.testing.assert_allclose(found[index], expected, rtol=1e-5, atol=1e-5)


def of_images(file: FloatFile) -> None:
    file.add(CODES.RELU, [0], (1, 6, 5, 6))


def resized_weights(file: FloatFile) -> None:
    """Weights that a layer computes before another takes them."""
    (weights,) = file.add(CODES.TANH, [0], (1, 7))
    file.add(CODES.FULLY_CONNECTED, [0, weights], (1, 1), kind="FullyConnectedOptions")


def double_weights(file: FloatFile) -> None:
    file.tensors.append(FileTensor("w", (4, 7), TYPES.FLOAT64, bytes(4 * 7 * 8)))
    file.add(CODES.FULLY_CONNECTED, [0, 1], (1, 4), kind="FullyConnectedOptions")


def divided_by_computed(file: FloatFile) -> None:
    (other,) = file.add(CODES.EXP, [0], MAP)
    file.add(CODES.DIV, [0, other], MAP, kind="DivOptions")


def out_of_order(file: FloatFile) -> None:
    later = file.tensor(MAP)
    file.add(CODES.RELU, [later], MAP)


def of_constants(file: FloatFile) -> None:
    file.add(CODES.ADD, [file.reals(*MAP), file.reals(*MAP)], MAP, kind="AddOptions")


FLOATS_REFUSED: dict[str, tuple[Callable[[FloatFile], object], tuple[int, ...], str]] = {
    "several images": (of_images, (8, 6, 5, 6), "'t0' has shape [8, 6, 5, 6]: its first axis must"),
    "weights that are computed": (resized_weights, (1, 7), "'t1' is not a constant, where numbers"),
    "weights of another type": (double_weights, (1, 7), "'w' is float64, where numbers are needed"),
    "a division by what is computed": (divided_by_computed, MAP, "a division by computed values"),
    "a division by zero": (
        paired(CODES.DIV, "DivOptions", np.float32([1, 0, 1, 1, 1, 1])), MAP, "a division by zero",
    ),
    "operators out of order": (out_of_order, MAP, "'t1' is read before it is computed"),
    "constants alone": (of_constants, MAP, "two constants are paired"),
    "a function of constants": (
        lambda file: file.add(CODES.EXP, [file.reals(*MAP)], MAP), MAP,
        "a constant is not supported here",
    ),
    "an activation that TFLite leaves out": (
        paired(CODES.MUL, "MulOptions", NUMBER, FUSED.TANH), MAP,
        "fused activation number 4 is not supported",
    ),
    "another shape than follows": (
        lambda file: file.add(CODES.RELU, [0], (1, 5, 5, 6)), MAP,
        "its output has shape [5, 5, 6] where [6, 5, 6] follows",
    ),
    "a mean of images": (
        by_axis(CODES.MEAN, "ReducerOptions", [0, 1], (5, 6), KeepDims=0), MAP, "along the images",
    ),
    "images padded": (
        by_axis(CODES.PAD, "PadOptions", [[1, 0], [0, 0], [0, 0], [0, 0]], (2, 6, 5, 6)), MAP,
        "operator 0 (PAD): it works along the images",
    ),
    "a transposed convolution without strides": (
        lambda file: file.add(
            CODES.TRANSPOSE_CONV, [file.constant([1, 6, 5, 4]), file.reals(4, 3, 3, 6), 0],
            (1, 6, 5, 4), kind="TransposeConvOptions", Padding=0, StrideH=0, StrideW=1,
        ), MAP, "window, stride and sizes must be positive",
    ),
    "negative padding": (
        by_axis(CODES.PAD, "PadOptions", [[0, 0], [-1, 0], [0, 0], [0, 0]], (1, 5, 5, 6)), MAP,
        "pads by [-1, 0, 0] and [0, 0, 0], of which some are negative",
    ),
    "a map of no rows": (
        by_axis(
            CODES.RESIZE_BILINEAR, "ResizeBilinearOptions", [0, 5], (1, 0, 5, 6), AlignCorners=0
        ), MAP, "'resize' would give a tensor of shape [0, 5, 6]",
    ),
    "blocks of parts of channels": (
        lambda file: file.add(
            CODES.DEPTH_TO_SPACE, [0], (1, 12, 10, 1), kind="DepthToSpaceOptions", BlockSize=2
        ), MAP, "has blocks of 2 for 6 channels",
    ),
    "blocks of parts of rows": (
        lambda file: file.add(
            CODES.SPACE_TO_DEPTH, [0], (1, 3, 2, 24), kind="SpaceToDepthOptions", BlockSize=2
        ), MAP, "has blocks of 2 for a map of 6 x 5",
    ),
    "images joined": (concatenated(0, (2, 6, 5, 6)), MAP, "it works along the images"),
    "images split": (split(-4, MAP), MAP, "operator 0 (SPLIT): it works along the images"),
    "one image of several": (
        strided([0], [1], [1], (6, 5, 6), ShrinkAxisMask=1), MAP, "one image of several",
    ),
    "images moved": (
        by_axis(CODES.TRANSPOSE, "TransposeOptions", [1, 0, 2, 3], (6, 1, 5, 6)), MAP,
        "it moves the images to another axis",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FLOATS_REFUSED)
def test_what_float_files_may_not_have(tmp_path: Path, what: str) -> None:
    build, shape, message = FLOATS_REFUSED[what]
    file = FloatFile(shape)
    build(file)
    path = tmp_path / "net.tflite"
    path.write_bytes(file.content())
    with pytest.raises(ModelError) as caught:
        load_float_network(path)
    assert str(caught.value).startswith("'net.tflite': ")
    assert message in str(caught.value)


def test_what_follows_a_fault_is_not_complained_of(tmp_path: Path) -> None:
    """An operator that cannot be read, and two after it that could."""
    file = FloatFile(MAP)
    (y,) = file.add(CODES.ELU, [0], MAP)
    (y,) = file.add(CODES.RELU, [y], MAP)
    file.add(CODES.ABS, [y], MAP)
    path = tmp_path / "net.tflite"
    path.write_bytes(file.content())
    with pytest.raises(ModelError) as caught:
        load_float_network(path)
    assert "operator 0 is ELU, which is not supported" in str(caught.value)
    assert "operator 1" not in str(caught.value)
