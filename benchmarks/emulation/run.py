# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How fast emulation is, against exact inference and against table look-up. One command:

    python benchmarks/emulation/run.py        # some minutes; --quick for a first look

Writes results.json and results.png beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from common import machine, save, side_by_side

from axynq.emulator import Emulator, Plan, files
from axynq.emulator.engine.calibration import measured_costs
from axynq.emulator.engine.choice import ENGINES
from axynq.emulator.engine.kernel import load_kernel
from axynq.emulator.engine.packing import costs_of
from axynq.emulator.engine.recipe import layer_recipe
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from axynq.emulator.multipliers import SMAPPROX_TABLE_2, multiplier
from axynq.emulator.toolchain import shared_library

HERE = Path(__file__).parent

TARGETS = [
    # plan, baseline, at least: on the convolutions of ResNet-8 with the same threads
    ("exact", "PyTorch fp32", 2.0),
    ("roup:1,0", "PyTorch fp32", 2.0),
    ("roup:1,4", "PyTorch fp32", 1.0),
    ("roup:1,4", "LUT gather", 15.0),
    *((f"smapprox:{digits}", "LUT gather", 6.0) for digits in SMAPPROX_TABLE_2),
    *((f"evoapprox {name}", "LUT gather", 4.0) for name in ("2AC", "2HH", "NGR", "ZFB", "7C1")),
]


def plans() -> dict[str, str]:
    """The plans compared: name to shorthand."""
    chosen = {spec: spec for spec in ("exact", "roup:1,0", "roup:0,4", "roup:1,4")}
    chosen |= {f"smapprox:{digits}": f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2}
    chosen["flam, three classes"] = "flam=exact|roup:1,4|smapprox:3330"
    chosen["klam-channel"] = "klam-channel=exact|roup:1,4"
    data = os.environ.get("AXYNQ_DATA")
    tables = Path(data, "evoapprox_mul8u.npz") if data else None
    if tables is not None and tables.exists():
        for name in ("2AC", "2HH", "NGR", "ZFB", "7C1"):
            chosen[f"evoapprox {name}"] = f"table:{tables}#mul8u_{name}"
    else:
        print("AXYNQ_DATA has no evoapprox_mul8u.npz: the EvoApprox tables are left out")
    return chosen


# --- baselines -----------------------------------------------------------------------------------


def convolutions(model: graph.Model) -> list[graph.Convolution]:
    return [op for op in model.operators if isinstance(op, graph.Convolution)]


def torch_convolutions(model: graph.Model, images: int, threads: int) -> Callable[[], None]:
    """The network's convolutions in PyTorch, float32, in the memory format that is faster."""
    import torch

    torch.set_num_threads(threads)
    best: tuple[float, Callable[[], None]] | None = None
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layers, inputs = [], []
        for op in convolutions(model):
            filters, rows, columns, channels = op.weights.shape
            p = op.padding
            layer = torch.nn.Sequential(
                torch.nn.ZeroPad2d((p.left, p.right, p.top, p.bottom)),
                torch.nn.Conv2d(channels, filters, (rows, columns), op.stride),
            ).to(memory_format=memory_format)
            x = torch.rand(images, channels, *model.tensors[op.inputs[0]].shape[:2])
            layers.append(layer)
            inputs.append(x.to(memory_format=memory_format))

        def run(layers: list[Any] = layers, inputs: list[Any] = inputs) -> None:
            with torch.inference_mode():
                for layer, x in zip(layers, inputs):
                    layer(x)

        run()
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        if best is None or seconds < best[0]:
            best = seconds, run
    assert best is not None
    return best[1]


