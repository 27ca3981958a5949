# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The kinds of pictures: bars, points and lines, matrices, maps of errors.

Each draws itself at any width; the page has it wide and narrow, so that type keeps its size.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axynq.host.report.svg import CHARACTER, Axis, Drawing, colour, short, shortened

ROW, BAR = 26, 16
"""Pixels from bar to bar, and of a bar."""


@dataclass(frozen=True)
class Part:
    """A part of a bar."""

    series: int
    value: float
    label: str


def bars(rows: Sequence[tuple[str, Sequence[Part]]], axis: str, width: int) -> str:
    """Horizontal bars, a row each, of parts one after another. Values are not negative."""
    beside = min(220, max((len(name) for name, _ in rows), default=0) * CHARACTER + 16)
    narrow = width < 500
    left, step = (4.0, ROW + 14) if narrow else (beside, ROW)
    height = step * len(rows) + 44
    drawing = Drawing(width, height)
    most = max((sum(p.value for p in parts) for _, parts in rows), default=0) or 1.0
    x = Axis(0, most * 1.02, left, width - 16)
    for tick in x.ticks():
        drawing.line(x.at(tick), 0, x.at(tick), height - 40, "grid")
        drawing.text(x.at(tick), height - 26, short(tick), "middle", "tick")
    for k, (name, parts) in enumerate(rows):
        top = step * k + (18 if narrow else 5)
        if narrow:
            drawing.text(left, top - 4, shortened(name, width - 20))
        else:
            drawing.text(left - 8, top + 12, shortened(name, left - 12), "end")
        so_far = 0.0
        for part in parts:
            begin, so_far = so_far, so_far + part.value
            drawing.rect(
                x.at(begin), top, x.at(so_far) - x.at(begin), BAR,
                f"fill {colour(part.series)} s{part.series}", part.label,
            )  # fmt: skip
    drawing.line(left, 0, left, height - 40, "axis")
    drawing.text((left + width) / 2, height - 8, axis, "middle", "title")
    return str(drawing)


@dataclass(frozen=True)
class Point:
    """A point, and what is said of it; ``low`` to ``high`` is the interval of ``y``."""

    x: float
    y: float
    label: str
    low: float | None = None
    high: float | None = None
    size: float = 9.0


@dataclass(frozen=True)
class Series:
    """Points of one kind. Its number chooses its colour and shape."""

    number: int
    points: Sequence[Point]
    joined: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Plane:
    """What the axes of :func:`points` are."""

    x: str
    y: str
    logarithmic: bool = False
    whole: bool = False
    """Of x: only whole figures make sense."""
    names: Sequence[str] = ()
    """Of x: what positions 0, 1, … are called, instead of figures."""


def points(
    series: Sequence[Series],
    plane: Plane,
    width: int,
    bounds: Sequence[Sequence[tuple[float, float]]] = (),
) -> str:
    """Points and lines on two axes.

    Args:
        series: what is drawn; those that are joined from left to right.
        plane: the axes.
        width: pixels.
        bounds: lines without marks, such as a roofline.
    """
    every = [point for one in series for point in one.points]
    # Names that have room beside each other are not turned.
    room = max(map(len, plane.names), default=0) * CHARACTER * len(plane.names)
    level = 0 < room < width - 60
    below = 108 if plane.names and not level else 56
    if not plane.x:
        below -= 24
    height = min(420, max(300, width * 0.55)) + (below - 56)
    drawing = Drawing(width, height)
    xs = [p.x for p in every] + [x for line in bounds for x, _ in line]
    ys = [v for p in every for v in (p.y, p.low, p.high) if v is not None]
    ys += [y for line in bounds for _, y in line]
    y = Axis.around(ys, height - below, 10, plane.logarithmic)
    left = 26 + 6.6 * max((len(short(tick)) for tick in y.ticks()), default=1)
    x = Axis.around(xs, left, width - 14, plane.logarithmic)
    if plane.names:
        x = Axis(-0.5, len(plane.names) - 0.5, left, width - 14)
    _axes(drawing, x, y, plane, level)
    for line in bounds:
        drawing.path([(x.at(a), y.at(b)) for a, b in line], "bound")
    for one in series:
        kind = f"s{one.number}{' faint' if one.faint else ''}"
        if one.joined:
            places = [(x.at(p.x), y.at(p.y)) for p in sorted(one.points, key=lambda p: p.x)]
            drawing.path(places, f"join {colour(one.number)} {kind}")
        for p in one.points:
            if p.low is not None and p.high is not None:
                at = x.at(p.x)
                classes = f"whisker {colour(one.number)} {kind}"
                drawing.line(at, y.at(p.low), at, y.at(p.high), classes)
        for p in one.points:
            drawing.marker(one.number, x.at(p.x), y.at(p.y), p.size, f"fill {kind}", p.label)
    return str(drawing)


