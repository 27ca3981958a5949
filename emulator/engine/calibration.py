# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What products cost on the processor at hand: measured once, and kept in the cache folder.

Processors of one instruction set differ: looking up a byte takes three times as long as a product
on one, and ten times as long on another. Results are the same whatever is chosen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from axynq.emulator import files
from axynq.emulator.engine.abi import BLOCK, LOW_HALF, SEVEN_BITS, WHOLE_BYTE, Memory
from axynq.emulator.engine.kernel import Kernel
from axynq.emulator.engine.packing import pack_layer
from axynq.emulator.engine.recipe import Costs, LayerRecipe, LookupPlane, Plane
from axynq.emulator.errors import ToolError
from axynq.emulator.model import graph
from axynq.emulator.toolchain import processor_lines, writable_cache_folder

SIZE, CHANNELS, KERNEL = 16, 32, 3
"""Of the layer that is timed: rows and columns, channels, rows and columns of the kernel."""

MOST_SECONDS = 0.02
"""Of one pass: what is estimated for the instruction set must do for slower processors."""

FACTOR = 6.0
"""Costs so many times those estimated, or that part of them, are taken for disturbed."""

_SCALE = 1e9
"""From seconds to the unit that files have."""


@cache
def measured_costs(kernel: Kernel) -> Costs:
    """The costs of the kernel's products here: from the cache folder, else measured now (a fraction
    of a second) and kept there where it can be written."""
    estimated = kernel.variant.costs
    try:
        file = writable_cache_folder() / f"costs-{kernel.path.stem}-{_processor()}.json"
    except ToolError:
        return _changed(estimated, _measure(kernel))
    measured = _read(file)
    if measured is None:
        measured = _measure(kernel)
        with contextlib.suppress(OSError):  # another process measures again
            files.write_text(file, json.dumps(measured, indent=1))
    return _changed(estimated, measured)


def _changed(costs: Costs, values: Mapping[str, float]) -> Costs:
    fields: dict[str, Any] = dict(values)
    return dataclasses.replace(costs, **fields)


def _read(file: Path) -> dict[str, float] | None:
    """What was measured, unless the file is not there or not as this module writes it."""
    try:
        values = json.loads(files.read_text(file))
        numbers = {name: float(value) for name, value in values.items()}
        _changed(Costs(1.0, 1.0), numbers)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return numbers if all(np.isfinite(v) and v >= 0 for v in numbers.values()) else None


def _processor() -> str:
    """A hash of the processor's name."""
    kinds = ("model name", "CPU part", "Hardware")
    named = [line for line in processor_lines() if line.startswith(kinds)]
    return hashlib.sha256("\n".join(sorted(set(named))).encode()).hexdigest()[:8]


def _measure(kernel: Kernel) -> dict[str, float]:
    """Costs by timing a layer with two numbers of filters under different recipes.

    Time grows by ``term * products + plane * activations`` with each plane, and by
    ``lookup * products`` with looked-up bytes.
    """
    estimated = kernel.variant.costs
    many, few = _Bench(kernel, 32), _Bench(kernel, 16)
    exact = many.seconds(planes=1)
    if exact > MOST_SECONDS:
        return {}

    def of_planes(tiles: bool) -> tuple[float, float]:
        """A term and a plane."""
        wide, narrow = many.per_plane(tiles), few.per_plane(tiles)
        term = (wide - narrow) / (many.products - few.products)
        return term, (narrow - term * few.products) / few.activations

    def of_lookup(part: int) -> float:
        return (many.seconds(planes=1, lookups=1, part=part) - exact) / many.products

    measured: dict[str, float] = {}
    measured["term"], measured["plane"] = of_planes(tiles=False)
    measured["lookup"] = of_lookup(WHOLE_BYTE)
    if estimated.seven_bits is not None:
        measured["seven_bits"] = of_lookup(SEVEN_BITS)
    if np.isfinite(estimated.half_lookup):
        measured["half_lookup"] = of_lookup(LOW_HALF)
    if estimated.tile_term is not None:
        measured["tile_term"], measured["plane"] = of_planes(tiles=True)
    unit = measured["term"] / estimated.term
    if not unit > 0:
        return {}
    if estimated.narrow_term is not None:
        measured["narrow_term"] = estimated.narrow_term * unit
    # Disturbed measurements must not lead far astray.
    for name, value in measured.items():
        usual = getattr(estimated, name) * unit
        measured[name] = float(np.clip(value, usual / FACTOR, usual * FACTOR)) * _SCALE
    return measured


class _Bench:
    """A layer with so many filters, to be timed under different recipes."""

    def __init__(self, kernel: Kernel, filters: int) -> None:
        self.kernel = kernel
        self.filters = filters
        self.products = SIZE * SIZE * filters * KERNEL * KERNEL * CHANNELS
        """Of an image."""
        self.activations = SIZE * SIZE * CHANNELS
        self._random = np.random.default_rng(0)
        shape = (filters, KERNEL, KERNEL, CHANNELS)
        self._layer = graph.Convolution(
            "layer",
            (0,),
            1,
            weights=np.zeros(shape, np.int8),
            bias=np.zeros(filters, np.int32),
            weight_scales=np.full(filters, 0.01, np.float32),
            activation="none",
            padding=graph.Padding(1, 1, 1, 1),
        )
        tensors = (
            graph.Tensor("x", (SIZE, SIZE, CHANNELS), 0.01, 0),
            graph.Tensor("y", (SIZE, SIZE, filters), 10.0, 0),
        )
        self._model = graph.Model("bench", tensors, (self._layer,), (0,), (1,))

    def per_plane(self, tiles: bool) -> float:
        """Seconds for each plane more."""
        few, many = 2, 8
        first, second = (self.seconds(planes, tiles=tiles) for planes in (few, many))
        return (second - first) / (many - few)

    def seconds(
        self,
        planes: int,
        lookups: int = 0,
        part: int = WHOLE_BYTE,
        tiles: bool = False,
    ) -> float:
        """Seconds of the layer for a block of 64 images."""
        shape = self._layer.weights.shape
        random = self._random
        weights = [random.integers(1, 100, shape).astype(np.int8) for _ in range(planes)]
        table = random.integers(0, 256, 256).astype(np.uint8)
        entries = 16 if part == LOW_HALF else 256
        tables = random.integers(0, 100, (65, entries)).astype(np.uint8)
        tables[0] = 0
        recipe = LayerRecipe(
            tuple(Plane(table, w, 0) for w in weights),
            tuple(
                LookupPlane(tables, random.integers(1, 65, shape).astype(np.int32), 0, part)
                for _ in range(lookups)
            ),
            np.zeros(self.filters, np.int32),
        )
        memory = Memory()
        library = self.kernel.library
        costs = Costs(1.0, 1.0, tile_term=0.0 if tiles else None)
        record = pack_layer(self._model, self._layer, recipe, costs, library, memory)
        x = memory.pointer(random.integers(0, 256, self.activations * BLOCK).astype(np.uint8))
        y = memory.pointer(np.zeros(SIZE * SIZE * self.filters * BLOCK, np.uint8))
        return float(library.axynq_seconds(record.ctypes.data, x, y))
