# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The driver of the accelerator core: a ``pynq.DefaultIP``, the same on board and software board.

Importing this module imports pynq.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

from axynq.emulator.errors import DeviceError
from axynq.host.isa import STATUS_TEXT, Status
from axynq.host.overlay.registers import AP_IDLE, AP_START, VLNV

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pynq's dependencies deprecate each other
    from pynq import DefaultIP

    from axynq.host.runtime.interrupts import InterruptWaiter

CONTROL = 0
"""Offset of the CTRL register, fixed by the handshake's definition."""

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 20e-6, 2e-3
"""Between two looks at the core: a tenth of the time it has taken so far, within these bounds, so
that waiting adds a tenth at most."""

INTERRUPT_CHECK_S = 0.25
"""While waiting for an interrupt, the core is looked at so often, in case the interrupt is lost."""


class AcceleratorDriver(DefaultIP):  # type: ignore[misc]  # pynq has no type hints
    """Starts the core and waits for it."""

    bindto: ClassVar[list[str]] = [VLNV]  # where pynq looks for it

    def __init__(self, description: Any) -> None:
        super().__init__(description)
        self.lost_interrupts = 0
        """Runs that ended without their interrupt."""
        pins = description.get("interrupts", {})
        self._waiter: InterruptWaiter | None = None
        if pins:
            self._waiter = InterruptWaiter(self.device, pins["interrupt"]["fullpath"])
        self._interrupt: concurrent.futures.Future[None] | None = None
        self._starting = threading.Lock()

    def start(
        self, program: Any, arena: Any, images: int, interrupt: bool = False, commands: int = 0
    ) -> None:
        """Start the core on ``images`` images.

        ``program`` and ``arena`` are pynq buffers; what was written to them must be flushed. With
        ``interrupt`` the core raises its interrupt at the end, and waiting waits for that. The
        commands begin behind so many bytes of the program's memory image.

        Raises:
            DeviceError: the core is still at work, or the overlay has no interrupt.
        """
        with self._starting:
            if not self.idle:
                raise DeviceError(f"the core is still at work: {self.diagnosis()}")
            self._set_pointer("commands", program.physical_address + commands)
            self._set_pointer("source", arena.physical_address)
            self._set_pointer("destination", arena.physical_address)
            self.write(self._offset("images"), int(images))
            self._prepare_interrupt(interrupt)
            self.write(CONTROL, AP_START)

    @property
    def idle(self) -> bool:
        """Whether the core has nothing to do."""
        return bool(self.read(CONTROL) & AP_IDLE)

    def wait(self, timeout: float, layers: tuple[str, ...] = ()) -> None:
        """Wait until the core is idle again; for its interrupt where it was started with one.

        Args:
            timeout: seconds without progress after which the core counts as hung. Progress is a
                layer finished, of the batch or of one image.
            layers: names of the program's layers, for the message.

        Raises:
            DeviceError: the core reported an error, or hung.
        """
        for pause in self._looks(timeout, layers):
            interrupt = self._interrupt
            if interrupt is None:
                time.sleep(pause)
            else:
                concurrent.futures.wait([interrupt], INTERRUPT_CHECK_S)
        self._check_status(layers)

    async def wait_async(self, timeout: float, layers: tuple[str, ...] = ()) -> None:
        """:meth:`wait` in a coroutine. Where that is cancelled the core goes on: wait again before
        its memory is written."""
        for pause in self._looks(timeout, layers):
            interrupt = self._interrupt
            if interrupt is None:
                await asyncio.sleep(pause)
            else:
                await asyncio.wait([asyncio.wrap_future(interrupt)], timeout=INTERRUPT_CHECK_S)
        self._check_status(layers)

    def diagnosis(self) -> str:
        """The core's registers, in words."""
        names = ("status", "progress")
        registers = {"CTRL": self.read(CONTROL)}
        registers |= {name: self.read(self._offset(name)) for name in names}
        registers |= {name: self.read(self._offset(name)) for name in ("GIER", "IP_IER", "IP_ISR")}
        return ", ".join(f"{name} = {value:#x}" for name, value in registers.items())

    def _looks(self, timeout: float, layers: tuple[str, ...]) -> Iterator[float]:
        """A look at the core each time; ends when it is idle. Yields how long to pause."""
        started = time.monotonic()
        progress, since = -1, started
        while True:
            interrupt = self._interrupt
            came = interrupt is not None and interrupt.done()
            if self.idle:
                break
            reached = self.read(self._offset("progress"))
            now = time.monotonic()
            if reached != progress:
                progress, since = reached, now
            elif now - since > timeout:
                self._forget_interrupt()
                raise DeviceError(
                    f"the core did not finish: no progress for {timeout:g} s after "
                    f"{_layers_done(reached, layers)} ({self.diagnosis()}). The next "
                    "Accelerator.run loads the overlay again; if it happens again, another process "
                    "may have loaded another bitstream"
                )
            if interrupt is not None and came:  # and yet not idle: not this run's
                self._check_interrupt(interrupt)
                self._prepare_interrupt(True)
            yield min(max((now - started) / 10, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        if interrupt is None:
            return
        if not interrupt.done():
            yield LONGEST_PAUSE_S  # until it comes, or for INTERRUPT_CHECK_S
        self._take_interrupt(interrupt)

    def _prepare_interrupt(self, wanted: bool) -> None:
        self._forget_interrupt()
        if not wanted:
            return
        if self._waiter is None:
            raise DeviceError(
                "the overlay's hand-off (.hwh) connects the core's interrupt to no interrupt "
                "controller that pynq can see: wait by polling"
            )
        self.write(self._offset("GIER"), 1)
        self.write(self._offset("IP_IER"), 1)
        self._acknowledge()
        self._interrupt = self._waiter.arm()

    def _take_interrupt(self, interrupt: concurrent.futures.Future[None]) -> None:
        """The run is over: see whether its interrupt came."""
        if interrupt.done():
            self._check_interrupt(interrupt)
        else:
            self.lost_interrupts += 1
            warnings.warn(
                "the core finished, but its interrupt did not arrive: the interrupt controller or "
                "its UIO device is not set up (axynq doctor)",
                RuntimeWarning,
                stacklevel=4,
            )
        self._forget_interrupt()

    def _check_interrupt(self, interrupt: concurrent.futures.Future[None]) -> None:
        """That pynq could wait for the interrupt that came."""
        if interrupt.cancelled():  # another thread waited for the same run
            return
        error = interrupt.exception()
        if error is not None:
            self._forget_interrupt()
            raise DeviceError(
                f"pynq cannot wait for the interrupt: {error}. Wait by polling"
            ) from error

    def _forget_interrupt(self) -> None:
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            interrupt.cancel()
            self.write(self._offset("GIER"), 0)
            self.write(self._offset("IP_IER"), 0)
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Clear the core's interrupt, which writing a set bit toggles."""
        pending = self.read(self._offset("IP_ISR"))
        if pending:
            self.write(self._offset("IP_ISR"), pending)

    def _check_status(self, layers: tuple[str, ...]) -> None:
        status = self.read(self._offset("status"))
        if status != Status.OK:
            known = status in list(Status)
            reason = STATUS_TEXT[Status(status)] if known else f"unknown status {status}"
            reached = self.read(self._offset("progress"))
            raise DeviceError(f"the core stopped after {_layers_done(reached, layers)}: {reason}")

    def _offset(self, register: str) -> int:
        try:
            return int(self._registers[register]["address_offset"])
        except (KeyError, TypeError) as error:
            raise DeviceError(
                f"the overlay's hand-off (.hwh) has no register '{register}': it was built from "
                "another version of the accelerator"
            ) from error

    def _set_pointer(self, name: str, address: int) -> None:
        self.write(self._offset(f"{name}_1"), address & 0xFFFF_FFFF)
        self.write(self._offset(f"{name}_2"), address >> 32)


def _layers_done(count: int, layers: tuple[str, ...]) -> str:
    if not layers or count > len(layers):
        return f"{count} layers"
    after = f"{count} of {len(layers)} layers"
    return after if count == len(layers) else f"{after}, in '{layers[count]}'"
