# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Evaluations an hour of ``axynq explore`` on the ResNet-8, untuned and tuned, and where their time
goes. One command:

    python benchmarks/exploration/run.py --data cifar10/

The settings are those of ``examples/exploration/resnet8.sh``: all levels, 1 024 images to search
with, and the best plans of each level on 10 000. Evaluations per level and the images may be fewer;
seconds are of the whole exploration, the estimate and the finalists included. Without --data, the
images are random and their classes those of the exact network. Writes results.json and a picture
beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, save

from axynq.emulator import Emulator, emulation, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples
from axynq.emulator.engine.network import NativeNetwork
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import split_multipliers
from axynq.emulator.pictures import new_figure, save_figure
from axynq.emulator.studies import evaluator
from axynq.emulator.studies.evaluator import Examples
from axynq.emulator.studies.search import exploration, store
from axynq.emulator.studies.search.search import Settings
from axynq.emulator.studies.tuning.compensation import Method
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.host.cli.explore import LIBRARY, Computing, search

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "models" / "resnet8_int8.tflite"

LEVELS = ("layer", "filter", "channel", "row", "column")
SEARCHED, TESTED = 1024, 10_000
EVALUATIONS, POPULATION, FINALISTS = 400, 32, 24


class Stopwatch:
    """Seconds in each kind of work, without those in work that it calls."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inside: list[float] = []

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            self._inside.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                whole = time.perf_counter() - started
                self.seconds[kind] += whole - self._inside.pop()
                if self._inside:
                    self._inside[-1] += whole

        return call


@contextlib.contextmanager
def watched() -> Iterator[Stopwatch]:
    """A stopwatch for building engines, running them, tuning and the estimate in this process."""
    watch = Stopwatch()
    places = [
        ("building", emulation, "make_engine"),
        ("building", evaluator, "make_engine"),
        ("running", NativeNetwork, "_computed"),
        ("tuning", Tuner, "layer"),
        ("tuning", exploration, "tune"),
        ("estimating", exploration, "estimate"),
    ]
    before = [getattr(owner, name) for _, owner, name in places]
    for (kind, owner, name), function in zip(places, before):
        setattr(owner, name, watch.timed(kind, function))
    try:
        yield watch
    finally:
        for (_, owner, name), function in zip(places, before):
            setattr(owner, name, function)


def examples(model: Model, data: Path | None, split: str, count: int) -> Examples:
    if data is not None:
        chosen = load_dataset(data, split).evenly(count)
        return Examples(x=quantise_examples(model.input, chosen.x), y=chosen.y)
    rng = np.random.default_rng(split == "test")
    x = rng.integers(-128, 128, (count, *model.input.shape)).astype(np.int8)
    return Examples(x=x, y=Emulator(model).run(x).reshape(count, -1).argmax(axis=1))


def measure(
    model: Model, parts: tuple[Examples, Examples], tuned: bool, processes: int, threads: int,
    evaluations: int,
) -> dict[str, Any]:  # fmt: skip
    """One exploration, in a new folder."""
    with tempfile.TemporaryDirectory() as folder, watched() as watch:
        started, spent = time.perf_counter(), time.process_time()
        task = exploration.Task(
            model, *parts, tuple(split_multipliers(LIBRARY)), LEVELS,
            Settings(POPULATION, evaluations),
            tuner=Tuner(model, parts[0].x, "second-order", True) if tuned else None,
            method=Method.BEST, threads=threads, finalists=FINALISTS,
        )  # fmt: skip
        computing = Computing(processes, None, "auto", threads)
        with store.Store(Path(folder) / "evaluations.sqlite") as kept:
            outcome = search(task, kept, computing, lambda *state: None)
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
    row: dict[str, Any] = {
        "tuned": tuned,
        "processes": processes,
        "threads": threads,
        "evaluations": outcome.computed,
        "finalists": len(outcome.measured),
        "seconds": round(seconds, 1),
        "evaluations_per_hour": round(3600 * outcome.computed / seconds),
    }
    if processes == 1:  # what others do is not seen here
        row["processor_seconds"] = round(spent, 1)
        row["share"] = {kind: round(n / seconds, 3) for kind, n in watch.seconds.items()}
    return row


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    figure = new_figure(8, 4)
    axes = figure.subplots()
    for tuned, offset in ((False, -0.2), (True, 0.2)):
        mine = [row for row in rows if row["tuned"] is tuned]
        rates = [row["evaluations_per_hour"] for row in mine]
        place = np.arange(len(mine)) + offset
        bars = axes.bar(place, rates, 0.4, label="tuned" if tuned else "untuned")
        axes.bar_label(bars)
    axes.set_xticks(range(len(mine)), [labelled(row) for row in mine])
    axes.set_ylabel("evaluations an hour")
    axes.legend()
    save_figure(figure, path)


def labelled(row: dict[str, Any]) -> str:
    processes, threads = row["processes"], row["threads"]
    return f"{processes} process{'es' * (processes > 1)}, {threads} thread{'s' * (threads > 1)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="CIFAR-10, as axynq evaluate takes it")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="per level")
    parser.add_argument("--test-images", type=int, default=TESTED)
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    about = machine()
    output = arguments.output
    model = load_model(MODEL)
    parts = (
        examples(model, arguments.data, "train", SEARCHED),
        examples(model, arguments.data, "test", arguments.test_images),
    )
    cores = len(os.sched_getaffinity(0))
    ways = dict.fromkeys([(1, 1), (1, cores), (cores, cores)])
    rows: list[dict[str, Any]] = []
    for processes, threads in ways:
        for tuned in (False, True):
            row = measure(model, parts, tuned, processes, threads, arguments.evaluations)
            rows.append(row)
            print(f"{labelled(row)}, {'tuned' if tuned else 'untuned'}: "
                  f"{row['evaluations_per_hour']} evaluations an hour, {row.get('share', '')}",
                  flush=True)  # fmt: skip
            settings = {
                "levels": LEVELS,
                "evaluations_per_level": arguments.evaluations,
                "population": POPULATION,
                "finalists_per_level": FINALISTS,
                "search_images": SEARCHED,
                "test_images": arguments.test_images,
                "real_images": arguments.data is not None,
            }
            save(
                output.with_suffix(".json"), {"machine": about, "settings": settings, "runs": rows}
            )
    picture(rows, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
