# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Modules under the names that they had in version 0.1: they work, with a warning, until 0.3."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class MovedModules(MetaPathFinder, Loader):
    """Finds modules by their old names; a folder's old name stands for all that was in it."""

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._moved = moved

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if self._now(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        now = self._now(old)
        assert now is not None
        warnings.warn(
            f"'{old}' is called '{now}' now; the old name goes with version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[old] = importlib.import_module(now)

    def _now(self, old: str) -> str | None:
        if old in self._moved:
            return self._moved[old]
        folder, _, name = old.rpartition(".")
        return f"{self._moved[folder]}.{name}" if folder in self._moved else None


def install(package: str, moved: Mapping[str, str]) -> None:
    """Let modules of a package be found by old names too, both given without the package."""
    names = {f"{package}.{old}": f"{package}.{now}" for old, now in moved.items()}
    # In front: git leaves folders behind where Python kept its bytecode, and those can be imported.
    sys.meta_path.insert(0, MovedModules(names))


EMULATOR = {
    "engine.build": "toolchain",
    "explore": "studies.search",
    "explore.estimate": "studies.sensitivity.estimate",
    "explore.evaluator": "studies.evaluator",
    "explore.gradients": "studies.sensitivity.gradients",
    "explore.sensitivity": "studies.sensitivity.layers",
    "model.builder": "quantisation.builder",
    "model.no_tflite": "file_formats.no_tflite",
    "model.tflite_reader": "file_formats.tflite_reader",
    "model.tflite_writer": "file_formats.tflite_writer",
    "retrain": "studies.retraining",
    "retrain.levels": "studies.retraining.weight_quantiser",
    "statistics": "studies.errors",
    "tuning": "studies.tuning",
}
