# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Emulation on a GPU: that it gives the CPU engine's bits, how fast it is against exact inference
and against looked-up products, and what an epoch of retraining takes. One command, some minutes:

    python benchmarks/gpu/run.py
    python benchmarks/gpu/run.py --device cpu --quick    # tiny and on a processor: does it run?

Writes results.json beside this file (or to --output) after each part, and ends with 1 where bits
differ. Networks other than the shipped ones have random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from baselines import exact_inference, lut_gather
from common import machine, save

from axynq.emulator import Emulator, Plan, files, load_model, multiplier
from axynq.emulator.engine.choice import choose_engine
from axynq.emulator.engine.gpu.device import device_of, kernels_for
from axynq.emulator.engine.gpu.geometry import Geometry
from axynq.emulator.engine.gpu.network import DeviceBlocks, DeviceNetwork
from axynq.emulator.engine.gpu.packed import Tile
from axynq.emulator.engine.recipe import RAW_BYTES
from axynq.emulator.errors import ToolError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import ACTIVATION_MIN
from axynq.emulator.studies.retraining import RetrainOptions, retrain

HERE = Path(__file__).parent
SHIPPED = sorted((HERE.parents[1] / "models").glob("*.tflite"))

REFERENCE = choose_engine(os.environ.pop("AXYNQ_ENGINE", "auto")).name
"""The engine on the processor, that bits are compared with."""

LIMIT_SECONDS = 420
"""After these nothing new is begun."""

BATCHES = {"resnet8": 4096, "resnet14": 2048, "keyword": 4096, "allcnn": 512, "resnet18": 64}
"""Images a run."""

TARGETS = (
    ("roup:1,4", "fp16", "at least", 0.5),
    ("smapprox:3330", "LUT gather", "at least", 20.0),
    ("smapprox:2222", "LUT gather", "at least", 20.0),
    ("behavioural epoch", "plain epoch", "at most", 2.0),
)
"""What is wanted of ResNet-8: the first as fast as the second, or as slow, by this factor."""


def plans(folder: Path) -> dict[str, str]:
    """The plans compared: name to shorthand. One table has full rank."""
    table = np.random.default_rng(0).integers(0, 65536, (256, 256))
    with files.replacing(folder / "random.npy") as temporary, temporary.open("wb") as file:
        np.save(file, table)
    chosen = {spec: spec for spec in ("exact", "roup:1,4", "smapprox:3330", "smapprox:2222")}
    chosen["random table"] = f"table:{folder}/random.npy"
    chosen["flam, three classes"] = "flam=exact|roup:1,4|smapprox:3330"
    chosen["klam-row and klms"] = "klam-row=smapprox:1100|exact+klms=2"
    data = os.environ.get("AXYNQ_DATA")
    tables = Path(data, "evoapprox_mul8u.npz") if data else None
    if tables is not None and tables.exists():
        chosen["evoapprox ZFB"] = f"table:{tables}#mul8u_ZFB"
    return chosen


