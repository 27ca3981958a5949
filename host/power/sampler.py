# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reading sensors at a steady rate, in a thread of its own."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from axynq.host.power.base import Sensor, SensorError, reading


class Sample(NamedTuple):
    """A reading."""

    time: float
    """Seconds on the monotonic clock, which nobody sets; in the middle of the reading."""
    rail: str
    watts: float


class Sampler:
    """Reads all sensors ``rate`` times a second from ``start()`` to ``stop()``.

    A sensor that gives no reading leaves a gap and is asked again the next time. Readings that come
    late are not made up for: each has the time it was made.
    """

    def __init__(self, sensors: list[Sensor], rate: float) -> None:
        self.sensors = sensors
        self.rate = rate
        self.missed: dict[str, int] = {}
        """Readings each rail did not give."""
        self.reasons: dict[str, str] = {}
        """Why, last."""
        self._samples: list[Sample] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """One reading of each sensor."""
        for sensor in self.sensors:
            before = time.monotonic()
            try:
                watts = reading(sensor)
            except SensorError as error:
                self.missed[sensor.name] = self.missed.get(sensor.name, 0) + 1
                self.reasons[sensor.name] = str(error)
                continue
            sample = Sample((before + time.monotonic()) / 2, sensor.name, watts)
            with self._lock:
                self._samples.append(sample)

    def drain(self) -> list[Sample]:
        """The samples since the last call."""
        with self._lock:
            samples, self._samples = self._samples, []
        return samples

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="power sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.stop()
        for sensor in self.sensors:
            sensor.close()

    def _run(self) -> None:
        period = 1 / self.rate
        due = time.monotonic()
        while not self._stopping.is_set():
            self.take()
            due += period
            now = time.monotonic()
            if due < now:  # late by more than a period: go on from here
                due = now
            self._stopping.wait(due - now)
