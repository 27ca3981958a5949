# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The noise-based search: noise, its gradients, predictions, matching, and what is resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, multiplier
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.energy import Energy, EnergyFigures
from axynq.emulator.errors import DataError, ModelError, PlanError
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import accumulator_scales
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.plan import Assignment
from axynq.emulator.quantisation.builder import NetworkBuilder
from axynq.emulator.studies.errors import extract
from axynq.emulator.studies.evaluator import Examples
from tests.networks import random_input, weighted_models

torch = pytest.importorskip("torch")

from torch.nn import functional

from axynq.emulator.studies.matching import (
    PREDICTIONS,
    Prediction,
    SearchOptions,
    SearchResult,
    Task,
    match,
    predict,
    run,
    search_noise,
)
from axynq.emulator.studies.matching.gradient_search import held_out
from axynq.emulator.studies.matching.noise import (
    LearntNoise,
    _noisy,
    shares_of_multiplications,
)
from axynq.emulator.studies.matching.report import points_of
from axynq.emulator.studies.retraining import RetrainOptions
from axynq.emulator.studies.retraining.network import TrainableNetwork
from axynq.emulator.studies.retraining.training import _split

torch.set_num_threads(1)  # tests run beside each other

LIBRARY = ("exact", "roup:1,4", "roup:2,6", "roup:3,6", "smapprox:2222")

SHORT = SearchOptions(epochs=2, batch=32, validation=100, noise_rate=0.05)


class StoppedError(Exception):
    """The user's Ctrl-C."""


@pytest.fixture(scope="module")
def examples(digits: graph.Model) -> Examples:
    data = handwritten_digits("train")
    return Examples(quantise_examples(digits.input, data.x), data.y)


@pytest.fixture(scope="module")
def few(examples: Examples) -> Examples:
    """Enough for runs of which only the course matters."""
    return Examples(examples.x[:420], examples.y[:420])


# --- noise ---------------------------------------------------------------------------------------


