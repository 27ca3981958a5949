# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a command writes is looked at before it works: it replaces nothing that the command reads,
and it can be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.errors import DataError

WRITTEN = frozenset({"output", "pictures", "roofline", "checkpoint", "checkpoints", "work"})
"""Names of the parameters that say what is written: a file or a folder, as their metavar says."""

ELSEWHERE = frozenset({"folder"})
"""Names of parameters that are paths on another machine."""

MAKES_ITS_FOLDER = frozenset({"checkpoint"})
"""Files whose folder is made if need be; others must lie in a folder that there is."""


def check_written(params: Iterable[Any], values: Mapping[str, Any]) -> None:
    """Check a command's parameters, with their values by name, before it works.

    Raises:
        DataError: a file or folder to write is one that the command reads or writes otherwise, or
            it cannot be written.
    """
    given = [p for p in params if values.get(p.name) is not None]
    written = [p for p in given if p.name in WRITTEN]
    read = [p for p in given if p.name not in WRITTEN | ELSEWHERE]
    for number, param in enumerate(written):
        path = values[param.name]
        for other in read:
            if any(_same(path, place) for place in _places(other, values[other.name])):
                raise DataError(
                    f"'{path}' is read by this command ({_shown(other)}): give another "
                    f"{_shown(param)}"
                )
        for other in written[:number]:
            both_folders = param.metavar == other.metavar == "FOLDER"  # which may share one
            if not both_folders and _same(path, values[other.name]):
                raise DataError(
                    f"'{path}' is written by this command twice ({_shown(other)}): give another "
                    f"{_shown(param)}"
                )
    for param in written:
        path = values[param.name]
        try:
            if param.metavar == "FOLDER":
                files.check_folder_writable(path)
            else:
                files.check_writable(path, makes_folder=param.name in MAKES_ITS_FOLDER)
        except OSError as error:
            raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def _shown(param: Any) -> str:
    """The parameter as users know it: an option's long name, an argument's metavar."""
    return str(param.metavar if param.param_type_name == "argument" else param.opts[0])


def _places(param: Any, value: Any) -> Iterator[Path]:
    """Files and folders that a parameter names."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        # Texts without a suffix are names, such as an overlay's, even where a file is called so
        # too; but a plan's file may have any name.
        named = isinstance(one, str) and (Path(one).suffix or "plan" in param.name)
        if isinstance(one, Path) or (named and files.is_file(one)):
            yield Path(one)


def _same(path: Path, other: Path) -> bool:
    """Whether two paths are one file or folder, which need not be there. Devices may be shared."""
    if files.is_file(path) or files.is_folder(path):
        try:
            return os.path.samefile(path, other)
        except OSError:  # there is no such file
            return False
    return not os.path.exists(path) and os.path.realpath(path) == os.path.realpath(other)
