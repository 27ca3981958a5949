"""TOML, on Python 3.10 too."""

from __future__ import annotations

import sys
from typing import Any

from axynq.emulator.errors import OverlayError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The tables of a TOML text; ``name`` is used in the error.

    Raises:
        OverlayError: the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OverlayError(f"'{name}' is not valid TOML: {error}") from error
