# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Numbers and quantities as meters and spreadsheets write them.

A comma between digits may separate decimals, thousands or fields. Nothing is guessed: what can be
read in two ways is refused until the user says which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Decimal = Literal["point", "comma"]
"""The decimal sign."""

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "k": 1e3}
UNITS = {prefix + unit: factor for unit in "WVA" for prefix, factor in _PREFIXES.items()}
UNITS |= dict.fromkeys(("w", "watt", "watts", "Watt", "Watts"), 1.0)
"""Units of power, voltage and current, in watts, volts and amperes. ``MW`` is none: some meters
write milliwatts so."""

_EXPONENT = r"(?:[eE][-+]?[0-9]+)?"
_NUMBER = re.compile(rf"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+){_EXPONENT}")
_WITH_POINT = re.compile(
    rf"[-+]?(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+|[0-9]*)(?:\.[0-9]*)?{_EXPONENT}"
)
_WITH_COMMA = re.compile(
    rf"[-+]?(?:[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+|[0-9]*)(?:,[0-9]*)?{_EXPONENT}"
)
_LETTERS = r"[A-Za-zµμ°Ω%]+"
_IN_LINE = re.compile(
    r"(?<![\w.,])(?<![0-9][-:/])"  # neither part of a name nor of a date or time
    rf"(?P<number>[-+]?(?:[0-9]|[.,](?=[0-9]))[0-9.,]*{_EXPONENT})"
    r"(?![0-9.,]|[-:/][0-9])"
    rf"(?:(?P<gap>[ \t]*)(?P<unit>{_LETTERS})(?!\w)(?!\s*[\])]?\s*[:=])|(?!\w))"
)
_UNIT_BEFORE = re.compile(rf"(?<![A-Za-z0-9_])({_LETTERS})[\])]?\s*[:=]\s*$")
_OTHER_UNITS = frozenset(
    ("MW", "VA", "var", "VAr", "Wh", "mWh", "kWh", "Ah", "mAh", "J", "mJ", "Hz", "kHz", "MHz", "°C",
     "C", "°F", "F", "K", "%", "s", "ms", "us", "min", "h", "Ohm", "ohm", "Ω", "dB", "dBm", "rpm")
)  # fmt: skip
_NO_READING = re.compile(r"\b(?:nan|inf|infinity|ol|ovld|overload|overflow)\b", re.IGNORECASE)


class Quantity(NamedTuple):
    """A number and what it is of."""

    value: float
    unit: str
    """As it is written; empty where there is none."""


def number(text: str, decimal: Decimal = "point") -> float:
    """The number that a text is; thousands may be in groups of three.

    Raises:
        ValueError: it is none, or not a finite one.
    """
    written = text.strip().replace("\u2212", "-")
    pattern, thousands = (_WITH_POINT, ",") if decimal == "point" else (_WITH_COMMA, ".")
    plain = written.replace(thousands, "").replace(",", ".")
    if not pattern.fullmatch(written) or not _NUMBER.fullmatch(plain):
        raise ValueError(f"'{text}' is not a number with a decimal {decimal}")
    value = float(plain)
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is too large a number")
    return value


def decimal_sign(texts: Iterable[str]) -> Decimal:
    """The decimal sign of numbers that one program wrote.

    Raises:
        ValueError: it cannot be told, or they differ.
    """
    point = comma = doubtful = ""
    for text in texts:
        if "," in text or text.count(".") > 1:
            with_point, with_comma = _reads(text, "point"), _reads(text, "comma")
            if with_point and with_comma:
                doubtful = text
            elif with_point:
                point = text
            elif with_comma:
                comma = text
        elif "." in text and not _reads(text, "comma"):
            point = text
    if point and comma:
        raise ValueError(f"'{comma}' has a decimal comma, '{point}' a decimal point")
    if doubtful and not comma and not point:
        raise ValueError(
            f"'{doubtful}' may be {doubtful.replace(',', '.')} or {doubtful.replace(',', '')}"
        )
    return "comma" if comma else "point"


