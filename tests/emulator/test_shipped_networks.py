# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The networks that ship, against TFLite's reference kernels and their model cards."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples
from tests.emulator.runtime import run
from tests.networks import random_input

MODELS = Path(__file__).parents[2] / "models"
NETWORKS = sorted(path.name for path in MODELS.glob("*.tflite"))


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_to_tflites_reference_kernels(name: str) -> None:
    model = load_model(MODELS / name)
    x = random_input(model, 24, 0)
    expected = run("tflite_runtime", (MODELS / name).read_bytes(), x)
    assert np.array_equal(Emulator(model).run(x), expected)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "digits_int8.tflite"])
def test_accuracy_is_the_cards(name: str, cifar10_path: Path) -> None:
    card = (MODELS / "README.md").read_text(encoding="utf-8").split(f"## {name}")[1]
    stated = re.search(r"int8 ([\d.]+) %", card)
    assert stated is not None
    model = load_model(MODELS / name)
    data = load_dataset(cifar10_path, "test")
    predicted = Emulator(model).run(quantise_examples(model.input, data.x)).argmax(axis=1)
    assert f"{100 * (predicted == data.y).mean():.2f}" == stated[1]
