# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""hls4ml's own conversions of models of Keras, PyTorch and QONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.hls4ml.fixed_point import fraction, integers
from axynq.hls4ml.layers import as_network, weighted_nodes
from axynq.hls4ml.registration import codes_of
from tests.hls4ml.front_ends import FrontEnd, keras_digits, qonnx_digits, torch_digits

pytest.importorskip("sklearn")

MAKERS = {"keras": keras_digits, "torch": torch_digits, "qonnx": qonnx_digits}


def made(name: str) -> FrontEnd:
    pytest.importorskip(name)
    return MAKERS[name]()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "backend", "io_type"),
    [
        ("keras", "Vitis", "io_parallel"),
        pytest.param("torch", "Vitis", "io_stream"),
        ("qonnx", "Vitis", "io_parallel"),
        pytest.param("keras", "Vivado", "io_stream"),
        pytest.param("torch", "Vivado", "io_parallel"),
        pytest.param("qonnx", "Vitis", "io_stream"),
        pytest.param("keras", "VivadoAccelerator", "io_stream"),
    ],
)
def test_designs_compute_what_the_models_do(
    name: str, backend: str, io_type: str, tmp_path: Path
) -> None:
    front = made(name)
    design = front.design(tmp_path, backend, io_type)
    design.compile()
    y = design.predict(np.ascontiguousarray(front.x)).reshape(-1, 10)
    assert np.array_equal(y, front.quantised)
    assert (y.argmax(1) == front.outputs.argmax(1)).mean() > 0.98
    assert (y.argmax(1) == front.y).mean() > 0.9


@pytest.mark.thorough
@pytest.mark.parametrize("name", MAKERS)
def test_layers_keep_what_is_configured(name: str, tmp_path: Path) -> None:
    """The configuration's names lead to the layers, and all weights have 8 bits."""
    front = made(name)
    config = front.hls_config("Vitis")
    for place, layer in enumerate(front.layers):
        config["LayerName"][layer]["Remembered"] = place
    design = front.convert(
        front.model, hls_config=config, backend="Vitis", io_type="io_parallel",
        output_dir=str(tmp_path),
    )  # fmt: skip
    layers = [layer for layer in design.get_layers() if "weight" in layer.weights]
    found = [design.config.get_layer_config_value(layer, "Remembered") for layer in layers]
    assert found == [0, 1, 2, 3]
    assert {layer.weights["weight"].type.precision.width for layer in layers} == {8}


def layer_sums(node: object, x: np.ndarray) -> np.ndarray:
    """What the emulator says of a design's layer: its sums, without biases, for what comes in.

    Args:
        node: a layer of a design that was converted with multipliers.
        x: what comes in, in real numbers.
    """
    made = as_network([node])
    (layer,), precision = made.layers, node.get_input_variable().type.precision
    zero_point = 0 if precision.signed else -128
    # Of a layer's own network only the positions of the result are known.
    shape = tuple(node.get_input_variable().shape)
    shape = (1, *shape) if len(shape) == 2 else shape
    given = replace(made.tensors[0], shape=shape, zero_point=zero_point)
    model = replace(made, tensors=(given, made.tensors[1]))
    plan = Plan.from_codes(
        {layer.name: ([m.spec for m in codes_of(node).multipliers], codes_of(node).codes)}
    )
    values = integers(x, precision).reshape(-1, *shape) + zero_point
    sums = Emulator(model, plan).accumulators(values.astype(np.int8))[layer.name].approximate
    unit = fraction(precision) + fraction(node.get_weights("weight").type.precision)
    return sums.reshape(len(x), -1) * 2.0**-unit


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "backend", "io_type"),
    [
        ("keras", "Vitis", "io_stream"),
        ("qonnx", "VivadoAccelerator", "io_stream"),
        ("torch", "Vitis", "io_parallel"),
        ("keras", "Vivado", "io_parallel"),
        ("qonnx", "Vitis", "io_parallel"),
    ],
)
def test_layers_have_their_multipliers(
    name: str, backend: str, io_type: str, tmp_path: Path
) -> None:
    """Each layer gives what the emulator makes of the layer's own input."""
    front = made(name)
    config = front.hls_config(backend)
    given = ["flam=roup:2,6|exact", "smapprox:3330", "klam-channel=roup:1,4|exact", "roup:1,4"]
    for layer, multipliers in zip(front.layers, given):
        config["LayerName"][layer]["Multipliers"] = multipliers
    for entry in (config["Model"], *config["LayerName"].values()):
        entry["Trace"] = True
    design = front.convert(
        front.model, hls_config=config, backend=backend, io_type=io_type,
        output_dir=str(tmp_path),
    )  # fmt: skip
    design.compile()
    x = np.ascontiguousarray(front.x[:20])
    y, traced = design.trace(x)
    nodes = weighted_nodes(design)
    assert [codes_of(node) is not None for node in nodes] == [True] * 4
    for node in nodes:
        before = node.get_input_node()
        while before.name not in traced and before.class_name == "Reshape":
            before = before.get_input_node()
        source = traced.get(before.name, x)  # inputs are not traced
        bias = np.asarray(node.get_weights("bias").data)
        expected = layer_sums(node, np.asarray(source)).reshape(-1, len(bias)) + bias
        found = np.asarray(traced[node.name], np.float64).reshape(-1, len(bias))
        np.testing.assert_array_equal(found, expected, node.name)
    assert (np.asarray(y).reshape(-1, 10).argmax(1) == front.y[:20]).mean() > 0.7
