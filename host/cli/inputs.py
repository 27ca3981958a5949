"""Options that several commands share, and how they become objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import numpy as np
import typer
from rich.text import Text

from axynq.emulator.datasets import Dataset, Split, load_dataset, quantise_examples
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import DataError, DeviceError, PlanError
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.weights import WEIGHT_RULES, WeightRule
from axynq.host.cli.output import console
from axynq.host.energy import energy_figures

ModelArgument = Annotated[Path, typer.Argument(help="An int8 .tflite network.", metavar="MODEL")]

PlanOption = Annotated[
    str,
    typer.Option(
        help="A plan file, or a shorthand: llam=M, flam=M1|M2, klam-channel=…, klam-row=…, "
        "klam-column=…, klms=K; klms also combines with another by +."
    ),
]

DataOption = Annotated[
    Path,
    typer.Option(
        help="Labelled inputs: a .npz with x and y, a folder or archive of class-named image "
        "folders, or the original CIFAR-10."
    ),
]

SplitOption = Annotated[str, typer.Option(help="test or train, where the data has both.")]

LimitOption = Annotated[
    Optional[int], typer.Option(min=1, help="Use only so many examples, evenly spread.")
]

EngineOption = Annotated[
    str, typer.Option(help="auto, avx512, avx2, generic or portable; the results are the same.")
]

ThreadsOption = Annotated[
    Optional[int], typer.Option(min=1, help="Threads of the emulator; default: all cores.")
]

EnergyOption = Annotated[
    str,
    typer.Option(
        "--energy",
        help="Energy figures: characterised (switching activity of the multipliers' netlists, "
        "settled changes only), characterised-glitches, published, or a JSON file.",
    ),
]

OverlayOption = Annotated[
    str, typer.Option(help="An overlay's name, or the path of its .toml description.")
]

BatchOption = Annotated[
    int,
    typer.Option(min=1, max=65536, help="Images at a time that the program is made fastest for."),
]

LARGEST_SEED = 2**32 - 1

DeviceOption = Annotated[
    str, typer.Option(help="auto: the PYNQ board this runs on; software: the software board.")
]


WeightsOption = Annotated[
    str,
    typer.Option(
        help="Weight tuning: none, alwann (all activations alike), histogram (as they occur), "
        "second-order (the weights of a filter together)."
    ),
]


MethodOption = Annotated[
    Method,
    typer.Option(
        help="How mean errors are found: expected from the exact network's activations, "
        "sequential from the network with the layers before already approximate, or what "
        "does better on the calibration examples."
    ),
]


def read_weight_rule(text: str) -> WeightRule:
    """A rule for tuning weights by its name."""
    for rule in WEIGHT_RULES:
        if text == rule:
            return rule
    raise PlanError(f"weights are tuned by one of {', '.join(WEIGHT_RULES)}, not '{text}'")


def device_name(text: str) -> Literal["auto", "software"]:
    """The device of that name.

    Raises:
        DeviceError: there is none.
    """
    if text == "auto":
        return "auto"
    if text == "software":
        return "software"
    raise DeviceError(f"the device is auto or software, not '{text}'")


def read_plan(model: Model, text: str) -> Plan:
    """A plan from a file or a shorthand, checked against the model."""
    if text.endswith(".json") or _is_file(text):
        plan = Plan.load(text)
        plan.expand(model)
        return plan
    return Plan.parse(model, text)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a long shorthand is no file's name
        return False


def read_examples(network: Model, path: Path, split: str, limit: int | None) -> Examples:
    """Labelled inputs quantised for a network, their labels checked."""
    examples = read_data(path, split, limit)
    check_labels(examples, int(np.prod(network.output.shape)))
    return Examples(quantise_examples(network.input, examples.x), examples.y)


def read_data(path: Path, split: str, limit: int | None) -> Dataset:
    """Labelled inputs, all of them or an even part."""
    if split not in ("train", "test"):
        raise DataError(f"the split is test or train, not '{split}'")
    chosen: Split = "test" if split == "test" else "train"
    with console.status(Text(f"reading {path}")):
        return load_dataset(path, chosen).first(limit)


def read_energy(model: Model, plan: Plan, source: str) -> EnergyFigures:
    """The energy figures of ``source``, with all that the plan uses where they can be measured."""
    used = {m.spec: m for codes in plan.expand(model).values() for m in codes.multipliers}
    return energy_figures(source, used.values())


def check_labels(examples: Dataset, outputs: int) -> None:
    """Labels must be classes of the network.

    Raises:
        DataError: there are no examples, or a label is out of range.
    """
    if len(examples) == 0:
        raise DataError("the data holds no examples")
    if examples.y.min() < 0 or examples.y.max() >= outputs:
        raise DataError(
            f"labels run from {examples.y.min()} to {examples.y.max()}, but the network has "
            f"{outputs} classes"
        )
