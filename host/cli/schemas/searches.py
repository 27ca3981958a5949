# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""JSON of the commands that search."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axynq.host.cli.schemas.base import Count, Interval, Share, Strict, Strings


class FrontPoint(Strict):
    """A plan of the front."""

    name: str
    """Of its files in the output folder."""
    energy_gain: float
    """Share of the exact multiplications' energy that is saved."""
    accuracy: Share
    """On the test examples, as the three that follow."""
    accuracy_loss: float
    accuracy_loss_interval: Interval
    p_value: Share
    choice_accuracy: Share | None
    """On the examples that decide which plans are on the front."""
    choice_loss: float | None
    cycles: float | None
    """For an image, by the cycle model; null without --cycles."""
    retrained: bool
    designs: Strings
    """Multipliers that the plan uses."""


class Explore(Strict):
    """`axynq explore`: the front that the search found; `front.json` in the output folder has
    more."""

    schema_: Literal["axynq/explore/1"] = Field(alias="schema")
    output: str
    """The file with all points."""
    baseline_accuracy: Share
    """Of exact multipliers on the test examples."""
    choice_baseline_accuracy: Share | None
    plans_looked_at: Count
    evaluations_computed: Count
    seconds: float
    front: tuple[FrontPoint, ...]


class MatchPoint(Strict):
    """A plan that was matched to the noise, or the network retrained under it."""

    name: str
    strength: float
    """What noise was worth."""
    retrained: bool
    energy_gain: float
    """Share of the exact multiplications' energy that is saved."""
    accuracy: Share
    """On the test examples, as the two that follow."""
    accuracy_loss: float
    accuracy_loss_interval: Interval
    choice_accuracy: Share
    """On the examples held out."""
    plan: dict[str, str]
    """The multiplier of each layer."""
    noise: dict[str, float]
    """The noise that each layer learnt to tolerate, as a share of its output's deviation."""


class Match(Strict):
    """`axynq match`: plans by the noise-based search."""

    schema_: Literal["axynq/match/1"] = Field(alias="schema")
    output: str
    baseline_accuracy: Share
    points: tuple[MatchPoint, ...]


class Bounds(Strict):
    """An estimate, and how far it may be off."""

    low: float
    likely: float
    high: float


class Resources(Strict):
    """Of the board's programmable logic."""

    lut: Bounds
    flip_flop: Bounds
    block_ram_36k: Bounds
    dsp: Bounds


class Limit(Strict):
    """How much of a resource an array may take."""

    share: Share
    amount: float
    board: Count
    """What the board has."""


class Limits(Strict):
    """Of all resources."""

    lut: Limit
    flip_flop: Limit
    block_ram_36k: Limit
    dsp: Limit


class ArrayFigures(Strict):
    """What is expected of an array; models' figures, nothing was built."""

    array: str
    """In words."""
    clock_mhz: float
    images_per_second: float
    """At the batch of the request."""
    latency_ms: float
    """Of an image alone."""
    cycles_per_image: float
    cycles_per_image_batch_1: float
    relative_energy_of_multiplications: float | None
    resources: Resources
    depth: Count
    """Clock cycles of the multiplying loop's pipeline."""
    accuracy: Share | None = None
    """On the search's examples, with --data."""
    joules_per_image: float | None = None
    """Where energy is the objective: an estimate."""


class Nearest(Strict):
    """The resource that is nearest to its limit."""

    resource: str
    share_of_board: float
    share_of_limit: float


class BoundedBy(Strict):
    """What bounds the chosen array."""

    board: Nearest
    cycles: dict[str, Share]
    """Shares of the cycles, by what bounds their layers."""


class Luts(Strict):
    """What the chosen array's LUTs are for, likely figures."""

    parts: dict[str, float]
    total: float
    lanes: Count
    per_lane: dict[str, float]
    multipliers_share: Share
    most_lanes_without_multipliers: float


class Family(Strict):
    """Arrays of one kind: approximate, exact, or exact without products in DSP blocks."""

    arrays: Count
    """That there are."""
    cycle_model_asked: Count
    looked_at: Count
    proven: bool
    """Whether no array of the kind can be better than the best found."""
    best: ArrayFigures | None
    front: tuple[ArrayFigures, ...]


class Design(Strict):
    """`axynq design`: the array for a network; also in `design.json`, without the first fields."""

    schema_: Literal["axynq/design/1"] = Field(alias="schema")
    output: str
    format: Literal["axynq-design"]
    version: Literal[1]
    axynq: str
    """The version that searched."""
    model: str
    board: str
    objective: str
    batch: Count
    basis: dict[str, str]
    """On what the figures rest."""
    limits: Limits
    overlay: str
    overlay_hash: str
    figures: ArrayFigures
    accuracy_on_test_examples: dict[str, Share] | None
    bounded_by: BoundedBy
    clocks_refused: dict[str, Any]
    """Why faster clocks were not chosen, by clock in MHz."""
    most_filters: dict[str, dict[str, Count]]
    """Of each layer, by multiplier: filters that may use it before the layer takes longer."""
    luts: Luts
    families: dict[str, Family]
    plan: str
    """The plan, as it was given."""
