# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""hls4ml designs of int8 networks compute what the emulator computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hls4ml")

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.errors import DataError, ModelError, PlanError, ToolError
from axynq.emulator.model import graph
from axynq.emulator.plan import Assignment
from axynq.hls4ml import from_model, run
from axynq.hls4ml.layer_list import layer_list
from axynq.hls4ml.network_parts import parts
from tests.conftest import data_file
from tests.hls4ml.designs import LayerCase, build
from tests.hls4ml.networks import random_network
from tests.networks import random_input, tensor


def compiled(model: graph.Model, plan: Any, folder: Path, io: Any, **settings: Any) -> Any:
    design = from_model(model, plan, output_dir=folder, io_type=io, **settings)
    design.compile()
    return design


def check(design: Any, model: graph.Model, plan: Any, x: Any) -> None:
    np.testing.assert_array_equal(run(design, x), Emulator(model, plan).run(x))


def traced(model: graph.Model, plan: Any, folder: Path, io: Any) -> Any:
    """A design that is compiled when it is traced first."""
    names = layer_list(model, streams=io == "io_stream").precisions
    config = {"LayerName": {name: {"Trace": True} for name in names}}
    return from_model(model, plan, output_dir=folder, io_type=io, hls_config=config)


def check_maps(design: Any, model: graph.Model, plan: Any, x: graph.Int8Array) -> None:
    """What hls4ml traces: accumulators and maps of all operators."""
    _, maps = design.trace(x.astype(np.float32) - model.input.zero_point)
    emulator = Emulator(model, plan)
    tensors, accumulators = emulator.tensors(x), emulator.accumulators(x)
    for op in parts(model).design:
        name = op.name
        if name in accumulators:
            expected = accumulators[name].approximate.reshape(len(x), -1)
            # hls4ml's traces are float32.
            given = maps[name].reshape(len(x), -1)
            assert np.array_equal(given, expected.astype(np.float32)), name
            name = f"{name}_requantise"
        if name in maps or not isinstance(op, graph.Reshape):  # nothing is computed for some
            centred = tensors[op.output].astype(int) - model.tensors[op.output].zero_point
            assert np.array_equal(maps[name].reshape(len(x), -1), centred.reshape(len(x), -1)), name


def test_every_map_of_digits(digits: graph.Model, tmp_path: Path) -> None:
    plan = Plan.parse(digits, "flam=exact|roup:1,4|smapprox:3330")
    design = traced(digits, plan, tmp_path, "io_stream")
    with pytest.raises(ToolError, match=r"compile\(\)"):
        run(design, np.zeros((1, 8, 8, 1), np.int8))
    x = random_input(digits, 20, seed=1)
    check_maps(design, digits, plan, x)
    check(design, digits, plan, x)
    check(design, digits, plan, x[:1])
    check(design, digits, plan, digits.input.dequantise(x).astype(np.float32))
    assert run(design, x[:0]).shape == (0, 10)
    with pytest.raises(DataError, match="shape"):
        run(design, x[0])


@pytest.mark.thorough
def test_digits_in_arrays(digits: graph.Model, tmp_path: Path) -> None:
    plan = Plan.parse(digits, "flam=exact|roup:1,4+klms=2")
    design = compiled(digits, plan, tmp_path, "io_parallel")
    check(design, digits, plan, random_input(digits, 50, seed=2))


@pytest.mark.thorough
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
def test_resource_strategy(digits: graph.Model, tmp_path: Path, io: str) -> None:
    config = {
        "Model": {"Strategy": "Resource", "ReuseFactor": 4},
        "LayerName": {"conv_4": {"ReuseFactor": 72}, "add_6": {"ReuseFactor": 2}},
    }
    design = compiled(digits, None, tmp_path, io, hls_config=config)
    assert "reuse_factor = 72" in (tmp_path / "firmware" / "parameters.h").read_text()
    check(design, digits, None, random_input(digits, 20, seed=3))


