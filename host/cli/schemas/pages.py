# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""JSON of the commands that write pages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axynq.host.cli.schemas.base import Count, Interval, Share, Strict, WeightCounts


class Subject(Strict):
    """What was measured, on what, by what."""

    model: str
    """The file."""
    network: str
    plan: str
    data: str
    split: str
    version: str
    """Of axynq."""
    processor: str
    engine: str
    threads: Count
    date: str
    """ISO 8601, UTC."""
    command: str
    """As typed, quoted for a shell."""
    energy_figures: str
    against: str
    """The network that it is compared with; empty: the same network."""


class Accuracy(Strict):
    """Right classifications under the plan, and with exact multipliers."""

    examples: Count
    accuracy: Share
    interval: Interval
    exact_accuracy: Share
    exact_interval: Interval
    loss: float
    """Of the plan against exact multipliers."""
    loss_interval: Interval
    p_value: Share
    """McNemar's test, exact and two-sided."""
    both: Count
    """Examples that are right in both, as in the three that follow."""
    only_exact: Count
    only_plan: Count
    neither: Count
    classes: tuple[Count, ...]
    """Class numbers."""
    confusion: tuple[tuple[Count, ...], ...]
    """Under the plan, by true class and predicted class."""
    confusion_exact: tuple[tuple[Count, ...], ...]


class ReportedLayer(Strict):
    """A layer that multiplies."""

    name: str
    input: tuple[Count, ...]
    kernel: tuple[Count, ...]
    """Filters, rows, columns, channels; empty for operators without weights."""
    output: tuple[Count, ...]
    multiplications: Count
    """For an image."""
    assignment: str
    """Of the plan, in short."""
    weights: WeightCounts
    """Weights by multiplier; skipped ones under `skip`."""
    energy: dict[str, float | None]
    """By multiplier, in exact multiplications."""


class UsedMultiplier(Strict):
    """A multiplier of the plan."""

    spec: str
    relative_energy: float | None
    """Of one multiplication, 1 being an exact one."""
    source: str
    """Where the energy figure comes from."""
    multiplications: float
    """For an image."""
    energy: float | None
    """Of all of them, in exact multiplications."""
    mean_relative_error: float
    """In percent, over all operands."""
    mean_error: float
    worst_case_error: int
    error_probability: Share


class LayerErrors(Strict):
    """What a layer itself adds to its accumulators, in real units before the activation."""

    name: str
    output_deviation: float
    error_mean: float
    error_deviation: float
    correlation: float
    """Of output and error."""
    signal_to_noise_db: float | None
    """null: there is no error."""


class StepCycles(Strict):
    """Clock cycles of a step of a program, for a whole batch."""

    name: str
    cycles: Count
    compute: Count
    load: Count
    store: Count
    start_up: Count
    bound: str
    """What takes longest."""
    macs: Count
    bytes_moved: Count


class ReportedCycles(Strict):
    """A program on an overlay, by the cycle model."""

    overlay: str
    clock_mhz: float
    batch: Count
    cycles_per_image: float
    milliseconds_per_image: float
    utilisation: float
    """Share of the array's multiplications that are used."""
    peak_macs: Count
    """Multiplications a cycle that the array can do."""
    bytes_per_cycle: float
    """What the memory delivers and takes."""
    steps: tuple[StepCycles, ...]


class Report(Strict):
    """`axynq report`: what the page shows."""

    schema_: Literal["axynq/report/1"] = Field(alias="schema")
    output: str
    """The page."""
    confidence: Share
    """Of all intervals."""
    subject: Subject
    accuracy: Accuracy
    layers: tuple[ReportedLayer, ...]
    multipliers: tuple[UsedMultiplier, ...]
    multiplications: Count
    """For an image."""
    relative_energy: float | None
    """Of all multiplications, 1 being exact ones; null: that of a multiplier is unknown."""
    errors: tuple[LayerErrors, ...]
    error_examples: Count
    """Examples that the errors were measured on."""
    cycles: ReportedCycles | None
    """null without --overlay."""
    sensitivity: dict[str, Any] | None
    """What --sensitivity gave."""
    front: dict[str, Any] | None
    """What --front gave."""
    power: dict[str, Any] | None
    """What --power gave."""
    sensitivity_of_other: str
    """The network that the sensitivity is of, where it is not the report's; else empty."""
    front_of_other: str
    """The same of the front."""


class SeenPlan(Strict):
    """A plan of the front so far."""

    level: str
    energy: float
    """Relative to exact multipliers."""
    accuracy: Share
    """On the search's examples."""
    multipliers: str
    """In short."""


class Stage(Strict):
    """A part of a search."""

    name: str
    done: Count
    of: Count
    seconds: float
    front: tuple[SeenPlan, ...]


class Work(Strict):
    """What searches and trainings have in common."""

    format: Literal["axynq-progress"]
    version: Literal[1]
    network: str
    command: str
    """As typed, quoted for a shell."""
    started: float
    """Seconds since 1970."""
    updated: float
    ended: Literal["finished", "interrupted", "failed"] | None
    """null: it goes on, or was killed."""
    seconds_left: float | None
    """An estimate; null: not known."""


class SearchProgress(Work):
    """A search for plans."""

    kind: Literal["search"]
    stages: tuple[Stage, ...]
    """The last one is the current one."""


class TrainedEpoch(Strict):
    """An epoch that is over; number 0 is before the training."""

    number: Count
    loss: float | None
    accuracy: Share
    """On the examples held out."""
    seconds: float


class TrainingProgress(Work):
    """A retraining."""

    kind: Literal["training"]
    plan: str
    recipe: dict[str, Any]
    """Its options."""
    epochs: Count
    """In all."""
    history: tuple[TrainedEpoch, ...]
    step: Count
    """Of the current epoch."""
    steps: Count
    loss: float | None
    """Mean of the current epoch so far."""
    resumes: bool
    """Whether the same command goes on from a checkpoint, instead of starting over."""
    results: dict[str, Share]
    """Accuracies on the test examples, by what they are of."""


class View(Strict):
    """`axynq view`: how far a search or a training is."""

    schema_: Literal["axynq/view/1"] = Field(alias="schema")
    place: str
    progress: SearchProgress | TrainingProgress | None
    """null: the work kept no record."""
    front: dict[str, Any] | None
    """`front.json` of a search that has finished."""
