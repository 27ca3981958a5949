# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq noise`` and ``axynq retrain``, as a user types them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples
from axynq.emulator.studies.errors import load_statistics
from axynq.host import Accelerator, Overlay, compile_program
from axynq.host.cli.training import warn_of_trained
from tests.host.test_cli import json_of


def test_noise(axynq, digits_path: Path, digits_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "errors.npz"
    arguments = ("noise", digits_path, "--data", digits_data, "--output", output)
    content = json_of(
        axynq(*arguments, "--plan", "roup:2,6", "--limit", 64, "--pictures", tmp_path, "--json")
    )
    assert [row["name"] for row in content["layers"]] == list(load_statistics(output).layers)
    assert all(row["error_deviation"] > 0 for row in content["layers"])
    for name in ("histograms.png", "correlation.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    code, out, _ = axynq(*arguments, "--per-filter")
    assert code == 0
    assert out.count(" exact ") == len(content["layers"])  # one word, whatever the width
    shapes = {s.neurons.correlation.shape[:2] for s in load_statistics(output).layers.values()}
    assert shapes == {(1, 1)}


def test_noise_by_another_engine(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch").set_num_threads(1)  # tests run beside each other
    arguments = ("noise", digits_path, "--data", digits_data, "--plan", "roup:2,6", "--json")
    one, other = (
        json_of(axynq(*arguments, "--output", tmp_path / "errors.npz", "--engine", name))["layers"]
        for name in ("auto", "torch")
    )
    # Of the same errors, which lie otherwise in memory: sums are rounded otherwise.
    assert other == [pytest.approx(layer) for layer in one]


def test_retrain(axynq, digits_path: Path, digits_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    output, plan = tmp_path / "again.tflite", "smapprox:2222"
    arguments = (
        "retrain", digits_path, "--data", digits_data, "--plan", plan, "--output", output,
        "--epochs", 2, "--batch", 8, "--held-out", 10, "--rate", 0.003,
        "--checkpoint", tmp_path / "state.pt", "--distillation", 0.3, "--teacher", digits_path,
        "--optimiser", "adam", "--clip", 5, "--warmup", 0.1,
    )  # fmt: skip
    content = json_of(axynq(*arguments, "--json"))
    assert len(content["epochs"]) == 3
    examples = load_dataset(digits_data)
    network = load_model(output)
    y = Emulator(network, plan).run(quantise_examples(network.input, examples.x))
    accuracy = float((y.reshape(len(y), -1).argmax(axis=1) == examples.y).mean())
    assert content["accuracy_after"] == pytest.approx(accuracy)
    # nothing is left to be done: the same figures again
    again = json_of(axynq(*arguments, "--json"))
    assert again["accuracy_after"] == content["accuracy_after"]
    code, out, err = axynq(*arguments)
    assert code == 0
    assert "plan, after" in out
    assert err.count("state.pt: resuming from epoch 2 of 2\n") == 1


def test_retrain_by_slopes(axynq, digits_path: Path, digits_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    arguments = (
        "retrain", digits_path, "--data", digits_data, "--plan", "smapprox:2222",
        "--output", tmp_path / "again.tflite", "--epochs", 1, "--batch", 8, "--held-out", 10,
        "--method", "lut-1d", "--json",
    )  # fmt: skip
    losses = []
    for smoothing in (8, 32):
        content = json_of(axynq(*arguments, "--smoothing", smoothing))
        assert content["options"]["smoothing"] == smoothing
        losses.append(content["epochs"][1]["loss"])
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch", 5000), "are too few to hold out"),
    ],
)
def test_errors_are_one_line(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path, arguments, message: str
) -> None:
    pytest.importorskip("torch")
    code, out, err = axynq(
        "retrain", digits_path, "--data", digits_data, "--output", tmp_path / "x.tflite", *arguments
    )
    assert (code, out) == (1, "")
    assert message in " ".join(err.split())


@pytest.mark.slow
def test_retrained_network_on_the_software_board(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    output, plan = tmp_path / "again.tflite", "smapprox:2222"
    arguments = (
        "retrain", digits_path, "--data", digits_data, "--plan", plan, "--output", output,
        "--epochs", 2, "--batch", 8, "--held-out", 10, "--rate", 0.003, "--json",
    )  # fmt: skip
    content = json_of(axynq(*arguments))
    network = load_model(output)
    examples = load_dataset(digits_data)
    x = quantise_examples(network.input, examples.x)
    overlay = Overlay.load("z2-sm16")
    program = compile_program(network, Plan.parse(network, plan), overlay)
    with Accelerator(overlay, device="software") as accelerator:
        found = accelerator.run(program, x)
    assert np.array_equal(found, Emulator(network, plan).run(x))
    accuracy = float((found.reshape(len(x), -1).argmax(axis=1) == examples.y).mean())
    assert content["accuracy_after"] == pytest.approx(accuracy)


def test_test_examples_that_were_trained_on(capsys) -> None:
    x = np.arange(20, dtype=np.int8).reshape(10, 2)

    def said(tested: np.ndarray, split: str = "test") -> str:
        warn_of_trained(x, 2, tested, split)
        return " ".join(capsys.readouterr().err.split())

    assert "no test part: 8 of the 10 test examples were trained on, so the accur" in said(x)
    assert "warning: 1 of the 2 test examples" in said(np.stack([x[4], x[4] + 100]))
    assert "--split train: 2 of the 3" in said(x[:3], "train")
    assert said(x + 100) == ""
    assert said(x[[0, 9]]) == ""  # held out
