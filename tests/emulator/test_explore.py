# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Evaluation with reuse, estimates, spaces, search, and what survives of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, multiplier
from axynq.emulator.datasets import handwritten_digits, load_dataset, quantise_examples
from axynq.emulator.energy import Energy, EnergyFigures, relative_energy
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.choice import choose_engine, make_engine
from axynq.emulator.errors import DataError, PlanError, ToolError
from axynq.emulator.keys import layer_key, plan_key
from axynq.emulator.model import graph
from axynq.emulator.model.segments import replace_layers, segments
from axynq.emulator.plan import CLASS_AXES, Assignment, Axis, LayerCodes
from axynq.emulator.quantisation.builder import NetworkBuilder
from axynq.emulator.studies import evaluator as evaluator_module
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.search import exploration
from axynq.emulator.studies.search.folder import check_network, mark_network
from axynq.emulator.studies.search.front import pareto_front
from axynq.emulator.studies.search.measure import Measure
from axynq.emulator.studies.search.report import cell_costs, draw_front, energy_sources
from axynq.emulator.studies.search.search import Settings, search
from axynq.emulator.studies.search.space import LEVELS, Level, Space
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import DaskWorkers, LocalWorker, TuningWorker, connect
from axynq.emulator.studies.sensitivity.estimate import Increase, _along, _per_weight, estimate
from axynq.emulator.studies.sensitivity.gradients import accumulator_gradients, cross_entropy
from axynq.emulator.studies.sensitivity.layers import (
    LayerSensitivity,
    draw_sensitivity,
    layer_sensitivity,
    rank_correlation,
)
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.tuner import Tuner, with_parameters
from tests.conftest import data_file
from tests.engines import ENGINES
from tests.networks import random_input, weighted_models

LIBRARY = ("roup:2,6", "exact", "roup:1,4", "smapprox:3330")

TEXTS = ("exact", "llam=roup:2,6", "flam=exact|roup:1,4|smapprox:3330",
         "klam-channel=roup:1,4|exact", "llam=exact+klms=2")  # fmt: skip


@pytest.fixture(scope="module")
def examples(digits: graph.Model) -> Examples:
    test = handwritten_digits("test")
    return Examples(quantise_examples(digits.input, test.x), test.y)


@pytest.fixture(scope="module")
def residual() -> graph.Model:
    """Two convolutions with a connection around them, between two others; depthwise, pooling."""
    rng = np.random.default_rng(3)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    builder = NetworkBuilder("residual", (8, 8, 3))
    zeros = np.zeros(8, np.float32)
    first = builder.convolution(builder.input, weights(8, 3, 3, 3), zeros, activation="relu")
    x = builder.convolution(first, weights(8, 3, 3, 8), zeros, activation="relu")
    x = builder.depthwise(x, weights(8, 3, 3, 1), zeros)
    x = builder.add(x, first, "relu")
    x = builder.pool(x, "max", (2, 2))
    x = builder.convolution(x, weights(8, 1, 1, 8), zeros, (2, 2))
    x = builder.pool(x, "average", (2, 2))
    x = builder.fully_connected(builder.flatten(x), weights(5, 8), np.zeros(5, np.float32))
    builder.softmax(x)
    return builder.quantise(rng.normal(0, 1, (50, 8, 8, 3)).astype(np.float32))


# --- segments and reuse --------------------------------------------------------------------------


def test_segments_keep_residual_blocks_together(residual: graph.Model) -> None:
    layers = [[layer.name for layer in part.layers] for part in segments(residual)]
    assert layers == [["conv_0"], ["conv_1", "depthwise_2"], ["conv_5"], ["fully_connected_8"]]
    operators = [op.name for part in segments(residual) for op in part.operators]
    assert operators == [op.name for op in residual.operators]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", TEXTS)
def test_blocks_through_segments_equal_the_network(
    residual: graph.Model, engine: str, text: str
) -> None:
    x, plan = random_input(residual, 70, 1), Plan.parse(residual, text)
    codes, blocks = plan.expand(residual), Blocks.of(x)
    assert np.array_equal(blocks.in_order(residual.input.shape), x)
    for part in segments(residual):
        mine = {layer.name: codes[layer.name] for layer in part.layers}
        blocks = make_engine(part, mine, choose_engine(engine), 2).run_blocks(blocks)
    expected = Emulator(residual, plan, engine=engine).run(x)
    assert np.array_equal(blocks.in_order(residual.output.shape), expected)


