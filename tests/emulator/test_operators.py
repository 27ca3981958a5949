# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every operator on every engine, against the oracle; networks of several inputs and outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, load_model, reference
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.choice import choose_engine, make_engine
from axynq.emulator.engine.parts import parts, without_paddings
from axynq.emulator.engine.positions import by_position, positions, stretches
from axynq.emulator.engine.records import _thresholds
from axynq.emulator.errors import DataError, ModelError
from axynq.emulator.model import graph
from tests.any_network import any_models, random_inputs
from tests.emulator.test_wild_networks import LARGE, SMALL, wild
from tests.engines import ENGINES
from tests.networks import tensor

PLANS = ("exact", "roup:1,4", "flam=smapprox:3330|exact")


def outputs(model: graph.Model, found: Any) -> tuple[graph.Int8Array, ...]:
    return found if len(model.outputs) > 1 else (found,)


@settings(max_examples=50)
@given(any_models(), st.sampled_from(PLANS), st.integers(0, 9), st.sampled_from([1, 3, 65]))
def test_any_network_equals_the_oracle(
    model: graph.Model, plan: str, seed: int, images: int
) -> None:
    parsed = Plan.parse(model, plan) if model.layers else Plan.uniform("exact")
    x = random_inputs(model, images, seed)
    expected = reference.run(model, x, reference.plan_products(model, parsed))
    for engine in ENGINES:
        emulator = Emulator(model, parsed, engine=engine, threads=1 + seed % 3)
        found = emulator.tensors(x)
        assert set(found) == set(expected)
        for op in model.operators:
            assert np.array_equal(found[op.output], expected[op.output]), (engine, op.name)
        for index, value in zip(model.outputs, outputs(model, emulator.run(x))):
            assert np.array_equal(value, expected[index]), engine
        sums = emulator.accumulators(x)
        assert [*sums] == [layer.name for layer in model.layers]


# --- parts ---------------------------------------------------------------------------------------


def two_inputs() -> graph.Model:
    """Two maps, the length of each taken off beside a layer and a product, and three outputs."""
    rng = np.random.default_rng(1)
    tensors = (
        tensor("left", (3, 4, 5), 0.1, 3),
        tensor("right", (4, 5), 0.2, -5),
        tensor("layer", (3, 4, 5), 8.0, 2),
        tensor("left unit", (3, 4, 5), 1 / 128, 0),
        tensor("right unit", (4, 5), 1 / 128, 0),
        tensor("product", (3, 4, 5), 0.004, -9),
        tensor("constant", (5,), 0.05, 0),
        tensor("sum", (3, 4, 5), 0.01, 7),
    )
    operators = (
        graph.L2Normalisation("unit_0", (0,), 3),
        graph.Convolution(
            "conv_1", (0,), 2, rng.integers(-127, 128, (5, 3, 3, 5)).astype(np.int8),
            rng.integers(-99, 99, 5).astype(np.int32), np.full(5, 0.02, np.float32),
            padding=graph.Padding(1, 1, 1, 1),
        ),
        graph.L2Normalisation("unit_2", (1,), 4),
        graph.Elementwise("mul_3", (3, 4), 5, "multiply"),
        graph.Elementwise("add_4", (6, 5), 7, "add", "relu"),
    )  # fmt: skip
    constants = {6: np.arange(-2, 3).astype(np.int8)}
    return graph.Model("two", tensors, operators, (0, 1), (2, 7, 4), constants)


