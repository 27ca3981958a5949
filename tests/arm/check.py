# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Runs on the emulated machine: what it computes, compared with what this one computed.

``python -m tests.arm.check FOLDER [CHECK]``, with the folder :func:`tests.arm.material.write`
wrote. Prints a line for each check, or for one; the exit status is 1 where something differs.
"""

from __future__ import annotations

import ctypes
import json
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from axynq.emulator import Emulator, Plan
from axynq.emulator.engine.kernel import supported_variants
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.runtime.program import Program
from axynq.host.selftest import golden
from axynq.host.selftest.networks import Random
from tests.arm import material

Differences = Iterator[str]
"""What a check found to differ; the last item may be a remark that starts with ``=``."""

KERNELS = tuple(variant.name for variant in supported_variants())


def check_softmax(folder: Path) -> Differences:
    """Softmax, whose exponentials no library of mathematics may change."""
    yield from _compare(folder / "softmax.npz", material.softmaxes())


def check_tables(folder: Path) -> Differences:
    """Product tables of the multiplier families, and of a C function compiled here."""
    yield from _compare(folder / "tables.npz", material.tables(folder))


def check_codes(folder: Path) -> Differences:
    """Codes of plans, from shorthands and from a file."""
    yield from _compare(folder / "codes.npz", material.codes())
    model, _ = material.shipped("digits_int8")
    with tempfile.TemporaryDirectory() as temporary:
        plan = Plan.load(folder / "plan.json")
        plan.save(Path(temporary, "plan.json"))
        if Path(temporary, "plan.json").read_bytes() != (folder / "plan.json").read_bytes():
            yield "the plan's file"
    if plan != Plan.parse(model, material.PLANS[1]):
        yield "the plan read from a file"


def check_golden(folder: Path) -> Differences:
    """The golden vectors of every overlay, on numpy and the fastest kernel."""
    compared = 0
    for overlay in map(Overlay.load, overlay_names()):
        expected = golden.read(overlay)
        for engine in ("portable", KERNELS[0]):
            for case in golden.cases(overlay):
                y = Emulator(case.model, case.plan, engine).run(case.x)
                compared += y.size
                if not np.array_equal(y, expected[case.name]):
                    yield f"{overlay.name}, {case.name}, {engine}"
    yield f"= {compared} values"


def check_portable(folder: Path) -> Differences:
    """Shipped networks on the portable engine."""
    for names, plans in (
        (["digits_int8"], material.PLANS),
        (["resnet8_int8"], material.PLANS[1:2]),
        (["resnet14_int8", "allcnn_int8"], material.PLANS[:1]),
    ):
        found = material.networks("portable", names, plans)
        yield from _compare(folder / "networks.npz", found)


def check_kernels(folder: Path) -> Differences:
    """Shipped networks on every kernel this processor runs."""
    for name in KERNELS:
        yield f"= {name}"
        yield from _compare(
            folder / "networks.npz",
            {
                **material.networks(name, ["digits_int8"], material.KERNEL_PLANS),
                **material.networks(name, ["resnet8_int8"], material.PLANS[1:2]),
            },
        )


def check_programs(folder: Path) -> Differences:
    """Programs: reading, writing, compiling; inputs and outputs in the accelerator's layout."""
    names = json.loads((folder / "programs.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as temporary:
        made = material.programs(Path(temporary))
        for name in names:
            there = (folder / "programs" / name).read_bytes()
            if name not in made or Path(temporary, name).read_bytes() != there:
                yield f"{name}, compiled"
            program = Program.load(folder / "programs" / name)
            program.save(Path(temporary, name))
            if Path(temporary, name).read_bytes() != there:
                yield f"{name}, read and written"
            if not _layout_holds(program):
                yield f"{name}, layout"
    yield f"= {len(names)} programs"


def _layout_holds(program: Program) -> bool:
    """What is packed is where the descriptors expect it, by a plain loop."""
    x = Random(3).randint(-128, 128, (2, *program.input.shape)).astype(np.int8)
    place = program.places[program.home_of(program.network.input_index)]
    packed = place.pack(x, program.word_bytes)
    room = place.image_words // place.pixels * program.word_bytes
    for image in range(2):
        for n, value in enumerate(x[image].reshape(-1).tolist()):
            pixel, channel = divmod(n, place.channels)
            if packed[image, pixel * room + channel] != value:
                return False
    return True


def check_software_board(folder: Path) -> Differences:
    """The driver and the real pynq, with the accelerator's C++ compiled for this processor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from axynq.host.runtime.accelerator import Accelerator
        from axynq.host.selftest import checks

        with Accelerator("tiny4", device="software", wait="interrupt") as accelerator:
            outcomes = [
                checks.check_golden(accelerator),
                *(
                    checks.check_products(accelerator, spec, 64)
                    for spec in golden.designs(accelerator.overlay)
                ),
                checks.check_stages(accelerator),
                checks.check_sizes(accelerator),
            ]
            lost = accelerator.driver.lost_interrupts
    for outcome in outcomes:
        if not outcome.passed:
            yield f"{outcome.check}: {outcome.detail}"
    if lost:
        yield f"{lost} interrupts lost"
    yield f"= {sum(outcome.compared for outcome in outcomes)} values"


CHECKS: dict[str, Callable[[Path], Differences]] = {
    "softmax": check_softmax,
    "product tables": check_tables,
    "plans": check_codes,
    "golden vectors": check_golden,
    "programs": check_programs,
    "shipped networks, portable engine": check_portable,
    "kernels": check_kernels,
    "software board": check_software_board,
}


def _compare(file: Path, found: dict[str, np.ndarray]) -> Differences:
    compared = 0
    with np.load(file) as expected:
        for name, values in found.items():
            compared += values.size
            if values.dtype != expected[name].dtype:
                yield f"{name}: {values.dtype}, not {expected[name].dtype}"
            if not np.array_equal(values, expected[name]):
                yield f"{name}: {int(np.count_nonzero(values != expected[name]))} values"
    yield f"= {compared} values"


def main(folder: Path, only: str | None = None) -> int:
    """All checks, or one; how many of them failed."""
    print(
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}: "
        f"addresses of {8 * ctypes.sizeof(ctypes.c_void_p)} bits, "
        f"numpy's default integer {np.dtype(int)}"
    )
    failed = 0
    for name, check in CHECKS.items():
        if only not in (None, name):
            continue
        started = time.monotonic()
        try:
            found = list(check(folder))
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        remarks = [one[2:] for one in found if one.startswith("= ")]
        differences = [one for one in found if not one.startswith("= ")]
        failed += bool(differences)
        verdict = "DIFFERS" if differences else "equal"
        seconds = time.monotonic() - started
        print(f"  {name}: {verdict}, {', '.join(remarks)} ({seconds:.0f} s)", flush=True)
        for difference in differences[:10]:
            print(f"    {difference}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1]), *sys.argv[2:]), 1))
