# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Draw the pictures of docs/architecture.md: ``python docs/figures/draw.py [FOLDER]``.

The same matplotlib writes the same bytes. Letters are drawn as paths, so that no viewer's fonts
change the layout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK = "#24292f"
FILE = "#f1f3f5"
EMULATOR = "#dbeafe"
HOST = "#dcfce7"
HARDWARE = "#ffedd5"
RESULT = "#fef9c3"
STUDY = "#ede9fe"

SIZE = 9.5
"""Points of ordinary text."""

Point = tuple[float, float]


def canvas(width: float, height: float, unit: float = 0.5) -> tuple[Figure, Axes]:
    """A white page, ``width`` and ``height`` in units of the axes, which are so many inches."""
    figure = pyplot.figure(figsize=(width * unit, height * unit), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    at: Point,
    size: Point,
    title: str,
    note: str = "",
    colour: str = FILE,
    dashed: bool = False,
) -> None:
    """A box around the centre ``at``, with a title and smaller lines below it."""
    (x, y), (width, height) = at, size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=colour,
            edgecolor=INK,
            linewidth=1.0,
            linestyle="--" if dashed else "-",
        )
    )
    lines = note.count("\n") + 1 if note else 0
    axes.text(x, y + 0.17 * lines, title, ha="center", va="center", size=SIZE, color=INK,
              weight="bold")  # fmt: skip
    if note:
        axes.text(x, y - 0.21, note, ha="center", va="center", size=SIZE - 1.5, color=INK,
                  linespacing=1.15)  # fmt: skip


def arrow(axes: Axes, *points: Point, dashed: bool = False, both: bool = False) -> None:
    """An arrow through ``points``, in straight pieces."""
    for start, end in pairwise(points[:-1]):
        axes.plot(*zip(start, end, strict=True), color=INK, linewidth=1.1,
                  linestyle="--" if dashed else "-", solid_capstyle="round")  # fmt: skip
    axes.add_patch(
        FancyArrowPatch(
            points[-2],
            points[-1],
            arrowstyle="<|-|>" if both else "-|>",
            mutation_scale=10,
            shrinkA=0,
            shrinkB=0,
            color=INK,
            linewidth=1.1,
            linestyle="--" if dashed else "-",
        )
    )


def note(axes: Axes, at: Point, text: str, align: str = "center") -> None:
    """Words beside an arrow."""
    axes.text(*at, text, ha=align, va="center", size=SIZE - 1.5, color=INK, style="italic",
              linespacing=1.15)  # fmt: skip


def line(axes: Axes, *points: Point) -> None:
    """A line through ``points`` that ends at another line."""
    axes.plot(*zip(*points, strict=True), color=INK, linewidth=1.1)


def joint(axes: Axes, *points: Point) -> None:
    """Where lines that cross are connected."""
    for point in points:
        axes.plot(*point, "o", color=INK, markersize=3.5)


