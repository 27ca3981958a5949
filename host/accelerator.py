"""What users call: an accelerator that runs compiled programs."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DeviceError, OverlayError, ToolError
from axynq.host.devices.hardware import board_present, open_board
from axynq.host.overlay import Overlay
from axynq.host.program import Program

ARENA_BYTES = 16 << 20
"""Feature maps of one start take at most this much of the board's contiguous memory."""


class Accelerator:
    """An overlay loaded on a device.

    >>> with Accelerator("z2-mixed16", device="software") as accelerator:
    ...     output = accelerator.run(program, images)

    Args:
        overlay: its name, or an :class:`Overlay`.
        device: ``auto`` is the PYNQ board this runs on; ``software`` is the C simulation behind
            pynq, anywhere.
        timeout: seconds without progress after which the core counts as hung.

    Raises:
        OverlayError: there is no such overlay.
        DeviceError: there is no board, or no bitstream for it.
        ToolError: pynq, or something the software board is built with, is not installed.
    """

    def __init__(
        self,
        overlay: Overlay | str,
        device: Literal["auto", "software"] = "auto",
        timeout: float | None = None,
    ) -> None:
        self.overlay = Overlay.load(overlay) if isinstance(overlay, str) else overlay
        if device not in ("auto", "software"):
            raise DeviceError(f"unknown device '{device}': choose auto or software")
        software = device == "software"
        if not software and not board_present():
            open_board(self.overlay)  # raises, with the reason
        try:
            from axynq.host import driver  # noqa: F401 - registers the driver with pynq
        except ImportError as error:
            raise ToolError(
                f"running programs needs pynq ({error}): pip install axynq[software], on a board "
                "axynq[board]"
            ) from error
        if software:
            from axynq.host.devices.software import open_software_board

            self._device, self._loaded = open_software_board(self.overlay)
        else:
            self._device, self._loaded = open_board(self.overlay)
        # A simulated layer can take long; a real one takes milliseconds.
        self.timeout = timeout if timeout is not None else (600.0 if software else 5.0)
        self._driver = self._loaded.accelerator_0
        self._buffers: dict[str, Any] = {}
        self._program: Program | None = None

    @property
    def device(self) -> Any:
        """The ``pynq.Device``."""
        return self._device

    def run(self, program: Program, x: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """The network's int8 output [images, ...] for a batch of any size.

        ``x`` is int8 [images, *input shape] in the network's input quantisation, or floats, which
        are quantised.

        Raises:
            OverlayError: the program was compiled for another overlay.
            DataError: ``x`` has another shape or type.
            DeviceError: the core reported an error or did not finish.
        """
        if program.overlay_hash != self.overlay.hash:
            raise OverlayError(
                f"the program was compiled for overlay '{program.overlay}' "
                f"({program.overlay_hash[:8]}), but '{self.overlay.name}' "
                f"({self.overlay.hash[:8]}) is loaded: compile it again for this one"
            )
        packed = program.pack_input(x)
        self._load(program)
        image_bytes = program.arena_words * program.word_bytes
        size = max(1, min(len(packed), ARENA_BYTES // image_bytes))
        outputs = [
            self._run_batch(program, packed[start : start + size])
            for start in range(0, len(packed), size)
        ]
        width = program.output.image_words * program.word_bytes
        raw = np.concatenate(outputs) if outputs else np.zeros((0, width), np.int8)
        return program.unpack_output(raw)

    def _load(self, program: Program) -> None:
        """Put the program into the board's memory, unless it is there."""
        if self._program is program:
            return
        memory = self._buffer("program", len(program.memory))
        memory[: len(program.memory)] = program.memory.view(np.int8)
        memory.flush()
        self._program = program

    def _run_batch(self, program: Program, packed: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        images, word = len(packed), program.word_bytes
        arena = self._buffer("arena", images * program.arena_words * word)
        source, target = program.input, program.output
        start = images * source.offset * word
        inputs = arena[start : start + packed.size]
        inputs[:] = packed.reshape(-1)
        inputs.flush()
        self._driver.start(self._buffers["program"], arena, images)
        self._driver.wait(self.timeout, program.layers)
        start = images * target.offset * word
        outputs = arena[start : start + images * target.image_words * word]
        outputs.invalidate()
        return np.array(outputs).reshape(images, -1)

    def _buffer(self, name: str, size: int) -> Any:
        """A buffer of at least ``size`` bytes, kept for later calls."""
        held = self._buffers.get(name)
        if held is None or held.size < size:
            import pynq

            if held is not None:
                self._buffers.pop(name).freebuffer()
            self._buffers[name] = pynq.allocate((size,), np.int8, target=self._device, cacheable=1)
        return self._buffers[name]

    def close(self) -> None:
        """Free the board's memory."""
        for name in list(self._buffers):
            self._buffers.pop(name).freebuffer()
        self._program = None

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
