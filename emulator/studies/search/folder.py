# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The folder of a search: it is of one network, and its plans are those of its front."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Model
from axynq.emulator.model.segments import fingerprint
from axynq.emulator.studies.search.space import LEVELS

FILE = "network.json"
"""Says which network a folder is of, from the beginning of the search on."""

_POINT = re.compile(rf"(\d{{3,}}-({'|'.join(LEVELS)})|strength-[0-9.e+-]+)(-retrained)?")
"""Names of points, of searches for plans and of noise-based ones."""


def check_network(folder: Path, model: Model) -> None:
    """Make sure that a folder's search is of this network, or that it holds none.

    Folders of version 0.1 are told by the name of the network's file alone.

    Raises:
        DataError: it is of another network, or what says so cannot be read.
    """
    name = other_network(folder, model)
    if name is not None:
        of = f"another network of the name '{name}'" if name == model.name else f"network '{name}'"
        raise DataError(
            f"'{folder}' holds a search of {of}, not of this '{model.name}': give another --output"
        )


def other_network(folder: Path, model: Model) -> str | None:
    """The name of the network that a folder's search is of; None: of this one, or it holds none.

    Raises:
        DataError: what says so cannot be read.
    """
    kept = _kept(folder / FILE)
    if kept is not None:
        same, name = kept.get("fingerprint") == fingerprint(model), str(kept.get("network"))
    else:
        front = _kept(folder / "front.json") or {}
        name = Path(str(front["model"])).stem if "model" in front else model.name
        same = name == model.name
    return None if same else name


def mark_network(folder: Path, model: Model) -> None:
    """Write down which network a folder is of, which is made.

    Raises:
        DataError: it is of another network (:func:`check_network`), or cannot be written.
    """
    check_network(folder, model)
    path = folder / FILE
    content = {"format": "axynq-search", "version": 1, "network": model.name,
               "fingerprint": fingerprint(model)}  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps(content, indent=2) + "\n")
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"'{error.filename}' is not a folder: give another --output") from error
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def remove_other_points(folder: Path, written: Iterable[str]) -> None:
    """Remove plans and networks of points of an earlier front: all but those just written, such as
    ``plans/003-layer.json``. Files that have other names than points stay.

    Raises:
        DataError: one cannot be removed.
    """
    kept = set(written)
    for part, suffix in (("plans", ".json"), ("models", ".tflite")):
        for path in sorted((folder / part).glob(f"*{suffix}")):
            name = path.name.removesuffix(suffix)
            if f"{part}/{path.name}" in kept or not _POINT.fullmatch(name):
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise DataError(f"'{path}' cannot be removed: {error.strerror}") from error


def _kept(path: Path) -> dict[str, object] | None:
    """A JSON object; None where there is no such file."""
    if not files.is_file(path):
        return None
    try:
        content = json.loads(files.read_text(path))
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(
            f"'{path}' says which network the folder is of, and cannot be used ({error}): give "
            "another --output"
        ) from error
    return content
