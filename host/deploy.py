# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Running a program on a board that is reached by ssh.

A folder with everything is made here, copied with rsync (a second time only what changed), and
``axynq run`` is started there. Its results come back the same way.

Copying removes what else is in the board's folder. Only a folder that was made here, or was empty,
is used: a file in it says so, and is looked for in the same command that removes anything.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from axynq.emulator import files
from axynq.emulator.datasets import Dataset
from axynq.emulator.errors import DataError, DeviceError, ToolError
from axynq.host.runtime.bitstream_store import Bitstream
from axynq.host.runtime.program import Program

SSH_OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=15"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
"""A password that is asked for would wait for ever: keys only. So would an answer of a board that
was switched off: it is silent for a minute at most."""

MARK = ".axynq-deploy"
"""A file in the board's folder: what is beside it may be removed."""

PARTIAL = ".rsync-partial"
"""A folder in it, with what had come of a file when the connection was lost: the next copy goes on
from there."""

_PREPARE = f"""
mkdir -p -- "$1" || exit 1
folder=$(cd -- "$1" && pwd -P) || exit 1
if [ "$folder" = / ] || [ "$folder" = "$(cd && pwd -P)" ]; then
    echo "the folder '$1' is the home directory or the root: choose another --folder" >&2
    exit 1
fi
[ -f "$folder/{MARK}" ] && exit 0
content=$(ls -A -- "$folder") || exit 1
if [ -n "$content" ]; then
    echo "the folder '$1' holds something that deploy did not put there and would remove: choose" \
        "another --folder, or empty it" >&2
    exit 1
fi
: > "$folder/{MARK}"
"""
"""For a POSIX shell on the board; the folder is its argument."""

_WATCHED = """
cd -- {folder} || exit 1
exec 3<&0
{command} </dev/null 3<&- &
job=$!
(cat <&3; kill -TERM "$job") >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$job"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""
"""For the same shell: a command that ends when its input does. That stays open as long as the
connection and the command here: what nobody waits for any more does not keep the FPGA."""

_LOST = (
    "the connection was lost. Run the command again: what was copied is not copied once more, and "
    "what ran is ended"
)

_CURES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that ssh knows. If the board was set up anew, forget the old "
        "key with `ssh-keygen -R`; otherwise something else answers at this address",
    ),
    (
        r"Host key verification failed|host key is known",
        "ssh does not know its host key: connect once by hand and compare the fingerprint",
    ),
    (r"Permission denied \(", "ssh must work without a password: ssh-copy-id {host}"),
    (
        r"Could not resolve|Connection refused|timed out|No route to|unreachable",
        "is the board switched on, and its name or address right?",
    ),
    (r"closed by remote|Connection reset|[Bb]roken pipe|not responding|connection unexp", _LOST),
    (
        r"No module named '?axynq",
        "axynq is not installed for this Python: --wheel installs it, --python names another",
    ),
    (r"rsync: (?:command )?not found", "install rsync on the board"),
)
"""What ssh, rsync and Python say when something is wrong, the most telling first, and what to do
about it."""

_USER = r"[A-Za-z0-9_.][A-Za-z0-9_.-]*"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ADDRESS = r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?"
_HOST = re.compile(rf"(?:({_USER})@)?(?:({_NAME})|({_ADDRESS})|\[({_ADDRESS})\])")


class Remote(NamedTuple):
    """A board; :func:`remote_board` checks what the user says of it."""

    host: str
    """As ssh takes it."""
    folder: str
    """On the board, absolute or, beginning with ``./``, below the home directory."""
    python: str
    """The command that starts its Python."""

    @property
    def host_for_rsync(self) -> str:
        """The same with brackets around an IPv6 address."""
        user, at, name = self.host.rpartition("@")
        return f"{user}{at}[{name}]" if ":" in name else self.host


def remote_board(host: str, folder: str, python: str) -> Remote:
    """A board as the user names it.

    Raises:
        DeviceError: the host is none, or the folder cannot be one whose content may be removed.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        raise DeviceError(
            f"'{host}' is no board: write user@host, or the name of a Host in ~/.ssh/config, which "
            "is also where a port belongs"
        )
    user = f"{match[1]}@" if match[1] else ""
    if folder.startswith("~/"):
        folder = folder[2:]
    path = PurePosixPath(folder)
    if (
        not folder.strip()
        or not folder.isprintable()
        or folder.startswith("~")
        or ".." in path.parts
        or not path.name
    ):
        raise DeviceError(
            f"'{folder}' is no folder to deploy to, where other files are removed: name one below "
            "the home directory, such as axynq-deploy"
        )
    place = str(path) if path.is_absolute() else f"./{path}"
    return Remote(user + (match[2] or match[3] or match[4]), place, python)


class Bundle(NamedTuple):
    """What is copied: a folder, and what is in it."""

    folder: Path
    program: str
    data: str
    bitstreams: str | None
    model: str | None
    wheel: str | None


