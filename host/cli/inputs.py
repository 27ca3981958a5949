"""Options that several commands share, and how they become objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from axynq.emulator.datasets import Dataset, Split, load_dataset
from axynq.emulator.errors import DataError, DeviceError
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.host.cli.output import console

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

OverlayOption = Annotated[
    str, typer.Option(help="An overlay's name, or the path of its .toml description.")
]

BatchOption = Annotated[
    int, typer.Option(min=1, help="Images at a time that the program is made fastest for.")
]

DeviceOption = Annotated[
    str, typer.Option(help="auto: the PYNQ board this runs on; software: the software board.")
]


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