def split_unit(text: str) -> tuple[str, str]:
    """A number and the unit behind it, both as they are written."""
    found = re.fullmatch(rf"(.*[0-9.,])\s*({_LETTERS})", text.strip())
    return (found[1], found[2]) if found else (text.strip(), "")


def unit_of_name(name: str) -> str:
    """The unit that a column's name ends with, such as ``Power [mW]`` or ``I_mA``; empty if none.

    Raises:
        ValueError: something else is in brackets there.
    """
    name = name.strip()
    bracketed = re.search(r"[\[(]([^\[\]()]*)[\])]$", name)
    if bracketed:
        unit = bracketed[1].strip()
        if unit not in UNITS:
            raise ValueError(f"column '{name}': '{unit}' is not a unit of power, voltage, current")
        return unit
    last = re.split(r"[\s_/,.-]", name)[-1]
    return last if last in UNITS else ""


def kind_of(unit: str) -> str:
    """``W``, ``V`` or ``A``."""
    return unit[-1] if unit[-1] in "VA" else "W"


def quantities(line: str, decimal: Decimal = "point") -> list[Quantity]:
    """What a line of text has of numbers, with units behind or, as in ``P[mW]=``, before them.

    Dates, times, and digits in names do not count.

    Raises:
        ValueError: a number can be read in two ways, or is not finite.
    """
    line = line.replace("\u2212", "-")
    found = []
    for match in _IN_LINE.finditer(line):
        unit = match["unit"] or ""
        if match["gap"] and unit not in UNITS and unit not in _OTHER_UNITS:
            unit = ""  # the next word
        if not unit:
            before = _UNIT_BEFORE.search(line, 0, match.start())
            unit = before[1] if before and before[1] in UNITS.keys() | _OTHER_UNITS else ""
        if unit == "MW":
            raise ValueError(f"'{match.group().strip()}' may be megawatts or milliwatts")
        values = _fields(match["number"], decimal)
        found += [Quantity(value, "") for value in values[:-1]]
        found += [Quantity(value, unit) for value in values[-1:]]
    return found


def power_in(
    line: str, decimal: Decimal = "point", unit: str = "W", place: int = 1
) -> float | None:
    """The power that a line of a meter tells, in watts, or None where it tells none.

    Numbers in watts count before volts times amperes, and these before numbers without a unit.

    Args:
        line: what the meter wrote.
        decimal: its decimal sign.
        unit: of numbers without one.
        place: which one, where there are several.

    Raises:
        ValueError: it can be read in two ways, or says that there is no reading.
    """
    found: dict[str, list[float]] = {"W": [], "V": [], "A": [], "": []}
    for value, written in quantities(line, decimal):
        if written in UNITS:
            found[kind_of(written)].append(value * UNITS[written])
        elif not written:
            found[""].append(value * UNITS[unit])
    products = [volts * amperes for volts, amperes in zip(found["V"], found["A"])]
    powers = found["W"] or products or found[""]
    if len(powers) < place:
        if _NO_READING.search(line):
            raise ValueError(f"it says '{line.strip()}'")
        return None
    return powers[place - 1]


def _reads(text: str, decimal: Decimal) -> bool:
    try:
        number(text, decimal)
    except ValueError:
        return False
    return True


def _fields(text: str, decimal: Decimal) -> list[float]:
    """A number, or several with commas between them; none where it is something else."""
    if decimal == "comma":
        if "." not in text:
            return [number(text, "comma")] if text.count(",") <= 1 else []
        if _reads(text, "point") or _reads(text, "comma"):
            raise ValueError(f"'{text}' has a point, where the decimal sign is a comma")
        return []
    text = text.rstrip(",")
    parts = text.split(",")
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return []
    if len(parts) > 1 and (_reads(text, "point") or _reads(text, "comma")):
        raise ValueError(
            f"'{text}' may be one number or several: if it has a decimal comma, say so"
        )
    return [number(part) for part in parts]
