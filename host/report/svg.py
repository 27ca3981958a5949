# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""SVG, written as text: shapes, axes, and numbers on them.

Colours are the page's: shapes carry the classes ``c0`` to ``c7`` of its style sheet. A shape with a
label is a *mark*: the page's script shows the label of the mark that is pointed at or reached by
the arrow keys, and without a script browsers show it as a tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = 8
"""Classes of the style sheet, ``c0`` on; more series take them again."""

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "down", "plus", "bar")
"""By series, so that colours are not all that tells them apart."""

CHARACTER = 7.2
"""Pixels that a character of the pictures' 12-pixel type takes, in wide ones' fonts."""


def number(value: float) -> str:
    """A coordinate, to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"


def colour(series: int) -> str:
    """The class of a series."""
    return f"c{series % COLOURS}"


def shortened(text: str, width: float) -> str:
    """The text, or its beginning and an ellipsis where so many pixels do not take it."""
    most = max(2, int(width / CHARACTER))
    return text if len(text) <= most else text[: most - 1] + "…"


class Drawing:
    """An SVG that is being drawn, of so many pixels."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._parts: list[str] = []

    def add(self, markup: str) -> None:
        """More SVG."""
        self._parts.append(markup)

    def text(
        self, x: float, y: float, text: str, anchor: str = "start", kind: str = "", turn: int = 0
    ) -> None:
        """A line of text; ``turn`` in degrees."""
        turned = f' transform="rotate({turn} {number(x)} {number(y)})"' if turn else ""
        self.add(
            f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}" class="{kind}"{turned}>'
            f"{escape(text)}</text>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        places = zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2))
        self.add(
            "<line " + " ".join(f'{k}="{number(v)}"' for k, v in places) + f' class="{kind}"/>'
        )

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self.add(f'<polyline points="{joined}" class="{kind}"/>')

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, label: str = "",
        style: str = "",
    ) -> None:  # fmt: skip
        """A rectangle; with a label, a mark."""
        styled = f' style="{style}"' if style else ""
        self.add(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(0, width))}" '
            f'height="{number(max(0, height))}" class="{_kind(kind, label)}"{styled}>'
            f"{_title(label)}</rect>"
        )

    def marker(self, series: int, x: float, y: float, size: float, kind: str, label: str) -> None:
        """The mark of a series, ``size`` pixels across."""
        self.add(
            f'<path d="{outline(SHAPES[series % len(SHAPES)], x, y, size / 2)}" '
            f'class="{_kind(f"{colour(series)} {kind}", label)}">{_title(label)}</path>'
        )

    def __str__(self) -> str:
        width, height = number(self.width), number(self.height)
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        return f"{size}>{''.join(self._parts)}"


def outline(shape: str, x: float, y: float, r: float) -> str:
    """The path of a marker around a place, ``r`` being half its size."""
    if shape == "circle":
        n, across = number(r), number(2 * r)
        begin = f"M{number(x - r)} {number(y)}"
        return f"{begin}a{n} {n} 0 1 0 {across} 0a{n} {n} 0 1 0 -{across} 0z"
    places = (f"{number(x + dx * r)} {number(y + dy * r)}" for dx, dy in _corners(shape))
    return f"M{'L'.join(places)}z"


def _corners(shape: str) -> list[tuple[float, float]]:
    """Of a marker of half the size 1 around 0, 0."""
    plain: dict[str, list[tuple[float, float]]] = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
        "down": [(0, 1), (1, -0.85), (-1, -0.85)],
        "diamond": [(0, -1.15), (1.15, 0), (0, 1.15), (-1.15, 0)],
        "bar": [(-1.15, -0.45), (1.15, -0.45), (1.15, 0.45), (-1.15, 0.45)],
    }
    if shape in plain:
        return plain[shape]
    t = 0.38  # half the thickness of the arms
    quarter = [(-t, -1.0), (t, -1.0), (t, -t)]
    plus = list(quarter)
    for _ in range(3):
        quarter = [(-dy, dx) for dx, dy in quarter]
        plus += quarter
    if shape == "plus":
        return plus
    half = math.sqrt(0.5)
    return [(half * (dx - dy), half * (dx + dy)) for dx, dy in plus]


def _kind(kind: str, label: str) -> str:
    return f"{kind} mark" if label else kind


def _title(label: str) -> str:
    return f"<title>{escape(label)}</title>" if label else ""


# --- axes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """A direction of a picture: values ``low`` to ``high`` on pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (self._scaled(value) - self._scaled(self.low)) / (
            self._scaled(self.high) - self._scaled(self.low)
        )
        return self.start + share * (self.end - self.start)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        """Round values, as many as have room."""
        most = max(2, int(abs(self.end - self.start) / 60))
        if self.logarithmic:
            return list(_powers(self.low, self.high, most))
        return list(_rounds(self.low, self.high, most))

    @classmethod
    def around(
        cls, values: Sequence[float], start: float, end: float, logarithmic: bool = False
    ) -> Axis:
        """An axis with some room beyond the values. Of a logarithmic one they are positive."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if logarithmic:
            return cls(low / 1.5, high * 1.5, start, end, True)
        room = 0.06 * (high - low) or max(abs(high) * 0.1, 1e-3)
        return cls(low - room, high + room, start, end)


def _rounds(low: float, high: float, most: int) -> Iterator[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield k * step


def _powers(low: float, high: float, most: int) -> Iterator[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= most / 2 else (1,)
    step = max(1, math.ceil((last - first) / most))
    for exponent in range(first, last + 1, step):
        for factor in factors:
            if low <= factor * 10.0**exponent <= high:
                yield factor * 10.0**exponent


def short(value: float) -> str:
    """A figure on an axis."""
    if value == 0 or abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:g} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g} k"
    return f"{value:.6g}"