def test_noise_has_the_deviation_that_was_learnt() -> None:
    noise = LearntNoise({"first": 0.75, "second": 0.25}, 0.3)
    noise.begin_epoch(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    y = 5 + 2 * torch.randn((40, 16, 9, 9), generator=generator)
    added = noise.output("first", y.clone()).detach() - y
    assert float(added.std()) == pytest.approx(0.3 * 2, rel=0.02)
    assert float(added.mean()) == pytest.approx(0, abs=0.02)
    # Independent of what it is added to.
    assert abs(float((added * (y - 5)).mean())) < 0.02


def test_gradients_of_noise_against_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)
    y = torch.randn((2, 3, 4, 2), generator=generator, dtype=torch.float64, requires_grad=True)
    added = torch.randn((2, 3, 4, 2), generator=generator, dtype=torch.float64)
    sigma = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def noisy(y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return _noisy(y.clone(), sigma, added)

    assert torch.autograd.gradcheck(noisy, (y, sigma))


def test_gradients_of_noise_in_a_constant_output() -> None:
    y = torch.full((2, 3), 4.0, requires_grad=True)
    sigma = torch.tensor(0.4, requires_grad=True)
    _noisy(y.clone(), sigma, torch.ones((2, 3))).sum().backward()
    assert y.grad is not None
    assert sigma.grad is not None
    assert torch.equal(y.grad, torch.ones((2, 3)))
    assert float(sigma.grad) == 0


def test_gradients_of_the_objective_against_finite_differences() -> None:
    """Of deviations below and beyond the limit, and of a negative one, through two layers."""
    noise = LearntNoise({"first": 0.6, "second": 0.3, "third": 0.1}, 0.2).double()
    with torch.no_grad():
        noise.sigma.copy_(torch.tensor([0.2, -0.3, 0.7]))
    generator = torch.Generator().manual_seed(4)
    x = torch.randn((8, 5), generator=generator, dtype=torch.float64)
    weights = [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((6, 5), (6, 6), (3, 6))
    ]
    labels = torch.arange(8) % 3

    def objective() -> torch.Tensor:
        noise.begin_epoch(torch.Generator().manual_seed(5))
        y = x
        for name, matrix in zip(("first", "second", "third"), weights):
            y = torch.tanh(noise.output(name, functional.linear(y, matrix)))
        return functional.cross_entropy(y, labels) - 0.5 * noise.worth(0.5)

    objective().backward()
    assert noise.sigma.grad is not None
    step = 1e-6
    for k in range(3):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                noise.sigma[k] += sign * step
            values.append(float(objective().detach()))
            with torch.no_grad():
                noise.sigma[k] -= sign * step
        numeric = (values[0] - values[1]) / (2 * step)
        assert float(noise.sigma.grad[k]) == pytest.approx(numeric, abs=1e-6)


def test_worth_is_weighted_by_multiplications(digits: graph.Model) -> None:
    shares = shares_of_multiplications(digits)
    total = sum(digits.multiplications(layer) for layer in digits.layers)
    assert sum(shares.values()) == pytest.approx(1)
    layer = digits.layers[2]
    assert shares[layer.name] == digits.multiplications(layer) / total
    noise = LearntNoise(shares, 0.7)
    assert float(noise.worth(0.5).detach()) == pytest.approx(0.5)
    assert float(noise.worth(1.0).detach()) == pytest.approx(0.7)


# --- the gradient search -------------------------------------------------------------------------


def test_what_is_held_out_is_what_retraining_holds_out(few: Examples) -> None:
    training, apart = held_out(few, 70)
    trained_on, held = _split(len(few), RetrainOptions(validation=70))
    assert np.array_equal(training.x, few.x[trained_on])
    assert np.array_equal(apart.x, few.x[held])
    assert np.array_equal(apart.y, few.y[held])


@pytest.fixture(scope="module")
def searches(digits: graph.Model, examples: Examples) -> dict[float, SearchResult]:
    return {
        strength: search_noise(digits, examples, replace(SHORT, strength=strength))
        for strength in (0.0, 0.2, 1.5)
    }


def test_larger_strengths_give_more_noise_and_cheaper_plans(
    digits: graph.Model, examples: Examples, searches: dict[float, SearchResult]
) -> None:
    shares, figures = shares_of_multiplications(digits), EnergyFigures()
    worth, energies = [], []
    for result in searches.values():
        assert list(result.deviations) == [layer.name for layer in digits.layers]
        worth.append(sum(shares[name] * value for name, value in result.deviations.items()))
        predicted = predict(result.model, LIBRARY, examples.x[:64])
        plan = match(result.deviations, predicted, LIBRARY, figures)
        costs = [
            (figures.of(multiplier(plan.layers[name].multipliers[0])), share)
            for name, share in shares.items()
        ]
        energies.append(sum(energy.relative * share for energy, share in costs if energy))
    assert worth[0] < 0.5 * worth[1]
    assert worth[1] < worth[2]
    assert energies[0] > energies[1] > energies[2]


def test_weights_are_trained_along(
    digits: graph.Model, examples: Examples, searches: dict[float, SearchResult]
) -> None:
    """The network bears the noise that was found better than the one it began as."""
    result = searches[1.5]
    noise = LearntNoise(shares_of_multiplications(digits), 0.0)
    with torch.no_grad():
        noise.sigma.copy_(torch.tensor(list(result.deviations.values())))
    x = torch.from_numpy(examples.x).permute(0, 3, 1, 2)
    losses = []
    for model in (digits, result.model):
        noise.begin_epoch(torch.Generator().manual_seed(0))
        with torch.no_grad():
            scores = TrainableNetwork(model)(x, noise)
            losses.append(float(functional.cross_entropy(scores, torch.from_numpy(examples.y))))
    assert losses[1] < 0.9 * losses[0]
    last = result.history[-1]
    assert last.number == len(result.history) == SHORT.epochs
    _, apart = held_out(examples, SHORT.validation)
    assert last.accuracy == Emulator(result.model, "exact").accuracy(apart.x, apart.y)
    assert last.deviations == result.deviations


def test_an_interrupted_search_comes_to_the_same(
    digits: graph.Model, few: Examples, tmp_path: Path
) -> None:
    options = replace(SHORT, epochs=3, augment=True)
    whole = search_noise(digits, few, options)

    def interrupt(epochs: int, step: int, steps: int, loss: float) -> None:
        if epochs == 2 and step == 3:
            raise StoppedError

    path = tmp_path / "search.pt"
    with pytest.raises(StoppedError):
        search_noise(digits, few, options, checkpoint=path, progress=interrupt)
    resumed = search_noise(digits, few, options, checkpoint=path)
    assert resumed.deviations == whole.deviations
    assert fingerprint(resumed.model) == fingerprint(whole.model)
    assert [e.loss for e in resumed.history] == [e.loss for e in whole.history]
    assert fingerprint(resumed.model) != fingerprint(digits)


def test_checkpoints_of_other_searches_are_refused(
    digits: graph.Model, few: Examples, tmp_path: Path
) -> None:
    path = tmp_path / "search.pt"
    options = replace(SHORT, epochs=1)
    search_noise(digits, few, options, checkpoint=path)
    with pytest.raises(DataError, match="is of another network, plan, recipe or data"):
        search_noise(digits, few, replace(options, strength=0.3), checkpoint=path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="is empty or damaged"):
        search_noise(digits, few, options, checkpoint=path)


def test_too_few_examples(digits: graph.Model, few: Examples) -> None:
    with pytest.raises(DataError, match="too few to hold out 420"):
        search_noise(digits, few, replace(SHORT, validation=420))
    with pytest.raises(DataError, match="too few to hold out 400 and train on batches of 32"):
        search_noise(digits, few, replace(SHORT, validation=400))


def test_only_images_are_augmented() -> None:
    builder = NetworkBuilder("flat", (12,))
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 1, (3, 12)).astype(np.float32)
    builder.fully_connected(builder.input, weights, np.zeros(3, np.float32))
    model = builder.quantise(rng.normal(0, 1, (50, 12)).astype(np.float32))
    x = random_input(model, 50, 0)
    with pytest.raises(ModelError, match="search without --augment"):
        search_noise(model, Examples(x, np.zeros(50, np.int64)), SearchOptions(augment=True))


