"""Meters outside the board: a serial line, or a Python function of the user's."""

from __future__ import annotations

import importlib
import re
import sys
import threading
import time
from typing import Any

from axynq.emulator.errors import ToolError
from axynq.host.power.sensor import SensorError

SILENCE_S = 2.0
"""A serial meter that says nothing for so long gives no reading."""

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


class SerialMeter:
    """A meter that writes a line with watts as often as it likes; the first number counts.

    ``where`` is anything pyserial opens (``/dev/ttyUSB0``, ``COM3``, a URL), with ``:BAUD`` behind.

    Raises:
        ToolError: pyserial is not installed.
        SensorError: the port cannot be opened.
    """

    def __init__(self, where: str) -> None:
        try:
            import serial
        except ImportError as error:
            raise ToolError("serial meters need pyserial: pip install axynq[serial]") from error
        port, _, baud = where.rpartition(":")
        if not port or not baud.isdecimal():
            port, baud = where, "115200"
        self.name = f"meter on {port}"
        try:
            self._port: Any = serial.serial_for_url(port, int(baud), timeout=0.2)
        except (serial.SerialException, ValueError, OSError) as error:
            raise SensorError(f"serial port '{port}' cannot be opened: {error}") from error
        self._latest: tuple[float, float] | None = None
        self._error: str | None = None
        self._closing = threading.Event()
        # The line is read as it comes, so that a reading is never older than the last line.
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                line = self._port.readline()
            except Exception as error:  # pyserial raises what the platform raises
                self._error = str(error)
                return
            found = _NUMBER.search(line) if line.endswith(b"\n") else None
            if found:
                self._latest = time.monotonic(), float(found.group())

    def read(self) -> float:
        started = time.monotonic()
        while self._latest is None and self._error is None:
            if time.monotonic() - started > SILENCE_S:
                break
            time.sleep(0.01)
        if self._error is not None:
            raise SensorError(f"{self.name} is gone: {self._error}")
        if self._latest is None or time.monotonic() - self._latest[0] > SILENCE_S:
            raise SensorError(f"{self.name} has said nothing for {SILENCE_S:g} s")
        return self._latest[1]

    def close(self) -> None:
        self._closing.set()
        self._reader.join(1.0)
        self._port.close()


class FunctionMeter:
    """A function ``MODULE:FUNCTION`` that takes nothing and returns watts.

    Raises:
        SensorError: there is no such function.
    """

    def __init__(self, specification: str) -> None:
        self.name = specification
        module, _, name = specification.partition(":")
        if "" not in sys.path:
            sys.path.insert(0, "")  # a module beside which the command is run
        try:
            self._function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise SensorError(f"power sensor '{specification}' is no function: {error}") from error

    def read(self) -> float:
        try:
            return float(self._function())
        except Exception as error:  # the user's code
            raise SensorError(f"power sensor '{self.name}' failed: {error}") from error

    def close(self) -> None:
        """The function is the user's."""
