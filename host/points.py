# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Points of accuracy and energy that documents quote, as networks with plans that can be run.

``models/points/`` holds a network and a plan for each, and ``index.json`` with what was measured:
on which images, how many of them the exact network and the point were right on, and what else is
quoted. All other figures follow from these counts and from the plan, and are checked when the index
is read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from axynq.emulator import files, load_model
from axynq.emulator.datasets import Dataset, evenly_spread, quantise_examples
from axynq.emulator.energy import relative_energy
from axynq.emulator.errors import DataError, PlanError
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import Multiplier, Table
from axynq.emulator.plan import Plan
from axynq.emulator.studies.comparison import CONFIDENCE, Comparison, Right, wilson_interval
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.search.measure import Measure
from axynq.emulator.studies.search.store import Store
from axynq.emulator.studies.search.workers import LocalWorker
from axynq.emulator.validation import complaint
from axynq.host.energy import energy_figures

SAMPLE = 500
"""Images of the quick check, evenly spread over all."""

INDEX = "index.json"

ENERGY_TOLERANCE = 1e-4
"""Figures of multipliers that ship have four digits; those measured on the spot have all."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Images(_Strict):
    """What accuracies were measured on."""

    name: str
    split: Literal["train", "test"]
    examples: Annotated[int, Field(ge=1)]
    fingerprint: str
    """SHA-256 of the images as they are read and of their labels, in hex."""


class RightOn(_Strict):
    """Images, by who is right: the exact network, the point."""

    both: Count
    only_exact: Count
    only_point: Count
    neither: Count

    @property
    def comparison(self) -> Comparison:
        """The point against the exact network."""
        return Comparison(self.both, self.only_exact, self.only_point, self.neither)

    @classmethod
    def of(cls, comparison: Comparison) -> RightOn:
        """From a comparison of the exact network with the point."""
        return cls(
            both=comparison.both,
            only_exact=comparison.only_first,
            only_point=comparison.only_second,
            neither=comparison.neither,
        )


class EnergyGain(_Strict):
    """1 - energy relative to exact multipliers, from the switching activity of netlists."""

    settled: float
    with_glitches: float


class Point(_Strict):
    """A network under a plan, and what it was measured to be."""

    name: Name
    network: str
    """What it is called, such as ResNet-8."""
    model: str
    """Its file in ``models/points/``."""
    plan: str
    """Its plan's file there."""
    exact: str
    """The file in ``models/`` of the exact network that it is compared with."""
    multipliers: tuple[str, ...]
    """Those of the plan, in alphabetical order."""
    energy_gain: EnergyGain
    exact_accuracy: Share
    accuracy: Share
    accuracy_interval: tuple[float, float]
    accuracy_loss: float
    accuracy_loss_interval: tuple[float, float]
    p_value: Share
    right_on: RightOn
    sample: RightOn
    """The same on :data:`SAMPLE` of the images, evenly spread."""
    made_by: Annotated[str, Field(min_length=1)]
    """The commands."""
    quoted_by: tuple[str, ...]
    """Documents that quote it, paths in the source tree."""

    @model_validator(mode="after")
    def _figures_follow_from_counts(self) -> Point:
        for name, value in figures_of(self.right_on.comparison).items():
            if not np.allclose(getattr(self, name), value, rtol=0, atol=1e-9):
                raise ValueError(f"{name} is not what the counts of right_on give: {value}")
        if self.sample.comparison.examples > self.right_on.comparison.examples:
            raise ValueError("the sample has more images than there are")
        return self


class Index(_Strict):
    """All points."""

    format: Literal["axynq-points"] = "axynq-points"
    version: Literal[1] = 1
    confidence: float = CONFIDENCE
    """Of all intervals."""
    images: Images
    points: tuple[Point, ...]

    @model_validator(mode="after")
    def _points_fit_together(self) -> Index:
        if self.confidence != CONFIDENCE:
            raise ValueError(f"intervals are of {CONFIDENCE}")
        for names in (
            [point.name for point in self.points],
            [file for point in self.points for file in (point.model, point.plan)],
        ):
            if len(set(names)) != len(names):
                raise ValueError("two points have the same name or file")
        for point in self.points:
            if point.right_on.comparison.examples != self.images.examples:
                raise ValueError(f"{point.name} was not measured on all images")
        return self


def figures_of(comparison: Comparison) -> dict[str, float | tuple[float, float]]:
    """What is quoted of a point and follows from counts, by the name of its field."""
    return {
        "exact_accuracy": comparison.first_accuracy,
        "accuracy": comparison.second_accuracy,
        "accuracy_interval": wilson_interval(comparison.second_right, comparison.examples),
        "accuracy_loss": comparison.loss,
        "accuracy_loss_interval": comparison.loss_interval(),
        "p_value": comparison.p_value(),
    }


def shipped_points() -> Path:
    """The folder of the points that ship with axynq."""
    return Path(str(resources.files("axynq.models"))) / "points"


