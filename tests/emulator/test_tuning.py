# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Weight tuning and mean-error compensation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, load_model, multiplier, save_model
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.segments import fingerprint, replace_layers
from axynq.emulator.studies.tuning import tuner as tuner_module
from axynq.emulator.studies.tuning.compensation import Method, frozen, tune
from axynq.emulator.studies.tuning.histograms import tap_histograms
from axynq.emulator.studies.tuning.tuner import Tuner, fitting
from axynq.emulator.studies.tuning.weights import WEIGHT_RULES, WeightRule, tuned_weights
from tests.networks import random_input, weighted_models

PLANS = ("llam=roup:2,6", "flam=exact|smapprox:2222|roup:1,4", "klam-row=roup:2,4|exact",
         "llam=roup:1,4+klms=2")  # fmt: skip


@pytest.fixture(scope="module")
def images(digits: graph.Model) -> graph.Int8Array:
    return quantise_examples(digits.input, handwritten_digits("train").x[:200])


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["exact", "roup:1,4", "roup:2,6", "smapprox:2222"])
@pytest.mark.parametrize("zero_point", [-128, 3])
def test_alwann_rule_is_the_minimum(spec: str, zero_point: int) -> None:
    m = multiplier(spec)
    tuned = tuned_weights(m, zero_point)
    a = np.arange(-128, 128) - zero_point
    for w in range(-128, 128, 5):
        candidates = list(range(min(w, -127), 128))
        costs = [int(np.abs(m.product(a, v).astype(int) - a * w).sum()) for v in candidates]
        chosen = int(tuned[w + 128])
        assert costs[candidates.index(chosen)] == min(costs)
        if costs[candidates.index(w)] == min(costs):
            assert chosen == w


def test_exact_weights_stay() -> None:
    assert np.array_equal(tuned_weights(multiplier("exact"), -128), np.arange(-128, 128))


def test_histogram_rule_minimises_what_occurs() -> None:
    m, shares = multiplier("smapprox:2222"), np.zeros(256)
    shares[[130, 140, 200]] = 0.5, 0.3, 0.2
    tuned = tuned_weights(m, -128, shares.tobytes())
    a = np.array([130, 140, 200])
    for w in (-100, -7, 5, 77):
        costs = [
            float((shares[a] * np.abs(m.product(a, v).astype(int) - a * w)).sum())
            for v in range(-127, 128)
        ]
        assert costs[int(tuned[w + 128]) + 127] == pytest.approx(min(costs), rel=1e-4)
    assert (tuned != tuned_weights(m, -128)).any()


# --- expected errors -----------------------------------------------------------------------------


@settings(max_examples=40)
@given(weighted_models(), st.sampled_from(PLANS), st.integers(0, 2**32 - 1))
def test_expected_errors_are_the_mean_errors(model: graph.Model, text: str, seed: int) -> None:
    """Summed over the weights, expected errors are the accumulators' mean errors, exactly."""
    x, plan, layer = random_input(model, 5, seed), Plan.parse(model, text), model.layers[0]
    found = Emulator(model, plan).accumulators(x)[layer.name]
    measured = (found.approximate.astype(np.int64) - found.exact).mean(axis=(0, 1, 2))
    expected = Tuner(model, x).mean_errors(layer, plan.expand(model)[layer.name])
    assert np.allclose(expected, measured, rtol=1e-9, atol=1e-6)


@settings(max_examples=20)
@given(weighted_models(), st.integers(0, 2**32 - 1))
def test_histograms_sum_to_one(model: graph.Model, seed: int) -> None:
    shares = tap_histograms(model, model.layers[0], random_input(model, 4, seed))
    assert np.allclose(shares.sum(axis=-1), 1)


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", WEIGHT_RULES)
@pytest.mark.parametrize("method", list(Method))
def test_exact_plan_leaves_the_network(
    digits: graph.Model, images: graph.Int8Array, rule: WeightRule, method: Method
) -> None:
    tuned = tune(Tuner(digits, images, rule), Plan.uniform("exact"), images, method)
    assert serialise_model(tuned) == serialise_model(digits)


@pytest.mark.parametrize("text", PLANS)
def test_sequential_means_are_those_of_the_exact_network(
    digits: graph.Model, images: graph.Int8Array, text: str
) -> None:
    plan = Plan.parse(digits, text)
    tuned = tune(Tuner(digits, images), plan, images, Method.SEQUENTIAL)
    exact = Emulator(digits).accumulators(images)
    approximate = Emulator(tuned, frozen(plan, digits)).accumulators(images)
    untuned = Emulator(digits, plan).accumulators(images)

    def distance(found: dict, name: str) -> float:
        means = [array.mean(axis=(0, 1, 2), dtype=float) for array in
                 (found[name].approximate, exact[name].exact)]  # fmt: skip
        return float(np.abs(means[0] - means[1]).max())

    for layer in digits.layers:
        assert distance(approximate, layer.name) <= 0.5 + 1e-9  # biases are integers
    assert max(distance(untuned, layer.name) for layer in digits.layers) > 1


