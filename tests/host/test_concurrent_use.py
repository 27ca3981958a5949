# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Several calls at once, and calls that end early: never a wrong answer, and the next one works."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.errors import DeviceError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Overlay, Program, compile_program
from axynq.host.runtime import accelerator as accelerator_module
from axynq.host.runtime import sharing
from axynq.host.software_board.device import SoftwareBoard
from tests.hybrid_networks import Network
from tests.networks import convolution, depthwise, random_input

WAITS = ("polling", "interrupt")


class Case(NamedTuple):
    """A run, and what it must give."""

    program: Program
    x: np.ndarray
    expected: np.ndarray

    def check(self, y: np.ndarray) -> None:
        assert np.array_equal(y, self.expected)


def in_turns() -> graph.Model:
    """Three layers of the core, and what the host computes between them."""
    network = Network((3, 4, 4), seed=2)
    x = network.convolution(0, 6, 3)
    for _ in range(2):
        y = network.add(graph.Softmax, (x,), network.new(network.shape(x), 1 / 256, -128), 1.0)
        x = network.convolution(y, 5)
    return network.model()


def cases_for(overlay: str) -> list[Case]:
    """Networks whose feature maps lie in different places, in batches of different sizes."""
    networks = [
        (convolution(5, 5, 3, 4, 3, 1), "exact"),
        (convolution(8, 8, 2, 8, 3, 2), "exact"),
        (depthwise(6, 6, 4, 3, 3), "exact"),
        (in_turns(), "exact"),
    ]
    cases = []
    for model, plan in networks:
        program, emulator = compile_program(model, plan, overlay), Emulator(model, plan)
        for images in (1, 3, 8):
            x = random_input(model, images, images)
            cases.append(Case(program, x, emulator.run(x)))
    return cases


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return cases_for("tiny4")


@pytest.fixture
def long(cases: list[Case]) -> Case:
    """Four starts."""
    return cases[2]


@pytest.fixture(params=["core", "core and host"])
def any_long(request: pytest.FixtureRequest, cases: list[Case]) -> Case:
    """Four starts, or three for each of four."""
    return cases[2] if request.param == "core" else cases[11]


@pytest.fixture
def other(cases: list[Case]) -> Case:
    """Another program, which goes where the first one is; two starts."""
    return cases[4]


@pytest.fixture(autouse=True)
def _small_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator_module, "START_IMAGES", 2)


@pytest.fixture(params=WAITS)
def accelerator(request: pytest.FixtureRequest) -> Iterator[Accelerator]:
    with Accelerator("tiny4", device="software", timeout=60, wait=request.param) as opened:
        yield opened


@pytest.fixture
def polling() -> Iterator[Accelerator]:
    with Accelerator("tiny4", device="software", timeout=60) as opened:
        yield opened


