# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How a command ends: its exit code, and one line for whatever went wrong.

======  ==========================================================
code    meaning
======  ==========================================================
0       done, and all of the results are written
1       an error, named on standard error
2       options are malformed, or do not go together
130     interrupted (Ctrl-C)
141     whoever read standard output has closed it, such as head
143     terminated (SIGTERM)
======  ==========================================================
"""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
import traceback
import warnings
from typing import TextIO

import typer

from axynq.emulator.errors import AxynqError
from axynq.host.cli.completion import ASKED, answer
from axynq.host.cli.output import Verbosity, as_environment_says, console, one_line
from axynq.host.cli.signals import heeded
from axynq.host.cli.usage import UsageError

TRACEBACK = "AXYNQ_TRACEBACK"
"""Environment variable: if set, errors are printed with their traceback."""

READER_GONE = 141
"""128 and the number of SIGPIPE, which ends other tools then without a word."""

_TYPED = (
    (": Value error, ", ": "),
    (r"Input should be a valid integer.*", "it is not a whole number"),
    (r"Input should be a valid number.*", "it is not a number"),
    (r"Input should be greater than or equal to (\S+)", r"it must be \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"it must be \1 or less"),
)
"""What some versions of typer say of values, and what it means."""

_PLAIN = {
    "×": "x", "µ": "u", "μ": "u", "σ": "sigma", "±": "+-", "·": ".", "…": "...", "→": "->",
    "–": "-", "—": "-", "−": "-", "°": "deg", "≤": "<=", "≥": ">=", "─": "-", "━": "-", "│": "|",
}  # fmt: skip
"""Replacements for characters that a terminal or file cannot encode."""


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code. Whatever goes wrong is reported here."""
    _prepare_streams()
    as_environment_says()
    with heeded(), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        code = _outcome(arguments)
    if code:
        _output_fails()
    return code


def _outcome(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        console.message("interrupted")
        return 130
    except AxynqError as error:
        return _report(error, str(error))
    except OSError as error:
        return _refused(error)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # what rich does of itself, for the help
            return READER_GONE
        raise
    except MemoryError as error:
        return _report(
            error,
            "the memory of this machine does not suffice: use fewer examples (--limit), a smaller "
            f"batch, or fewer threads{_detail(error)}",
        )
    except UnicodeDecodeError as error:
        return _report(error, f"a file is not text in {error.encoding}: {error}")
    except RecursionError as error:
        return _report(error, f"a file or an option is nested too deeply{_detail(error)}")
    except Exception as error:
        return _report(
            error,
            f"this is a fault in axynq: {type(error).__name__}{_detail(error)}. Please report it, "
            f"with the command and what it prints when {TRACEBACK}=1 is set",
        )


def _refused(error: OSError) -> int:
    """What the operating system refused, told unless nobody reads the output any more."""
    if isinstance(error, BrokenPipeError) and _reader_gone():
        return READER_GONE
    if _output_fails():
        reason = error.strerror or error
        return _report(error, f"standard output cannot be written: {reason}")
    return _report(error, _system_error(error))


def _run(arguments: list[str]) -> int:
    from axynq.host.cli.commands import app

    command = typer.main.get_command(app)
    if os.environ.get(ASKED):
        answer(command)
    code = 0
    try:
        # typer's own way of running a command swallows some errors and boxes others.
        with command.make_context("axynq", arguments) as context:
            command.invoke(context)
    except typer.Exit as stop:
        code = stop.exit_code
    except UsageError as error:
        if not arguments:  # the help has been shown
            return 2
        text = one_line(error.format_message())  # type: ignore[attr-defined]
        for typed, plain in _TYPED:
            text = re.sub(typed, plain, text)
        console.error(f"{text.rstrip('.')} ({_command(error)} --help explains)")
        return 2
    sys.stdout.flush()
    return code


def _command(error: Exception) -> str:
    """The command that an error is about, such as ``axynq run``."""
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context is not None else "axynq"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line, without file and line number."""
    console.warn(str(message))


def _report(error: BaseException, text: str) -> int:
    if os.environ.get(TRACEBACK) or console.verbosity >= Verbosity.VERBOSE:
        traceback.print_exception(error)
    console.error(text)
    return 1


def _detail(error: BaseException) -> str:
    return f" ({error})" if str(error) else ""


def _system_error(error: OSError) -> str:
    """What the operating system refused, and of which file."""
    files = [str(name) for name in (error.filename, error.filename2) if name is not None]
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {' -> '.join(files)}" if files else reason


def _prepare_streams() -> None:
    """Make the streams accept every character; closed ones fail when written to, not before."""
    # Where a standard stream is closed the next file that is opened would take its place, and what
    # tools print would end up in it.
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    codecs.register_error("axynq.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="axynq.plain")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return plain, error.end


def _reader_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    if not hasattr(select, "poll"):  # Windows
        return False
    watch = select.poll()
    try:
        watch.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in watch.poll(0))


def _output_fails() -> bool:
    """Whether standard output cannot be written; if so, drop it and what it still buffers."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _let_go(sys.stdout)
        return True
    return False


def _let_go(stream: TextIO) -> None:
    """Otherwise the interpreter would flush again at exit, and complain."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
        stream.flush()
    except (OSError, ValueError):
        pass
