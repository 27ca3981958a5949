"""The driver of the accelerator core: a ``pynq.DefaultIP``, the same on board and software board.

Importing this module imports pynq.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

from axynq.emulator.errors import DeviceError
from axynq.host.isa import STATUS_TEXT, Status
from axynq.host.registers import AP_IDLE, AP_START

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pynq's dependencies deprecate each other
    from pynq import DefaultIP

CONTROL = 0
"""Offset of the CTRL register, fixed by the handshake's definition."""


class AcceleratorDriver(DefaultIP):  # type: ignore[misc]  # pynq has no type hints
    """Starts the core and waits for it."""

    bindto = ["axynq:hls:accelerator:1.0"]  # noqa: RUF012 - pynq's convention

    def start(self, program: Any, arena: Any, images: int) -> None:
        """Start the core on ``images`` images.

        ``program`` and ``arena`` are pynq buffers; what was written to them must be flushed.
        """
        self._set_pointer("program", program.physical_address)
        self._set_pointer("source", arena.physical_address)
        self._set_pointer("destination", arena.physical_address)
        self.write(self._offset("images"), int(images))
        self.write(CONTROL, AP_START)

    def wait(self, timeout: float, layers: tuple[str, ...] = ()) -> None:
        """Wait until the core is idle again.

        Args:
            timeout: seconds without progress after which the core counts as hung. Progress is a
                layer finished.
            layers: names of the program's layers, for the message.

        Raises:
            DeviceError: the core reported an error, or hung.
        """
        pause = 20e-6
        progress, since = -1, time.monotonic()
        while not self.read(CONTROL) & AP_IDLE:
            now = time.monotonic()
            if now - since > timeout:
                reached = self.read(self._offset("progress"))
                if reached == progress:
                    raise DeviceError(
                        f"the core did not finish: no progress for {timeout:g} s after "
                        f"{_layers_done(reached, layers)} "
                        f"(CTRL = {self.read(CONTROL):#x}). Load the overlay again"
                    )
                progress, since = reached, now
            time.sleep(pause)
            pause = min(2 * pause, 2e-3)
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
