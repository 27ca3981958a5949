# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A compiler for simulated designs that takes half the time; results are the same."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

_OPTIONS = "-std=c++23 -fno-gnu-unique -fPIC -w -O1"
"""Those of hls4ml's build script but for its ``-O3``, on which g++ spends much time. Its many
warnings are about the ap_types headers."""

_HEADERS = (
    "algorithm", "array", "cmath", "cstddef", "cstdint", "cstdio", "cstdlib", "fstream",
    "iostream", "map", "memory", "queue", "sstream", "string", "tuple", "vector",
    "ap_fixed.h", "ap_int.h", "hls_stream.h",
)  # fmt: skip
"""What every design includes first."""

_SCRIPT = """\
#!/bin/sh
case "$*" in
  *WEIGHTS_DIR*-c*) exec {compiler} "$@" {options} {precompiled} ;;
  *) exec {compiler} "$@" ;;
esac
"""


@pytest.fixture(scope="session")
def quick_compiler(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder with a ``g++`` that compiles hls4ml's sources without much optimisation and with the
    headers of all designs precompiled; None where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    folder = tmp_path_factory.mktemp("compiler")
    header = folder / "designs.hpp"
    header.write_text("".join(f"#include <{name}>\n" for name in _HEADERS))
    types = resources.files("hls4ml") / "templates" / "vivado" / "ap_types"
    made = subprocess.run(
        [compiler, *_OPTIONS.split(), "-isystem", str(types), "-x", "c++-header", str(header)],
        capture_output=True,
    )
    # g++ before 11 has no C++23, and hls4ml takes other options then.
    precompiled = f"-include {shlex.quote(str(header))}" if made.returncode == 0 else ""
    script = folder / "g++"
    options = "-w -O1"
    script.write_text(
        _SCRIPT.format(compiler=shlex.quote(compiler), options=options, precompiled=precompiled)
    )
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _designs_are_compiled_quickly(quick_compiler: Path | None) -> Iterator[None]:
    """hls4ml's build script calls the ``g++`` of the path."""
    with pytest.MonkeyPatch.context() as patch:
        if quick_compiler is not None:
            patch.setenv("PATH", f"{quick_compiler}{os.pathsep}{os.environ['PATH']}")
        yield