@pytest.mark.thorough
@pytest.mark.parametrize("plan", [None, "flam=exact|roup:2,6|smapprox:3330"])
def test_keyword_spotting(
    keyword: graph.Model, keyword_samples: Any, tmp_path: Path, plan: str | None
) -> None:
    design = compiled(keyword, plan, tmp_path, "io_stream")
    check(design, keyword, plan, keyword_samples[0][:40])


@pytest.mark.thorough
def test_resnet8(resnet8: graph.Model, cifar10_images: Any, tmp_path: Path) -> None:
    plan = "flam=exact|roup:1,4"
    design = compiled(resnet8, plan, tmp_path, "io_stream")
    check(design, resnet8, plan, cifar10_images[:8])


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["tflm_micro_speech", "tflm_person_detect", "cfu_magic_wand"])
def test_networks_of_other_projects(name: str, tmp_path: Path) -> None:
    """The first two begin with several filters on one channel."""
    model = load_model(data_file("models", "wild", f"{name}.tflite"))
    plan = "flam=exact|roup:1,4"
    design = compiled(model, plan, tmp_path, "io_stream")
    check(design, model, plan, random_input(model, 5, seed=4))


@pytest.mark.thorough
def test_a_design_that_is_loaded(tmp_path: Path) -> None:
    from hls4ml.utils.serialization import deserialize_model

    model = network_of_layers()
    saved = str(tmp_path / "saved.fml")
    plan = Plan.parse(model, "klam-row=exact|roup:1,4+klms=1")
    from_model(model, plan, output_dir=tmp_path / "first", backend="Vivado").save(saved)
    design = deserialize_model(saved, output_dir=str(tmp_path / "second"))
    design.compile()
    x = random_input(model, 10, seed=5)
    with pytest.raises(ModelError, match="does not know its network"):
        run(design, x)
    assert np.array_equal(run(design, x, model), Emulator(model, plan).run(x))


def network_of_layers() -> graph.Model:
    """A few filters on one channel, and a dense layer with biases at the ends of int32."""
    tensors = (tensor("x", (4, 4, 1), 0.1, 7), tensor("m", (2, 2, 3), 9.0, -128))
    rng = np.random.default_rng(6)
    several = graph.DepthwiseConvolution(
        "depthwise_0", (0,), 1, rng.integers(-128, 128, (3, 3, 3)).astype(np.int8),
        rng.integers(-999, 999, 3).astype(np.int32), np.full(3, 0.9, np.float32),
    )  # fmt: skip
    bias = np.array([-(2**31), 2**31 - 1, 2**30 + 1, 0], np.int32)
    dense = graph.FullyConnected(
        "fully_connected_1", (1,), 2, rng.integers(-128, 128, (4, 12)).astype(np.int8), bias,
        np.full(4, 1e-8, np.float32),
    )  # fmt: skip
    target = tensor("y", (4,), 0.9, 3)
    return graph.Model("layers", (*tensors, target), (several, dense), (0,), (2,))


