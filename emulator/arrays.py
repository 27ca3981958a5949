# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reading numpy's files: whatever is wrong with one, the reader hears it in one way."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator import files

_DAMAGE = (
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    SyntaxError,
    RuntimeError,  # also zip methods that do not exist
    MemoryError,  # a header that claims a huge shape
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise for damaged files."""


@contextmanager
def open_arrays(path: str | Path) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """The arrays of a ``.npz`` file by their names, read when they are asked for; the one of a
    ``.npy`` file is called ``""``. They are to be asked for inside the block.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or something else, or an array asked for is missing.
    """
    files.check_readable(path)
    try:
        _check_sizes(path)
        loaded = np.load(Path(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            yield {"": loaded}
        else:
            with loaded:
                yield loaded
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"damaged, or not what it should be: {reason}") from error


def _check_sizes(path: str | Path) -> None:
    """Raises:
    ValueError: an array needs more memory than there is. A small file can hold such a one.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > files.memory():
                raise ValueError(
                    f"array '{member.filename.removesuffix('.npy')}' has {member.file_size} bytes, "
                    f"this machine's memory {files.memory()}"
                )
