# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pictures of error statistics (paper, Fig. 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Accumulators
from axynq.emulator.pictures import new_figure, save_figure
from axynq.emulator.studies.errors.extraction import ErrorStatistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
BINS = 48


def draw_correlation(statistics: ErrorStatistics, path: Path) -> None:
    """For each layer a map of the correlation of output and error, the mean of the filters at each
    position; layers of one position show their filters in a row.

    Raises:
        ToolError: matplotlib is not installed.
        DataError: the picture cannot be written.
    """
    names = list(statistics.layers)
    figure, axes = _grid(len(names))
    image: Any = None
    for cell, name in zip(axes, names):
        correlation = statistics.layers[name].neurons.correlation
        single = correlation.shape[:2] == (1, 1)
        values = correlation[0] if single else correlation.mean(axis=2)
        image = cell.imshow(
            values.reshape(1, -1) if single else values,
            cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto" if single else "equal",
        )  # fmt: skip
        cell.set_title(f"{name}: mean {correlation.mean():+.2f}", fontsize=9)
        cell.set_xticks([])
        cell.set_yticks([])
    figure.colorbar(image, ax=list(axes), shrink=0.6, label="correlation of output and error")
    figure.suptitle(_title(statistics), fontsize=10)
    save_figure(figure, path)


def draw_histograms(
    statistics: ErrorStatistics,
    layers: Sequence[tuple[str, Accumulators]],
    path: Path,
) -> None:
    """For each layer the outputs, accurate and approximate, and below them the error.

    Args:
        statistics: for scales and the title.
        layers: names and accumulators [images, rows, columns, filters] of some samples.
        path: of the picture.

    Raises:
        ToolError: matplotlib is not installed.
        DataError: the picture cannot be written.
    """
    figure, axes = _grid(2 * len(layers), rows_per_item=2)
    for index, (name, sums) in enumerate(layers):
        scale = statistics.layers[name].scale
        exact, approximate = sums.exact * scale, sums.approximate * scale
        row, column = divmod(index, COLUMNS)
        upper = axes[2 * row * COLUMNS + column]
        lower = axes[(2 * row + 1) * COLUMNS + column]
        bins = np.histogram_bin_edges(_within(exact), BINS)
        upper.hist(exact.ravel(), bins, alpha=0.6, label="accurate")
        upper.hist(approximate.ravel(), bins, histtype="step", color="black", label="approximate")
        upper.set_title(name, fontsize=9)
        lower.hist(_within(approximate - exact), BINS, color="tab:red", label="error")
        for cell in (upper, lower):
            cell.set_yticks([])
            cell.tick_params(labelsize=7)
        if index == 0:
            upper.legend(fontsize=7)
            lower.legend(fontsize=7)
    figure.suptitle(f"{_title(statistics)}: before the activation, real units", fontsize=10)
    save_figure(figure, path)


def _within(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without the rare values that would leave a histogram empty."""
    low, high = np.quantile(values, (0.001, 0.999))
    flat = values.ravel()
    return flat[(flat >= low) & (flat <= high)]


def _grid(cells: int, rows_per_item: int = 1) -> tuple[Figure, npt.NDArray[np.object_]]:
    rows = -(-cells // (COLUMNS * rows_per_item)) * rows_per_item
    figure = new_figure(2.6 * COLUMNS, 2.0 * rows + 0.6)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    used = cells if rows_per_item == 1 else len(axes)
    for cell in axes[used:]:
        cell.set_axis_off()
    if rows_per_item > 1:
        items = cells // rows_per_item
        for index in range(items, rows // rows_per_item * COLUMNS):
            row, column = divmod(index, COLUMNS)
            for part in range(rows_per_item):
                axes[(rows_per_item * row + part) * COLUMNS + column].set_axis_off()
    return figure, axes


def _title(statistics: ErrorStatistics) -> str:
    return f"{statistics.model}, {statistics.plan}, {statistics.samples} samples"
