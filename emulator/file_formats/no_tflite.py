# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Stand-ins for reader and writer that say that the package ``tflite`` is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from axynq.emulator.errors import ToolError
from axynq.emulator.model import graph


def load_model(path: str | Path) -> graph.Model:
    """Raises:
    ToolError: always.
    """
    _refuse()


def save_model(model: graph.Model, path: str | Path) -> None:
    """Raises:
    ToolError: always.
    """
    _refuse()


def _refuse() -> NoReturn:
    raise ToolError(
        "reading and writing .tflite files needs the package tflite: pip install tflite"
    )
