# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compiles C++ sources to a shared library at first use, and keeps it in the user's cache folder.

A library's name contains a hash of everything that goes into it, so that a changed source, flag or
compiler builds anew and nothing stale is ever loaded; and a hash of its own content, so that a file
that was cut off is not loaded either. Where there is no compiler, one that any compiler made of the
same sources and flags will do.
"""

from __future__ import annotations

import ctypes
import glob
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from axynq.emulator.errors import ToolError

_NO_COMPILER = "there is no C++ compiler: install g++ (Debian: apt install g++)"

_building = threading.Lock()
"""Threads of a process build a library once."""


def compiler() -> list[str]:
    """The C++ compiler: ``CXX``, which may have arguments, or g++ or clang++ on the path.

    Raises:
        ToolError: there is none, or ``CXX`` names one that is not there.
    """
    command = _compiler()
    if command is None:
        raise ToolError(_NO_COMPILER)
    return command


def _compiler() -> list[str] | None:
    given = os.environ.get("CXX", "").strip()
    if not given:
        found = shutil.which("g++") or shutil.which("clang++")
        return None if found is None else [found]
    try:
        command = shlex.split(given)
    except ValueError as error:
        raise ToolError(f"CXX={given} cannot be read as a command: {error}") from error
    if not command or shutil.which(command[0]) is None:
        raise ToolError(
            f"CXX={given} names a compiler that is not there: set it to one that is, or unset it"
        )
    return command


def cache_folder() -> Path:
    """Where libraries are kept: ``AXYNQ_CACHE``, or ``axynq`` in the user's cache folder. What is
    in it can be used even where nothing can be added.

    Raises:
        ToolError: it is not there and cannot be made.
    """
    given = os.environ.get("AXYNQ_CACHE")
    try:
        if given:
            folder = Path(given)
        elif sys.platform == "darwin":
            folder = Path.home() / "Library" / "Caches" / "axynq"
        else:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axynq"
    except RuntimeError as error:
        raise ToolError(
            f"there is no home folder ({error}): set AXYNQ_CACHE to a folder"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def writable_cache_folder() -> Path:
    """:func:`cache_folder`, where something can be added.

    Raises:
        ToolError: it cannot be written.
    """
    folder = cache_folder()
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            return folder
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ToolError:
    return ToolError(
        f"the cache folder '{folder}' cannot be written ({error.strerror}): "
        "set AXYNQ_CACHE to another"
    )


SOURCE_KINDS = (".py", ".hpp", ".cpp", ".h", ".json", ".npz", ".j2")
GENERATED = {"generated", "rtl", "simulation", "overlays", "__pycache__"}
"""Folders of packages in which there are no sources."""


@cache
def sources_hash(*packages: str) -> str:
    """A hash of the sources of packages, in hex: what is computed by them and kept goes under a
    name that contains it."""
    content = hashlib.sha256()
    for package in packages:
        for name, data in sorted(_sources(resources.files(package))):
            content.update(f"{package} {name} {len(data)}\0".encode() + data)
    return content.hexdigest()


def _sources(folder: Any, before: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{before}{entry.name}"
        if entry.is_dir() and entry.name not in GENERATED:
            yield from _sources(entry, f"{name}/")
        elif entry.is_file() and entry.name.endswith(SOURCE_KINDS):
            yield name, entry.read_bytes()


def shared_library(
    name: str,
    sources: Sequence[Path],
    flags: Sequence[str],
    depends: Sequence[Path] = (),
    folders: Sequence[str] = (),
    generated: Mapping[str, str] | None = None,
) -> Path:
    """The library of ``sources``, compiled unless it is in the cache.

    Args:
        name: what it is called in the cache and in messages.
        sources: files to compile.
        flags: for the compiler.
        depends: other files whose content matters, wherever they are.
        folders: flags that name include folders; where they are does not matter.
        generated: headers, by the path they are included by.

    Raises:
        ToolError: it is not in the cache, and there is no compiler, or it rejects the sources, or
            the cache cannot be written; the message has the reason.
    """
    generated = generated or {}
    command = _compiler()
    with _building:
        folder = cache_folder()
        stem = f"{name}-{_digest(sources, flags, depends, generated)}"
        if command is None:
            found = _find(folder, stem)
            if found is None:
                raise ToolError(f"{_NO_COMPILER}; nor is {name} in '{folder}'")
            return found
        exact = f"{stem}-{_version(command)}"
        found = _find(folder, exact)
        if found is not None:
            return found
        try:
            with tempfile.TemporaryDirectory(dir=folder) as work:
                for path, text in generated.items():
                    header = Path(work, "include", path)
                    header.parent.mkdir(parents=True, exist_ok=True)
                    header.write_text(text, encoding="utf-8")
                include = [f"-I{Path(work, 'include')}"] if generated else []
                arguments = [*flags, *include, *folders]
                built = _compile(command, name, sources, arguments, Path(work, "library.so"))
                for other in _all(folder, exact):
                    if not _intact(other):  # processes may be loading those that are
                        other.unlink(missing_ok=True)
                library = folder / f"{exact}-{_content(built)}.so"
                os.replace(built, library)  # atomic: several processes may build at the same time
                return library
        except OSError as error:
            found = _find(folder, stem)  # of another compiler
            if found is not None:
                return found
            raise _unwritable(folder, error) from error


def load_library(path: Path) -> ctypes.CDLL:
    """A library of :func:`shared_library`.

    Raises:
        ToolError: it does not load here.
    """
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise ToolError(
            f"'{path}' does not load ({error}): delete it, so that it is compiled again, and set "
            "CXX to a compiler for this Python's own kind of processor"
        ) from error


def _all(folder: Path, start: str) -> list[Path]:
    """Libraries whose names start like that."""
    return sorted(folder.glob(f"{glob.escape(start)}-*.so"))


def _find(folder: Path, start: str) -> Path | None:
    """The first of them that is as it was built."""
    return next((path for path in _all(folder, start) if _intact(path)), None)


def _intact(path: Path) -> bool:
    """Whether a library is as it was built; none that is gone meanwhile or cannot be read."""
    try:
        return path.stem.endswith(f"-{_content(path)}")
    except OSError:
        return False


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _version(command: Sequence[str]) -> str:
    try:
        version = subprocess.run([*command, "--version"], capture_output=True, check=False).stdout
    except OSError as error:
        raise ToolError(f"the compiler {shlex.join(command)} does not run: {error}") from error
    return hashlib.sha256(version + shlex.join(command[1:]).encode()).hexdigest()[:8]


def _digest(
    sources: Sequence[Path],
    flags: Sequence[str],
    depends: Sequence[Path],
    generated: Mapping[str, str],
) -> str:
    machine = f"{sys.platform} {platform.machine()}"
    content = hashlib.sha256("\0".join([machine, *flags]).encode())
    if "-march=native" in flags:
        content.update(_processor())
    for path in sources:
        content.update(path.name.encode() + path.read_bytes())
    others = [(path.name, path.read_bytes()) for path in depends]
    others += [(path, text.encode()) for path, text in generated.items()]
    for name, data in sorted(others):
        content.update(name.encode() + data)
    return content.hexdigest()[:16]


def processor_lines() -> list[str]:
    """What Linux says of the processors, ``name : value`` each; nothing where it says nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()


def _processor() -> bytes:
    """What -march=native depends on: caches are shared between machines now and then."""
    features = (line for line in processor_lines() if line.startswith(("flags", "Features")))
    return next(features, "").encode()


def _compile(
    command: Sequence[str], name: str, sources: Sequence[Path], flags: Sequence[str], output: Path
) -> Path:
    arguments = ["-shared", "-fPIC", *flags, *map(str, sources), "-o", str(output)]
    try:
        result = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise ToolError(f"the compiler {shlex.join(command)} does not run: {error}") from error
    if result.returncode or not output.exists():
        errors = [line for line in result.stderr.splitlines() if "error" in line]
        reason = errors[0] if errors else result.stderr.strip()[-300:]
        raise ToolError(f"{name} does not compile with {shlex.join(command)}: {reason}")
    return output
