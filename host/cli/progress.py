# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How far the work is, and how long it still takes: bars on a terminal, nothing elsewhere.

Where standard error is no terminal, --verbose prints a line for each thing that is begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from axynq.host.cli.output import console

ProgressBar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""What :func:`progress_bar` is, for functions that measure and do not print."""


class _Remaining(ProgressColumn):
    """The time left, in words that stand alone beside the time that has passed."""

    def __init__(self) -> None:
        super().__init__()
        self._column = TimeRemainingColumn(compact=True)

    def render(self, task: Task) -> Text:
        if task.time_remaining is None:
            return Text("")
        return Text.assemble(self._column.render(task), " left")


def _columns(counted: bool) -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn() if counted else TaskProgressColumn(),
        TimeElapsedColumn(),
        _Remaining(),
    )


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields what advances it."""
    if not console.live:
        console.detail(f"{description} ...")
        yield lambda count: None
        return
    with Progress(*_columns(True), console=console, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


class Phases(Protocol):
    """What is told of work in several phases."""

    def __call__(self, what: str, done: float, of: float, now: str = "") -> None:
        """``what`` is done as far as ``done`` of ``of``; ``now`` is said beside it."""


class PhaseBar:
    """A bar for one phase after another; each has its own time."""

    def __init__(self, counted: bool) -> None:
        self.bar = Progress(*_columns(counted), console=console, transient=True)
        self._task = self.bar.add_task("", total=None)
        self._phase: str | None = None

    def __call__(self, what: str, done: float, of: float, now: str = "") -> None:
        if what != self._phase:
            self.bar.reset(self._task)
            self._phase = what
        description = f"{what}: {now}" if now else what
        self.bar.update(self._task, description=description, completed=done, total=max(of, 1))


class PhaseLines:
    """A line for each phase, for --verbose."""

    def __init__(self) -> None:
        self._phase: str | None = None

    def __call__(self, what: str, done: float, of: float, now: str = "") -> None:
        if what != self._phase:
            console.detail(f"{what} ...")
            self._phase = what


@contextmanager
def phases(counted: bool = True) -> Iterator[Phases]:
    """A bar for work in several phases; yields what is told how far it is.

    Args:
        counted: show ``done/of``; otherwise percent.
    """
    if not console.live:
        yield PhaseLines()
        return
    bar = PhaseBar(counted)
    with bar.bar:
        yield bar