@pytest.mark.thorough
@pytest.mark.parametrize("io", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("seed", range(6))
def test_random_networks(tmp_path: Path, seed: int, io: str) -> None:
    model = random_network(seed)
    plan = Plan.parse(model, "klam-row=roup:0,4|exact+klms=2") if seed % 2 else None
    design = traced(model, plan, tmp_path, io)
    x = random_input(model, 40, seed)
    x[0], x[1] = -128, 127
    check_maps(design, model, plan, x)
    check(design, model, plan, x)


# --- what cannot be a design ---------------------------------------------------------------------


def single(op: graph.Operator, *shapes: tuple[int, ...]) -> graph.Model:
    tensors = tuple(tensor(f"t{k}", shape, 0.1, 0) for k, shape in enumerate(shapes))
    inputs = tuple(range(len(shapes) - 1))
    return graph.Model("odd", tensors, (op,), inputs, (len(shapes) - 1,))


def convolution(kind: Any, weights: tuple[int, ...], filters: int, **given: Any) -> Any:
    return kind(
        "layer_0", (0,), 1, np.ones(weights, np.int8), np.zeros(filters, np.int32),
        np.ones(filters, np.float32), **given,
    )  # fmt: skip


REFUSED = {
    "Transpose": single(graph.Transpose("move_0", (0,), 1, (1, 0, 2)), (2, 3, 1), (3, 2, 1)),
    "no dilation": single(
        convolution(graph.Convolution, (1, 2, 2, 1), 1, dilation=(2, 2)), (3, 3, 1), (1, 1, 1)
    ),
    "one filter for each channel": single(
        convolution(graph.DepthwiseConvolution, (1, 1, 4), 4), (3, 3, 2), (3, 3, 4)
    ),
    "ignores the stride": single(
        convolution(graph.Convolution, (1, 1, 2, 1), 1, stride=(2, 1)), (3, 3, 1), (2, 2, 1)
    ),
    "not rows, columns, channels": single(
        graph.Pool("pool_0", (0,), 1, "max", (1, 1), (1, 1)), (2, 2, 3, 1), (2, 2, 3, 1)
    ),
    "has 2 inputs": single(graph.Add("add_0", (0, 1), 2), (2,), (2,), (2,)),
    "no operators": single(graph.Softmax("softmax_0", (0,), 1, 1.0), (4,), (4,)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_a_design_is_refused(reason: str, tmp_path: Path) -> None:
    model = REFUSED[reason]
    with pytest.raises(ModelError, match=reason) as refused:
        from_model(model, output_dir=tmp_path, io_type="io_stream")
    if len(model.inputs) == 1 and reason != "no operators":
        assert f"'{model.operators[0].name}'" in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_constant_operand_is_refused(tmp_path: Path) -> None:
    model = replace(
        single(graph.Add("add_0", (0, 1), 2), (2,), (2,), (2,)),
        inputs=(0,), constants={1: np.zeros(2, np.int8)},
    )  # fmt: skip
    with pytest.raises(ModelError, match="'add_0'.*constant"):
        from_model(model, output_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"backend": "Quartus"}, "backend 'Quartus' is not one of Vivado, Vitis"),
        ({"io_type": "io_serial"}, "io_type 'io_serial'"),
        ({"hls_config": {"Layers": {}}}, "sections Model, LayerType, LayerName, not 'Layers'"),
        ({"hls_config": "Latency"}, "hls_config is a dictionary, not str"),
        ({"hls_config": {"LayerName": None}}, "section LayerName is a dictionary, not NoneType"),
        ({"hls_config": {"LayerName": {"conv_0": 4}}}, "'conv_0' is a dictionary, not int"),
        ({"hls_config": {"LayerName": {"conv_7": {}}}}, "layer 'conv_7'.*conv_0, conv_0_requan"),
        ({"hls_config": {"Model": {"Precision": "ap_int<4>"}}}, "Precision, which is the network"),
        ({"hls_config": {"LayerName": {"conv_0": {"Multipliers": "exact"}}}}, "is the plan's"),
    ],
)
def test_settings_that_do_not_fit(
    digits: graph.Model, tmp_path: Path, settings: Any, complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        from_model(digits, output_dir=tmp_path, **settings)


def test_files_are_to_be_loaded_first(tmp_path: Path) -> None:
    path: Any = "model.tflite"
    with pytest.raises(ModelError, match="what load_model gives, not a str"):
        from_model(path, output_dir=tmp_path)


def test_only_designs_of_networks_run(tmp_path: Path) -> None:
    design = build({"d": LayerCase("Dense", 2, 3)}, tmp_path)
    with pytest.raises(ModelError, match=r"does not know its network: give it, run\(design, x, m"):
        run(design, np.zeros((1, 3), np.int8))


def test_a_plan_that_does_not_fit(digits: graph.Model, tmp_path: Path) -> None:
    plan = Plan({"conv_1": Assignment(("exact",))}, Assignment(("exact",)))
    with pytest.raises(PlanError, match="conv_1"):
        from_model(digits, plan, output_dir=tmp_path)
