# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq sensitivity``: which parts of a network tolerate approximation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import typer

from axynq.emulator import load_model
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import multiplier
from axynq.emulator.studies.evaluator import Evaluator, Examples
from axynq.emulator.studies.search.exploration import ESTIMATE_EXAMPLES
from axynq.emulator.studies.sensitivity.estimate import Increase, estimate
from axynq.emulator.studies.sensitivity.layers import (
    LayerSensitivity,
    draw_sensitivity,
    evaluations,
    layer_sensitivity,
    rank_correlation,
)
from axynq.host.cli import completion
from axynq.host.cli.inputs import (
    DataOption,
    Engine,
    EngineOption,
    LimitOption,
    ModelArgument,
    SplitOption,
    ThreadsOption,
    picture,
    read_examples,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    results,
    table,
)
from axynq.host.cli.progress import ProgressBar, progress_bar

LowOption = Annotated[
    str,
    typer.Option(
        metavar="MULTIPLIER",
        help="The multiplier for a low approximation.",
        autocompletion=completion.multipliers,
    ),
]
MediumOption = Annotated[
    str,
    typer.Option(
        metavar="MULTIPLIER",
        help="The multiplier for a medium approximation.",
        autocompletion=completion.multipliers,
    ),
]
HighOption = Annotated[
    str,
    typer.Option(
        metavar="MULTIPLIER",
        help="The multiplier for a high approximation.",
        autocompletion=completion.multipliers,
    ),
]


@dataclass(frozen=True)
class Inputs:
    """A network, examples, and the multipliers to try."""

    network: Model
    examples: Examples
    labels: dict[str, str]
    """By specification: ``low: roup:0,4`` and so on."""
    fine: bool
    """Estimate filters and channels too."""
    engine: Engine
    threads: int | None


@dataclass(frozen=True)
class Outcome:
    """How sensitive the parts of the network are."""

    measured: LayerSensitivity
    increase: Increase
    """Of the loss, estimated; empty where it was not asked for."""


def sensitivity(
    model: ModelArgument,
    data: DataOption,
    low: LowOption = "roup:0,4",
    medium: MediumOption = "roup:1,4",
    high: HighOption = "roup:2,6",
    fine: Annotated[
        bool,
        typer.Option(help="Also estimate how sensitive each filter and input channel is."),
    ] = True,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="Draw the accuracies into this picture (.png, .svg).",
            callback=picture,
            metavar="FILE",
        ),
    ] = None,
    split: SplitOption = "test",
    limit: LimitOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure which layers of a network tolerate approximation.

    Each layer alone, then the first layers together, get a low, a medium and a high approximation.
    """
    network = load_model(model)
    specs = [multiplier(spec).spec for spec in (low, medium, high)]
    labels = {spec: f"{name}: {spec}" for spec, name in zip(specs, ("low", "medium", "high"))}
    examples = read_examples(network, data, split, limit)
    outcome = measure(
        Inputs(network, examples, labels, fine, engine, threads), progress_bar, console.status
    )
    if output is not None:
        draw_sensitivity(outcome.measured, labels, outcome.increase, output)
        console.note(f"wrote {output}")
    content = _content(str(model), outcome, labels, len(examples))
    if json:
        print_json("axynq/sensitivity/1", content)
    else:
        _show(outcome.measured, labels, outcome.increase, content)


def measure(
    inputs: Inputs,
    bar: ProgressBar,
    status: Callable[[str], AbstractContextManager[object]],
) -> Outcome:
    """Measure layers by emulation; estimate filters and channels."""
    network, examples, specs = inputs.network, inputs.examples, list(inputs.labels)
    evaluator = Evaluator(network, examples, None, inputs.engine, inputs.threads)
    with bar(network.name, evaluations(network, specs)) as advance:
        measured = layer_sensitivity(evaluator, specs, advance)
    if not inputs.fine:
        return Outcome(measured, {})
    with status("estimating the sensitivity of filters and channels"):
        few = examples.evenly(ESTIMATE_EXAMPLES)
        return Outcome(measured, estimate(network, few.x, few.y, specs))


def _content(model: str, outcome: Outcome, labels: dict[str, str], examples: int) -> dict[str, Any]:
    measured, increase = outcome.measured, outcome.increase
    content: dict[str, Any] = {
        "model": model,
        "examples": examples,
        "baseline_accuracy": measured.baseline,
        "layers": list(measured.layers),
        "multipliers": {label.partition(":")[0]: spec for spec, label in labels.items()},
        "alone": {spec: list(measured.alone[spec]) for spec in labels},
        "first": {spec: list(measured.first[spec]) for spec in labels},
    }
    if increase:
        content["estimate"] = {
            axis: {
                spec: {name: increase[name, axis, spec].tolist() for name in measured.layers}
                for spec in labels
            }
            for axis in ("layer", "filter", "channel")
        }
        content["rank_correlation"] = rank_correlation(
            [increase[name, "layer", spec][0] for spec in labels for name in measured.layers],
            [-accuracy for spec in labels for accuracy in measured.alone[spec]],
        )
    return content


def _show(
    measured: LayerSensitivity,
    labels: dict[str, str],
    increase: Increase,
    content: dict[str, Any],
) -> None:
    shown = table(
        "layer",
        *(f"alone, {spec}" for spec in labels),
        *(f"up to it, {spec}" for spec in labels),
        title=f"Accuracy; exact: {percent(measured.baseline)}",
    )
    for k, name in enumerate(measured.layers):
        cells = [percent(measured.alone[spec][k]) for spec in labels]
        shown.add_row(name, *cells, *(percent(measured.first[spec][k]) for spec in labels))
    results.print(shown)
    if not increase:
        return
    spec = list(labels)[-1]
    estimates = table(
        "layer", "layer", "filters: median", "largest", "of filter", "channels: median", "largest",
        "of channel", title=f"Estimated increase of the loss under {spec}",
    )  # fmt: skip
    for name in measured.layers:
        row = [f"{increase[name, 'layer', spec][0]:.4f}"]
        for values in (increase[name, "filter", spec], increase[name, "channel", spec]):
            row += [f"{np.median(values):.4f}", f"{values.max():.4f}", str(values.argmax())]
        estimates.add_row(name, *row)
    results.print(estimates)
    results.print(
        "rank correlation of the layers' estimates with the measured accuracy losses: "
        f"{content['rank_correlation']:.2f}"
    )
