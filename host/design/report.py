# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a search for an array leaves: the overlay's description, figures as JSON, pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axynq.emulator import files, save_model
from axynq.emulator.errors import DataError
from axynq.emulator.pictures import new_figure, save_figure
from axynq.emulator.version import installed_version
from axynq.host.design.breakdown import Breakdown
from axynq.host.design.designer import (
    APPROXIMATE,
    EXACT,
    EXACT_IN_LUTS,
    Design,
    Figures,
    Request,
    description,
)
from axynq.host.design.looks import RESOURCES
from axynq.host.design.search import Result
from axynq.host.overlay import Overlay

COLOURS = {APPROXIMATE: "#d62728", EXACT: "#1f77b4", EXACT_IN_LUTS: "#7f7f7f"}
MARKERS = {APPROXIMATE: "o", EXACT: "s", EXACT_IN_LUTS: "^"}

BASIS = {
    "cycles": "the cycle model (host/performance/cycles.py), with the depth it assumes of "
    "overlays that do not come with axynq; not measured",
    "resources": "estimated from the compiled sources (host/synthesis/estimate.py): low, likely "
    "and high are what is known of how far each basis is off; nothing was placed",
    "clock": "the fastest of the clocks at which every pipelined loop begins an iteration a cycle "
    "and every multiplier's netlist fits the period; a model, timing was not closed",
    "energy": "multiplications and bytes of memory with literature's figures "
    "(host/power/estimate.py), no static power; not measured",
}
"""On what the figures rest."""


def write_design(made: Design, folder: Path) -> list[Path]:
    """Write ``overlay.toml``, ``design.json``, ``front.png``, with a library ``plan.json`` (and
    ``tuned.tflite``, if its networks are tuned) and, where plotly is installed, ``front.html``.

    Args:
        made: what was found.
        folder: where to write; it is made.

    Returns:
        The paths that were written.

    Raises:
        DataError: the folder cannot be written.
        ToolError: matplotlib is not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / "overlay.toml", toml(made))
        text = json.dumps(content_of(made), indent=2, allow_nan=False) + "\n"
        files.write_text(folder / "design.json", text)
        library = made.request.library
        if library is not None:
            made.chosen.plan.save(folder / "plan.json")
        if library is not None and library.tuner is not None:
            save_model(library.network(made.chosen.plan), folder / "tuned.tflite")
    except OSError as error:
        raise DataError(f"'{folder}' cannot be written: {error.strerror}") from error
    draw_front(made, folder / "front.png")
    written = ["overlay.toml", "design.json", "front.png"]
    if library is not None:
        written += ["plan.json"] if library.tuner is None else ["plan.json", "tuned.tflite"]
    if draw_interactive(made, folder / "front.html"):
        written.append("front.html")
    return [folder / name for name in written]


def toml(made: Design) -> str:
    """The overlay's description, with how it was made."""
    return toml_of(made.request, made.chosen, made.overlay)


def toml_of(request: Request, chosen: Figures, overlay: Overlay) -> str:
    """An array that a request found as a description, whatever its name, with how it was made."""
    look = chosen.found.look
    lines = [
        f"Found by axynq design {installed_version()} for {request.model.name} on "
        f"{request.board}: {request.objective}",
        f"at batch {request.batch}. By the models, nothing was built:",
        f"{chosen.images_per_second:,.0f} images a second, {chosen.latency_milliseconds:.3f} ms "
        "for an image alone,",
        f"{look.likely('lut'):,.0f} LUTs ({look.resources['lut']['low']:,.0f} to "
        f"{look.resources['lut']['high']:,.0f}), {look.likely('dsp'):,.0f} DSPs, "
        f"{look.likely('block_ram_36k'):g} block RAMs.",
    ]
    return "".join(f"# {line}\n" for line in lines) + overlay.to_toml()


def content_of(made: Design) -> dict[str, Any]:
    """What ``design.json`` holds."""
    request = made.request
    board = request.description
    has = board.resources.model_dump()
    return {
        "format": "axynq-design",
        "version": 1,
        "axynq": installed_version(),
        "model": request.model.name,
        "board": board.name,
        "objective": request.objective,
        "batch": request.batch,
        "basis": BASIS,
        "limits": {
            name: {
                "share": getattr(request.limits, name),
                "amount": getattr(request.limits, name) * has[name],
                "board": has[name],
            }
            for name in RESOURCES
        },
        "overlay": made.overlay.name,
        "overlay_hash": made.overlay.hash,
        "figures": figures_of(made.chosen),
        "accuracy_on_test_examples": made.accuracies or None,
        "bounded_by": {
            "board": _nearest(made),
            "cycles": {name: round(share, 4) for name, share in made.bounds.items()},
        },
        "clocks_refused": made.chosen.found.look.refused,
        "most_filters": made.most_filters,
        "luts": breakdown_of(made.breakdown),
        "families": {name: _family(made, name, result) for name, result in made.results.items()},
    }


def figures_of(figures: Figures) -> dict[str, Any]:
    """What is expected of an array."""
    look = figures.found.look
    made: dict[str, Any] = {
        "array": description(figures.found.choice),
        "clock_mhz": figures.found.clock_mhz,
        "images_per_second": round(figures.images_per_second, 2),
        "latency_ms": round(figures.latency_milliseconds, 5),
        "cycles_per_image": figures.batch_cycles,
        "cycles_per_image_batch_1": figures.latency_cycles,
        "relative_energy_of_multiplications": figures.relative_energy,
        "resources": look.resources,
        "depth": look.depth,
    }
    if figures.accuracy is not None:
        made["accuracy"] = figures.accuracy
    if figures.joules is not None:
        made["joules_per_image"] = figures.joules
    return made


