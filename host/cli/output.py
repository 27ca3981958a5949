# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What commands print: results to standard output, everything else to standard error.

Texts are printed as they are: square brackets and colons in a file's name are no markup.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from axynq.emulator.errors import DataError

FILE_WIDTH = 120
"""Width of tables that are written to a file, unless COLUMNS is set."""

LEAST_WIDTH = 20


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader wants no more: no error for users
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"standard output cannot be written: {reason}") from error


class Verbosity(IntEnum):
    """How much commands print beside their results."""

    QUIET = 0
    """Warnings and errors."""
    NORMAL = 1
    """Also notes, what was written, and on a terminal how far the work is."""
    VERBOSE = 2
    """Also each step and how long it took."""


class Step:
    """What is being done, and what of it.

    On a terminal it is shown, with a spinner, as long as it takes. Elsewhere, where --verbose asks
    for it, each text is a line.
    """

    def __init__(self, console: _Console, text: str | Text) -> None:
        self._console = console
        self._text = _literal(text)
        self._spinner: Status | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Step:
        if self._console.live:
            self._spinner = Status(self._text, console=self._console)
            self._spinner.start()
        else:
            self._console.detail(f"{self._text.plain} ...")
        return self

    def update(self, text: str | Text) -> None:
        """Show another text."""
        self._text = _literal(text)
        if self._spinner is not None:
            self._spinner.update(self._text)
        else:
            self._console.detail(f"{self._text.plain} ...")

    def __exit__(self, *_: object) -> None:
        if self._spinner is not None:
            self._spinner.stop()
        if self._console.live:
            seconds = time.monotonic() - self._began
            self._console.detail(f"{self._text.plain}: {seconds:.1f} s")


class _Console(Console):
    """A console that prints texts literally, without interpreting markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        self.verbosity = Verbosity.NORMAL

    @property
    def live(self) -> bool:
        """Whether there is somebody to see how far the work is: FORCE_COLOR in front of a file asks
        for colours, not for spinners."""
        return self.verbosity > Verbosity.QUIET and self.is_terminal and self._file_is_terminal()

    def _file_is_terminal(self) -> bool:
        try:
            return bool(self.file.isatty())
        except ValueError:  # closed
            return False

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, messages to standard error unless they are to be few."""
        if not self.stderr:
            with _writing():
                super().print(*objects, **options)
        elif self.verbosity > Verbosity.QUIET:
            super().print(*objects, **options)

    def status(self, status: str | Text) -> Step:  # type: ignore[override]
        """Tell of a step that takes time, inside ``with``."""
        return Step(self, status)

    def detail(self, text: str) -> None:
        """A message for --verbose."""
        if self.verbosity >= Verbosity.VERBOSE:
            self.message(one_line(text))

    def note(self, text: str | Text) -> None:
        """A message that --quiet leaves out; nothing happens if it cannot be written."""
        if self.verbosity > Verbosity.QUIET:
            self.message(text)

    def warn(self, text: str) -> None:
        """One line about what may not be as it should."""
        self._titled("warning", "bold yellow", text)

    def error(self, text: str) -> None:
        """One line about what went wrong."""
        self._titled("error", "bold red", text)

    def _titled(self, title: str, style: str, text: str) -> None:
        self.message(
            Text(f"{title}: ", style=style).append(one_line(text), style="not bold default")
        )

    def message(self, text: str | Text) -> None:
        """A message whatever the options say; nothing happens if it cannot be written."""
        with suppress(OSError, ValueError):
            super().print(text, soft_wrap=True)

    def set_width(self, width: int | None) -> None:
        """None: the terminal's own."""
        self._width = width

    def on_broken_pipe(self) -> None:
        """Raise, as for other errors; rich would exit silently."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _width(otherwise: int | None) -> int | None:
    """The width that COLUMNS says, if it is a number."""
    columns = os.environ.get("COLUMNS", "")
    return max(LEAST_WIDTH, int(columns)) if re.fullmatch("[0-9]{1,4}", columns) else otherwise


def _results_width() -> int | None:
    """None for the terminal's own width; wide enough for all tables in files."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return _width(None if terminal else FILE_WIDTH)


console = _Console(stderr=True, width=_width(None))
"""Messages, progress and errors."""

results = _Console(width=_results_width())
"""Tables of results."""

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object instead of tables.", rich_help_panel="Results"
    ),
]


