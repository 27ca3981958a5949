# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Options that several commands share, and functions that read what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import numpy as np
import typer
from rich.text import Text

from axynq.emulator import files
from axynq.emulator.datasets import Dataset, Split, load_dataset, quantise_examples
from axynq.emulator.energy import SHIPPED, EnergyFigures
from axynq.emulator.engine.choice import MOST_THREADS
from axynq.emulator.errors import DataError
from axynq.emulator.model.batch import has_places
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.weights import WeightRule
from axynq.host.cli import completion
from axynq.host.cli.output import console, finite
from axynq.host.cli.usage import judged
from axynq.host.energy import energy_figures
from axynq.host.overlay.board import load_board

Device = Literal["auto", "software"]

Engine = Literal[
    "auto", "amx", "avx512", "avxvnni", "avx2", "neoni8mm", "neondot", "neon", "neon32", "generic",
    "portable", "cuda", "torch",
]  # fmt: skip
"""The emulator's engines, :data:`axynq.emulator.engine.choice.ENGINES`."""

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".eps", ".ps", ".tif", ".tiff", ".webp")


def picture(path: Path | None) -> Path | None:
    """For options: refuses a picture of a kind that cannot be drawn, before the work begins.

    Raises:
        typer.BadParameter: its name has another ending.
    """
    if path is not None and path.suffix and path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"'{path.name}' is not a picture's name: it may end in .png, .svg")
    return path


def known_board(name: str | None) -> str | None:
    """For options: refuses unknown boards.

    Raises:
        typer.BadParameter: there is no such board.
    """
    if name is not None:
        with judged():
            load_board(name)
    return name


LARGEST_SEED = 2**32 - 1

ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="The network: an int8 .tflite or .onnx file.",
        metavar="MODEL",
        autocompletion=completion.models,
    ),
]

PlanOption = Annotated[
    str,
    typer.Option(
        metavar="PLAN",
        help="Which multiplier computes what: a plan file (.json), a multiplier for the whole "
        "network (M, such as roup:1,4), or a shorthand that divides each layer: flam=M1|M2|… "
        "its filters, klam-channel=…, klam-row=… or klam-column=… its kernels; klms=K skips "
        "weights further than K standard deviations from the mean; flam=M1|M2+klms=K does both.",
        rich_help_panel="Multipliers and plan",
        autocompletion=completion.plans,
    ),
]

DataOption = Annotated[
    Path,
    typer.Option(
        help="Labelled examples: a .npz with arrays x and y, a folder or archive of class-named "
        "image folders, or the original CIFAR-10.",
        metavar="DATA",
        rich_help_panel="Data",
    ),
]

SplitOption = Annotated[
    Split,
    typer.Option(
        help="The part of the data to measure on; data without parts is used whole.",
        rich_help_panel="Data",
    ),
]

LimitOption = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        help="Use only this many examples, evenly spread over the data; default: all.",
        rich_help_panel="Data",
    ),
]

EngineOption = Annotated[
    Engine,
    typer.Option(
        help="What computes the emulation; auto takes the fastest on this processor, cuda computes "
        "on a GPU. Results are the same.",
        rich_help_panel="Computing",
    ),
]

ThreadsOption = Annotated[
    Optional[int],
    typer.Option(
        min=1,
        max=MOST_THREADS,
        help="Threads of the emulator; default: all cores.",
        rich_help_panel="Computing",
    ),
]

BaselineOption = Annotated[
    Optional[Path],
    typer.Option(
        help="Also run this .tflite network on this machine's processor, by TFLite, to compare.",
        metavar="MODEL",
        rich_help_panel="Contenders",
        autocompletion=completion.models,
    ),
]

BaselineThreadsOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=MOST_THREADS,
        help="Threads of TFLite, with --baseline.",
        rich_help_panel="Contenders",
    ),
]

EnergyOption = Annotated[
    str,
    typer.Option(
        "--energy",
        metavar="SOURCE",
        help=f"Where the multipliers' energies come from, one of {', '.join(SHIPPED)} (switching "
        "activity of their netlists without or with glitches; the literature), or a JSON file such "
        "as `axynq multipliers --characterise` writes.",
        rich_help_panel="Multipliers and plan",
        autocompletion=completion.energies,
    ),
]

ProgramOverlayOption = Annotated[
    Optional[str],
    typer.Option(
        "--overlay",
        help="The overlay: a name, or the path of a .toml file; default: the one that the "
        "program was compiled for.",
        metavar="OVERLAY",
        rich_help_panel="Contenders",
        autocompletion=completion.overlays,
    ),
]
OverlayOption = Annotated[
    str,
    typer.Option(
        help="The accelerator: an overlay's name, such as z2-mixed16, or the path of its .toml "
        "description.",
        metavar="OVERLAY",
        autocompletion=completion.overlays,
    ),
]

BatchOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=65536,
        help="Images per call for which the program is made fastest.",
        rich_help_panel="Array",
    ),
]

DeviceOption = Annotated[
    Device,
    typer.Option(
        help="auto: the PYNQ board that this command runs on; software: the software board, a "
        "C simulation of the accelerator.",
        rich_help_panel="Contenders",
    ),
]

