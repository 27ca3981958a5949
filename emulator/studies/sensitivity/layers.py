# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How much accuracy each part of a network loses under multipliers of different strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import Model
from axynq.emulator.pictures import new_figure, save_figure
from axynq.emulator.plan import Assignment, Plan
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.sensitivity.estimate import Increase

EXACT = Assignment(("exact",))


@dataclass(frozen=True)
class LayerSensitivity:
    """Accuracies with parts of the network approximate (MAx-DNN paper, Fig. 3)."""

    layers: tuple[str, ...]
    baseline: float
    """With exact multipliers."""
    alone: Mapping[str, tuple[float, ...]]
    """By multiplier, with one layer approximate, for each layer."""
    first: Mapping[str, tuple[float, ...]]
    """By multiplier, with all layers up to each one approximate."""


class Evaluates(Protocol):
    """What counts right classifications, such as
    :class:`axynq.emulator.studies.evaluator.Evaluator`."""

    @property
    def model(self) -> Model:
        """The network whose layers have multipliers."""

    @property
    def examples(self) -> Examples:
        """What is classified."""

    def correct(self, plan: Plan) -> int:
        """How many examples are classified rightly under ``plan``."""


def layer_sensitivity(
    evaluator: Evaluates,
    specs: Sequence[str],
    advance: Callable[[int], None] = lambda evaluations: None,
) -> LayerSensitivity:
    """Measure every layer alone, and the first layers together, under each multiplier.

    Takes ``evaluations(model, specs)`` evaluations.
    """
    names = tuple(layer.name for layer in evaluator.model.layers)

    def accuracy(approximate: Sequence[str], spec: str) -> float:
        plan = Plan({name: Assignment((spec,)) for name in approximate}, EXACT)
        share = evaluator.correct(plan) / len(evaluator.examples)
        advance(1)
        return share

    baseline = accuracy((), "exact")
    # From the last layer to the first: what comes before is exact, and stays in memory.
    alone = {
        spec: tuple([accuracy((name,), spec) for name in reversed(names)][::-1]) for spec in specs
    }
    first = {
        spec: tuple(accuracy(names[: m + 1], spec) for m in range(len(names))) for spec in specs
    }
    return LayerSensitivity(names, baseline, alone, first)


def evaluations(model: Model, specs: Sequence[str]) -> int:
    """How many evaluations :func:`layer_sensitivity` takes."""
    return 1 + 2 * len(model.layers) * len(specs)


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Spearman's rank correlation; 0 where one of both is constant."""
    first, second = _ranks(np.asarray(a, np.float64)), _ranks(np.asarray(b, np.float64))
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks; equal values share their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which.reshape(-1)])


def draw_sensitivity(
    measured: LayerSensitivity, labels: Mapping[str, str], increase: Increase, path: Path
) -> None:
    """Layers alone, first layers, and the estimates of filters and channels.

    Args:
        measured: accuracies.
        labels: by multiplier what it is called in the picture.
        increase: estimates; may be empty. Those of the last multiplier are drawn.
        path: where to write; the suffix says as what.

    Raises:
        ToolError: matplotlib is not installed.
        DataError: the picture cannot be written.
    """
    figure = new_figure(10, 7 if increase else 3.8)
    grid: Any = figure.subplots(2 if increase else 1, 2, squeeze=False)
    places = range(1 + len(measured.layers))
    for axes, accuracies, title in (
        (grid[0, 0], measured.alone, "one layer approximate"),
        (grid[0, 1], measured.first, "all layers up to this one approximate"),
    ):
        for spec, label in labels.items():
            values = [100 * v for v in (measured.baseline, *accuracies[spec])]
            axes.plot(places, values, marker="o", markersize=4, label=label)
        axes.set_xticks(places, ["none", *measured.layers], rotation=60, ha="right", fontsize=7)
        axes.set_ylabel("accuracy [%]")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    if increase:
        spec = list(labels)[-1]
        _draw_elements(figure, grid[1, 0], increase, measured.layers, "filter", spec)
        _draw_elements(figure, grid[1, 1], increase, measured.layers, "channel", spec)
    save_figure(figure, path)


def _draw_elements(
    figure: Any, axes: Any, increase: Increase, layers: Sequence[str], axis: Any, spec: str
) -> None:
    """A row per layer, a cell per element, from the most to the least sensitive."""
    rows = [np.sort(increase[name, axis, spec])[::-1] for name in layers]
    cells = np.full((len(rows), max(map(len, rows))), np.nan)
    for k, row in enumerate(rows):
        cells[k, : len(row)] = np.maximum(row, 1e-6)
    from matplotlib.colors import LogNorm

    top = np.nanmax(cells)
    image = axes.imshow(
        cells, aspect="auto", cmap="viridis", norm=LogNorm(max(top / 1e4, 1e-6), max(top, 1e-5))
    )
    axes.set_yticks(range(len(layers)), layers, fontsize=7)
    axes.set_xlabel(f"{axis}s, most sensitive first")
    axes.set_title(f"estimated increase of the loss, one {axis} under {spec}", fontsize=9)
    figure.colorbar(image, ax=axes)
