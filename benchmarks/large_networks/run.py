# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks as large as ImageNet's, all the way to the software board. One command:

    python benchmarks/large_networks/run.py        # minutes; --quick for one overlay

MobileNetV2 and the detector are files of others, found in $AXYNQ_DATA/models/wild (INDEX.tsv there
says where each is from); ResNet-18 has random weights. Each row is measured in a process of its
own, the simulation compiled before: the program is compiled for one image at a time, and runs on
the C simulation behind pynq, against the emulator. Writes results.json beside this file (or to
--output).
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, save

HERE = Path(__file__).parent

NETWORKS = {
    "MobileNetV2, 224 × 224": "coral_tf2_mbv2_ptq.tflite",
    "ResNet-18, 224 × 224": None,
    "detector, 128 × 160": "tinyengine_detection.tflite",
}
"""Files; None: made here."""

OVERLAYS = ("z2-roup16", "zcu104-roup32")

PLAN = "roup:1,4"

MOST_BYTES = 4 << 30


def measure(network: str, overlay_name: str, images: int) -> dict[str, Any]:
    """An overlay's figures of a network."""
    import networks
    import numpy as np

    from axynq.emulator import Emulator, load_model
    from axynq.host import Accelerator, Overlay, compile_program
    from axynq.host.performance.cycles import program_cycles

    file = NETWORKS[network]
    model = networks.resnet18() if file is None else load_model(_folder() / file)
    overlay = Overlay.load(overlay_name)
    started = time.perf_counter()
    program = compile_program(model, PLAN, overlay, batch=1)
    compiled = time.perf_counter() - started
    rng = np.random.default_rng(0)
    x = [rng.integers(-128, 128, (images, *t.shape)).astype(np.int8) for t in program.inputs]
    with Accelerator(overlay, device="software") as accelerator:
        started = time.perf_counter()
        found = accelerator.run(program, x)
        ran = time.perf_counter() - started
    expected = Emulator(model, PLAN).run(x)
    several = isinstance(expected, tuple)
    pairs = zip(found, expected) if several else [(found, expected)]
    cycles = program_cycles(program, overlay, 1)
    return {
        "network": network,
        "overlay": overlay_name,
        "multiplications": sum(map(model.multiplications, model.layers)),
        "layers": len(program.layers),
        "starts_of_the_core": len(program.core_stages),
        "host_operators": [op.name for op in program.host_operators],
        "compile_seconds": round(compiled, 2),
        "software_board_seconds_an_image": round(ran / images, 1),
        "program_bytes": len(program.memory),
        "map_bytes": program.arena_words * program.word_bytes,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "equal_to_the_emulator": all(bool(np.array_equal(a, b)) for a, b in pairs),
        "model_milliseconds_an_image": round(cycles.milliseconds_per_image, 2),
        "utilisation": round(cycles.utilisation(), 3),
    }


def _folder() -> Path:
    data = os.environ.get("AXYNQ_DATA")
    if data is None:
        raise SystemExit("set AXYNQ_DATA to the folder of third-party data (docs/data.md)")
    return Path(data) / "models" / "wild"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first overlay only")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    from axynq.host import Overlay
    from axynq.host.software_board.simulation import build

    overlays = OVERLAYS[:1] if arguments.quick else OVERLAYS
    for overlay in overlays:
        build(Overlay.load(overlay))
    rows = []
    alone: dict[str, Any] = {"max_workers": 1, "max_tasks_per_child": 1}
    with ProcessPoolExecutor(mp_context=get_context("spawn"), **alone) as fresh:
        for network in NETWORKS:
            for overlay in overlays:
                row = fresh.submit(measure, network, overlay, 1).result()
                rows.append(row)
                print(
                    f"{network:25} {overlay:14} compiled in {row['compile_seconds']:.2f} s, "
                    f"{row['software_board_seconds_an_image']:.1f} s an image, "
                    f"{row['peak_bytes'] / 2**30:.2f} GiB, "
                    f"{'equal' if row['equal_to_the_emulator'] else 'DIFFERENT'}",
                    flush=True,
                )
    bad = [
        row for row in rows if not row["equal_to_the_emulator"] or row["peak_bytes"] > MOST_BYTES
    ]
    loaded = {"load_average": os.getloadavg()[0]}
    save(arguments.output, {"machine": machine() | loaded, "plan": PLAN, "rows": rows})
    if bad:
        raise SystemExit(f"{len(bad)} rows differ from the emulator, or take more than 4 GiB")


if __name__ == "__main__":
    main()
