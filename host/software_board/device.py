# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The software board: a ``pynq.Device`` whose core is the C simulation.

``pynq.Overlay``, ``pynq.allocate``, register maps and interrupts are the real package. Only what
lies behind them is modelled here: memory with a cache that must be flushed, the registers of the
accelerator and of the interrupt controller, and the core itself, in a thread of its own.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import ctypes
import math
import mmap
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pynq
from pynq.buffer import PynqBuffer

from axynq.emulator.errors import DeviceError
from axynq.host.generate.overlay_files import hardware_handoff
from axynq.host.overlay import Overlay
from axynq.host.overlay.processing_system import SOFTWARE_MEMORY_BYTES
from axynq.host.overlay.registers import (
    AP_DONE,
    AP_IDLE,
    AP_READY,
    AP_START,
    ARGUMENTS,
    LIBRARY,
    TOP_FUNCTION,
    VENDOR,
    register_map,
)
from axynq.host.runtime import sharing
from axynq.host.software_board.simulation import Memory, Simulation

PAGE = 4096

CACHE_LINE = 64
"""Bytes that the cache writes back together, and takes in together."""


class Allocation:
    """A buffer in the board's memory, and the processor's cached view of it."""

    def __init__(self, address: int, size: int, pages: int) -> None:
        self.address = address
        self.size = size
        self.pages = pages
        self.cached = bytearray(max(size, 1))
        """What the processor reads and writes."""
        self.synchronised = bytearray(self.cached)
        """``cached`` as it was when last flushed or invalidated."""

    def unflushed(self) -> bool:
        """Whether the processor wrote something that the accelerator cannot see."""
        return self.cached != self.synchronised