class Benchmark:
    """The parts, and what they found."""

    def __init__(self, device: torch.device, quick: bool, output: Path) -> None:
        self.device, self.quick, self.output = device, quick, output
        self.engine = "cuda" if device.type == "cuda" else "torch"
        self.triton = kernels_for(device).__name__.endswith("kernels")  # type: ignore[attr-defined]
        self.started = time.perf_counter()
        self.content: dict[str, Any] = {
            "machine": {**machine(), **self._gpu()},
            "compared_with": REFERENCE,
            "quick": quick,
            "equal": {},
            "images_per_second": {},
            "epoch_seconds": {},
            "tiles": {},
            "targets": [],
            "left_out": [],
        }

    def _gpu(self) -> dict[str, Any]:
        found: dict[str, Any] = {"device": str(self.device), "kernels": "PyTorch"}
        if self.triton:
            import triton

            found["kernels"] = f"Triton {triton.__version__}"
        if self.device.type == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            found |= {
                "gpu": properties.name,
                "capability": f"{properties.major}.{properties.minor}",
                "gpu_memory_gib": round(properties.total_memory / 2**30, 1),
                "cuda": torch.version.cuda,
            }
        return found

    def run(self) -> int:
        with tempfile.TemporaryDirectory() as name:
            chosen = plans(Path(name))
            for part in (self.equality, self.speed, self.retraining, self.tiles):
                part(chosen)
                save(self.output, self.content)
        self.targets()
        save(self.output, self.content)
        return 0 if all(self.content["equal"].values()) else 1

    def begins(self, what: str) -> bool:
        """Whether there is time left for it."""
        seconds = time.perf_counter() - self.started
        if seconds > LIMIT_SECONDS:
            self.content["left_out"].append(what)
            print(f"left out after {seconds:.0f} s: {what}")
        return seconds <= LIMIT_SECONDS

    # --- the same bits ---------------------------------------------------------------------------

    def equality(self, chosen: dict[str, str]) -> None:
        """Outputs and accumulators of the shipped networks."""
        for path in SHIPPED:
            model = load_model(path)
            if self.quick and path.stem not in ("digits_int8", "resnet8_int8"):
                continue
            size = 2 if self.quick else 64 if "allcnn" in path.name else 256
            x = np.random.default_rng(1).integers(-128, 128, (size, *model.input.shape))
            for name, text in chosen.items():
                what = f"{path.stem}, {name}"
                if not self.begins(what):
                    return
                self.content["equal"][what] = self._same(model, text, x.astype(np.int8))
                print(f"{what}: {'equal' if self.content['equal'][what] else 'DIFFERENT'}")

    def _same(self, model: graph.Model, text: str, x: graph.Int8Array) -> bool:
        expected, found = (Emulator(model, text, engine) for engine in (REFERENCE, self.engine))
        same = np.array_equal(found.run(x), expected.run(x))
        some = x[: 2 if self.quick else 16]
        wanted, sums = expected.accumulators(some), found.accumulators(some)
        return same and all(
            np.array_equal(sums[name].approximate, pair.approximate)
            and np.array_equal(sums[name].exact, pair.exact)
            for name, pair in wanted.items()
        )

    # --- speed -----------------------------------------------------------------------------------

    def speed(self, chosen: dict[str, str]) -> None:
        """Images a second of whole networks, images and results on the device."""
        for name, batch in BATCHES.items():
            if self.quick and name not in ("resnet8", "keyword"):
                continue
            images = 1 if self.quick else batch
            model = getattr(networks, name)()
            found = self.content["images_per_second"].setdefault(name, {"batch": images})
            for what, make in self._contenders(model, images, chosen):
                if not self.begins(f"{name}, {what}"):
                    return
                run = make()
                if run is not None:
                    found[what] = round(images / self._seconds(run), 1)
                    print(f"{name}, {what}: {found[what]:,.0f} images/s")

    def _contenders(
        self, model: graph.Model, images: int, chosen: dict[str, str]
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        device = self.device
        yield "fp16", lambda: exact_inference(model, images, device, matrix=False)
        yield "int8", lambda: exact_inference(model, images, device, matrix=True)
        # Of activations whose zero point is -128.
        table = multiplier("smapprox:3330").table[RAW_BYTES + 128 - ACTIVATION_MIN]
        by_weight = np.ascontiguousarray(table.T.astype(np.int16))
        yield "LUT gather", lambda: lut_gather(model, by_weight, images, device, self.triton)
        for name, text in list(chosen.items())[: 3 if self.quick else None]:
            yield name, lambda text=text: self._emulation(model, text, images)

    def _emulation(self, model: graph.Model, text: str, images: int) -> Callable[[], Any]:
        network = DeviceNetwork(model, Plan.parse(model, text).expand(model), self.device)
        shape = (images, *model.input.shape)
        x = torch.randint(-128, 128, shape, dtype=torch.int8, device=self.device)
        given = DeviceBlocks(x, images)  # type: ignore[arg-type]
        return lambda: network.run_blocks(given)

    def _seconds(self, run: Callable[[], Any]) -> float:
        """The median of some runs, each to its end on the device."""
        run()  # kernels are compiled
        self._wait()
        seconds = []
        for _ in range(1 if self.quick else 7):
            started = time.perf_counter()
            run()
            self._wait()
            seconds.append(time.perf_counter() - started)
            if sum(seconds) > 10:
                break
        return statistics.median(seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # --- retraining ------------------------------------------------------------------------------

    def retraining(self, chosen: dict[str, str]) -> None:
        """Seconds of a second epoch of ResNet-8, without the measurement of accuracy."""
        model = networks.resnet8()
        batch, examples = (8, 16) if self.quick else (128, 12_800)
        rng = np.random.default_rng(0)
        x = rng.integers(-128, 128, (examples + batch, *model.input.shape)).astype(np.int8)
        y = rng.integers(0, 10, len(x))
        for what, method, plan in (
            ("plain", "plain", "exact"),
            ("behavioural, roup:1,4", "behavioural", "roup:1,4"),
            ("behavioural, smapprox:2222", "behavioural", "smapprox:2222"),
            ("multiplier-aware, smapprox:2222", "multiplier-aware", "smapprox:2222"),
        ):
            if not self.begins(f"retraining, {what}"):
                return
            options = RetrainOptions(
                method=method, epochs=2, batch=batch, validation=batch, samples=batch
            )
            result = retrain(model, plan, x, y, options, device=str(self.device))
            seconds = result.history[-1].seconds
            self.content["epoch_seconds"][what] = round(seconds, 3)
            print(f"epoch of {examples} examples, {what}: {seconds:.2f} s")

    # --- tiles -----------------------------------------------------------------------------------

    def tiles(self, chosen: dict[str, str]) -> None:
        """Images a second of ResNet-8 with other tiles than :meth:`Tile.of` takes."""
        model = networks.resnet8()
        images = 1 if self.quick else BATCHES["resnet8"]
        usual = Tile.of
        for positions, warps in ((64, 4), (64, 8), (128, 4), (128, 8)):

            def other(geometry: Geometry, p: int = positions, w: int = warps) -> Tile:
                return usual(geometry)._replace(positions=p, warps=w)

            what = f"{positions} positions, {warps} warps"
            if not self.begins(f"tiles, {what}"):
                return
            with mock.patch.object(Tile, "of", other):
                self.content["tiles"][what] = {
                    text: round(images / self._seconds(self._emulation(model, text, images)), 1)
                    for text in ("roup:1,4", "smapprox:3330")
                }
            print(f"tiles of {what}: {self.content['tiles'][what]}")

    # --- what is wanted --------------------------------------------------------------------------

    def targets(self) -> None:
        speeds = self.content["images_per_second"].get("resnet8", {})
        epochs = self.content["epoch_seconds"]
        measured = dict(speeds)
        if "plain" in epochs:
            measured["plain epoch"] = epochs["plain"]
            behavioural = [s for name, s in epochs.items() if name.startswith("behavioural")]
            measured["behavioural epoch"] = max(behavioural, default=None)
        for what, against, relation, factor in TARGETS:
            one, other = measured.get(what), measured.get(against)
            ratio = round(one / other, 3) if one and other else None
            enough = ratio is not None and (ratio >= factor) == (relation == "at least")
            self.content["targets"].append(
                {"what": what, "against": against, "wanted": f"{relation} {factor}",
                 "measured": ratio, "met": enough}
            )  # fmt: skip
            print(f"{what} against {against}: {ratio}, wanted {relation} {factor}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    engine = "cuda" if arguments.device == "cuda" else "torch"
    try:
        device = device_of(engine)
    except ToolError as error:
        parser.error(str(error))
    if engine == "torch":
        os.environ["AXYNQ_ENGINE"] = "torch"  # so that retraining computes with it as well
        torch.set_num_threads(1)
    return Benchmark(device, arguments.quick, arguments.output).run()


if __name__ == "__main__":
    sys.exit(main())