def tflite_network(model: graph.Model, images: int, threads: int) -> Callable[[], None]:
    """The whole network in LiteRT with XNNPACK, exact int8, in the batch size that is faster."""
    import ai_edge_litert.interpreter as tflite  # its XNNPACK is newer than tflite-runtime's

    best: tuple[float, Callable[[], None]] | None = None
    for batch in (1, 16, 64):
        interpreter = tflite.Interpreter(model_content=serialise_model(model), num_threads=threads)
        source = interpreter.get_input_details()[0]["index"]
        try:
            interpreter.resize_tensor_input(source, (batch, *model.input.shape))
            interpreter.allocate_tensors()
        except RuntimeError:
            continue
        x = np.zeros((batch, *model.input.shape), np.int8)

        def run(
            interpreter: Any = interpreter, batch: int = batch, x: Any = x, source: int = source
        ) -> None:
            for _ in range(-(-images // batch)):
                interpreter.set_tensor(source, x)
                interpreter.invoke()

        run()
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        if best is None or seconds < best[0]:
            best = seconds, run
    assert best is not None
    return best[1]


def baseline_library() -> ctypes.CDLL:
    flags = ["-std=c++17", "-O3", "-march=native", "-fopenmp"]
    library = ctypes.CDLL(str(shared_library("baselines", [HERE / "baselines.cpp"], flags)))
    library.peak_products.restype = ctypes.c_int64
    library.peak_products.argtypes = [ctypes.c_int64]
    return library


def lut_convolutions(library: ctypes.CDLL, model: graph.Model, images: int) -> Callable[[], None]:
    """The network's convolutions by table look-up."""
    table = np.zeros((256, 256), np.int32)
    table[:] = multiplier("smapprox:1100").table[255:, :]
    rng = np.random.default_rng(0)
    calls = []
    for op in convolutions(model):
        filters, k_rows, k_columns, channels = op.weights.shape
        rows, columns, _ = model.tensors[op.output].shape
        p, source = op.padding, model.tensors[op.inputs[0]].shape
        padded = (source[0] + p.top + p.bottom, source[1] + p.left + p.right)
        x = rng.integers(0, 256, (images, *padded, channels)).astype(np.uint8)
        w = (op.weights.astype(np.int16) + 128).astype(np.uint8)
        out = np.zeros((images, rows, columns, filters), np.int32)
        numbers = (
            images,
            *padded,
            channels,
            filters,
            k_rows,
            k_columns,
            op.stride[0],
            rows,
            columns,
        )
        calls.append(([x, np.ascontiguousarray(w), table, out], numbers))

    def run() -> None:
        for arrays, numbers in calls:
            library.lut_convolution(
                *(a.ctypes.data_as(ctypes.c_void_p) for a in arrays), *map(ctypes.c_int, numbers)
            )

    return run


# --- the benchmark -------------------------------------------------------------------------------


def work_per_image(model: graph.Model, plan: Plan) -> dict[str, float]:
    """Multiplications, byte dot products and looked-up bytes of one image."""
    costs = measured_costs(load_kernel(Emulator(model).engine))
    codes = plan.expand(model)
    total = {"multiplications": 0.0, "byte_products": 0.0, "looked_up": 0.0}
    for layer in model.layers:
        zero_point = model.tensors[layer.inputs[0]].zero_point
        costs_here = costs_of(model, layer, costs)
        recipe = layer_recipe(layer, zero_point, codes[layer.name], costs_here)
        positions = model.multiplications(layer) / layer.kernel.size
        total["multiplications"] += model.multiplications(layer)
        used = sum(int((plane.weights != 0).sum()) for plane in recipe.planes)
        total["byte_products"] += positions * used
        total["looked_up"] += positions * sum(int((p.index != 0).sum()) for p in recipe.lookups)
    return total


def measure(
    model: graph.Model, chosen: dict[str, str], images: dict[str, int], rounds: int, threads: int
) -> dict[str, Any]:
    """Images per second of every plan and baseline, in turns."""
    print(f"{model.name}: {sum(map(model.multiplications, model.layers)) / 1e6:.1f} M products")
    library = baseline_library()
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (images["emulator"], *model.input.shape)).astype(np.int8)
    contenders: dict[str, Callable[[], Any]] = {}
    counts: dict[str, int] = {}
    for name, text in chosen.items():
        emulator = Emulator(model, text, threads=threads)
        contenders[name] = lambda emulator=emulator: emulator.run(x)
        counts[name] = len(x)
    contenders["PyTorch fp32"] = torch_convolutions(model, images["torch"], threads)
    counts["PyTorch fp32"] = images["torch"]
    contenders["LiteRT int8"] = tflite_network(model, images["tflite"], threads)
    counts["LiteRT int8"] = images["tflite"]
    contenders["LUT gather"] = lut_convolutions(library, model, images["lut"])
    counts["LUT gather"] = images["lut"]
    times = side_by_side(contenders, rounds, lambda text: None)
    outcome: dict[str, Any] = {}
    for name, seconds in times.items():
        outcome[name] = {
            "images_per_second": counts[name] / seconds["median"],
            "range": [counts[name] / seconds["worst"], counts[name] / seconds["best"]],
            "images": counts[name],
        }
        if name in chosen:
            outcome[name] |= work_per_image(model, Plan.parse(model, chosen[name]))
    return outcome


def accumulator_cost(
    model: graph.Model, images: int, rounds: int, threads: int
) -> dict[str, float]:
    """Time of one pass that also gives exact and approximate accumulators of every layer, over that
    of one approximate pass."""
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, (images, *model.input.shape)).astype(np.int8)
    ratios = {}
    for text in ("roup:1,4", "smapprox:1100", "smapprox:3330"):
        emulator = Emulator(model, text, threads=threads)
        times = side_by_side(
            {
                "run": lambda emulator=emulator: emulator.run(x),
                "accumulators": lambda emulator=emulator: emulator.accumulators(x),
            },
            rounds,
            lambda _: None,
        )
        ratios[text] = times["accumulators"]["median"] / times["run"]["median"]
    return ratios


