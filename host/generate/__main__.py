# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The door to all generated files of the source tree: ``python -m axynq.host.generate [--check]``.

Without an option every file is made anew, and those that differ are written. With ``--check``
nothing is written: files that are missing, differ, or that nothing generates are listed, and the
exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.arrays import open_arrays
from axynq.host.cli.schemas.documents import schema_files
from axynq.host.generate.isa_files import isa_files
from axynq.host.generate.overlay_files import overlay_files
from axynq.host.netlists.files import SHIPPED, rtl_files
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.selftest import golden

Contents = Mapping[str, bytes]
"""Files by their paths relative to the root of the source tree, with ``/``."""


def instruction_set() -> Contents:
    """What follows from the layer descriptors: C++ headers and their page."""
    return {path: text.encode() for path, text in isa_files().items()}


def overlays() -> Contents:
    """What follows from the overlays' descriptions."""
    return {
        f"hls/generated/{name}/{file}": text.encode()
        for name in overlay_names()
        for file, text in overlay_files(Overlay.load(name)).items()
    }


def netlists() -> Contents:
    """Verilog and blackboxes of the multipliers that ship."""
    return {
        f"hls/rtl/{file}": text.encode()
        for spec in SHIPPED
        for file, text in rtl_files(spec).files.items()
    }


def golden_vectors() -> Contents:
    """What the emulator says the self-test's networks give."""
    return {
        f"bitstreams/golden/{name}.npz": golden.archive(Overlay.load(name))
        for name in overlay_names()
    }


def json_schemas() -> Contents:
    """What the command line's JSON looks like: JSON Schemas, and the page about them."""
    return {path: text.encode() for path, text in schema_files().items()}


KINDS: dict[str, Callable[[], Contents]] = {
    "instruction set": instruction_set,
    "overlays": overlays,
    "netlists": netlists,
    "golden vectors": golden_vectors,
    "JSON schemas": json_schemas,
}
"""All kinds of generated files. Measured ones (``make characterise``) are not among them."""

FOLDERS = ("hls/generated", "hls/rtl", "bitstreams/golden", "docs/json-schemas")
"""Folders that hold generated files only."""


def outdated(root: Path, contents: Contents) -> list[str]:
    """Paths of files that are missing below ``root`` or hold something else."""
    return [path for path, content in contents.items() if not _holds(root / path, content)]


def left_over(root: Path, contents: Contents) -> list[str]:
    """Paths of files in the folders of generated files that nothing generates any more."""
    present = {
        path.relative_to(root).as_posix()
        for folder in FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file()
    }
    return sorted(present - set(contents))


def write(root: Path, contents: Contents) -> list[str]:
    """Write the files that are not as they should be; their paths."""
    paths = outdated(root, contents)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(root / path, contents[path])
    return paths


def _holds(path: Path, content: bytes) -> bool:
    if not path.is_file():
        return False
    same = path.read_bytes() == content
    if same or path.suffix != ".npz":
        return same
    # Another zlib compresses to other bytes.
    try:
        with open_arrays(path) as old, np.load(io.BytesIO(content)) as new:
            return list(old) == list(new) and all(_same(old[name], new[name]) for name in new)
    except (OSError, ValueError):
        return False


def _same(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> bool:
    return old.dtype == new.dtype and np.array_equal(old, new)


def _problems(root: Path, contents: Contents) -> Iterator[str]:
    for path in outdated(root, contents):
        yield f"{path}: not what is generated; run `make generate`"
    for path in left_over(root, contents):
        yield f"{path}: nothing generates it; delete it"


def main() -> int:
    """Generate or check below the working directory; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m axynq.host.generate",
        description="Generate the generated files of the source tree (run in its root).",
    )
    parser.add_argument("--check", action="store_true", help="write nothing, list differences")
    check = parser.parse_args().check
    root = Path()
    if not (root / "hls" / "overlays").is_dir():
        print("this is not the root of axynq's source tree: hls/overlays is missing")
        return 1
    contents = {path: data for make in KINDS.values() for path, data in make().items()}
    if not check:
        for path in write(root, contents):
            print(path)
    problems = list(_problems(root, contents))
    print(*problems or [f"{len(contents)} files are as they should be"], sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
