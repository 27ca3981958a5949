"""The sources as a device compiler sees them: without anything that only the simulation has."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.model import graph
from axynq.host import Overlay, Program, compile_program
from axynq.host.devices.simulation import ap_types_folder
from tests.networks import random_input

HLS = Path(__file__).parents[2] / "hls"


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
        "-o", str(library),
    ]  # fmt: skip
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return ctypes.CDLL(str(library))


def run_plain(library: ctypes.CDLL, program: Program, x: graph.Int8Array) -> graph.Int8Array:
    word, images = program.word_bytes, len(x)
    arena = np.full((images * program.arena_words, word), 0x5A, np.uint8)
    source, target = program.input, program.output
    first = images * source.offset
    arena[first : first + images * source.image_words] = (
        program.pack_input(x).view(np.uint8).reshape(-1, word)
    )
    status = library.axynq_run_plain(
        program.memory.ctypes.data_as(ctypes.c_void_p),
        arena.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_uint32(images),
    )
    assert status == 0
    first = images * target.offset
    raw = arena[first : first + images * target.image_words].view(np.int8)
    return program.unpack_output(raw.reshape(images, -1))


@pytest.mark.parametrize(
    ("overlay", "flags", "plans"),
    [
        ("tiny4", (), ["exact", "flam=exact|roup:1,4|smapprox:3330", "klam-row=exact|roup:1,4"]),
        # As Vitis HLS: pragmas are there, and g++ ignores them.
        ("tiny4", ("-DAXYNQ_HLS_PRAGMAS",), ["exact"]),
        # As a compiler that must not see pragmas.
        ("tiny4", ("-DAXYNQ_HLS_PRAGMAS", "-D__BAMBU__"), ["exact"]),
        ("z2-mixed16", (), ["flam=exact|roup:1,4|smapprox:3330"]),
        ("z2-roup16", (), ["flam=exact|roup:1,4|roup:2,6+klms=2"]),
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