@pytest.mark.parametrize("cache", [0, 20_000, 60_000, 1 << 30])
def test_evaluator_equals_emulator(residual: graph.Model, cache: int) -> None:
    x = random_input(residual, 130, 2)
    evaluator = Evaluator(residual, Examples(x, np.zeros(130, np.int64)), cache_bytes=cache)
    for text in (*TEXTS, *TEXTS[::-1]):  # the second time much of it is known
        plan = Plan.parse(residual, text)
        expected = Emulator(residual, plan).run(x)
        assert np.array_equal(evaluator.outputs(plan), expected), text
        assert evaluator.correct(plan) == (expected.argmax(axis=1) == 0).sum()
    assert (evaluator.reuse.saved > 0) == (cache > 0)


def test_few_engines_are_kept(residual: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "PACKED", 2)
    x = random_input(residual, 70, 2)
    evaluator = Evaluator(residual, Examples(x, np.zeros(70, np.int64)))
    for text in TEXTS:
        plan = Plan.parse(residual, text)
        assert np.array_equal(evaluator.outputs(plan), Emulator(residual, plan).run(x)), text
        assert len(evaluator._packed) <= 2


def test_shared_prefix_is_not_computed_again(residual: graph.Model) -> None:
    x = random_input(residual, 64, 2)
    evaluator = Evaluator(residual, Examples(x, np.zeros(64, np.int64)))
    exact = Assignment(("exact",))
    evaluator.outputs(Plan({}, exact))
    evaluator.reuse.computed = 0
    last = residual.layers[-1]
    evaluator.outputs(Plan({last.name: Assignment(("roup:1,4",))}, exact))
    assert evaluator.reuse.computed == 64 * residual.multiplications(last)


def test_keys_tell_plans_apart(digits: graph.Model) -> None:
    layer = digits.layers[0]
    a, b = multiplier("exact"), multiplier("roup:1,4")
    codes = np.ones(layer.kernel.shape, np.uint8)
    codes.flat[3] = 2
    key = layer_key(LayerCodes((a, b), codes))
    assert key == layer_key(LayerCodes((b, a), (3 - codes).astype(np.uint8)))  # another order
    codes.flat[4] = 2
    assert key != layer_key(LayerCodes((a, b), codes))
    assert key != layer_key(LayerCodes((a, multiplier("roup:1,5")), codes))
    keys = {plan_key(Plan.parse(digits, text).expand(digits)) for text in TEXTS}
    assert len(keys) == len(TEXTS)


def test_tuned_evaluation(digits: graph.Model, examples: Examples) -> None:
    tuner = Tuner(digits, examples.x[:100], "alwann")
    plan = Plan.parse(digits, "llam=roup:2,6")
    codes = plan.expand(digits)
    tuned = replace_layers(digits, [tuner.layer(la, codes[la.name]) for la in digits.layers])
    found = Evaluator(digits, examples, tuner).outputs(plan)
    assert np.array_equal(found, Emulator(tuned, plan).run(examples.x))
    assert not np.array_equal(found, Evaluator(digits, examples).outputs(plan))


# --- estimates -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(weighted_models(), st.sampled_from(["roup:1,4", "roup:2,6", "smapprox:2222"]),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_changes_by_weight_sum_to_gradient_times_error(
    model: graph.Model, spec: str, seed: int
) -> None:
    layer, x = model.layers[0], random_input(model, 3, seed)
    found = Emulator(model, spec).accumulators(x)[layer.name]
    error = (found.approximate.astype(np.int64) - found.exact).astype(np.float64)
    g = np.random.default_rng(seed).normal(size=error.shape).astype(np.float32)
    with patch.multiple("axynq.emulator.studies.sensitivity.estimate", TERMS=256, TOLERANCE=0.0):
        changes = _per_weight(model, layer, x, g, multiplier(spec), compensated=False)
    expected = (g * error).sum(axis=(1, 2))
    scale = np.abs(g).sum() * layer.kernel[0].size * 2000  # of float32 sums
    assert np.abs(changes.sum(axis=(2, 3, 4)) - expected).max() <= 1e-6 * scale
    for axis in CLASS_AXES:
        along = _along(model, layer, changes, axis)
        total = changes.sum(axis=(1, 2, 3, 4))
        assert np.abs(along.sum(axis=1) - total).max() <= 1e-6 * scale