@contextmanager
def bundle(
    output: Path,
    program: Program,
    examples: Dataset,
    bitstream: Bitstream | None,
    model: Path | None,
    wheel: Path | None,
) -> Iterator[Bundle]:
    """Everything a run needs, in a folder below ``output`` that is removed at the end.

    Raises:
        DataError: it cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".bundle-", dir=output)
    except OSError as error:
        raise DataError(f"'{output}' cannot be written: {error.strerror}") from error
    with temporary:
        folder = Path(temporary.name) / "bundle"  # with usual permissions, which rsync copies
        try:
            folder.mkdir()
            files.write_text(folder / MARK, "axynq deploy removes what else is in this folder.\n")
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
            reason = error.strerror or error
            raise DataError(f"'{folder}' cannot be written: {reason}") from error
        yield Bundle(
            folder,
            "program.axp",
            "data.npz",
            "bitstreams" if bitstream else None,
            model.name if model else None,
            wheel.name if wheel else None,
        )


def run_remotely(
    remote: Remote,
    bundle: Bundle,
    output: Path,
    device: str,
    baseline: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Copy, run, fetch: what ``axynq run --json`` printed there, also kept as ``results.json``.

    Raises:
        ToolError: ssh or rsync is not installed here.
        DeviceError: a step failed; the message is the board's.
        DataError: the results cannot be written.
    """
    copy_to(remote, bundle.folder)
    if bundle.wheel is not None:
        say("installing axynq")
        wheel = shlex.quote(f"./{bundle.wheel}")
        _in_folder(remote, f"{remote.python} -m pip install --no-deps --quiet {wheel}")
    say("running")
    words = ["-m", "axynq.host.cli", "run", bundle.program, "--data", bundle.data,
             "--device", device, "--output", "outputs.npy", "--json"]  # fmt: skip
    if baseline and bundle.model is not None:
        words += ["--baseline", f"./{bundle.model}"]
    environment = f"AXYNQ_BITSTREAMS={shlex.quote(bundle.bitstreams)} " if bundle.bitstreams else ""
    printed = _in_folder(remote, f"{environment}{remote.python} {shlex.join(words)}")
    content = _results(printed, remote)
    say("fetching the results")
    try:
        with files.replacing(output / "outputs.npy") as temporary:
            fetch_from(remote, "outputs.npy", temporary)
        files.write_text(output / "results.json", json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise DataError(f"'{output}' cannot be written: {error.strerror}") from error
    return content


def copy_to(remote: Remote, folder: Path) -> None:
    """Make the board's folder the same as one here.

    Raises:
        ToolError: ssh or rsync is not installed here.
        DeviceError: it failed, or the board's folder holds something else.
    """
    _ssh(remote, f"sh -c {shlex.quote(_PREPARE)} sh {shlex.quote(remote.folder)}")
    _rsync(remote, "--delete", f"{folder.resolve()}/", f"{remote.host_for_rsync}:./")


def fetch_from(remote: Remote, name: str, path: Path) -> None:
    """Copy a file of the board's folder.

    Raises:
        ToolError: ssh or rsync is not installed here.
        DeviceError: it failed.
    """
    _rsync(remote, f"{remote.host_for_rsync}:./{name}", str(path.resolve()))


def _in_folder(remote: Remote, command: str) -> str:
    script = _WATCHED.format(folder=shlex.quote(remote.folder), command=command)
    return _ssh(remote, f"sh -c {shlex.quote(script)}")


def _ssh(remote: Remote, command: str) -> str:
    return _run([_command("ssh"), *SSH_OPTIONS, remote.host, command], remote)


def _rsync(remote: Remote, *words: str) -> None:
    """rsync, in the board's folder there: its name is quoted by this shell command alone."""
    there = f"cd {shlex.quote(remote.folder)} && test -f {MARK} && rsync"
    shell = shlex.join([_command("ssh"), *SSH_OPTIONS])
    options = ["-a", "-e", shell, f"--rsync-path={there}", f"--partial-dir={PARTIAL}"]
    _run([_command("rsync"), *options, *words], remote)


def _results(printed: str, remote: Remote) -> dict[str, Any]:
    """What ``axynq run --json`` printed, behind what the board's shell may say when it starts."""
    try:
        content = json.loads(printed[printed.index("{") :])
    except ValueError as error:
        raise DeviceError(f"{remote.host} printed no results: {printed[-200:]!r}") from error
    missing = {"examples", "accuracy", "seconds"} - content.keys()
    if missing:
        raise DeviceError(f"{remote.host}: the results lack {', '.join(sorted(missing))}")
    found: dict[str, Any] = content
    return found


def _command(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"deploying needs {name} on this machine: install it (and on the board)")
    return path


def _run(command: list[str], remote: Remote) -> str:
    """What a command prints. Its input is open, and empty, as long as it runs."""
    reading, writing = os.pipe()
    try:
        ran = subprocess.run(
            command,
            stdin=reading,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} does not run: {error}") from error
    finally:
        os.close(reading)
        os.close(writing)
    if ran.returncode:
        raise DeviceError(f"{remote.host}: {_reason(ran.stderr, ran.returncode, remote)}")
    return ran.stdout


def _reason(said: str, code: int, remote: Remote) -> str:
    """The line that says why a command failed, and what to do where that is known."""
    # rsync sums up what it said before.
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("rsync error:")] or lines
    for pattern, cure in _CURES:
        for line in lines:
            if re.search(pattern, line):
                return f"{line.strip('@ .')}: {cure.format(host=remote.host)}"
    reason = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
    return f"{reason}. Does `ssh {remote.host}` work?" if code == 255 else reason
