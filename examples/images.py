# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""CIFAR-10 for the examples: decoded once, then read from a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from axynq.emulator import files
from axynq.emulator.datasets import load_dataset


def load_images(data: Path, cache: Path) -> dict[str, np.ndarray]:
    """All images and labels, x_train, y_train, x_test and y_test.

    ``data`` is CIFAR-10 as `axynq evaluate` takes it; ``cache`` is made where it does not exist.
    """
    if not cache.exists():
        arrays = {}
        for split in ("train", "test"):
            part = load_dataset(data, split)
            arrays[f"x_{split}"], arrays[f"y_{split}"] = part.x, part.y
        cache.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(cache) as arrays:
        return dict(arrays)
