# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Seconds an epoch of each retraining method against plain int8-aware training, and of measuring
the errors (Tables 5 and 6 of the error-modelling paper). One command:

    python benchmarks/retraining/run.py

Networks have random weights and random inputs: speed does not depend on what they learned. An epoch
is timed on a part of it, and given as what 50 000 examples (ResNet-18: 1 281 167) would take, and
so is measuring errors on 1 024 examples. It is the second epoch: the first one makes what is made
once, and what it takes more is given apart. The methods take turns in each round. Writes
results.json beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from common import machine, save

from axynq.emulator.studies.errors import extract
from axynq.emulator.studies.retraining import METHODS, RetrainOptions, retrain

HERE = Path(__file__).parent

SAMPLES = 1024
"""That errors are measured on."""


class Size(NamedTuple):
    """What is timed of a network, and of how much it is a part."""

    timed: int
    """Examples trained on."""
    batch: int
    epoch: int
    """Examples of an epoch."""
    samples: int
    """Of those that errors are measured on."""
    rounds: int


SIZES = {
    "resnet8": Size(2560, 128, 50_000, SAMPLES, 5),
    "resnet14": Size(1280, 128, 50_000, SAMPLES, 5),
    "allcnn": Size(256, 64, 50_000, 256, 3),
    "resnet18": Size(64, 64, 1_281_167, 64, 2),
}


def measure(name: str, plan: str, rounds: int | None) -> dict[str, Any]:
    timed, batch, epoch, samples, usual = SIZES[name]
    rounds = rounds or usual
    model = getattr(networks, name)()
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (max(timed + batch, samples), *model.input.shape)).astype(np.int8)
    y = rng.integers(0, int(np.prod(model.output.shape)), len(x))
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    once: dict[str, list[float]] = {method: [] for method in METHODS}
    extraction: list[float] = []
    for turn in range(rounds + 1):
        for method in METHODS:
            options = RetrainOptions(
                method=method, epochs=2, batch=batch, rate=1e-6, validation=batch, samples=8
            )
            result = retrain(model, plan, x[: timed + batch], y[: timed + batch], options)
            first, second = result.history[1].seconds, result.history[2].seconds
            seconds[method].append(second * epoch / timed)
            once[method].append(first - second)
        started = time.perf_counter()
        extract(model, plan, x[:samples])
        extraction.append((time.perf_counter() - started) * SAMPLES / samples)
        if turn == 0:  # caches, thread pools, first-use builds
            for values in (*seconds.values(), *once.values(), extraction):
                values.clear()
        print(f"  {name}: round {turn} of {rounds}", flush=True)
    median = {method: statistics.median(values) for method, values in seconds.items()}
    plain = median["plain"]
    return {
        "network": name,
        "plan": plan,
        "multiplications": sum(map(model.multiplications, model.layers)),
        "batch": batch,
        "examples_timed": timed,
        "examples_of_an_epoch": epoch,
        "epoch_seconds": {k: round(v, 1) for k, v in median.items()},
        "epoch_spread": {k: [round(min(v), 1), round(max(v), 1)] for k, v in seconds.items()},
        "relative_to_plain": {k: round(v / plain, 2) for k, v in median.items()},
        "once_seconds": {k: round(statistics.median(v), 2) for k, v in once.items()},
        "samples": SAMPLES,
        "samples_timed": samples,
        "extraction_seconds": round(statistics.median(extraction), 2),
        "extraction_of_plain_epoch": round(statistics.median(extraction) / plain, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--plan", default="smapprox:3330")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    found = []
    for name in arguments.networks:
        found.append(measure(name, arguments.plan, arguments.rounds))
        ratios = ", ".join(f"{k} {v:.2f}" for k, v in found[-1]["relative_to_plain"].items())
        print(
            f"{name}: plain epoch {found[-1]['epoch_seconds']['plain']} s; against it {ratios}; "
            f"extraction {found[-1]['extraction_of_plain_epoch']:.1%}",
            flush=True,
        )
        save(arguments.output, {"machine": machine(), "networks": found})


if __name__ == "__main__":
    main()
