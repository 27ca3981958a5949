"""Waiting for the core's interrupt from any thread, with or without an event loop.

pynq ties its interrupt handling to the event loop that is current when an overlay is loaded; with
``asyncio.run`` that is never the loop in which one waits. Here one loop, in a thread of its own,
handles interrupts for as long as the process lives, and everybody else waits for that thread.
Importing this module imports pynq.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

from pynq.interrupt import Interrupt, _InterruptController
from pynq.uio import UioController


class InterruptWaiter:
    """Waits for one interrupt pin of the overlay that is loaded."""

    _loop: asyncio.AbstractEventLoop | None = None
    _lock = threading.Lock()

    def __init__(self, pin: str) -> None:
        self._pin = pin
        self._interrupt: Any = None

    def arm(self) -> concurrent.futures.Future[None]:
        """Ask for the next interrupt; the future is done when it comes."""
        return asyncio.run_coroutine_threadsafe(self._wait(), self._running_loop())

    async def _wait(self) -> None:
        if self._interrupt is None:
            # Controllers made when the overlay was loaded listen in another loop.
            devices = _InterruptController._uio_devices
            for number, device in list(devices.items()):
                if isinstance(device, UioController):
                    del devices[number]
            _InterruptController._controllers.clear()
            self._interrupt = Interrupt(self._pin)
        await self._interrupt.wait()

    @classmethod
    def _running_loop(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._loop is None:
                loop = asyncio.new_event_loop()
                cls._loop = loop

                def run() -> None:
                    asyncio.set_event_loop(loop)
                    loop.run_forever()

                threading.Thread(target=run, name="interrupts", daemon=True).start()
            return cls._loop
