# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How long few images take, and how long until an emulator is ready. One command:

    python benchmarks/latency/run.py        # a few minutes; --quick for a first look

LiteRT (XNNPACK, exact int8) runs beside it, in turns, with as many threads. Writes results.json and
results.png beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from common import machine, save

from axynq.emulator import Emulator, files
from axynq.emulator.engine import recipe, records, terms
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph

HERE = Path(__file__).parent

BATCHES = (1, 2, 4, 16, 64)

LARGE_BATCHES = (1, 2, 4)
"""Of ResNet-18, which takes long."""

MOST = 1.5
"""Exact emulation of an image of ResNet-8 takes so many times as long as LiteRT at most."""

READY = 0.1
"""Seconds of a processor until an emulator of ResNet-8 is ready at most."""

PLANS = ("exact", "roup:1,4", "smapprox:3330")


def build_plans() -> dict[str, str]:
    """The plans an emulator is made with: name to shorthand."""
    chosen = {plan: plan for plan in PLANS}
    chosen["per filter, two"] = "flam=exact|roup:1,4"
    chosen["per filter, four"] = "flam=exact|roup:1,4|smapprox:3330|smapprox:2222"
    data = os.environ.get("AXYNQ_DATA")
    tables = Path(data, "evoapprox_mul8u.npz") if data else None
    if tables is not None and tables.exists():
        for name in ("2AC", "ZFB"):
            chosen[f"evoapprox {name}"] = f"table:{tables}#mul8u_{name}"
    else:
        print("AXYNQ_DATA has no evoapprox_mul8u.npz: the EvoApprox tables are left out")
    return chosen


def litert(model: graph.Model, images: int, threads: int) -> Callable[[], Any]:
    import ai_edge_litert.interpreter as tflite

    interpreter = tflite.Interpreter(model_content=serialise_model(model), num_threads=threads)
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(source, (images, *model.input.shape))
    interpreter.allocate_tensors()
    x = batch(model, images)

    def run() -> Any:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def batch(model: graph.Model, images: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(-128, 128, (images, *model.input.shape)).astype(np.int8)


def latencies(
    contenders: dict[str, Callable[[], Any]], rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Microseconds of single calls, in rounds in which all take turns: each of as many calls as
    take so many seconds. The best is what other work on the machine disturbs least."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(rounds):
        for name, run in contenders.items():
            finished = time.perf_counter()
            end = finished + seconds
            while finished < end:
                started = finished
                run()
                finished = time.perf_counter()
                found[name].append((finished - started) * 1e6)
    return {
        name: {"best": min(values), "median": statistics.median(values)}
        for name, values in found.items()
    }


def measure(
    model: graph.Model, batches: Sequence[int], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    rows = []
    for threads in (1, 2):
        emulators = {plan: Emulator(model, plan, threads=threads) for plan in PLANS}
        for images in batches:
            x = batch(model, images)
            contenders: dict[str, Callable[[], Any]] = {
                plan: lambda emulator=emulator, x=x: emulator.run(x)
                for plan, emulator in emulators.items()
            }
            contenders["LiteRT int8"] = litert(model, images, threads)
            figures = latencies(contenders, rounds, seconds)
            rows.append({"threads": threads, "images": images, "microseconds": figures})
            shown = "  ".join(f"{name} {f['best']:.0f}" for name, f in figures.items())
            print(f"  {threads} threads, {images} images, us: {shown}", flush=True)
    return rows


def ready(model: graph.Model, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of a processor until an emulator is there, with nothing cached and again."""
    seconds = {}
    for name, plan in build_plans().items():
        found: dict[str, list[float]] = {"nothing cached": [], "again": []}
        for _ in range(rounds):
            for cached in (recipe.recipe_of, terms.terms_of, records._linear):
                cached.cache_clear()
            for values in found.values():
                started = time.process_time()
                Emulator(model, plan)
                values.append(time.process_time() - started)
        seconds[name] = {what: min(values) for what, values in found.items()}
        shown = ", ".join(f"{what} {value:.3f}" for what, value in seconds[name].items())
        verdict = "reached" if seconds[name]["nothing cached"] <= READY else "MISSED"
        print(f"  {name}: {shown} s, asked {READY}: {verdict}", flush=True)
    return seconds


def draw(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure = Figure(figsize=(14, 5), layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, len(results)), results.items()):
        alone = [row for row in rows if row["threads"] == 1]
        images = [row["images"] for row in alone]
        for contender in (*PLANS, "LiteRT int8"):
            each = [row["microseconds"][contender]["best"] / row["images"] for row in alone]
            style = "--" if contender == "LiteRT int8" else "-"
            axes.plot(images, each, style, marker="o", label=contender)
        axes.set(title=f"{name}, one thread", xlabel="images of a batch", xscale="log")
        axes.set(ylabel="microseconds an image", yscale="log")
        axes.set_xticks(images, [str(count) for count in images])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(ScalarFormatter())
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    rounds, seconds = (3, 0.02) if arguments.quick else (8, 0.04)
    results = {}
    for make in (networks.resnet8, networks.keyword, networks.resnet18):
        model = make()
        print(model.name)
        batches = LARGE_BATCHES if make is networks.resnet18 else BATCHES
        results[model.name] = measure(model, batches, rounds, seconds)
    targets = []
    for row in results["resnet8"]:
        if row["images"] == 1:
            figures = row["microseconds"]
            ratio = figures["exact"]["best"] / figures["LiteRT int8"]["best"]
            targets.append({"threads": row["threads"], "ratio": ratio, "target": MOST})
            verdict = "reached" if ratio <= MOST else "MISSED"
            print(f"one image of ResNet-8, {row['threads']} threads: {ratio:.2f} x LiteRT, "
                  f"asked {MOST}: {verdict}")  # fmt: skip
    print("until an emulator of ResNet-8 is ready")
    built = ready(networks.resnet8(), 3 if arguments.quick else 7)
    save(
        arguments.output,
        {
            "machine": machine(),
            "engine": Emulator(networks.keyword()).engine,
            "note": "Microseconds of a batch, input and output included: best and median of "
            "calls, in rounds in which all take turns. Seconds of a processor until an emulator is "
            "ready: best.",
            "latencies": results,
            "targets": targets,
            "seconds_until_ready": built,
        },
    )
    draw(results, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