def stop_after(count: int, error: BaseException) -> Callable[[int], None]:
    """An ``advance`` that raises at the ``count``-th call."""
    calls = 0

    def advance(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == count:
            raise error

    return advance


# --- at once -------------------------------------------------------------------------------------


def test_coroutines(accelerator: Accelerator, cases: list[Case]) -> None:
    async def gather() -> list[np.ndarray]:
        return await asyncio.gather(*(accelerator.run_async(c.program, c.x) for c in 3 * cases))

    for y, case in zip(asyncio.run(gather()), 3 * cases):
        case.check(y)
    assert accelerator.driver.lost_interrupts == 0


def test_threads(accelerator: Accelerator, cases: list[Case]) -> None:
    with ThreadPoolExecutor(4) as pool:
        outputs = pool.map(lambda case: accelerator.run(case.program, case.x), 3 * cases)
        for y, case in zip(outputs, 3 * cases):
            case.check(y)


@pytest.mark.parametrize("locked", [True, False])
def test_calls_take_turns(
    polling: Accelerator, long: Case, other: Case, monkeypatch, locked: bool
) -> None:
    """A second call while the first one is halfway; without turns this is seen to go wrong."""
    if not locked:
        monkeypatch.setattr(sharing.Turn, "take", lambda self, work: work())
    halfway, second_is_done = threading.Event(), threading.Event()

    def advance(_: int) -> None:
        halfway.set()
        second_is_done.wait(0.2 if locked else 60)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(polling.run, long.program, long.x, advance)
        halfway.wait(60)
        second = pool.submit(polling.run, other.program, other.x)
        second.add_done_callback(lambda _: second_is_done.set())
        other.check(second.result())
        if locked:
            long.check(first.result())
        else:
            assert first.exception() or not np.array_equal(first.result(), long.expected)


def test_two_accelerators_of_one_board(long: Case, other: Case) -> None:
    """One core, two owners: the second one is made as if it were opened on the same board."""
    with Accelerator("tiny4", device="software", timeout=60) as first:
        second = Accelerator("tiny4", device="software", timeout=60)
        for name in ("_device", "_loaded", "_driver", "_turn"):
            setattr(second, name, getattr(first, name))
        assert sharing.turn_of(first.device) is second._turn
        with second, ThreadPoolExecutor(2) as pool:
            for _ in range(5):
                calls = [
                    (case, pool.submit(one.run, case.program, case.x))
                    for one, case in ((first, long), (second, other))
                ]
                for case, call in calls:
                    case.check(call.result())
            # what one leaves behind, the other one waits for
            with pytest.raises(ZeroDivisionError):
                first.run(long.program, long.x, stop_after(1, ZeroDivisionError()))
            other.check(second.run(other.program, other.x))


def _take(path: Path, started: Any, log: Path) -> None:
    def work() -> None:
        started.set()
        with log.open("a") as file:
            file.write("in ")
            file.flush()
            time.sleep(0.05)
            file.write("out ")

    sharing.Turn(path).take(work)


def test_processes_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    children = [
        context.Process(target=_take, args=(tmp_path / "lock", context.Event(), log))
        for _ in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert log.read_text().split() == 3 * ["in", "out"]


def test_a_lock_that_cannot_be_opened(tmp_path: Path) -> None:
    turn = sharing.Turn(tmp_path / "nowhere" / "lock")
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"nowhere/lock' cannot be opened"):
            turn.take(lambda: None)


def test_several_boards_at_once(cases: list[Case]) -> None:
    """pynq knows one active device, one set of clocks, and one device for each interrupt line."""
    overlays = ("tiny4", "zcu104-roup32", "tiny4")
    their_cases = [cases, cases_for("zcu104-roup32")[:3], cases]
    barrier = threading.Barrier(len(overlays))

    def use(overlay: str, mine: list[Case]) -> None:
        barrier.wait(60)
        with Accelerator(overlay, device="software", timeout=60, wait="interrupt") as opened:
            barrier.wait(60)
            for case in 2 * mine:
                case.check(opened.run(case.program, case.x))
            assert opened.driver.lost_interrupts == 0
            barrier.wait(60)

    with ThreadPoolExecutor(len(overlays)) as pool:
        list(pool.map(use, overlays, their_cases))


# --- calls that end early ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        pytest.param(ZeroDivisionError(), marks=pytest.mark.thorough),
        pytest.param(MemoryError(), marks=pytest.mark.thorough),
    ],
)
def test_an_advance_that_raises(
    accelerator: Accelerator, any_long: Case, other: Case, count: int, error: BaseException
) -> None:
    accelerator.device.core.delay = 0.02
    with pytest.raises(type(error)):
        accelerator.run(any_long.program, any_long.x, stop_after(count, error))
    other.check(accelerator.run(other.program, other.x))
    any_long.check(accelerator.run(any_long.program, any_long.x))
    assert accelerator.driver.lost_interrupts == 0


def test_the_board_notices_where_nobody_waits(
    polling: Accelerator, long: Case, other: Case, monkeypatch
) -> None:
    """That the tests here would fail: without waiting for the core, memory in use is written."""
    polling.device.core.delay = 0.2
    with pytest.raises(ZeroDivisionError):
        polling.run(long.program, long.x, stop_after(2, ZeroDivisionError()))
    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "_settle", lambda self, timeout: None)
        with pytest.raises(DeviceError, match="was flushed while the core works on it"):
            polling.run(long.program, long.x)
    polling.device.core.delay = 0
    other.check(polling.run(other.program, other.x))


OURS = (
    "accelerator.py", "driver.py", "execution.py", "host_operators.py", "interrupts.py",
    "sharing.py", "software.py",
)  # fmt: skip


class Places:
    """Lines of axynq's that a call executes in this thread: notes them, and raises at one."""

    def __init__(self, at: tuple[str, int] | None = None, passage: int = 1) -> None:
        self.seen: dict[tuple[str, int], int] = {}
        self._at = at
        self._passage = passage

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if os.path.basename(name) not in OURS or "axynq" not in frame.f_globals["__name__"]:
            return None
        if event == "line":
            place = (name, frame.f_lineno)
            self.seen[place] = self.seen.get(place, 0) + 1
            if place == self._at and self.seen[place] == self._passage:
                raise KeyboardInterrupt
        return self

    def watch(self, call: Callable[[], Any]) -> None:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            call()
        finally:
            sys.settrace(before)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("wait", ["polling", pytest.param("interrupt", marks=pytest.mark.thorough)])
