# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq noise``: where and how large a plan's errors are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Int8Array, Model
from axynq.emulator.plan import Plan
from axynq.emulator.studies.errors import ErrorStatistics, extract, save_statistics
from axynq.emulator.studies.errors.pictures import draw_correlation, draw_histograms
from axynq.host.cli.inputs import (
    DataOption,
    Engine,
    EngineOption,
    LimitOption,
    ModelArgument,
    PlanOption,
    SplitOption,
    ThreadsOption,
    read_data,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, print_json, results, table
from axynq.host.cli.progress import progress_bar

HISTOGRAM_EXAMPLES = 64
"""Examples from which the histograms are drawn."""


@dataclass(frozen=True)
class Inputs:
    """What to measure errors of."""

    network: Model
    plan: Plan
    x: Int8Array
    engine: Engine
    threads: int | None
    description: dict[str, str]
    """Kept with the statistics: where the examples are from."""


def noise(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The .npz file to write the statistics to.", metavar="FILE"
        ),
    ],
    plan: PlanOption = "exact",
    limit: LimitOption = 1024,
    split: SplitOption = "train",
    per_filter: Annotated[
        bool,
        typer.Option("--per-filter", help="Write moments of each filter instead of each neuron."),
    ] = False,
    pictures: Annotated[
        Optional[Path],
        typer.Option(
            help="Also draw histograms.png and correlation.png into this folder.", metavar="FOLDER"
        ),
    ] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a plan's errors at each neuron of a network.

    Mean, deviation, and correlation with the output, of what each layer itself adds to its
    accumulators, before the activation function.
    """
    network = load_model(model)
    chosen = read_plan(network, plan)
    x = quantise_examples(network.input, read_data(data, split, limit).x)
    inputs = Inputs(network, chosen, x, engine, threads, {"data": data.name, "split": split})
    with progress_bar(f"{network.name}, {plan}", len(x)) as advance:
        statistics = replace(measure(inputs, advance), plan=plan)
    save_statistics(statistics.reduced() if per_filter else statistics, output)
    console.note(f"wrote {output}")
    if pictures is not None:
        _draw(inputs, statistics, pictures)
        console.note(f"wrote {pictures}/histograms.png and correlation.png")
    rows = [_summary(statistics, name) for name in statistics.layers]
    if json:
        print_json(
            "axynq/noise/1",
            {
                "model": str(model),
                "plan": plan,
                "samples": statistics.samples,
                "output": str(output),
                "layers": rows,
            },
        )
    else:
        _show(f"{network.name}, {plan}, {statistics.samples} samples", rows)


def measure(inputs: Inputs, advance: Callable[[int], None]) -> ErrorStatistics:
    """Statistics of the errors of all layers."""
    return extract(
        inputs.network,
        inputs.plan,
        inputs.x,
        engine=inputs.engine,
        threads=inputs.threads,
        advance=advance,
        description=inputs.description,
    )


def _draw(inputs: Inputs, statistics: ErrorStatistics, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"'{folder}' cannot be written: {error.strerror}") from error
    emulator = Emulator(inputs.network, inputs.plan, inputs.engine, inputs.threads)
    sums = emulator.accumulators(inputs.x[:HISTOGRAM_EXAMPLES])
    draw_histograms(statistics, list(sums.items()), folder / "histograms.png")
    draw_correlation(statistics, folder / "correlation.png")


def _show(title: str, rows: list[dict[str, Any]]) -> None:
    shown = table(
        "layer", "neurons", "output σ", "error mean", "error σ", "correlation", "SNR",
        title=f"{title}: errors before the activation, in real units",
    )  # fmt: skip
    for row in rows:
        ratio = row["signal_to_noise_db"]
        shown.add_row(
            row["name"],
            f"{row['neurons']:,}",
            f"{row['output_deviation']:.4f}",
            f"{row['error_mean']:+.5f}",
            f"{row['error_deviation']:.5f}",
            f"{row['mean_correlation']:+.3f}",
            "exact" if ratio is None else f"{ratio:.1f} dB",
        )
    results.print(shown)


def _summary(statistics: ErrorStatistics, name: str) -> dict[str, Any]:
    layer = statistics.layers[name]
    whole = layer.real
    ratio = float(whole.signal_to_noise)
    return {
        "name": name,
        "neurons": int(layer.neurons.error_mean.size),
        "output_deviation": float(whole.output_deviation),
        "error_mean": float(whole.error_mean),
        "error_deviation": float(whole.error_deviation),
        "mean_correlation": float(layer.neurons.correlation.mean()),
        "signal_to_noise_db": ratio if ratio != float("inf") else None,
    }
