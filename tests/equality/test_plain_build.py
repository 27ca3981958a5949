# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
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
from axynq.host.generate.overlay_files import overlay_blackboxes, overlay_files
from axynq.host.overlay import overlay_names
from axynq.host.software_board.simulation import ap_types_folder
from tests.execution import execute
from tests.networks import random_input
from tests.overlays import write_overlay

HLS = Path(__file__).parents[2] / "hls"


NETLISTS = "-DAXYNQ_RTL_MULTIPLIERS"


PAIRS = "pairs"
"""Not one that ships: two lanes of DSP pairs, two of LUTs."""

HYBRID = "hybrid"
"""Nor this: two rounds of bytes, three kinds of lanes, of which some have windows, two copies."""


def overlay_of(name: str, folder: Path) -> Overlay:
    if name == HYBRID:
        return write_overlay(
            folder,
            HYBRID,
            filters=8,
            lanes=[
                (2, ["exact", "roup:1,4"], "configurable"),
                (4, ["exact"], "dsp pair"),
                (2, ["smapprox:3330"], "separate"),
            ],
            array={"adders": 1, "window_lanes": 3, "copies": 2},
        )
    if name != PAIRS:
        return Overlay.load(name)
    lanes = [(2, ["exact"], "dsp pair"), (2, ["exact", "roup:1,4"], "configurable")]
    return write_overlay(folder, PAIRS, lanes=lanes)


def _models(overlay: Overlay) -> list[str]:
    """The C models of the netlists that an overlay's lanes consist of."""
    boxes = overlay_blackboxes(overlay)
    return [str(HLS / "rtl" / f"{box.function}.cpp") for box in boxes]


def compile_plain(overlay: Overlay, folder: Path, *flags: str) -> ctypes.CDLL:
    """The accelerator without AXYNQ_SIMULATION."""
    library = folder / "plain.so"
    (folder / "axynq").mkdir()
    for name, text in overlay_files(overlay).items():
        (folder / name).write_text(text)
    command = [
        "g++", "-std=c++14", "-O2", "-shared", "-fPIC", *flags,
        "-Wall", "-Wextra", "-Werror", "-Wno-unused-label", "-Wno-unknown-pragmas",
        "-Wno-maybe-uninitialized", "-Wno-uninitialized",  # in ap_types, inlined
        "-isystem", str(ap_types_folder()),
        f"-I{HLS}/include", f"-I{folder}",
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
    ("name", "flags", "plans"),
    [
        ("tiny4", (), ["exact", "flam=exact|roup:1,4|smapprox:3330", "klam-row=exact|roup:1,4"]),
        # As Vitis HLS: pragmas are there, and g++ ignores them.
        thorough("tiny4", ("-DAXYNQ_HLS_PRAGMAS",), ["exact"]),
        # As a compiler that must not see pragmas.
        thorough("tiny4", ("-DAXYNQ_HLS_PRAGMAS", "-D__BAMBU__"), ["exact"]),
        thorough("z2-mixed16", (), ["flam=exact|roup:1,4|smapprox:3330"]),
        thorough("z2-roup16", (), ["flam=exact|roup:1,4|roup:2,6+klms=2"]),
        # With the netlists in place of the functors: their C models.
        thorough("tiny4", (NETLISTS,), ["flam=exact|roup:1,4|smapprox:3330"]),
        thorough("z2-roup16", (NETLISTS,), ["flam=exact|roup:0,4|roup:1,4|roup:2,6+klms=2"]),
        thorough("z2-sm16", (NETLISTS,), ["flam=exact|smapprox:1110|smapprox:3330|smapprox:2222"]),
        thorough(PAIRS, (NETLISTS,), ["exact", "flam=exact|roup:1,4"]),
        thorough(PAIRS, (), ["flam=exact|roup:1,4"]),
        thorough(HYBRID, (NETLISTS,), ["exact", "flam=exact|roup:1,4|exact|exact"]),
        thorough(HYBRID, ("-DAXYNQ_HLS_PRAGMAS",), ["exact", "flam=exact|roup:1,4|exact"]),
    ],
)
def test_plain_build_equals_emulator(
    digits: graph.Model, tmp_path: Path, name: str, flags: tuple[str, ...], plans: list[str]
) -> None:
    overlay = overlay_of(name, tmp_path)
    library = compile_plain(overlay, tmp_path, *flags)
    x = random_input(digits, 3, 0)
    for plan in plans:
        program = compile_program(digits, plan, overlay)
        assert np.array_equal(run_plain(library, program, x), Emulator(digits, plan).run(x))


@pytest.mark.parametrize("name", overlay_names())
def test_netlists_of_every_overlay_ship(name: str) -> None:
    for box in overlay_blackboxes(Overlay.load(name)):
        description = json.loads((HLS / "rtl" / f"{box.function}.json").read_text())
        assert description["c_function_name"] == box.function
        for file in description["rtl_files"]:
            assert (HLS / "rtl" / file).is_file()
