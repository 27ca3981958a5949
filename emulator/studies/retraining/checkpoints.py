# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""States of training on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from axynq.emulator import files
from axynq.emulator.errors import DataError


def save_checkpoint(path: Path, identity: str, content: dict[str, Any]) -> None:
    """Write a state, whole or not at all; folders are made.

    Args:
        path: the file.
        identity: what a run must agree in to go on from it.
        content: tensors, numbers and text, in lists and dictionaries.

    Raises:
        DataError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of a path torch takes the stem, which may be empty.
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            torch.save({"identity": identity, **content}, file)
    except (OSError, RuntimeError) as error:
        raise DataError(f"checkpoint '{path}' cannot be written: {error}") from error


def load_checkpoint(path: Path, identity: str, device: torch.device) -> dict[str, Any]:
    """What :func:`save_checkpoint` wrote, its tensors on ``device``.

    Raises:
        DataError: it cannot be read, or is of another run.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        same = content["identity"] == identity
    except OSError as error:
        raise DataError(f"checkpoint '{path}' cannot be read: {error.strerror}") from error
    except Exception as error:  # torch raises many kinds
        raise DataError(
            f"checkpoint '{path}' is empty or damaged. Delete it to start over"
        ) from error
    if not same:
        raise DataError(
            f"checkpoint '{path}' is of another network, plan, recipe or data. Delete it to start "
            "over, or give another place"
        )
    return content
