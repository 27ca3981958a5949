# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Work that takes long, as pages: how far a search or a training is, and what it has found.

The page is also the record: what it shows is in it as JSON, so that the two always agree, a killed
command leaves both, and a resumed one goes on from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.emulator.validation import complaint
from axynq.host.report.charts import Plane, Point, Series, points
from axynq.host.report.fronts import front_section, kinds_of, numbers_of
from axynq.host.report.kept import Finite, Front, Share
from axynq.host.report.page import Page, Picture, Section, Table
from axynq.host.report.svg import COLOURS
from axynq.host.report.words import duration, percent, plural

REFRESH = 4
"""Seconds after which a page of work that goes on is loaded again."""

ALIKE = 8 * COLOURS
"""Series whose numbers differ by this look the same."""

LONG = 1000 * 3600.0
"""Seconds beyond which an estimate of what is left is told no more exactly."""

_LEVEL = " level"
"""At the end of the names of stages that search a level."""

Ended = Literal["finished", "interrupted", "failed"]

_RECORD = re.compile(r'<script type="application/json" id="record">(.*?)</script>', re.DOTALL)


class _Work(BaseModel):
    """What all work has."""

    model_config = ConfigDict(frozen=True)

    format: Literal["axynq-progress"] = "axynq-progress"
    version: Literal[1] = 1
    network: str
    command: str
    """As typed, quoted for a shell."""
    started: Finite
    """Seconds since 1970."""
    updated: Finite
    ended: Optional[Ended] = None
    """None: it goes on, or was killed."""
    seconds_left: Optional[Finite] = None
    """Of the stage or the training, an estimate; None: not known yet."""


class Seen(BaseModel):
    """A plan of the front so far."""

    model_config = ConfigDict(frozen=True)

    level: str
    energy: Finite
    """Relative to exact multipliers."""
    accuracy: Share
    """On the search's examples."""
    multipliers: str
    """In short."""


class Stage(BaseModel):
    """A part of a search."""

    model_config = ConfigDict(frozen=True)

    name: str
    done: int
    of: int
    seconds: Finite
    front: tuple[Seen, ...] = ()


class Search(_Work):
    """A search for plans."""

    kind: Literal["search"] = "search"
    stages: tuple[Stage, ...] = ()
    """The last one is the current one."""


class Epoch(BaseModel):
    """An epoch that is over."""

    model_config = ConfigDict(frozen=True)

    number: int
    """0: before the training."""
    loss: Optional[Finite]
    """None: it is no number any more, and the training has failed."""
    accuracy: Share
    """On the examples held out."""
    seconds: Finite

    @property
    def loss_text(self) -> str:
        """The loss in figures; epoch 0 has none."""
        if self.number == 0:
            return ""
        return "no number" if self.loss is None else f"{self.loss:.4f}"


class Training(_Work):
    """A retraining."""

    kind: Literal["training"] = "training"
    plan: str
    recipe: Mapping[str, Any]
    epochs: int
    """In all."""
    history: tuple[Epoch, ...] = ()
    step: int = 0
    """Of the current epoch."""
    steps: int = 0
    loss: Optional[Finite] = None
    """Mean of the current epoch so far."""
    resumes: bool = False
    """Whether the same command goes on from a checkpoint."""
    results: Mapping[str, Share] = Field(default_factory=dict)
    """Accuracies on the test examples, by what they are of."""


Record = Annotated[Union[Search, Training], Field(discriminator="kind")]

_READER: TypeAdapter[Union[Search, Training]] = TypeAdapter(Record)


