"""The sources as a device compiler sees them: without anything that only the simulation has."""

from __future__ import annotations

import ctypes
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.model import graph
from axynq.host import Overlay, Program, compile_program
from axynq.host.generate.overlay_files import overlay_blackboxes
from axynq.host.overlay import overlay_names
from axynq.host.software_board.simulation import ap_types_folder
from tests.execution import execute
from tests.networks import random_input

HLS = Path(__file__).parents[2] / "hls"


NETLISTS = "-DAXYNQ_RTL_MULTIPLIERS"


def _models(overlay: str) -> list[str]:
    """The C models of the netlists that an overlay's lanes consist of."""
    boxes = overlay_blackboxes(Overlay.load(overlay))
    return [str(HLS / "rtl" / f"{box.function}.cpp") for box in boxes]


def compile_plain(overlay: str, folder: Path, *flags: str) -> ctypes.CDLL:
    """The accelerator without AXYNQ_SIMULATION."""
    library = folder / "plain.so"
    command = [
        "g++", "-std=c++14", "-O2", "-shared", "-fPIC", *flags,
        "-Wall", "-Wextra", "-Werror", "-Wno-unused-label", "-Wno-unknown-pragmas",
        "-Wno-maybe-uninitialized", "-Wno-uninitialized",  # in ap_types, inlined
        "-isystem", str(ap_types_folder()),
        f"-I{HLS}/include", f"-I{HLS}/generated/{overlay}",
        str(HLS / "src" / "accelerator.cpp"), str(HLS / "simulation" / "plain.cpp"),
        *(_models(overlay) if NETLISTS in flags else ()),
        "-o", str(library),
    ]  # fmt: skip
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return ctypes.CDLL(str(library))


def run_plain(library: ctypes.CDLL, program: Program, x: graph.Int8Array) -> graph.Int8Array:
    def core(commands: graph.Int8Array, maps: graph.Int8Array, images: int) -> None:
        status = library.axynq_run_plain(
            commands.ctypes.data_as(ctypes.c_void_p),
            maps.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint32(images),
        )
        assert status == 0

    return execute(program, [x], core)[0]


def thorough(*values: object):
    """Like the others, and as long."""
    return pytest.param(*values, marks=pytest.mark.thorough)


@pytest.mark.parametrize(
    ("overlay", "flags", "plans"),
    [
        ("tiny4", (), ["exact", "flam=exact|roup:1,4|smapprox:3330", "klam-row=exact|roup:1,4"]),
        # As Vitis HLS: pragmas are there, and g++ ignores them.
        thorough("tiny4", ("-DAXYNQ_HLS_PRAGMAS",), ["exact"]),
        # As a compiler that must not see pragmas.
        thorough("tiny4", ("-DAXYNQ_HLS_PRAGMAS", "-D__BAMBU__"), ["exact"]),
        thorough("z2-mixed16", (), ["flam=exact|roup:1,4|smapprox:3330"]),
        thorough("z2-roup16", (), ["flam=exact|roup:1,4|roup:2,6+klms=2"]),
        # With the netlists in place of the functors: their C models.
        ("tiny4", (NETLISTS,), ["flam=exact|roup:1,4|smapprox:3330"]),
        thorough("z2-roup16", (NETLISTS,), ["flam=exact|roup:0,4|roup:1,4|roup:2,6+klms=2"]),
        thorough("z2-sm16", (NETLISTS,), ["flam=exact|smapprox:1110|smapprox:3330|smapprox:2222"]),
    ],
)
def test_plain_build_equals_emulator(
    digits: graph.Model, tmp_path: Path, overlay: str, flags: tuple[str, ...], plans: list[str]
) -> None:
    library = compile_plain(overlay, tmp_path, *flags)
    x = random_input(digits, 3, 0)
    for plan in plans:
        program = compile_program(digits, plan, Overlay.load(overlay))
        assert np.array_equal(run_plain(library, program, x), Emulator(digits, plan).run(x))


@pytest.mark.parametrize("name", overlay_names())
def test_netlists_of_every_overlay_ship(name: str) -> None:
    for box in overlay_blackboxes(Overlay.load(name)):
        description = json.loads((HLS / "rtl" / f"{box.function}.json").read_text())
        assert description["c_function_name"] == box.function
        for file in description["rtl_files"]:
            assert (HLS / "rtl" / file).is_file()