# --- predictions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0, 60])
def test_prediction_of_independent_operands(spread: int) -> None:
    """Where the model's assumption holds, that operands under a kernel are drawn independently, its
    deviation is the measured one; also where distributions differ from place to place."""
    rng = np.random.default_rng(7)
    builder = NetworkBuilder("independent", (12, 12, 16))
    weights = rng.normal(0, 0.2, (96, 3, 3, 16)).astype(np.float32)
    builder.convolution(builder.input, weights, np.zeros(96, np.float32))
    model = builder.quantise(rng.normal(0, 1, (20, 12, 12, 16)).astype(np.float32))
    levels = rng.uniform(-spread, spread, (24, 1, 1, 1))
    deviation = 15 if spread else 40
    x = rng.normal(levels, deviation, (24, 12, 12, 16)).round().clip(-128, 127).astype(np.int8)
    name = model.layers[0].name
    predicted, measured = (predict(model, LIBRARY, x, p)[name] for p in PREDICTIONS[:2])
    assert predicted["exact"] == measured["exact"] == 0
    for spec in LIBRARY[1:]:
        assert predicted[spec] == pytest.approx(measured[spec], rel=0.1)


def test_prediction_for_a_network(digits: graph.Model, examples: Examples) -> None:
    """Operands of a network are not independent; the order of multipliers is kept all the same,
    where they differ by much."""
    x = examples.x[:128]
    predicted, measured = (predict(digits, LIBRARY, x, p) for p in PREDICTIONS[:2])
    for layer in digits.layers:
        for spec in LIBRARY[1:]:
            ratio = predicted[layer.name][spec] / measured[layer.name][spec]
            assert 0.5 < ratio < 2, (layer.name, spec)
            for other in LIBRARY[1:]:
                if measured[layer.name][other] > 2 * measured[layer.name][spec]:
                    assert predicted[layer.name][other] > predicted[layer.name][spec]


