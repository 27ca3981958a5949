# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The software board behaves as a board does, and its faults are clear errors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pynq
import pytest

from axynq.emulator import Emulator
from axynq.emulator.errors import DeviceError, OverlayError, ToolError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Program, compile_program, isa
from axynq.host.overlay.processing_system import SOFTWARE_MEMORY_BYTES
from axynq.host.runtime.driver import AcceleratorDriver
from axynq.host.software_board.device import PAGE
from tests.networks import random_input

ON_LINUX = Path("/proc/self/maps").is_file()


@pytest.fixture
def accelerator():
    with Accelerator("tiny4", device="software") as opened:
        yield opened


@pytest.fixture(scope="module")
def program(digits: graph.Model) -> Program:
    return compile_program(digits, "flam=exact|roup:1,4", "tiny4")


def buffers(accelerator: Accelerator, program: Program, images: int = 1):
    """Program and arena as a user of the driver would allocate them."""
    memory = pynq.allocate((len(program.memory),), np.int8, target=accelerator.device)
    memory[:] = program.memory.view(np.int8)
    memory.flush()
    size = images * program.arena_words * program.word_bytes
    arena = pynq.allocate((size,), np.int8, target=accelerator.device)
    arena[:] = 0
    arena.flush()
    return memory, arena


# --- pynq, for real ------------------------------------------------------------------------------


def test_the_driver_is_bound_by_pynq(accelerator: Accelerator) -> None:
    overlay = accelerator._loaded
    assert isinstance(overlay, pynq.Overlay)
    assert overlay.is_loaded()
    assert isinstance(overlay.accelerator_0, AcceleratorDriver)
    assert isinstance(overlay.accelerator_0, pynq.DefaultIP)
    assert overlay.ip_dict["accelerator_0"]["type"] == "axynq:hls:accelerator:1.0"


def test_register_map_has_the_arguments(accelerator: Accelerator) -> None:
    registers = accelerator._loaded.accelerator_0.register_map
    assert registers.CTRL.AP_IDLE == 1
    for name in ("commands_1", "source_1", "destination_1", "images", "status", "progress"):
        assert hasattr(registers, name)


def test_the_clock_is_the_overlays(accelerator: Accelerator) -> None:
    assert pynq.Clocks.fclk0_mhz == pytest.approx(100.0)


def test_handshake(accelerator: Accelerator, program: Program) -> None:
    driver = accelerator._loaded.accelerator_0
    memory, arena = buffers(accelerator, program)
    driver.start(memory, arena, 1)
    driver.wait(60)
    assert driver.register_map.progress.progress == len(program.layers)
    assert driver.register_map.status.status == isa.Status.OK


def test_interrupt(accelerator: Accelerator, program: Program) -> None:
    driver = accelerator._loaded.accelerator_0
    memory, arena = buffers(accelerator, program)

    async def run() -> None:
        driver.register_map.GIER.Enable = 1
        driver.register_map.IP_IER.CHAN0_INT_EN = 1
        waiting = asyncio.ensure_future(driver.interrupt.wait())
        await asyncio.sleep(0)
        driver.start(memory, arena, 1)
        await asyncio.wait_for(waiting, 60)

    asyncio.run(run())
    assert driver.read(0x0C) & 1  # the core's interrupt status
    driver.write(0x0C, 1)
    assert not driver.read(0x0C) & 1  # toggled off


# --- memory --------------------------------------------------------------------------------------


def test_processor_and_core_see_each_other_through_flush_and_invalidate(accelerator) -> None:
    buffer = pynq.allocate((8,), np.int8, target=accelerator.device)
    memory = accelerator.device.memory
    buffer[:] = 5
    board = np.ctypeslib.as_array(
        (np.ctypeslib.ctypes.c_int8 * 8).from_address(memory.host_pointer(buffer.physical_address))
    )
    assert (board == 0).all()
    buffer.flush()
    assert (board == 5).all()
    board[:] = 7
    assert (buffer == 5).all()
    buffer.invalidate()
    assert (buffer == 7).all()


def test_part_of_a_buffer_is_flushed_with_its_cache_lines(accelerator: Accelerator) -> None:
    buffer = pynq.allocate((200,), np.int8, target=accelerator.device)
    buffer[:] = 3
    part = buffer[66:68]
    part.flush()
    assert part.physical_address == buffer.physical_address + 66
    buffer.invalidate()
    assert buffer.tolist() == 64 * [0] + 64 * [3] + 72 * [0]
    buffer[:] = 3
    buffer[127:130].invalidate()
    assert buffer.tolist() == 64 * [3] + 64 * [3] + 64 * [0] + 8 * [3]


