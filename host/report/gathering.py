# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a report says of a network under a plan: measured by emulation, counted, or modelled.

Everything is figures and words, so that ``axynq report --json`` prints them and
:mod:`axynq.host.report.sections` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Emulator
from axynq.emulator.energy import EnergyFigures, multiplications_outside
from axynq.emulator.model.graph import Model, WeightedLayer
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, Plan
from axynq.emulator.studies.comparison import CONFIDENCE, Comparison, Interval, wilson_interval
from axynq.emulator.studies.errors import extract
from axynq.emulator.studies.evaluator import Examples
from axynq.host.compiler.compilation import compile_program
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import bytes_per_cycle, peak_macs, program_cycles
from axynq.host.report.kept import Front, Power, Sensitivity, as_json

STEP = 1024
"""Examples between updates of the progress."""

ERROR_EXAMPLES = 256
"""Examples from which errors by layer are found."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Subject:
    """What was measured, on what, by what."""

    model: str
    """The file."""
    network: str
    plan: str
    data: str
    split: str
    version: str
    processor: str
    engine: str
    threads: int
    date: str
    """ISO 8601, UTC."""
    command: str
    """As typed, quoted for a shell."""
    energy_figures: str
    against: str = ""
    """The file of the network that it is compared with, whose multipliers are exact; empty: the
    same network."""

    @property
    def reference(self) -> str:
        """What the plan is compared with, in words."""
        name = Path(self.against).name
        return f"{name} with exact multipliers" if self.against else "exact multipliers"


@dataclass(frozen=True)
class Accuracy:
    """Right classifications under the plan, and of the network that it is compared with."""

    examples: int
    accuracy: float
    interval: Interval
    exact_accuracy: float
    exact_interval: Interval
    loss: float
    """Of the plan against exact multipliers."""
    loss_interval: Interval
    p_value: float
    """McNemar's test, exact and two-sided."""
    both: int
    only_exact: int
    only_plan: int
    neither: int
    classes: tuple[int, ...]
    """Class numbers."""
    confusion: tuple[tuple[int, ...], ...]
    """Under the plan, [true, predicted]."""
    confusion_exact: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Layer:
    """A layer that multiplies."""

    name: str
    input: tuple[int, ...]
    kernel: tuple[int, ...]
    """Filters, rows, columns, channels; empty for operators without weights."""
    output: tuple[int, ...]
    multiplications: int
    """For an image."""
    assignment: str
    """Of the plan, in short."""
    weights: Mapping[str, int]
    """By multiplier; skipped ones under ``skip``."""
    energy: Mapping[str, float | None]
    """By multiplier, in exact multiplications; None: unknown."""


@dataclass(frozen=True)
class Used:
    """A multiplier of the plan."""

    spec: str
    relative_energy: float | None
    """Of one multiplication, 1 being an exact one."""
    source: str
    multiplications: float
    """For an image; a part of a weight is counted where layers are divided."""
    energy: float | None
    """Of all of them, in exact multiplications."""
    mean_relative_error: float
    """In percent, over all operands that it is defined for."""
    mean_error: float
    worst_case_error: int
    error_probability: float


@dataclass(frozen=True)
class LayerErrors:
    """What a layer itself adds to its accumulators, in real units before the activation."""

    name: str
    output_deviation: float
    error_mean: float
    error_deviation: float
    correlation: float
    """Of output and error, the mean of all neurons."""
    signal_to_noise_db: float | None
    """None: there is no error."""


@dataclass(frozen=True)
class StepCycles:
    """A step of a program, for a whole batch."""

    name: str
    cycles: int
    compute: int
    load: int
    store: int
    start_up: int
    bound: str
    macs: int
    bytes_moved: int


@dataclass(frozen=True)
class Cycles:
    """A program on an overlay, by the cycle model."""

    overlay: str
    clock_mhz: float
    batch: int
    cycles_per_image: float
    milliseconds_per_image: float
    utilisation: float
    peak_macs: int
    """Multiplications a cycle that the array can do."""
    bytes_per_cycle: float
    """What the memory delivers and takes."""
    steps: tuple[StepCycles, ...]


