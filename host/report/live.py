# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pages that are written while work goes on: seldom, whole, and never at the work's cost."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from axynq.emulator.errors import AxynqError
from axynq.emulator.plan import Plan
from axynq.host.report.kept import Front, read_front
from axynq.host.report.page import write
from axynq.host.report.progress import (
    Ended,
    Epoch,
    Search,
    Seen,
    Stage,
    Training,
    progress_page,
    read_record,
)

PAGE = "progress.html"
"""In the folder of a search."""

PAUSE = 3.0
"""Seconds between two pages at least, while nothing begins or ends."""

RECENT = 120.0
"""Seconds from which the speed of a stage is taken: what a store had already goes by at once."""

SEEN = 200
"""Plans of a front that a page has at most."""

Say = Callable[[str], None]

P = ParamSpec("P")


def page_beside(output: Path) -> Path:
    """The page of a training whose result is written to ``output``."""
    return output.with_name(f"{output.stem}.{PAGE}")


class _Evaluated(Protocol):
    """A plan of a front, such as :class:`axynq.emulator.studies.search.front.Candidate`."""

    @property
    def level(self) -> str: ...
    @property
    def energy(self) -> float: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def plan(self) -> Plan: ...


class Follower:
    """Writes a page now and then. An error ends the page, with a word about it, and nothing else.

    Args:
        path: of the page.
        say: told once what went wrong.
        wanted: whether there is a page at all.
    """

    def __init__(self, path: Path, say: Say, wanted: bool = True) -> None:
        self.path, self.say = path, say
        self._working = wanted
        self._written = 0.0

    def show(self, record: Search | Training, front: Front | None = None) -> None:
        """Write the page of a record now."""
        self.attempt(lambda: write(progress_page(record, front), self.path))
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the page may be written again."""
        return self._working and time.monotonic() - self._written >= PAUSE

    def attempt(self, work: Callable[[], None]) -> None:
        """Do a part of making the page, unless an earlier one failed."""
        if not self._working:
            return
        try:
            work()
        except Exception as error:  # whatever it is, hours of work are worth more
            self._working = False
            self.say(f"there is no page of the progress: {error}")


class _Speed:
    """How fast a stage is, from the last of its updates."""

    def __init__(self) -> None:
        self._updates: deque[tuple[float, float]] = deque()

    def left(self, done: float, of: float) -> float | None:
        """Seconds that the rest takes, by how long the last part took; None: not known yet."""
        now = time.monotonic()
        self._updates.append((now, done))
        while len(self._updates) > 2 and now - self._updates[1][0] > RECENT:
            self._updates.popleft()
        first, before = self._updates[0]
        if done <= before or now - first < 1:
            return None
        return max(0.0, of - done) * (now - first) / (done - before)


class SearchPage:
    """Follows a search; called as its progress is.

    Args:
        folder: of the search; the page is in it.
        network: what is searched for.
        say: told once if there is no page.
    """

    def __init__(self, folder: Path, network: str, say: Say) -> None:
        self.folder = folder
        now = time.time()
        self.record = Search(network=network, command=command(), started=now, updated=now)
        self.follower = Follower(folder / PAGE, say)
        self._stages: list[Stage] = []
        self._latest: Callable[[], Stage] | None = None
        self._name, self._begun, self._speed = "", now, _Speed()

    def __call__(self, what: str, done: int, of: int, front: Sequence[_Evaluated]) -> None:
        new = self._latest is None or self._name != what
        if new:
            self.follower.attempt(self._close_stage)
            self._name, self._begun, self._speed = what, time.time(), _Speed()
        left = self._speed.left(done, of)
        self._latest = partial(self._stage, what, done, of, front, self._begun)
        if new or self.follower.due:
            self.follower.attempt(lambda: self._update(left))
            self.follower.show(self.record)

    def _close_stage(self) -> None:
        if self._latest is not None:
            stage = self._latest()
            # Some tell nothing until they are over.
            self._stages.append(stage.model_copy(update={"done": stage.done or stage.of}))

    @staticmethod
    def _stage(what: str, done: int, of: int, front: Sequence[_Evaluated], begun: float) -> Stage:
        seen = tuple(
            Seen(level=c.level, energy=c.energy, accuracy=c.accuracy, multipliers=in_short(c.plan))
            for c in front[:: max(1, -(-len(front) // SEEN))]
        )
        return Stage(name=what, done=done, of=of, seconds=time.time() - begun, front=seen)

    def _update(self, left: float | None) -> None:
        current = [] if self._latest is None else [self._latest()]
        stages = (*self._stages, *current)
        changed = {"stages": stages, "updated": time.time(), "seconds_left": left}
        self.record = self.record.model_copy(update=changed)

    def end(self, how: Ended) -> None:
        """The last page, with what the search has written."""
        self.follower.attempt(lambda: self._update(None))
        self.record = self.record.model_copy(update={"ended": how})
        try:
            front = read_front(self.folder) if how == "finished" else None
        except AxynqError:
            front = None
        self.follower.show(self.record, front)


class TrainingPage:
    """Follows a training; called as its progress is.

    Args:
        output: what the training writes; the page is beside it.
        network: what is trained.
        plan: as the user wrote it.
        recipe: options by name; ``epochs`` among them.
        say: told once if there is no page.
        resumes: whether the same command goes on from a checkpoint.
    """

    def __init__(
        self, output: Path, network: str, plan: str, recipe: Mapping[str, Any], say: Say,
        resumes: bool = False,
    ) -> None:  # fmt: skip
        now = time.time()
        self.record = Training(
            network=network, command=command(), started=now, updated=now, plan=plan,
            recipe=dict(recipe), epochs=int(recipe["epochs"]), resumes=resumes,
        )  # fmt: skip
        # A device or a pipe has no place beside it.
        wanted = output.is_file() or not output.exists()
        self.follower = Follower(page_beside(output), say, wanted)
        self._speed = _Speed()
        self._history: dict[int, Epoch] = {}

    def __call__(self, last: Any, step: int, steps: int, loss: float) -> None:
        new = last.number not in self._history
        if new and last.number and not self._history:
            self.follower.attempt(lambda: self._remember(last.number))
        left = self._speed.left(last.number + step / steps, self.record.epochs)
        if new or self.follower.due:
            self.follower.attempt(lambda: self._update(last, step, steps, loss, left))
            self.follower.show(self.record)

    def _remember(self, number: int) -> None:
        """A resumed training: its first epochs are in the page of the run before."""
        try:
            before = read_record(self.follower.path)
        except AxynqError:
            return
        own = self.record
        if isinstance(before, Training) and (before.network, before.plan, before.recipe) == (
            own.network, own.plan, own.recipe,
        ):  # fmt: skip
            self._history = {e.number: e for e in before.history if e.number < number}

    def _update(self, last: Any, step: int, steps: int, loss: float, left: float | None) -> None:
        self._add(last)
        self.record = self.record.model_copy(
            update={"history": tuple(self._history.values()), "step": step, "steps": steps,
                    "loss": _or_none(loss), "updated": time.time(), "seconds_left": left}
        )  # fmt: skip

    def _add(self, epoch: Any) -> None:
        self._history[epoch.number] = Epoch(
            number=epoch.number,
            loss=_or_none(epoch.loss),
            accuracy=epoch.accuracy,
            seconds=epoch.seconds,
        )

    def results(self, history: Sequence[Any], accuracies: Mapping[str, float]) -> None:
        """All epochs, and accuracies on the test examples by what they are of."""

        def add() -> None:
            for epoch in history:
                self._add(epoch)
            known = tuple(self._history[k] for k in sorted(self._history))
            self.record = self.record.model_copy(
                update={"history": known, "results": dict(accuracies)}
            )

        self.follower.attempt(add)

    def end(self, how: Ended) -> None:
        """The last page."""
        changed = {"ended": how, "updated": time.time(), "seconds_left": None}
        self.record = self.record.model_copy(update=changed)
        self.follower.show(self.record)


class Ends(Protocol):
    """What is told how work ends."""

    def end(self, how: Ended) -> None:
        """It ended so."""


EndsT = TypeVar("EndsT", bound=Ends)


@contextmanager
def following(page: EndsT) -> Iterator[EndsT]:
    """``page``, told how the block ends."""
    try:
        yield page
    except (KeyboardInterrupt, SystemExit):
        page.end("interrupted")
        raise
    except BaseException:
        page.end("failed")
        raise
    page.end("finished")


def both(first: Callable[P, None], second: Callable[P, None]) -> Callable[P, None]:
    """What calls one after the other."""

    def call(*arguments: P.args, **named: P.kwargs) -> None:
        first(*arguments, **named)
        second(*arguments, **named)

    return call


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def in_short(plan: Plan) -> str:
    """The multipliers of a plan, each once."""
    assignments = [*plan.layers.values(), *([plan.default] if plan.default else [])]
    return " | ".join(dict.fromkeys(spec for each in assignments for spec in each.multipliers))


def command() -> str:
    """This command as it was typed."""
    return shlex.join(["axynq", *sys.argv[1:]])