@pytest.mark.parametrize("text", PLANS)
def test_reloaded_network_gives_the_same(
    digits: graph.Model, images: graph.Int8Array, tmp_path: Path, text: str
) -> None:
    plan = Plan.parse(digits, text)
    tuned = tune(Tuner(digits, images, "histogram"), plan, images)
    assert fingerprint(tuned) != fingerprint(digits)
    save_model(tuned, tmp_path / "tuned.tflite")
    fixed = frozen(plan, digits)
    fixed.save(tmp_path / "plan.json")
    again = Emulator(load_model(tmp_path / "tuned.tflite"), Plan.load(tmp_path / "plan.json"))
    assert np.array_equal(again.run(images), Emulator(tuned, fixed).run(images))


def test_frozen_plan_skips_what_the_original_skips(digits: graph.Model) -> None:
    plan = Plan.parse(digits, "flam=exact|roup:1,4+klms=1")
    expected, fixed = plan.expand(digits), frozen(plan, digits).expand(digits)
    for name, codes in expected.items():
        assert np.array_equal(codes.codes == 0, fixed[name].codes == 0)
        assert fixed[name].counts() == codes.counts()


def test_compensation_helps(digits: graph.Model, images: graph.Int8Array) -> None:
    plan, test = Plan.parse(digits, "llam=roup:2,6"), handwritten_digits("test")
    x = quantise_examples(digits.input, test.x)
    tuned = tune(Tuner(digits, images), plan, images, Method.EXPECTED)
    exact = Emulator(digits).run(x).reshape(len(x), -1).astype(int)

    def distance(model: graph.Model) -> float:
        return float(np.abs(Emulator(model, plan).run(x).reshape(len(x), -1) - exact).mean())

    assert distance(tuned) < distance(digits)


def test_bias_that_does_not_fit(digits: graph.Model) -> None:
    layer = digits.layers[0]
    with pytest.raises(ModelError, match="does not fit 32 bits"):
        fitting(layer, np.full(len(layer.bias), 2**31, np.int64))


