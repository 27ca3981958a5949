"""The roofline of an overlay, with a network's layers under it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from axynq.emulator.errors import ToolError
from axynq.host.cycles import ProgramCycles, bytes_per_cycle, peak_macs

COLOURS = {
    "compute": "tab:blue",
    "load": "tab:orange",
    "store": "tab:green",
    "memory": "tab:red",
    "start-up": "tab:purple",
}


def draw_roofline(cycles: ProgramCycles, title: str, path: Path) -> None:
    """Save a picture of multiplications a cycle over multiplications per byte moved.

    Raises:
        ToolError: matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError("pictures need matplotlib: pip install 'axynq[plot]'") from error
    overlay = cycles.overlay
    peak, memory = peak_macs(overlay), bytes_per_cycle(overlay)
    layers = [layer for layer in cycles.layers if layer.macs]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    intensity = [layer.macs / layer.bytes_moved for layer in layers]
    reach = np.geomspace(min([0.5, *intensity]) / 2, max([64.0, *intensity]) * 2, 200)
    axes.plot(reach, np.minimum(peak, reach * memory), color="black", linewidth=1.5)
    for bound in dict.fromkeys(layer.bound for layer in layers):
        chosen = [layer for layer in layers if layer.bound == bound]
        axes.scatter(
            [layer.macs / layer.bytes_moved for layer in chosen],
            [layer.macs / layer.cycles for layer in chosen],
            s=[20 + 400 * layer.cycles / cycles.cycles for layer in chosen],
            color=COLOURS[bound],
            alpha=0.6,
            label=f"bound by {bound}",
        )
    names: dict[tuple[float, float], list[str]] = {}
    for layer in layers:
        at = (layer.macs / layer.bytes_moved, layer.macs / layer.cycles)
        names.setdefault((round(at[0], 1), round(at[1])), []).append(layer.name)
    for (x, y), group in names.items():
        label = group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} alike"
        axes.annotate(label, (x, y), xytext=(6, -10), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("multiplications per byte moved")
    axes.set_ylabel("multiplications per cycle")
    axes.set_title(
        f"{title} on {overlay.name}, batch {cycles.batch}: cycle model\n"
        f"{cycles.cycles_per_image:,.0f} cycles an image, "
        f"{100 * cycles.utilisation():.0f} % of {peak} multipliers; "
        f"memory {memory:.0f} bytes a cycle; areas are shares of time",
        fontsize=10,
    )
    legend = axes.legend(loc="lower right", fontsize=8)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_sizes([40])  # type: ignore[attr-defined]
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ToolError(f"picture '{path}' cannot be written: {error}") from error
