# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""TOML, on Python 3.10 too: whatever is wrong with a text, the reader hears it in one way."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEEPEST = 100
"""Tables inside each other. tomllib takes hours for a key of a hundred thousand parts."""


def tables(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: it is no TOML, or nested too deeply.
    """
    if any(line.partition("=")[0].count(".") > DEEPEST for line in text.splitlines()):
        raise ValueError("it is nested too deeply")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
