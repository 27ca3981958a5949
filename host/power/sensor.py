"""What a power sensor is, and how the command line names one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from axynq.emulator.errors import DeviceError


class SensorError(DeviceError):
    """A power sensor is absent, or gave no reading."""


class Sensor(Protocol):
    """One rail."""

    name: str
    """Unique among the sensors of an experiment."""

    def read(self) -> float:
        """Power now, in watts.

        Raises:
            SensorError: there is no reading.
        """
        ...

    def close(self) -> None:
        """Let go of files and ports."""
        ...


SPECIFICATIONS = (
    "hwmon, hwmon:FOLDER, hwmon:FILE[:UNIT] (kernel sensors); pynq (rails pynq knows); "
    "serial:PORT[:BAUD] (a meter that writes watts, a line each); MODULE:FUNCTION (returns watts)"
)


def reading(sensor: Sensor) -> float:
    """Power now, in watts.

    Raises:
        SensorError: there is no reading, or it is no number.
    """
    watts = sensor.read()
    if not math.isfinite(watts):
        raise SensorError(f"power sensor '{sensor.name}' gives no number: {watts}")
    return watts


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


def open_sensors(specification: str) -> list[Sensor]:
    """The sensors that a specification names: :data:`SPECIFICATIONS`.

    Raises:
        SensorError: there are none, or the specification is malformed.
        ToolError: a package is missing.
    """
    kind, _, rest = specification.partition(":")
    if kind == "hwmon":
        from axynq.host.power import hwmon

        return list(hwmon.open_hwmon(rest))
    if kind == "pynq" and not rest:
        from axynq.host.power import rails

        return list(rails.open_rails())
    if kind == "serial" and rest:
        from axynq.host.power import meter

        return [meter.SerialMeter(rest)]
    if rest and kind.replace(".", "").isidentifier():
        from axynq.host.power import meter

        return [meter.FunctionMeter(specification)]
    raise SensorError(f"unknown power sensor '{specification}': choose from {SPECIFICATIONS}")


def unique_names(sensors: list[Sensor]) -> list[Sensor]:
    """The same sensors, with numbers behind names that occur more than once."""
    seen: dict[str, int] = {}
    for sensor in sensors:
        seen[sensor.name] = seen.get(sensor.name, 0) + 1
        if seen[sensor.name] > 1:
            sensor.name = f"{sensor.name} {seen[sensor.name]}"
    return sensors