def read_record(path: Path) -> Search | Training:
    """What a page of progress is about.

    Raises:
        DataError: the file cannot be read, or is something else.
    """
    try:
        found = _RECORD.search(files.read_text(path))
        if found is None:
            raise ValueError("it has no record")
        return _READER.validate_json(found[1])
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        reason = complaint(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(
            f"'{path}' is not a page of progress, such as `axynq explore` and `axynq retrain` "
            f"write: {reason}"
        ) from error


def progress_page(record: Search | Training, front: Front | None = None) -> Page:
    """The page of a record; ``front`` is what a search has left."""
    if isinstance(record, Search):
        title, sections = f"Search: {record.network}", _search(record, front)
    else:
        title, sections = f"Retraining: {record.network}, {record.plan}", _training(record)
    return Page(
        title,
        [_state(record)],
        sections,
        record.model_dump(mode="json"),
        None if record.ended else REFRESH,
        record.updated,
    )


def _state(record: Search | Training) -> str:
    took = duration(record.updated - record.started)
    if record.ended == "finished":
        return f"Finished after {took}."
    if record.ended is not None:
        again = "Rerun the command to resume."
        if isinstance(record, Training) and not record.resumes:
            again = "Rerun the command to start over; with --checkpoint it would resume."
        return f"It was {record.ended} after {took}. {again}"
    doing = _doing(record)
    if record.seconds_left is None:
        return f"{doing} It has taken {took} so far."
    of, left = "this stage" if isinstance(record, Search) else "the training", record.seconds_left
    more = "more than 1000 h" if left > LONG else f"about {duration(left)} more"
    return f"{doing} It has taken {took} so far; {of} takes {more}."


def _doing(record: Search | Training) -> str:
    if isinstance(record, Search):
        if not record.stages:
            return "The search begins."
        stage = record.stages[-1]
        return f"Stage {len(record.stages)}, {stage.name}: {stage.done} of {stage.of}."
    if not record.steps:
        return "The training begins."
    number = min(len(record.history), record.epochs)
    return f"Epoch {number} of {record.epochs}, step {record.step} of {record.steps}."


def _facts(record: Search | Training) -> list[tuple[str, str]]:
    def time(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(" ", "seconds")

    return [("Begun", time(record.started)), ("Last written", time(record.updated))]


# --- searches -------------------------------------------------------------------------------------


def _search(record: Search, front: Front | None) -> list[Section]:
    stages = Table(
        "Stages",
        ("stage", "done", "of", "time"),
        [(s.name, str(s.done), str(s.of), duration(s.seconds)) for s in record.stages],
    )
    done = Section("Progress", facts=_facts(record), tables=[stages], commands=[record.command])
    drawn = [stage.name for stage in record.stages if stage.front]
    levels = [name for name in drawn if name.endswith(_LEVEL)]
    # A level looks the same in both pictures.
    numbers = numbers_of([*levels, *([] if front is None else kinds_of(front)), *drawn])
    sections = [_so_far(record, numbers), done]
    if front is not None:
        sections.insert(0, front_section(front, None, "The front", numbers=numbers))
    return sections


def _named(stages: Sequence[Stage]) -> list[tuple[str, int]]:
    """What each stage is called in the legend, and which of the stages of its name it is, from 0
    on: with retraining, levels are searched several times."""
    names = [stage.name for stage in stages]
    named = []
    for k, name in enumerate(names):
        before = names[:k].count(name)
        repeated = names.count(name) > 1
        named.append((f"{name}, search {before + 1}" if repeated else name, before))
    return named


def _so_far(record: Search, numbers: Mapping[str, int]) -> Section:
    title = "Front so far, on the search examples"
    if record.ended == "finished":
        title = "What the search saw, on its own examples"
    stages = [stage for stage in record.stages if stage.front]
    if not stages:
        return Section(title, ["Nothing has been evaluated yet."])
    named, names = _named(stages), [stage.name for stage in stages]
    # Searches of the same level have one colour and marker, and are hidden one by one.
    keys = [numbers[stage.name] + ALIKE * search for stage, (_, search) in zip(stages, named)]
    series = [
        Series(key, [
            Point(100 * (1 - seen.energy), 100 * seen.accuracy,
                  f"{seen.level} level: {percent(1 - seen.energy, 1)} saved, "
                  f"{percent(seen.accuracy)} accuracy\n{seen.multipliers}")
            for seen in stage.front
        ], joined=True, faint=stage.name in names[k + 1:])
        for k, (key, stage) in enumerate(zip(keys, stages))
    ]  # fmt: skip
    repeated = " Pale: earlier searches of a level." if len(set(names)) < len(names) else ""
    rows = [
        (seen.multipliers, name, percent(1 - seen.energy, 1), percent(seen.accuracy))
        for stage, (name, _) in zip(stages, named)
        for seen in stage.front
    ]
    picture = Picture(
        "Accuracy against energy saved",
        "Plans that no other of their stage beats so far. Accuracy is on the search's examples "
        "and flatters what was chosen by it; energy is an estimate of the multiplications alone."
        + repeated,
        partial(points, series, Plane("energy saved [%]", "accuracy [%]")),
        Table("Front so far", ("multipliers", "stage", "energy saved", "accuracy"), rows,
              frozenset({0, 1})),
        {key: name for key, (name, _) in zip(keys, named)},
    )  # fmt: skip
    return Section(title, pictures=[picture])


# --- trainings ------------------------------------------------------------------------------------


def _training(record: Training) -> list[Section]:
    facts = [("Plan", record.plan), *_facts(record)]
    facts += [(name, percent(share)) for name, share in record.results.items()]
    if record.history:
        best = max(record.history, key=lambda epoch: (epoch.accuracy, -epoch.number))
        facts.append(("Best epoch", f"{best.number}: {percent(best.accuracy)} held out"))
    if record.loss is not None and record.ended is None:
        facts.append(("Loss of this epoch", f"{record.loss:.4f}"))
    recipe = Table(
        "Recipe",
        ("option", "value"),
        [(name, "none" if value is None else str(value)) for name, value in record.recipe.items()],
        frozenset({0, 1}),
    )
    return [
        Section("Curves", pictures=_curves(record), text=_without_curves(record)),
        Section("Progress", facts=facts, commands=[record.command], tables=[recipe]),
    ]


def _without_curves(record: Training) -> list[str]:
    if len(record.history) > 1:
        epochs = plural(len(record.history) - 1, "epoch")
        so_far = "" if record.ended == "finished" else " so far"
        return [f"{epochs}{so_far}; epoch 0 is before the training."]
    return ["No epoch is over yet."]


def _curves(record: Training) -> list[Picture]:
    if not record.history:
        return []
    table = Table(
        "Epochs",
        ("epoch", "loss", "held out", "time"),
        [(str(e.number), e.loss_text, percent(e.accuracy), duration(e.seconds))
         for e in record.history],
    )  # fmt: skip
    accuracy = Series(0, [
        Point(e.number, 100 * e.accuracy, f"epoch {e.number}: {percent(e.accuracy)} held out")
        for e in record.history
    ], joined=True)  # fmt: skip
    pictures = [
        Picture(
            "Accuracy by epoch",
            "On the training examples held out, by bit-exact emulation under the plan.",
            partial(points, [accuracy], Plane("epoch", "accuracy [%]", whole=True)),
            table,
        )
    ]
    losses = [
        Point(e.number, e.loss, f"epoch {e.number}: loss {e.loss:.4f}")
        for e in record.history
        if e.number and e.loss is not None
    ]
    if losses:
        series = [Series(1, losses, joined=True)]
        pictures.append(
            Picture(
                "Loss by epoch",
                "Mean loss of the training examples.",
                partial(points, series, Plane("epoch", "loss", whole=True)),
                table,
            )
        )
    return pictures
