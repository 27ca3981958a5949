# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Meters outside the board: a serial line, or a Python function of the user's."""

from __future__ import annotations

import importlib
import re
import sys
import threading
import time
from typing import Any, NamedTuple

from axynq.emulator.errors import ToolError
from axynq.host.power.base import SensorError
from axynq.host.power.quantities import UNITS, Decimal, kind_of, power_in

SILENCE_S = 2.0
"""A serial meter that says nothing for so long gives no reading."""

LONGEST_LINE = 4096

SERIAL_OPTIONS = "behind the baud rate, :comma is a decimal comma, :mW a unit, :#2 a place"


class SerialLine(NamedTuple):
    """How a serial meter is named: ``PORT[:BAUD]``, with options behind."""

    port: str
    baud: int
    decimal: Decimal
    unit: str
    """Of numbers without one."""
    place: int
    """Which power of a line, from 1."""


def serial_line(where: str) -> SerialLine:
    """What a serial meter's name says.

    Raises:
        SensorError: its unit is of no power.
    """
    decimal: Decimal = "point"
    unit, place = "W", 1
    port, colon, last = where.rpartition(":")
    while colon and (last == "comma" or last in UNITS or re.fullmatch("#[1-9][0-9]?", last)):
        if last == "comma":
            decimal = "comma"
        elif last.startswith("#"):
            place = int(last[1:])
        elif kind_of(last) == "W":
            unit = last
        else:
            raise SensorError(f"a meter that writes '{last}' writes no power: '{where}'")
        where = port
        port, colon, last = where.rpartition(":")
    has_baud = bool(port) and re.fullmatch("[0-9]{1,9}", last) is not None
    if where.startswith(("socket://", "rfc2217://")):  # HOST:PORT, or HOST:PORT:BAUD
        has_baud = has_baud and port.rpartition(":")[2].isdecimal()
    port, baud = (port, int(last)) if has_baud else (where, 115200)
    return SerialLine(port, baud, decimal, unit, place)


class SerialMeter:
    """A meter that writes a line with watts as often as it likes; :func:`power_in` reads it.

    ``where`` is anything pyserial opens (``/dev/ttyUSB0``, ``COM3``, a URL), with ``:BAUD`` behind,
    and behind that ``:comma`` (the decimal sign), ``:mW`` (the unit of numbers without one) or
    ``:#2`` (the second power of a line). The first line is left out: its beginning may be missing.

    Raises:
        ToolError: pyserial is not installed.
        SensorError: the port cannot be opened.
    """

    def __init__(self, where: str) -> None:
        try:
            import serial
        except ImportError as error:
            raise ToolError("serial meters need pyserial: pip install 'axynq[serial]'") from error
        port, baud, self._decimal, self._unit, self._place = serial_line(where)
        self.name = f"meter on {port}"
        try:
            self._port: Any = serial.serial_for_url(port, baud, timeout=0.2)
        except Exception as error:  # pyserial raises what the platform raises
            raise SensorError(f"serial port '{port}' cannot be opened: {error}") from error
        self._latest: tuple[float, float | str] | None = None
        """When the last line came, and its watts or why there are none."""
        self._other: str | None = None
        """A line without a power."""
        self._began: float | None = None
        """When the first whole line began."""
        self._error: str | None = None
        self._closing = threading.Event()
        # The line is read as it comes, so that a reading is never older than the last line.
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        pending = b""
        whole = False
        while not self._closing.is_set():
            try:
                pending += self._port.read(max(1, self._port.in_waiting))
            except Exception as error:  # pyserial raises what the platform raises
                self._error = str(error)
                return
            *lines, pending = re.split(rb"[\r\n]", pending)
            for line in lines:
                if whole:
                    self._take(line)
                else:
                    whole, self._began = True, time.monotonic()
            if len(pending) > LONGEST_LINE:
                self._other, pending, whole = "no line at all: is the baud rate right?", b"", False

    def _take(self, line: bytes) -> None:
        line = line.strip(b"\0 \t")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode("latin-1")  # in which many meters write µ
        if not text:
            return
        if not text.replace("\t", " ").isprintable():
            self._other = repr(text)
            return
        try:
            watts = power_in(text, self._decimal, self._unit, self._place)
        except ValueError as error:
            self._latest = time.monotonic(), str(error)
            return
        if watts is None:
            self._other = repr(text)
        else:
            self._latest = time.monotonic(), watts

    def read(self) -> float:
        started = time.monotonic()
        while self._latest is None and self._error is None:
            if time.monotonic() - max(started, self._began or started) > SILENCE_S:
                break
            time.sleep(0.01)
        latest = self._latest
        if self._error is not None:
            raise SensorError(f"{self.name} is gone: {self._error}")
        if latest is None or time.monotonic() - latest[0] > SILENCE_S:
            if self._other is not None:
                raise SensorError(
                    f"{self.name} has told no power for {SILENCE_S:g} s, but {self._other[:80]}"
                )
            raise SensorError(f"{self.name} has said nothing for {SILENCE_S:g} s")
        if isinstance(latest[1], str):
            raise SensorError(f"{self.name} cannot be read: {latest[1]} ({SERIAL_OPTIONS})")
        return latest[1]

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
        except Exception as error:  # whatever the user's module raises
            raise SensorError(f"power sensor '{specification}' is no function: {error}") from error

    def read(self) -> float:
        try:
            return float(self._function())
        except Exception as error:  # the user's code
            raise SensorError(f"power sensor '{self.name}' failed: {error}") from error

    def close(self) -> None:
        """The function is the user's."""
