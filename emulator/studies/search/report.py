# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What an exploration leaves: the front as JSON, a plan for each of its points, and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from axynq.emulator import files, save_model
from axynq.emulator.energy import Energy, EnergyFigures, relative_energy
from axynq.emulator.errors import DataError, ToolError
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import multiplier
from axynq.emulator.pictures import new_figure, save_figure
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import CONFIDENCE, Comparison
from axynq.emulator.studies.search.exploration import Outcome, Task, level_fronts
from axynq.emulator.studies.search.folder import remove_other_points
from axynq.emulator.studies.search.front import Candidate
from axynq.emulator.studies.tuning.compensation import frozen, tune

COLOURS = {
    "layer": "#7f7f7f",
    "filter": "#1f77b4",
    "channel": "#2ca02c",
    "row": "#d62728",
    "column": "#ff7f0e",
    "mixed": "#9467bd",
}

MARKERS = {
    **{"layer": "o", "filter": "s", "channel": "^"},
    **{"row": "D", "column": "v", "mixed": "*"},
}


@dataclass(frozen=True)
class Point:
    """A finalist as it is reported."""

    name: str
    level: str
    energy_gain: float
    """1 - relative energy."""
    choice_accuracy: float
    """On the examples that the front was chosen by."""
    choice_loss: float
    """Against exact multipliers, on the same examples."""
    search_accuracy: float
    cycles: float | None
    on_front: bool
    """Whether no other point, retrained or not as it is, beats it on the choice examples."""
    on_level_front: bool
    """Whether no other point of its :attr:`series` does."""
    plan: Plan
    tested: Comparison | None
    """The exact network and this point on the test examples; None: it was not chosen."""
    key: str
    """Of the candidate."""
    retrained: bool = False

    @property
    def accuracy(self) -> float | None:
        """On the test examples."""
        return None if self.tested is None else self.tested.second_accuracy

    @property
    def accuracy_loss(self) -> float | None:
        """Against exact multipliers, on the test examples."""
        return None if self.tested is None else self.tested.loss

    @property
    def designs(self) -> tuple[str, ...]:
        """The multipliers of the plan, in the order in which layers first use them."""
        used = (spec for layer in self.plan.layers.values() for spec in layer.multipliers)
        return tuple(dict.fromkeys(used))

    @property
    def series(self) -> str:
        """What it is drawn with: the level, retrained or not."""
        return f"{self.level} level, retrained" if self.retrained else f"{self.level} level"


@dataclass(frozen=True)
class Finished:
    """A network that was retrained for a point's plan."""

    model: Model
    entries: Mapping[str, Any]
    """What the JSON file says of it besides."""


def points_of(outcome: Outcome) -> list[Point]:
    """All finalists, numbered by energy."""
    front = {c.key for retrained in (False, True) for c in outcome.front(retrained=retrained)}
    fronts = {c.key for c in level_fronts(outcome.measured)}
    points = []
    for number, measured in enumerate(outcome.measured):
        c: Candidate = measured.candidate
        name = f"{number:03d}-{c.level}" + ("-retrained" if measured.retrained else "")
        points.append(
            Point(
                name, c.level, 1 - c.energy, c.accuracy,
                outcome.choice_baseline - c.accuracy, measured.search_accuracy, c.cycles,
                c.key in front, c.key in fronts, c.plan, measured.against_exact,
                c.key, measured.retrained,
            )
        )  # fmt: skip
    return points