@pytest.mark.parametrize("name", ["digits", "residual"])
def test_gradients_predict_the_effect_of_biases(name: str, request, digits: graph.Model) -> None:
    model = request.getfixturevalue(name)
    if name == "digits":
        train = handwritten_digits("train")
        x, y = quantise_examples(model.input, train.x[:300]), train.y[:300]
    else:
        x = random_input(model, 300, 5)
        y = np.random.default_rng(5).integers(0, 5, 300)
    tensors = Emulator(model).tensors(x)
    gradients = accumulator_gradients(model, tensors, y)
    predicted, measured = [], []
    for layer in model.layers:
        factor = (
            model.tensors[layer.inputs[0]].scale
            / model.tensors[layer.output].scale
            * float(layer.weight_scales.mean())
        )
        step = max(1, int(3 / factor))  # three units of the output
        for f in range(min(4, len(layer.bias))):
            losses = []
            for sign in (1, -1):
                bias = layer.bias.copy()
                bias[f] += sign * step
                moved = replace_layers(model, [with_parameters(layer, layer.kernel, bias)])
                losses.append(cross_entropy(moved, Emulator(moved).tensors(x), y).mean())
            measured.append((losses[0] - losses[1]) / 2)
            predicted.append(step * float(gradients[layer.name][..., f].sum(axis=(1, 2)).mean()))
    assert np.corrcoef(predicted, measured)[0, 1] > 0.9


def _loss_increase(model: graph.Model, x: graph.Int8Array, y: np.ndarray, plan: Plan) -> float:
    tensors = [Emulator(model, p).tensors(x) for p in (plan, Plan.uniform("exact"))]
    return float(np.subtract(*(cross_entropy(model, t, y).mean() for t in tensors)))


def _one(axis: str, size: int, element: int, spec: str) -> Assignment:
    classes = tuple(int(k == element) for k in range(size))
    return Assignment(("exact", spec), axis, classes)  # type: ignore[arg-type]


def _correlation(
    model: graph.Model, x: graph.Int8Array, y: np.ndarray, axis: str, spec: str, per_layer: int
) -> float:
    """Rank correlation of estimates with evaluations of single elements."""
    increase = estimate(model, x, y, [spec])
    rng, estimates, measured = np.random.default_rng(0), [], []
    for layer in model.layers:
        values = increase[layer.name, axis, spec]  # type: ignore[index]
        for element in rng.permutation(len(values))[:per_layer]:
            plan = Plan({layer.name: _one(axis, len(values), element, spec)},
                        Assignment(("exact",)))  # fmt: skip
            estimates.append(values[element])
            measured.append(_loss_increase(model, x, y, plan))
    return rank_correlation(estimates, measured)


def test_a_kept_estimate_is_used_unless_it_is_damaged_or_of_another_table(
    digits: graph.Model, examples: Examples, tmp_path: Path
) -> None:
    few = examples.evenly(8)
    said = []

    def progress(what: str, done: int, of: int, front: object) -> None:
        if done == 0:
            said.append(what)

    def kept(error: int) -> Increase:
        np.save(tmp_path / "t\tab.npy", np.outer(np.arange(256), np.arange(256)) + error)
        spec = f"table:{tmp_path}/t\tab.npy"
        figures = EnergyFigures().extended({"": Energy(0.5, "here")})  # a .npy has no name
        task = exploration.Task(digits, few, few, ("exact", spec), ("filter",), figures=figures)
        space = exploration._space(task, "filter")
        with Store(tmp_path / "store.sqlite") as store:
            return exploration._estimate(task, store, space, progress)

    first = kept(1)
    again = kept(1)
    assert said == ["first-order estimate"]
    assert list(again) == list(first)
    assert all(np.array_equal(again[name], first[name]) for name in first)
    (path,) = tmp_path.glob("estimate-*.npz")
    path.write_bytes(path.read_bytes()[:100])
    assert all(np.allclose(values, first[name]) for name, values in kept(1).items())
    assert said[1:] == ["first-order estimate, again: the one kept is damaged"]
    kept(90)  # the same file, with another table in it
    assert len(said) == 3


@pytest.mark.parametrize("axis", ["filter", "channel", "layer"])
def test_estimate_ranks_as_evaluation_does(
    digits: graph.Model, examples: Examples, axis: str
) -> None:
    assert _correlation(digits, examples.x, examples.y, axis, "roup:2,6", 12) > 0.6


@pytest.mark.thorough
@pytest.mark.parametrize(("axis", "least"), [("filter", 0.5), ("channel", 0.5), ("row", 0.6)])
def test_estimate_ranks_resnet8(resnet8: graph.Model, axis: str, least: float) -> None:
    data = load_dataset(data_file("cifar10-jpeg.tar.xz")).evenly(192)
    x = quantise_examples(resnet8.input, data.x)
    assert _correlation(resnet8, x, data.y, axis, "roup:2,6", 5) > least


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 50]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3]) == pytest.approx(1)
    assert rank_correlation([1, 2], [4, 4]) == 0


