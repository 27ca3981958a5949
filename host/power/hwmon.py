# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Rails that the Linux kernel knows: PMBus regulators and current monitors under hwmon.

The kernel's interface (Documentation/hwmon/sysfs-interface) gives power in microwatts, current in
milliamperes and voltage in millivolts, each a small text file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from axynq.emulator import files
from axynq.host.power.base import SensorError
from axynq.host.power.quantities import number

ROOT = Path("/sys/class/hwmon")

UNITS = {"uW": 1e-6, "mW": 1e-3, "W": 1.0}
"""For files that do not keep to the kernel's convention."""


class PowerFile:
    """A file with power in it."""

    def __init__(self, name: str, path: Path, watts: float = UNITS["uW"]) -> None:
        self.name = name
        self._path = path
        self._watts = watts

    def read(self) -> float:
        return _number(self._path) * self._watts

    def close(self) -> None:
        """Nothing is held open: the kernel measures when a file is opened and read."""


class CurrentAndVoltage:
    """A rail without a power file: the product of two others."""

    def __init__(self, name: str, current: Path, voltage: Path) -> None:
        self.name = name
        self._current = current
        self._voltage = voltage

    def read(self) -> float:
        return _number(self._current) * 1e-3 * _number(self._voltage) * 1e-3

    def close(self) -> None:
        """Nothing is held open."""


def open_hwmon(where: str = "") -> list[PowerFile | CurrentAndVoltage]:
    """All rails below ``/sys/class/hwmon``, below a folder laid out like it, or one file.

    Raises:
        SensorError: there is no rail there.
    """
    path, unit = where, ""
    before, colon, behind = where.rpartition(":")
    if colon and "/" not in behind and not os.path.exists(where):  # sysfs has colons in paths
        path, unit = before, behind
    place = Path(path) if path else ROOT
    if files.is_file(place):
        if (unit or "uW") not in UNITS:
            raise SensorError(f"unknown unit '{unit}' of {place}: choose from {', '.join(UNITS)}")
        return [PowerFile(f"{place.parent.name}/{place.name}", place, UNITS[unit or "uW"])]
    if unit:
        raise SensorError(f"'{path}' is no file: a unit is for one file")
    chips = (sorted(place.glob("hwmon*")) or [place]) if files.is_folder(place) else []
    found = [rail for chip in chips for rail in _rails(chip)]
    if not found:
        raise SensorError(
            f"{place} has no power sensor. PYNQ-Z1 and Z2 have none: use an external meter "
            "(serial:PORT, MODULE:FUNCTION, or --meter-csv). Elsewhere the image's device tree "
            "must describe the board's regulators"
        )
    return found


def _rails(chip: Path) -> list[PowerFile | CurrentAndVoltage]:
    """Power files of a chip; currents with a voltage of the same number where there are none."""
    title = _text(chip / "name") or chip.name
    powers = sorted(chip.glob("power*_input")) or sorted(chip.glob("power*_average"))
    if powers:
        return [PowerFile(f"{title} {_label(path)}", path) for path in powers]
    pairs = [
        (current, current.with_name(f"in{_digits(current)}_input"))
        for current in sorted(chip.glob("curr*_input"))
    ]
    return [
        CurrentAndVoltage(f"{title} {_label(current)}", current, voltage)
        for current, voltage in pairs
        if voltage.exists()
    ]


def _label(path: Path) -> str:
    stem = path.name.rpartition("_")[0]
    return _text(path.with_name(f"{stem}_label")) or stem


def _digits(path: Path) -> str:
    found = re.search(r"\d+", path.name)
    return found.group() if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float:
    try:
        text = path.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:  # EAGAIN, ENODATA, EIO: the chip has no reading now
        raise SensorError(f"power sensor {path} gives no reading: {error.strerror}") from error
    try:
        return number(text)
    except ValueError:
        raise SensorError(f"power sensor {path} gives no number, but {text[:40]!r}") from None
