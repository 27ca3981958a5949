# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Descriptions in TOML, with the errors of overlays."""

from __future__ import annotations

from typing import Any

from axynq.emulator import toml
from axynq.emulator.errors import OverlayError


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The tables of a TOML text; ``name`` is used in the error.

    Raises:
        OverlayError: the text is not TOML.
    """
    try:
        return toml.tables(text)
    except ValueError as error:
        raise OverlayError(f"'{name}' is not valid TOML: {error}") from error
