# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Processes that look at arrays and compute cycles, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Optional, TypeVar

from axynq.emulator.errors import ToolError
from axynq.emulator.model.graph import Model
from axynq.emulator.plan import Plan
from axynq.host.design.looks import Look, look_at
from axynq.host.design.speed import cycles_per_image
from axynq.host.overlay import Overlay

T = TypeVar("T")

Timed = tuple[Plan, Overlay, int, Optional[int]]
"""What cycles are asked of: a plan, an overlay, images at a time, and the depth of its
multiplication loop where it is known."""


class Workers:
    """Worker processes, for a ``with`` statement.

    They are forked where that can be done, so that a program that uses them needs no guard around
    its main part.
    """

    def __init__(self, model: Model, clocks: Sequence[float], count: int | None = None) -> None:
        self.model, self.clocks = model, tuple(clocks)
        self.count = count or available()
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("fork" if "fork" in methods else None)
        self._pool = ProcessPoolExecutor(self.count, context, _begin, (model, self.clocks))

    def __enter__(self) -> Workers:
        # All of them now, before there are threads.
        for future in [self._pool.submit(os.getpid) for _ in range(self.count)]:
            future.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in processes:
                process.terminate()

    def cycles(
        self, asked: Sequence[Timed], advance: Callable[[int], None] = lambda done: None
    ) -> list[float | None]:
        """Cycles per image of each; None where the array cannot run the network."""
        return list(self._all([self._pool.submit(_cycles, *each) for each in asked], advance))

    def looks(
        self, overlays: Sequence[Overlay], advance: Callable[[int], None] = lambda done: None
    ) -> list[Look]:
        """What the analysis says of each.

        Raises:
            ToolError: clang or LLVM is not installed.
        """
        return list(self._all([self._pool.submit(_look, each) for each in overlays], advance))

    def _all(self, futures: Sequence[Future[T]], advance: Callable[[int], None]) -> Iterator[T]:
        try:
            for future in futures:
                yield future.result()
                advance(1)
        except BrokenProcessPool as error:
            raise ToolError(f"a worker process ended: {error}") from error


def available() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


_task: tuple[Model, tuple[float, ...]] | None = None


def _begin(model: Model, clocks: tuple[float, ...]) -> None:
    global _task
    _task = (model, clocks)
    # The process that waits for them ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _cycles(plan: Plan, overlay: Overlay, batch: int, depth: int | None) -> float | None:
    assert _task is not None
    return cycles_per_image(_task[0], plan, overlay, batch, depth)


def _look(overlay: Overlay) -> Look:
    assert _task is not None
    return look_at(overlay, _task[1])
