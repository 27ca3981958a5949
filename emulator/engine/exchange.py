# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Layers that are packed once for many weights, as training has them: new ones after each step.

Where weights lie in the kernel's memory depends on which of them are zero, and on nothing else of
them. If all are taken for something else, packing is a fixed permutation. It is found by packing
numbers in their place.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import Memory
from axynq.emulator.engine.packing import pack_factors, pack_layer
from axynq.emulator.engine.recipe import Costs, LayerRecipe, layer_tables, places
from axynq.emulator.model import graph
from axynq.emulator.plan import LayerCodes

BASE = 127
"""Of the digits in the place of weights, 1 to 127: none is zero."""

WORDS = [0, 2, 1, 3]
"""The order of the four weights of a group where they are words (FilterBlock); its own inverse."""


class ExchangeableLayer:
    """A layer as the native kernel reads it, for any weights under the same codes.

    Layers that look something up are packed anew for each: their taps are sorted by what they look
    up.

    Args:
        model: the network the layer is of.
        layer: the layer with some weights.
        codes: of its weights.
        costs: what its products cost.
        library: the native kernel.
    """

    def __init__(
        self,
        model: graph.Model,
        layer: graph.WeightedLayer,
        codes: LayerCodes,
        costs: Costs,
        library: ctypes.CDLL,
    ) -> None:
        self._model, self._codes, self._library = model, codes, library
        self._costs = costs = _against_look_ups(costs)
        self._requantisation = Memory()
        self._factors = pack_factors(model, layer, library, self._requantisation)
        every = np.ones((len(codes.multipliers) + 1, 256), np.int64)
        zero_point = model.tensors[layer.inputs[0]].zero_point
        self._tables = layer_tables(codes, zero_point, every, costs)
        self._memory = Memory()
        if not self._tables.lookups:
            self._records = self._number(layer)

    def fits(self, codes: LayerCodes) -> bool:
        """Whether these are the codes it is packed for."""
        mine = self._codes
        return mine is codes or (
            mine.multipliers == codes.multipliers and np.array_equal(mine.codes, codes.codes)
        )

    def pack(self, layer: graph.WeightedLayer) -> npt.NDArray[Any]:
        """The records of the layer with other weights and biases, which live until the next do,
        as long as this object."""
        if self._tables.lookups:
            recipe = self._tables.recipe(layer, self._codes)
            self._memory = Memory()
            self._records = self._packed(layer, recipe, self._memory)
            return self._records
        at = places(layer, self._codes)
        source = np.zeros(self._count + 4, np.int8)
        for plane, part in zip(self._tables.planes, source[: self._count].reshape(-1, *at.shape)):
            np.take(plane.weights.reshape(-1), at, out=part, mode="clip")
        for array, index, grouped in zip(self._memory.weights, self._index, self._grouped):
            values = source.view(np.int32).take(index).view(np.int8) if grouped else source[index]
            if array.dtype == np.int64:
                if grouped:
                    values = values.reshape(-1, 4)[:, WORDS].reshape(-1)
                array.view(np.int16)[:] = values
            else:
                array.view(np.int8)[:] = values
        self._bias[:] = self._tables.bias(layer, at)
        return self._records

    def _packed(
        self, layer: graph.WeightedLayer, recipe: LayerRecipe, memory: Memory
    ) -> npt.NDArray[Any]:
        rest = self._costs, self._library, memory, self._factors
        return pack_layer(self._model, layer, recipe, *rest, any_weights=True)

    def _number(self, layer: graph.WeightedLayer) -> npt.NDArray[Any]:
        """Packs the digits of the weights' numbers, one after another, and reads them there."""
        shape, planes = self._codes.codes.shape, self._tables.planes
        self._count = len(planes) * self._codes.codes.size
        self._bias = layer.bias.copy()
        number = np.arange(self._count, dtype=np.int64).reshape(len(planes), *shape)
        # A plane has nothing for weights of multipliers that do not need it.
        needed = [plane.weights.any(axis=1)[self._codes.codes] for plane in planes]
        found: list[npt.NDArray[np.int64]] = []
        scale = 1
        while scale == 1 or scale < self._count:
            digits = (number // scale % BASE + 1).astype(np.int8)
            memory = self._memory if scale == 1 else Memory()
            numbered = tuple(
                replace(plane, weights=np.where(there, digit, np.int8(0)))
                for plane, there, digit in zip(planes, needed, digits)
            )
            records = self._packed(layer, LayerRecipe(numbered, (), self._bias), memory)
            values = [_bytes(array).astype(np.int64) for array in memory.weights]
            if scale == 1:
                first = records
                found = [np.where(value > 0, 0, self._count) for value in values]
            for index, value in zip(found, values):
                index += np.maximum(value - 1, 0) * scale
            scale *= BASE
        self._grouped = [
            _in_groups(array, index, self._count)
            for array, index in zip(self._memory.weights, found)
        ]
        self._index = [
            (index.reshape(-1, 4)[:, 0] // 4 if grouped else index).astype(np.int32)
            for index, grouped in zip(found, self._grouped)
        ]
        return first


def _against_look_ups(costs: Costs) -> Costs:
    """Costs with what it takes to pack look-ups anew for each step, roughly: as much again as half
    of them take, or several times that where terms are cheap."""
    factor = 1.5 if costs.tile_term is None else 4.0
    seven_bits = None if costs.seven_bits is None else factor * costs.seven_bits
    half_lookup = factor * costs.half_lookup
    return replace(
        costs, lookup=factor * costs.lookup, half_lookup=half_lookup, seven_bits=seven_bits
    )


def _bytes(packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The single weights."""
    return packed.reshape(-1).view(np.int16 if packed.dtype == np.int64 else np.int8)


def _in_groups(packed: npt.NDArray[Any], index: npt.NDArray[np.int64], count: int) -> bool:
    """Whether groups of four weights are neighbours before they are packed, too. A weight numbered
    ``count`` is none."""
    groups = index.reshape(-1, 4)
    if packed.dtype == np.int64:
        groups = groups[:, WORDS]
    first = groups[:, :1]
    neighbours = (first % 4 == 0) & (groups == first + np.arange(4, dtype=np.int64))
    return count % 4 == 0 and bool((neighbours | (groups == count)).all(axis=1).all())