def test_without_compensation_biases_stay(
    digits: graph.Model, images: graph.Int8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that are forgotten are tuned again, to the same."""
    monkeypatch.setattr(tuner_module, "KEPT", 1)
    tuner = Tuner(digits, images, "alwann", compensate=False)
    codes = Plan.parse(digits, "roup:2,6").expand(digits)
    first, second = (
        [tuner.layer(layer, codes[layer.name]) for layer in digits.layers] for _ in range(2)
    )
    for layer, one, other in zip(digits.layers, first, second):
        assert np.array_equal(one.bias, layer.bias)
        assert np.array_equal(one.kernel, other.kernel)
        assert not np.array_equal(one.kernel, layer.kernel)


def test_fingerprint_sees_every_part(digits: graph.Model) -> None:
    layer = digits.layers[0]
    bias = layer.bias.copy()
    bias[0] += 1
    changed = replace_layers(digits, [replace(layer, bias=bias)])
    assert fingerprint(changed) != fingerprint(digits)
    assert fingerprint(replace_layers(digits, [replace(layer)])) == fingerprint(digits)


# --- second order --------------------------------------------------------------------------------


@settings(max_examples=25)
@given(weighted_models(), st.integers(0, 2**32 - 1))
def test_second_order_leaves_exact_layers(model: graph.Model, seed: int) -> None:
    tuner = Tuner(model, random_input(model, 4, seed), "second-order")
    layer = model.layers[0]
    made = tuner.layer(layer, Plan.uniform("exact").expand(model)[layer.name])
    assert np.array_equal(made.weights, layer.weights)
    assert np.array_equal(made.bias, layer.bias)


@pytest.mark.parametrize("spec", ["roup:2,6", "roup:1,6", "smapprox:2222"])
def test_second_order_lowers_the_error(
    digits: graph.Model, images: graph.Int8Array, spec: str
) -> None:
    """The spread of each layer's accumulator errors, against those of the weights as they are and
    with each weight tuned alone."""
    plan = Plan.uniform(spec)
    tensors = Emulator(digits).tensors(images)
    errors: dict[str, list[float]] = {}
    for rule in ("none", "alwann", "second-order"):
        tuner = Tuner(digits, images, rule)
        for layer in digits.layers[:-1]:
            made = tuner.layer(layer, plan.expand(digits)[layer.name])
            alone = graph.Model(
                "layer",
                digits.tensors,
                (made,),
                (layer.inputs[0],),
                (layer.output,),
            )
            exact = replace_layers(alone, [layer])
            x = tensors[layer.inputs[0]]
            found = Emulator(alone, plan).accumulators(x)[layer.name].approximate
            wanted = Emulator(exact).accumulators(x)[layer.name].approximate
            difference = found.astype(float) - wanted
            errors.setdefault(rule, []).append(float(difference.std()))
    for k in range(len(errors["none"])):
        assert errors["second-order"][k] < 0.95 * errors["none"][k]
        assert errors["second-order"][k] < errors["alwann"][k]


def test_second_order_leaves_skipped_weights(digits: graph.Model, images: graph.Int8Array) -> None:
    codes = Plan.parse(digits, "llam=roup:2,6+klms=1").expand(digits)
    layer = digits.layers[0]
    made = Tuner(digits, images, "second-order").layer(layer, codes[layer.name])
    skipped = codes[layer.name].codes == 0
    assert skipped.any()
    assert np.array_equal(made.kernel[skipped], layer.kernel[skipped])


# --- other scales --------------------------------------------------------------------------------


def accumulators(model: graph.Model, plan: Plan, layer: graph.WeightedLayer, x: graph.Int8Array):
    """Of one layer alone, in real units but for the scale of its input, [..., filters]."""
    inputs, outputs = (layer.inputs[0],), (layer.output,)
    alone = graph.Model("layer", model.tensors, (layer,), inputs, outputs)
    found = Emulator(alone, plan).accumulators(x)[layer.name].approximate
    return found * layer.weight_scales.astype(np.float64)


@pytest.mark.parametrize("spec", ["roup:3,0", "roup:3,0-0-0-4", "smapprox:3333"])
def test_other_scales_lower_the_error(
    digits: graph.Model, images: graph.Int8Array, spec: str
) -> None:
    plan = Plan.uniform(spec)
    images = images[:256]  # of more, a tuner looks at some
    tensors = Emulator(digits).tensors(images)
    errors: dict[str, list[float]] = {"second-order": [], "rescaled": []}
    for rule, found in errors.items():
        tuner = Tuner(digits, images, rule)
        for layer in digits.layers:
            made = tuner.layer(layer, plan.expand(digits)[layer.name])
            x = tensors[layer.inputs[0]]
            wanted = accumulators(digits, Plan.uniform("exact"), layer, x)
            error = accumulators(digits, plan, made, x) - wanted
            found.append(float(error.std(axis=(0, 1, 2)).mean()))
            # Expected errors are taken off in steps of an accumulator.
            step = float(made.weight_scales.max())
            assert np.abs(error.mean(axis=(0, 1, 2))).max() < 0.6 * step
    # The last layer has as many taps as a sixth of the images: its curvature is mostly damping.
    for rescaled, second_order in zip(errors["rescaled"][:-1], errors["second-order"]):
        assert rescaled < 0.95 * second_order


@settings(max_examples=25)
@given(weighted_models(), st.integers(0, 2**32 - 1))
def test_exact_layers_keep_their_scales(model: graph.Model, seed: int) -> None:
    tuner = Tuner(model, random_input(model, 4, seed), "rescaled")
    layer = model.layers[0]
    made = tuner.layer(layer, Plan.uniform("exact").expand(model)[layer.name])
    assert np.array_equal(made.weights, layer.weights)
    assert np.array_equal(made.bias, layer.bias)
    assert np.array_equal(made.weight_scales, layer.weight_scales)


def test_layers_of_one_scale_keep_one(digits: graph.Model, images: graph.Int8Array) -> None:
    layer = digits.layers[0]
    scales = np.full_like(layer.weight_scales, layer.weight_scales.max())
    uniform = replace_layers(digits, [replace(layer, weight_scales=scales, per_channel=False)])
    tuner = Tuner(uniform, images, "rescaled")
    made = tuner.layer(uniform.layers[0], Plan.uniform("roup:3,0").expand(uniform)[layer.name])
    assert len(set(made.weight_scales.tolist())) == 1
    assert made.weight_scales[0] != scales[0]


def test_means_are_measured_at_other_scales(
    digits: graph.Model, images: graph.Int8Array, tmp_path: Path
) -> None:
    """Sequential compensation gives each filter of the first layer the mean it had; and what is
    written has the scales."""
    plan = Plan.uniform("roup:3,0")
    tuned = tune(Tuner(digits, images, "rescaled"), plan, images, Method.SEQUENTIAL)
    first = tuned.layers[0]
    assert not np.array_equal(first.weight_scales, digits.layers[0].weight_scales)
    wanted = accumulators(digits, Plan.uniform("exact"), digits.layers[0], images)
    found = accumulators(digits, plan, first, images)
    difference = np.abs((found - wanted).mean(axis=(0, 1, 2)))
    assert (difference < 0.6 * first.weight_scales).all()
    save_model(tuned, tmp_path / "tuned.tflite")
    again = load_model(tmp_path / "tuned.tflite")
    assert np.array_equal(Emulator(again, plan).run(images), Emulator(tuned, plan).run(images))
