# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""All errors that a user can cause, one class per kind of input.

They derive from :class:`AxynqError`, so a program can catch them together. The command line prints
any of them as one line.
"""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"``, if a known word is close to the one given, else nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), 1)
    return f" Did you mean '{found[0]}'?" if found else ""


class AxynqError(Exception):
    """An error that the user can correct. The message says what is wrong and what to do.

    Base class of all errors that axynq raises on purpose.
    """


class ModelError(AxynqError):
    """A network's file is damaged, not int8, or uses something that is not supported."""


class MultiplierError(AxynqError):
    """A multiplier specification is malformed, or its table does not fit the operands."""


class PlanError(AxynqError):
    """A plan is malformed or does not fit the model."""


class DataError(AxynqError):
    """A data set cannot be read or does not fit the model's input."""


class OverlayError(AxynqError):
    """An overlay is unknown, its description is invalid, or a program was compiled for another."""


class ProgramError(AxynqError):
    """A compiled program is damaged, or a model does not fit the overlay it is compiled for."""


class DeviceError(AxynqError):
    """A board is missing, refused an access, reported an error, or did not finish in time."""


class ToolError(AxynqError):
    """A tool or an optional package that the request needs is not installed."""