def breakdown_of(made: Breakdown) -> dict[str, Any]:
    """What LUTs are for, likely figures."""
    return {
        "parts": made.parts,
        "total": round(made.total, 1),
        "lanes": made.lanes,
        "per_lane": {name: round(luts, 1) for name, luts in made.per_lane.items()},
        "multipliers_share": round(made.multipliers_share, 4),
        "most_lanes_without_multipliers": round(made.most_lanes, 3),
    }


def _family(made: Design, name: str, result: Result) -> dict[str, Any]:
    best = made.best.get(name)
    return {
        "arrays": result.arrays,
        "cycle_model_asked": result.compiled,
        "looked_at": result.looked,
        "proven": result.proven,
        "best": None if best is None else figures_of(best),
        "front": [figures_of(figures) for figures in made.fronts[name]],
    }


def shares_of(made: Design) -> dict[str, float]:
    """What the array takes of each resource of the board, 0 to 1, likely figures."""
    has = made.request.description.resources.model_dump()
    look = made.chosen.found.look
    return {name: look.likely(name) / has[name] for name in RESOURCES}


def _nearest(made: Design) -> dict[str, Any]:
    """The resource that is nearest to its limit."""
    shares = shares_of(made)
    limits = made.request.limits
    name = max(shares, key=lambda each: shares[each] / getattr(limits, each))
    return {
        "resource": name,
        "share_of_board": round(shares[name], 4),
        "share_of_limit": round(shares[name] / getattr(limits, name), 4),
    }


# --- pictures ------------------------------------------------------------------------------------


def draw_front(made: Design, path: Path) -> None:
    """Images per second against LUTs, by family; a number beside each array says how many DSPs.

    Raises:
        ToolError: matplotlib is not installed.
        DataError: the picture cannot be written.
    """
    figure = new_figure(8.5, 5.2)
    axes = figure.subplots()
    for name, front in made.fronts.items():
        if not front:
            continue
        style: dict[str, Any] = {"color": COLOURS.get(name), "marker": MARKERS.get(name, "o")}
        luts = [figures.found.luts / 1000 for figures in front]
        speeds = [figures.images_per_second for figures in front]
        low = [f.found.luts / 1000 - f.found.look.resources["lut"]["low"] / 1000 for f in front]
        high = [f.found.look.resources["lut"]["high"] / 1000 - f.found.luts / 1000 for f in front]
        axes.errorbar(luts, speeds, xerr=[low, high], fmt="none", ecolor=style["color"],
                      elinewidth=0.6, alpha=0.25)  # fmt: skip
        axes.plot(luts, speeds, linewidth=1, markersize=5, label=name, **style)
        for x, y, figures in zip(luts, speeds, front):
            axes.annotate(f"{figures.found.look.likely('dsp'):.0f}", (x, y), xytext=(3, -9),
                          textcoords="offset points", fontsize=6, color=style["color"])  # fmt: skip
    x, y = made.chosen.found.luts / 1000, made.chosen.images_per_second
    axes.scatter([x], [y], s=120, facecolors="none", edgecolors="black", label="chosen", zorder=3)
    request = made.request
    has = request.description.resources.lut
    axes.axvline(request.limits.lut * has / 1000, color="black", linewidth=0.8, linestyle="--",
                 label=f"limit: {100 * request.limits.lut:.0f} % of the board's LUTs")  # fmt: skip
    axes.axvline(has / 1000, color="black", linewidth=0.8, label="the board's LUTs")
    axes.set_xlabel("LUTs, thousands: likely, with low and high; small figures: DSPs")
    axes.set_ylabel(f"images per second at batch {request.batch}, by the cycle model")
    axes.set_title(f"{request.model.name} on {request.board}")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left")
    save_figure(figure, path)


def draw_interactive(made: Design, path: Path) -> bool:
    """The same as an HTML page that needs nothing else; an array tells what it is. Returns whether
    it was drawn: not where plotly is not installed.

    Raises:
        DataError: the page cannot be written.
    """
    try:
        import plotly.graph_objects as go
    except ImportError:
        return False
    figure = go.Figure()
    for name, front in made.fronts.items():
        figure.add_scatter(
            x=[figures.found.luts for figures in front],
            y=[figures.images_per_second for figures in front],
            mode="lines+markers",
            name=name,
            marker={"color": COLOURS.get(name)},
            customdata=[_told(figures) for figures in front],
            hovertemplate=(
                "<b>%{customdata[0]}</b><br>%{y:,.0f} images/s, %{customdata[1]:.3f} ms<br>"
                "%{x:,.0f} LUTs, %{customdata[2]:.0f} DSPs, %{customdata[3]:g} block RAMs<br>"
                "%{customdata[4]:g} MHz"
            ),
        )
    figure.update_layout(
        xaxis_title="LUTs, likely",
        yaxis_title=f"images per second at batch {made.request.batch}",
        template="plotly_white",
    )
    try:
        with files.replacing(path) as temporary:
            figure.write_html(temporary, include_plotlyjs=True, full_html=True)
    except OSError as error:
        raise DataError(f"'{path}' cannot be written: {error.strerror}") from error
    return True


def _told(figures: Figures) -> Sequence[object]:
    look = figures.found.look
    return [
        description(figures.found.choice), figures.latency_milliseconds, look.likely("dsp"),
        look.likely("block_ram_36k"), figures.found.clock_mhz,
    ]  # fmt: skip
