"""What users call: an accelerator that runs compiled programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DeviceError, OverlayError, ToolError
from axynq.host.devices.hardware import LoadGuard, board_present, open_board
from axynq.host.overlay import Overlay
from axynq.host.program import Program

ARENA_BYTES = 16 << 20
"""Feature maps of one start take at most this much of the board's contiguous memory."""

START_IMAGES = 64
"""Images of one start at most: while the accelerator works on them the host packs the next ones."""


class _Start(NamedTuple):
    """Images that the accelerator has been started on."""

    arena: Any
    images: int


class Accelerator:
    """An overlay loaded on a device.

    >>> with Accelerator("z2-mixed16", device="software") as accelerator:
    ...     output = accelerator.run(program, images)

    Args:
        overlay: its name, or an :class:`Overlay`.
        device: ``auto`` is the PYNQ board this runs on; ``software`` is the C simulation behind
            pynq, anywhere.
        timeout: seconds without progress after which the core counts as hung.
        wait: how to wait for the core: by ``polling`` it, or for its ``interrupt``, which leaves
            the processor free.

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
        wait: Literal["polling", "interrupt"] = "polling",
    ) -> None:
        self.overlay = Overlay.load(overlay) if isinstance(overlay, str) else overlay
        if device not in ("auto", "software"):
            raise DeviceError(f"unknown device '{device}': choose auto or software")
        if wait not in ("polling", "interrupt"):
            raise DeviceError(f"unknown way to wait '{wait}': choose polling or interrupt")
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
        self.wait: Literal["polling", "interrupt"] = wait
        self._driver = self._loaded.accelerator_0
        self._guard = LoadGuard(self._loaded)
        self._buffers: dict[str, Any] = {}
        self._program: Program | None = None

    @property
    def device(self) -> Any:
        """The ``pynq.Device``."""
        return self._device

    @property
    def driver(self) -> Any:
        """The core's :class:`~axynq.host.driver.AcceleratorDriver`."""
        return self._driver

    def run(
        self,
        program: Program,
        x: npt.ArrayLike,
        advance: Callable[[int], None] = lambda _: None,
    ) -> npt.NDArray[np.int8]:
        """The network's int8 output [images, ...] for a batch of any size.

        ``x`` is int8 [images, *input shape] in the network's input quantisation, or floats, which
        are quantised. Large batches are streamed: while the accelerator works on some images the
        host packs the next ones and unpacks the last ones. ``advance`` is called with the number of
        images that are done, each time some are.

        Raises:
            OverlayError: the program was compiled for another overlay.
            DataError: ``x`` has another shape or type.
            DeviceError: the core reported an error or did not finish, the board's memory is
                exhausted, or another process has loaded another bitstream.
        """
        if program.overlay_hash != self.overlay.hash:
            raise OverlayError(
                f"the program was compiled for overlay '{program.overlay}' "
                f"({program.overlay_hash[:8]}), but '{self.overlay.name}' "
                f"({self.overlay.hash[:8]}) is loaded: compile it again for this one"
            )
        batch = program.input.tensor.batch(x)
        self._guard.check()
        self._load(program)
        arenas = self._arenas(program, len(batch))
        size = min(arena.size for arena in arenas) // (program.arena_words * program.word_bytes)
        outputs = [program.unpack_output(self._no_output(program))]
        running: _Start | None = None
        for number, place in enumerate(range(0, len(batch), size)):
            # Packed while the core works on the images before, in the other arena.
            packed = program.pack_input(batch[place : place + size])
            arena = arenas[number % len(arenas)]
            if len(arenas) == 1 and running is not None:
                outputs.append(self._finish(program, running))
                advance(running.images)
                running = None
            self._fill(program, arena, packed)
            if running is not None:
                self._driver.wait(self.timeout, program.layers)
            self._start(arena, len(packed))
            if running is not None:
                outputs.append(self._collect(program, running))
                advance(running.images)
            running = _Start(arena, len(packed))
        if running is not None:
            outputs.append(self._finish(program, running))
            advance(running.images)
        return np.concatenate(outputs)

    async def run_async(self, program: Program, x: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """:meth:`run` in a coroutine: the event loop goes on meanwhile."""
        import asyncio  # takes long, and who calls this has it

        return await asyncio.to_thread(self.run, program, x)

    def _load(self, program: Program) -> None:
        """Put the program into the board's memory, unless it is there."""
        if self._program is program:
            return
        self._program = None
        memory = self._buffer("program", len(program.memory))
        memory[: len(program.memory)] = program.memory.view(np.int8)
        memory.flush()
        self._program = program

    def _arenas(self, program: Program, images: int) -> list[Any]:
        """Two buffers for feature maps, or one where one start takes all images; with less where
        the board's memory is short."""
        image_bytes = program.arena_words * program.word_bytes
        size = max(1, min(images, START_IMAGES, ARENA_BYTES // image_bytes))
        while True:
            names = ["arena 0", "arena 1"] if images > size else ["arena 0"]
            try:
                arenas = [self._buffer(name, size * image_bytes) for name in names]
                return [arena[: size * image_bytes] for arena in arenas]
            except DeviceError:
                if size == 1:
                    raise
                for name in names:
                    self._free(name)
                size = (size + 1) // 2

    def _fill(self, program: Program, arena: Any, packed: npt.NDArray[np.int8]) -> None:
        start = len(packed) * program.input.offset * program.word_bytes
        inputs = arena[start : start + packed.size]
        inputs[:] = packed.reshape(-1)
        inputs.flush()

    def _start(self, arena: Any, images: int) -> None:
        self._driver.start(self._buffers["program"], arena, images, self.wait == "interrupt")

    def _finish(self, program: Program, running: _Start) -> npt.NDArray[np.int8]:
        self._driver.wait(self.timeout, program.layers)
        return self._collect(program, running)

    def _collect(self, program: Program, running: _Start) -> npt.NDArray[np.int8]:
        """The output that the core left in an arena."""
        target, word = program.output, program.word_bytes
        start = running.images * target.offset * word
        outputs = running.arena[start : start + running.images * target.image_words * word]
        outputs.invalidate()
        return program.unpack_output(np.array(outputs).reshape(running.images, -1))

    def _no_output(self, program: Program) -> npt.NDArray[np.int8]:
        return np.zeros((0, program.output.image_words * program.word_bytes), np.int8)

    def _buffer(self, name: str, size: int) -> Any:
        """A buffer of at least ``size`` bytes, kept for later calls.

        Raises:
            DeviceError: the board's contiguous memory is exhausted.
        """
        held = self._buffers.get(name)
        if held is None or held.size < size:
            import pynq

            self._free(name)
            try:
                self._buffers[name] = pynq.allocate(
                    (size,), np.int8, target=self._device, cacheable=1
                )
            except (MemoryError, RuntimeError, OSError) as error:
                raise DeviceError(
                    f"the board's contiguous memory has no {size} bytes left ({error}): free "
                    "buffers of other programs and notebooks, or give the kernel a larger cma="
                ) from error
        return self._buffers[name]

    def _free(self, name: str) -> None:
        buffer = self._buffers.pop(name, None)
        if buffer is not None:
            buffer.freebuffer()

    def close(self) -> None:
        """Free the board's memory; a core that is still at work is waited for, or reset by loading
        the overlay again, so that it cannot write to memory that is somebody else's."""
        if self._buffers and not self._stopped():
            self._loaded.download()
        for name in list(self._buffers):
            self._free(name)
        self._program = None

    def _stopped(self) -> bool:
        if self._driver.idle:
            return True
        try:
            self._driver.wait(min(self.timeout, 5.0))
        except DeviceError:
            return bool(self._driver.idle)
        return True

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
