"""Running a program on a board that is reached by ssh.

A folder with everything is made here, copied with rsync (a second time only what changed), and
``axynq run`` is started there. Its results come back the same way.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from axynq.emulator.datasets import Dataset
from axynq.emulator.errors import DataError, DeviceError, ToolError
from axynq.host.bitstream.store import Bitstream
from axynq.host.program import Program

SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15")
"""A password that is asked for would wait for ever: keys only."""


class Remote(NamedTuple):
    """A board."""

    host: str
    folder: str
    """On the board, relative to the home directory."""
    python: str
    """The command that starts its Python."""


class Bundle(NamedTuple):
    """What is copied: a folder, and what is in it."""

    folder: Path
    program: str
    data: str
    bitstreams: str | None
    model: str | None
    wheel: str | None


def bundle(
    output: Path,
    program: Program,
    examples: Dataset,
    bitstream: Bitstream | None,
    model: Path | None,
    wheel: Path | None,
) -> Bundle:
    """Everything a run needs, in ``output/bundle``.

    Raises:
        DataError: it cannot be written.
    """
    folder = output / "bundle"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        program.save(folder / "program.axp")
        np.savez(folder / "data.npz", x=examples.x, y=examples.y)
        if bitstream is not None:
            (folder / "bitstreams").mkdir()
            stem = bitstream.bit.with_suffix("")
            for kind in (".bit", ".hwh", ".json"):
                shutil.copy(stem.with_suffix(kind), folder / "bitstreams")
        for path in (model, wheel):
            if path is not None:
                shutil.copy(path, folder)
    except OSError as error:
        raise DataError(f"'{folder}' cannot be written: {error.strerror}") from error
    return Bundle(
        folder,
        "program.axp",
        "data.npz",
        "bitstreams" if bitstream else None,
        model.name if model else None,
        wheel.name if wheel else None,
    )


def run_remotely(
    remote: Remote,
    files: Bundle,
    output: Path,
    overlay: str,
    device: str,
    baseline: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Copy, run, fetch: what ``axynq run --json`` printed there, also kept as ``results.json``.

    Raises:
        ToolError: ssh or rsync is not installed here.
        DeviceError: a step failed; the message is the board's.
    """
    ssh, rsync = _command("ssh"), _command("rsync")
    _run([ssh, *SSH_OPTIONS, remote.host, f"mkdir -p {shlex.quote(remote.folder)}"], remote)
    shell = shlex.join([ssh, *SSH_OPTIONS])
    there = f"{remote.host}:{remote.folder}/"
    _run([rsync, "-a", "--delete", "-e", shell, f"{files.folder}/", there], remote)
    change = f"cd {shlex.quote(remote.folder)}"
    if files.wheel is not None:
        say("installing axynq")
        install = f"{remote.python} -m pip install --no-deps --quiet {shlex.quote(files.wheel)}"
        _run([ssh, *SSH_OPTIONS, remote.host, f"{change} && {install}"], remote)
    say("running")
    words = ["-m", "axynq.host.cli", "run", files.program, "--data", files.data,
             "--device", device, "--output", "outputs.npy", "--json"]  # fmt: skip
    if baseline and files.model is not None:
        words += ["--baseline", files.model]
    environment = f"AXYNQ_BITSTREAMS={shlex.quote(files.bitstreams)} " if files.bitstreams else ""
    command = f"{change} && {environment}{remote.python} {shlex.join(words)}"
    printed = _run([ssh, *SSH_OPTIONS, remote.host, command], remote)
    say("fetching the results")
    fetch = f"{there}outputs.npy"
    _run([rsync, "-a", "-e", shell, fetch, f"{output}/"], remote)
    try:
        content: dict[str, Any] = json.loads(printed)
    except ValueError as error:
        raise DeviceError(f"{remote.host} printed no results: {printed[-200:]!r}") from error
    (output / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def _command(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"deploying needs {name} on this machine: install it (and on the board)")
    return path


def _run(command: list[str], remote: Remote) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError(f"{command[0]} does not run: {error}") from error
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit code {ran.returncode}"
        cure = ""
        if ran.returncode == 255:
            cure = f". ssh must work without a password: ssh-copy-id {remote.host}"
        raise DeviceError(f"{remote.host}: {reason.removeprefix('error: ')}{cure}")
    return ran.stdout
