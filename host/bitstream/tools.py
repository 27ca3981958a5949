# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The vendor's tools: where they are, which version, and running them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from axynq.emulator.errors import ToolError

OLDEST = (2023, 2)
"""The first release with ``v++ --mode hls``."""

TOOLS = {"Vitis HLS": ("v++", "vitis-run"), "Vivado": ("vivado",)}
"""Products and their commands; the first says which release it is."""


class Tool(NamedTuple):
    """An installed tool."""

    product: str
    path: str
    version: str


def find_tools() -> dict[str, Tool]:
    """The tools by command.

    Raises:
        ToolError: one is missing or too old; the message names all that are missing.
    """
    paths = {c: shutil.which(c) for commands in TOOLS.values() for c in commands}
    release = ".".join(map(str, OLDEST))
    missing = {
        product: [command for command in commands if paths[command] is None]
        for product, commands in TOOLS.items()
    }
    if any(missing.values()):
        named = " and ".join(f"{p} ({', '.join(c)})" for p, c in missing.items() if c)
        raise ToolError(
            f"building a bitstream needs {named}, {release} or newer, which is not on the PATH: "
            "install AMD Vitis (the HLS and Vivado parts suffice) and source its settings64.sh"
        )
    tools = {}
    for product, commands in TOOLS.items():
        version = tool_version(paths[commands[0]] or "")
        numbers = tuple(int(part) for part in version.split(".")[:2])
        if numbers < OLDEST:
            raise ToolError(f"{product} is version {version}: axynq needs {release} or newer")
        for command in commands:
            tools[command] = Tool(product, paths[command] or "", version)
    return tools


def tool_version(path: str) -> str:
    """The release that ``path -version`` or ``--version`` prints, such as ``2023.2``.

    Raises:
        ToolError: it prints none.
    """
    option = "--version" if Path(path).name == "v++" else "-version"
    try:
        ran = subprocess.run(
            [path, option], capture_output=True, text=True, check=False, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{path} {option} does not run: {error}") from error
    found = re.search(r"\bv(20\d\d\.\d)", ran.stdout + ran.stderr)
    if found is None:
        raise ToolError(f"{path} {option} prints no version")
    return found.group(1)


def run_tool(
    command: Sequence[str], folder: Path, log: Path, said: Callable[[str], None] = lambda _: None
) -> None:
    """Run a tool in ``folder``; its output goes to ``log``, and to ``said`` line by line.

    Raises:
        ToolError: it fails; the message has the last error it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = []
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(
            list(command),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                said(line.rstrip())
                if line.startswith("ERROR") or "axynq:" in line:
                    errors.append(line.strip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        reason = errors[-1] if errors else f"exit code {process.returncode}"
        raise ToolError(f"{Path(command[0]).name} failed: {reason}. All of its output is in {log}")
