# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pages: sections of text, pictures and tables, made HTML by a template and written whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.errors import DataError, ToolError
from axynq.host.report.svg import Drawing

WIDE, NARROW = 860, 350
"""Pixels of pictures, on screens and paper that take them, and on telephones."""


@dataclass(frozen=True)
class Table:
    """Figures in rows; the first cell of each says what the row is."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: frozenset[int] = frozenset({0})
    """Columns of words, which begin at the left."""


@dataclass(frozen=True)
class Picture:
    """A picture with what it says, and its figures as a table."""

    title: str
    description: str
    """What it shows, for those who cannot see it too."""
    draw: Callable[[int], str]
    """Its SVG for a width in pixels, from ``viewBox`` on."""
    table: Table
    legend: Mapping[int, str] = field(default_factory=dict)
    """What series are, by their numbers; they can be hidden one by one."""
    small: bool = False
    """Of one width, beside others like it."""

    @property
    def drawings(self) -> list[tuple[str, str]]:
        """For each width that it is shown at, the class and the SVG."""
        if self.small:
            return [("small", self.draw(NARROW))]
        return [("wide", self.draw(WIDE)), ("narrow", self.draw(NARROW))]

    @property
    def swatches(self) -> list[tuple[int, str, str]]:
        """Number, name and SVG of each series."""
        return [(number, name, swatch(number)) for number, name in self.legend.items()]


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    text: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    """Names and what they are."""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    missing: str = ""
    """How to get what is not there."""
    commands: Sequence[str] = ()
    """Command lines that the text speaks of."""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    lead: Sequence[str]
    """What it says in short."""
    sections: Sequence[Section]
    record: Mapping[str, Any] | None = None
    """JSON that is kept in the page, for programs."""
    refresh: int | None = None
    """Seconds after which the page is loaded again; None: it is complete."""
    updated: float | None = None
    """When it was written, in seconds since 1970; where work goes on, the page says how long ago
    that was."""


def swatch(series: int) -> str:
    """A series' marker alone, as SVG from ``viewBox`` on."""
    drawing = Drawing(14, 14)
    drawing.marker(series, 7, 7, 10, "fill", "")
    return str(drawing)


def render(page: Page) -> str:
    """The page as HTML that needs nothing else. All texts are taken literally.

    Raises:
        ToolError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ToolError("pages need jinja2: pip install 'axynq[report]'") from error
    return _compiled(jinja2).render(
        page=page,
        record=None if page.record is None else as_script(page.record),
        style=_template("page.css"),
        script=_template("page.js"),
    )


@cache
def _compiled(jinja2: Any) -> Any:
    """The template, which takes longer to compile than to fill in."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_template("page.html"))


def write(page: Page, path: Path) -> None:
    """Replace the file at ``path`` with the page.

    Raises:
        ToolError: jinja2 is not installed.
        DataError: it cannot be written.
    """
    text = render(page)
    try:
        # Names that are no valid Unicode must not cost the page.
        files.write_bytes(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error


def as_script(content: Mapping[str, Any]) -> str:
    """JSON for a ``<script>`` element, which no text in it can end."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")


@cache
def _template(name: str) -> str:
    return (resources.files("axynq.host.report") / "templates" / name).read_text(encoding="utf-8")
