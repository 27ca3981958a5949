# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Options of commands that train: `retrain`, `match` and `explore --retrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import numpy as np
import numpy.typing as npt
import typer

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.errors import DeviceError
from axynq.host.cli import completion
from axynq.host.cli.inputs import LARGEST_SEED
from axynq.host.cli.output import console, finite

MethodName = Literal[
    "behavioural",
    "multiplier-aware",
    "lut-1d",
    "lut-2d",
    "error-model",
    "weight-noise",
    "gaussian",
    "plain",
]
MethodOption = Annotated[
    MethodName,
    typer.Option(
        help="What training sees of the multipliers. behavioural: the approximate network itself, "
        "by the emulator; multiplier-aware: the same, and weights are chosen by what the "
        "multipliers make of them; lut-2d: the same network, whose gradients follow the slopes of "
        "the multipliers' smoothed products; lut-1d: their mean slopes, which costs less; "
        "error-model: random errors with the measured moments; "
        "weight-noise and gaussian: simpler random errors; plain: none, as a control.",
        rich_help_panel="Retraining",
    ),
]
BatchOption = Annotated[
    int, typer.Option(min=1, help="Examples per training step.", rich_help_panel="Retraining")
]
WarmupOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        callback=finite,
        help="Share of all steps, 0 to 1, during which the learning rate rises from zero.",
        metavar="SHARE",
        rich_help_panel="Retraining",
    ),
]
OptimiserOption = Annotated[
    Literal["sgd", "adam"],
    typer.Option(
        help="sgd: stochastic gradient descent with momentum; adam: needs a lower --rate.",
        rich_help_panel="Retraining",
    ),
]
ClipOption = Annotated[
    Optional[float],
    typer.Option(
        min=0,
        callback=finite,
        help="Shorten gradients to this norm, which steadies training under large errors; "
        "default: leave them as they are.",
        metavar="NORM",
        rich_help_panel="Retraining",
    ),
]
DistillationOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        callback=finite,
        help="Share of the loss, 0 to 1, that compares scores with the teacher's instead of "
        "labels.",
        metavar="SHARE",
        rich_help_panel="Retraining",
    ),
]
TeacherOption = Annotated[
    Optional[Path],
    typer.Option(
        help="The .tflite network whose scores --distillation compares with; default: MODEL with "
        "exact multipliers.",
        metavar="MODEL",
        rich_help_panel="Retraining",
        autocompletion=completion.models,
    ),
]
AugmentOption = Annotated[
    bool,
    typer.Option(
        "--augment",
        help="Shift training images by up to four pixels and mirror them.",
        rich_help_panel="Retraining",
    ),
]
HeldOutOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Training examples held out, which nothing is trained on: what is kept and what is on "
        "a front is decided by the accuracy on them.",
        rich_help_panel="Data",
    ),
]
TrainingSeedOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=LARGEST_SEED,
        help="Seed of everything random: the same options give the same network.",
        rich_help_panel="Retraining",
    ),
]
TorchDeviceOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="cpu|cuda|…",
        help="PyTorch's device for training; default: a GPU if there is one, else cpu.",
        rich_help_panel="Computing",
        autocompletion=completion.torch_devices,
    ),
]


def check_device(name: str) -> None:
    """That PyTorch has the device, before the work begins.

    Raises:
        DeviceError: it has no such device here.
    """
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        if "device type" in reason:  # PyTorch lists twenty kinds, of which it has few
            reason = "give cpu, or cuda where there is an NVIDIA GPU"
        raise DeviceError(f"PyTorch has no device '{name}' here: {reason}") from error


def warn_of_trained(
    training: npt.NDArray[np.generic],
    held_out: int,
    tested: npt.NDArray[np.generic],
    split: str = "test",
) -> None:
    """Warn where test examples are among those that are trained on: the accuracy measured on them
    is too high then.

    Args:
        training: [examples, …], those that are held out among them.
        held_out: how many are, evenly spread.
        tested: [examples, …].
        split: the part of the data that is tested on.
    """
    apart = set(evenly_spread(len(training), held_out).tolist())
    every = [row.tobytes() for row in training]
    trained = {row for k, row in enumerate(every) if k not in apart}
    test = [row.tobytes() for row in tested]
    shared = sum(row in trained for row in test)
    if not shared:
        return
    reason = ""
    if set(test) <= set(every):
        reason = f"--split {split}: " if split != "test" else "this data has no test part: "
    console.warn(
        f"{reason}{shared} of the {len(test)} test examples were trained on, so the accuracy is "
        "too high"
    )
