# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An ARM Linux with Python and numpy in a folder, whose programs this machine runs by emulation.

Neither root nor a running system is needed: packages of the other architecture are downloaded by
this machine's apt into a private state, unpacked, and run by qemu's user-mode emulation. Programs
that are not found in the folder are this machine's own, so the emulated Python calls the cross
compiler, which runs at full speed.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from axynq.host.software_board.simulation import ap_types_folder

SOURCE = Path(__file__).parents[2]
"""The source tree."""

PACKAGES = ("python3", "python3-numpy", "python3-cffi", "python3-setuptools", "libstdc++6")

WHEELS = ("pydantic>=2.5", "hypothesis>=6.100")
"""Packages with machine code that the system has none of, or too old ones."""


class MachineError(Exception):
    """The machine cannot be made; the message says what to install."""


@dataclass(frozen=True)
class Architecture:
    """A processor architecture, by Debian's name."""

    name: str
    triplet: str
    emulators: tuple[str, ...]
    wheel_platforms: tuple[str, ...]
    processors: tuple[str, ...]
    """Emulated ones, by qemu's names: the boards', and those with other instruction sets."""
    boards: str


ARCHITECTURES = {
    "armhf": Architecture(
        "armhf",
        "arm-linux-gnueabihf",
        ("qemu-arm-static", "qemu-arm"),
        ("manylinux_2_17_armv7l", "manylinux2014_armv7l", "linux_armv7l"),
        ("cortex-a9",),
        "PYNQ-Z1, PYNQ-Z2",
    ),
    "arm64": Architecture(
        "arm64",
        "aarch64-linux-gnu",
        ("qemu-aarch64-static", "qemu-aarch64"),
        ("manylinux_2_17_aarch64", "manylinux2014_aarch64"),
        ("cortex-a53", "neoverse-n1", "max"),
        "ZCU104, KV260, Ultra96-V2",
    ),
}


def emulator(architecture: Architecture) -> str | None:
    """qemu for the architecture, or None."""
    found = (shutil.which(name) for name in architecture.emulators)
    return next((path for path in found if path), None)


def missing(architecture: Architecture) -> str | None:
    """What this machine lacks to run the architecture's programs, and how to get it."""
    lacking = []
    if emulator(architecture) is None:
        lacking.append("qemu-user-static")
    if shutil.which(f"{architecture.triplet}-g++") is None:
        lacking.append(f"g++-{architecture.triplet}")
    return f"apt install {' '.join(lacking)}" if lacking else None


