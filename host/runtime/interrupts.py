# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Waiting for the core's interrupt from any thread, with or without an event loop.

pynq ties its interrupt handling to the event loop that is current when an overlay is loaded; with
``asyncio.run`` that is never the loop in which one waits. Here one loop, in a thread of its own,
handles interrupts for as long as the process lives, and everybody else waits for that thread.
Importing this module imports pynq.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from typing import Any, NamedTuple

from pynq.interrupt import Interrupt, _InterruptController
from pynq.uio import UioController

from axynq.host.runtime import sharing


class _Made(NamedTuple):
    """An interrupt of a device, as long as its overlay is not loaded again."""

    pin: str
    timestamp: Any
    """When the overlay was loaded."""
    interrupt: Any
    controller: Any
    """Which the interrupt does not keep alive itself."""


class InterruptWaiter:
    """Waits for one interrupt pin of the overlay that is loaded on a device."""

    _loop: asyncio.AbstractEventLoop | None = None
    _process = 0
    _lock = threading.Lock()

    def __init__(self, device: Any, pin: str) -> None:
        self._device = device
        self._pin = pin

    def arm(self) -> concurrent.futures.Future[None]:
        """Ask for the next interrupt; the future is done when it comes."""
        return asyncio.run_coroutine_threadsafe(self._wait(), self._running_loop())

    async def _wait(self) -> None:
        await self._interrupt().wait()

    def _interrupt(self) -> Any:
        """pynq's interrupt, made anew where the overlay was loaded since: that disables all."""
        timestamp = getattr(self._device, "timestamp", None)
        # Kept with the device: all accelerators of a board share its interrupt.
        made: _Made | None = getattr(self._device, "_axynq_interrupt", None)
        if made is None or (made.pin, made.timestamp) != (self._pin, timestamp):
            with sharing.pynq_lock:
                sharing.activate(self._device)
                # Controllers made when the overlay was loaded listen in another loop.
                devices = _InterruptController._uio_devices
                for number, device in list(devices.items()):
                    if isinstance(device, UioController):
                        del devices[number]
                connect = getattr(self._device, "connect_interrupts", None)
                if connect is not None:
                    connect()
                _InterruptController._controllers.clear()
                interrupt = Interrupt(self._pin)
            made = _Made(self._pin, timestamp, interrupt, interrupt.parent())
            self._device._axynq_interrupt = made
        return made.interrupt

    @classmethod
    def _running_loop(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._loop is None or cls._process != os.getpid():  # a fork has no threads
                loop = asyncio.new_event_loop()

                def run() -> None:
                    asyncio.set_event_loop(loop)
                    loop.run_forever()

                threading.Thread(target=run, name="interrupts", daemon=True).start()
                cls._loop, cls._process = loop, os.getpid()
            return cls._loop
