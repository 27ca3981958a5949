"""``axynq sensitivity``: which parts of a network bear approximation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import typer

from axynq.emulator import load_model
from axynq.emulator.multipliers import multiplier
from axynq.emulator.studies.evaluator import Evaluator
from axynq.emulator.studies.search.exploration import ESTIMATE_EXAMPLES
from axynq.emulator.studies.sensitivity.estimate import Increase, estimate
from axynq.emulator.studies.sensitivity.layers import (
    LayerSensitivity,
    draw_sensitivity,
    evaluations,
    layer_sensitivity,
    rank_correlation,
)
from axynq.host.cli.inputs import (
    DataOption,
    EngineOption,
    LimitOption,
    ModelArgument,
    SplitOption,
    ThreadsOption,
    read_examples,
)
from axynq.host.cli.output import (
    JsonOption,
    console,
    percent,
    print_json,
    progress_bar,
    results,
    table,
)

_Multiplier = typer.Option(metavar="MULTIPLIER")


def sensitivity(
    model: ModelArgument,
    data: DataOption,
    low: Annotated[str, _Multiplier] = "roup:0,4",
    medium: Annotated[str, _Multiplier] = "roup:1,4",
    high: Annotated[str, _Multiplier] = "roup:2,6",
    fine: Annotated[
        bool, typer.Option(help="Estimate the sensitivity of filters and channels too.")
    ] = True,
    output: Annotated[Optional[Path], typer.Option(help="Draw a picture (.png, .svg).")] = None,
    split: SplitOption = "test",
    limit: LimitOption = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure accuracy with each layer, and with the first layers, approximate."""
    network = load_model(model)
    specs = [multiplier(spec).spec for spec in (low, medium, high)]
    labels = {spec: f"{name}: {spec}" for spec, name in zip(specs, ("low", "medium", "high"))}
    examples = read_examples(network, data, split, limit)
    evaluator = Evaluator(network, examples, None, engine, threads)
    with progress_bar(network.name, evaluations(network, list(labels))) as advance:
        measured = layer_sensitivity(evaluator, list(labels), advance)
    increase: Increase = {}
    if fine:
        with console.status("estimating the sensitivity of filters and channels"):
            few = examples.evenly(ESTIMATE_EXAMPLES)
            increase = estimate(network, few.x, few.y, list(labels))
    if output is not None:
        draw_sensitivity(measured, labels, increase, output)
        console.print(f"wrote {output}")
    content = _content(str(model), measured, labels, increase, len(examples))
    if json:
        print_json(content)
    else:
        _show(measured, labels, increase, content)


def _content(
    model: str,
    measured: LayerSensitivity,
    labels: dict[str, str],
    increase: Increase,
    examples: int,
) -> dict[str, Any]:
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
