"""``axynq noise``: where and how large a plan's errors are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import quantise_examples
from axynq.emulator.errors import DataError
from axynq.emulator.studies.errors import ErrorStatistics, extract, save_statistics
from axynq.emulator.studies.errors.pictures import draw_correlation, draw_histograms
from axynq.host.cli.inputs import (
    DataOption,
    ModelArgument,
    PlanOption,
    ThreadsOption,
    read_data,
    read_plan,
)
from axynq.host.cli.output import JsonOption, console, print_json, progress_bar, results, table

HISTOGRAM_SAMPLES = 64


def noise(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option(help="Where to save the statistics, .npz.")],
    plan: PlanOption = "exact",
    samples: Annotated[
        int, typer.Option(min=1, help="Use so many examples, evenly spread over the data.")
    ] = 1024,
    split: Annotated[str, typer.Option(help="train or test, where the data has both.")] = "train",
    per_filter: Annotated[
        bool, typer.Option("--per-filter", help="Save moments by filter, not by neuron.")
    ] = False,
    pictures: Annotated[
        Optional[Path],
        typer.Option(help="Also draw histograms and correlation maps into this folder."),
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the approximation error at each neuron: mean, deviation, correlation with the output.

    The error is what each layer itself adds to its accumulators, before the activation.
    """
    network = load_model(model)
    chosen = read_plan(network, plan)
    examples = read_data(data, split, samples)
    x = quantise_examples(network.input, examples.x)
    with progress_bar(f"{network.name}, {plan}", len(x)) as advance:
        statistics = extract(
            network,
            chosen,
            x,
            threads=threads,
            advance=advance,
            description={"data": data.name, "split": split},
        )
    statistics = replace(statistics, plan=plan)
    save_statistics(statistics.reduced() if per_filter else statistics, output)
    console.print(f"saved {output}")
    if pictures is not None:
        try:
            pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"'{pictures}' cannot be written: {error.strerror}") from error
        sums = Emulator(network, chosen, threads=threads).accumulators(x[:HISTOGRAM_SAMPLES])
        draw_histograms(statistics, list(sums.items()), pictures / "histograms.png")
        draw_correlation(statistics, pictures / "correlation.png")
        console.print(f"saved {pictures}/histograms.png and correlation.png")
    rows = [_summary(statistics, name) for name in statistics.layers]
    if json:
        print_json(
            {
                "model": str(model),
                "plan": plan,
                "samples": statistics.samples,
                "output": str(output),
                "layers": rows,
            }
        )
        return
    shown = table(
        "layer", "neurons", "output σ", "error mean", "error σ", "correlation", "SNR",
        title=f"{network.name}, {plan}, {statistics.samples} samples: errors before the "
        "activation, in real units",
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
            "no error" if ratio is None else f"{ratio:.1f} dB",
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
