# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How long it takes until a network is ready: compiled for an overlay, or emulated. One command:

    python benchmarks/setup/run.py        # some minutes; --quick for a first look

Each row is measured in a process of its own, with the kernel compiled: once with nothing cached,
then again. Figures are seconds of the processor, since set-up is one thread and machines do other
things too; seconds of the clock stand beside them. Writes results.json beside this file (or to
--output).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, save

HERE = Path(__file__).parent

NETWORKS = ("mobilenetv2", "hundred", "resnet8")

# For each overlay plans whose multipliers its lanes hold.
PLANS = {
    "z2-roup16": (
        "exact", "roup:1,4", "flam=exact|roup:0,4|roup:2,6", "klam-channel=exact|roup:1,4",
        "klam-row=exact|roup:1,4|roup:2,6", "klam-column=exact|roup:0,4", "roup:1,4+klms=2",
    ),
    "z2-mixed16": (
        "smapprox:3330", "flam=exact|smapprox:3330", "flam=exact|roup:1,4|smapprox:3330",
        "klam-channel=exact|smapprox:3330", "flam=exact|smapprox:3330+klms=2",
    ),
    "z2-sm16": ("flam=exact|smapprox:1110|smapprox:3330|smapprox:2222", "smapprox:2222"),
    "zcu104-roup32": ("exact", "flam=exact|roup:0,4|roup:2,6"),
}  # fmt: skip

TARGETS = {"compile": 3.0, "emulator": 1.0}
"""Seconds for MobileNetV2, with nothing cached."""


def processor_seconds() -> float:
    """Of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def seconds(run: Callable[[], Any], rounds: int) -> dict[str, float]:
    """The first time, and the best of those after it."""
    processor, clock = [], []
    for _ in range(1 + rounds):
        used, started = processor_seconds(), time.perf_counter()
        run()
        clock.append(time.perf_counter() - started)
        processor.append(processor_seconds() - used)
    return {
        "first": round(processor[0], 3),
        "again": round(min(processor[1:]), 3),
        "first_by_the_clock": round(clock[0], 3),
        "again_by_the_clock": round(min(clock[1:]), 3),
    }


def measure_compile(path: Path, plan: str, overlay: str, rounds: int) -> dict[str, float]:
    from axynq.emulator import load_model
    from axynq.host import compile_program

    model = load_model(path)
    return seconds(lambda: compile_program(model, plan, overlay), rounds)


def measure_emulator(path: Path, plan: str, rounds: int) -> dict[str, float]:
    from axynq.emulator import Emulator, load_model
    from axynq.emulator.engine.choice import choose_engine

    choose_engine()  # builds the kernel, if need be
    model = load_model(path)
    return seconds(lambda: Emulator(model, plan), rounds)


def measure_command(arguments: list[str], rounds: int) -> dict[str, float]:
    """A command, from start to end."""
    return seconds(lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL), rounds)


def measure(folder: Path, rounds: int) -> list[dict[str, Any]]:
    import networks

    from axynq.emulator import save_model

    rows: list[dict[str, Any]] = []

    def add(network: str, what: str, figures: dict[str, float], **more: str) -> None:
        rows.append({"network": network, "what": what, **more, **figures})
        text = " ".join([network, what, *more.values()])
        print(f"{text:90} {figures['first']:7.3f} s, again {figures['again']:7.3f} s", flush=True)

    alone: dict[str, Any] = {"max_workers": 1, "max_tasks_per_child": 1}
    with ProcessPoolExecutor(mp_context=get_context("spawn"), **alone) as fresh:
        for name in NETWORKS:
            path = folder / f"{name}.tflite"
            save_model(getattr(networks, name)(), path)
            for overlay, plans in PLANS.items():
                for plan in plans:
                    figures = fresh.submit(measure_compile, path, plan, overlay, rounds).result()
                    add(name, "compile", figures, overlay=overlay, plan=plan)
            for plan in dict.fromkeys(plan for plans in PLANS.values() for plan in plans):
                figures = fresh.submit(measure_emulator, path, plan, rounds).result()
                add(name, "emulator", figures, plan=plan)
    python, axynq = sys.executable, Path(sys.executable).with_name("axynq")
    network = folder / "mobilenetv2.tflite"
    for command in (
        [python, "-c", "import axynq.emulator"],
        [python, "-c", "import axynq.host"],
        [str(axynq), "--help"],
        [str(axynq), "inspect", str(network), "--overlay", "z2-roup16"],
    ):
        text = " ".join(Path(part).name for part in command)
        add("-", "command", measure_command(command, rounds), command=text)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each again once only")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), rounds=1 if arguments.quick else 3)
    targets = []
    for what, most in TARGETS.items():
        slowest = max(
            (row for row in rows if row["what"] == what and row["network"] == "mobilenetv2"),
            key=lambda row: row["first"],
        )
        targets.append({**slowest, "target": most})
        verdict = "reached" if slowest["first"] <= most else "MISSED"
        print(f"{what} of MobileNetV2: {slowest['first']:.2f} s, asked {most:.0f}: {verdict}")
    loaded = {"load_average": os.getloadavg()[0]}
    save(arguments.output, {"machine": machine() | loaded, "targets": targets, "seconds": rows})


if __name__ == "__main__":
    main()
