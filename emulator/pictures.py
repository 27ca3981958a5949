# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Figures of matplotlib, which is imported only where one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axynq.emulator import files
from axynq.emulator.errors import DataError, ToolError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches.

    Raises:
        ToolError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError("pictures need matplotlib: pip install 'axynq[plot]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure; the suffix says as what, without one as PNG.

    Raises:
        DataError: it cannot be written, or the suffix is of no known format.
    """
    try:
        with files.replacing(path) as temporary:
            kind = temporary.suffix[1:] or "png"  # savefig would append what it misses
            figure.savefig(temporary, dpi=DOTS_PER_INCH, format=kind)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"the picture '{path}' cannot be written: {reason}") from error
