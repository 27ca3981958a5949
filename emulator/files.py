# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files are replaced whole: a full disk or a crash never costs what was there before. What is read
whole is a file, and not of any size: devices and pipes have no end."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGEST = 2**31 - 1
"""Bytes of the largest file that is read whole: what a TFLite file can have."""


LARGEST_MEMBER = 2**28
"""Bytes of the largest image, or batch of them, in a folder or an archive. A small archive can
claim, and hold, much larger ones."""


LFS_POINTER = b"version https://git-lfs"
"""How a file begins that Git LFS has not fetched."""


def is_file(path: str | Path) -> bool:
    """Whether there is a file. No, too, where that cannot be found out, because the name is too
    long for any or a folder may not be entered: ``Path.is_file`` raises ``OSError`` there."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """As :func:`is_file`, of a folder."""
    return os.path.isdir(path)


def check_readable(path: str | Path) -> None:
    """Raises:
    OSError: there is no such file, Git LFS has not fetched it, or it is something that may have no
        end, such as ``/dev/zero`` or a pipe.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))
    with Path(path).open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            reason = (
                "it is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`, or "
                "download it from its repository's page"
            )
            raise OSError(errno.EINVAL, reason, str(path))


def read_bytes(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: as :func:`check_readable`, or it is larger than :data:`LARGEST`.
    """
    check_readable(path)
    size = os.stat(path).st_size
    if size > LARGEST:
        raise OSError(errno.EFBIG, f"it has {size} bytes, too many for such a file", str(path))
    return Path(path).read_bytes()


def read_text(path: str | Path) -> str:
    """The content of a file in UTF-8.

    Raises:
        OSError: as :func:`read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path).decode("utf-8")


def memory() -> int:
    """Bytes of this machine's memory; where that cannot be found out, as if there was no end."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize


def check_writable(path: str | Path, makes_folder: bool = False) -> None:
    """Whether :func:`replacing` can write a file, found out before the work whose result it gets.

    Args:
        path: the file; it need not be there.
        makes_folder: its folder is made if need be.

    Raises:
        OSError: it is a folder, there is no folder for it, or the folder is read-only.
    """
    target = Path(os.path.realpath(path))
    if is_folder(target):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if os.path.exists(target) and not is_file(target):
        return  # a device or a pipe is written directly
    if not makes_folder and not os.path.exists(target.parent):
        reason = f"there is no folder '{Path(path).parent}'"
        raise FileNotFoundError(errno.ENOENT, reason, str(path))
    check_folder_writable(target.parent)


def check_folder_writable(path: str | Path) -> None:
    """Whether files can be written into a folder, which is made with those above it if need be.

    Raises:
        OSError: something else than a folder has its name, or is above it; it is read-only, or
            cannot be made in the one above it.
    """
    folder = Path(os.path.realpath(path))
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    if not is_folder(folder):
        raise NotADirectoryError(errno.ENOTDIR, f"'{folder}' is not a folder", str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"the folder '{folder}' is read-only", str(path))


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """The path of a temporary file beside ``path``, with its suffix, that takes its place at the
    end of the block. After an error the temporary file is removed and ``path`` is as it was.

    Links are followed, and the permissions of an older file are kept. What is no regular file
    (``/dev/stdout``, a pipe) is written directly.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode):
        yield target
        return
    name = f".{target.stem[:64]}-{secrets.token_hex(4)}{target.suffix}"
    temporary = target.with_name(name)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # some file systems report a full disk only now
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replace the file with ``content``.

    Raises:
        OSError: it cannot be written; an older file is as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Replace the file with ``text`` in UTF-8.

    Raises:
        OSError: it cannot be written; an older file is as it was.
    """
    write_bytes(path, text.encode("utf-8"))


def _mode(path: Path) -> int | None:
    """The file's mode, or None where there is none."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