def write_report(
    outcome: Outcome,
    task: Task,
    folder: Path,
    context: dict[str, Any],
    finished: Mapping[str, Finished] = MappingProxyType({}),
) -> Path:
    """Write ``front.json``, ``plans/*.json``, tuned or retrained networks in ``models/``,
    ``front.png`` and ``front.html``.

    Args:
        outcome: what was found.
        task: what was explored.
        folder: where to write; it is made.
        context: more entries for the JSON file.
        finished: retrained networks by the keys of their candidates.

    Returns:
        The path of ``front.json``.

    Raises:
        DataError: the folder cannot be written.
        ToolError: matplotlib or plotly is not installed.
    """
    points = points_of(outcome)
    try:
        (folder / "plans").mkdir(parents=True, exist_ok=True)
        if task.tuner is not None:
            (folder / "models").mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"'{folder}' cannot be written: {error.strerror}") from error
    entries = []
    for point in points:
        entry: dict[str, Any] = {
            "name": point.name,
            "level": point.level,
            "energy_gain": point.energy_gain,
            **test_figures(point),
            "choice_accuracy": point.choice_accuracy,
            "choice_loss": point.choice_loss,
            "search_accuracy": point.search_accuracy,
            "on_front": point.on_front,
            "on_level_front": point.on_level_front,
        }
        entry["designs"] = list(point.designs)
        if task.cells is not None:
            entry["cells"] = cell_costs(task, point.plan, point.designs)
        if point.cycles is not None:
            entry["cycles"] = point.cycles
        if point.key in finished:
            entry |= finished[point.key].entries
        if point.tested is not None or point.key in finished:
            entry |= _files(point, task, folder, finished.get(point.key))
        entries.append(entry)
    content = {
        **context,
        "baseline_accuracy": outcome.baseline,
        "choice_baseline_accuracy": outcome.choice_baseline,
        "confidence": CONFIDENCE,
        "search_examples": len(task.search_examples),
        "choice_examples": len(task.deciding_examples),
        "test_examples": len(task.test_examples),
        "tuning": tuning_words(task),
        "energies": energy_sources(task.figures, task.library),
        "statistics": {
            "plans_looked_at": outcome.looked_at,
            "evaluations_computed": outcome.computed,
            "seconds": round(outcome.seconds, 1),
        },
        "points": entries,
    }
    return write_front(content, points, folder)


def write_front(content: Mapping[str, Any], points: Sequence[Point], folder: Path) -> Path:
    """Write ``front.json``, whose path is returned, with this content, and both pictures. Plans and
    networks in the folder that belong to no point of it are removed.

    Raises:
        DataError: the file cannot be written, or another one not removed.
        ToolError: matplotlib or plotly is not installed.
    """
    path = folder / "front.json"
    whole = {"format": "axynq-front", "version": 1, **content}
    try:
        files.write_text(path, json.dumps(whole, indent=2) + "\n")
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error
    entries = content["points"]
    remove_other_points(
        folder, (entry[part] for entry in entries for part in ("plan", "model") if part in entry)
    )
    draw_front(points, folder / "front.png")
    draw_interactive(points, folder / "front.html")
    return path


def test_figures(point: Point) -> dict[str, Any]:
    """What is known of a point on the test examples, for JSON: nothing where it is on no front."""
    if point.tested is None:
        return {}
    return {
        "accuracy": point.accuracy,
        "accuracy_loss": point.accuracy_loss,
        "accuracy_loss_interval": list(point.tested.loss_interval()),
        "p_value": point.tested.p_value(),
    }


def tuning_words(task: Task) -> dict[str, Any]:
    """How networks were tuned, for the JSON file."""
    tuner = task.tuner
    if tuner is None:
        return {"weights": "none", "compensate": False}
    words: dict[str, Any] = {"weights": tuner.weights, "compensate": tuner.compensate}
    return {**words, "method": task.method.value} if tuner.compensate else words


