# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the multipliers of a design cost: LUTs, DSP blocks and energy.

Counts follow from the strategies; LUTs are those of the multipliers' netlists, energies those of
their switching activity. A multiplier whose weight is a constant, as with the strategy ``latency``
and a reuse factor of 1, becomes smaller than that. Nothing here has been through a vendor's tool.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hls4ml.model.graph import ModelGraph, MultiModelGraph

from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import ModelError
from axynq.emulator.multipliers import Exact, Multiplier, multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.hls4ml.layers import CODES, in_memory, kernel_shape, positions, weighted_nodes
from axynq.hls4ml.project import wants_netlists
from axynq.host.energy import energy_figures
from axynq.host.netlists.files import rtl_files


@dataclass(frozen=True)
class LayerReport:
    """Estimated cost of one multiplying layer."""

    name: str
    """Name of the layer."""
    multiplications: int
    """Multiplications per inference, including skipped ones, which cost nothing."""
    multipliers: Mapping[str, int]
    """Number of multipliers built, by specification. If one multiplier computes products of several
    designs, one of each is built for it."""
    own: int
    """Number of multipliers of a design with hls4ml's own products only."""
    luts: int
    """LUTs of the multipliers that are netlists: the approximate ones and, if the design is written
    with netlists, the exact ones of layers with ``Multipliers``."""
    dsps: int
    """DSP blocks, if each of the other multipliers takes one."""
    relative_energy: float | None
    """Energy of the multiplications, relative to exact ones; None: a multiplier has no figure."""

    @property
    def dsps_saved(self) -> int:
        """DSP blocks fewer than with hls4ml's own products, one each."""
        return self.own - self.dsps


@dataclass(frozen=True)
class Report:
    """Estimated cost of all multiplying layers of a design. ``str()`` of it is a table."""

    layers: tuple[LayerReport, ...]
    """The layers, in order."""

    @property
    def luts(self) -> int:
        """LUTs of the multipliers that are netlists."""
        return sum(layer.luts for layer in self.layers)

    @property
    def dsps(self) -> int:
        """DSP blocks, if each of the other multipliers takes one."""
        return sum(layer.dsps for layer in self.layers)

    @property
    def dsps_saved(self) -> int:
        """DSP blocks fewer than with hls4ml's own products."""
        return sum(layer.dsps_saved for layer in self.layers)

    @property
    def relative_energy(self) -> float | None:
        """Energy of all multiplications of an inference, relative to exact ones; None: a multiplier
        has no figure."""
        parts = [(layer.relative_energy, layer.multiplications) for layer in self.layers]
        total = sum(count for _, count in parts)
        if total == 0 or any(energy is None for energy, _ in parts):
            return None
        return sum(energy * count for energy, count in parts if energy is not None) / total

    def __str__(self) -> str:
        """A table for a terminal."""
        rows: list[tuple[str, ...]] = [_HEADINGS]
        for layer in self.layers:
            kinds = ", ".join(f"{count} {spec}" for spec, count in layer.multipliers.items())
            rows.append(_row(layer.name, layer.multiplications, kinds, layer))
        rows.append(_row("all", sum(x.multiplications for x in self.layers), "", self))
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        left = (0, 2)
        lines = (
            "  ".join(
                cell.ljust(width) if k in left else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths))
            ).rstrip()
            for row in rows
        )
        return "\n".join(lines)


_HEADINGS = ("layer", "multiplications", "multipliers", "LUTs", "DSPs", "DSPs saved", "energy")


def _row(name: str, count: int, kinds: str, it: LayerReport | Report) -> tuple[str, ...]:
    energy = "unknown" if it.relative_energy is None else f"{it.relative_energy:.1%}"
    numbers = (f"{it.luts:,}", f"{it.dsps:,}", f"{it.dsps_saved:,}")
    return name, f"{count:,}", kinds, *numbers, energy


