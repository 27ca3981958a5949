# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What an external meter recorded, from a CSV file, lined up with an experiment's slots.

Slots carry the wall clock at their start. A clock that was set between slots does no harm as long
as they do not overlap by it: every reading is placed by the slot it falls into.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from axynq.emulator import files
from axynq.emulator.errors import DataError
from axynq.host.power.log import Record
from axynq.host.power.quantities import (
    UNITS,
    Decimal,
    decimal_sign,
    kind_of,
    number,
    split_unit,
    unit_of_name,
)
from axynq.host.power.sampler import Sample

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
"""By name. A space is used where it is asked for only."""

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}

HEAD = 100
"""Lines in which the column names are looked for."""

STEP_BACK = 1.0
"""Readings out of order by less are sorted; by more seconds the meter's clock was set."""

OVERLAP = 0.1
"""Slots may overlap by so many seconds of the wall clock, which is trimmed all the time."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before that of UTF-16, which is its beginning
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_NO_READING = frozenset(("", "nan", "n/a", "na", "-", "--", "---", "null", "none"))

_NUMERIC = re.compile(r"[-+\u2212]?[0-9.,]+(?:[eE][-+]?[0-9]+)?")

_ISO_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]+([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]+))?"
    r"\s*(Z|[-+][0-9]{2}:?[0-9]{2})?"
)


class Layout(NamedTuple):
    """How the file is written; None where that is to be found out."""

    delimiter: str | None = None
    """A character, or a name in :data:`DELIMITERS`."""
    decimal: Decimal | None = None
    encoding: str | None = None
    """A name that Python knows. Without one: by a byte order mark, else UTF-8."""
    skip: int | None = None
    """Lines before the one with the column names."""
    unit: str | None = None
    """Of the power; without it: as the columns' names say, else watts."""
    time_unit: str | None = None
    """Of times that are numbers; without it: as the column's name says, else seconds."""


class _Header(NamedTuple):
    """Where readings are."""

    first: int
    """The first row of them."""
    places: list[int]
    """Of the columns that are used."""
    names: list[str]
    """What the file calls those."""
    width: int
    """Cells of a row."""


class _Table(NamedTuple):
    """The columns that are used, as text."""

    names: list[str]
    """What the file calls them."""
    lines: list[int]
    """In the file, from 1."""
    columns: list[list[str]]