@dataclass(frozen=True)
class Gathered:
    """All of a report."""

    subject: Subject
    accuracy: Accuracy
    layers: tuple[Layer, ...]
    multipliers: tuple[Used, ...]
    multiplications: int
    relative_energy: float | None
    """Of all multiplications, 1 being exact ones; None: a multiplier's is unknown."""
    errors: tuple[LayerErrors, ...]
    error_examples: int
    cycles: Cycles | None
    sensitivity: Sensitivity | None
    front: Front | None
    power: Power | None
    sensitivity_of_other: str = ""
    """The network that the sensitivity is of, where it is not the report's; else empty."""
    front_of_other: str = ""
    """The same of the front."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``; tuples are lists there."""
        kept = {name: getattr(self, name) for name in ("sensitivity", "front", "power")}
        plain = {
            name: value for name, value in self.__dict__.items() if name not in kept
        }  # pydantic's models are no dataclasses
        return {
            "confidence": CONFIDENCE,
            **{name: _plain(value) for name, value in plain.items()},
            **{name: as_json(value) for name, value in kept.items()},
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return [_plain(each) for each in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def predictions(emulator: Emulator, examples: Examples, advance: Advance) -> npt.NDArray[np.int64]:
    """The class that each example is taken for, [examples]."""
    found = np.empty(len(examples), np.int64)
    for start in range(0, len(examples), STEP):
        outputs = emulator.run(examples.x[start : start + STEP])
        found[start : start + STEP] = outputs.reshape(len(outputs), -1).argmax(axis=1)
        advance(len(outputs))
    return found


def accuracy_of(
    labels: npt.NDArray[np.int64],
    exact: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    classes: int,
) -> Accuracy:
    """What predictions with exact multipliers and under the plan come to, [examples] each."""
    comparison = Comparison.of(exact == labels, chosen == labels)
    examples = comparison.examples
    return Accuracy(
        examples,
        comparison.second_accuracy,
        wilson_interval(comparison.second_right, examples),
        comparison.first_accuracy,
        wilson_interval(comparison.first_right, examples),
        comparison.loss,
        comparison.loss_interval(),
        comparison.p_value(),
        comparison.both,
        comparison.only_first,
        comparison.only_second,
        comparison.neither,
        tuple(range(classes)),
        confusion(labels, chosen, classes),
        confusion(labels, exact, classes),
    )


def confusion(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int
) -> tuple[tuple[int, ...], ...]:
    """How many examples of each class (rows) are taken for each (columns)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return tuple(tuple(map(int, row)) for row in counts)


def layers_of(model: Model, plan: Plan, figures: EnergyFigures) -> tuple[Layer, ...]:
    """All layers that multiply, in the network's order, those outside the array too."""
    codes, outside = plan.expand(model), multiplications_outside(model)
    layers = []
    for op in model.operators:
        shapes = [tuple(model.tensors[k].shape) for k in (op.inputs[0], op.output)]
        if op.name in outside:
            count = outside[op.name]
            layers.append(
                Layer(op.name, shapes[0], (), shapes[1], count, "exact, outside the array", {},
                      {"exact": float(count)})
            )  # fmt: skip
        if not isinstance(op, WeightedLayer):
            continue
        layer = codes[op.name]
        total = model.multiplications(op)
        numbers = np.bincount(layer.codes.reshape(-1).astype(np.intp), minlength=SKIP + 1)
        energy: dict[str, float | None] = {}
        for k, m in enumerate(layer.multipliers, start=SKIP + 1):
            known = figures.of(m)
            share = int(numbers[k]) / layer.codes.size if k < len(numbers) else 0.0
            energy[m.spec] = None if known is None else known.relative * total * share
        assignment = plan.layers.get(op.name, plan.default)
        layers.append(
            Layer(op.name, shapes[0], tuple(op.kernel.shape), shapes[1], total,
                  "" if assignment is None else assignment.shorthand() or assignment.axis,
                  layer.counts(), energy)
        )  # fmt: skip
    return tuple(layers)


def multipliers_of(
    model: Model, plan: Plan, figures: EnergyFigures, layers: tuple[Layer, ...]
) -> tuple[Used, ...]:
    """The plan's multipliers, in the order in which layers first use them."""
    used: dict[str, Multiplier] = {}
    for codes in plan.expand(model).values():
        for m in codes.multipliers:
            used.setdefault(m.spec, m)
    found = []
    for spec, m in used.items():
        known, metrics = figures.of(m), m.error_metrics()
        count = sum(
            layer.multiplications * layer.weights.get(spec, 0) / sum(layer.weights.values())
            for layer in layers
            if layer.weights
        )
        relative = None if known is None else known.relative
        found.append(
            Used(spec, relative, "" if known is None else known.source, count,
                 None if relative is None else relative * count, metrics.mean_relative_error,
                 metrics.mean_error, metrics.worst_case_error, metrics.error_probability)
        )  # fmt: skip
    return tuple(found)


def errors_of(
    model: Model, plan: Plan, examples: Examples, engine: str, threads: int | None, advance: Advance
) -> tuple[LayerErrors, ...]:
    """Errors by layer on some examples."""
    found = extract(model, plan, examples.x, engine=engine, threads=threads, advance=advance)
    rows = []
    for name, layer in found.layers.items():
        whole = layer.real
        ratio = float(whole.signal_to_noise)
        rows.append(
            LayerErrors(
                name, float(whole.output_deviation), float(whole.error_mean),
                float(whole.error_deviation), float(layer.neurons.correlation.mean()),
                ratio if np.isfinite(ratio) else None,
            )
        )  # fmt: skip
    return tuple(rows)


def cycles_of(model: Model, plan: Plan, overlay: Overlay, batch: int) -> Cycles:
    """Cycles of each step of the network's program, by the cycle model.

    Raises:
        ProgramError: the network does not fit the overlay.
    """
    found = program_cycles(compile_program(model, plan, overlay, batch), overlay, batch)
    steps = tuple(
        StepCycles(each.name, each.cycles, each.compute, each.load, each.store, each.start_up,
                   each.bound, each.macs, each.bytes_moved)
        for each in found.layers
    )  # fmt: skip
    return Cycles(
        overlay.name, overlay.clock_mhz, batch, found.cycles_per_image,
        found.milliseconds_per_image, found.utilisation(), peak_macs(overlay),
        bytes_per_cycle(overlay), steps,
    )  # fmt: skip