@settings(max_examples=15)
@given(weighted_models(), st.sampled_from(LIBRARY[1:]), st.integers(0, 2**32 - 1))
def test_measured_is_what_the_layer_adds_in_the_network(
    model: graph.Model, spec: str, seed: int
) -> None:
    x = random_input(model, 6, seed)
    found = predict(model, (spec,), x, "measured")
    for layer in model.layers:
        alone = Plan({layer.name: Assignment((spec,))}, Assignment(("exact",)))
        whole = extract(model, alone, x).layers[layer.name].real
        error, output = float(whole.error_deviation), float(whole.output_deviation)
        expected = 0.0 if error == 0 else error / output if output > 0 else np.inf
        assert found[layer.name][spec] == pytest.approx(expected)


@settings(max_examples=15)
@given(weighted_models(), st.sampled_from(LIBRARY[1:]), st.integers(0, 2**32 - 1))
def test_residual_is_what_a_line_for_each_filter_leaves(
    model: graph.Model, spec: str, seed: int
) -> None:
    x = random_input(model, 6, seed)
    layer = model.layers[0]  # sees the same in the exact and in the approximate network
    sums = Emulator(model, spec).accumulators(x)[layer.name]
    scale = accumulator_scales(model, layer)
    exact = (sums.exact * scale).reshape(-1, len(scale))
    error = ((sums.approximate - sums.exact) * scale).reshape(-1, len(scale))
    left = []
    for y, e in zip(exact.T, error.T):
        line = np.stack([y - y.mean(), np.ones_like(y)], axis=1)
        left.append(e - line @ np.linalg.lstsq(line, e, rcond=None)[0])
    deviation = exact.std()
    found = predict(model, (spec,), x, "residual")[layer.name][spec]
    if deviation > 0:
        expected = np.sqrt(np.square(left).mean()) / deviation
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5 * error.std() / deviation)


@settings(max_examples=15)
@given(weighted_models(), st.sampled_from(PREDICTIONS), st.integers(0, 2**32 - 1))
def test_exact_multipliers_have_no_errors(
    model: graph.Model, prediction: Prediction, seed: int
) -> None:
    found = predict(model, ("exact",), random_input(model, 3, seed), prediction)
    assert set(found) == {layer.name for layer in model.layers}
    assert all(errors == {"exact": 0.0} for errors in found.values())


def test_predictions_need_inputs(digits: graph.Model, few: Examples) -> None:
    with pytest.raises(DataError, match="at least one"):
        predict(digits, LIBRARY, few.x[:0])


# --- matching ------------------------------------------------------------------------------------


def figures_of(energies: dict[str, float]) -> EnergyFigures:
    found = {spec: Energy(value, "made up") for spec, value in energies.items()}
    return EnergyFigures().extended(found)


@given(st.data())
def test_match_takes_the_cheapest_that_fits(data: st.DataObject) -> None:
    errors = st.floats(0, 1)
    energies = {"exact": 1.0} | {spec: data.draw(st.floats(0, 2)) for spec in LIBRARY[1:]}
    predicted = {
        name: {"exact": 0.0} | {spec: data.draw(errors) for spec in LIBRARY[1:]} for name in "ab"
    }
    bearable = {name: data.draw(errors) for name in "ab"}
    figures = figures_of(energies)
    plan = match(bearable, predicted, LIBRARY, figures)
    for name in "ab":
        (chosen,) = plan.layers[name].multipliers
        assert predicted[name][chosen] <= bearable[name]
        for spec in LIBRARY:
            if predicted[name][spec] <= bearable[name]:
                assert energies[spec] >= energies[chosen]
    # Whoever bears more pays no more.
    more = {name: value + data.draw(errors) for name, value in bearable.items()}
    relaxed = match(more, predicted, LIBRARY, figures)
    for name in "ab":
        before, after = (p.layers[name].multipliers[0] for p in (plan, relaxed))
        assert energies[after] <= energies[before]


def test_of_equally_cheap_multipliers_the_more_accurate_one_is_taken() -> None:
    figures = figures_of(dict.fromkeys(LIBRARY[1:], 0.5))
    predicted = {"a": {"exact": 0.0, "roup:1,4": 0.2, "roup:2,6": 0.1}}
    plan = match({"a": 0.3}, predicted, ("exact", "roup:1,4", "roup:2,6"), figures)
    assert plan.layers["a"].multipliers == ("roup:2,6",)