class Machine:
    """The folder of one architecture.

    Args:
        architecture: which.
        folder: where it is kept.
        sources: an apt sources file that has the architecture; None: this machine's own.
    """

    def __init__(self, architecture: Architecture, folder: Path, sources: Path | None) -> None:
        self.architecture = architecture
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        self.cache = self.folder / "cache"
        self._sources = sources
        self._done = self.folder / "done"

    def make(self) -> bool:
        """Make what is not there yet. Returns whether something had to be made.

        Raises:
            MachineError: something is not installed here, or cannot be downloaded.
        """
        lacking = missing(self.architecture)
        if lacking:
            raise MachineError(f"emulating {self.architecture.name} needs {lacking}")
        wanted = repr((PACKAGES, WHEELS))
        new = not self._done.exists() or self._done.read_text(encoding="utf-8") != wanted
        if new:
            for part in ("apt", "root", "wheels", "cache"):
                shutil.rmtree(self.folder / part, ignore_errors=True)
            self._unpack_packages()
            self._install_wheels()
        self._link_sources()
        self._done.write_text(wanted, encoding="utf-8")
        return new

    def run(self, *arguments: str | Path, processor: str) -> int:
        """Run the machine's Python in the source tree on one of its processors; its exit status."""
        command = [str(self.folder / "python"), *map(str, arguments)]
        environment = {**os.environ, "QEMU_CPU": processor}
        return subprocess.run(command, cwd=SOURCE, env=environment, check=False).returncode

    # --- the system ------------------------------------------------------------------------------

    def _unpack_packages(self) -> None:
        apt = self.folder / "apt"
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (apt / folder).mkdir(parents=True)
        (apt / "status").touch()
        settings = {
            "APT::Architecture": self.architecture.name,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
            "Dir::State": f"{apt}/state",
            "Dir::State::status": f"{apt}/status",
            "Dir::Cache": f"{apt}/cache",
        }
        if self._sources is not None:
            settings["Dir::Etc::sourcelist"] = str(self._sources.resolve())
            settings["Dir::Etc::sourceparts"] = "-"
        (apt / "apt.conf").write_text(
            f'APT::Architectures {{ "{self.architecture.name}"; }};\n'
            + "".join(f'{name} "{value}";\n' for name, value in settings.items()),
            encoding="utf-8",
        )
        environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C.UTF-8"}
        # An index that fails (a mirror being written) may be one that is not needed.
        _command(["apt-get", "update"], environment, check=False)
        _command(["apt-get", "install", "--yes", "--download-only", *PACKAGES], environment)
        for package in sorted((apt / "cache" / "archives").glob("*.deb")):
            _command(["dpkg-deb", "--extract", str(package), str(self.root)])
        shutil.rmtree(apt)
        # What the packages' own scripts would have linked.
        for name in ("blas", "lapack"):
            library = self.root / "usr" / "lib" / self.architecture.triplet / f"lib{name}.so.3"
            library.symlink_to(f"{name}/lib{name}.so.3")

    @property
    def _python(self) -> Path:
        found = [p for p in self.root.glob("usr/bin/python3.*") if p.name.count(".") == 1]
        if not found:
            raise MachineError(f"{self.root} has no Python: remove {self.folder}")
        return found[0]

    def _compiler(self, name: str) -> str:
        found = shutil.which(f"{self.architecture.triplet}-{name.replace('cc', 'gcc')}")
        assert found is not None
        return found

    def _install_wheels(self) -> None:
        """Packages for the other architecture, as wheels."""
        version = self._python.name.removeprefix("python")
        platforms = [f"--platform={name}" for name in self.architecture.wheel_platforms]
        _command(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
                *("--disable-pip-version-check", "--only-binary=:all:"),
                *(f"--python-version={version}", *platforms, f"--target={self.folder / 'wheels'}"),
                *WHEELS,
            ]
        )

    def _link_sources(self) -> None:
        """The source tree's packages by their names, and a command that runs Python."""
        packages = self.folder / "source" / "axynq"
        packages.mkdir(parents=True, exist_ok=True)
        for name in ("emulator", "host", "hls", "bitstreams", "models"):
            link = packages / name
            link.unlink(missing_ok=True)
            link.symlink_to(SOURCE / name)
        # Python alone: pynq and what it needs, from this environment. They come last, so that
        # whatever has machine code is the other architecture's own.
        command = self.folder / "python"
        here = "\n".join(site.getsitepackages())
        (self.root / "usr" / "lib" / "python3" / "dist-packages" / "axynq.pth").write_text(
            f"import sys; sys.executable = {str(command)!r}\n{here}\n", encoding="utf-8"
        )
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        for name in ("cc", "g++"):
            (tools / name).unlink(missing_ok=True)
            (tools / name).symlink_to(self._compiler(name))
        path = f"{self.folder / 'source'}:{self.folder / 'wheels'}:{SOURCE}"
        settings = {
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{tools}:{os.environ['PATH']}",
            "AXYNQ_CACHE": str(self.cache),
            "AXYNQ_AP_TYPES": str(ap_types_folder()),
        }
        command.write_text(
            "#!/bin/sh\n"
            + "".join(f"export {name}='{value}'\n" for name, value in settings.items())
            + f"exec '{emulator(self.architecture)}' -L '{self.root}' '{self._python}' \"$@\"\n",
            encoding="utf-8",
        )
        command.chmod(0o755)


def _command(
    command: list[str], environment: dict[str, str] | None = None, check: bool = True
) -> None:
    """Run something quietly.

    Raises:
        MachineError: it failed.
    """
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise MachineError(f"{command[0]} is not installed: this needs Debian or Ubuntu") from error
    if check and result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        reason = next((line for line in lines if line.startswith(("E:", "ERROR"))), lines[-1:])
        raise MachineError(f"{' '.join(command[:2])} failed: {reason}")