def print_json(kind: str, content: dict[str, Any]) -> None:
    """One JSON object on standard output; infinities and NaN become ``null``.

    Args:
        kind: the first field, ``axynq/NAME/VERSION``; :mod:`axynq.host.cli.schemas` has a model
            for each.
        content: the other fields.
    """
    with _writing():
        print(
            json.dumps(_finite({"schema": kind, **content}), indent=2, allow_nan=False), flush=True
        )


def _finite(content: Any) -> Any:
    """The same with None for infinities and NaN, which JSON does not have."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content


def one_line(text: str) -> str:
    """The text without line breaks and control characters, whatever a file is called."""
    text = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)


def finite(number: float | None) -> float | None:
    """For options: refuses NaN and infinities.

    Raises:
        typer.BadParameter: it is one of those.
    """
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is not a number to use here.")
    return number


def be_quiet() -> None:
    """Print results, warnings and errors alone.

    Raises:
        typer.BadParameter: the opposite was asked for too.
    """
    if console.verbosity > Verbosity.NORMAL:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    console.verbosity = Verbosity.QUIET


def be_verbose() -> None:
    """Also print each step.

    Raises:
        typer.BadParameter: the opposite was asked for too.
    """
    if console.verbosity < Verbosity.NORMAL:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    console.verbosity = Verbosity.VERBOSE


def without_colours() -> None:
    """Print no colours, whatever the terminal can do."""
    console.no_color = results.no_color = True


def as_environment_says() -> None:
    """Undo what a command before has set, in the same process."""
    console.set_width(_width(None))
    results.set_width(_results_width())
    console.verbosity = Verbosity.NORMAL
    console.no_color = results.no_color = bool(os.environ.get("NO_COLOR"))


_NUMBER = r"[-+±]?\d[\d.,]*(?:e[-+]?\d+)?(?: ?(?:%|[µmnkM]?(?:s|W|J|Hz|B)|dB|KiB|MiB))?"
_FIGURE = re.compile(rf"{_NUMBER}(?: ?(?:to|of|±|/|–|×) ?{_NUMBER})*")
"""A number with its unit, an interval, a share of a whole, a shape."""

_SHARE = re.compile(rf"\S+ {_NUMBER}")
"""A multiplier and its share."""

SPACES = (3, 2, 1)
"""Between columns; fewer where more do not fit."""

PADDING = {3: (0, 1, 0, 1), 2: (0, 1, 0, 0), 1: (0, 0, 0, 0)}
"""Of cells, by the spaces between columns, of which the table's frame is one."""

LEAST_TEXT = 16
"""A column of sentences is not narrower, unless they are short."""

LEAST_NAME = 4
"""Names in lines are not folded to less."""

LONGEST_WORD = 28
"""Longer ones in sentences are paths, and may be folded."""

LEAST_FOLDED = 20
"""The first column may be folded, but is not narrower than this then."""