def test_keyboard_interrupts_everywhere(wait: Any, cases: list[Case]) -> None:
    """At the first and at the third passage through every line that a run goes through."""
    long, other = cases[10], cases[3]
    accelerator = Accelerator("tiny4", device="software", timeout=60, wait=wait)

    def run() -> None:
        accelerator._program = None  # so that it is written anew
        accelerator.run(long.program, long.x)

    every = Places()
    every.watch(run)
    assert len(every.seen) > 100
    accelerator.device.core.delay = 0.001
    for place, times in every.seen.items():
        line = linecache.getline(*place).strip()
        # Python lets no signal in at "try:", nor where a "with" is left.
        passages = () if line == "try:" else (1,) if line.startswith("with ") else (1, 3)
        for passage in passages:
            if times < passage:
                continue
            with contextlib.suppress(KeyboardInterrupt):
                Places(place, passage).watch(run)
            other.check(accelerator.run(other.program, other.x))


def test_a_signal_while_the_core_works(
    accelerator: Accelerator, any_long: Case, other: Case
) -> None:
    accelerator.run(any_long.program, any_long.x)
    accelerator.device.core.delay = 0.1
    for after in (0.05, 0.13):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, after)
        with pytest.raises(KeyboardInterrupt):
            accelerator.run(any_long.program, any_long.x)
        other.check(accelerator.run(other.program, other.x))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


@pytest.mark.parametrize("after", [0, 0.05, 0.13])
def test_coroutines_that_are_cancelled(
    accelerator: Accelerator, any_long: Case, other: Case, after: float
) -> None:
    accelerator.device.core.delay = 0.1
    done: list[int] = []

    async def main() -> None:
        queued = asyncio.create_task(
            accelerator.run_async(any_long.program, any_long.x, done.append)
        )
        behind = asyncio.create_task(accelerator.run_async(any_long.program, any_long.x))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queued, after)
        behind.cancel()
        with pytest.raises(asyncio.CancelledError):
            await behind
        accelerator.device.core.delay = 0
        other.check(await accelerator.run_async(other.program, other.x))
        any_long.check(await accelerator.run_async(any_long.program, any_long.x))

    asyncio.run(main())
    assert sum(done) < len(any_long.x)  # stopped early


def test_waiting_coroutines_that_are_cancelled(accelerator: Accelerator, long: Case) -> None:
    """The driver: the core goes on, is not started meanwhile, and can be waited for again."""
    accelerator.run(long.program, long.x[:1])
    driver, core = accelerator.driver, accelerator.device.core
    arguments = accelerator._buffers["program"], accelerator._buffers["arena 0"], 1
    core.delay = 0.2

    async def main() -> None:
        driver.start(*arguments, interrupt=accelerator.wait == "interrupt")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(driver.wait_async(60), 0.02)
        with pytest.raises(DeviceError, match="still at work"):
            driver.start(*arguments)
        await asyncio.gather(driver.wait_async(60), driver.wait_async(60))

    asyncio.run(main())
    assert driver.idle
    assert driver.lost_interrupts == 0


def test_a_core_that_hangs_after_a_call_ended(long: Case, other: Case) -> None:
    with Accelerator("tiny4", device="software", timeout=0.2) as opened:

        def hang(_: int) -> None:
            opened.device.core.hang = True

        with pytest.raises(DeviceError, match="did not finish"):
            opened.run(long.program, long.x, hang)
        core = opened.device.core
        other.check(opened.run(other.program, other.x))
        assert opened.device.core is not core  # it was loaded again

        def hang_and_leave(_: int) -> None:
            if opened.device.core.hang:
                raise ZeroDivisionError
            opened.device.core.hang = True

        with pytest.raises(ZeroDivisionError):
            opened.run(long.program, long.x, hang_and_leave)
        other.check(opened.run(other.program, other.x))


def test_loading_again_stops_the_core(polling: Accelerator, long: Case) -> None:
    polling.run(long.program, long.x)
    driver, core = polling.driver, polling.device.core
    arguments = polling._buffers["program"], polling._buffers["arena 0"], 2
    for delay in (0, 60):
        core.delay = delay
        driver.start(*arguments)
        sharing.load_again(polling.device, polling._loaded)
        core, before = polling.device.core, core
        assert core is not before
        assert driver.idle
    long.check(polling.run(long.program, long.x))


