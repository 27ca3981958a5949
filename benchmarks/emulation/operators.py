# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How fast the emulator runs networks of all kinds of operators. One command:

    python benchmarks/emulation/operators.py NETWORK.tflite...

Random images, one thread; figures are of the processor's seconds, since machines do other things
too: the best of several rounds. Writes operators.json beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, save

from axynq.emulator import Emulator, load_model
from axynq.emulator.model.graph import Model

HERE = Path(__file__).parent

PLANS = ("exact", "roup:1,4", "smapprox:3330")
ROUNDS = 3
SECONDS = 0.3
"""A round takes about so long."""


def images_per_second(model: Model, plan: str) -> float:
    """By the processor's clock."""
    emulator = Emulator(model, plan, threads=1)
    rng = np.random.default_rng(0)

    def seconds(images: int) -> float:
        shapes = [(images, *model.tensors[index].shape) for index in model.inputs]
        x = [rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes]
        started = time.process_time()
        emulator.run(x)
        return time.process_time() - started

    seconds(64)
    images = 64 * max(1, min(64, round(SECONDS / seconds(64))))
    return images / min(seconds(images) for _ in range(ROUNDS))


def row(path: Path) -> dict[str, Any]:
    model = load_model(path)
    multiplications = sum(map(model.multiplications, model.layers))
    found: dict[str, Any] = {
        "network": path.stem,
        "operators": len(model.operators),
        "multiplications": multiplications,
        "images_per_processor_second": {plan: images_per_second(model, plan) for plan in PLANS},
    }
    rates = found["images_per_processor_second"]
    print(f"{path.stem:32} {len(model.operators):4} operators {multiplications / 1e6:8.1f} M  "
          + "  ".join(f"{plan} {rate:10.0f}/s" for plan, rate in rates.items()))  # fmt: skip
    return found


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.split(". One")[0])
    parser.add_argument("networks", nargs="+", type=Path, help=".tflite files")
    parser.add_argument("--output", type=Path, default=HERE / "operators.json")
    arguments = parser.parse_args()
    rows = [row(path) for path in arguments.networks]
    save(arguments.output, {"machine": machine(), "networks": rows})


if __name__ == "__main__":
    main()
