"""What commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

console = Console(stderr=True, markup=False, emoji=False)
"""Messages, progress and errors. Brackets are what they are: paths have them."""

results = Console(width=None if sys.stdout.isatty() else 120, markup=False, emoji=False)
"""Tables of results; wide enough for them where they go to a file."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(content, indent=2))


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields what advances it."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


def table(*columns: str, title: str | None = None) -> Table:
    """A table whose first column is text and whose others are figures."""
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        first = number == 0
        made.add_column(column, justify="left" if first else "right", no_wrap=first)
    return made


def percent(share: float | None, digits: int = 2) -> str:
    """A share as percent, or a dash."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"