def peak(library: ctypes.CDLL) -> float:
    """Byte products per second that the processor does at most, all threads."""
    library.peak_products(10_000_000)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        done = library.peak_products(30_000_000)
        best = max(best, done / (time.perf_counter() - started))
    return best


def targets(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for plan, baseline, least in TARGETS:
        if plan not in outcome:
            continue
        ratio = outcome[plan]["images_per_second"] / outcome[baseline]["images_per_second"]
        rows.append({"plan": plan, "against": baseline, "ratio": ratio, "target": least})
    return rows


def print_table(results: dict[str, Any], peak_rate: float) -> None:
    from rich.console import Console
    from rich.table import Table

    for name, outcome in results.items():
        shown = Table(title=f"{name}, images per second", title_justify="left")
        for column in (
            "",
            "images/s",
            "x PyTorch fp32",
            "x LUT gather",
            "share of the vectors' int8 peak",
        ):
            shown.add_column(column, justify="left" if not column else "right")
        for plan, figures in outcome.items():
            rate = figures["images_per_second"]
            share = figures.get("byte_products", 0) * rate / peak_rate if peak_rate else 0
            shown.add_row(
                plan,
                f"{rate:,.1f}",
                f"{rate / outcome['PyTorch fp32']['images_per_second']:.2f}",
                f"{rate / outcome['LUT gather']['images_per_second']:.1f}",
                f"{100 * share:.0f} %" if share else "",
            )
        Console(width=110).print(shown)


def draw(results: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(14, 6), layout="constrained")
    for axes, (name, outcome) in zip(figure.subplots(1, len(results)), results.items()):
        plans_ = [p for p in outcome if "multiplications" in outcome[p]]
        rates = [outcome[p]["images_per_second"] for p in plans_]
        axes.barh(range(len(plans_)), rates, color="#4477aa")
        axes.set_yticks(range(len(plans_)), plans_)
        axes.invert_yaxis()
        axes.set_xscale("log")
        for baseline, colour in (
            ("LUT gather", "#cc3311"), ("PyTorch fp32", "#ee7733"), ("LiteRT int8", "#009988"),
        ):  # fmt: skip
            axes.axvline(outcome[baseline]["images_per_second"], color=colour, label=baseline)
        axes.set_title(name)
        axes.set_xlabel("images per second")
        axes.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    if arguments.engine != "auto":
        os.environ["AXYNQ_ENGINE"] = arguments.engine
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    # Idle OpenMP threads would spin, at the expense of whoever is measured next.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    scale = 1 if arguments.quick else 4
    chosen = plans()
    sizes = {
        "resnet8": {"emulator": 512 * scale, "torch": 64, "tflite": 128, "lut": 16},
        "keyword": {"emulator": 512 * scale, "torch": 64, "tflite": 256, "lut": 64},
        "resnet18": {"emulator": 128, "torch": 4, "tflite": 4, "lut": 1},
    }
    made = {"resnet8": networks.resnet8, "keyword": networks.keyword, "resnet18": networks.resnet18}
    library = baseline_library()
    rate = peak(library)
    results = {}
    for name, make in made.items():
        few = max(1, rounds // 2) if name == "resnet18" else rounds
        results[name] = measure(make(), chosen, sizes[name], few, arguments.threads)
    print_table(results, rate)
    ratios = accumulator_cost(networks.resnet8(), 256, rounds, arguments.threads)
    for text, ratio in ratios.items():
        print(
            f"accumulators of every layer, {text}: {ratio:.2f} x one approximate pass, asked < 2.5"
        )
    reached = targets(results["resnet8"])
    for row in reached:
        verdict = "reached" if row["ratio"] >= row["target"] else "MISSED"
        print(f"{row['plan']:16} {row['ratio']:6.1f} x {row['against']}, "
              f"asked {row['target']:.0f}: {verdict}")  # fmt: skip
    save(
        arguments.output,
        {
            "machine": machine(),
            "threads": arguments.threads,
            "engine": Emulator(networks.keyword()).engine,
            "rounds": rounds,
            "int8_peak_products_per_second": rate,
            "note": "Emulator and LiteRT (XNNPACK): the whole network. PyTorch and LUT gather: its "
            "convolutions only. Medians of rounds in which all take turns.",
            "images_per_second": results,
            "targets": reached,
            "accumulators_over_run": ratios,
        },
    )
    draw(results, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