def test_missing_flush(accelerator: Accelerator, program: Program) -> None:
    driver = accelerator._loaded.accelerator_0
    memory, arena = buffers(accelerator, program)
    arena[3] = 1
    with pytest.raises(DeviceError, match=r"behind port 'source' was written and not flushed"):
        driver.start(memory, arena, 1)
    arena.flush()
    driver.start(memory, arena, 1)
    driver.wait(60)


def test_access_outside_a_buffer(accelerator: Accelerator, program: Program) -> None:
    driver = accelerator._loaded.accelerator_0
    memory, arena = buffers(accelerator, program, images=1)
    driver.start(memory, arena, 2)  # an arena for one image
    with pytest.raises(DeviceError, match=r"port '\w+' accessed byte \d+ of a buffer of \d+ bytes"):
        driver.wait(60)


def test_address_where_there_is_no_buffer(accelerator: Accelerator) -> None:
    driver = accelerator._loaded.accelerator_0
    driver._set_pointer("commands", 0x1F00_0000)
    with pytest.raises(DeviceError, match="no buffer is allocated"):
        driver.write(0, 1)


def test_a_freed_buffer_is_no_buffer(accelerator: Accelerator, program: Program) -> None:
    memory, arena = buffers(accelerator, program)
    arena.freebuffer()
    with pytest.raises(DeviceError, match="no buffer is allocated"):
        accelerator._loaded.accelerator_0.start(memory, arena, 1)


