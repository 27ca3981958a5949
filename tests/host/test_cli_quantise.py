# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq quantise``: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, load_model, save_model
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.quantisation.builder import NetworkBuilder
from tests.emulator.float_files import float_twin


@pytest.fixture(scope="module")
def float_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float network that tells the digits by their nearest means."""
    pytest.importorskip("sklearn")
    train = handwritten_digits("train")
    means = np.stack([train.x[train.y == k].mean(axis=0).reshape(-1) for k in range(10)])
    builder = NetworkBuilder("means", (8, 8, 1))
    x = builder.flatten(builder.input)
    bias = -np.square(means).sum(axis=1) / 2
    builder.fully_connected(x, means, bias)
    path = tmp_path_factory.mktemp("float") / "means.tflite"
    path.write_bytes(float_twin(serialise_model(builder.quantise(train.x))))
    return path


@pytest.fixture(scope="module")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    test = handwritten_digits("test")
    np.savez(path, x=test.x, y=test.y)
    return path


def test_a_float_network_is_quantised(
    axynq, float_path: Path, data_path: Path, tmp_path: Path
) -> None:
    output = tmp_path / "int8.tflite"
    words = ["quantise", str(float_path), "--data", str(data_path), "--output", str(output)]
    code, out, err = axynq(*words, "--ranges", "least-error", "--equalise", "--correct-bias")
    assert code == 0, err
    assert "fully connected" in out
    assert "dB" in out
    assert "in floating point" in " ".join(out.split())
    code, out, err = axynq(*words, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [layer["operator"] for layer in told["layers"]] == ["reshape", "fully connected"]
    assert told["layers"][1]["own"] > 30
    assert told["accuracy_float"] > 0.85
    assert abs(told["accuracy"] - told["accuracy_float"]) < 0.02
    test = np.load(data_path)
    assert Emulator(load_model(output)).accuracy(test["x"], test["y"]) == told["accuracy"]
    code, out, _ = axynq(*words, "--json", "--no-accuracy")
    assert code == 0
    assert json.loads(out)["accuracy"] is None


def test_what_does_not_fit(
    axynq, digits_path: Path, float_path: Path, data_path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros((3, 7, 8, 1), np.float32), y=np.zeros(3, np.int64))
    for model, data, message in (
        (digits_path, data_path, "int8 already"),
        (float_path, other, "the data has [7, 8, 1]"),
        (tmp_path / "none.pt2", data_path, "No such file"),
        (tmp_path / "net.pth", data_path, "from_torch"),
    ):
        code, _, err = axynq(
            "quantise", str(model), "--data", str(data), "--output", str(tmp_path / "o.tflite")
        )
        assert code == 1
        assert message in " ".join(err.split())
    assert not (tmp_path / "o.tflite").exists()


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (1, 2, "2 outputs, so that there is no accuracy of its classes: --no-accuracy"),
        (2, 1, "2 inputs, and data sets have one: quantise it in Python"),
    ],
)
def test_several_inputs_or_outputs_are_told_of_first(
    axynq, tmp_path: Path, inputs: int, outputs: int, message: str
) -> None:
    """Before anything is computed or written."""
    builder = NetworkBuilder("several")
    given = [builder.add_input(f"x{k}", (4,)) for k in range(inputs)]
    total = builder.add(given[0], given[-1])
    ends = [builder.fully_connected(total, np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
            for _ in range(outputs)]  # fmt: skip
    builder.set_outputs(ends)
    x = np.random.default_rng(0).random((8, 4), np.float32)
    path, output = tmp_path / "several.tflite", tmp_path / "int8.tflite"
    path.write_bytes(
        float_twin(serialise_model(builder.quantise([x] * inputs if inputs > 1 else x)))
    )
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(8) % 4)
    words = ["--data", str(tmp_path / "data.npz"), "--output", str(output)]
    code, _, err = axynq("quantise", str(path), *words)
    assert code != 0
    assert message in " ".join(err.split())
    assert not output.exists()


def test_maps_of_scores_have_no_accuracy(axynq, tmp_path: Path) -> None:
    """Neither before nor after: the largest of all scores is no class."""
    builder = NetworkBuilder("segmentation", (4, 4, 1))
    weights = np.ones((3, 1, 1, 1), np.float32)
    builder.convolution(builder.input, weights, np.zeros(3, np.float32))
    x = np.random.default_rng(0).random((8, 4, 4, 1), np.float32)
    model = builder.quantise(x)
    data, path, output = tmp_path / "data.npz", tmp_path / "float.tflite", tmp_path / "int8.tflite"
    np.savez(data, x=x, y=np.arange(8) % 3)
    path.write_bytes(float_twin(serialise_model(model)))
    code, _, err = axynq("quantise", str(path), "--data", str(data), "--output", str(output))
    assert code == 1
    assert "many places" in err
    assert "--no-accuracy" in err
    save_model(model, output)
    code, _, err = axynq("evaluate", str(output), "--data", str(data))
    assert code == 1
    assert "many places" in err
    program = tmp_path / "program.axp"
    assert axynq("compile", str(output), "--overlay", "tiny4", "--output", str(program))[0] == 0
    code, _, err = axynq("run", str(program), "--data", str(data), "--device", "software")
    assert code == 1
    assert "many places" in err
