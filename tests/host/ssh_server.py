# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An ssh server on this machine, with keys, settings and a home directory of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("sshd", "ssh", "ssh-keygen", "rsync")


def program(name: str) -> str | None:
    """Where a program is; sshd is seldom on the path of users."""
    return shutil.which(name) or shutil.which(f"/usr/sbin/{name}")


class Server:
    """Listens on a free port of 127.0.0.1 and knows one user: who runs the tests.

    Nothing of the machine's own settings is read or changed. ``folder`` must be one that nobody
    else may write: ssh is strict.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        """The home directory on the board."""
        self.home.mkdir()
        for key in ("host", "user", "other"):
            self.make_key(key)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        session = (
            f'cd {self.home}; export HOME={self.home}; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
        )
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {folder / 'user'}.pub\nStrictModes no\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nForceCommand {session}\n"
        )
        (folder / "known").write_text(
            f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}"
        )
        self.shared = self._client("shared", f"ControlPath {folder / 'control'}\n")
        """A folder with an ``ssh`` that knows the server as ``board``, over one connection."""
        self.single = self._client("single", "ControlPath none\n")
        """The same with a connection for each command."""
        self._listener: subprocess.Popen[bytes] | None = None

    def make_key(self, name: str) -> None:
        """A pair of keys in the folder."""
        path = str(self.folder / name)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True
        )

    def _client(self, name: str, settings: str) -> Path:
        config = self.folder / f"{name}_config"
        config.write_text(
            f"Host board\nHostName 127.0.0.1\nPort {self.port}\nUser {getpass.getuser()}\n"
            f"IdentityFile {self.folder / 'user'}\nIdentitiesOnly yes\n"
            f"StrictHostKeyChecking yes\nUserKnownHostsFile {self.folder / 'known'}\n{settings}"
        )
        programs = self.folder / name
        programs.mkdir()
        ssh = programs / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {program("ssh")} -F {config} "$@"\n')
        ssh.chmod(0o755)
        return programs

    def start(self) -> None:
        """Raises:
        RuntimeError: the server does not start; the message is its log.
        """
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it
        log = self.folder / "log"
        daemon = program("sshd")
        assert daemon is not None
        with log.open("w") as file:
            self._listener = subprocess.Popen(
                [daemon, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + 30
        while "listening" not in log.read_text().lower():
            if self._listener.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(log.read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, and every connection."""
        if self._listener is not None:
            self.drop_connections()
            self._listener.terminate()
            self._listener.wait()
            self._listener = None

    def drop_connections(self) -> None:
        """Kill the server's processes for each connection; what they started lives on."""
        for process in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def sessions(self) -> list[int]:
        """The server's processes for each connection."""
        assert self._listener is not None
        children = list(_children(self._listener.pid))
        below = [process for child in children for process in _children(child)]
        return [process for process in (*below, *children) if _name(process).startswith("sshd")]


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # pid (name) state parent …
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    yield int(entry.name)


def _name(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path("/proc", str(process), "comm").read_text()
    return ""
