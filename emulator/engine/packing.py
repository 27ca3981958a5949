# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A layer's recipe in the order the native kernel reads it, and what it costs.

A depthwise layer is a convolution for each input channel, so a network has thousands: all of a
layer are packed together, in whole-array steps (modules ``packing_...``).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import CONVOLUTION, HIGH_HALF, LOW_HALF, REAL_FACTOR, Memory
from axynq.emulator.engine.packing_geometry import geometry_of
from axynq.emulator.engine.packing_lookups import pack_lookups
from axynq.emulator.engine.packing_planes import TYPICAL_PLANES, pack_planes, tiles_pay
from axynq.emulator.engine.packing_sums import Line
from axynq.emulator.engine.recipe import Costs, LayerRecipe, LookupPlane
from axynq.emulator.model import graph
from axynq.emulator.model.graph import activation_bounds
from axynq.emulator.model.quantisation import layer_factors


def pack_layer(
    model: graph.Model,
    layer: graph.WeightedLayer,
    recipe: LayerRecipe,
    costs: Costs,
    library: ctypes.CDLL,
    memory: Memory,
    factors: Mapping[str, int] | None = None,
    any_weights: bool = False,
) -> npt.NDArray[Any]:
    """The layer as convolutions: one, or one per input channel where it is depthwise.

    Costs tell whether tiles pay; ``factors`` is what :func:`pack_factors` gives, where it is known
    already. ``any_weights`` says that other weights will take their places.
    """
    output = model.tensors[layer.output]
    low, high = activation_bounds(layer.activation, output)
    geometry = geometry_of(model, layer)
    in_groups = [plane for plane in recipe.lookups if looked_up_in_groups(plane, library)]
    in_rows = [plane for plane in recipe.lookups if plane not in in_groups]
    records = np.zeros(geometry.convolutions, CONVOLUTION)
    values: dict[str, Any] = {
        "first_channel": np.arange(geometry.convolutions, dtype=np.int64),
        "channels": geometry.channels,
        "flattened": geometry.flattened,
        "row_groups": geometry.row_groups,
        "padding_top": geometry.padding.top,
        "padding_left": geometry.padding.left,
        "pad_value": model.tensors[layer.inputs[0]].zero_point,
        "bias": memory.pointer(recipe.bias),
        **(factors or pack_factors(model, layer, library, memory)),
        "output_zero_point": output.zero_point,
        "clamp_low": low,
        "clamp_high": high,
        **pack_planes(recipe.planes, in_groups, geometry, costs, library, memory, any_weights),
        **pack_lookups(in_rows, geometry, library, memory),
    }
    for side, (rows, columns, channels) in (
        ("input", geometry.input_shape),
        ("output", geometry.output_shape),
    ):
        values |= {f"{side}_rows": rows, f"{side}_columns": columns, f"{side}_channels": channels}
    for name in ("kernel", "stride", "dilation"):
        values[f"{name}_rows"], values[f"{name}_columns"] = getattr(geometry, name)
    for name, value in values.items():
        records[name] = value
    return records


def looked_up_in_groups(plane: LookupPlane, library: ctypes.CDLL) -> bool:
    """Whether tables of half bytes lie with the weights."""
    halves = plane.part in (LOW_HALF, HIGH_HALF) and bool(library.axynq_group_lookups())
    return halves and plane.index.size <= _MOST_TABLES


_MOST_TABLES = 1 << 20
"""Of sixteen bytes, that lie with weights."""

_ONE_BY_ONE = 1.6
"""What a look-up takes that is not one of four together, against one that is."""


def costs_of(model: graph.Model, layer: graph.WeightedLayer, costs: Costs) -> Costs:
    """What products of a layer cost: mapped activations are shared by all that use them, and terms
    are cheap in tiles where these pay."""
    geometry = geometry_of(model, layer)
    inputs, outputs = math.prod(geometry.input_shape), math.prod(geometry.output_shape)
    taps = geometry.channels * math.prod(geometry.kernel)
    costs = replace(costs, uses=outputs * taps / inputs)
    if costs.in_groups and layer.kernel.size > _MOST_TABLES:
        half_lookup = _ONE_BY_ONE * costs.half_lookup
        costs = replace(costs, half_lookup=half_lookup, in_groups=False)
    if costs.tile_term is None:
        return costs
    line = Line.of(geometry, np.zeros(TYPICAL_PLANES, np.int64))
    every = np.ones((geometry.output_shape[2], len(line.part)), bool)
    return replace(costs, in_tiles=tiles_pay(every, line, geometry, costs))


def pack_factors(
    model: graph.Model, layer: graph.WeightedLayer, library: ctypes.CDLL, memory: Memory
) -> dict[str, int]:
    """The factors of the requantisation: as whole numbers, and in real ones where these do. They do
    not depend on the weights."""
    factors = layer_factors(model, layer)
    multiplier = memory.pointer(np.array([f.multiplier for f in factors], np.int32))
    shift = memory.pointer(np.array([f.shift for f in factors], np.int32))
    real = memory.pointer(np.zeros(len(factors), REAL_FACTOR))
    library.axynq_real_factors(multiplier, shift, len(factors), real)
    return {"multiplier": multiplier, "shift": shift, "real": real}
