# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Figures as pages have them."""

from __future__ import annotations

SIMULATED = "on the software board, a simulation on a PC: not a measurement of hardware"
"""What is said of power that was measured while the software board ran."""

OTHER = "This is of another network than the report: {}."
"""What is said of what other commands have left of another network."""


def percent(share: float, digits: int = 2) -> str:
    """A share, 0 to 1."""
    return f"{100 * share:.{digits}f} %"


def interval(bounds: tuple[float, float]) -> str:
    """An interval of shares."""
    return f"{percent(bounds[0])} to {percent(bounds[1])}"


def points_of(difference: float) -> str:
    """A difference of shares, in percentage points."""
    return f"{100 * difference + 0.0:.2f}"


def millions(count: float) -> str:
    """A large number."""
    return f"{count / 1e6:.3g} M"


def times(factor: float | None) -> str:
    """A factor; unknown ones too."""
    return "unknown" if factor is None else f"{factor:.3f}"


def plural(count: int, what: str) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """A time, about."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
