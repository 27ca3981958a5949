# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What goes wrong on boards: no hang, no leaked buffer, one clear message."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import hashlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pynq
import pytest

from axynq.emulator import Emulator
from axynq.emulator.errors import DeviceError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Overlay, Program, compile_program
from axynq.host.runtime import accelerator as accelerator_module
from axynq.host.runtime import hardware
from axynq.host.runtime.program import TensorPlace
from axynq.host.software_board.device import PAGE, RegisterBlock
from axynq.host.software_board.simulation import Simulation
from tests.networks import convolution, random_input

PLAN = "flam=exact|roup:1,4"


@pytest.fixture(scope="module")
def program(digits: graph.Model) -> Program:
    return compile_program(digits, PLAN, "tiny4")


@pytest.fixture(scope="module")
def x(digits: graph.Model) -> np.ndarray:
    return random_input(digits, 7, 0)


@pytest.fixture(scope="module")
def expected(digits: graph.Model, x: np.ndarray) -> np.ndarray:
    return Emulator(digits, PLAN).run(x)


def opened(**options) -> Accelerator:
    return Accelerator("tiny4", device="software", **options)


# --- streaming -----------------------------------------------------------------------------------


def test_the_host_packs_while_the_core_works(program, x, expected, monkeypatch) -> None:
    monkeypatch.setattr(accelerator_module, "START_IMAGES", 2)
    events: list[str] = []
    advanced: list[int] = []

    def noting(name: str, function):
        def call(*arguments, **options):
            events.append(name)
            return function(*arguments, **options)

        return call

    with opened() as accelerator:
        accelerator.run(program, x[:1])
        for name in ("start", "wait"):
            monkeypatch.setattr(
                accelerator.driver, name, noting(name, getattr(accelerator.driver, name))
            )
        monkeypatch.setattr(TensorPlace, "pack", noting("pack", TensorPlace.pack))
        monkeypatch.setattr(TensorPlace, "unpack", noting("unpack", TensorPlace.unpack))
        y = accelerator.run(program, x, advanced.append)
        assert np.array_equal(y, expected)
        assert advanced == [2, 2, 2, 1]
        held = dict(accelerator._buffers)
        accelerator.run(program, x)  # allocated once
        assert accelerator._buffers == held
    step = "pack wait start unpack"
    work = " ".join(events)
    assert work.startswith(f"pack start {step} {step} {step} wait unpack")
    assert not accelerator.device.memory.allocations


def test_addresses_beyond_32_bits(digits: graph.Model) -> None:
    overlay = Overlay.load("zcu104-roup32")
    x = random_input(digits, 2, 3)
    with Accelerator(overlay, device="software") as accelerator:
        y = accelerator.run(compile_program(digits, "roup:1,4", overlay), x)
        buffer = accelerator._buffers["program"]
        assert buffer.physical_address > 1 << 32
    assert np.array_equal(y, Emulator(digits, "roup:1,4").run(x))


# --- interrupts ----------------------------------------------------------------------------------


def test_waiting_for_interrupts(program, x, expected, monkeypatch) -> None:
    monkeypatch.setattr(accelerator_module, "START_IMAGES", 3)
    with opened(wait="interrupt") as accelerator:
        for _ in range(2):
            assert np.array_equal(accelerator.run(program, x), expected)
        assert accelerator.driver.lost_interrupts == 0
        fired = accelerator.device._controller
        assert fired.read(fired.ISR) == 0  # acknowledged
        assert accelerator.driver.read(0x0C) == 0


def test_waiting_in_a_coroutine(program, x, expected) -> None:
    async def both(accelerator: Accelerator):
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        y = await accelerator.run_async(program, x)
        driver, arena = accelerator.driver, accelerator._buffers["arena 0"]
        for interrupt in (True, False):
            driver.start(accelerator._buffers["program"], arena, len(x), interrupt)
            await driver.wait_async(60, program.layers)
        ticking.cancel()
        return y, ticks

    with opened() as accelerator:
        for _ in range(2):  # a new event loop each time
            y, ticks = asyncio.run(both(accelerator))
            assert np.array_equal(y, expected)
            assert ticks > 0