class ResultTable(Table):
    """A table that never breaks or cuts a word or figure.

    Where the columns do not fit, they move together and cells are wrapped: between words, but
    figures stay whole, with their units and as intervals; long texts of the first column are
    folded. Where that does not do either, every row is printed as lines of ``column  value``.
    """

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of texts."""
        super().add_row(*(_whole(cell) for cell in cells), **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.columns[1:]:
            column.justify = "right" if _holds_figures(column) else "left"
        whole = [_widest(column, lambda line: [line]) for column in self.columns]
        least = [_least(column) for column in self.columns]
        least[0] = whole[0]
        for spaces in SPACES:
            room = options.max_width - max(spaces * len(self.columns), len(self.columns) + 1)
            if sum(least) <= room:
                break
        else:
            first = room - sum(least[1:])
            if first < LEAST_FOLDED:
                yield from self._as_lines()
                return
            least[0] = first
            self.columns[0].no_wrap, self.columns[0].overflow = False, "fold"
        self.padding = PADDING[spaces]
        spare, wanted = room - sum(least), sum(whole) - sum(least)
        for column, most, few in zip(self.columns, whole, least):
            column.width = most
            if wanted > spare:
                column.width = few + (most - few) * spare // wanted
                column._cells = [_divided(cell, column.width) for cell in column.cells]
        yield from super().__rich_console__(console, options)

    def _as_lines(self) -> Iterator[RenderableType]:
        if self.title:
            yield _literal(self.title)
        names = [_literal(column.header) for column in self.columns[1:]]
        for first, *others in zip(*(column.cells for column in self.columns)):
            yield Text("\n").append_text(_literal(first))
            yield _Pairs([(n, c) for n, c in zip(names, map(_literal, others)) if c.plain])
        yield ""


def _whole(cell: Any) -> Any:
    """The cell, on one line if it is a figure."""
    if isinstance(cell, str) and _FIGURE.fullmatch(cell):
        return Text(cell, no_wrap=True)
    return cell


def _unbroken(line: str) -> list[str]:
    """What of a line stays together."""
    if _FIGURE.fullmatch(line):
        return [line]
    parts = [f"{part}," for part in line.split(", ")]
    parts[-1] = parts[-1][:-1]
    return [word for p in parts for word in ([p] if _SHARE.fullmatch(p.rstrip(",")) else p.split())]


def _least(column: Column) -> int:
    """The width below which a column is not readable."""
    if not any(_is_sentence(_literal(cell).plain) for cell in column.cells):
        return _widest(column, _unbroken)
    column.overflow = "fold"  # of paths in sentences
    words = _widest(column, lambda line: [word[:LONGEST_WORD] for word in _unbroken(line)])
    return max(words, min(_widest(column, lambda line: [line]), LEAST_TEXT))


def _is_sentence(text: str) -> bool:
    """Whether a text has several words that are no figure and no shares."""
    shares = all(map(_SHARE.fullmatch, text.split(", ")))
    return len(text.split()) > 2 and not shares and _FIGURE.fullmatch(text) is None


def _divided(cell: Any, width: int) -> Any:
    """A list of shares, a line for each, where the column is too narrow for all in one."""
    text = _literal(cell).plain
    parts = text.split(", ")
    if cell_len(text) > width and len(parts) > 1 and all(map(_SHARE.fullmatch, parts)):
        return Text(",\n".join(parts))
    return cell


def _holds_figures(column: Column) -> bool:
    """Whether a column has more figures than words."""
    cells = [text for cell in column.cells if (text := _literal(cell).plain) not in ("", "-", "?")]
    return sum(_FIGURE.fullmatch(text) is not None for text in cells) * 2 >= len(cells)


def _literal(text: Any) -> Text:
    return text if isinstance(text, Text) else Text(str(text))


def _widest(column: Column, parts: Callable[[str], list[str]]) -> int:
    """Width of the widest part of a column's lines."""
    texts = [_literal(text).plain for text in (column.header, *column.cells)]
    return max(
        (cell_len(part) for text in texts for line in text.splitlines() for part in parts(line)),
        default=0,
    )


def table(*columns: str, title: str | None = None) -> ResultTable:
    """A table whose first column is text and whose others are figures."""
    made = ResultTable(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        first = number == 0
        made.add_column(column, justify="left" if first else "right", no_wrap=first)
    return made


class _Pairs:
    """Lines of a name and a text. Figures stay whole; names and texts are folded if need be."""

    def __init__(self, rows: Sequence[tuple[Text, Text]]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - 4  # spaces before the names and the texts
        figure = max((cell_len(text.plain) for _, text in self.rows if text.no_wrap), default=0)
        names = max((cell_len(name.plain) for name, _ in self.rows), default=0)
        made = Table.grid(padding=(0, 2), pad_edge=False)
        made.add_column(
            overflow="fold", width=max(LEAST_NAME, min(names, room - figure, room // 2))
        )
        made.add_column(overflow="fold")
        for name, text in self.rows:
            made.add_row(name, text)
        yield Padding(made, (0, 0, 0, 2))


def facts(title: str, rows: Iterable[tuple[str, str]]) -> RenderableType:
    """What is found about one thing: lines of a name and a text, which is folded if it is long."""
    pairs = [(_literal(name), _literal(_whole(text))) for name, text in rows]
    return Group(_literal(title), _Pairs(pairs), "")


INTERVAL = "95 % interval"
"""Heading of a column of intervals (:data:`axynq.emulator.studies.comparison.CONFIDENCE`)."""


def points_interval(interval: tuple[float, float]) -> str:
    """An interval of a difference of shares, in percentage points."""
    low, high = interval
    return f"{100 * low:.2f} to {100 * high:.2f}"


def percent_interval(interval: tuple[float, float]) -> str:
    """An interval of a share, in percent."""
    low, high = interval
    return f"{percent(low)} to {percent(high)}"


def percent(share: float | None, digits: int = 2) -> str:
    """A share as percent, or a dash."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"