class BoardMemory:
    """Physically contiguous memory: allocation in whole pages, first fit."""

    def __init__(self, base: int, size: int) -> None:
        self.base = base
        self.size = size
        try:
            self._mapping = mmap.mmap(-1, size)
        except OSError as error:
            raise DeviceError(
                f"the software board's memory cannot be had ({error.strerror}): it needs "
                f"{size >> 20} MiB of address space, and a 32-bit process has room for a few boards"
            ) from error
        self.pointer = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self.allocations: dict[int, Allocation] = {}
        self._lock = threading.Lock()

    def allocate(self, size: int) -> Allocation:
        """Raises:
        DeviceError: the memory is exhausted, or the board closed.
        """
        self._check_open()
        with self._lock:
            return self._allocate(size)

    def _allocate(self, size: int) -> Allocation:
        pages = max(1, -(-size // PAGE)) * PAGE
        address = self.base
        for other in sorted(self.allocations.values(), key=lambda a: a.address):
            if address + pages <= other.address:
                break
            address = other.address + other.pages
        if address + pages > self.base + self.size:
            raise DeviceError(
                f"the board's contiguous memory is exhausted: {size} bytes do not fit beside "
                f"{len(self.allocations)} buffers. Use a smaller batch or free buffers"
            )
        allocation = Allocation(address, size, pages)
        self.allocations[address] = allocation
        return allocation

    def release(self, address: int) -> None:
        self.allocations.pop(address, None)

    def host_pointer(self, address: int) -> int:
        """Raises:
        DeviceError: the board is closed.
        """
        self._check_open()
        return self.pointer + (address - self.base)

    def _check_open(self) -> None:
        if self._mapping.closed:
            raise DeviceError("the software board is closed, and its memory with it: open another")

    def close(self) -> None:
        """Give the memory back to the system, while nothing works there."""
        self._mapping.close()
        self.allocations.clear()

    def behind_port(self, port: str, address: int) -> Memory:
        """The rest of the buffer that a port's address points into.

        Raises:
            DeviceError: the address lies in no buffer, or its buffer was written and not flushed.
        """
        for allocation in list(self.allocations.values()):
            if allocation.address <= address < allocation.address + allocation.size:
                if allocation.unflushed():
                    raise DeviceError(
                        f"the buffer at {allocation.address:#x} behind port '{port}' was written "
                        "and not flushed: the accelerator would read stale memory. Call .flush() "
                        "before the start"
                    )
                size = allocation.address + allocation.size - address
                return Memory(self.host_pointer(address), size, address)
        raise DeviceError(f"port '{port}' has address {address:#x}, where no buffer is allocated")


class RegisterBlock:
    """A peripheral's registers, 32 bits each, by byte offset."""

    def __init__(self, initial: dict[int, int] | None = None) -> None:
        self.values = dict(initial or {})

    def read(self, offset: int) -> int:
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.values[offset] = value


class InterruptController(RegisterBlock):
    """AXI INTC (PG099): status, pending, enable, acknowledge, set and clear enable, master."""

    ISR, IPR, IER, IAR, SIE, CIE, MER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C

    def __init__(self, line: InterruptLine) -> None:
        super().__init__()
        self._line = line

    def raise_interrupt(self, number: int) -> None:
        self.values[self.ISR] = self.read(self.ISR) | 1 << number
        self._evaluate()

    def read(self, offset: int) -> int:
        if offset == self.IPR:
            return self.read(self.ISR) & self.read(self.IER)
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset == self.IAR:
            self.values[self.ISR] = self.read(self.ISR) & ~value
        elif offset == self.SIE:
            self.values[self.IER] = self.read(self.IER) | value
        elif offset == self.CIE:
            self.values[self.IER] = self.read(self.IER) & ~value
        else:
            super().write(offset, value)
        self._evaluate()

    def _evaluate(self) -> None:
        if self.read(self.IPR) and self.read(self.MER) & 3 == 3:
            self._line.fire()


class InterruptLine:
    """The processor's interrupt: what pynq otherwise opens as a UIO device."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, asyncio.AbstractEventLoop]] = []

    def add_event(self, event: Any, number: int) -> None:
        self._waiting.append((event, asyncio.get_event_loop()))

    def forget(self) -> None:
        """As if it were opened anew: controllers of an earlier overlay would take interrupts."""
        self._waiting.clear()

    def fire(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event, loop in waiting:
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(event.set)


class Work:
    """One start of the core."""

    def __init__(self, ports: list[Memory], images: int) -> None:
        self.ports = ports
        self.images = images
        self.claim = threading.Lock()
        """Held by the thread that does the work, for good."""
        self.done = threading.Event()
        self.fault: DeviceError | None = None
        """What was done to the core's memory meanwhile."""
        self.freed: list[int] = []
        """Addresses of buffers that were freed meanwhile."""


class Core(RegisterBlock):
    """The accelerator's control registers, with Vitis HLS's start and done handshake.

    Signals may interrupt any access to a register; whether the core is at work hangs on a single
    assignment, so that it is started or not started, and never half of it.
    """

    CTRL, GIER, IER, ISR = 0x00, 0x04, 0x08, 0x0C

    def __init__(
        self, simulation: Simulation, memory: BoardMemory, interrupt: Callable[[], None]
    ) -> None:
        super().__init__()
        self.simulation = simulation
        self.hang = False
        """Fault injection: take the next start and never finish."""
        self.delay = 0.0
        """Fault injection: seconds before the core begins with what it was started on."""
        self.lose_interrupts = False
        """Fault injection: finish without the interrupt."""
        self._memory = memory
        self._interrupt = interrupt
        self._offset = {register.name: register.offset for register in register_map()}
        self._arguments = {
            register.offset
            for register in register_map()
            if any(register.name.startswith(a.name) for a in ARGUMENTS if a.kind != "output")
        }
        self._work: Work | None = None
        self._done = self._ready = False
        self._error: Exception | None = None
        self._reset = threading.Event()

    def read(self, offset: int) -> int:
        if offset == self._offset["status"]:
            return self.simulation.status.value
        if offset == self._offset["progress"]:
            return self.simulation.progress.value
        if offset != self.CTRL:
            return super().read(offset)
        work = self._work
        if work is not None:
            self._begin(work)
            work.done.wait(0.001)  # lets the core's thread have the interpreter
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        value = AP_IDLE if self._work is None else AP_START
        value |= (AP_DONE if self._done else 0) | (AP_READY if self._ready else 0)
        self._done = self._ready = False  # cleared by reading
        return value

    def write(self, offset: int, value: int) -> None:
        at_work = self._work is not None
        if offset == self.CTRL:
            if value & AP_START:
                if at_work:
                    raise DeviceError("the core was started while it is at work")
                self._start()
        elif offset == self.ISR:
            self.values[offset] = super().read(offset) ^ value  # toggled by writing
        else:
            if at_work and offset in self._arguments:
                raise DeviceError(f"register {offset:#x} was written while the core is at work")
            super().write(offset, value)

    def in_use(self, allocation: Allocation) -> Work | None:
        """The work that a buffer is for, where the core is at it."""
        work = self._work
        if work is None:
            return None
        end = allocation.address + allocation.size
        used = any(allocation.address <= port.address < end for port in work.ports)
        return work if used else None

    def reset(self) -> None:
        """Stop whatever the core does: nothing of it is written to memory any more."""
        self._reset.set()
        self.simulation.stop()
        work = self._work
        if work is not None and not work.claim.acquire(blocking=False):
            work.done.wait()

    def _argument(self, name: str, kind: str) -> int:
        if kind == "input":
            return super().read(self._offset[name])
        low, high = (super(Core, self).read(self._offset[f"{name}_{half}"]) for half in (1, 2))
        return high << 32 | low

    def _start(self) -> None:
        ports = [
            self._memory.behind_port(argument.name, self._argument(argument.name, "pointer"))
            for argument in ARGUMENTS
            if argument.kind == "pointer"
        ]
        work = Work(ports, self._argument("images", "input"))
        if self.hang:
            work.claim.acquire()
            work.done.set()
        self._work = work
        self._begin(work)

    def _begin(self, work: Work) -> None:
        """Give the work to a thread. May be called again: reading does, in case a signal came
        before the thread was there."""
        if not work.claim.locked():
            _thread.start_new_thread(self._run, (work,))

    def _run(self, work: Work) -> None:
        if not work.claim.acquire(blocking=False):
            return
        error: Exception | None = None
        try:
            if not self._reset.wait(self.delay):
                commands, source, destination = work.ports
                self.simulation.run(commands, source, destination, work.images)
        except Exception as raised:
            error = raised
        if not self._reset.is_set():
            self._finish(work, error)
        for address in work.freed:
            self._memory.release(address)
        work.done.set()

    def _finish(self, work: Work, error: Exception | None) -> None:
        self.values[self.ISR] = super().read(self.ISR) | super().read(self.IER) & 3
        raised = bool(super().read(self.GIER) & 1 and super().read(self.ISR))
        self._done = self._ready = True
        self._error = work.fault or error
        self._work = None
        if raised and not self.lose_interrupts:
            self._interrupt()


class SoftwareBoard(pynq.Device):  # type: ignore[misc]  # pynq has no type hints
    """A board in software, for one overlay at a time."""

    def __init__(self, overlay: Overlay) -> None:
        simulation = Simulation(overlay)
        board = overlay.board_description
        super().__init__(f"axynq-software-{overlay.name}")
        self.name = board.pynq_name
        self.arch = board.processing_system.processor
        # MEMORY_MAPPED would take priority and bypass the register callbacks.
        self.capabilities = {"REGISTER_RW": True, "MEMORY_MAPPED": False, "CALLABLE": False}
        self.overlay = overlay
        self.memory = BoardMemory(board.processing_system.memory_base, SOFTWARE_MEMORY_BYTES)
        self.core: Core | None = None
        self._line = InterruptLine()
        self._fixed = [
            (base, 0x1000, RegisterBlock(values))
            for base, values in _CLOCK_REGISTERS[board.family].items()
        ]
        self._blocks = list(self._fixed)
        self._simulation = simulation
        self._interrupt_lines: list[int] = []

    def close(self) -> None:
        """Stop the core and free the board's memory: pynq, and who holds a buffer or an accelerator
        that is closed, keep the device itself for longer."""
        if self.core is not None:
            self.core.reset()
        self.memory.close()

    # --- what pynq asks of a device --------------------------------------------------------------

    def read_registers(self, address: int, length: int) -> bytes:
        words = []
        for place in range(address, address + length, 4):
            block, offset = self._block_at(place)
            words.append(struct.pack("<I", block.read(offset) & 0xFFFF_FFFF))
        return b"".join(words)

    def write_registers(self, address: int, data: Any) -> None:
        content = bytes(data)
        for start in range(0, len(content), 4):
            block, offset = self._block_at(address + start)
            block.write(offset, struct.unpack_from("<I", content, start)[0])

    def allocate(self, shape: Any, dtype: Any, **_: Any) -> PynqBuffer:
        """A cacheable buffer: what the processor writes, memory has after ``flush()`` only."""
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = np.dtype(dtype)
        allocation = self.memory.allocate(math.prod(shape) * dtype.itemsize)
        buffer = PynqBuffer(
            shape,
            dtype,
            buffer=allocation.cached,
            device=self,
            device_address=allocation.address,
            bo=allocation,
            coherent=False,
        )
        # With these PynqBuffer.freebuffer() comes back to return_pointer().
        buffer.memory, buffer.pointer, buffer.return_to = self, allocation.address, self
        buffer.freed = True  # nothing to unmap when that is done
        return buffer

    def return_pointer(self, pointer: int) -> None:
        allocation = self.memory.allocations.get(pointer)
        work = self._work_on(allocation)
        if work is not None:
            work.fault = DeviceError(_in_use(pointer, "freed"))
            work.freed.append(pointer)
        else:
            self.memory.release(pointer)

    def _work_on(self, allocation: Allocation | None) -> Work | None:
        if self.core is None or allocation is None:
            return None
        return self.core.in_use(allocation)

    def flush(self, allocation: Allocation, offset: int, pointer: int, size: int) -> None:
        if self._work_on(allocation) is not None:
            raise DeviceError(_in_use(allocation.address, "flushed"))
        # What lies beside it in its first and last line is written too, as the cache has it.
        lines = _lines(allocation, offset, size)
        first, length = lines.start, lines.stop - lines.start
        target = self.memory.host_pointer(allocation.address) + first
        ctypes.memmove(target, pointer - offset + first, length)
        allocation.synchronised[lines] = allocation.cached[lines]

    def invalidate(self, allocation: Allocation, offset: int, pointer: int, size: int) -> None:
        if self._work_on(allocation) is not None:
            raise DeviceError(_in_use(allocation.address, "read back"))
        lines = _lines(allocation, offset, size)
        first, length = lines.start, lines.stop - lines.start
        source = self.memory.host_pointer(allocation.address) + first
        ctypes.memmove(pointer - offset + first, source, length)
        allocation.synchronised[lines] = allocation.cached[lines]

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        from pynqmetadata.frontends import Metadata
        from pynqmetadata.views.runtime import RuntimeMetadataParser

        parser = RuntimeMetadataParser(Metadata(input=Path(bitfile_name).with_suffix(".hwh")))
        for clock in parser.clock_dict.values():
            # pynqmetadata 0.2.0 finds no frequency on Zynq-7000, and Overlay() then fails.
            if clock.get("frequency") is None:
                clock["frequency"] = self.overlay.clock_mhz
        return parser

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """No cache: pynq would keep it in site-packages, by the bit file's hash alone."""

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Configure the logic: all its state is lost, and the core is there."""
        if self.core is not None:
            self.core.reset()
        self._blocks = list(self._fixed)
        for description in parser.ip_dict.values():
            block = self._block_for(description["type"])
            if block is not None:
                self._blocks.append((description["phys_addr"], description["addr_range"], block))
        self._interrupt_lines = [
            controller["raw_irq"] for controller in parser.interrupt_controllers.values()
        ]
        self.connect_interrupts()
        self.post_download(bitstream, parser, self.name)

    def connect_interrupts(self) -> None:
        """Be where pynq looks for interrupts: it knows a single device for each line."""
        from pynq.interrupt import _InterruptController

        self._line.forget()
        for number in self._interrupt_lines:
            _InterruptController._uio_devices[number] = self._line

    # --- the address map -------------------------------------------------------------------------

    def _block_for(self, vlnv: str) -> RegisterBlock | None:
        if vlnv.startswith(f"{VENDOR}:{LIBRARY}:{TOP_FUNCTION}:"):
            self.core = Core(self._simulation, self.memory, self._raise_interrupt)
            return self.core
        if vlnv.startswith("xilinx.com:ip:axi_intc:"):
            self._controller = InterruptController(self._line)
            return self._controller
        return None

    def _raise_interrupt(self) -> None:
        self._controller.raise_interrupt(0)

    def _block_at(self, address: int) -> tuple[RegisterBlock, int]:
        for base, size, block in self._blocks:
            if base <= address < base + size:
                return block, address - base
        raise DeviceError(f"no peripheral at address {address:#x}")


def _lines(allocation: Allocation, offset: int, size: int) -> slice:
    """The bytes of an allocation that share cache lines with some."""
    end = -(-(offset + size) // CACHE_LINE) * CACHE_LINE
    return slice(offset // CACHE_LINE * CACHE_LINE, min(end, allocation.size))


def _in_use(address: int, what: str) -> str:
    return (
        f"the buffer at {address:#x} was {what} while the core works on it: wait for the core first"
    )


# Clock control registers that pynq.Clocks reads, by family and base address.
_CLOCK_REGISTERS: dict[str, dict[int, dict[int, int]]] = {
    # 50 MHz reference, PLLs at 1300, 1050 and 1000 MHz, processor at half of the first, each logic
    # clock at the last over 10.
    "zynq-7000": {
        0xF800_0000: {
            0x100: 26 << 12,
            0x104: 21 << 12,
            0x108: 20 << 12,
            0x120: 2 << 8,
            **{0x170 + 16 * clock: 1 << 20 | 10 << 8 for clock in range(4)},
        }
    },
    # 33.333 MHz reference, PLLs at 1500 MHz (times 90, halved), processor and logic clocks at a
    # part of it.
    "zynq-ultrascale+": {
        0xFF5E_0000: {
            0x20: 1 << 16 | 90 << 8,
            0x30: 1 << 16 | 90 << 8,
            **{0xC0 + 4 * clock: 1 << 24 | 1 << 16 | 15 << 8 for clock in range(4)},
        },
        0xFD1A_0000: {
            **dict.fromkeys((32, 44, 56), 1 << 16 | 90 << 8),
            0x60: 1 << 8,
        },
    },
}


def software_bitstream(overlay: Overlay, folder: Path) -> Path:
    """A stand-in ``.bit`` with its ``.hwh``, which ``pynq.Overlay`` loads on the software board."""
    bit = folder / f"{overlay.name}.bit"
    bit.write_bytes(b"axynq software board: no configuration data\n")
    bit.with_suffix(".hwh").write_text(hardware_handoff(overlay), encoding="utf-8")
    return bit


def open_software_board(overlay: Overlay) -> tuple[SoftwareBoard, Any]:
    """A software board with its overlay loaded: the device and the ``pynq.Overlay``."""
    device = SoftwareBoard(overlay)
    with sharing.pynq_lock, tempfile.TemporaryDirectory() as folder:
        sharing.activate(device)
        loaded = pynq.Overlay(str(software_bitstream(overlay, Path(folder))), device=device)
        loaded.accelerator_0  # noqa: B018 - makes the driver, which looks for interrupts
    return device, loaded
