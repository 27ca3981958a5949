# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pages of what a search or a training has left, whether it goes on, has ended, or was killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from axynq.emulator.errors import DataError
from axynq.host.report.fronts import front_section
from axynq.host.report.kept import Front, read_front
from axynq.host.report.live import PAGE, page_beside
from axynq.host.report.page import Page
from axynq.host.report.progress import Search, Training, progress_page, read_record


@dataclass(frozen=True)
class Left:
    """What work has left."""

    place: Path
    record: Search | Training | None
    """What its page of progress says; None: it has none."""
    front: Front | None
    """What a search has written at its end."""

    @property
    def page(self) -> Page:
        """All of it."""
        if self.record is not None:
            return progress_page(self.record, self.front)
        title = f"Front of {self.place.name}"
        return Page(title, [], [front_section(self.front, None, "The front")])


def left_in(place: Path) -> Left:
    """What a folder of ``axynq explore`` or ``axynq match`` holds; of a network that ``axynq
    retrain`` writes or is about to, what is beside it; or what a page of progress tells.

    Raises:
        DataError: there is nothing, or it cannot be read.
    """
    folder = place.parent if place.name == PAGE else place
    if folder.is_dir():
        page, front = folder / PAGE, folder / "front.json"
    else:
        page, front = place if place.name.endswith(f".{PAGE}") else page_beside(place), None
    record = read_record(page) if page.is_file() else None
    found = None
    # While a search goes on, the front in its folder is that of an earlier one.
    if front is not None and front.is_file() and (record is None or record.ended == "finished"):
        found = read_front(folder)
    if record is None and found is None:
        raise DataError(
            f"'{place}' has nothing to view: give a folder of `axynq explore` or `axynq match`, or "
            "the network that `axynq retrain` writes"
        )
    return Left(place, record, found)
