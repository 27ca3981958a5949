# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Generated files of the source tree are what their generators give now (``make generate``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.host.generate.__main__ import FOLDERS, KINDS, golden_vectors, left_over, outdated, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def contents() -> dict[str, dict[str, bytes]]:
    return {kind: dict(make()) for kind, make in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_up_to_date(kind: str, contents) -> None:
    assert outdated(ROOT, contents[kind]) == [], "run `make generate`"


def test_nothing_is_left_over(contents) -> None:
    everything = {path for made in contents.values() for path in made}
    assert left_over(ROOT, dict.fromkeys(everything, b"")) == []


def test_each_folder_is_generated(contents) -> None:
    everything = [path for made in contents.values() for path in made]
    for folder in FOLDERS:
        assert [path for path in everything if path.startswith(folder)]


def test_what_is_wrong_is_found_and_mended(tmp_path: Path) -> None:
    made = {"hls/rtl/a.v": b"module a;\n", "hls/rtl/b.v": b"module b;\n"}
    assert write(tmp_path, made) == list(made)
    assert write(tmp_path, made) == []
    (tmp_path / "hls/rtl/a.v").write_bytes(b"module A;\n")
    (tmp_path / "hls/rtl/b.v").unlink()
    (tmp_path / "hls/rtl/c.v").touch()
    assert outdated(tmp_path, made) == list(made)
    assert left_over(tmp_path, made) == ["hls/rtl/c.v"]
    write(tmp_path, made)
    assert outdated(tmp_path, made) == []


def test_arrays_are_compared_by_value(tmp_path: Path) -> None:
    """A file that another zlib has compressed is right; another value, type or name is not."""
    path, content = next(iter(golden_vectors().items()))
    write(tmp_path, {path: content})
    with np.load(tmp_path / path) as archive:
        arrays = {name: archive[name] for name in archive}
    np.savez(tmp_path / path, **arrays)
    assert (tmp_path / path).read_bytes() != content
    assert outdated(tmp_path, {path: content}) == []
    first = next(iter(arrays))
    for wrong in (
        arrays | {first: arrays[first] ^ 1},
        arrays | {first: arrays[first].astype(np.int16)},
        arrays | {"another": arrays[first]},
    ):
        np.savez(tmp_path / path, **wrong)
        assert outdated(tmp_path, {path: content}) == [path]
    (tmp_path / path).write_bytes(content[:100])
    assert outdated(tmp_path, {path: content}) == [path]


def test_elsewhere_nothing_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "axynq.host.generate"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "not the root" in ran.stdout
    assert not list(tmp_path.iterdir())