def test_numpy_computes_as_rarely_as_it_can() -> None:
    model = two_inputs()
    found = [(part.native, [op.name for op in part.operators]) for part in parts(model)]
    assert found == [
        (True, ["conv_1"]),
        (False, ["unit_0", "unit_2"]),
        (True, ["mul_3", "add_4"]),
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_several_inputs_and_outputs(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axynq.emulator.engine.network.CHUNK_BLOCKS", 1)
    model = two_inputs()
    x = random_inputs(model, 150, 3)
    expected = reference.run(model, x)
    emulator = Emulator(model, engine=engine, threads=2)
    found = emulator.run(x)
    for k, index in enumerate(model.outputs):
        assert np.array_equal(found[k], expected[index])
    by_name = emulator.run({"right": x[1], "left": x[0]})
    assert all(np.array_equal(a, b) for a, b in zip(by_name, found))
    real = [model.tensors[i].dequantise(values) for i, values in zip(model.inputs, x)]
    assert all(np.array_equal(a, b) for a, b in zip(emulator.run(real), found))
    none = emulator.run([values[:0] for values in x])
    assert [value.shape for value in none] == [(0, 3, 4, 5), (0, 3, 4, 5), (0, 4, 5)]
    whole = emulator.accumulators(x)["conv_1"].exact
    batches = [part["conv_1"].exact for part in emulator.accumulator_batches(x, images=40)]
    assert np.array_equal(np.concatenate(batches), whole)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.zeros((2, 3, 4, 5), np.int8), r"has 2 inputs \(left, right\): give a list of as many"),
        ([np.zeros((2, 3, 4, 5), np.int8)], "has 2 inputs"),
        (
            {"left": np.zeros((2, 3, 4, 5), np.int8)},
            "input 'right' is missing; the inputs of 'two'",
        ),
        (
            {"left": np.zeros((1, 3, 4, 5)), "right": np.zeros((1, 4, 5)), "top": np.zeros(1)},
            "'two' has no input 'top'; its inputs are left, right",
        ),
        (
            [np.zeros((1, 3, 4, 5)), np.zeros((1, 5, 4))],
            r"input 'right': the input has shape \[1, 5, 4\] where \[images, 4, 5\]",
        ),
        (
            [np.zeros((1, 3, 4, 5)), np.zeros((2, 4, 5))],
            "the inputs of 'two' need as many images each, not 1, 2",
        ),
    ],
)
def test_inputs_of_another_form(x: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Emulator(two_inputs()).run(x)


def test_accuracy_needs_one_output() -> None:
    model = two_inputs()
    with pytest.raises(ModelError, match=r"3 outputs \(layer, sum, right unit\), so that there"):
        Emulator(model).accuracy(random_inputs(model, 2, 0), [0, 0])


def test_a_list_of_one_input(digits: graph.Model) -> None:
    x = random_inputs(digits, 2, 0)
    emulator = Emulator(digits)
    expected = emulator.run(x[0])
    assert np.array_equal(emulator.run(x), expected)
    assert np.array_equal(emulator.run({digits.input.name: x[0]}), expected)
    assert np.array_equal(emulator.run([x[0][0]]), expected[:1])


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_that_nothing_computes(engine: str) -> None:
    """Inputs and constants that are given out as they are."""
    model = two_inputs()
    model = graph.Model("m", model.tensors, model.operators, (0, 1), (1, 6, 7), model.constants)
    x = random_inputs(model, 3, 0)
    right, constant, _ = Emulator(model, engine=engine).run(x)
    assert np.array_equal(right, x[1])
    assert np.array_equal(constant, np.tile(model.constants[6], (3, 1)))


@pytest.mark.parametrize("engine", ENGINES)
def test_blocks_go_through_every_part(engine: str) -> None:
    rng = np.random.default_rng(4)
    tensors = tuple(
        tensor(name, (3, 2, 4), *quantisation)
        for name, quantisation in {
            "x": (0.1, 0), "s": (1 / 16, 127), "y": (0.01, 0), "z": (1 / 16, 127),
        }.items()
    )  # fmt: skip
    operators = (
        graph.LogSoftmax("log_softmax_0", (0,), 1),
        graph.Add("add_1", (1, 0), 2),
        graph.LogSoftmax("log_softmax_2", (2,), 3),
    )
    for last in (2, 3):
        model = graph.Model("m", tensors, operators[:last], (0,), (last,))
        x = rng.integers(-128, 128, (70, 3, 2, 4)).astype(np.int8)
        made = make_engine(model, {}, choose_engine(engine), 2)
        found = made.run_blocks(Blocks.of(x)).in_order((3, 2, 4))
        assert np.array_equal(found, reference.run(model, x)[last])


def test_layers_pad_themselves() -> None:
    """Where nothing else reads the padded map: not where it is added to, or given out."""
    rng = np.random.default_rng(0)
    shapes = ((3, 3, 2), (5, 4, 2), (7, 7, 2), (5, 5, 2), (7, 7, 2))
    tensors = tuple(tensor(f"t{k}", shape, 0.1, 7) for k, shape in enumerate(shapes))
    layer = graph.Convolution(
        "conv_2", (2,), 3, rng.integers(-127, 128, (2, 3, 3, 2)).astype(np.int8),
        np.zeros(2, np.int32), np.full(2, 0.02, np.float32),
    )  # fmt: skip
    pads = (
        graph.Pad("pad_0", (0,), 1, graph.Padding(1, 1, 0, 1)),
        graph.Pad("pad_1", (1,), 2, graph.Padding(0, 2, 2, 1)),
    )
    model = graph.Model("m", tensors, (*pads, layer), (0,), (3,))
    found, left_out = without_paddings(model)
    assert left_out == pads
    assert [op.name for op in found.operators] == ["conv_2"]
    assert found.layers[0].padding == graph.Padding(1, 3, 2, 2)  # type: ignore[attr-defined]
    both = graph.Add("add_3", (2, 2), 4)
    read = replace(model, operators=(*model.operators, both), outputs=(3, 4))
    given = replace(model, outputs=(2, 3))
    for other in (read, given):
        assert not without_paddings(other)[1]
    x = random_inputs(model, 3, 0)
    plan = Plan.parse(model, "roup:2,6")
    for network in (model, read, given):
        expected = reference.run(network, x, reference.plan_products(network, plan))
        emulator = Emulator(network, plan)
        assert all(np.array_equal(emulator.tensors(x)[k], v) for k, v in expected.items())
        for index, value in zip(network.outputs, outputs(network, emulator.run(x))):
            assert np.array_equal(value, expected[index])


# --- positions -----------------------------------------------------------------------------------


def test_positions_are_planes() -> None:
    assert positions((1, 2, 3)).tolist() == [[[0, 2, 4], [1, 3, 5]]]
    shape = (2, 3, 4, 5)
    assert by_position(positions(shape), shape).tolist() == list(range(120))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=40))
