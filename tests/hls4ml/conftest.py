"""A compiler that does not optimise: g++ spends its time on that, and results are the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def quick_compiler(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hls4ml's build script calls ``g++`` with ``-O3``."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("there is no g++")
    folder: Path = tmp_path_factory.mktemp("compiler")
    script = folder / "g++"
    script.write_text(f'#!/bin/sh\nexec {found} "$@" -O0\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
