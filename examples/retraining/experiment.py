# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the retraining experiments share: multipliers, data, and results that survive a stop."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from images import load_images

from axynq.emulator import Emulator, Plan, files, load_model
from axynq.emulator.datasets import evenly_spread, quantise_examples
from axynq.emulator.model.graph import Model

HERE = Path(__file__).parent
RESULTS = HERE / "results"
MODELS = HERE.parents[1] / "models"

SMAPPROX = ("1100", "2200", "3300", "1110", "3330", "2220", "3333", "2222")
"""Table 2 of the error-modelling paper, in its order."""

MULTIPLIERS = (*(f"smapprox:{digits}" for digits in SMAPPROX), "roup:1,4", "roup:1,6", "roup:2,6")


SAMPLES = 1024
"""Training examples that errors are measured and weights tuned with."""


def short(multiplier: str) -> str:
    """As in tables and pictures."""
    kind, _, parameters = multiplier.partition(":")
    return {"smapprox": parameters, "roup": f"ROUP {parameters}"}.get(kind, multiplier)


@dataclass(frozen=True)
class Subject:
    """A network and the examples in its quantisation."""

    name: str
    model: Model
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def accuracy(self, model: Model, plan: Plan | str) -> float:
        """On all test examples, bit for bit, 0 to 1."""
        return Emulator(model, plan).accuracy(self.x_test, self.y_test)

    def part(self, images: int | None) -> tuple[np.ndarray, np.ndarray]:
        """So many training examples, evenly spread, and their labels; None: all."""
        count = len(self.x_train)
        chosen = evenly_spread(count, images or count)
        return self.x_train[chosen], self.y_train[chosen]

    @property
    def samples(self) -> np.ndarray:
        """Training examples to measure or to calibrate with, evenly spread."""
        return self.x_train[:: len(self.x_train) // SAMPLES][:SAMPLES]


def subject(name: str, data: Path, cache: Path = Path("build/retraining/cifar10.npz")) -> Subject:
    """One of the networks that ship with axynq, and CIFAR-10, decoded once."""
    network = load_model(MODELS / f"{name}_int8.tflite")
    images = load_images(data, cache)
    return Subject(
        name,
        network,
        quantise_examples(network.input, images["x_train"]),
        images["y_train"],
        quantise_examples(network.input, images["x_test"]),
        images["y_test"],
    )


class Records:
    """Results in a JSON file: facts about the experiment, and one record a run, found by its key:
    the last one where there are several.

    The file is whole after every addition; what it has is not computed again. Several processes may
    add to it.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self._facts = facts
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.content = self._read()

    def find(self, **key: Any) -> dict[str, Any] | None:
        for record in reversed(self.content["runs"]):
            if all(record.get(name) == value for name, value in key.items()):
                return dict(record)
        return None

    def add(self, **record: Any) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.content = self._read()
            self.content["runs"].append(record)
            # One run a line: small files whose changes can be read.
            lines = ",\n  ".join(json.dumps(run) for run in self.content["runs"])
            head = json.dumps({k: v for k, v in self.content.items() if k != "runs"}, indent=1)
            files.write_text(self.path, f'{head[:-2]},\n "runs": [\n  {lines}\n ]\n}}\n')
        finally:
            os.close(folder)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {**self._facts, "runs": []}
        found: dict[str, Any] = json.loads(self.path.read_text())
        differing = [key for key, value in self._facts.items() if found.get(key) != value]
        if differing:
            raise SystemExit(
                f"{self.path} is of another experiment ({', '.join(differing)} differ): delete it, "
                "or give another place"
            )
        return found