def test_stretches_are_as_long_as_can_be(pairs: list[tuple[int, int]]) -> None:
    sources, values = np.array(pairs, np.int64).T
    first, count = stretches((sources, 0), (values, 1))
    assert count.sum() == len(pairs)
    for start, length in zip(first, count):
        steps = np.arange(length)
        assert (sources[start : start + length] == sources[start]).all()
        assert (values[start : start + length] == values[start] + steps).all()
        end = start + length
        if end < len(pairs):
            assert sources[end] != sources[start] or values[end] != values[end - 1] + 1


@pytest.mark.parametrize("kind", ["mean", "sum"])
@pytest.mark.parametrize("scale", [0.001, 0.1, 3.0])
@pytest.mark.parametrize("count", [1, 3, 49])
def test_thresholds_say_what_becomes_of_every_sum(kind: Any, scale: float, count: int) -> None:
    tensors = (tensor("x", (count,), 0.1, 7), tensor("y", (1,), scale, -3))
    op = graph.Reduce("r_0", (0,), 1, kind, (0,), True)
    model = graph.Model("m", tensors, (op,), (0,), (1,))
    every = np.arange(-128 * count, 127 * count + 1, dtype=np.int64)
    values = np.linspace(every, every, count).T // count  # parts of each sum
    parts_ = values.astype(np.int64)
    parts_[:, 0] += every - parts_.sum(axis=1)
    kept = (np.abs(parts_ + 0.5) <= 127.5).all(axis=1)
    expected = reference.run(model, parts_[kept].astype(np.int8))[1][:, 0]
    thresholds = _thresholds(model, op, count)
    found = np.searchsorted(thresholds, every[kept], side="right") - 128
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_of_many_values(engine: str) -> None:
    """More than 16 bits hold, of either sign, and averages just beside a half."""
    tensors = (tensor("x", (20, 19, 2), 0.1, 0), tensor("a", (1, 1, 2), 0.1, 0),
               tensor("m", (2,), 0.1, 0), tensor("s", (20,), 40.0, 1))  # fmt: skip
    operators = (
        graph.Pool("average_pool_0", (0,), 1, "average", (20, 19), (1, 1)),
        graph.Mean("mean_1", (0,), 2, False),
        graph.Reduce("sum_2", (0,), 3, "sum", (1, 2), False),
    )
    model = graph.Model("m", tensors, operators, (0,), (1, 2, 3))
    x = np.empty((80, 380, 2), np.int8)
    for k in range(80):
        value, larger = (-128, 127)[k % 2], k % 380
        x[k] = value if k < 40 else k - 60
        x[k, : 190 + (larger % 5 - 2)] += 0 if k < 40 else 1
    x = x.reshape(80, 20, 19, 2)
    expected = reference.run(model, x)
    for index, value in zip(model.outputs, Emulator(model, engine=engine).run(x)):
        assert np.array_equal(value, expected[index])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(1, 1, 16), (4, 4, 3), (3, 5, 17), (33,)])