def load_index(folder: Path) -> Index:
    """The index of a folder of points.

    Raises:
        DataError: it cannot be read, or says what cannot be.
    """
    path = folder / INDEX
    try:
        return Index.model_validate_json(files.read_text(path))
    except OSError as error:
        raise DataError(f"points '{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        reason = complaint(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(f"points '{path}' are not valid: {reason}") from error


def save_index(index: Index, folder: Path) -> None:
    """Write the index of a folder of points.

    Raises:
        DataError: it cannot be written.
    """
    content = json.dumps(index.model_dump(mode="json"), indent=2, ensure_ascii=False)
    try:
        files.write_text(folder / INDEX, content + "\n")
    except OSError as error:
        reason = f"points '{folder / INDEX}' cannot be written: {error.strerror}"
        raise DataError(reason) from error


@dataclass(frozen=True)
class Files:
    """What a point is made of."""

    model: Model
    plan: Plan
    exact: Model

    def multipliers(self) -> list[Multiplier]:
        """Those of the plan, in alphabetical order.

        Raises:
            PlanError: one is a table, which is in a file of its own.
        """
        expanded = self.plan.expand(self.model).values()
        used = {m.spec: m for codes in expanded for m in codes.simplified().multipliers}
        for spec, m in used.items():
            if isinstance(m, Table):
                raise PlanError(f"a point ships without files of multipliers, such as '{spec}'")
        return [used[spec] for spec in sorted(used)]

    def energy_gain(self) -> EnergyGain:
        """By the figures that ship, and measured ones where none do."""
        gains = []
        for source in ("characterised", "characterised-glitches"):
            relative = relative_energy(
                self.model, self.plan, energy_figures(source, self.multipliers())
            )
            assert relative is not None  # all but tables have a figure
            gains.append(1 - relative)
        return EnergyGain(settled=gains[0], with_glitches=gains[1])


def read_point(point: Point, folder: Path) -> Files:
    """The files of a point.

    Raises:
        AxynqError: one cannot be read, or the plan does not fit the network.
    """
    found = Files(
        load_model(folder / point.model),
        Plan.load(folder / point.plan),
        load_model(folder.parent / point.exact),
    )
    found.plan.expand(found.model)
    return found


def images_of(data: Dataset, name: str, split: Literal["train", "test"]) -> Images:
    """What an index says of the images it was measured on."""
    content = hashlib.sha256(repr((data.x.shape, data.x.dtype.str)).encode())
    content.update(np.ascontiguousarray(data.x).tobytes())
    content.update(np.ascontiguousarray(data.y).tobytes())
    return Images(name=name, split=split, examples=len(data), fingerprint=content.hexdigest())


def measure(made_of: Files, data: Dataset, store: Store | None = None) -> tuple[RightOn, RightOn]:
    """Who is right on which images: on all, and on the sample.

    Args:
        made_of: the point.
        data: images and labels.
        store: where evaluations are kept, to be resumed.
    """
    exact = _right(made_of.exact, Plan.uniform("exact"), data, store)
    point = _right(made_of.model, made_of.plan, data, store)
    places = evenly_spread(len(data), SAMPLE)
    return (
        RightOn.of(Comparison.of(exact, point)),
        RightOn.of(Comparison.of(exact[places], point[places])),
    )


def _right(model: Model, plan: Plan, data: Dataset, store: Store | None) -> Right:
    examples = Examples(quantise_examples(model.input, data.x), data.y)
    evaluator = Evaluator(model, examples, cache_bytes=0)
    if store is None:
        return evaluator.right(plan)
    return Measure(model, len(data), LocalWorker(evaluator), store).right([plan])[0]


def differences(
    point: Point, made_of: Files, measured: tuple[RightOn, RightOn] | None
) -> list[str]:
    """What the index says of a point and is not so, in words.

    Args:
        point: what it says.
        made_of: its files.
        measured: what :func:`measure` found; None: accuracies are not compared.
    """
    found = []
    specs = tuple(m.spec for m in made_of.multipliers())
    if specs != point.multipliers:
        found.append(f"multipliers are {', '.join(specs)}")
    gain = made_of.energy_gain()
    for name, value in gain.model_dump().items():
        if not math.isclose(value, getattr(point.energy_gain, name), abs_tol=ENERGY_TOLERANCE):
            found.append(f"energy gain {name} is {value:.4f}")
    if measured is not None:
        for name, counts, said in zip(
            ("all images", "the sample"), measured, (point.right_on, point.sample)
        ):
            if counts != said:
                found.append(f"on {name}: {counts} instead of {said}")
    return found


SECTION = ("<!-- points: examples/points/add.py writes what follows -->", "<!-- end of points -->")
"""What stands around the section about the points in ``models/README.md``."""


def card(index: Index) -> str:
    """What ``models/README.md`` says of the points, in Markdown."""
    rows = [
        "| point | multipliers besides exact | gain, settled | gain, with glitches | accuracy "
        "| loss, points | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for point in index.points:
        low, high = point.accuracy_loss_interval
        others = [f"`{spec}`" for spec in point.multipliers if spec != "exact"]
        cells = (
            f"`{point.name}`",
            ", ".join(others),
            f"{100 * point.energy_gain.settled:.1f} %",
            f"{100 * point.energy_gain.with_glitches:.1f} %",
            f"{100 * point.accuracy:.2f} %",
            f"{100 * point.accuracy_loss:.2f}",
            f"{100 * low:.2f} to {100 * high:.2f}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", *_made(index.points)])


def _made(points: Sequence[Point]) -> list[str]:
    """How points were made, those of one command together."""
    names: dict[str, list[str]] = {}
    for point in points:
        names.setdefault(point.made_by, []).append(f"`{point.name}`")
    lines = []
    for command, of in names.items():
        lines += [f"{', '.join(of)}:", "", "```sh", command, "```", ""]
    return lines[:-1]
