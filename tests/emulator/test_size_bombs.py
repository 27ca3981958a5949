# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small files that unpack to more than a machine has: refused before they are."""

from __future__ import annotations

import io
import pickle
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from axynq.emulator import files, multiplier
from axynq.emulator.datasets import load_dataset
from axynq.emulator.errors import DataError, MultiplierError

ALLOWED = 2**24
"""Bytes that reading a refused file may take."""


@pytest.fixture
def bounded(monkeypatch) -> None:
    """Limits of a small machine: the bombs need not be large."""
    monkeypatch.setattr(files, "LARGEST_MEMBER", 2**20)
    monkeypatch.setattr(files, "memory", lambda: 2**22)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(2**25))


def tarred(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("a/1.png")
        info.size = 2**25
        archive.addfile(info, io.BytesIO(bytes(2**25)))


def long_name(path: Path) -> None:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a" * 2**25))


def long_note(path: Path) -> None:
    info = tarfile.TarInfo("a/1.png")
    info.pax_headers = {"comment": "a" * 2**25}
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)


def cifar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        info.size = 2**25
        archive.addfile(info, io.BytesIO(bytes(2**25)))


def folder(path: Path) -> None:
    (path / "a").mkdir(parents=True)
    with (path / "a" / "1.png").open("wb") as file:
        file.truncate(2**25)


def images(path: Path) -> None:
    """Each is small; all together are not."""
    content = io.BytesIO()
    Image.new("RGB", (600, 600)).save(content, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20):
            archive.writestr(f"a/{number}.png", content.getvalue())


def arrays(path: Path) -> None:
    np.savez_compressed(path, x=np.zeros(2**25, np.uint8), y=np.arange(2))


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (zipped, "d.zip", r"'a/1.png' has 33554432 bytes, too many for an image"),
        (tarred, "d.tar.gz", r"'a/1.png' has 33554432 bytes, too many for an image"),
        (cifar, "d.tar.gz", r"test_batch' has 33554432 bytes, too many"),
        (long_name, "d.tar.gz", r"a name or another note in it has \d+ bytes"),
        (long_note, "d.tar.gz", r"a name or another note in it has \d+ bytes"),
        (folder, "d", r"'a/1.png' has 33554432 bytes, too many for an image"),
        (images, "d.zip", r"more images than this machine's memory holds"),
        (arrays, "d.npz", r"array 'x' has 33554560 bytes, this machine's memory 4194304"),
    ],
)
def test_bombs_are_refused(
    bounded: None, tmp_path: Path, make: Callable[[Path], None], name: str, reason: str
) -> None:
    path = tmp_path / name
    make(path)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=reason):
            load_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < ALLOWED
    finally:
        tracemalloc.stop()


def test_tables_that_are_too_large_are_refused(bounded: None, tmp_path: Path) -> None:
    arrays(tmp_path / "t.npz")
    with pytest.raises(MultiplierError, match="array 'x' has 33554560 bytes"):
        multiplier(f"table:{tmp_path / 't.npz'}#x")


class Harmful:
    def __reduce__(self) -> object:
        return (Path.touch, (Path("harmed"),))


class Endless:
    def __reduce__(self) -> object:
        return (np.ndarray, ((2**62,), "b"))


SHORT = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}


@pytest.mark.parametrize("content", [Harmful(), Endless(), {b"data": 1}, SHORT])
def test_batches_that_are_none(tmp_path: Path, monkeypatch, content: object) -> None:
    """CIFAR-10's batches are pickles: what else one says is not done."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match="test_batch is not a CIFAR-10 batch"):
        load_dataset(tmp_path)
    assert not (tmp_path / "harmed").exists()
