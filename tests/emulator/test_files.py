# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files are replaced whole."""

import os
from pathlib import Path

import pytest

from axynq.emulator import files


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_text(path, "one ü")
    files.write_text(path, "two ü")
    assert path.read_text(encoding="utf-8") == "two ü"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_an_error_while_writing_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")

    def write_half() -> None:
        with files.replacing(path) as temporary:
            assert temporary.suffix == ".npz"
            temporary.write_bytes(b"half of the new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        write_half()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_permissions_are_those_of_an_ordinary_file_or_of_the_older_one(tmp_path: Path) -> None:
    ordinary, made, kept = tmp_path / "ordinary", tmp_path / "made", tmp_path / "kept"
    ordinary.write_bytes(b"")
    files.write_bytes(made, b"")
    assert made.stat().st_mode == ordinary.stat().st_mode
    kept.write_bytes(b"")
    kept.chmod(0o640)
    files.write_bytes(kept, b"new")
    assert kept.stat().st_mode & 0o777 == 0o640


def test_links_are_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_devices_are_written_directly() -> None:
    files.write_bytes(os.devnull, b"content")
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes("/dev/full", b"content")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "pointer", "large", "gone"])
def test_what_cannot_be_read_whole(tmp_path: Path, monkeypatch, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3\n")
    elif kind == "large":
        monkeypatch.setattr(files, "LARGEST", 8)
        path.write_bytes(bytes(9))
    reasons = {"pointer": "Git LFS", "large": "too many", "gone": "No such file"}
    with pytest.raises(OSError, match=reasons.get(kind, "it is a ")):
        files.read_text(path)


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ü\r\n".encode())
    assert files.read_text(tmp_path / "a") == "ü\r\n"


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        files.write_bytes(tmp_path / "nowhere" / "a", b"")