def test_layer_sensitivity(digits: graph.Model, examples: Examples) -> None:
    found = layer_sensitivity(Evaluator(digits, examples), ["roup:2,6"])
    names, spec = found.layers, "roup:2,6"
    for k in range(len(names)):
        for chosen, accuracies in (((names[k],), found.alone), (names[: k + 1], found.first)):
            plan = Plan({name: Assignment((spec,)) for name in chosen}, Assignment(("exact",)))
            y = Emulator(digits, plan).run(examples.x).reshape(len(examples), -1).argmax(axis=1)
            assert accuracies[spec][k] == (y == examples.y).mean()
    assert found.alone[spec][0] == found.first[spec][0]


# --- spaces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_every_vector_is_a_plan(residual: graph.Model, level: Level) -> None:
    space = Space(residual, LIBRARY, level, classes=3, skips=(2.0,))
    rng = np.random.default_rng(0)
    axes = set()
    for genome in [*space.seeds(), *(rng.integers(0, space.choices) for _ in range(20))]:
        plan = space.plan(genome)
        plan.expand(residual)
        axes |= {assignment.axis for assignment in plan.layers.values()}
    assert axes == (set(CLASS_AXES) if level == "mixed" else {"layer", level})


@pytest.mark.parametrize("level", LEVELS)
def test_refined_plan_is_the_same(residual: graph.Model, level: Level) -> None:
    layers = Space(residual, LIBRARY, "layer", skips=(2.0,))
    finer = Space(residual, LIBRARY, level, skips=(2.0,))
    plan = layers.plan(np.random.default_rng(1).integers(0, layers.choices))
    refined = finer.plan(finer.refined(plan))
    assert plan_key(refined.expand(residual)) == plan_key(plan.expand(residual))


def test_library_is_sorted_by_falling_energy(digits: graph.Model) -> None:
    space = Space(digits, LIBRARY)
    assert space.multipliers[0].spec == "exact"
    assert list(space.energies) == sorted(space.energies, reverse=True)


def test_exact_multipliers_are_what_energies_are_relative_to(tmp_path: Path) -> None:
    """Also by figures that say nothing of them; what has no figure is not listed."""
    path = tmp_path / "mine.json"
    entry = {"relative_energy": 0.5, "source": "measured"}
    whole = {"format": "axynq-energy", "version": 1, "multipliers": {"roup:1,4": entry}}
    path.write_text(json.dumps(whole))
    figures = EnergyFigures(path)
    assert figures.of(multiplier("exact")) == Energy(1.0, "definition")
    np.save(tmp_path / "t.npy", np.outer(np.arange(256), np.arange(256)) & ~1)
    library = ("exact", "roup:1,4", f"table:{tmp_path}/t.npy")
    assert energy_sources(figures, library) == {
        "exact": {"relative": 1.0, "source": "definition"},
        "roup:1,4": {"relative": 0.5, "source": "measured"},
    }


def test_cells_have_an_energy_where_it_was_measured(
    digits: graph.Model, examples: Examples
) -> None:
    plan, designs = Plan.uniform("roup:1,4"), ("exact", "roup:1,4")
    cells = {"lanes": (70, {}), "one": (55, {"exact": 1.2, "roup:1,4": 0.9})}
    task = exploration.Task(
        digits, examples, examples, designs, ("layer",), cells=lambda specs: cells
    )
    found = cell_costs(task, plan, designs)
    assert found["lanes"] == {"luts": 70}
    assert found["one"] == {"luts": 55, "energy_gain": pytest.approx(0.1)}


def test_a_folder_that_does_not_say_what_it_is_of(tmp_path: Path, digits: graph.Model) -> None:
    mark_network(tmp_path, digits)
    check_network(tmp_path, digits)
    (tmp_path / "network.json").write_text("[]")
    with pytest.raises(
        DataError, match=r"cannot be used \(it is no object\): give another --output"
    ):
        check_network(tmp_path, digits)


