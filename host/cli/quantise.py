# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq quantise``: an int8 network of a float one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple, Optional

import numpy as np
import numpy.typing as npt
import typer

from axynq.emulator import Emulator, load_model, save_model
from axynq.emulator.datasets import Split
from axynq.emulator.errors import DataError
from axynq.emulator.frameworks.float_files import load_float_network
from axynq.emulator.model.batch import has_places
from axynq.emulator.quantisation.float_network import FloatArray, FloatNetwork
from axynq.emulator.quantisation.inputs import (
    RANGES,
    Pixels,
    check_can_be_calibrated,
    real_inputs,
)
from axynq.emulator.quantisation.quantise import Options
from axynq.emulator.quantisation.quantise import quantise as quantise_network
from axynq.emulator.quantisation.ranges import RangeRule
from axynq.emulator.quantisation.report import LayerLoss, float_accuracy, layer_losses
from axynq.host.cli import completion
from axynq.host.cli.inputs import DataOption, LimitOption, SplitOption, check_labels, read_data
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import ProgressBar, progress_bar

IMAGES = 16
"""Examples that are computed together."""


@dataclass(frozen=True)
class Inputs:
    """What to quantise, and with what."""

    network: FloatNetwork
    calibration: FloatArray
    test: FloatArray
    labels: npt.NDArray[np.int64] | None
    options: Options


class Outcome(NamedTuple):
    """What became of it."""

    losses: list[LayerLoss]
    before: float | None
    """Accuracy of the float network; None where it is not measured."""
    after: float | None
    """Of the int8 network, as it was written."""


def quantise(
    model: Annotated[
        Path,
        typer.Argument(
            help="The float network: a .onnx, a .pt2 (torch.export.save) or a .tflite file.",
            metavar="MODEL",
            autocompletion=completion.models,
        ),
    ],
    data: DataOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The int8 .tflite file to write.", metavar="FILE")
    ],
    ranges: Annotated[
        RangeRule,
        typer.Option(
            help="What the range of a tensor covers: all values that calibration gives (min-max), "
            "a share of them (percentile), or what makes the mean squared error least."
        ),
    ] = "min-max",
    percentile: Annotated[
        float,
        typer.Option(
            min=50,
            max=100,
            help="With --ranges percentile: the share of the values, in percent.",
            metavar="PERCENT",
        ),
    ] = 99.99,
    equalise: Annotated[
        bool,
        typer.Option(
            help="Make the weights of neighbouring layers of similar size before (cross-layer "
            "equalisation)."
        ),
    ] = False,
    correct_bias: Annotated[
        bool,
        typer.Option(help="Take the mean error that rounded weights make off each filter's bias."),
    ] = False,
    pixels: Annotated[
        Pixels, typer.Option(help="What the network takes pixels of images as; floats stay.")
    ] = "0..1",
    calibration_examples: Annotated[
        int, typer.Option(min=1, help="Examples to find ranges with; labels are not used.")
    ] = 256,
    calibration_split: Annotated[
        Split, typer.Option(help="The part of the data that the calibration examples are from.")
    ] = "train",
    split: SplitOption = "test",
    limit: LimitOption = None,
    accuracy: Annotated[
        bool, typer.Option(help="Measure the accuracy before and after, by the data's labels.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Quantise a float network to int8, without training.

    Says what each layer loses, and the accuracy before and after.
    """
    network = load_float_network(model)
    inputs = _read(
        network, data, (calibration_split, calibration_examples),
        (split, limit if accuracy else 1), pixels,
        Options(ranges, percentile, equalise, correct_bias, images=IMAGES), accuracy,
    )  # fmt: skip
    outcome = measure(inputs, output, progress_bar)
    if json:
        print_json(
            "axynq/quantise/1",
            {
                "model": str(model),
                "output": str(output),
                "ranges": ranges,
                "equalise": equalise,
                "correct_bias": correct_bias,
                "calibration_examples": len(inputs.calibration),
                "examples": len(inputs.test) if accuracy else 0,
                "accuracy_float": outcome.before,
                "accuracy": outcome.after,
                "layers": [loss._asdict() for loss in outcome.losses],
            },
        )
        return
    _show(f"{network.name} on {len(inputs.calibration)} calibration examples", outcome)
    if accuracy:
        before, after = percent(outcome.before), percent(outcome.after)
        results.print(
            f"accuracy on {len(inputs.test)} examples: {before} in floating point, {after} in int8"
        )
    console.note(f"wrote {output}")


def _read(
    network: FloatNetwork,
    data: Path,
    calibration: tuple[Split, int],
    test: tuple[Split, Optional[int]],
    pixels: Pixels,
    options: Options,
    labelled: bool,
) -> Inputs:
    check_can_be_calibrated(network)
    if labelled and len(network.outputs) > 1:
        raise DataError(
            f"'{network.name}' has {len(network.outputs)} outputs, so that there is no accuracy of "
            "its classes: --no-accuracy quantises it without"
        )
    shape = network.tensors[network.outputs[0]].shape
    if labelled and has_places(shape):
        raise DataError(
            f"'{network.name}' gives an output of shape {list(shape)}, scores for each of many "
            "places, so that there is no accuracy: --no-accuracy quantises it without"
        )
    known = read_data(data, *calibration)
    tested = read_data(data, *test)
    if labelled:
        check_labels(tested, int(np.prod(network.tensors[network.outputs[0]].shape)))
    if known.x.dtype == np.uint8:
        options = replace(options, input_range=RANGES[pixels])
    return Inputs(
        network,
        real_inputs(network, known.x, pixels),
        real_inputs(network, tested.x, pixels),
        tested.y if labelled else None,
        options,
    )


def measure(inputs: Inputs, output: Path, progress: ProgressBar) -> Outcome:
    """Quantise, write the network, and measure what was written."""
    network, calibration = inputs.network, inputs.calibration
    passes = 1 + (inputs.options.ranges != "min-max") + inputs.options.equalise
    with progress(f"quantising {network.name}", passes * len(calibration)) as advance:
        quantised = quantise_network(network, calibration, inputs.options, advance)
    save_model(quantised.model, output)
    with progress("measuring each layer", len(calibration)) as advance:
        losses = layer_losses(quantised, calibration, IMAGES, advance)
    if inputs.labels is None:
        return Outcome(losses, None, None)
    with progress("measuring the float network", len(inputs.test)) as advance:
        before = float_accuracy(network, inputs.test, inputs.labels, IMAGES, advance)
    after = Emulator(load_model(output)).accuracy(inputs.test, inputs.labels)
    return Outcome(losses, before, after)


def _show(title: str, outcome: Outcome) -> None:
    shown = table("layer", "operator", "output", "own loss", "so far", "saturated", title=title)
    for loss in outcome.losses:
        shown.add_row(
            loss.name,
            loss.operator,
            " x ".join(map(str, loss.shape)),
            f"{loss.own:.1f} dB",
            f"{loss.total:.1f} dB",
            percent(loss.saturated),
        )
    results.print(shown)
