# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Time and memory against images and multiplications: both grow linearly. One command:

    python benchmarks/emulation/growth.py

Every point runs in a process of its own, whose peak memory is read at its end. Writes growth.json
and growth.png beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, save

from axynq.emulator import files

HERE = Path(__file__).parent

IMAGES = (100, 300, 1000, 3000, 10_000)
CHANNELS = (8, 16, 32, 64, 80)  # 32 x 32 maps: 1.8 to 177 million multiplications

POINT = """
import json, resource, sys, time
import numpy as np
sys.path.insert(0, {folder!r})
import networks
from axynq.emulator import Emulator, files
model = {model}
emulator = Emulator(model, {plan!r})
emulator.run(np.zeros((64, *model.input.shape), np.int8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
shape = ({images}, *model.input.shape)
x = np.frombuffer(np.random.default_rng(0).bytes(int(np.prod(shape))), np.int8).reshape(shape)
seconds = []
for _ in range(3):
    started = time.perf_counter()
    emulator.run(x)
    seconds.append(time.perf_counter() - started)
print(json.dumps(dict(
    images=len(x), plan={plan!r}, seconds=sorted(seconds)[1],
    multiplications=sum(map(model.multiplications, model.layers)),
    peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    peak_before_mib=before / 1024,
)))
"""


def point(model: str, plan: str, images: int) -> dict[str, Any]:
    code = POINT.format(folder=str(HERE.parent), model=model, plan=plan, images=images)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    outcome: dict[str, Any] = json.loads(done.stdout)
    print(f"{model:28} {plan:16} {images:6} images: {outcome['seconds']:8.3f} s, "
          f"peak {outcome['peak_mib']:6.0f} MiB")  # fmt: skip
    return outcome


def slope(points: list[dict[str, Any]], by: str) -> float:
    """Exponent of the growth: 1 is linear."""
    x = np.log([p[by] for p in points])
    return float(np.polyfit(x, np.log([p["seconds"] for p in points]), 1)[0])


def draw(outcome: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    time_images, memory, time_work = figure.subplots(1, 3)
    for plan, points in outcome["images"].items():
        numbers = [p["images"] for p in points]
        time_images.loglog(numbers, [p["seconds"] for p in points], "o-", label=plan)
        memory.plot(numbers, [p["peak_mib"] for p in points], "o-", label=plan)
    for plan, points in outcome["multiplications"].items():
        numbers = [p["multiplications"] / 1e6 for p in points]
        time_work.loglog(numbers, [p["seconds"] for p in points], "o-", label=plan)
    time_images.set(xlabel="images (ResNet-8)", ylabel="seconds")
    memory.set(xlabel="images (ResNet-8)", ylabel="peak memory of the process, MiB", ylim=(0, None))
    time_work.set(xlabel="million multiplications an image (512 images)", ylabel="seconds")
    for axes in (time_images, memory, time_work):
        axes.legend()
        axes.grid(alpha=0.3)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "growth.json")
    arguments = parser.parse_args()
    plans = ("exact", "roup:1,4", "smapprox:3330")
    outcome: dict[str, Any] = {"machine": machine(), "images": {}, "multiplications": {}}
    for plan in plans:
        outcome["images"][plan] = [point("networks.resnet8()", plan, n) for n in IMAGES]
        outcome["multiplications"][plan] = [
            point(f"networks.single({channels}, 32)", plan, 512) for channels in CHANNELS
        ]
    outcome["exponents"] = {
        plan: {
            "by_images": slope(outcome["images"][plan], "images"),
            "by_multiplications": slope(outcome["multiplications"][plan], "multiplications"),
        }
        for plan in plans
    }
    print(json.dumps(outcome["exponents"], indent=1))
    save(arguments.output, outcome)
    draw(outcome, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
