# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What docs/pytorch.md, docs/quantisation.md and their example say runs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, load_model
from tests.docs.documents import ROOT
from tests.docs.test_snippets import run

torch = pytest.importorskip("torch")


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 3),
    ).eval()  # fmt: skip


def test_pytorch(tmp_path: Path) -> None:
    x = torch.randn(12, 1, 8, 8)
    names: dict[str, object] = {
        "module": small(),
        "torch": torch,
        "calibration": x,
        "x_test": x.permute(0, 2, 3, 1).numpy(),
        "y_test": np.zeros(12, np.int64),
        "loader": [(x[:4], torch.zeros(4, dtype=torch.int64))],
    }
    path, retrained = tmp_path / "model.tflite", tmp_path / "retrained.tflite"
    run("docs/pytorch.md", 0, {"model.tflite": str(path)}, names)
    run("docs/pytorch.md", 2, {"retrained.tflite": str(retrained)}, names)
    found = names["approximate"](x).detach().numpy()  # type: ignore[operator]
    model = load_model(retrained)
    expected = Emulator(model, "smapprox:2222").run(names["x_test"])  # type: ignore[arg-type]
    np.testing.assert_allclose(found, model.output.dequantise(expected), rtol=1e-6)


def test_quantisation(tmp_path: Path) -> None:
    module, path = tmp_path / "model.pt2", tmp_path / "model.tflite"
    example = (torch.randn(2, 1, 8, 8),)
    torch.export.save(torch.export.export(small(), example), module)
    rng = np.random.default_rng(0)
    names: dict[str, object] = {
        "x": rng.normal(size=(8, 8, 8, 1)).astype(np.float32),
        "weights": rng.normal(size=(4, 3, 3, 1)),
        "bias": rng.normal(size=4),
        "more_weights": rng.normal(size=(3, 64)),
        "more_bias": rng.normal(size=3),
    }
    run("docs/quantisation.md", 0, {"model.pt2": str(module), "model.tflite": str(path)}, names)
    assert load_model(path).input.shape == (8, 8, 1)
    run("docs/quantisation.md", 1, {}, names)


@pytest.mark.slow
def test_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    path = tmp_path / "digits.tflite"
    script = ROOT / "examples" / "pytorch" / "approximate_training.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--epochs", "1", "--output", str(path)])
    runpy.run_path(str(script), run_name="__main__")
    lines = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert lines["trained for it"] == lines["the same by the emulator"]
    assert load_model(path).output.shape == (10,)