def test_images_go_in_and_come_out_as_they_are(engine: str, shape: tuple[int, ...]) -> None:
    tensors = (tensor("x", shape, 0.1, 0), tensor("y", shape, 0.1, 0))
    model = graph.Model("m", tensors, (graph.Reshape("reshape_0", (0,), 1),), (0,), (1,))
    emulator = Emulator(model, engine=engine)
    for images in (1, 15, 16, 63, 64, 65, 130):
        x = np.random.default_rng(images).integers(-128, 128, (images, *shape)).astype(np.int8)
        assert np.array_equal(emulator.run(x), x)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("step", [2.0**-25, 0.001, 0.05, 0.3, 4.0, 2.0**20])
def test_softmaxes_with_few_and_many_classes(engine: str, step: float) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1,), (2,), (4095,), (3, 2, 21), (2, 2, 2, 3)):
        tensors = (tensor("x", shape, step / 0.5, 3), tensor("y", shape, 1 / 256, -128))
        model = graph.Model("m", tensors, (graph.Softmax("s_0", (0,), 1, 0.5),), (0,), (1,))
        x = rng.integers(-128, 128, (6, *shape)).astype(np.int8)
        x[0], x[1] = -128, 127
        x[2, ..., 0], x[3] = -x[2, ..., -1], x[3] // 50
        assert np.array_equal(Emulator(model, engine=engine).run(x), reference.run(model, x)[1])


# --- networks of other projects ------------------------------------------------------------------


def check_every_tensor(name: str, plan: str) -> None:
    model = load_model(wild(name))
    x = random_inputs(model, 1, 0)
    parsed = Plan.parse(model, plan)
    expected = reference.run(model, x, reference.plan_products(model, parsed))
    for engine in ENGINES:
        found = Emulator(model, parsed, engine=engine).tensors(x)
        for op in model.operators:
            assert np.array_equal(found[op.output], expected[op.output]), (engine, op.name)


@pytest.mark.parametrize(
    "name", ["cfu_magic_wand", "tinymaix_mnist_resnet", "tinyengine_detection"]
)
def test_small_networks_of_others(name: str) -> None:
    check_every_tensor(name, "roup:1,4" if name != "tinyengine_detection" else "exact")


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_networks_of_others(name: str) -> None:
    check_every_tensor(name, "exact")


@pytest.mark.parametrize("engine", ["auto", "portable"])
def test_an_output_that_is_an_input_is_a_copy(engine: str) -> None:
    tensors = tuple(graph.Tensor(name, (4,), 0.1, 0) for name in "xy")
    model = graph.Model("m", tensors, (graph.Reshape("r", (0,), 1),), (0,), (0, 1))
    x = np.arange(12, dtype=np.int8).reshape(3, 4)
    first, second = Emulator(model, engine=engine).run(x)
    first[:] = 0
    second[:] = 0
    assert x.reshape(-1).tolist() == list(range(12))
