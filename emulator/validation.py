# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is wrong with a file that pydantic has checked, in a few words."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError


def complaint(error: ValidationError, alternatives: Collection[str] = ()) -> str:
    """One complaint of several, with the place in the file where there is one: ``a.0.b: text``.

    Args:
        error: what pydantic raised.
        alternatives: names of types that an entry may have. Of several complaints about one
            entry, one for each type, the one that lies deepest helps.
    """
    for entry in error.errors():
        if entry["loc"] == ("version",) and entry["type"] == "literal_error":
            # What else is wrong follows from it.
            return (
                f"it has version {entry['input']!r} of its format, this version of axynq reads "
                f"{entry['ctx']['expected']}"
            )
    deepest = max(error.errors(), key=lambda entry: len(entry["loc"]))
    place = ".".join(str(part) for part in deepest["loc"] if part not in alternatives)
    text = deepest["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
