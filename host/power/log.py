# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What an experiment keeps on disk: settings, one row a slot, one row a sample.

A slot is written when it is over, with its samples before it, so that a slot in the file is
complete and an experiment can go on where it stopped.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.host.power.sampler import Sample
from axynq.host.power.schedule import Slot

SLOT_COLUMNS = ("slot", "round", "contender", "session", "start", "end", "wall", "inferences")
SAMPLE_COLUMNS = ("session", "time", "rail", "watts")


class Record(NamedTuple):
    """A slot that has been."""

    slot: Slot
    session: int
    """Times are comparable within a session only: a reboot starts the monotonic clock anew."""
    start: float
    end: float
    wall: float
    """Unix time at ``start``, by which an external meter's record is lined up."""
    inferences: int


_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error)
"""What reading a folder ends in that holds something else."""


class Log:
    """The folder of an experiment.

    Raises:
        DataError: it cannot be written, holds something else, or another experiment.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.samples: dict[int, list[Sample]] = {}
        """By session."""
        self._slots = folder / "slots.csv"
        self._samples = folder / "samples.csv"
        description = folder / "experiment.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if description.exists():
                self._compare(json.loads(description.read_text(encoding="utf-8")), settings)
                self._read()
            else:
                files.write_text(description, json.dumps(settings, indent=1) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error
        except _NONSENSE as error:
            raise DataError(f"'{folder}' does not hold an experiment of axynq: {error}") from error
        self.session = max((record.session for record in self.records), default=-1) + 1

    def append(self, record: Record, samples: Iterable[Sample]) -> None:
        """Keep a slot and its samples.

        Raises:
            DataError: they cannot be written; they are still in memory.
        """
        kept = list(samples)
        self.samples.setdefault(record.session, []).extend(kept)
        self.records.append(record)
        try:
            _append(
                self._samples,
                SAMPLE_COLUMNS,
                [(record.session, repr(s.time), s.rail, repr(s.watts)) for s in kept],
            )
            slot = record.slot
            row = (slot.number, slot.round, slot.contender or "", record.session,
                   repr(record.start), repr(record.end), repr(record.wall),
                   record.inferences)  # fmt: skip
            _append(self._slots, SLOT_COLUMNS, [row])
        except OSError as error:
            raise self._unwritable(error) from error

    def _compare(self, held: dict[str, Any], settings: dict[str, Any]) -> None:
        for key in sorted(held.keys() | settings.keys()):
            if held.get(key) != settings.get(key):
                raise DataError(
                    f"'{self.folder}' holds an experiment with another setting of {key}: "
                    f"{held.get(key)!r}, not {settings.get(key)!r}. Choose another folder to "
                    "start anew, or the same options to resume"
                )

    def _read(self) -> None:
        for row in _rows(self._slots):
            slot = Slot(int(row["slot"]), int(row["round"]), row["contender"] or None)
            start, end, wall = (float(row[key]) for key in ("start", "end", "wall"))
            session, inferences = int(row["session"]), int(row["inferences"])
            self.records.append(Record(slot, session, start, end, wall, inferences))
        for row in _rows(self._samples):
            sample = Sample(float(row["time"]), row["rail"], float(row["watts"]))
            self.samples.setdefault(int(row["session"]), []).append(sample)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"the experiment's folder '{self.folder}' cannot be written: {error.strerror}. What "
            "was written before is whole; make room and rerun the command to resume"
        )


def _append(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Append rows, all or none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with open(path, "ab", buffering=0) as file:
        before = file.tell()
        if before == 0:
            writer.writerow(columns)
        writer.writerows(rows)
        content = memoryview(text.getvalue().encode())
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            if path.is_file():
                os.truncate(path, before)
            raise


def _rows(path: Path) -> list[dict[str, str]]:
    """All rows; one that was cut short, by a power failure say, is removed."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return list(csv.DictReader(io.StringIO(whole.decode())))