def _axes(drawing: Drawing, x: Axis, y: Axis, plane: Plane, level: bool) -> None:
    """Axes, their figures, and lines behind what is drawn; names are turned unless ``level``."""
    bottom = y.start
    for tick in y.ticks():
        drawing.line(x.start, y.at(tick), x.end, y.at(tick), "grid")
        drawing.text(x.start - 6, y.at(tick) + 4, short(tick), "end", "tick")
    if level:
        for k, name in enumerate(plane.names):
            drawing.text(x.at(k), bottom + 16, name, "middle", "tick")
    elif plane.names:
        every = max(1, -(-len(plane.names) * 15 // int(x.end - x.start)))
        for k in range(0, len(plane.names), every):
            drawing.text(
                x.at(k) + 4, bottom + 12, shortened(plane.names[k], 96), "end", "tick", -55
            )
    else:
        for tick in x.ticks():
            if plane.whole and tick != int(tick):
                continue
            drawing.line(x.at(tick), y.end, x.at(tick), bottom, "grid")
            drawing.text(x.at(tick), bottom + 16, short(tick), "middle", "tick")
    drawing.line(x.start, bottom, x.end, bottom, "axis")
    drawing.line(x.start, y.end, x.start, bottom, "axis")
    drawing.text((x.start + x.end) / 2, drawing.height - 8, plane.x, "middle", "title")
    drawing.text(13, (y.start + y.end) / 2, plane.y, "middle", "title", -90)


def matrix(counts: npt.NDArray[np.int64], names: Sequence[str], width: int) -> str:
    """Counts [true, predicted] as cells that are the darker the larger their share of the row."""
    size = len(names)
    left, top = 54.0, 44.0
    cell = min((width - left - 8) / size, 44.0)
    drawing = Drawing(left + cell * size + 8, top + cell * size + 10)
    totals = np.maximum(1, counts.sum(axis=1, dtype=np.int64))
    figures = cell >= 5 + 6.5 * len(str(int(counts.max())))
    every = max(1, -(-13 // max(1, int(cell))))
    for k in range(0, size, every):
        middle = cell * (k + 0.5)
        drawing.text(left + middle, top - 6, shortened(names[k], 30), "middle", "tick")
        drawing.text(left - 6, top + middle + 4, shortened(names[k], 30), "end", "tick")
    for true in range(size):
        for predicted in range(size):
            count = int(counts[true, predicted])
            share = count / totals[true]
            kind = "right" if true == predicted else "wrong"
            # A single wrong one among hundreds must still be seen.
            # Cells are never so dark that their figures could not be read.
            strength = 0 if count == 0 else 0.08 + 0.42 * share**0.5
            drawing.rect(
                left + cell * predicted, top + cell * true, cell - 1, cell - 1, f"cell {kind}",
                f"{names[true]} taken for {names[predicted]}: {count} of {totals[true]} "
                f"({100 * share:.1f} %)",
                f"--strength:{strength:.2f}",
            )  # fmt: skip
            if figures and count:
                drawing.text(
                    left + cell * (predicted + 0.5) - 0.5, top + cell * (true + 0.5) + 4,
                    str(count), "middle", "count",
                )  # fmt: skip
    drawing.text(left + cell * size / 2, 14, "predicted", "middle", "title")
    drawing.text(13, top + cell * size / 2, "true", "middle", "title", -90)
    return str(drawing)


# --- maps of errors -------------------------------------------------------------------------------

MAP_BLOCK = 2
"""Operands along each axis whose errors a pixel of a map is the mean of."""

LOW, MIDDLE, HIGH = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""Colours of negative, no, and positive errors: blue to red, which the colour-blind tell apart
(ColorBrewer's RdBu)."""

REGIONS = 16
"""Regions along each axis of a map whose errors are told in figures."""


def error_map(
    error: npt.NDArray[np.int32], first: tuple[int, int], limit: float, width: int
) -> str:
    """Errors [activations, weights] of a multiplier, as a picture with its scale.

    Args:
        error: approximate minus exact products.
        first: the activation and the weight of ``error[0, 0]``.
        limit: what the ends of the scale stand for, above 0.
        width: pixels.
    """
    left, top, below = 44.0, 8.0, 88.0
    across = min(width - left - 12, 511.0)
    high = across / 2
    drawing = Drawing(left + across + 12, top + high + below)
    pixels = shades(block_means(error, MAP_BLOCK).T[::-1] / limit)
    drawing.add(
        f'<image x="{left:g}" y="{top:g}" width="{across:g}" height="{high:g}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{png(pixels)}"/>'
    )
    activations, weights = error.shape
    x = Axis(first[0], first[0] + activations - 1, left, left + across)
    y = Axis(first[1], first[1] + weights - 1, top + high, top)
    edges = [np.linspace(0, n, REGIONS + 1).astype(np.int64) for n in (activations, weights)]
    for a0, a1 in zip(edges[0], edges[0][1:]):
        for w0, w1 in zip(edges[1], edges[1][1:]):
            part = error[a0:a1, w0:w1]
            x0, x1 = left + across * a0 / activations, left + across * a1 / activations
            y0, y1 = top + high * (1 - w1 / weights), top + high * (1 - w0 / weights)
            drawing.rect(
                x0, y0, x1 - x0, y1 - y0, "region",
                f"activations {first[0] + a0} to {first[0] + a1 - 1}, weights {first[1] + w0} to "
                f"{first[1] + w1 - 1}: mean error {part.mean():.1f}, from {part.min()} to "
                f"{part.max()}",
            )  # fmt: skip
    bottom = top + high
    for tick in (-200, -100, 0, 100, 200):
        if x.low <= tick <= x.high:
            drawing.text(x.at(tick), bottom + 15, str(tick), "middle", "tick")
    for tick in (-100, 0, 100):
        drawing.text(left - 6, y.at(tick) + 4, str(tick), "end", "tick")
    drawing.text(left + across / 2, bottom + 32, "activation operand", "middle", "title")
    drawing.text(12, top + high / 2, "weight", "middle", "title", -90)
    scale = png(shades(np.linspace(-1, 1, 128)[None, :]))
    drawing.add(
        f'<image x="{left:g}" y="{bottom + 46:g}" width="{across:g}" height="12" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{scale}"/>'
    )
    for share, anchor in ((-1, "start"), (0, "middle"), (1, "end")):
        at = left + across * (share + 1) / 2
        text = f"{share * limit:+.4g}" if share else "error 0"
        drawing.text(at, bottom + 73, text, anchor, "tick")
    return str(drawing)


def block_means(values: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.float64]:
    """Means of squares of so many elements, [ceil(rows / size), ceil(columns / size)]; those at the
    end may be smaller."""
    rows, columns = (np.arange(0, n, size, dtype=np.int64) for n in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.int64), rows, 0), columns, 1)
    sides = [np.diff([*starts, n]) for starts, n in zip((rows, columns), values.shape)]
    return sums / np.outer(*sides)


def shades(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours [rows, columns, 3] of values -1 to 1; those beyond have the end's."""
    strength = np.clip(np.abs(values), 0, 1)[..., None]
    ends = np.where(values[..., None] < 0, LOW, HIGH)
    return np.round(np.array(MIDDLE) * (1 - strength) + ends * strength).astype(np.uint8)


def png(pixels: npt.NDArray[np.uint8]) -> str:
    """A picture [rows, columns, 3] as PNG (ISO/IEC 15948), in base64."""
    rows, columns, _ = pixels.shape
    lines = np.zeros((rows, 1 + 3 * columns), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(rows, -1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode("ascii")