# --- closing, re-entrance, forks -----------------------------------------------------------------


def test_use_after_closing(long: Case) -> None:
    opened = Accelerator("tiny4", device="software")
    long.check(opened.run(long.program, long.x))
    opened.close()
    opened.close()
    with pytest.raises(DeviceError, match="is closed: open it again"):
        opened.run(long.program, long.x)
    with pytest.raises(DeviceError, match="is closed: open it again"):
        asyncio.run(opened.run_async(long.program, long.x))
    with pytest.raises(DeviceError, match="is closed: open it again"), opened:
        pass
    assert not opened.device.memory.allocations


def test_closing_waits_for_its_turn(long: Case) -> None:
    opened = Accelerator("tiny4", device="software", timeout=60)
    halfway = threading.Event()
    opened.device.core.delay = 0.02
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(opened.run, long.program, long.x, lambda _: halfway.set())
        halfway.wait(60)
        opened.close()
        long.check(call.result())
    assert not opened.device.memory.allocations


def test_closing_after_a_call_ended(long: Case) -> None:
    opened = Accelerator("tiny4", device="software", timeout=60)
    opened.device.core.delay = 0.1
    with pytest.raises(ZeroDivisionError), opened:
        opened.run(long.program, long.x, stop_after(1, ZeroDivisionError()))
    assert opened.device.core._error is None
    assert not opened.device.memory.allocations


def test_a_call_from_within_another(polling: Accelerator, long: Case, other: Case) -> None:
    errors: list[str] = []

    def advance(_: int) -> None:
        for again in (
            lambda: polling.run(other.program, other.x),
            lambda: asyncio.run(polling.run_async(other.program, other.x)),
            polling.close,
        ):
            with pytest.raises(DeviceError) as error:
                again()
            errors.append(str(error.value))

    long.check(polling.run(long.program, long.x, advance))
    assert len(errors) == 12
    assert all("not from within its advance" in error for error in errors)


def test_a_fork(polling: Accelerator, long: Case) -> None:
    """Its threads are not there, and its core is the parent's."""
    long.check(polling.run(long.program, long.x))
    child = os.fork()
    if child == 0:
        try:
            polling.run(long.program, long.x)
        except DeviceError as error:
            polling.close()
            if "forked" in str(error):
                with Accelerator("tiny4", device="software", wait="interrupt") as mine:
                    long.check(mine.run(long.program, long.x))
                    os._exit(mine.driver.lost_interrupts)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    long.check(polling.run(long.program, long.x))


# --- what the software board notices -------------------------------------------------------------


def test_the_board_protects_what_the_core_uses(polling: Accelerator, long: Case) -> None:
    polling.run(long.program, long.x)
    driver, core = polling.driver, polling.device.core
    program, arena = polling._buffers["program"], polling._buffers["arena 0"]
    core.delay = 0.2
    driver.start(program, arena, 1)
    for buffer in (program, arena, arena[4:8]):
        with pytest.raises(DeviceError, match="was flushed while the core works on it"):
            buffer.flush()
    with pytest.raises(DeviceError, match="was read back while the core works on it"):
        arena.invalidate()
    with pytest.raises(DeviceError, match="register 0x10 was written while the core is at work"):
        driver.write(0x10, 0)
    with pytest.raises(DeviceError, match="was started while it is at work"):
        driver.write(0, 1)
    polling._buffers["arena 1"].flush()  # the other one is free
    driver.wait(60)
    arena.invalidate()


def test_the_board_keeps_what_is_freed_too_early(polling: Accelerator, long: Case) -> None:
    polling.run(long.program, long.x)
    polling.device.core.delay = 0.1
    polling.driver.start(polling._buffers["program"], polling._buffers["arena 0"], 1)
    allocations = len(polling.device.memory.allocations)
    polling._free("arena 0")
    assert len(polling.device.memory.allocations) == allocations
    with pytest.raises(DeviceError, match="was freed while the core works on it"):
        polling.driver.wait(60)
    polling.device.core.delay = 0
    long.check(polling.run(long.program, long.x))


def test_every_device_has_a_turn_of_its_own() -> None:
    boards = [SoftwareBoard(Overlay.load("tiny4")) for _ in range(2)]
    assert sharing.turn_of(boards[0]) is sharing.turn_of(boards[0])
    assert sharing.turn_of(boards[0]) is not sharing.turn_of(boards[1])