def test_a_lost_interrupt(program, x, expected) -> None:
    with opened(wait="interrupt") as accelerator:
        accelerator.device.core.lose_interrupts = True
        with pytest.warns(RuntimeWarning, match="its interrupt did not arrive"):
            y = accelerator.run(program, x)
        assert np.array_equal(y, expected)
        assert accelerator.driver.lost_interrupts == 1
        accelerator.device.core.lose_interrupts = False
        assert np.array_equal(accelerator.run(program, x), expected)
        assert accelerator.driver.lost_interrupts == 1


def test_interrupts_that_pynq_cannot_wait_for(program, x, expected, monkeypatch) -> None:
    """A real board without a UIO device for the interrupt controller."""

    def fail() -> concurrent.futures.Future:
        future: concurrent.futures.Future = concurrent.futures.Future()
        future.set_exception(ValueError("Could not find UIO device for interrupt pin"))
        return future

    with opened(wait="interrupt") as accelerator:
        monkeypatch.setattr(accelerator.driver._waiter, "arm", fail)
        with pytest.raises(DeviceError, match="Could not find UIO device .* Wait by polling"):
            accelerator.run(program, x)
    assert not accelerator.device.memory.allocations
    with opened() as accelerator:
        assert np.array_equal(accelerator.run(program, x), expected)


def test_an_overlay_without_an_interrupt(program, x, monkeypatch) -> None:
    with opened(wait="interrupt") as accelerator:
        monkeypatch.setattr(accelerator.driver, "_waiter", None)
        with pytest.raises(DeviceError, match=r"\(.hwh\) connects .* wait by polling"):
            accelerator.run(program, x)


# --- the core ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["polling", "interrupt"])
def test_a_core_that_never_finishes(program, x, expected, wait) -> None:
    accelerator = opened(timeout=1.0, wait=wait)
    with accelerator:
        accelerator.run(program, x[:1])
        accelerator.device.core.hang = True
        with pytest.raises(DeviceError, match=r"no progress for 1 s .*CTRL = 0x1, status = 0x0"):
            accelerator.run(program, x)
        # the next run loads the overlay again
        assert np.array_equal(accelerator.run(program, x), expected)
        assert accelerator.driver.lost_interrupts == 0
        accelerator.device.core.hang = True
        with pytest.raises(DeviceError, match="did not finish"):
            accelerator.run(program, x)
    # closing loaded the overlay again, so that nothing writes to memory that was freed
    assert accelerator.device.core.read(0) & 4
    assert not accelerator.device.memory.allocations


def test_sigint_while_the_core_works(program, x, expected, monkeypatch) -> None:
    """Ctrl-C arrives in the middle of a run: the core is left to finish before memory is freed."""
    monkeypatch.setattr(accelerator_module, "START_IMAGES", 2)
    run = Simulation.run
    started = threading.Event()

    def slow(self, *arguments) -> None:
        started.set()
        time.sleep(0.3)
        run(self, *arguments)

    monkeypatch.setattr(Simulation, "run", slow)

    def interrupt() -> None:
        started.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    accelerator = opened()
    with pytest.raises(KeyboardInterrupt), accelerator:
        accelerator.run(program, x)
    sender.join()
    assert accelerator.device.core.read(0) & 4  # idle
    assert not accelerator.device.memory.allocations


# --- memory --------------------------------------------------------------------------------------


