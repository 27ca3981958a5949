# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What other commands leave, read: layers' sensitivity, fronts of searches, power measurements.

Only what a report shows is checked; other entries may come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.emulator.validation import complaint

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

Content = TypeVar("Content", bound=BaseModel)


class Sensitivity(BaseModel):
    """What ``axynq sensitivity --json`` prints."""

    model_config = ConfigDict(frozen=True)

    model: str
    examples: int
    baseline_accuracy: Share
    layers: tuple[str, ...]
    alone: Mapping[str, tuple[Share, ...]]
    """By multiplier, the accuracy with one layer approximate, for each layer."""
    first: Mapping[str, tuple[Share, ...]]
    """By multiplier, with all layers up to each one approximate."""


class FrontPoint(BaseModel):
    """A plan that a search found."""

    model_config = ConfigDict(frozen=True)

    name: str
    level: str = ""
    energy_gain: Finite
    choice_accuracy: Share
    choice_loss: Finite
    accuracy: Optional[Share] = None
    accuracy_loss: Optional[Finite] = None
    accuracy_loss_interval: Optional[tuple[Finite, Finite]] = None
    on_front: bool
    retrained: bool = False
    designs: tuple[str, ...] = ()

    @property
    def loss(self) -> float:
        """Against exact multipliers, on the test examples where it was measured on them, else on
        those that the front was chosen by."""
        return self.choice_loss if self.accuracy_loss is None else self.accuracy_loss


class Front(BaseModel):
    """``front.json`` of a folder of ``axynq explore`` or ``axynq match``."""

    model_config = ConfigDict(frozen=True)

    format: Literal["axynq-front"]
    version: Literal[1]
    model: str = ""
    baseline_accuracy: Share
    choice_baseline_accuracy: Share
    test_examples: int
    choice_examples: int
    points: tuple[FrontPoint, ...]


class Quantity(BaseModel):
    """A measured mean with its 95 % interval; without one where there is a single run."""

    model_config = ConfigDict(frozen=True)

    mean: Finite
    low: Optional[Finite]
    high: Optional[Finite]
    runs: int


class Contender(BaseModel):
    """What ``axynq power`` measured of a program on a rail."""

    model_config = ConfigDict(frozen=True)

    contender: str
    rail: str
    joules: Quantity
    """Of an inference."""
    net_joules: Optional[Quantity] = None
    """Above the idle stretches before and after."""
    against_first: Optional[Quantity] = None
    """Net energy minus the first contender's."""
    watts: Quantity
    idle_watts: Optional[Quantity] = None
    seconds: Quantity
    """Of an inference."""


class Power(BaseModel):
    """``results.json`` of a folder of ``axynq power``, or what ``axynq power --json`` prints."""

    model_config = ConfigDict(frozen=True)

    measured: Literal[True]
    device: Optional[str] = None
    """As ``--device`` says; None: not known."""
    partial: bool
    runs: int
    results: tuple[Contender, ...]


def read_sensitivity(path: Path) -> Sensitivity:
    """Raises:
    DataError: the file cannot be read, or is something else.
    """
    read = _read(path, Sensitivity, "`axynq sensitivity --json` prints such a file")
    rows = [*read.alone.values(), *read.first.values()]
    if any(len(row) != len(read.layers) for row in rows):
        raise DataError(f"'{path}' has not an accuracy for each layer under each multiplier")
    return read


def read_front(folder: Path) -> Front:
    """The front of a folder, or of its ``front.json`` itself.

    Raises:
        DataError: the file cannot be read, or is something else.
    """
    path = folder / "front.json" if folder.is_dir() else folder
    return _read(path, Front, "give a folder that `axynq explore` or `axynq match` has finished")


def read_power(path: Path) -> Power:
    """Results of a folder, or a file of them.

    Raises:
        DataError: the file cannot be read, or is something else, such as an estimate.
    """
    path = path / "results.json" if path.is_dir() else path
    hint = "give a folder of `axynq power`, or what `axynq power --json` printed of a measurement"
    return _read(path, Power, hint)


def _read(path: Path, kind: type[Content], hint: str) -> Content:
    try:
        return kind.model_validate_json(files.read_text(path))
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"'{path}' cannot be read: {reason}; {hint}") from error
    except ValueError as error:
        reason = complaint(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(f"'{path}' cannot be used ({reason}): {hint}") from error


def as_json(kept: BaseModel | None) -> dict[str, Any] | None:
    """The same for ``--json``."""
    return None if kept is None else kept.model_dump(mode="json")
