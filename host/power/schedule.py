# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""In which order contenders run."""

from __future__ import annotations

from typing import NamedTuple


class Slot(NamedTuple):
    """A stretch of time: ``contender`` runs, or nothing does (None)."""

    number: int
    round: int
    contender: str | None


def schedule(contenders: list[str], rounds: int) -> list[Slot]:
    """Idle, then each contender followed by idle, ``rounds`` times; every other round backwards.

    A, B, B, A, ...: over two rounds a steady drift, of temperature or of the supply, adds the same
    to each contender and cancels in differences. Each run has idle on both sides.
    """
    slots = [Slot(0, 0, None)]
    for turn in range(rounds):
        for name in contenders if turn % 2 == 0 else reversed(contenders):
            slots.append(Slot(len(slots), turn, name))
            slots.append(Slot(len(slots), turn, None))
    return slots
