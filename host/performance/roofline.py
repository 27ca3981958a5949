# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The roofline of an overlay, with a network's layers under it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from axynq.emulator.pictures import new_figure, save_figure
from axynq.host.performance.cycles import LayerCycles, ProgramCycles, bytes_per_cycle, peak_macs

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
        ToolError: matplotlib is not installed.
        DataError: the picture cannot be written.
    """
    overlay = cycles.overlay
    peak, memory = peak_macs(overlay), bytes_per_cycle(overlay)
    layers = [layer for layer in cycles.layers if layer.macs]
    figure = new_figure(8, 5)
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
    for (x, y), names in _labels(layers).items():
        axes.annotate(
            ", ".join(names), (x, y), xytext=(0, -9), textcoords="offset points",
            fontsize=7, rotation=90, horizontalalignment="center", verticalalignment="top",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(min(layer.macs / layer.cycles for layer in layers) / 12, 2 * peak)
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
    save_figure(figure, path)


def _labels(layers: list[LayerCycles]) -> dict[tuple[float, float], list[str]]:
    """Names by position; layers that are drawn nearly on top of each other share a label."""
    labels: dict[tuple[float, float], list[str]] = {}
    for layer in sorted(layers, key=lambda layer: layer.macs / layer.bytes_moved):
        x, y = layer.macs / layer.bytes_moved, layer.macs / layer.cycles
        near = (at for at in labels if x < 1.15 * at[0] and abs(np.log(y / at[1])) < 0.5)
        labels.setdefault(next(near, (x, y)), []).append(layer.name)
    return labels