WeightsOption = Annotated[
    WeightRule,
    typer.Option(
        help="Replace weights by others that suit the multipliers: alwann takes all activations "
        "as equally likely, histogram as often as they occur, second-order chooses the weights of "
        "a filter together, rescaled also their scale; none leaves them.",
        rich_help_panel="Tuning",
    ),
]

MethodOption = Annotated[
    Method,
    typer.Option(
        help="How the mean errors that --compensate removes are found: expected computes them "
        "from the exact network's activations, sequential measures them layer by layer in the "
        "approximate network, best takes the better of the two on the calibration examples.",
        rich_help_panel="Tuning",
    ),
]

ResumedFolderOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder for the results; rerun the command to resume what is in it.",
        metavar="FOLDER",
        rich_help_panel="Results",
    ),
]

MultipliersOption = Annotated[
    str,
    typer.Option(
        metavar="M1|M2|…",
        help="Multipliers to choose from, the exact one among them.",
        show_default="the exact one and nine ROUP multipliers",
        rich_help_panel="Multipliers and plan",
        autocompletion=completion.multipliers,
    ),
]

CompensateOption = Annotated[
    bool,
    typer.Option(
        "--compensate",
        help="Take the mean error of each filter off its bias.",
        rich_help_panel="Tuning",
    ),
]

SearchExamplesOption = Annotated[
    int,
    typer.Option(
        min=1, help="Examples on which the search measures accuracy.", rich_help_panel="Data"
    ),
]

SearchSplitOption = Annotated[
    Split,
    typer.Option(
        help="The part of the data that the search's and the choice's examples are from.",
        rich_help_panel="Data",
    ),
]

MaxLossOption = Annotated[
    Optional[float],
    typer.Option(
        min=0,
        callback=finite,
        help="Largest loss of accuracy that a search may pay, on its own examples, in percentage "
        "points; default: any loss.",
        metavar="POINTS",
        rich_help_panel="Search",
    ),
]

SeedOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=LARGEST_SEED,
        help="Seed of the search's random choices.",
        rich_help_panel="Search",
    ),
]


def read_plan(model: Model, text: str) -> Plan:
    """A plan from a file or a shorthand, checked against the model."""
    if text.endswith(".json") or files.is_file(text):  # a long shorthand is no file's name
        plan = Plan.load(text)
        plan.expand(model)
        return plan
    return Plan.parse(model, text)


def read_examples(network: Model, path: Path, split: Split, limit: int | None) -> Examples:
    """Labelled examples quantised for a network, their labels checked."""
    return quantised(network, read_data(path, split, limit))


def read_examples_apart(
    network: Model, path: Path, split: Split, first: int, second: int
) -> tuple[Examples, Examples | None]:
    """As :func:`read_examples` with limit ``first``, and ``second`` others at most; None where the
    first are all there are."""
    data = read_data(path, split, None)
    others = data.evenly_besides(first, second)
    return (
        quantised(network, data.evenly(first)),
        quantised(network, others) if len(others) else None,
    )


def quantised(network: Model, examples: Dataset) -> Examples:
    """Labelled examples as a network takes them, their labels checked.

    Raises:
        DataError: they do not fit the network.
    """
    check_labels(examples, int(np.prod(network.output.shape)))
    return Examples(quantise_examples(network.input, examples.x), examples.y)


def read_data(path: Path, split: Split, limit: int | None) -> Dataset:
    """Labelled examples, all of them or ``limit`` of them, evenly spread."""
    with console.status(Text(f"reading {path}")):
        return load_dataset(path, split).evenly(limit)


def read_energy(model: Model, plan: Plan, source: str) -> EnergyFigures:
    """Energy figures from ``source``; those it lacks for the plan are measured if possible."""
    used = {m.spec: m for codes in plan.expand(model).values() for m in codes.multipliers}
    return energy_figures(source, used.values())


def check_one_input(network: Model, what: str) -> None:
    """Raises:
    DataError: the network takes several inputs, which ``what`` has no examples for.
    """
    if len(network.inputs) > 1:
        names = ", ".join(network.tensors[index].name for index in network.inputs)
        raise DataError(
            f"'{network.name}' has {len(network.inputs)} inputs ({names}), and {what} one for "
            "each example: call Accelerator.run in Python, with a list of arrays or a dictionary "
            "by these names"
        )


def check_one_output(network: Model, what: str) -> None:
    """Raises:
    DataError: the network gives several outputs, or scores for each of many places, which
        ``what`` makes no classes of.
    """
    if len(network.outputs) > 1:
        names = ", ".join(network.tensors[index].name for index in network.outputs)
        raise DataError(
            f"'{network.name}' has {len(network.outputs)} outputs ({names}), and {what} the "
            "classes of one: call Accelerator.run in Python, which gives all of them"
        )
    if has_places(network.output.shape):
        raise DataError(
            f"'{network.name}' gives an output of shape {list(network.output.shape)}, scores for "
            f"each of many places, and {what} one class for each example: call Accelerator.run in "
            "Python, which gives them"
        )


def check_can_be_written(network: Model) -> None:
    """That the network, once its weights are others, can be written, before the work begins.

    Raises:
        ModelError: a ``.tflite`` file cannot hold it, such as one of ONNX with functions that
            TFLite does not have.
    """
    from axynq.emulator.file_formats.tflite_writer import serialise_model

    serialise_model(network)


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