def test_memory_runs_out(accelerator: Accelerator) -> None:
    half = pynq.allocate((SOFTWARE_MEMORY_BYTES // 2,), np.int8, target=accelerator.device)
    with pytest.raises(DeviceError, match="contiguous memory is exhausted"):
        pynq.allocate((SOFTWARE_MEMORY_BYTES // 2 + PAGE,), np.int8, target=accelerator.device)
    half.freebuffer()
    pynq.allocate((SOFTWARE_MEMORY_BYTES // 2 + PAGE,), np.int8, target=accelerator.device)


@pytest.mark.parametrize("wait", ["polling", "interrupt"])
def test_closing_frees_the_boards_memory(digits: graph.Model, program: Program, wait) -> None:
    """Also where the accelerator and buffers on its board are held on to."""
    before = _board_mappings()
    opened = Accelerator("tiny4", device="software", wait=wait)
    buffer = pynq.allocate((8,), np.int8, target=opened.device, cacheable=1)
    opened.run(program, random_input(digits, 2, 0))
    assert _board_mappings() == before + ON_LINUX
    opened.close()
    assert _board_mappings() == before
    for use in (buffer.flush, buffer.invalidate):
        with pytest.raises(DeviceError, match="board is closed"):
            use()
    with pytest.raises(DeviceError, match="board is closed"):
        pynq.allocate((8,), np.int8, target=opened.device, cacheable=1)
    buffer.freebuffer()


def _board_mappings() -> int:
    """How many boards' memories this process has mapped, where Linux says it."""
    if not ON_LINUX:
        return 0
    lines = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    ranges = [line[0].split("-") for line in lines if line[-1] == "(deleted)"]
    return sum(int(end, 16) - int(start, 16) == SOFTWARE_MEMORY_BYTES for start, end in ranges)


def test_nothing_is_left_allocated(digits: graph.Model, program: Program) -> None:
    with Accelerator("tiny4", device="software") as opened:
        for images in (1, 5, 2):
            opened.run(program, random_input(digits, images, 0))
        assert len(opened.device.memory.allocations) == 2
    assert not opened.device.memory.allocations


# --- results -------------------------------------------------------------------------------------


def test_results_do_not_depend_on_what_ran_before(
    accelerator: Accelerator, program: Program, digits: graph.Model
) -> None:
    x = random_input(digits, 5, 1)
    expected = Emulator(digits, "flam=exact|roup:1,4").run(x)
    other = compile_program(digits, "roup:1,4", "tiny4")
    for _ in range(3):
        assert np.array_equal(accelerator.run(program, x), expected)
        accelerator.run(other, x[:2])
        assert np.array_equal(accelerator.run(program, x[:3]), expected[:3])


def test_poisoned_memory_does_no_harm(
    accelerator: Accelerator, program: Program, digits: graph.Model
) -> None:
    x = random_input(digits, 2, 2)
    expected = Emulator(digits, "flam=exact|roup:1,4").run(x)
    arena = accelerator._buffer("arena", 2 * program.arena_words * program.word_bytes)
    arena[:] = 0x5A
    arena.flush()
    assert np.array_equal(accelerator.run(program, x), expected)


def test_large_batches_are_split(
    accelerator: Accelerator, program: Program, digits: graph.Model, monkeypatch
) -> None:
    x = random_input(digits, 5, 3)
    expected = accelerator.run(program, x)
    monkeypatch.setattr(
        "axynq.host.runtime.accelerator.ARENA_BYTES", 2 * program.arena_words * program.word_bytes
    )
    assert np.array_equal(accelerator.run(program, x), expected)
    assert accelerator.run(program, x[:0]).shape == (0, 10)


# --- faults --------------------------------------------------------------------------------------


def test_program_for_another_overlay(accelerator: Accelerator, digits: graph.Model) -> None:
    program = compile_program(digits, "exact", "z2-mixed16")
    with pytest.raises(OverlayError, match=r"compiled for overlay 'z2-mixed16' .* 'tiny4'"):
        accelerator.run(program, random_input(digits, 1, 0))


def damaged(program: Program, record: int, field: int, value: int, mend: bool = True) -> Program:
    """``program`` with one integer of a record changed; its checksum is made right again."""
    from dataclasses import replace

    memory = program.memory.copy()
    integers = memory.view("<u4")
    start = record * isa.RECORD_INTEGERS
    integers[start + field] = value
    if mend:
        words = integers[start : start + isa.CHECKSUM_FIELD]
        integers[start + isa.CHECKSUM_FIELD] = isa.checksum(words)
    return replace(program, memory=memory)


@pytest.mark.parametrize(
    ("record", "field", "value", "mend", "reason"),
    [
        (0, isa.Header.MAGIC, 7, True, "does not hold a program"),
        (0, isa.Header.VERSION, 999, True, "another version of the instruction set"),
        (0, isa.Header.OVERLAY, 999, True, "compiled for another overlay"),
        (0, isa.Header.PHASES, 3, False, "a descriptor is damaged"),
        (2, isa.Field.INPUT_ROWS, 9, False, "a descriptor is damaged"),
        (2, isa.Field.OPCODE, 0, True, "unknown opcode"),
        (2, isa.Field.OPCODE, 7, True, "unknown opcode"),
        (1, isa.Field.INPUT_ROW_WORDS, 9000, True, "larger than the on-chip buffers"),
        (1, isa.Field.VECTORS, 600, True, "larger than the on-chip buffers"),
        (1, isa.Field.GROUPS, 255, True, "larger than the on-chip buffers"),
    ],
)
def test_the_core_reports_bad_programs(
    accelerator: Accelerator, program: Program, digits: graph.Model,
    record: int, field: int, value: int, mend: bool, reason: str,
) -> None:  # fmt: skip
    with pytest.raises(DeviceError, match=reason):
        accelerator.run(damaged(program, record, field, value, mend), random_input(digits, 1, 0))
    # and is fit for the next
    accelerator.run(program, random_input(digits, 1, 0))


def test_where_the_core_stopped_is_told(
    accelerator: Accelerator, program: Program, digits: graph.Model
) -> None:
    with pytest.raises(DeviceError, match=r"stopped after 1 of \d+ layers, in 'depthwise_1'"):
        accelerator.run(damaged(program, 2, isa.Field.OPCODE, 7), random_input(digits, 1, 0))


def test_a_core_that_never_finishes(program: Program, digits: graph.Model) -> None:
    with Accelerator("tiny4", device="software", timeout=0.2) as opened:
        opened.device.core.hang = True
        with pytest.raises(DeviceError, match=r"no progress for 0.2 s after 0 of \d+ layers"):
            opened.run(program, random_input(digits, 1, 0))


def test_a_hand_off_of_another_version(accelerator: Accelerator) -> None:
    driver = accelerator._loaded.accelerator_0
    with pytest.raises(DeviceError, match=r"\(.hwh\) has no register 'pragmas'"):
        driver._offset("pragmas")


def test_no_board() -> None:
    with pytest.raises(DeviceError, match=r"not a PYNQ board .* device='software'"):
        Accelerator("tiny4")


def test_unknown_device() -> None:
    with pytest.raises(DeviceError, match="unknown device 'fpga'"):
        Accelerator("tiny4", device="fpga")  # type: ignore[arg-type]


def test_no_compiler(accelerator: Accelerator, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    Accelerator("tiny4", device="software").close()  # what is in the cache needs none
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    with pytest.raises(ToolError, match="there is no C\\+\\+ compiler"):
        Accelerator("tiny4", device="software")


def test_no_headers(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AXYNQ_AP_TYPES", str(tmp_path))
    with pytest.raises(ToolError, match=r"has no ap_int.h"):
        Accelerator("tiny4", device="software")


def test_compiler_that_fails(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    (tmp_path / "ap_int.h").write_text("#error these are not the headers\n")
    monkeypatch.setenv("AXYNQ_AP_TYPES", str(tmp_path))
    with pytest.raises(ToolError, match=r"does not compile .* these are not the headers"):
        Accelerator("tiny4", device="software")


def test_cache_that_cannot_be_written(monkeypatch) -> None:
    monkeypatch.setenv("AXYNQ_CACHE", "/proc/nowhere")
    with pytest.raises(ToolError, match="cache folder .* cannot be written"):
        Accelerator("tiny4", device="software")
