"""What an external meter recorded, from a CSV file, lined up with an experiment's slots.

Slots carry the wall clock at their start. A clock that was set between slots does no harm: every
reading is placed by the slot it falls into.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from axynq.emulator.errors import DataError
from axynq.host.power.log import Record
from axynq.host.power.sampler import Sample


def read_recording(
    path: Path, time_column: str, power_column: str
) -> tuple[list[float], list[float]]:
    """Times (Unix seconds) and watts.

    Args:
        path: a CSV file with a row of column names.
        time_column: Unix seconds, or ISO 8601 with a time zone.
        power_column: watts; ``A*B`` multiplies two columns, such as volts and amperes.

    Raises:
        DataError: the file cannot be read, lacks a column, or holds something else.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the meter's record '{path}' cannot be read: {error}") from error
    factors = power_column.split("*")
    times, watts = [], []
    for number, row in enumerate(rows, 2):
        try:
            times.append(_seconds(row[time_column]))
            watts.append(float(np.prod([float(row[factor.strip()]) for factor in factors])))
        except KeyError as error:
            raise DataError(
                f"the meter's record '{path}' has no column {error}; it has {', '.join(row)}"
            ) from error
        except (TypeError, ValueError) as error:
            raise DataError(f"'{path}', line {number}: {error}") from error
    if len(times) < 2:
        raise DataError(f"the meter's record '{path}' holds {len(times)} readings")
    return times, watts


def line_up(
    times: Sequence[float],
    watts: Sequence[float],
    records: Sequence[Record],
    offset: float,
    rail: str,
) -> dict[int, list[Sample]]:
    """Readings as samples, by session.

    Args:
        times: Unix seconds on the meter's clock.
        watts: as many.
        records: the experiment's slots.
        offset: the board's clock minus the meter's, in seconds.
        rail: what to call the meter.

    Raises:
        DataError: no reading falls into any slot.
    """
    taken: dict[int, list[Sample]] = {}
    for moment, value in zip(times, watts):
        for record in records:
            since = moment + offset - record.wall
            if 0 <= since < record.end - record.start:
                sample = Sample(record.start + since, rail, value)
                taken.setdefault(record.session, []).append(sample)
                break
    if not taken:
        raise DataError(
            "the meter's record and the experiment have no time in common: check --meter-offset "
            f"(the record starts at {times[0]:.0f}, the experiment at "
            f"{records[0].wall if records else 0:.0f} Unix time)"
        )
    return taken


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise ValueError(f"time '{text}' has no time zone") from None
        return moment.timestamp()