def test_memory_that_runs_short(program, x, expected) -> None:
    """With room for a few images only, starts become smaller; with less, there is one message."""
    with opened() as accelerator:
        memory = accelerator.device.memory
        image = program.arena_words * program.word_bytes
        memory.size = (-(-len(program.memory) // PAGE) + 5) * PAGE
        assert np.array_equal(accelerator.run(program, x), expected)
        assert accelerator._buffers["arena 0"].size < len(x) * image
    assert not memory.allocations
    with opened() as accelerator:
        accelerator.device.memory.size = 4096
        with pytest.raises(DeviceError, match="contiguous memory is exhausted"):
            accelerator.run(program, x)
        assert not accelerator.device.memory.allocations


def test_maps_that_share_a_line_of_the_cache(program, x) -> None:
    """What the host writes between two starts keeps what the core wrote beside it."""
    with opened() as accelerator:
        accelerator.run(program, x)
        buffer = accelerator._buffers["arena 0"]
        arena = accelerator_module._Arena(accelerator, buffer)
        arena.write(0, np.zeros(200, np.int8))
        by_core = np.arange(60, dtype=np.int8)
        pointer = accelerator.device.memory.host_pointer(buffer.physical_address)
        ctypes.memmove(pointer + 70, by_core.ctypes.data, by_core.size)
        arena.shared = True
        arena.write(60, np.ones(10, np.int8))
        arena.write(130, np.ones(10, np.int8))
        assert np.array_equal(arena.read(70, 60), by_core)


def test_room_for_one_image(program, x, expected) -> None:
    """And for no second one, which the host would work on meanwhile."""
    with opened() as accelerator:
        pages = [len(program.memory), program.arena_words * program.word_bytes]
        accelerator.device.memory.size = sum(-(-size // PAGE) for size in pages) * PAGE
        assert np.array_equal(accelerator.run(program, x), expected)
        assert set(accelerator._buffers) == {"program", "arena 0"}
    assert not accelerator.device.memory.allocations


def test_memory_that_programs_before_hold(program, x, expected) -> None:
    """Maps of another program, of which as many images as possible are there, make room."""
    model = convolution(6, 6, 4, 4, 1, 1)
    other, images = compile_program(model, "exact", "tiny4"), random_input(model, 40, 1)
    assert len(other.memory) <= PAGE < len(program.memory)
    with opened() as accelerator:
        accelerator.device.memory.size = (-(-len(program.memory) // PAGE) + 2) * PAGE
        for _ in range(2):
            assert np.array_equal(
                accelerator.run(other, images), Emulator(model, "exact").run(images)
            )
            assert np.array_equal(accelerator.run(program, x), expected)
            assert np.array_equal(accelerator.run(program, x[:1]), expected[:1])
    assert not accelerator.device.memory.allocations


@pytest.mark.parametrize("error", [MemoryError("cma"), RuntimeError("bo"), OSError(12, "no")])
def test_memory_errors_of_real_boards(program, x, monkeypatch, error) -> None:
    def allocate(*arguments, **options):
        raise error

    with opened() as accelerator:
        monkeypatch.setattr(pynq, "allocate", allocate)
        with pytest.raises(DeviceError, match=r"has no \d+ bytes left .* larger cma="):
            accelerator.run(program, x)


# --- another bitstream ---------------------------------------------------------------------------


def test_another_overlay_of_axynq_in_the_logic(program, x) -> None:
    """Loaded past pynq: the core says that the program is not for it."""
    with opened() as accelerator:
        accelerator.device.core.simulation = Simulation(Overlay.load("z2-exact16"))
        with pytest.raises(DeviceError, match="compiled for another overlay|does not hold"):
            accelerator.run(program, x)


def test_something_else_in_the_logic(program, x) -> None:
    """Registers that read zero: not idle, so nothing is started."""
    with opened(timeout=0.1) as accelerator:
        board = accelerator.device
        board._blocks = [(0x4000_0000, 0x1000_0000, RegisterBlock()), *board._fixed]
        with pytest.raises(DeviceError, match="still at work: CTRL = 0x0"):
            accelerator.run(program, x)


def test_another_process_loaded_a_bitstream(program, x, expected, tmp_path, monkeypatch) -> None:
    state = tmp_path / "global_pl_state_.json"
    monkeypatch.setattr(hardware, "_state_file", lambda: state)
    with opened() as accelerator:
        bit = tmp_path / "tiny4.bit"
        bit.write_bytes(b"ours")
        monkeypatch.setattr(accelerator._loaded, "bitfile_name", str(bit))
        accelerator._guard = hardware.LoadGuard(accelerator._loaded)
        own = hashlib.sha1(b"ours").hexdigest()
        state.write_text(json.dumps({"bitfile_name": str(bit), "bitfile_hash": own}))
        assert np.array_equal(accelerator.run(program, x), expected)
        other = {"bitfile_name": "/home/xilinx/base.bit", "bitfile_hash": "0" * 40}
        state.write_text(json.dumps(other))
        with pytest.raises(DeviceError, match=r"another process has loaded /home/xilinx/base.bit"):
            accelerator.run(program, x)
        state.write_text("{")  # being written
        assert np.array_equal(accelerator.run(program, x), expected)


# --- the board -----------------------------------------------------------------------------------


def test_boards_are_told_apart(monkeypatch, tmp_path: Path) -> None:
    overlay = Overlay.load("z2-roup16")
    hardware.check_board(overlay, "Pynq-Z2")
    hardware.check_board(overlay, "PYNQ-Z2")
    hardware.check_board(overlay, None)
    hardware.check_board(overlay, "a board of one's own")
    with pytest.raises(DeviceError, match=r"is for pynq-z2, .* zcu104: .* there is .*zcu104-rou"):
        hardware.check_board(overlay, "ZCU104")
    with pytest.raises(DeviceError, match=r"kv260-hybrid. Or .* --board kv260 --retarget"):
        hardware.check_board(overlay, "KV260")
    with monkeypatch.context() as few:
        few.setattr(hardware, "overlay_names", lambda: ["z2-roup16"])
        with pytest.raises(DeviceError, match="there is no overlay for it. Or"):
            hardware.check_board(overlay, "KV260")
    monkeypatch.setenv("BOARD", "Ultra96")
    assert hardware.board_name() == "Ultra96"
    monkeypatch.delenv("BOARD")
    monkeypatch.setattr(hardware, "BOARD_FILE", tmp_path / "pynq_board")
    assert hardware.board_name() is None
    (tmp_path / "pynq_board").write_bytes(b"ZCU104\0")
    assert hardware.board_name() == "ZCU104"


def test_opening_a_board(monkeypatch, tmp_path: Path, program, x, expected) -> None:
    """All that happens on a board before and after pynq loads the bitstream; pynq's device is the
    software board here."""
    from axynq.host.software_board.device import SoftwareBoard, software_bitstream

    overlay = Overlay.load("tiny4")
    device = SoftwareBoard(overlay)
    pynq.Device.active_device = device
    cached = tmp_path / "_current_metadata.pkl"
    cached.write_bytes(b"stale")
    monkeypatch.setattr(hardware, "board_present", lambda: True)
    monkeypatch.setattr(hardware, "_state_file", lambda: tmp_path / "global_pl_state_.json")
    monkeypatch.setattr(accelerator_module, "board_present", lambda: True)
    monkeypatch.setenv("BOARD", "Pynq-Z2")
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path))
    with pytest.raises(DeviceError, match="no bitstream for overlay 'tiny4'"):
        Accelerator("tiny4")
    bit = software_bitstream(overlay, tmp_path)
    manifest(overlay, bit).save(tmp_path / "tiny4.json")
    with Accelerator("tiny4") as accelerator:
        assert accelerator.device is device
        assert np.array_equal(accelerator.run(program, x), expected)
    assert not cached.exists()
    bit.write_bytes(b"cut off")
    with pytest.raises(DeviceError, match="is not the file it was built with"):
        Accelerator("tiny4")


def manifest(overlay: Overlay, bit: Path):
    """Of a stand-in for a bitstream."""
    from axynq.host.runtime.manifest import File, Manifest, Timing, sha256

    hwh = bit.with_suffix(".hwh")
    return Manifest(
        overlay=overlay, overlay_hash=overlay.hash, board=overlay.board,
        part=overlay.board_description.part, clock_mhz=overlay.clock_mhz, tools={},
        timing=Timing(setup_slack_ns=0.1, hold_slack_ns=0.1), utilisation={},
        bit=File(name=bit.name, sha256=sha256(bit)), hwh=File(name=hwh.name, sha256=sha256(hwh)),
        golden=None, axynq="0", built="2024-01-01T00:00:00+00:00",
    )  # fmt: skip
