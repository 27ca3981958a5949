# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What every power sensor is."""

from __future__ import annotations

import math
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


def reading(sensor: Sensor) -> float:
    """Power now, in watts.

    Raises:
        SensorError: there is no reading, or it is no number.
    """
    watts = sensor.read()
    if not math.isfinite(watts):
        raise SensorError(f"power sensor '{sensor.name}' gives no number: {watts}")
    return watts
