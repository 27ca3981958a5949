# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The accelerator as users see it: opens a device and runs compiled programs on it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from axynq.emulator.errors import DeviceError, OverlayError, ToolError
from axynq.emulator.model.batch import Batch, Given, batch_of
from axynq.host.overlay import Overlay
from axynq.host.runtime import sharing
from axynq.host.runtime.execution import Execution
from axynq.host.runtime.hardware import (
    LoadGuard,
    board_present,
    how_to_install_pynq,
    open_board,
)
from axynq.host.runtime.host_operators import HostOperators
from axynq.host.runtime.program import CoreStage, Int8, Program

ARENA_BYTES = 16 << 20
"""Feature maps of one start take at most this much of the board's contiguous memory."""

START_IMAGES = 64
"""Images of one start at most: while the accelerator works on them the host packs the next ones."""


CLOSE_S = 5.0
"""Seconds without progress after which closing does not wait for the core any longer."""

_CLOSED = "the accelerator is closed: open it again"


class _Chunk(NamedTuple):
    """Images on their way through the program."""

    number: int
    execution: Execution
    steps: Iterator[CoreStage]
    arena: _Arena


class _Request(NamedTuple):
    """Images for which the core is to be started, or works."""

    chunk: _Chunk
    stage: CoreStage


class _StoppedError(Exception):
    """Nobody waits for the outputs any more."""


