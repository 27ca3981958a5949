# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Commands on networks that host and accelerator compute together, and on several inputs and
outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, save_model
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Program, compile_program
from tests.host.test_cli import json_of
from tests.hybrid_networks import Network


def two_to_two() -> graph.Model:
    """Two maps; one layer of each, and a product of both."""
    network = Network((3, 4, 5), seed=3)
    network.tensors.append(graph.Tensor("other", (3, 4, 5), 0.1, -2))
    first, second = network.convolution(0, 6, 3), network.convolution(1, 6)
    product = network.pair("multiply", first, second)
    end = network.convolution(product, 3)
    model = network.model(first, end)
    return graph.Model(
        "two", model.tensors, model.operators, (0, 1), model.outputs, model.constants
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "two.axp"
    compile_program(two_to_two(), "roup:1,4", "tiny4").save(path)
    return path


def test_several_inputs_and_outputs(program: Path) -> None:
    model, loaded = two_to_two(), Program.load(program)
    rng = np.random.default_rng(0)
    x = [rng.integers(-128, 128, (66, 3, 4, 5)).astype(np.int8) for _ in range(2)]
    expected = Emulator(model, "roup:1,4").run(x)
    advanced: list[int] = []
    with Accelerator("tiny4", device="software") as accelerator:
        for given in (x, {"other": x[1], "x": x[0]}):
            found = accelerator.run(loaded, given, advanced.append)
            for one, other in zip(found, expected, strict=True):
                assert np.array_equal(one, other)
        empty = accelerator.run(loaded, [values[:0] for values in x])
        assert [y.shape for y in empty] == [(0, 3, 4, 6), (0, 3, 4, 3)]
        with pytest.raises(DataError, match="has 2 inputs"):
            accelerator.run(loaded, x[0])
        with pytest.raises(DataError, match="input 'other' is missing"):
            accelerator.run(loaded, {"x": x[0]})
    assert sum(advanced) == 132
    assert max(advanced) == 64


def test_inspect_shows_the_split(axynq, tmp_path: Path) -> None:
    save_model(two_to_two(), tmp_path / "two.tflite")
    ran = axynq("inspect", tmp_path / "two.tflite", "--overlay", "tiny4", "--json")
    content = json_of(ran)
    assert content["starts_of_the_core"] == 2
    first, host, last = content["stages"]
    assert (first["on"], host["on"], last["on"]) == ("accelerator", "host", "accelerator")
    assert first["bytes_moved"] == 2 * 12 * 8
    (operator,) = host["operators"]
    assert operator["reason"] == "the array multiplies and compares no two maps"
    assert host["estimated_operations"] == operator["operations"] > 0
    _, text, _ = axynq("inspect", tmp_path / "two.tflite", "--overlay", "tiny4")
    assert "the core is started 2 times a batch" in text
    assert "ESTIMATE" in text


@pytest.mark.parametrize("command", ["run", "power"])
def test_labelled_examples_are_for_one_input(axynq, program: Path, command: str) -> None:
    data = program.with_suffix(".npz")
    np.savez(data, x=np.zeros((4, 3, 4, 5), np.int8), y=np.zeros(4, np.int64))
    sensor = ("--sensor", "none", "--output", program.parent / "log") if command == "power" else ()
    code, _, error = axynq(command, program, "--data", data, "--device", "software", *sensor)
    assert code == 1
    assert "has 2 inputs (x, other)" in error
    assert "Accelerator.run in Python" in error


def test_power_takes_random_inputs(axynq, program: Path, tmp_path: Path) -> None:
    content = json_of(axynq("power", program, "--sensor", "estimate", "--json"))
    assert content["contenders"]["two"]["multiplications"] > 0
    code, _, error = axynq(
        "power", program, "--device", "software", "--sensor", "none", "--rounds", 2,
        "--seconds", 0.05, "--idle", 0.05, "--warm-up", 0, "--batch", 2,
        "--output", tmp_path / "log",
    )  # fmt: skip
    assert code == 0, error
