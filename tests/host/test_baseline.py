# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The network on the processor, in whatever type its file takes and gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, save_model
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.errors import DataError, ModelError, ToolError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Interface
from axynq.host import Accelerator, Program, compile_program
from axynq.host.baseline import PACKAGES, ProcessorBaseline
from tests.emulator.test_interfaces import FLOAT, with_interfaces
from tests.host.test_cli import json_of

BYTES = Interface("u", "uint8", 16 / 255, 0)
SCORES = Interface("v", "uint8", 1 / 256, 0)

TYPES = [(None, None), (FLOAT, FLOAT), (BYTES, SCORES), (FLOAT, None), (None, SCORES)]


def saved(
    digits: graph.Model, folder: Path, taken: Interface | None, given: Interface | None
) -> tuple[graph.Model, Path]:
    if taken is not None and taken.type == "uint8":
        taken = replace(taken, scale=digits.input.scale)
    model = with_interfaces(digits, taken, given)
    save_model(model, folder / "m.tflite")
    return model, folder / "m.tflite"


@pytest.fixture(params=PACKAGES, autouse=True)
def package(request, monkeypatch) -> str:
    name = str(request.param)
    pytest.importorskip(name)
    monkeypatch.setattr("axynq.host.baseline.PACKAGES", (name,))
    return name


@pytest.mark.parametrize(("taken", "given"), TYPES)
def test_baseline_in_the_types_of_the_file(
    digits: graph.Model, tmp_path: Path, taken: Interface | None, given: Interface | None
) -> None:
    model, path = saved(digits, tmp_path, taken, given)
    x = quantise_examples(digits.input, handwritten_digits("test").x[:50])
    # The program's input is the int8 one, whatever type the file has there.
    baseline = ProcessorBaseline(path, digits.input)
    found = baseline.run(x)
    expected = Emulator(model).run(x)
    assert found.dtype == {None: np.int8, FLOAT: np.float32, SCORES: np.uint8}[given]
    real = found * (1 if given is None else 256 if given is FLOAT else 1)
    shifted = real.astype(np.int64) - (0 if given is None else 128)
    assert np.abs(shifted - expected).max() <= 16  # its fast kernels round otherwise
    assert (shifted.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
    assert baseline.run(x[:0]).shape == (0, 10)


def test_baseline_of_another_quantisation(digits: graph.Model, tmp_path: Path) -> None:
    _, path = saved(digits, tmp_path, None, None)
    with pytest.raises(ModelError, match="the network that the program was compiled from"):
        ProcessorBaseline(path, replace(digits.input, zero_point=3))


def test_what_is_no_baseline(digits: graph.Model, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ModelError, match="model '.*gone.tflite' cannot be read: No such file"):
        ProcessorBaseline(tmp_path / "gone.tflite", digits.input)
    (tmp_path / "text.tflite").write_text("hello\n")
    with pytest.raises(ModelError, match="TFLite cannot run '.*text.tflite'"):
        ProcessorBaseline(tmp_path / "text.tflite", digits.input)
    tensors = tuple(graph.Tensor(f"t{k}", (4,), 0.1, 0) for k in range(3))
    two = graph.Model("two", tensors, (graph.Add("add", (0, 1), 2),), (0, 1), (2,))
    save_model(two, tmp_path / "two.tflite")
    with pytest.raises(ModelError, match="has 2 inputs and 1 outputs; the baseline runs"):
        ProcessorBaseline(tmp_path / "two.tflite", digits.input)
    _, path = saved(digits, tmp_path, None, None)
    with pytest.raises(DataError, match=r"takes inputs of \(8, 8, 1\), not \(8, 8, 3\)"):
        ProcessorBaseline(path, digits.input).run(np.zeros((1, 8, 8, 3), np.int8))
    monkeypatch.setattr("axynq.host.baseline.PACKAGES", ("nobody.has.this",))
    with pytest.raises(ToolError, match="needs TFLite's interpreter: pip install"):
        ProcessorBaseline(path, digits.input)


@pytest.mark.parametrize(("taken", "given"), TYPES[1:3])
def test_programs_take_what_the_file_takes(
    axynq, digits: graph.Model, tmp_path: Path, package: str, taken: Interface, given: Interface
) -> None:
    if package != PACKAGES[0]:
        pytest.skip("the program is the same for both packages")
    model, path = saved(digits, tmp_path, taken, given)
    compile_program(model, None, "tiny4").save(tmp_path / "m.axp")
    program = Program.load(tmp_path / "m.axp")
    assert program.input == model.input
    assert program.output == model.output
    data = handwritten_digits("test")
    x = data.x[:20]
    if taken.type == "uint8":
        x = np.round(x / model.input.scale).astype(np.uint8)
    with Accelerator("tiny4", device="software") as accelerator:
        y = accelerator.run(program, x)
    assert y.dtype == np.int8
    assert np.array_equal(y, Emulator(model).run(x))
    np.savez(tmp_path / "d.npz", x=x, y=data.y[:20])
    content = json_of(
        axynq("run", tmp_path / "m.axp", "--data", tmp_path / "d.npz", "--device", "software",
              "--baseline", path, "--output", tmp_path / "y.npy", "--json")
    )  # fmt: skip
    assert content["baseline"]["same_class"] > 0.9
    assert np.array_equal(np.load(tmp_path / "y.npy"), y)
