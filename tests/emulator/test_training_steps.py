# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A training step: weights stay where there is something for them, and recordings are the same."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import layer_factors
from axynq.emulator.studies.tuning.compensation import tune
from axynq.emulator.studies.tuning.tuner import Tuner

torch = pytest.importorskip("torch", reason="torch is not installed: pip install axynq[torch]")

from axynq.emulator.studies.retraining import RetrainOptions, retrain, steps
from axynq.emulator.studies.retraining.network import TrainableNetwork, without_softmax
from axynq.emulator.studies.retraining.teacher import Teacher
from axynq.emulator.studies.retraining.weight_quantiser import weight_quantisers

MIXED = "flam=roup:3,0|smapprox:2222|exact"


@pytest.fixture(scope="module")
def examples(digits: graph.Model) -> tuple[np.ndarray, np.ndarray]:
    data = handwritten_digits("train")
    return quantise_examples(digits.input, data.x), data.y


def test_weights_come_back(digits: graph.Model, examples) -> None:
    """To the outermost value that their multiplier has; others stay."""
    plan = Plan.parse(digits, MIXED)
    network = TrainableNetwork(digits, weight_quantisers(digits, plan, examples[0][:200]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.weight.values():
            weight.mul_(1 + 3 * torch.rand(weight.shape, generator=generator))
    wanted = {name: weight.detach().clone() for name, weight in network.weight.items()}
    network.limit()
    moved = 0
    for layer in digits.layers:
        quantiser = network.quantisers[layer.name]
        scales = network.get_buffer(f"scale_{layer.name}")[:, None, None, None]
        both = (wanted[layer.name], network.weight[layer.name].detach())
        steps_before, steps_after = (
            (weight / scales).permute(0, 2, 3, 1).reshape(layer.kernel.shape) for weight in both
        )
        values = quantiser.value[:, 1:]  # -128 is left out
        low, high = (ends[quantiser.code] for ends in (values.amin(1), values.amax(1)))
        expected = torch.minimum(torch.maximum(steps_before, low), high)
        torch.testing.assert_close(steps_after, expected)
        moved += int((steps_before != expected).sum())
    assert moved > 50


def test_other_scales_are_trained_on(digits: graph.Model, examples) -> None:
    """A tuned network whose filters have scales of their own begins as it is, and keeps them."""
    x, y = examples
    plan = Plan.parse(digits, "roup:3,0")
    tuned = tune(Tuner(digits, x[:256], "rescaled"), plan, x[:256])
    options = RetrainOptions(
        method="multiplier-aware", fitted=True, epochs=1, batch=64, rate=3e-4, optimiser="adam",
        validation=200, samples=256, keep="last", distillation=0.5,
    )  # fmt: skip
    result = retrain(tuned, plan, x, y, options, teacher=digits)
    for before, after in zip(tuned.layers, result.model.layers):
        assert np.array_equal(before.weight_scales, after.weight_scales)
        assert layer_factors(tuned, before) == layer_factors(result.model, after)
    assert result.history[1].accuracy > result.history[0].accuracy - 0.05
    assert Emulator(result.model, plan).accuracy(x, y) > Emulator(digits, plan).accuracy(x, y)


def test_teachers_give_real_scores(digits: graph.Model, examples) -> None:
    x = examples[0][:50]
    found = Teacher(digits, torch.device("cpu")).scores(torch.from_numpy(x))
    network = without_softmax(digits)
    expected = network.output.dequantise(Emulator(network).run(x)).reshape(50, -1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_recorded_steps_are_the_same(
    digits: graph.Model, examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = examples
    options = RetrainOptions(
        method="multiplier-aware", epochs=2, batch=64, rate=1e-3, optimiser="adam",
        distillation=0.5, clip=1.0, validation=200, samples=256, keep="last",
    )  # fmt: skip
    recorded = retrain(digits, MIXED, x, y, options, device="cuda")
    monkeypatch.setattr(steps, "WARM_UP", 10**9)
    launched = retrain(digits, MIXED, x, y, options, device="cuda")
    assert [e.loss for e in recorded.history] == [e.loss for e in launched.history]
    for a, b in zip(recorded.model.layers, launched.model.layers):
        assert np.array_equal(a.weights, b.weights)
        assert np.array_equal(a.bias, b.bias)
