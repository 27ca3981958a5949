# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks that other projects ship, at every tensor against TFLite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tflite

from axynq.emulator import load_model, reference
from axynq.emulator.file_formats.tflite_reader import parse_model
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.model.interface import as_file_takes
from tests.conftest import data_file
from tests.emulator import runtime

SMALL = (
    "cfu_magic_wand",
    "tflm_micro_speech",
    "tflm_person_detect",
    "tinyengine_detection",
    "tinymaix_mnist_resnet",
)
LARGE = (
    "cfu_hps_74ops",
    "cfu_mbv2_160_035",
    "coral_tf2_mbv2_ptq",
    "tinyengine_mcunetv2_large",
    "tinyengine_vww",
    "tinymaix_mbnet128",
)


def wild(name: str) -> Path:
    return data_file("models", "wild", f"{name}.tflite")


def runnable(content: bytes) -> bytes:
    """The file with what newer runtimes refuse put right: biases of some old files have their
    scales along an axis that they have not."""
    changed = bytearray(content)
    subgraph = tflite.Model.GetRootAsModel(changed, 0).Subgraphs(0)
    for index in range(subgraph.TensorsLength()):
        tensor = subgraph.Tensors(index)
        quantisation = tensor.Quantization()
        if quantisation is not None and quantisation.QuantizedDimension() >= tensor.ShapeLength():
            table = quantisation._tab
            field = table.Offset(16)
            if field:
                changed[table.Pos + field : table.Pos + field + 4] = bytes(4)
    return bytes(changed)


def differing(model: graph.Model, content: bytes, package: str, images: int) -> set[str]:
    """Names of the tensors that are never as the oracle has them, where several have a name."""
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (images, *model.input.shape)).astype(np.int8)
    values = reference.run(model, x)
    given = as_file_takes(model.input, x)
    made = runtime.interpreter(package, content, all_tensors=True)
    (source,) = made.get_input_details()
    computed: dict[str, list[int]] = {}
    for detail in made.get_tensor_details():
        computed.setdefault(detail["name"], []).append(detail["index"])
    different = set()
    for n in range(images):
        made.set_tensor(source["index"], given[n].reshape(source["shape"]))
        made.invoke()
        for index, value in values.items():
            name = model.tensors[index].name
            found = [made.get_tensor(k).reshape(-1) for k in computed.get(name, [])]
            if not any(np.array_equal(y, value[n].reshape(-1)) for y in found):
                different.add(name)
    return different


def check(name: str, images: int) -> None:
    content = runnable(wild(name).read_bytes())
    model = parse_model(content, name)
    # tflite-runtime writes some results over their operands even when told to keep all tensors.
    # LiteRT does not, but its dense layers round once.
    harmed = differing(model, content, "tflite_runtime", images)
    assert not harmed & {model.tensors[index].name for index in model.outputs}
    if harmed:
        assert not harmed & differing(model, content, "ai_edge_litert", images)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_equal_tflite_at_every_tensor(name: str) -> None:
    check(name, 2)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LARGE)
def test_large_networks_equal_tflite_at_every_tensor(name: str) -> None:
    check(name, 3)


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_they_are_written_and_read_again(name: str) -> None:
    model = load_model(wild(name))
    assert model.notes == ()
    again = parse_model(serialise_model(model))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [type(op) for op in again.operators] == [type(op) for op in model.operators]
