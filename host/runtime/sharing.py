# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What there is once: a core on each device, and pynq's state in each process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from axynq.emulator.errors import DeviceError

Result = TypeVar("Result")


class Turn:
    """Whose turn it is to use a device's core.

    Args:
        path: a file that processes lock which share the device; None: they do not.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.unfinished = False
        """Whether the core has been started and nobody has seen it finish."""
        self.hung = False
        """Whether the core has to be reset, by loading the overlay again, before it is started."""
        self._path = path
        self._file: int | None = None
        self._lock = threading.Lock()
        self._owner: int | None = None

    def check(self) -> None:
        """Raises:
        DeviceError: it is this thread's turn, which would wait for itself.
        """
        if self._lock.locked() and self._owner == threading.get_ident():
            raise DeviceError(
                "the accelerator is at work for this very call: run, close and open accelerators "
                "when run() has returned, not from within its advance"
            )

    def take(self, work: Callable[[], Result]) -> Result:
        """Wait for this thread's turn, do ``work``, and give the turn on, whatever happens.

        Raises:
            DeviceError: it is this thread's turn already.
        """
        self.check()
        # A with statement on the lock itself: no signal comes between taking and holding it.
        with self._lock:
            try:
                self._owner = threading.get_ident()
                self._lock_file()
                return work()
            finally:
                self._owner = None
                self._unlock_file()

    def _lock_file(self) -> None:
        if self._path is None:
            return
        import fcntl  # on boards only

        try:
            if self._file is None:
                # Without O_CREAT where it is there: Linux refuses that for others' files in /tmp.
                create = 0 if self._path.exists() else os.O_CREAT
                self._file = os.open(self._path, os.O_RDONLY | create, 0o644)
        except OSError as error:
            raise DeviceError(
                f"'{self._path}' cannot be opened ({error.strerror}), which processes lock that "
                "share the board: remove it, or set TMPDIR to a folder that can be written"
            ) from error
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def _unlock_file(self) -> None:
        if self._file is not None:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_UN)


_turns: weakref.WeakKeyDictionary[Any, Turn] = weakref.WeakKeyDictionary()
_turns_lock = threading.Lock()


def turn_of(device: Any, path: Path | None = None) -> Turn:
    """The turn of a ``pynq.Device``, the same for everybody in this process."""
    with _turns_lock:
        if device not in _turns:
            _turns[device] = Turn(path)
        return _turns[device]


pynq_lock = threading.RLock()
"""Held while pynq's process-wide state is used: the active device, clocks, interrupt controllers.
Taken after a turn, never before one."""


def activate(device: Any) -> None:
    """Make pynq's process-wide state that of ``device``: interrupts, ``PL`` and clocks ignore the
    device that they are given. With :data:`pynq_lock` held."""
    import pynq

    pynq.Device.active_device = device
    # The clocks remember the first device of the process, which may have been of another family.
    if getattr(pynq.Clocks, "device", None) is not device:
        pynq.Clocks.device = device
        if hasattr(pynq.Clocks, "_real_instance"):
            del pynq.Clocks._real_instance


def load_again(device: Any, loaded: Any) -> None:
    """Load a ``pynq.Overlay`` again, which resets its core."""
    with pynq_lock:
        activate(device)
        loaded.download()


def _forget_after_fork() -> None:
    """Locks that other threads of the parent held are never released in a child."""
    global _turns_lock, pynq_lock
    _turns_lock, pynq_lock = threading.Lock(), threading.RLock()
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
