# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a noise-based search leaves: the front in the form that `axynq explore` writes too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axynq.emulator import save_model
from axynq.emulator.errors import DataError
from axynq.emulator.studies.comparison import CONFIDENCE
from axynq.emulator.studies.matching.pipeline import Found, Outcome, Task
from axynq.emulator.studies.search.front import pareto_front
from axynq.emulator.studies.search.report import (
    Point,
    energy_sources,
    test_figures,
    write_front,
)


def points_of(outcome: Outcome) -> list[Point]:
    """All that was found, by energy. What is on the front is decided by the examples held out, not
    by the test examples."""
    ranked = sorted(outcome.found, key=lambda found: (found.energy, found.retrained))
    front = {
        f.name
        for kind in (False, True)  # no rivals (axynq.emulator.studies.search.exploration.Outcome)
        for f in pareto_front(
            [f for f in ranked if f.retrained == kind], lambda f: (-f.choice_accuracy, f.energy)
        )
    }
    return [
        Point(
            found.name, "layer", 1 - found.energy, found.choice_accuracy,
            outcome.choice_baseline - found.choice_accuracy, found.choice_accuracy, None,
            found.name in front, found.name in front, found.plan, found.against_exact,
            found.name, found.retrained,
        )
        for found in ranked
    ]  # fmt: skip


def write_report(outcome: Outcome, task: Task, folder: Path, context: dict[str, Any]) -> Path:
    """Write ``front.json``, for each point its plan in ``plans/`` and its network in ``models/``,
    ``front.png`` and ``front.html``.

    Args:
        outcome: what was found.
        task: what was done.
        folder: where to write; it is made.
        context: more entries for the JSON file.

    Returns:
        The path of ``front.json``.

    Raises:
        DataError: the folder cannot be written.
        ToolError: matplotlib or plotly is not installed.
    """
    try:
        for part in ("plans", "models"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"'{folder}' cannot be written: {error.strerror}") from error
    points = points_of(outcome)
    by_name = {found.name: found for found in outcome.found}
    content = {
        **context,
        "baseline_accuracy": outcome.baseline,
        "choice_baseline_accuracy": outcome.choice_baseline,
        "confidence": CONFIDENCE,
        "choice_examples": task.search.validation,
        "test_examples": len(task.test),
        "method": "noise-based search",
        "tuning": {"weights": "none", "compensate": False},
        "search": {**task.search.as_dict(), "strength": list(task.strengths)},
        "prediction": task.prediction,
        "retraining": task.retraining.as_dict() if task.retraining is not None else None,
        "energies": energy_sources(task.figures, task.library),
        "points": [_entry(point, by_name[point.name], folder) for point in points],
    }
    return write_front(content, points, folder)


def _entry(point: Point, found: Found, folder: Path) -> dict[str, Any]:
    """A point as ``front.json`` has it; its plan and its network are written."""
    plan, model = f"plans/{point.name}.json", f"models/{point.name}.tflite"
    found.plan.save(folder / plan)
    save_model(found.model, folder / model)
    return {
        "name": point.name,
        "level": point.level,
        "energy_gain": point.energy_gain,
        **test_figures(point),
        "choice_accuracy": point.choice_accuracy,
        "choice_loss": point.choice_loss,
        "on_front": point.on_front,
        "on_level_front": point.on_level_front,
        "plan": plan,
        "model": model,
        "strength": found.strength,
        "retrained": found.retrained,
        "layers": {
            name: {
                "multiplier": assignment.multipliers[0],
                "noise": found.deviations[name],
                "predicted": found.predicted[name],
            }
            for name, assignment in found.plan.layers.items()
        },
    }
