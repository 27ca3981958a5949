"""Options that several commands share, and how they become objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from axynq.emulator.datasets import Dataset, Split, load_dataset
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
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
    int, typer.Option(min=1, help="Images at a time that the program is made fastest for.")
]

DeviceOption = Annotated[
    str, typer.Option(help="auto: the PYNQ board this runs on; software: the software board.")
]


def read_plan(model: Model, text: str) -> Plan:
    """A plan from a file or a shorthand, checked against the model."""
    if text.endswith(".json") or Path(text).is_file():
        plan = Plan.load(text)
        plan.expand(model)
        return plan
    return Plan.parse(model, text)


def read_data(path: Path, split: str, limit: int | None) -> Dataset:
    """Labelled inputs, all of them or an even part."""
    if split not in ("train", "test"):
        raise DataError(f"the split is test or train, not '{split}'")
    chosen: Split = "test" if split == "test" else "train"
    with console.status(f"reading {path}"):
        return load_dataset(path, chosen).first(limit)


def read_energy(model: Model, plan: Plan, source: str) -> EnergyFigures:
    """The energy figures of ``source``, with all that the plan uses where they can be measured."""
    used = {m.spec: m for codes in plan.expand(model).values() for m in codes.multipliers}
    return energy_figures(source, used.values())