class Accelerator:
    """An overlay loaded on a device, ready to run programs.

    Use it as a context manager, or call :meth:`close`. Calls from several threads, coroutines,
    accelerators and processes on one board take turns. A call that ends early, by Ctrl-C or any
    other exception, leaves the accelerator usable: the next call lets the core finish first.

    Args:
        overlay: an overlay, its name, or the path of its ``.toml`` description.
        device: ``"auto"`` is the PYNQ board that this runs on. ``"software"`` is the software
            board, a C simulation of the accelerator behind pynq, which runs anywhere.
        timeout: seconds without progress after which the core counts as hung; None: 5 on a board,
            600 on the software board.
        wait: ``"polling"`` polls the core for its end. ``"interrupt"`` waits for its interrupt,
            which leaves the processor free.

    Raises:
        OverlayError: there is no such overlay.
        DeviceError: there is no board, or no bitstream for it, or an argument is not valid.
        ToolError: pynq, or something needed to build the software board, is not installed.

    Examples:
        >>> with Accelerator("z2-mixed16", device="software") as accelerator:
        ...     output = accelerator.run(program, images)
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
        self._software = software = device == "software"
        if not software and not board_present():
            open_board(self.overlay)  # raises, with the reason
        try:
            from axynq.host.runtime import driver  # noqa: F401 - registers the driver with pynq
        except ImportError as error:
            raise ToolError(
                f"running programs needs pynq ({error}): {how_to_install_pynq()}"
            ) from error
        if software:
            from axynq.host.software_board.device import open_software_board

            self._device, self._loaded = open_software_board(self.overlay)
        else:
            self._device, self._loaded = open_board(self.overlay)
        # A simulated layer can take long; a real one takes milliseconds.
        self.timeout = timeout if timeout is not None else (600.0 if software else 5.0)
        self.wait: Literal["polling", "interrupt"] = wait
        self._driver = self._loaded.accelerator_0
        self._guard = LoadGuard(self._loaded)
        self._turn = sharing.turn_of(self._device)
        self._process = os.getpid()
        self._closed = False
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "accelerator")
        """For coroutines; the thread starts when it is needed."""
        self._buffers: dict[str, Any] = {}
        self._program: Program | None = None
        self._host: tuple[Program, HostOperators] | None = None
        self._incoherent = False
        """Whether a call ended between writing and flushing, or while it read back: what the
        processor's cache still holds could come over what the core writes later."""

    @property
    def device(self) -> Any:
        """The ``pynq.Device`` that the overlay is loaded on."""
        return self._device

    @property
    def driver(self) -> Any:
        """The core's driver, an :class:`~axynq.host.runtime.driver.AcceleratorDriver`."""
        return self._driver

    def run(
        self,
        program: Program,
        x: Given,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Any:
        """Run a program on a batch of any size.

        Large batches are streamed: while the accelerator works on some images, the host packs,
        computes and unpacks others.

        Args:
            program: compiled for this overlay.
            x: a batch ``[images, *input shape]``: int8 in the network's input quantisation, floats,
                which are quantised first, or uint8 if the network's file takes uint8. For several
                inputs, a list of batches in the network's order, or a dictionary of them by name.
            advance: called with a number of images, each time that many more are finished.

        Returns:
            The network's int8 output ``[images, *output shape]``; for several outputs a tuple in
                the network's order.

        Raises:
            OverlayError: the program was compiled for another overlay.
            DataError: ``x`` has a wrong shape or type, or lacks an input.
            DeviceError: the core reported an error or did not finish, the board's memory is
                exhausted, another process has loaded another bitstream, the accelerator is closed,
                or ``advance`` calls ``run``.
        """
        return self._run(program, x, advance, threading.Event())

    async def run_async(
        self,
        program: Program,
        x: Given,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Any:
        """:meth:`run` as a coroutine, which does not block the event loop.

        Arguments, result and errors are those of :meth:`run`; ``advance`` is called in another
        thread. If the coroutine is cancelled, nothing more is started. The core finishes what it is
        working on, and the next call waits for that.
        """
        self._check_usable()
        stop = threading.Event()
        try:
            call = self._thread.submit(self._run, program, x, advance, stop)
        except RuntimeError as error:  # closed meanwhile
            raise DeviceError(_CLOSED) from error
        try:
            return await asyncio.wrap_future(call)
        finally:
            stop.set()

    def _run(
        self,
        program: Program,
        x: Given,
        advance: Callable[[int], None],
        stop: threading.Event,
    ) -> Any:
        """:meth:`run`; no start follows once ``stop`` is set."""
        self._check_usable()
        if program.overlay_hash != self.overlay.hash:
            raise OverlayError(
                f"the program was compiled for overlay '{program.overlay}' "
                f"({program.overlay_hash[:8]}), but '{self.overlay.name}' "
                f"({self.overlay.hash[:8]}) is loaded: compile it again for this one"
            )
        batch = batch_of(program.network, x)

        def stream() -> tuple[Int8, ...]:
            if self._closed:
                raise DeviceError(_CLOSED)
            if stop.is_set():
                raise _StoppedError
            self._guard.check()
            self._settle(self.timeout)
            self._load(program)
            return self._stream(program, batch, advance, stop)

        outputs = self._turn.take(stream)
        return outputs if len(outputs) > 1 else outputs[0]

    def _stream(
        self,
        program: Program,
        batch: Batch,
        advance: Callable[[int], None],
        stop: threading.Event,
    ) -> tuple[Int8, ...]:
        """The outputs, of as many images at a time as the arenas hold. Where there are two arenas,
        the host works on the images of one while the core works on those of the other."""
        arenas = self._arenas(program, len(batch))
        size = arenas[0].size // (program.arena_words * program.word_bytes)
        starts = iter(range(0, len(batch), size))
        host = self._host_operators(program)
        done: dict[int, tuple[Int8, ...]] = {}
        waiting: deque[_Request] = deque()
        running: _Request | None = None

        def go_on(chunk: _Chunk) -> None:
            """The host's part, up to the next start of the core."""
            stage = next(chunk.steps, None)
            if stage is not None:
                waiting.append(_Request(chunk, stage))
                return
            done[chunk.number] = chunk.execution.outputs
            arenas.append(chunk.arena.buffer)
            advance(chunk.execution.images)

        def started() -> _Request | None:
            """The next start of the core, if one waits."""
            if not waiting:
                return None
            if stop.is_set():
                raise _StoppedError
            request = waiting.popleft()
            self._start(program, request)
            return request

        while True:
            running = running or started()
            start = next(starts, None) if arenas else None
            if start is not None:
                arena = _Arena(self, arenas.pop())
                images = batch[start : start + size]
                execution = Execution(program, host, images.arrays, arena)
                go_on(_Chunk(start, execution, execution.steps(), arena))
            elif running is not None:
                finished = running
                self._wait(program, finished.stage)
                running = started()
                go_on(finished.chunk)
            else:
                break
        outputs = [done[number] for number in sorted(done)]
        return tuple(
            np.concatenate([np.zeros((0, *tensor.shape), np.int8), *(y[n] for y in outputs)])
            for n, tensor in enumerate(program.outputs)
        )

    def _host_operators(self, program: Program) -> HostOperators:
        """What computes the program's host operators; kept for later calls."""
        if self._host is None or self._host[0] is not program:
            self._host = program, HostOperators(program)
        return self._host[1]

    # --- the core --------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._process != os.getpid():
            raise DeviceError(
                "the accelerator was opened by the process that this one was forked from: open one "
                "in this process"
            )
        if self._closed:
            raise DeviceError(_CLOSED)
        self._turn.check()

    def _settle(self, timeout: float) -> None:
        """Let the core finish what an earlier call left behind, or reset it: memory must not be
        written while it works there. Errors of that start are not this call's.

        Raises:
            DeviceError: the core is at work on something else, which does not end.
        """
        turn = self._turn
        if not turn.hung and not self._idle():
            try:
                self._driver.wait(timeout)
            except DeviceError:
                if not self._idle():
                    if not turn.unfinished:
                        raise DeviceError(
                            f"the core is still at work: {self._driver.diagnosis()}; another "
                            "process may have started it. Open the accelerator again"
                        ) from None
                    turn.hung = True
        if turn.hung:
            sharing.load_again(self._device, self._loaded)
        turn.unfinished = turn.hung = False
        if self._incoherent:
            for buffer in self._buffers.values():
                buffer.flush()
            self._incoherent = False

    def _idle(self) -> bool:
        try:
            return bool(self._driver.idle)
        except DeviceError:  # the software board tells an error once
            return bool(self._driver.idle)

    def _start(self, program: Program, request: _Request) -> None:
        self._turn.unfinished = True
        arena = request.chunk.arena
        arena.shared = True
        self._driver.start(
            self._buffers["program"],
            arena.buffer,
            request.chunk.execution.images,
            self.wait == "interrupt",
            request.stage.commands,
        )

    def _wait(self, program: Program, stage: CoreStage) -> None:
        try:
            self._driver.wait(self.timeout, program.layers_of(stage))
        except DeviceError:
            self._turn.hung = not self._idle()
            raise
        self._turn.unfinished = False

    # --- memory ----------------------------------------------------------------------------------

    def _load(self, program: Program) -> None:
        """Put the program into the board's memory, unless it is there."""
        if self._program is program:
            return
        self._program = None
        try:
            memory = self._buffer("program", len(program.memory))
        except DeviceError:
            self._free_arenas()  # of programs before
            memory = self._buffer("program", len(program.memory))
        self._write(memory[: len(program.memory)], program.memory.view(np.int8))
        self._program = program

    def _arenas(self, program: Program, images: int) -> list[Any]:
        """Two buffers for feature maps, or one where one start takes all images; with less where
        the board's memory is short, and one for an image at a time where there is no room for two.
        """
        image_bytes = program.arena_words * program.word_bytes
        held = max(image_bytes, program.host_bytes)
        size = max(1, min(images, START_IMAGES, ARENA_BYTES // held))
        names = ["arena 0", "arena 1"]
        while True:
            if images <= size:
                names = ["arena 0"]
            try:
                arenas = [self._buffer(name, size * image_bytes) for name in names]
                return [arena[: size * image_bytes] for arena in arenas]
            except DeviceError:
                if size == 1 and len(names) == 1:
                    raise
                self._free_arenas()
                if size == 1:
                    names = ["arena 0"]
                size = (size + 1) // 2

    def _write(self, target: Any, content: Int8) -> None:
        self._incoherent = True
        target[:] = content
        target.flush()
        self._incoherent = False

    def _read(self, source: Any) -> Int8:
        """What the core left there."""
        self._refresh(source)
        return np.array(source)

    def _refresh(self, part: Any) -> None:
        """Have the processor see what the core wrote."""
        self._incoherent = True
        part.invalidate()
        self._incoherent = False

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

    def _free_arenas(self) -> None:
        for name in ("arena 0", "arena 1"):
            self._free(name)

    def _free(self, name: str) -> None:
        buffer = self._buffers.pop(name, None)
        if buffer is not None:
            buffer.freebuffer()

    def close(self) -> None:
        """Free the board's memory, once earlier calls have returned.

        If the core is still working, this waits for it, or resets it by loading the overlay again,
        so that it cannot write to memory that now belongs to others. Calling it again does nothing.

        Raises:
            DeviceError: called from within ``advance``.
        """
        if self._closed or self._process != os.getpid():
            return
        self._turn.take(self._release)
        self._thread.shutdown(wait=False)

    def _release(self) -> None:
        if self._turn.unfinished:
            self._settle(min(self.timeout, CLOSE_S))
        for name in list(self._buffers):
            self._free(name)
        self._program = self._host = None
        self._closed = True
        if self._software:  # a board of this accelerator's own
            self._device.close()

    def __enter__(self) -> Accelerator:
        self._check_usable()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Arena:
    """A buffer for feature maps, as an execution sees it."""

    def __init__(self, accelerator: Accelerator, buffer: Any) -> None:
        self.buffer = buffer
        self.shared = False
        """Whether the core has written there."""
        self._accelerator = accelerator

    def write(self, start: int, values: Int8) -> None:
        part = self.buffer[start : start + values.size]
        if self.shared:
            # The cache writes whole lines. The first and the last one have bytes of other maps too,
            # which may be older there than what the core wrote.
            self._accelerator._refresh(part)
        self._accelerator._write(part, values)

    def read(self, start: int, size: int) -> Int8:
        return self._accelerator._read(self.buffer[start : start + size])