def data_flow() -> Figure:
    """From a network's file to outputs and what is measured on them."""
    figure, axes = canvas(19.7, 12.0)
    width, height, step = 3.1, 1.3, 3.9
    x = [1.85 + step * column for column in range(5)]
    size, double = (width, height), (width + step, height)
    right, up = width / 2, height / 2
    first, second, third, fourth, last = 10.5, 8.0, 5.7, 3.3, 0.85
    emulating, studying = (x[1] + x[2]) / 2, (x[3] + x[4]) / 2

    box(axes, (x[0], first), size, ".tflite", ".onnx, PyTorch")
    box(axes, (x[1], first), size, "file_formats/", "reads and writes", EMULATOR)
    box(axes, (x[2], first), size, "model/", "the typed graph", EMULATOR)
    box(axes, (x[3], first), size, "plan.py", "a multiplier\nper weight", EMULATOR)
    box(axes, (x[4], first), size, "multipliers/", "product tables", EMULATOR)
    for column in range(3):
        arrow(axes, (x[column] + right, first), (x[column + 1] - right, first))
    arrow(axes, (x[4] - right, first), (x[3] + right, first))

    box(axes, (emulating, second), double, "emulator", "emulation.py and engine/, fast", EMULATOR)
    box(axes, (emulating, third), double, "oracle", "reference.py, readable", EMULATOR)
    names = "sensitivity/  search/  tuning/  errors/\nretraining/  joint/  matching/"
    box(axes, (studying, second), double, "studies/", names, STUDY)

    fork = (first + second) / 2
    line(axes, (x[3] - 0.8, first - up), (x[3] - 0.8, fork), (x[0], fork))
    arrow(axes, (x[2], fork), (x[2], second + up))
    arrow(axes, (x[0], third), (x[1] - right, third))
    arrow(axes, (x[0], fork), (x[0], fourth + up))
    joint(axes, (x[2], fork), (x[0], third))

    between = x[2] + right, x[3] - right
    arrow(axes, (between[0], second), (between[1], second), both=True)
    edge = x[4] + right
    arrow(axes, (x[3] + 0.8, second + up), (x[3] + 0.8, first - up), dashed=True)
    note(axes, (x[3] + 1.0, fork), "plans found", "left")
    top = first + up + 0.45
    arrow(axes, (edge, second), (edge + 0.3, second), (edge + 0.3, top), (x[1], top),
          (x[1], first + up), dashed=True)  # fmt: skip
    note(axes, (studying, top + 0.25), "tuned and retrained networks")

    box(axes, (x[0], fourth), size, "compiler/", "placement, tiling", HOST)
    box(axes, (x[1], fourth), size, "program", ".axp, for one overlay")
    box(axes, (x[2], fourth), size, "runtime/", "driver.py", HOST)
    box(axes, (x[3], fourth), size, "software_board/", "C simulation of hls/", HARDWARE)
    box(axes, (x[4], fourth), size, "board", "a bitstream of hls/", HARDWARE)
    for column in range(3):
        arrow(axes, (x[column] + right, fourth), (x[column + 1] - right, fourth))
    below = (fourth + last) / 2
    arrow(axes, (x[2], fourth - up), (x[2], below), (x[4] - 0.8, below), (x[4] - 0.8, fourth - up))

    box(axes, (x[3], third), size, "int8 output", "the same from all,\nbit for bit", RESULT)
    box(axes, (x[4], third), size, "accuracy", "datasets.py", RESULT)
    box(axes, (x[4], last), size, "joules", "power/", RESULT)
    middle = sum(between) / 2
    arrow(axes, (between[0], second - 0.35), (middle, second - 0.35), (middle, third + 0.3),
          (between[1], third + 0.3))  # fmt: skip
    arrow(axes, (between[0], third - 0.2), (between[1], third - 0.2))
    arrow(axes, (x[3] - 0.6, fourth + up), (x[3] - 0.6, third - up))
    merge = (third + fourth) / 2
    arrow(axes, (x[4], fourth + up), (x[4], merge), (x[3] + 0.6, merge), (x[3] + 0.6, third - up))
    arrow(axes, (x[3] + right, third), (x[4] - right, third))
    arrow(axes, (x[4] + 0.8, fourth - up), (x[4] + 0.8, last + up))

    meanings = [(EMULATOR, "emulator/"), (STUDY, "emulator/studies/"), (HOST, "host/"),
                (HARDWARE, "the accelerator"), (FILE, "files"), (RESULT, "results")]  # fmt: skip
    for place, (colour, meaning) in enumerate(meanings):
        at = (0.55 + 3.3 * (place % 3), last + 0.25 - 0.65 * (place // 3))
        box(axes, at, (0.42, 0.34), "", colour=colour)
        axes.text(at[0] + 0.4, at[1], meaning, va="center", size=SIZE - 1, color=INK)
    return figure


def array() -> Figure:
    """One lane in detail, the others behind it, and what surrounds them."""
    figure, axes = canvas(25.0, 11.8, 0.42)
    box(axes, (12.5, 0.75), (24.4, 1.0), "memory", colour=HARDWARE)
    note(axes, (5.5, 0.75), "feature maps")
    note(axes, (18.5, 0.75), "program: descriptors, weights, codes, constants")

    for behind in (2, 1, 0):
        at = (11.0 + 0.25 * behind, 7.1 - 0.25 * behind)
        box(axes, at, (11.0, 8.8), "", colour="white")
    axes.text(5.8, 11.15, "lane", size=SIZE, weight="bold", color=INK, va="center")
    lanes = "as many as “filters” says; each computes one filter at a time"
    note(axes, (6.95, 11.15), lanes, "left")

    columns = {"1": 7.5, "n": 14.5}
    weights_bus, bus, cells = 10.4, 9.5, 8.3
    box(axes, (2.55, weights_bus), (3.1, 1.4), "weights", "and codes, per lane", HOST)
    box(axes, (2.55, cells), (3.1, 1.4), "input tile", "words of n bytes", HOST)
    arrow(axes, (0.6, 1.25), (0.6, weights_bus), (1.0, weights_bus))
    arrow(axes, (2.55, 1.25), (2.55, cells - 0.7))
    last = columns["n"]
    line(axes, (4.1, weights_bus), (last + 0.85, weights_bus))
    line(axes, (4.1, cells), (4.7, cells), (4.7, bus), (last - 0.85, bus))
    for index, x in columns.items():
        arrow(axes, (x + 0.85, weights_bus), (x + 0.85, cells + 0.4))
        arrow(axes, (x - 0.85, bus), (x - 0.85, cells + 0.4))
        box(axes, (x - 0.85, cells), (1.55, 0.8), f"$a_{{{index}}}$", colour=EMULATOR)
        box(axes, (x + 0.85, cells), (1.65, 0.8), f"$w_{{{index}}}$, code", colour=HOST)
        for shift in (-0.85, 0.85):
            arrow(axes, (x + shift, cells - 0.4), (x + shift, 7.3))
        box(axes, (x, 6.45), (3.5, 1.7), "", colour=STUDY)
        axes.text(x, 6.95, "bank", ha="center", va="center", size=SIZE, weight="bold", color=INK)
        for shift, design in ((-0.83, "exact"), (0.83, "roup:1,4")):
            box(axes, (x + shift, 6.15), (1.55, 0.65), "", colour="white")
            axes.text(x + shift, 6.15, design, ha="center", va="center", size=SIZE - 1.5, color=INK)
        arrow(axes, (x, 5.6), (x, 4.95))
    middle = sum(columns.values()) / 2
    axes.text(middle, 6.45, "…", ha="center", va="center", size=16, color=INK)
    joint(axes, (columns["1"] + 0.85, weights_bus), (columns["1"] - 0.85, bus))
    window = "window: a word\nfor all lanes, or\nthe lane's own\ntaps (depthwise)"
    note(axes, (middle, 8.45), window)

    tree = pyplot.Polygon(
        [(5.85, 4.95), (16.15, 4.95), (13.0, 4.15), (9.0, 4.15)], facecolor=RESULT, edgecolor=INK
    )
    axes.add_patch(tree)
    axes.text(
        middle, 4.55, "adder tree", ha="center", va="center", size=SIZE, weight="bold", color=INK
    )
    arrow(axes, (middle, 4.15), (middle, 3.85))
    box(axes, (middle, 3.4), (3.4, 0.9), "accumulator", colour=RESULT)
    note(axes, (9.1, 3.4), "int32, partial\nsums of passes", "right")

    steps = "bias, rescale, clamp,\nadd the residual;\na few lanes per step"
    box(axes, (19.65, 6.4), (3.7, 2.7), "requantisers", steps, RESULT)
    arrow(axes, (12.7, 3.4), (17.35, 3.4), (17.35, 6.4), (17.8, 6.4))
    for x, title, detail in ((18.7, "constants", "per filter"), (20.95, "residual", "tile")):
        box(axes, (x, 3.1), (2.1, 1.3), title, detail, HOST)
        arrow(axes, (x, 1.25), (x, 2.45))
        arrow(axes, (x, 3.75), (x, 5.05))
    box(axes, (23.45, 6.4), (2.5, 1.4), "output tile", "words of n bytes", HOST)
    arrow(axes, (21.5, 6.4), (22.2, 6.4))
    arrow(axes, (23.45, 5.7), (23.45, 1.25))
    tiles = "Tiles are double-buffered:\nloading, computing and\nstoring overlap."
    note(axes, (21.4, 10.2), f"n: the overlay's “inputs”.\n{tiles}")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {"data-flow": data_flow, "array": array}


def draw(folder: Path, suffix: str = ".svg") -> list[Path]:
    """Draw all pictures into ``folder``; their paths."""
    paths = []
    with matplotlib.rc_context({"svg.hashsalt": "axynq", "font.family": "DejaVu Sans"}):
        for name, make in PICTURES.items():
            figure = make()
            path = folder / f"{name}{suffix}"
            figure.savefig(path, metadata={"Date": None} if suffix == ".svg" else None)
            pyplot.close(figure)
            paths.append(path)
    return paths


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for written in draw(target):
        print(written)