def report(model: Any, energy: str = "characterised") -> Report:
    """Estimate what the multipliers of a converted design cost.

    Args:
        model: an hls4ml ``ModelGraph``, or a ``MultiModelGraph`` made of parts of one.
        energy: the source of the energy figures, as for ``axynq evaluate --energy``.

    Raises:
        DataError: the energy figures cannot be read.
        ModelError: ``model`` is not an hls4ml design.
    """
    if not isinstance(model, ModelGraph | MultiModelGraph):
        raise ModelError(f"a report is of an hls4ml ModelGraph, not of a {type(model).__name__}")
    parts = model.graphs if isinstance(model, MultiModelGraph) else [model]
    nodes = [node for part in parts for node in weighted_nodes(part)]
    specs = {m.spec for node in nodes for m in _codes(node).multipliers}
    used = {spec: multiplier(spec) for spec in sorted(specs)}
    figures = energy_figures(energy, used.values())
    return Report(tuple(_layer(node, used, figures) for node in nodes))


def _codes(node: Any) -> LayerCodes:
    """The layer's multipliers; exact ones where it has hls4ml's own."""
    codes = node.get_attr(CODES)
    if isinstance(codes, LayerCodes):
        return codes
    return LayerCodes((multiplier("exact"),), np.ones(kernel_shape(node), np.uint8))


def _layer(node: Any, used: Mapping[str, Multiplier], figures: EnergyFigures) -> LayerReport:
    codes = _codes(node)
    places = math.prod(positions(node))
    weights = Counter({spec: n for spec, n in codes.counts().items() if spec != "skip"})
    energies = {spec: figures.of(used[spec]) for spec in weights}
    known = all(energy is not None for energy in energies.values())
    spent = sum(weights[spec] * e.relative for spec, e in energies.items() if e is not None)
    built = _built(node, codes)
    logic = {spec for spec in built if _is_netlist(node, used[spec])}
    return LayerReport(
        name=node.name,
        multiplications=places * codes.codes.size,
        multipliers=dict(built),
        own=sum(_built(node, _all_exact(codes)).values()),
        luts=sum(built[spec] * rtl_files(spec).resources["LUT"] for spec in logic),
        dsps=sum(count for spec, count in built.items() if spec not in logic),
        relative_energy=spent / codes.codes.size if known else None,
    )


def _is_netlist(node: Any, m: Multiplier) -> bool:
    """Whether a multiplier of the layer is a netlist, and not a product that synthesis is free to
    put into a DSP block."""
    if not isinstance(m, Exact):
        return True
    return wants_netlists(node.model) and isinstance(node.get_attr(CODES), LayerCodes)


def _all_exact(codes: LayerCodes) -> LayerCodes:
    return LayerCodes((multiplier("exact"),), np.ones_like(codes.codes))


def _built(node: Any, codes: LayerCodes) -> Counter[str]:
    """How many multipliers of each design the layer's hardware has."""
    reuse = int(node.get_attr("reuse_factor", 1))
    pixels = _pixels(node)
    in_order = np.asarray(in_memory(node, codes.codes))
    found: Counter[str] = Counter()
    if str(node.get_attr("strategy")).lower() == "latency":
        for spec, count in codes.counts().items():
            found[spec] += math.ceil(count * pixels / reuse)
    else:
        # As in nnet_axynq.h: a multiplier computes so many neighbouring products.
        reuse = min(reuse, in_order.size)
        for start in range(0, in_order.size, reuse):
            for code in set(in_order[start : start + reuse].tolist()) - {SKIP}:
                found[codes.multipliers[code - 1].spec] += pixels
    found.pop("skip", None)
    return found


def _pixels(node: Any) -> int:
    """Windows that are computed at once."""
    streams = node.model.config.get_config_value("IOType") == "io_stream"
    if streams or node.class_name == "Dense":
        return 1
    return math.prod(positions(node)) // int(node.get_attr("n_partitions", 1))
