# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""All kinds of power sensors, and how the command line names one."""

from __future__ import annotations

from collections.abc import Callable

from axynq.host.power.base import Sensor, SensorError, reading
from axynq.host.power.hwmon import open_hwmon
from axynq.host.power.meter import FunctionMeter, SerialMeter, serial_line
from axynq.host.power.rails import open_rails

__all__ = [
    "SPECIFICATIONS",
    "Sensor",
    "SensorError",
    "check_specification",
    "open_sensors",
    "readable",
    "reading",
    "unique_names",
]

SPECIFICATIONS = (
    "hwmon, hwmon:FOLDER, hwmon:FILE[:UNIT] (kernel sensors); pynq (rails pynq knows); "
    "serial:PORT[:BAUD] (a meter that writes watts, a line each); MODULE:FUNCTION (returns watts)"
)


def readable(sensors: list[Sensor], say: Callable[[str], None] = lambda _: None) -> list[Sensor]:
    """Those of a group that give a reading; of the others, which are closed, ``say`` is told.

    Raises:
        SensorError: none does, or the only one does not.
    """
    found, reasons = [], []
    for sensor in sensors:
        try:
            reading(sensor)
            found.append(sensor)
        except SensorError as error:
            reasons.append((sensor, str(error)))
    if not found:
        raise SensorError("; ".join(reason for _, reason in reasons))
    for sensor, reason in reasons:
        sensor.close()
        say(f"going on without rail '{sensor.name}': {reason}")
    return found


def check_specification(specification: str) -> None:
    """That a specification is well formed, whatever is there.

    Raises:
        SensorError: it is not.
    """
    kind, _, rest = specification.partition(":")
    if kind == "serial" and rest:
        serial_line(rest)
    elif kind not in ("hwmon", "pynq") and not (rest and kind.replace(".", "").isidentifier()):
        raise SensorError(f"unknown power sensor '{specification}': choose from {SPECIFICATIONS}")


def open_sensors(specification: str) -> list[Sensor]:
    """The sensors that a specification names: :data:`SPECIFICATIONS`.

    Raises:
        SensorError: there are none, or the specification is malformed.
        ToolError: a package is missing.
    """
    check_specification(specification)
    kind, _, rest = specification.partition(":")
    if kind == "hwmon":
        return list(open_hwmon(rest))
    if kind == "pynq" and not rest:
        return list(open_rails())
    if kind == "serial":
        return [SerialMeter(rest)]
    return [FunctionMeter(specification)]


def unique_names(sensors: list[Sensor]) -> list[Sensor]:
    """The same sensors, with numbers behind names that occur more than once."""
    seen: dict[str, int] = {}
    for sensor in sensors:
        seen[sensor.name] = seen.get(sensor.name, 0) + 1
        if seen[sensor.name] > 1:
            sensor.name = f"{sensor.name} {seen[sensor.name]}"
    return sensors
