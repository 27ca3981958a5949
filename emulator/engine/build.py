"""Compiles C++ sources to a shared library at first use, and keeps it in the user's cache folder.

The library's name contains a hash of everything that goes into it, so that a changed source, flag
or compiler builds anew and nothing stale is ever loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from axynq.emulator import files
from axynq.emulator.errors import ToolError


def compiler() -> str:
    """The C++ compiler: ``CXX``, or g++ or clang++ on the path.

    Raises:
        ToolError: there is none.
    """
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        raise ToolError("there is no C++ compiler: install g++ (Debian: apt install g++)")
    return found


def cache_folder() -> Path:
    """Where libraries are kept: ``AXYNQ_CACHE``, or ``axynq`` in the user's cache folder.

    Raises:
        ToolError: it cannot be written.
    """
    given = os.environ.get("AXYNQ_CACHE")
    if given:
        folder = Path(given)
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "axynq"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axynq"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_cached(folder, error) from error
    return folder


def shared_library(
    name: str, sources: Sequence[Path], flags: Sequence[str], depends: Sequence[Path] = ()
) -> Path:
    """The library of ``sources``, compiled unless it is in the cache.

    Args:
        name: what it is called in the cache and in messages.
        sources: files to compile.
        flags: for the compiler, include folders among them.
        depends: other files whose content matters.

    Raises:
        ToolError: there is no compiler, or it rejects the sources; the message has its reason.
    """
    program = compiler()
    library = cache_folder() / f"{name}-{_digest(program, sources, flags, depends)}.so"
    if not library.exists():
        _compile(program, name, sources, flags, library)
    return library


def open_library(path: Path) -> ctypes.CDLL:
    """A compiled library, opened.

    Raises:
        ToolError: it is for another kind of processor, or needs what is not installed here.
    """
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise ToolError(
            f"what {compiler()} compiled cannot be opened here ({error}): set CXX to a compiler "
            "for this Python's own kind of processor"
        ) from error


def _digest(
    program: str, sources: Sequence[Path], flags: Sequence[str], depends: Sequence[Path]
) -> str:
    version = subprocess.run([program, "--version"], capture_output=True, check=False).stdout
    content = hashlib.sha256(version + "\0".join(flags).encode())
    if "-march=native" in flags:
        content.update(_processor())
    for path in (*sources, *sorted(depends)):
        content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _processor() -> bytes:
    """What -march=native depends on: caches are shared between machines now and then."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "").encode()


def _compile(
    program: str, name: str, sources: Sequence[Path], flags: Sequence[str], library: Path
) -> None:
    try:
        # Replaced whole: several processes may build at the same time.
        with files.replacing(library) as output:
            command = [program, "-shared", "-fPIC", *flags, *map(str, sources), "-o", str(output)]
            result = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False
            )
            if result.returncode:
                errors = [line for line in result.stderr.splitlines() if "error" in line]
                reason = errors[0] if errors else result.stderr.strip()[-300:]
                raise ToolError(f"{name} does not compile with {program}: {reason}")
    except OSError as error:
        raise not_cached(library.parent, error) from error


def not_cached(folder: Path, error: OSError) -> ToolError:
    """What is told where the cache cannot be written."""
    return ToolError(
        f"the cache folder '{folder}' cannot be written ({error.strerror}): "
        "set AXYNQ_CACHE to another"
    )
