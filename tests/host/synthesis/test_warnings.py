# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compilers have nothing to say about the sources, whichever of their builds they see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from axynq.host.software_board.simulation import ap_types_folder
from axynq.host.synthesis import compilation

HLS = Path(__file__).parents[3] / "hls"
BUILDS = {
    "plain": (),
    "pragmas": ("-DAXYNQ_HLS_PRAGMAS",),
    "simulation": ("-DAXYNQ_SIMULATION",),
    # Labels are there for reports alone.
    "analysis": ("-DAXYNQ_ANALYSIS", "-Wno-unused-label"),
}


def thorough(*values: object):
    return pytest.param(*values, marks=pytest.mark.thorough)


def complaints(command: list[str], overlay: str, headers: Path, build: str, output: Path) -> str:
    arguments = [
        "-std=c++14", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", *BUILDS[build],
        "-isystem", str(headers), f"-I{HLS}/include", f"-I{HLS}/generated/{overlay}",
        "-o", str(output), str(HLS / "src" / "accelerator.cpp"),
    ]  # fmt: skip
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == (ran.stdout + ran.stderr == "")
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("overlay", ["tiny4", thorough("z2-sm16"), thorough("zcu104-roup32")])
@pytest.mark.parametrize("build", BUILDS)
def test_clang_has_no_warnings(overlay: str, build: str, tmp_path: Path) -> None:
    """With the stand-ins for the vendor's headers, which this clang's library does not take."""
    pytest.importorskip("ziglang")
    clang = [sys.executable, "-m", "ziglang", "c++", "-Wno-unused-command-line-argument"]
    clang += ["-S", "-emit-llvm", "-O1", "-Xclang", "-disable-llvm-passes"]  # that is the fastest
    headers = Path(compilation.__file__).parent / "include"
    assert complaints(clang, overlay, headers, build, tmp_path / "made.s") == ""


@pytest.mark.thorough
@pytest.mark.parametrize("overlay", ["tiny4", "z2-sm16"])
@pytest.mark.parametrize("build", ["plain", "pragmas", "simulation"])
def test_gcc_has_no_warnings(overlay: str, build: str, tmp_path: Path) -> None:
    gcc = ["g++", "-fsyntax-only"]
    assert complaints(gcc, overlay, ap_types_folder(), build, tmp_path / "made.s") == ""
