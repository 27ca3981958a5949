# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How fast the emulator's kernels are against those of another revision. One command, in a clone:

    python benchmarks/emulation/revisions.py     # a quarter of an hour; --quick for a first look

The other revision (--revision) is taken out of the repository's history, and its kernels are
compiled anew. Both take turns; the best of all rounds counts, in one thread. Writes revisions.json
and revisions.png beside this file (or to --output).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import networks  # noqa: E402 - of the folder above

BEFORE = "b9dd89b"
"""The last revision without AMX, with look-ups of whole bytes by AVX-512."""

PAIRS = [
    # engine now, engine before
    ("amx", "avx512"),
    ("avx512", "avx512"),
    ("avxvnni", "avx2"),
    ("avx2", "avx2"),
]

SMAPPROX = ("1100", "2200", "3300", "1110", "3330", "2220", "3333", "2222")
EVOAPPROX = ("2AC", "7C1", "2HH", "NGR", "ZFB")

IMAGES = {"resnet8": 256, "resnet18": 64}
"""Of a run."""


def plans(network: str, engines: tuple[str, str]) -> dict[str, str]:
    """What is compared, name to shorthand, without what takes minutes on some engines."""
    chosen = {"exact": "exact", "roup:1,4": "roup:1,4"}
    digits = SMAPPROX
    if "avx2" in engines and network == "resnet18":
        digits = ("1100", "3330", "2222")
    chosen |= {f"smapprox:{each}": f"smapprox:{each}" for each in digits}
    data = os.environ.get("AXYNQ_DATA")
    tables = Path(data, "evoapprox_mul8u.npz") if data else None
    if tables is not None and tables.exists() and "avx2" not in engines:
        chosen |= {f"evoapprox {name}": f"table:{tables}#mul8u_{name}" for name in EVOAPPROX}
    return chosen


def measure(network: str, engine: str, chosen: dict[str, str]) -> dict[str, float]:
    """Images a processor second, by plan, in this process: of whichever revision it runs."""
    from axynq.emulator import Emulator

    model = getattr(networks, network)()
    shape = (IMAGES[network], *model.input.shape)
    x = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    found = {}
    for name, text in chosen.items():
        emulator = Emulator(model, text, engine=engine, threads=1)
        emulator.run(x)
        best = float("inf")
        for _ in range(3 if network == "resnet8" else 1):
            started = time.process_time()
            emulator.run(x)
            best = min(best, time.process_time() - started)
        found[name] = len(x) / best
    return found


def measure_apart(source: Path, network: str, engine: str, chosen: dict[str, str]) -> Any:
    """The same in a process of its own, of the packages in ``source``."""
    # Idle threads of numpy's would count.
    environment = {**os.environ, "PYTHONPATH": str(source), "OPENBLAS_NUM_THREADS": "1"}
    task = json.dumps([network, engine, chosen])
    command = [sys.executable, __file__, "--measure", task]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{network} on {engine} of {source.name}: {run.stderr.strip()[-600:]}")
    return json.loads(run.stdout.splitlines()[-1])


def take_out(revision: str, folder: Path) -> Path:
    """Packages of a revision, in a folder to import from."""
    folder.mkdir()
    archive = folder / "source.tar"
    command = ["git", "-C", str(ROOT), "archive", "-o", str(archive), revision, "emulator"]
    subprocess.run(command, check=True)
    with tarfile.open(archive) as file:
        file.extractall(folder / "axynq", filter="data")
    archive.unlink()
    return folder


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    from axynq.emulator.pictures import new_figure, save_figure

    engines = list(dict.fromkeys(row["engine"] for row in rows))
    figure = new_figure(9, 2.6 * len(engines))
    for axes, engine in zip(np.atleast_1d(figure.subplots(len(engines), 1)), engines):
        rows_here = [row for row in rows if row["engine"] == engine]
        names = list(dict.fromkeys(row["plan"] for row in rows_here))
        for offset, network in enumerate(IMAGES):
            mine = [row for row in rows_here if row["network"] == network]
            at = [names.index(row["plan"]) + 0.4 * offset for row in mine]
            axes.bar(at, [row["ratio"] for row in mine], 0.38, label=network)
        places = np.arange(len(names), dtype=np.int64) + 0.2
        axes.set_xticks(places, names, rotation=30, ha="right")
        axes.set_title(f"{engine}, against {rows_here[0]['before']} before", fontsize=9)
        axes.axhline(1, color="grey", linewidth=0.8)
        axes.set_ylabel("times as fast")
        axes.legend(fontsize=8)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--revision", default=BEFORE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="ResNet-8 and one round only")
    parser.add_argument("--output", type=Path, default=HERE / "revisions.json")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*json.loads(arguments.measure))))
        return
    from common import machine, save

    from axynq.emulator.engine.kernel import supported_variants

    here = {variant.name for variant in supported_variants()}
    rounds = 1 if arguments.quick else arguments.rounds
    possible = [pair for pair in PAIRS if here.issuperset(pair)]
    pairs = {(old, pair[old]): pair for pair in possible for old in (False, True)}
    contenders = list(pairs)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        before = take_out(arguments.revision, Path(folder, "before"))
        now = Path(folder, "now")
        Path(now, "axynq").mkdir(parents=True)
        os.symlink(ROOT / "emulator", now / "axynq" / "emulator")
        for network in ["resnet8"] if arguments.quick else IMAGES:
            best: dict[tuple[bool, str], dict[str, float]] = {}
            for turn in range(rounds if network == "resnet8" else max(1, rounds - 2)):
                for old, engine in contenders:
                    source = before if old else now
                    chosen = plans(network, pairs[old, engine])
                    found = measure_apart(source, network, engine, chosen)
                    sofar = best.setdefault((old, engine), {})
                    for name, rate in found.items():
                        sofar[name] = max(rate, sofar.get(name, 0.0))
                print(f"{network}: round {turn + 1} of {rounds}")
            for engine, old_engine in possible:
                other = best[True, old_engine]
                for name, rate in best[False, engine].items():
                    row = {"network": network, "plan": name, "engine": engine, "before": old_engine}
                    row |= {"images_per_second": rate, "images_per_second_before": other[name]}
                    rows.append({**row, "ratio": rate / other[name]})
                    print(f"{network:9} {name:14} {engine:8} {rate:9.1f}/s  "
                          f"{rate / other[name]:5.2f} x {old_engine} before")  # fmt: skip
    note = "Images a processor second of one thread, the best of all rounds; both took turns."
    save(arguments.output, {"machine": machine(), "revision": arguments.revision, "note": note,
                            "rows": rows})  # fmt: skip
    draw(rows, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