def test_pictures_of_little(tmp_path: Path) -> None:
    """Of no point, and of layers without estimates."""
    draw_front((), tmp_path / "front.png")
    measured = LayerSensitivity(("a", "b"), 0.9, {"exact": (0.9, 0.9)}, {"exact": (0.9, 0.9)})
    draw_sensitivity(measured, {"exact": "exact"}, {}, tmp_path / "layers.png")
    for name in ("front.png", "layers.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_multiplier_without_energy(digits: graph.Model) -> None:
    with pytest.raises(PlanError, match="no energy figure for 'smapprox:0123'"):
        Space(digits, ("exact", "smapprox:0123"))


def test_ranking_decides_the_classes(digits: graph.Model) -> None:
    layer = digits.layers[0]
    order = np.arange(len(layer.bias))[::-1].copy()
    plain = Space(digits, ("exact", "roup:1,4"), "filter", 2)
    ranked = Space(digits, ("exact", "roup:1,4"), "filter", 2,
                   ranking={(layer.name, "filter"): order})  # fmt: skip
    genome = plain.uniform([0, 1])
    first = plain.plan(genome).expand(digits)[layer.name].codes
    second = ranked.plan(genome).expand(digits)[layer.name].codes
    assert np.array_equal(first, second[::-1])


@settings(max_examples=60)
@given(st.sampled_from(["layer", "filter", "channel", "row", "mixed"]), st.integers(0, 2**32 - 1))
def test_plans_fit_the_banks(level: Level, seed: int) -> None:
    model = _network()
    banks = tuple(
        frozenset(map(multiplier, bank))
        for bank in (("exact", "roup:1,4"), ("smapprox:3330", "roup:2,6"))
    )
    space = Space(model, LIBRARY, level, banks=banks)
    plan = space.plan(np.random.default_rng(seed).integers(0, space.choices))
    for codes in plan.expand(model).values():
        for mine in codes.codes:
            used = {codes.multipliers[c - 1] for c in np.unique(mine) if c}
            assert any(used <= bank for bank in banks)


@settings(max_examples=60)
@given(st.sampled_from(LEVELS), st.integers(1, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_plans_have_few_designs(level: Level, designs: int, skips: bool, seed: int) -> None:
    model = _network()
    space = Space(model, LIBRARY, level, skips=(2.0,) if skips else (), designs=designs)
    for genome in [
        np.random.default_rng(seed).integers(0, space.choices), space.uniform([0, 1, 2, 3]),
        *space.seeds()[:: 1 + seed % 7],
    ]:  # fmt: skip
        assert genome.shape == space.choices.shape
        assert ((genome >= 0) & (genome < space.choices)).all()
        assert len(_designs(space.plan(genome))) <= designs


@settings(max_examples=30)
@given(st.sampled_from(LEVELS), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_few_designs_are_refined_and_costed(level: Level, designs: int, seed: int) -> None:
    model = _network()
    random = np.random.default_rng(seed)
    layers = Space(model, LIBRARY, "layer", designs=designs)
    finer = Space(model, LIBRARY, level, designs=designs)
    plan = layers.plan(random.integers(0, layers.choices))
    refined = finer.plan(finer.refined(plan))
    assert plan_key(refined.expand(model)) == plan_key(plan.expand(model))
    axis = "filter" if level == "mixed" else level
    increase: Increase = {
        (layer.name, axis, m.spec): random.random(finer.size(layer, axis))
        for layer in model.layers for m in finer.multipliers
    }  # fmt: skip
    best = finer.plan(finer.cheapest(increase, 1.0, axis))
    assert len(_designs(best)) <= designs


@pytest.mark.parametrize(("level", "axis"), [("layer", "layer"), ("mixed", "row")])
def test_one_design_is_the_cheapest_overall(level: Level, axis: Axis) -> None:
    """With a bank of one the estimate's best is the multiplier with the least sum, also where a
    layer has fewer classes than genes for them."""
    model = _network()
    space = Space(model, LIBRARY, level, designs=1)
    increase: Increase = {
        (layer.name, axis, m.spec): np.full(space.size(layer, axis), float(m.spec != "roup:1,4"))
        for layer in model.layers for m in space.multipliers
    }  # fmt: skip
    assert _designs(space.plan(space.cheapest(increase, 1e-9, axis))) == {"roup:1,4"}


def test_every_seed_has_its_multiplier() -> None:
    """Seeds put each multiplier everywhere, whatever else is in the bank."""
    space = Space(_network(), LIBRARY, designs=2)
    everywhere = [_designs(space.plan(genome)) for genome in space.seeds()[: len(LIBRARY)]]
    assert everywhere == [{m.spec} for m in space.multipliers]


def test_large_libraries_begin_from_all_their_energies() -> None:
    """Not from the first half alone, with which the first generation would be full."""
    library = tuple(f"roup:2,0-0-{r}-{s}" for r in range(6) for s in range(6))
    space = Space(_network(), library)
    seeds = exploration._seeds(space, None, 32)
    assert len(seeds) == 16
    plans = [space.plan(genome) for genome in seeds]
    used = [spec for plan in plans if len(_designs(plan)) == 1 for spec in _designs(plan)]
    assert {space.multipliers[0].spec, space.multipliers[-1].spec} <= set(used)
    assert used == sorted(used, key=[m.spec for m in space.multipliers].index)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("designs", [None, 2])
def test_ends_are_kept(level: Level, designs: int | None) -> None:
    model = _network()
    space = Space(model, LIBRARY, level, designs=designs)
    for genome, m in zip(space.ends_kept(), space.multipliers[1:], strict=True):
        used = [assignment.multipliers for assignment in space.plan(genome).layers.values()]
        assert used == [("exact",), *[(m.spec,)] * (len(model.layers) - 2), ("exact",)]


def test_a_space_has_multipliers() -> None:
    with pytest.raises(PlanError, match="there is no multiplier to choose from"):
        Space(_network(), ())


def test_banks_of_none_of_the_multipliers_are_passed_over() -> None:
    banks = tuple(
        frozenset(map(multiplier, bank)) for bank in (("roup:3,8",), ("exact",), ("roup:1,4",))
    )
    space = Space(_network(), ("exact", "roup:1,4"), "row", 2, banks=banks)
    plan = space.plan(space.uniform([0, 1]))
    for assignment in plan.layers.values():  # every filter has all rows
        assert assignment.multipliers in (("exact",), ("roup:1,4",))


def test_examples_have_a_class_number_each(digits: graph.Model) -> None:
    x = random_input(digits, 4, 0)
    for y in (np.zeros(3, np.int64), np.zeros((4, 10), np.int64)):
        with pytest.raises(
            DataError, match=r"4 examples need as many class numbers, not labels of"
        ):
            Examples(x, y)
    with pytest.raises(DataError, match="accuracy needs at least one example"):
        Examples(x[:0], np.zeros(0, np.int64))


def test_designs_and_banks_exclude_each_other() -> None:
    with pytest.raises(PlanError, match="banks that are given"):
        Space(_network(), LIBRARY, banks=(frozenset([multiplier("exact")]),), designs=2)


def _designs(plan: Plan) -> set[str]:
    return {spec for assignment in plan.layers.values() for spec in assignment.multipliers}


def _network() -> graph.Model:
    from axynq.emulator import load_model

    return load_model(Path(__file__).parents[2] / "models" / "digits_int8.tflite")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_pareto_front(items: list[tuple[int, int]]) -> None:
    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    expected = {item for item in items if not any(beats(other, item) for other in items)}
    front = pareto_front(items, lambda item: item)
    assert len(front) == len(expected)
    assert set(front) == expected


# --- search --------------------------------------------------------------------------------------


class _Counting:
    """A worker that counts what it is asked."""

    def __init__(self, worker: LocalWorker) -> None:
        self.worker, self.context, self.asked = worker, worker.context, 0

    def right(self, plans, done) -> None:
        self.asked += len(plans)
        self.worker.right(plans, done)


@pytest.fixture
def measure(digits: graph.Model, examples: Examples, tmp_path: Path) -> Iterator[Measure]:
    with Store(tmp_path / "evaluations.sqlite") as store:
        worker = _Counting(LocalWorker(Evaluator(digits, examples)))
        yield Measure(digits, len(examples), worker, store)


def test_search_of_a_small_space_finds_the_front(digits: graph.Model, measure: Measure) -> None:
    space = Space(digits, ("exact", "roup:2,8"))
    every = [np.array(g) for g in itertools.product(range(2), repeat=len(digits.layers))]

    def values(genome: np.ndarray) -> tuple[float, float]:
        plan = space.plan(genome)
        energy = relative_energy(digits, plan)
        assert energy is not None
        return -measure.accuracies([plan])[0], energy

    expected = {values(g) for g in pareto_front(every, values)}
    seen = [c for batch in search(space, measure, Settings(12, 4 * len(every))) for c in batch]
    found = {(-c.accuracy, c.energy) for c in seen}
    assert set(pareto_front(sorted(found), lambda v: v)) == expected


def test_search_is_repeatable_and_stored(digits: graph.Model, measure: Measure) -> None:
    space = Space(digits, LIBRARY, "filter")

    def keys(seed: int) -> list[str]:
        found = search(space, measure, Settings(10, 40, seed), space.seeds())
        return [c.key for batch in found for c in batch]

    first = keys(1)
    asked = measure.workers.asked  # type: ignore[attr-defined]
    assert asked == measure.computed == len(measure.store)
    assert keys(1) == first
    assert measure.workers.asked == asked  # type: ignore[attr-defined]
    assert keys(2) != first


def test_accuracy_floor_and_cycles(digits: graph.Model, measure: Measure) -> None:
    space = Space(digits, LIBRARY)

    def cycles(plan: Plan) -> float:
        return float(sum("exact" in a.multipliers for a in plan.layers.values()))

    batches = list(search(space, measure, Settings(8, 40, 0, 0.9), (), cycles))
    assert all(c.cycles == cycles(c.plan) for batch in batches for c in batch)
    able = [sum(c.accuracy >= 0.9 for c in batch) for batch in batches]
    assert able[-1] >= able[0]


def test_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(DataError, match="give another --output"):
        Store(tmp_path / "text")
    with sqlite3.connect(tmp_path / "view") as connection:
        connection.execute("CREATE VIEW evaluations AS SELECT 1 AS plan")
    connection.close()
    with pytest.raises(DataError, match="cannot be opened .*view.*: give another --output"):
        Store(tmp_path / "view")


def test_facts_are_kept_apart(tmp_path: Path) -> None:
    five, six = (np.arange(11) % 2 == parity for parity in (1, 0))
    with Store(tmp_path / "s.sqlite") as store:
        store.put("a", "plan", five)
        store.put("b", "plan", six)
    with Store(tmp_path / "s.sqlite") as store:
        assert store.get("a", ["plan", "other"]) == {"plan": 5}
        assert store.get("b", ["plan"]) == {"plan": 6}
        found = store.right("a", ["plan", "other"], 11)
        assert list(found) == ["plan"]
        assert found["plan"].tolist() == five.tolist()
        assert store.right("b", ["plan"], 11)["plan"].tolist() == six.tolist()
        assert not store.right("b", ["plan"], 17)  # of other examples, which cannot be


def _store_of_version_01(path: Path, context: str, facts: dict[str, int]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE evaluations (context TEXT NOT NULL, plan TEXT NOT NULL, "
            "correct INTEGER NOT NULL, PRIMARY KEY (context, plan)) WITHOUT ROWID"
        )
        rows = [(context, plan, correct) for plan, correct in facts.items()]
        connection.executemany("INSERT INTO evaluations VALUES (?, ?, ?)", rows)
    connection.close()


def test_a_store_of_version_01_is_read_and_completed(
    digits: graph.Model, examples: Examples, tmp_path: Path
) -> None:
    worker = _Counting(LocalWorker(Evaluator(digits, examples)))
    plans = [Plan.parse(digits, text) for text in TEXTS[:2]]
    keys = [plan_key(plan.expand(digits)) for plan in plans]
    expected = [worker.worker.evaluator.correct(plan) for plan in plans]
    path = tmp_path / "s.sqlite"
    _store_of_version_01(path, worker.context, dict(zip(keys, expected)))
    shares = [correct / len(examples) for correct in expected]
    with Store(path) as store:
        measure = Measure(digits, len(examples), worker, store)
        assert measure.accuracies(plans) == shares
        assert worker.asked == 0  # counts are enough
        assert [int(right.sum()) for right in measure.right(plans)] == expected
        assert worker.asked == 2  # which ones, nobody had written down
    with Store(path) as store:
        measure = Measure(digits, len(examples), worker, store)
        found = measure.right(plans)
        assert worker.asked == 2
    for plan, right in zip(plans, found):
        assert np.array_equal(right, worker.worker.evaluator.right(plan))


def test_damaged_bits_are_found_again(
    digits: graph.Model, examples: Examples, measure: Measure
) -> None:
    plan = Plan.uniform("roup:2,6")
    (right,) = measure.right([plan])
    with sqlite3.connect(measure.store.path) as connection:
        connection.execute("UPDATE evaluations SET right = zeroblob(length(right))")
    connection.close()
    (again,) = measure.right([plan])
    assert np.array_equal(again, right)
    assert measure.computed == 2


def test_the_front_is_chosen_by_other_examples_than_it_is_tested_on(
    digits: graph.Model, examples: Examples, tmp_path: Path
) -> None:
    """Other test examples change what is reported, and nothing of what is chosen."""
    train = handwritten_digits("train")
    data = Examples(quantise_examples(digits.input, train.x), train.y)
    searched, choice = data.evenly(60), data.evenly_besides(60, 150)
    wrong = Examples(examples.x, (examples.y + 1) % 10)

    def found(test: Examples) -> exploration.Outcome:
        task = exploration.Task(
            digits, searched, test, LIBRARY, ("layer", "filter"), Settings(8, 24),
            finalists=4, choice_examples=choice,
        )  # fmt: skip
        with Store(tmp_path / "s.sqlite") as store:
            return exploration.explore(
                task, store, lambda chosen: LocalWorker(Evaluator(digits, chosen))
            )

    one, other = found(examples), found(wrong)
    assert [c.key for c in one.front()] == [c.key for c in other.front()]
    assert one.choice_baseline == other.choice_baseline
    assert one.baseline != other.baseline
    by_choice, by_test = Evaluator(digits, choice), Evaluator(digits, examples)
    exact = by_test.right(Plan.uniform("exact"))
    assert one.baseline == exact.mean()
    chosen = {c.key for level in ("layer", "filter") for c in one.front(level)}  # type: ignore[arg-type]
    for m in one.measured:
        assert m.candidate.accuracy == by_choice.correct(m.candidate.plan) / len(choice)
        assert (m.against_exact is not None) == (m.candidate.key in chosen)
        if m.against_exact is not None:
            expected = Comparison.of(exact, by_test.right(m.candidate.plan))
            assert m.against_exact == expected


def test_a_tuning_worker_tunes_once(digits: graph.Model, examples: Examples) -> None:
    tuner = Tuner(digits, examples.x[:50], "histogram", True)
    plans = [Plan.parse(digits, text) for text in TEXTS[1:3]]
    few, more = examples.evenly(20), examples.evenly(90)
    worker = TuningWorker(tuner, examples.x[:50], few, Method.SEQUENTIAL)
    found: dict[int, np.ndarray] = {}
    worker.right(plans, found.__setitem__)
    with patch("axynq.emulator.studies.search.workers.tune") as again:
        worker.on(more).right(plans, found.__setitem__)
    assert not again.called
    alone: dict[int, np.ndarray] = {}
    fresh = TuningWorker(tuner, examples.x[:50], more, Method.SEQUENTIAL)
    fresh.right(plans, alone.__setitem__)
    assert worker.on(more).context == fresh.context != worker.context
    assert all(np.array_equal(found[k], alone[k]) for k in range(len(plans)))


# --- killed and resumed --------------------------------------------------------------------------


def _explore(folder: Path, data: Path, model: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-c", "from axynq.host.cli import main; main()", "explore", str(model)),
        *("--data", str(data), "--output", str(folder), "--levels", "filter"),
        *("--evaluations", "36", "--population", "12", "--search-examples", "60"),
        *("--finalists", "2", "--skip", "3", *more),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _facts(folder: Path) -> int:
    try:
        with sqlite3.connect(folder / "evaluations.sqlite") as connection:
            return int(connection.execute("SELECT COUNT(*) FROM evaluations").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.slow
def test_killed_exploration_resumes_to_the_same_result(tmp_path: Path, digits_path: Path) -> None:
    test = handwritten_digits("test").evenly(120)
    np.savez(tmp_path / "digits.npz", x=test.x, y=test.y)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert _explore(whole, tmp_path / "digits.npz", digits_path).wait() == 0
    process = _explore(cut, tmp_path / "digits.npz", digits_path)
    while _facts(cut) < 15:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = _facts(cut)
    assert 15 <= kept < _facts(whole)
    assert not (cut / "front.json").exists()
    assert _explore(cut, tmp_path / "digits.npz", digits_path).wait() == 0
    first, second = (json.loads((f / "front.json").read_text()) for f in (whole, cut))
    computed = [content.pop("statistics")["evaluations_computed"] for content in (first, second)]
    assert first == second
    assert computed[1] == computed[0] - kept


# --- Dask ----------------------------------------------------------------------------------------


def test_scheduler_that_does_not_answer() -> None:
    with pytest.raises(ToolError, match="no Dask scheduler answers"):
        connect("tcp://127.0.0.1:9", timeout=1)


def test_more_workers_than_a_machine_has_processors_for() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ToolError, match=r"100000 worker processes are too many .* at most"):
        connect(workers=100_000)


@pytest.mark.slow
def test_worker_processes_one_of_which_is_killed(digits: graph.Model, examples: Examples) -> None:
    from distributed import Client, LocalCluster

    rng = np.random.default_rng(0)
    space = Space(digits, LIBRARY, "filter")
    plans = [space.plan(rng.integers(0, space.choices)) for _ in range(60)]
    expected: dict[int, np.ndarray] = {}
    LocalWorker(Evaluator(digits, examples)).right(plans, expected.__setitem__)
    cluster = LocalCluster(
        n_workers=0, processes=True, protocol="tcp", dashboard_address=None, silence_logs=50
    )
    with cluster, Client(cluster) as client:
        workers = [_worker(cluster.scheduler_address) for _ in range(2)]
        try:
            client.wait_for_workers(2, timeout=60)
            found: dict[int, np.ndarray] = {}

            def done(index: int, right: np.ndarray) -> None:
                found[index] = right
                if len(found) == 5:
                    os.kill(workers[0].pid, signal.SIGKILL)

            with DaskWorkers(client, digits, examples) as pool:
                pool.right(plans, done)
            assert workers[0].wait(timeout=30) == -signal.SIGKILL
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[k], expected[k]) for k in expected)


def _worker(address: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "distributed.cli.dask_worker", address),
        *("--nthreads", "1", "--no-nanny", "--no-dashboard"),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