def energy_sources(figures: EnergyFigures, library: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Relative energy of each multiplier, and where the figure is from."""
    sources = {}
    for spec in library:
        energy = figures.of(multiplier(spec))
        if energy is not None:
            sources[spec] = {"relative": energy.relative, "source": energy.source}
    return sources


def cell_costs(task: Task, plan: Plan, designs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By the way that the cells of an array are made that has the multipliers of a plan: the LUTs
    of a cell, and the energy saved with what cells cost beside the multiplier they are set to."""
    costs: dict[str, dict[str, Any]] = {}
    for way, (luts, energies) in (task.cells(designs) if task.cells else {}).items():
        costs[way] = {"luts": luts}
        if energies:
            figures = task.figures.extended({s: Energy(e, way) for s, e in energies.items()})
            energy = relative_energy(task.model, plan, figures)
            costs[way]["energy_gain"] = None if energy is None else 1 - energy
    return costs


def _files(point: Point, task: Task, folder: Path, finished: Finished | None) -> dict[str, str]:
    """The point's plan, and its network where it was tuned or retrained."""
    plan = point.plan
    names = {"plan": f"plans/{point.name}.json"}
    if task.tuner is not None:
        names["model"] = f"models/{point.name}.tflite"
        model = (  # that the finalist's accuracy was measured with
            finished.model
            if finished
            else tune(task.tuner, plan, task.search_examples.x, task.method)
        )
        save_model(model, folder / names["model"])
        plan = frozen(plan, task.model)
    plan.save(folder / names["plan"])
    return names


def draw_front(points: Sequence[Point], path: Path, title: str = "") -> None:
    """Accuracy loss on the test examples, with its interval, against energy saved, by level (as
    Fig. 4 of the MAx-DNN paper).

    Raises:
        ToolError: matplotlib is not installed.
    """
    figure = new_figure(7.5, 4.5)
    axes = figure.subplots()
    beside = any(point.retrained for point in points)  # those that are not are dashed then
    for series in dict.fromkeys(point.series for point in points):
        of_series = [point for point in points if point.series == series]
        level, retrained = of_series[0].level, of_series[0].retrained
        tested = [(p, p.tested) for p in of_series if p.tested is not None]
        losses = [100 * comparison.loss for _, comparison in tested]
        intervals = [comparison.loss_interval() for _, comparison in tested]
        axes.errorbar(
            [100 * point.energy_gain for point, _ in tested], losses,
            [[loss - 100 * i.low for loss, i in zip(losses, intervals)],
             [100 * i.high - loss for loss, i in zip(losses, intervals)]],
            marker=MARKERS[level], color=COLOURS[level], markersize=5, linewidth=1,
            linestyle="--" if beside and not retrained else "-", elinewidth=0.5, label=series,
        )  # fmt: skip
    axes.set_xlabel("energy saved in the multiplications [%]")
    axes.set_ylabel("accuracy loss [points]")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if points:
        axes.legend()
    save_figure(figure, path)


def draw_interactive(points: Sequence[Point], path: Path) -> None:
    """The same as an HTML page that needs nothing else; a point shows its plan.

    Raises:
        ToolError: plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise ToolError("interactive pictures need plotly: pip install 'axynq[explore]'") from error
    figure = go.Figure()
    beside = any(point.retrained for point in points)
    for series in dict.fromkeys(point.series for point in points):
        for on_front in (True, False):
            of_level = [p for p in points if p.series == series and p.on_level_front == on_front]
            if not of_level:
                continue
            level = of_level[0].level
            dash = "dash" if beside and not of_level[0].retrained else "solid"
            figure.add_scatter(
                x=[100 * p.energy_gain for p in of_level],
                y=[100 * _shown_loss(p) for p in of_level],
                mode="lines+markers" if on_front else "markers",
                name=series + ("" if on_front else ", not on its front"),
                opacity=1.0 if on_front else 0.35,
                marker={"color": COLOURS[level], "size": 8 if on_front else 6},
                line={"color": COLOURS[level], "width": 1, "dash": dash},
                customdata=[[p.name, _losses(p), _described(p.plan)] for p in of_level],
                hovertemplate=(
                    "<b>%{customdata[0]}</b><br>energy saved %{x:.1f} %<br>"
                    "%{customdata[1]}<br>%{customdata[2]}"
                ),
            )
    figure.update_layout(
        xaxis_title="energy saved in the multiplications [%]",
        yaxis_title="accuracy loss [points]",
        template="plotly_white",
    )
    try:
        with files.replacing(path) as temporary:
            figure.write_html(temporary, include_plotlyjs=True, full_html=True)
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def _shown_loss(point: Point) -> float:
    """On the test examples, or where there is none on the choice examples."""
    return point.choice_loss if point.accuracy_loss is None else point.accuracy_loss


def _losses(point: Point) -> str:
    """What a point loses, as HTML."""
    lines = [f"loss on the choice examples {100 * point.choice_loss:.2f} points"]
    if point.tested is not None:
        low, high = point.tested.loss_interval()
        lines.append(
            f"on the test examples {100 * point.tested.loss:.2f} "
            f"({100 * low:.2f} to {100 * high:.2f})"
        )
    return "<br>".join(lines)


def _described(plan: Plan) -> str:
    """The plan's layers in short, as HTML."""
    lines = []
    for name, assignment in plan.layers.items():
        skip = "" if assignment.skip_sigma is None else f", klms={assignment.skip_sigma:g}"
        lines.append(f"{name}: {assignment.axis} {' | '.join(assignment.multipliers)}{skip}")
    return "<br>".join(lines)
