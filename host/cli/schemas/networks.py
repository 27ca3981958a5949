# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""JSON of the commands about networks and plans."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axynq.host.cli.schemas.base import Count, Interval, Share, Strict, Strings, WeightCounts


class Against(Strict):
    """The network that another is compared with."""

    model: str
    plan: str
    accuracy: Share
    accuracy_interval: Interval


class RightOn(Strict):
    """Examples by which of two networks classifies them rightly."""

    both: Count
    only_against: Count
    only_model: Count
    neither: Count


class Evaluate(Strict):
    """`axynq evaluate`: the accuracy of a network under a plan."""

    schema_: Literal["axynq/evaluate/1"] = Field(alias="schema")
    model: str
    """The network's file."""
    plan: str
    """The plan, as it was given."""
    examples: Count
    accuracy: Share
    accuracy_interval: Interval
    """Wilson's, 95 %."""
    relative_energy: float | None
    """Of the plan's multiplications, 1 being exact ones; null: a multiplier's is not known."""
    energy_figures: str
    """What --energy says."""
    engine: str
    threads: Count
    seconds: float
    """For all examples."""
    weights_by_multiplier: dict[str, WeightCounts]
    """Of each layer, weights by multiplier."""
    against: Against | None = None
    """With --against or --against-plan."""
    accuracy_loss: float | None = None
    """Of the network against that one, as a share."""
    accuracy_loss_interval: Interval | None = None
    p_value: Share | None = None
    """Of McNemar's exact test."""
    right_on: RightOn | None = None


class InspectLayer(Strict):
    """An operator of a network. Shapes are without the batch."""

    name: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    input_zero_point: int
    multiplications: Count
    """For an image."""
    outside_array: Literal[True] | None = None
    """The multiplications are exact, outside the array."""
    kernel: tuple[int, ...] | None = None
    """Of layers with weights: their shape."""
    weights_by_multiplier: WeightCounts | None = None
    """Of layers with weights."""


class InspectStep(Strict):
    """What the accelerator computes for a layer, for a whole batch, by the cycle model."""

    name: str
    cycles: Count
    utilisation: Share
    """Of the array's multipliers."""
    bytes: Count
    bound: str
    """What bounds its speed."""
    compute_cycles: Count
    load_cycles: Count
    store_cycles: Count
    start_up_cycles: Count
    runs: Count


class HostOperator(Strict):
    """An operator that the host computes, for an image."""

    name: str
    reason: str
    operations: Count
    bytes_in: Count


class HostStage(Strict):
    """What the host computes between starts of the core, estimated for an image."""

    on: Literal["host"]
    operators: tuple[HostOperator, ...]
    estimated_operations: Count
    bytes_moved: Count


class AcceleratorStage(Strict):
    """What the accelerator computes in one start, for an image."""

    on: Literal["accelerator"]
    steps: Strings
    bytes_moved: Count


class Inspect(Strict):
    """`axynq inspect`: what a network consists of. The fields from `overlay` on are there with
    --overlay; cycles are the cycle model's, not measured."""

    schema_: Literal["axynq/inspect/1"] = Field(alias="schema")
    model: str
    plan: str
    multiplications: Count
    """For an image."""
    relative_energy: float | None
    """Of the plan's multiplications, 1 being exact ones; null: a multiplier's is not known."""
    energy_figures: str
    layers: tuple[InspectLayer, ...]
    overlay: str | None = None
    clock_mhz: float | None = None
    batch: Count | None = None
    cycles: Count | None = None
    """For a batch."""
    cycles_per_image: float | None = None
    milliseconds_per_image: float | None = None
    utilisation: Share | None = None
    bytes_per_image: float | None = None
    steps: tuple[InspectStep, ...] | None = None
    starts_of_the_core: Count | None = None
    """For a batch."""
    stages: tuple[HostStage | AcceleratorStage, ...] | None = None
    most_filters: dict[str, dict[str, Count]] | None = None
    """Of each layer, by multiplier: filters that may use it before the layer takes longer."""


class Sensitivity(Strict):
    """`axynq sensitivity`: accuracies with parts of the network approximated."""

    schema_: Literal["axynq/sensitivity/1"] = Field(alias="schema")
    model: str
    examples: Count
    baseline_accuracy: Share
    layers: Strings
    multipliers: dict[Literal["low", "medium", "high"], str]
    alone: dict[str, tuple[Share, ...]]
    """By multiplier: accuracy with it in one layer alone, for each layer."""
    first: dict[str, tuple[Share, ...]]
    """By multiplier: accuracy with it in all layers up to each."""
    estimate: (
        dict[Literal["layer", "filter", "channel"], dict[str, dict[str, tuple[float, ...]]]] | None
    ) = None
    """Estimated increase of the loss, by part, multiplier and layer; with --fine."""
    rank_correlation: float | None = None
    """Of the layers' estimates with the measured losses; with --fine. Null where it is not
    defined."""


class NoiseLayer(Strict):
    """Errors that a layer itself adds to its accumulators, in real units."""

    name: str
    neurons: Count
    output_deviation: float
    error_mean: float
    error_deviation: float
    mean_correlation: float
    signal_to_noise_db: float | None
    """Null: there are no errors."""


class Noise(Strict):
    """`axynq noise`: errors of a plan, by layer."""

    schema_: Literal["axynq/noise/1"] = Field(alias="schema")
    model: str
    plan: str
    samples: Count
    """Examples."""
    output: str
    layers: tuple[NoiseLayer, ...]


class QuantiseLayer(Strict):
    """What an operator of a quantised network loses. Null: nothing."""

    name: str
    operator: str
    shape: tuple[int, ...]
    """Of its output."""
    scale: float
    own: float | None
    """Signal to error in dB, against the float operator with the same inputs."""
    total: float | None
    """Signal to error in dB, against the float network."""
    saturated: Share
    """Values that int8 does not reach."""


class Quantise(Strict):
    """`axynq quantise`: an int8 network of a float one."""

    schema_: Literal["axynq/quantise/1"] = Field(alias="schema")
    model: str
    output: str
    ranges: str
    equalise: bool
    correct_bias: bool
    calibration_examples: Count
    examples: Count
    accuracy_float: Share | None
    """Before; null with --no-accuracy, as the next."""
    accuracy: Share | None
    layers: tuple[QuantiseLayer, ...]


class Tune(Strict):
    """`axynq tune`: a network fitted to a plan."""

    schema_: Literal["axynq/tune/1"] = Field(alias="schema")
    model: str
    plan: str
    output: str
    output_plan: str
    weights: str
    compensate: bool
    examples: Count
    accuracy_exact: Share
    """Before, with exact multipliers."""
    accuracy_before: Share
    """Before, under the plan."""
    accuracy: Share
    """Of the tuned network under its plan."""
    relative_energy: float | None


class Epoch(Strict):
    """An epoch of training; number 0 is the network before."""

    number: Count
    loss: float | None
    """Null before the first."""
    accuracy: Share
    """On the examples held out."""
    seconds: float


class Retrain(Strict):
    """`axynq retrain`: a network retrained for a plan."""

    schema_: Literal["axynq/retrain/1"] = Field(alias="schema")
    model: str
    plan: str
    output: str
    teacher: str | None
    options: dict[str, Any]
    """The recipe: the fields of `axynq.emulator.studies.retraining.RetrainOptions`."""
    accuracy_exact: Share
    """Before, with exact multipliers."""
    accuracy_before: Share
    """Before, under the plan."""
    accuracy_after: Share
    """Under the plan, as it was written."""
    kept_epoch: Count
    preparation_seconds: float
    epochs: tuple[Epoch, ...]
