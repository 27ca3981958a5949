# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The shipped networks once more, by way of PyTorch: float modules of their weights, quantised."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples

torch = pytest.importorskip("torch")

from axynq.emulator.frameworks.pytorch import Options, from_torch, write_back

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data(cifar10_path: Path) -> dict[str, np.ndarray]:
    test, train = load_dataset(cifar10_path), load_dataset(cifar10_path, "train").evenly(512)
    return {"x": test.x, "y": test.y, "calibration": train.x}


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples" / "training"), *sys.path])
    import networks as module

    yield module.NETWORKS
    del sys.modules["networks"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["resnet8", "resnet14"])
@pytest.mark.parametrize("ranges", ["min-max", "least-error"])
def test_accuracy_is_kept(data: dict[str, np.ndarray], networks, name: str, ranges: str) -> None:
    """All test images: at most 0.3 points less than the network that is shipped, and than the float
    module of its weights."""
    shipped = load_model(ROOT / "models" / f"{name}_int8.tflite")
    before = Emulator(shipped).accuracy(quantise_examples(shipped.input, data["x"]), data["y"])
    module = networks[name]().eval()
    write_back(shipped, module)
    x = torch.from_numpy(data["x"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        classes = [module(part.float() / 255).argmax(1) for part in x.split(500)]
    real = float((torch.cat(classes).numpy() == data["y"]).mean())
    calibration = data["calibration"].transpose(0, 3, 1, 2) / 255
    options = Options(ranges=ranges, input_range=(0.0, 1.0))  # type: ignore[arg-type]
    model = from_torch(module, calibration, options)
    after = Emulator(model).accuracy(quantise_examples(model.input, data["x"]), data["y"])
    assert after >= max(before, real) - 0.003, (before, real, after)
