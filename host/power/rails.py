# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Rails that pynq knows (``pynq.get_rails``): it names them where it has a file for the board."""

from __future__ import annotations

import warnings
from typing import Any

from axynq.emulator.errors import ToolError
from axynq.host.power.base import SensorError


class PynqRail:
    """A rail with a power sensor, or with voltage and current."""

    def __init__(self, name: str, rail: Any) -> None:
        self.name = name
        self._rail = rail

    def read(self) -> float:
        try:
            if self._rail.power is not None:
                return float(self._rail.power.value)
            return float(self._rail.voltage.value) * float(self._rail.current.value)
        except (OSError, ValueError, TypeError) as error:
            raise SensorError(f"rail '{self.name}' gives no reading: {error}") from error

    def close(self) -> None:
        """pynq holds what it opened."""


def open_rails() -> list[PynqRail]:
    """All rails whose power can be read.

    Raises:
        ToolError: pynq is not installed.
        SensorError: pynq finds no rail.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that libsensors is missing: said below
            import pynq

            rails = pynq.get_rails()
    except ImportError as error:
        raise ToolError(f"pynq's rails need pynq ({error}): pip install 'axynq[board]'") from error
    found = [
        PynqRail(name, rail)
        for name, rail in sorted(rails.items())
        if rail.power is not None or (rail.voltage is not None and rail.current is not None)
    ]
    if not found:
        raise SensorError(
            "pynq finds no power rail: it needs libsensors.so (apt install libsensors-dev) and a "
            "file of sensors for the board. The sensor 'hwmon' needs neither"
        )
    return found
