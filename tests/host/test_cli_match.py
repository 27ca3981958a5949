# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq match``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples
from axynq.emulator.energy import relative_energy
from axynq.emulator.model import graph
from tests.host.test_cli import json_of

pytest.importorskip("torch")

SMALL = ("--batch", 8, "--held-out", 10, "--noise-rate", 0.1, "--error-examples", 16,
         "--multipliers", "exact|roup:1,4|roup:2,6")  # fmt: skip


def test_match(
    axynq, digits: graph.Model, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "matched"
    arguments = ("match", digits_path, "--data", digits_data, "--output", folder, *SMALL,
                 "--strength", "0.1, 3,3", "--epochs", 2, "--retrain", 1, "--warmup", 0.1,
                 "--clip", 5, "--optimiser", "adam", "--retrain-rate", 0.0003)  # fmt: skip
    content = json_of(axynq(*arguments, "--json"))
    names = ["strength-0.1", "strength-0.1-retrained", "strength-3", "strength-3-retrained"]
    assert [point["name"] for point in content["points"]] == names
    front = json.loads((folder / "front.json").read_text())
    assert (front["format"], front["version"]) == ("axynq-front", 1)
    examples = load_dataset(digits_data)
    x = quantise_examples(digits.input, examples.x)
    assert front["baseline_accuracy"] == Emulator(digits, "exact").accuracy(x, examples.y)
    gains = [point["energy_gain"] for point in front["points"]]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > gains[-1]  # of the larger strength
    for point in front["points"]:
        model, plan = load_model(folder / point["model"]), Plan.load(folder / point["plan"])
        assert point["accuracy"] == Emulator(model, plan).accuracy(x, examples.y)
        energy = relative_energy(digits, plan)
        assert energy is not None
        assert point["energy_gain"] == pytest.approx(1 - energy)
        assert point["level"] == "layer"
        assert list(point["layers"]) == [layer.name for layer in digits.layers]
        for name, layer in point["layers"].items():
            assert plan.layers[name].multipliers == (layer["multiplier"],)
            assert layer["predicted"] <= layer["noise"]
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "strength-3" in (folder / "front.html").read_text()
    # nothing is left to be done: the same figures again
    assert json_of(axynq(*arguments, "--json")) == content
    code, out, _ = axynq(*arguments)
    assert code == 0
    assert "strength-3-retrained" in out
    assert "roup:2,6" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--multipliers", "roup:1,4"), 1, "needs the exact multiplier"),
        (("--held-out", 40), 1, "too few to hold out 40"),
        (("--batch", 31), 1, "train on batches of 31"),
        (("--strength", "0.1,much"), 2, "'much' is not a strength: give numbers from 0 on"),
        (("--strength", "-1"), 2, "'-1' is not a strength"),
        (("--strength", "inf"), 2, "'inf' is not a strength"),
        (("--device", "cuda:99"), 1, "PyTorch has no device 'cuda:99' here"),
    ],
)
def test_errors_are_one_line(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path, arguments, code: int, message: str
) -> None:
    found, out, err = axynq(
        "match", digits_path, "--data", digits_data, "--output", tmp_path / "x", *SMALL, *arguments
    )
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_multipliers_need_energies(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    products = np.arange(256)[:, None] * np.arange(256)
    np.savez(tmp_path / "t.npz", mul8u_mine=products & ~7)
    code, _, err = axynq(
        "match", digits_path, "--data", digits_data, "--output", tmp_path / "x", *SMALL,
        "--multipliers", f"exact|table:{tmp_path / 't.npz'}#mul8u_mine",
    )  # fmt: skip
    assert code == 1
    assert "no energy is known of 'table:" in err
    assert not (tmp_path / "x").exists()  # nothing was learnt before
