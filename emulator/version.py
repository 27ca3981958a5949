# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The version of axynq, of the installed package or of the source tree that runs."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

UNKNOWN = "0+unknown"
"""Of sources that were copied without ``pyproject.toml``."""

_LINE = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)


def installed_version() -> str:
    """The version, such as ``0.2.0``."""
    try:
        return metadata.version("axynq")
    except metadata.PackageNotFoundError:
        return source_version(Path(__file__).parents[1])


def source_version(folder: Path) -> str:
    """The version that the source tree in ``folder`` has; :data:`UNKNOWN` where none is said."""
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return UNKNOWN
    found = _LINE.search(text)
    return found[1] if found and 'name = "axynq"' in text else UNKNOWN
