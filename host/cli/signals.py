# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Ctrl-C and SIGTERM end a command wherever they find it.

Python drops what is raised in a destructor or in a callback of C code: there it has nobody to tell.
An interrupt that strikes such a place would be lost, and the destructor's work half done. It comes
again a moment later instead.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from axynq.host.cli.output import console

_AGAIN = 0.01
"""Seconds after which a signal comes again."""


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Inside, Ctrl-C raises :class:`KeyboardInterrupt` and SIGTERM :class:`SystemExit`, neither of
    which can get lost. Where Ctrl-C is ignored it stays so, as in a shell's background jobs.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    dropped_before = sys.unraisablehook

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is KeyboardInterrupt:
            _send_again(signal.SIGINT)
        elif what.exc_type is SystemExit:
            _send_again(signal.SIGTERM)
        else:
            dropped_before(what)

    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, _outside_destructors(_interrupt))
    signal.signal(signal.SIGTERM, _outside_destructors(_terminate))
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = dropped_before
        for number, handler in before.items():
            if handler is not None:  # None: set by C code, and cannot be set from here
                signal.signal(number, handler)


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _terminate() -> NoReturn:
    """End as after Ctrl-C: workers are stopped, finished results are kept."""
    console.message("terminated")
    sys.exit(128 + signal.SIGTERM)


def _outside_destructors(end: Callable[[], NoReturn]) -> Callable[[int, FrameType | None], None]:
    def handler(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            # What is raised in this module, while it sees to a signal, would be lost as well.
            if frame.f_code.co_name == "__del__" or frame.f_code.co_filename == __file__:
                _send_again(number)
                return
            frame = frame.f_back
        end()

    return handler


def _send_again(number: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(_AGAIN, signal.pthread_kill, (main, number))
    timer.daemon = True
    timer.start()
