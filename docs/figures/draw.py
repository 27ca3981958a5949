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


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A white page, ``width`` and ``height`` in half inches, which are the units of the axes."""
    figure = pyplot.figure(figsize=(width / 2, height / 2), facecolor="white")
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
    figure, axes = canvas(28, 11.6)
    size, wide = (2.5, 1.3), (2.9, 1.3)
    x = [1.6 + 2.95 * column for column in range(8)]
    half, results = size[0] / 2, 26.2
    left = results - wide[0] / 2
    highest, top, middle, low = 10.2, 7.9, 5.6, 2.6
    middle_box = (x[6] - x[4] + size[0], size[1])
    start, end = x[5] - middle_box[0] / 2, x[5] + middle_box[0] / 2

    box(axes, (x[0], middle), size, ".tflite", "an int8 network")
    box(axes, (x[1], middle), size, "file_formats/", "reads and writes", EMULATOR)
    box(axes, (x[2], middle), size, "model/", "the typed graph", EMULATOR)
    box(axes, (x[3], middle), size, "plan.py", "a multiplier\nper weight", EMULATOR)
    box(axes, (x[3], low), size, "multipliers/", "product tables", EMULATOR)
    for column in range(3):
        arrow(axes, (x[column] + half, middle), (x[column + 1] - half, middle))
    arrow(axes, (x[3], low + 0.65), (x[3], middle - 0.65))

    fork = (x[3] + x[4]) / 2
    box(axes, (x[5], top), middle_box, "emulator", "emulation.py and engine/, fast", EMULATOR)
    box(axes, (x[5], middle), middle_box, "oracle", "reference.py, readable", EMULATOR)
    arrow(axes, (x[3] + half, middle), (start, middle))
    arrow(axes, (fork, middle), (fork, top), (start, top))
    arrow(axes, (fork, middle), (fork, low), (x[4] - half, low))
    joint(axes, (fork, middle))

    box(axes, (x[4], low), size, "compiler/", "placement, tiling", HOST)
    box(axes, (x[5], low), size, "program", ".axp, for one\noverlay")
    box(axes, (x[6], low), size, "runtime/", "driver.py", HOST)
    box(axes, (x[7], low + 1.0), size, "software_board/", "C simulation\nof hls/", HARDWARE)
    box(axes, (x[7], low - 1.0), size, "board", "a bitstream", HARDWARE)
    for column in (4, 5):
        arrow(axes, (x[column] + half, low), (x[column + 1] - half, low))
    choice = (x[6] + x[7]) / 2
    line(axes, (x[6] + half, low), (choice, low))
    for height in (low + 1.0, low - 1.0):
        arrow(axes, (choice, low), (choice, height), (x[7] - half, height))
    joint(axes, (choice, low))

    box(
        axes,
        (results, middle),
        (wide[0], 2.0),
        "int8 output",
        "the same from all,\nbit for bit",
        RESULT,
    )
    box(axes, (results, top), wide, "accuracy", "datasets.py", RESULT)
    box(axes, (results, highest), wide, "error statistics", "studies/errors/", RESULT)
    box(axes, (results, low - 1.0), wide, "joules", "power/", RESULT)
    join = (x[7] + half + left) / 2
    arrow(axes, (end, top), (join, top), (join, middle + 0.5), (left, middle + 0.5))
    arrow(axes, (end, middle), (left, middle))
    arrow(axes, (x[7] + half, low - 1.0), (left, low - 1.0))
    arrow(axes, (join, low - 1.0), (join, middle - 0.5), (left, middle - 0.5))
    line(axes, (x[7] + half, low + 1.0), (join, low + 1.0))
    joint(axes, (join, low - 1.0), (join, low + 1.0))
    arrow(axes, (results, middle + 1.0), (results, top - 0.65))

    names = "sensitivity/   search/   tuning/   errors/   retraining/"
    box(axes, (x[5], highest), middle_box, "studies/", names, STUDY)
    arrow(axes, (x[5], top + 0.65), (x[5], highest - 0.65), both=True)
    note(axes, (x[5] + 0.3, (top + highest) / 2), "accuracies, errors of every layer", "left")
    arrow(axes, (start, highest + 0.25), (x[1], highest + 0.25), (x[1], middle + 0.65), dashed=True)
    note(axes, ((x[1] + x[3]) / 2, highest + 0.55), "tuned and retrained networks")
    arrow(axes, (start, highest - 0.25), (x[3], highest - 0.25), (x[3], middle + 0.65), dashed=True)
    note(axes, (x[3] + 0.25, 9.0), "plans found", "left")
    arrow(axes, (end, highest), (left, highest))

    meanings = [(EMULATOR, "emulator/"), (STUDY, "emulator/studies/"), (HOST, "host/"),
                (HARDWARE, "the accelerator"), (FILE, "files"), (RESULT, "results")]  # fmt: skip
    for place, (colour, meaning) in enumerate(meanings):
        at = (0.55 + 3.2 * (place % 2), 3.0 - 0.65 * (place // 2))
        box(axes, at, (0.42, 0.34), "", colour=colour)
        axes.text(at[0] + 0.4, at[1], meaning, va="center", size=SIZE - 1, color=INK)
    return figure


def array() -> Figure:
    """One lane in detail, the others behind it, and what surrounds them."""
    figure, axes = canvas(27.4, 12)
    box(axes, (13.7, 0.75), (26.8, 1.0), "memory", colour=HARDWARE)
    note(axes, (5.5, 0.75), "feature maps")
    note(axes, (20.5, 0.75), "program: descriptors, weights, codes, constants")

    for behind in (2, 1, 0):
        at = (12.2 + 0.25 * behind, 7.1 - 0.25 * behind)
        box(axes, at, (13.4, 8.8), "", colour="white")
    axes.text(5.8, 11.15, "lane", size=SIZE, weight="bold", color=INK, va="center")
    note(
        axes,
        (6.75, 11.15),
        "as many as the overlay's “filters”; each computes one filter at a time",
        "left",
    )

    columns = {"1": 7.5, "2": 11.2, "n": 16.7}
    weights_bus, bus, cells = 10.4, 9.5, 8.3
    box(axes, (2.55, weights_bus), (2.9, 1.3), "weights", "and codes, per lane", HOST)
    box(axes, (2.55, cells), (2.9, 1.3), "input tile", "words of n bytes", HOST)
    arrow(axes, (0.6, 1.25), (0.6, weights_bus), (1.1, weights_bus))
    arrow(axes, (2.55, 1.25), (2.55, cells - 0.65))
    last = columns["n"]
    line(axes, (4.0, weights_bus), (last + 0.85, weights_bus))
    line(axes, (4.0, cells), (4.7, cells), (4.7, bus), (last - 0.85, bus))
    for index, x in columns.items():
        arrow(axes, (x + 0.85, weights_bus), (x + 0.85, cells + 0.4))
        arrow(axes, (x - 0.85, bus), (x - 0.85, cells + 0.4))
        box(axes, (x - 0.85, cells), (1.5, 0.8), f"$a_{{{index}}}$", colour=EMULATOR)
        box(axes, (x + 0.85, cells), (1.5, 0.8), f"$w_{{{index}}}$, code", colour=HOST)
        for shift in (-0.85, 0.85):
            arrow(axes, (x + shift, cells - 0.4), (x + shift, 7.3))
        box(axes, (x, 6.45), (3.3, 1.7), "", colour=STUDY)
        axes.text(x, 6.95, "bank", ha="center", va="center", size=SIZE, weight="bold", color=INK)
        for shift, design in ((-0.8, "exact"), (0.8, "roup:1,4")):
            box(axes, (x + shift, 6.15), (1.45, 0.65), "", colour="white")
            axes.text(x + shift, 6.15, design, ha="center", va="center", size=SIZE - 1.5, color=INK)
        arrow(axes, (x, 5.6), (x, 4.95))
    axes.text((columns["2"] + last) / 2, 6.45, "…", ha="center", va="center", size=16, color=INK)
    joint(axes, *((columns[i] + 0.85, weights_bus) for i in "12"))
    joint(axes, *((columns[i] - 0.85, bus) for i in "12"))
    window = "window: a word\nfor all lanes, or\nthe lane's own\ntaps (depthwise)"
    note(axes, ((columns["2"] + last) / 2, 8.45), window)

    tree = pyplot.Polygon(
        [(5.85, 4.95), (18.35, 4.95), (14.1, 4.15), (10.1, 4.15)], facecolor=RESULT, edgecolor=INK
    )
    axes.add_patch(tree)
    axes.text(
        12.1, 4.55, "adder tree", ha="center", va="center", size=SIZE, weight="bold", color=INK
    )
    arrow(axes, (12.1, 4.15), (12.1, 3.85))
    box(axes, (12.1, 3.4), (4.4, 0.9), "accumulator", colour=RESULT)
    note(axes, (9.7, 3.4), "int32, partial sums of passes", "right")

    steps = "bias, rescale, clamp,\nadd the residual;\na few lanes per step"
    box(axes, (22.0, 6.4), (3.7, 2.7), "requantisers", steps, RESULT)
    arrow(axes, (14.3, 3.4), (19.65, 3.4), (19.65, 6.4), (20.15, 6.4))
    for x, title, detail in ((21.1, "constants", "per filter"), (23.15, "residual", "tile")):
        box(axes, (x, 3.1), (1.85, 1.3), title, detail, HOST)
        arrow(axes, (x, 1.25), (x, 2.45))
        arrow(axes, (x, 3.75), (x, 5.05))
    box(axes, (25.8, 6.4), (2.5, 1.3), "output tile", "words of bytes", HOST)
    arrow(axes, (23.85, 6.4), (24.55, 6.4))
    arrow(axes, (25.8, 5.75), (25.8, 1.25))
    tiles = "Tiles are double-buffered:\nloading, computing and\nstoring overlap."
    note(axes, (25.0, 10.4), f"n: the overlay's “inputs”.\n{tiles}")
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