def read_recording(
    path: Path, time_column: str, power_column: str, layout: Layout | None = None
) -> tuple[list[float], list[float]]:
    """Times (Unix seconds) in order, and watts.

    Args:
        path: a CSV file.
        time_column: Unix time, or ISO 8601 with a time zone.
        power_column: power; ``A*B`` multiplies two columns, such as volts and amperes. Columns are
            named as in the file, or ``#2`` is the second.
        layout: how the file is written.

    Raises:
        DataError: the file cannot be read, lacks a column, holds something else, or something that
            can be read in two ways.
    """
    layout = layout or Layout()
    check_layout(layout)
    text = _decoded(path, layout.encoding)
    try:
        table = _select(text, path, time_column, power_column, layout)
        factor = _factor(table.names[1:], layout.unit)
        times, watts = _read(table, layout, factor)
        return _in_order(table.lines, times, watts)
    except (ValueError, csv.Error) as error:
        raise DataError(f"the meter's record '{path}': {error}") from error


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
        DataError: no reading falls into any slot, or slots overlap by the wall clock.
    """
    slots = sorted(records, key=lambda record: record.wall)
    for before, after in pairwise(slots):
        if before.wall + (before.end - before.start) > after.wall + OVERLAP:
            raise DataError(
                f"by the wall clock slot {before.slot.number} was not over when slot "
                f"{after.slot.number} began: the clock was set meanwhile, and a meter's record "
                "cannot be lined up. Measure again"
            )
    taken: dict[int, list[Sample]] = {}
    places = np.searchsorted([slot.wall for slot in slots], np.add(times, offset), side="right")
    for moment, value, place in zip(times, watts, places.tolist()):
        if place == 0:
            continue
        slot = slots[place - 1]
        since = moment + offset - slot.wall
        if since < slot.end - slot.start:
            taken.setdefault(slot.session, []).append(Sample(slot.start + since, rail, value))
    if not taken:
        raise DataError(
            "the meter's record and the experiment have no time in common: check --meter-offset "
            f"and --meter-time-unit (the record starts at {times[0]:.0f}, the experiment at "
            f"{slots[0].wall if slots else 0:.0f} Unix time)"
        )
    return taken


def check_layout(layout: Layout) -> None:
    """That a layout is one, whatever file it is of.

    Raises:
        DataError: it is none.
    """
    delimiter = layout.delimiter
    if delimiter is not None and (
        len(DELIMITERS.get(delimiter, delimiter)) != 1 or delimiter in '\r\n"'
    ):
        raise DataError(
            f"a delimiter is one character or one of {', '.join(DELIMITERS)}, not '{delimiter}'"
        )
    if layout.unit is not None and (layout.unit not in UNITS or kind_of(layout.unit) != "W"):
        raise DataError(f"the meter's unit is one of W, mW, uW, kW, not '{layout.unit}'")
    if layout.time_unit not in (None, *TIME_UNITS):
        raise DataError(
            f"the unit of times is one of {', '.join(TIME_UNITS)}, not '{layout.time_unit}'"
        )
    try:
        "".encode(layout.encoding or "utf-8")
    except (LookupError, ValueError):
        raise DataError(
            f"'{layout.encoding}' is no encoding of text: one is latin-1 or utf-16-le, say"
        ) from None


def _decoded(path: Path, encoding: str | None) -> str:
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise DataError(f"the meter's record '{path}' cannot be read: {error.strerror}") from error
    found = "utf-8"
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            found = name
            break
    try:
        text = content.decode(encoding or found)
    except UnicodeError as error:
        raise DataError(
            f"the meter's record '{path}' is not text in {encoding or found}: {error}. "
            "--meter-encoding names another, such as latin-1 or utf-16-le"
        ) from error
    if "\0" in text:
        raise DataError(
            f"the meter's record '{path}' is no text, or its encoding is another: "
            "--meter-encoding names it, such as utf-16-le"
        )
    return text


def _select(text: str, path: Path, time_column: str, power_column: str, layout: Layout) -> _Table:
    """The columns that are asked for, all rows."""
    lines = list(io.StringIO(text, newline=""))[layout.skip or 0 :]
    if layout.delimiter is not None:
        delimiters = [DELIMITERS.get(layout.delimiter, layout.delimiter)]
    else:
        delimiters = [sign for sign in DELIMITERS.values() if sign != " "]
    choices = ([time_column, power_column], [time_column, *power_column.split("*")])
    found: dict[str, _Header] = {}
    for sign in delimiters:
        head = list(islice(_rows(lines[:HEAD], sign), 1 if layout.skip is not None else None))
        for wanted in choices:
            header = _header(head, [name.strip() for name in wanted])
            if header is not None:
                found.setdefault(sign, header)
    if not found:
        names = max((row for sign in delimiters for _, row in _rows(lines[:1], sign)), key=len,
                    default=[])  # fmt: skip
        missing = [n for n in choices[1] if n.strip() not in names] or choices[1]
        raise ValueError(
            f"it has no column '{missing[0].strip()}'; it has {', '.join(names) or 'nothing'}. "
            "--meter-time and --meter-power name columns, or #2 is the second one"
        )
    if len(found) > 1:
        raise ValueError("what delimits its columns cannot be told: --meter-delimiter names it")
    ((sign, header),) = found.items()
    return _columns(_rows(lines, sign)[header.first :], header, layout.skip or 0)


def _rows(lines: list[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, with the numbers of their lines."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    rows = []
    for row in reader:
        cells = [cell.strip() for cell in row]
        if delimiter == " ":
            cells = [cell for cell in cells if cell]
        if any(cells):
            rows.append((reader.line_num, cells))
    return rows


def _header(head: list[tuple[int, list[str]]], wanted: list[str]) -> _Header | None:
    """None where a column is missing."""
    numbered = [re.fullmatch("#([1-9][0-9]{0,3})", name) for name in wanted]
    if all(numbered):
        places = [int(match[1]) - 1 for match in numbered if match]
        for first, (_, row) in enumerate(head):
            if max(places) < len(row) and all(_is_reading(row[place]) for place in places):
                above = head[first - 1][1] if first else []
                names = above if len(above) == len(row) else [""] * len(row)
                return _Header(first, places, [names[place] for place in places], len(row))
        return None
    for first, (_, row) in enumerate(head):
        places = []
        for name, match in zip(wanted, numbered):
            if match and int(match[1]) <= len(row):
                places.append(int(match[1]) - 1)
            elif row.count(name) == 1:
                places.append(row.index(name))
            elif name in row:
                raise ValueError(f"it has several columns '{name}': #2 is the second column, say")
        if len(places) == len(wanted):
            width = max(n + 1 for n, name in enumerate(row) if name)
            return _Header(first + 1, places, [row[place] for place in places], width)
    return None


def _is_reading(cell: str) -> bool:
    return bool(_NUMERIC.fullmatch(split_unit(cell)[0]) or _ISO_TIME.match(cell))


def _columns(rows: list[tuple[int, list[str]]], header: _Header, skipped: int) -> _Table:
    table = _Table(header.names, [], [[] for _ in header.places])
    for count, (line, row) in enumerate(rows, 1):
        while len(row) > header.width and not row[-1]:
            row.pop()
        if [row[place] for place in header.places if place < len(row)] == header.names:
            continue  # a logger that was started again
        if len(row) < header.width and count == len(rows):
            continue  # cut short
        if len(row) != header.width:
            raise ValueError(
                f"line {line + skipped} has {len(row)} columns, not {header.width}. Decimal commas "
                "need quotes, or another delimiter"
            )
        table.lines.append(line + skipped)
        for column, place in zip(table.columns, header.places):
            column.append(row[place])
    return table


def _factor(names: list[str], unit: str | None) -> float:
    """Watts for a 1 in the power column, or in both of the columns that are multiplied."""
    if unit is not None:
        return UNITS[unit]
    try:
        units = [unit_of_name(name) for name in names]
    except ValueError as error:
        raise ValueError(f"{error}: --meter-unit says what it is in") from None
    kinds = "".join(sorted(kind_of(unit) for unit in units if unit))
    allowed = ("", "W") if len(names) == 1 else ("", "A", "V", "AV")
    if kinds not in allowed:
        raise ValueError(
            f"{' times '.join(names)} is no power by its units: 'V*A' multiplies columns, or "
            "--meter-unit says what it is in"
        )
    return math.prod(UNITS[unit] for unit in units if unit)


def _read(table: _Table, layout: Layout, factor: float) -> tuple[list[float], list[float]]:
    """Times and watts of all rows with a reading."""
    moments, *factors = table.columns
    numeric = [cell for cell in moments if _NUMERIC.fullmatch(cell)]
    try:
        time_sign = decimal_sign(numeric)
    except ValueError:
        if layout.decimal is None:
            raise
        time_sign = layout.decimal
    time_unit = TIME_UNITS[layout.time_unit or _time_unit(table.names[0])]
    split = [[split_unit(cell) for cell in column] for column in factors]
    cells = [text for column in split for text, _ in column if text.lower() not in _NO_READING]
    try:
        sign = layout.decimal or decimal_sign(cells)
    except ValueError as error:
        raise ValueError(f"{error}: --meter-decimal says whether point or comma") from None
    times, watts = [], []
    for place, (line, moment) in enumerate(zip(table.lines, moments)):
        parts = [column[place] for column in split]
        if any(text.lower() in _NO_READING for text, _ in parts):
            continue  # a gap
        try:
            times.append(_seconds(moment, time_sign, time_unit))
            watts.append(_power(parts, sign, factor))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
    if len(times) < 2:
        raise ValueError(f"it holds {len(times)} readings")
    return times, watts


def _power(parts: list[tuple[str, str]], sign: Decimal, factor: float) -> float:
    """Watts; units in the cells count before those of the columns."""
    if not any(unit for _, unit in parts):
        power = factor * math.prod(number(text, sign) for text, _ in parts)
    else:
        if not all(unit in UNITS for _, unit in parts):
            raise ValueError(f"'{' '.join(parts[0])}' is no power, voltage or current")
        kinds = "".join(sorted(kind_of(unit) for _, unit in parts))
        if kinds not in ("W", "AV"):
            raise ValueError(f"'{' '.join(parts[0])}' is no power: 'V*A' multiplies columns")
        power = math.prod(number(text, sign) * UNITS[unit] for text, unit in parts)
    if not math.isfinite(power):
        raise ValueError("the power is too large a number")
    return power


def _time_unit(name: str) -> str:
    """What the name of a column of times ends with, such as ``t_ms`` or ``time [us]``."""
    last = re.split(r"[\s_/,.(\[-]", name.rstrip(" )]"))[-1]
    return last if last in TIME_UNITS else "s"


def _seconds(text: str, sign: Decimal, unit: float) -> float:
    if _NUMERIC.fullmatch(text):
        return number(text, sign) * unit
    match = _ISO_TIME.fullmatch(text)
    if not match:
        raise ValueError(f"time '{text}' is neither a number nor like 2024-05-01T12:00:00Z")
    day, clock, fraction, zone = match.groups()
    if zone is None:
        raise ValueError(f"time '{text}' has no time zone")
    zone = "+00:00" if zone == "Z" else f"{zone[:3]}:{zone[-2:]}"
    return datetime.fromisoformat(f"{day}T{clock}{zone}").timestamp() + float(f"0.{fraction or 0}")


def _in_order(
    lines: list[int], times: list[float], watts: list[float]
) -> tuple[list[float], list[float]]:
    """Sorted by time."""
    steps = np.diff(times)
    if len(steps) and (steps <= 0).all():  # the newest first
        return times[::-1], watts[::-1]
    back = int(steps.argmin())
    if steps[back] < -STEP_BACK:
        raise ValueError(
            f"time goes back by {-steps[back]:.6g} s, to {times[back + 1]:.3f}: the meter's clock "
            "was set, or begins anew. Keep the part that belongs to the experiment"
        )
    order = np.argsort(times, kind="stable").tolist()
    return [times[k] for k in order], [watts[k] for k in order]
