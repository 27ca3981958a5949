# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What docs/hls4ml.md shows runs, one block after another, on small networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, save_model
from axynq.hls4ml import choosing
from tests.docs.documents import document
from tests.hybrid_networks import Network

PAGE = "docs/hls4ml.md"


def run(number: int, names: dict[str, Any], replaced: dict[str, str] | None = None) -> None:
    block = document(PAGE).blocks("python")[number]
    for old, new in (replaced or {}).items():
        assert old in block, old
        block = block.replace(old, new)
    exec(compile(block, PAGE, "exec"), names)


def network() -> Any:
    """Its dense layer has 16 bits, and so no multipliers."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    start = keras.Input((4, 4, 1), name="image")
    at = layers.Conv2D(2, 3, activation="relu", name="conv1")(start)
    return keras.Model(start, layers.Dense(3, name="dense")(layers.Flatten(name="flat")(at)))


def inputs() -> Any:
    return np.random.default_rng(0).random((60, 4, 4, 1)).astype(np.float32)


@pytest.mark.slow
def test_a_first_design(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": network(), "x_test": inputs()}
    run(0, names)
    assert names["scores"].shape == (60, 3)
    assert "18 roup:1,4" in capsys.readouterr().out


@pytest.mark.thorough
def test_choosing_and_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = inputs()
    names: dict[str, Any] = {"model": network(), "x_test": x, "Settings": choosing.Settings}
    run(0, names)
    exact = choosing.SelectableDesign(names["hls_model"])
    exact.select(Plan.uniform("exact"))
    labels = exact.predict(x).argmax(axis=1)
    names |= {"x_train": x, "y_train": labels, "y_test": labels}
    smaller = "max_loss=0.02, settings=Settings(population=8, evaluations=16),"
    with pytest.warns(UserWarning, match="layer 'dense'"):
        run(1, names, {"max_loss=0.02,": smaller})
    chosen = names["chosen"]
    assert names["found"].baseline == names["choices"].baseline == 1
    assert chosen.accuracy >= 0.99
    assert chosen.hls_config["Model"]["Multipliers"] == chosen.plan.content()

    run(3, names)
    assert list((tmp_path / "pynq_z2" / "firmware" / "rtl").glob("*.v"))
    script = (tmp_path / "pynq_z2" / "build_prj.tcl").read_text(encoding="utf-8")
    assert "add_files -blackbox" in script


def test_how_many_plans_are_looked_at() -> None:
    (told,) = re.findall(r"evaluates\s+(\d+)\s+plans\s+per\s+level", document(PAGE).text)
    assert int(told) == choosing.Settings().evaluations


@pytest.mark.thorough
def test_an_int8_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = Network((4, 4, 2), seed=0)
    model = small.model(small.convolution(0, 3))
    save_model(model, tmp_path / "model.tflite")
    images = np.random.default_rng(0).integers(-128, 128, (5, 4, 4, 2)).astype(np.int8)
    names: dict[str, Any] = {"images": images}
    run(2, names)
    expected = Emulator(names["model"], "roup:1,4").run(images)
    np.testing.assert_array_equal(names["y"], expected)