def test_matching_needs_figures_and_something_that_fits(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", mine=np.zeros((256, 256), np.int32))
    spec = f"table:{tmp_path / 't.npz'}#mine,unsigned"
    with pytest.raises(PlanError, match="no energy is known"):
        match({"a": 1.0}, {"a": {spec: 0.0}}, (spec,), EnergyFigures())
    with pytest.raises(PlanError, match="layer 'a' bears errors of 0.1000"):
        match({"a": 0.1}, {"a": {"roup:1,4": 0.2}}, ("roup:1,4",), EnergyFigures())


# --- all of it -----------------------------------------------------------------------------------


def task_for(digits: graph.Model, few: Examples) -> Task:
    retraining = RetrainOptions(epochs=2, batch=32, validation=100, rate=3e-3, distillation=0.3)
    return Task(digits, few, few.evenly(60), LIBRARY, (0.2, 1.5), SHORT, retraining)


def without_times(outcome: object) -> list[tuple[object, ...]]:
    return [
        (
            f.name, f.energy, f.against_exact, f.choice_accuracy, f.plan, dict(f.deviations),
            dict(f.predicted), fingerprint(f.model),
        )
        for f in outcome.found  # type: ignore[attr-defined]
    ]  # fmt: skip


@pytest.mark.thorough
def test_an_interrupted_run_comes_to_the_same(
    digits: graph.Model, few: Examples, tmp_path: Path
) -> None:
    task = task_for(digits, few)
    whole = run(task, tmp_path / "whole")

    def stop_at(what: str, share: float) -> Callable[[str, float], None]:
        def progress(now: str, done: float) -> None:
            if now.startswith(what) and done > share:
                raise StoppedError

        return progress

    for what in ("strength 0.2: learning noise", "strength 0.2: retraining",
                 "strength 1.5: learning noise", "strength 1.5: retraining"):  # fmt: skip
        with pytest.raises(StoppedError):
            run(task, tmp_path / "cut", stop_at(what, 0.6))
    again = run(task, tmp_path / "cut")
    assert without_times(again) == without_times(whole)
    assert again.baseline == whole.baseline
    # All is there: nothing is trained any more, only what was reached is said again.
    told: list[tuple[str, float]] = []
    run(task, tmp_path / "cut", lambda what, share: told.append((what, share)))
    reached = {share for what, share in told if "loss" in what}
    assert reached == {1.0}
    names = [found.name for found in whole.found]
    assert names == ["strength-0.2", "strength-0.2-retrained", "strength-1.5",
                     "strength-1.5-retrained"]  # fmt: skip
    for found in whole.found:
        emulator = Emulator(found.model, found.plan)
        assert found.against_exact.first_accuracy == whole.baseline
        assert found.against_exact.second_accuracy == emulator.accuracy(task.test.x, task.test.y)
        _, apart = held_out(few, 100)
        assert found.choice_accuracy == emulator.accuracy(apart.x, apart.y)
    # The front is decided by the examples held out.
    by_name = {found.name: found for found in whole.found}
    for point in points_of(whole):
        own = by_name[point.name]
        beaten = [
            other
            for other in whole.found
            if other.choice_accuracy >= own.choice_accuracy and other.energy <= own.energy
            and (other.choice_accuracy, -other.energy) != (own.choice_accuracy, -own.energy)
            and other.retrained == own.retrained
        ]  # fmt: skip
        if beaten:
            assert not point.on_front
        assert (point.choice_accuracy, point.tested) == (own.choice_accuracy, own.against_exact)


def test_another_library_uses_the_same_searches(
    digits: graph.Model, few: Examples, tmp_path: Path
) -> None:
    task = replace(task_for(digits, few), retraining=None, strengths=(0.2,))
    first = run(task, tmp_path)
    told: list[str] = []
    other = replace(task, library=("exact", "roup:0,4"))
    second = run(other, tmp_path, lambda what, share: told.append(what))
    assert not [what for what in told if "loss" in what]
    assert second.found[0].deviations == first.found[0].deviations


def test_the_library_needs_the_exact_multiplier(
    digits: graph.Model, few: Examples, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="needs the exact multiplier"):
        run(replace(task_for(digits, few), library=("roup:1,4",)), tmp_path)
