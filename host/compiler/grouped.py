# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Grouped convolutions: slices of a map's channels, a convolution of each, put together again.

The array has them as one convolution of all channels that skips what is not a filter's group.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from axynq.emulator.model import graph
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.host.compiler.abilities import lasts_for


@dataclass(frozen=True, eq=False)
class Grouped:
    """A grouped convolution."""

    source: int
    """The tensor whose channels are in groups."""
    slices: tuple[graph.Slice, ...]
    layers: tuple[graph.Convolution, ...]
    """Of each slice."""
    end: graph.Concatenation

    @property
    def operators(self) -> tuple[graph.Operator, ...]:
        """All, in an order in which they can run."""
        return (*self.slices, *self.layers, self.end)

    @property
    def name(self) -> str:
        """The layers', from the first to the last."""
        return f"{self.layers[0].name}…{self.layers[-1].name}"

    def whole(
        self, channels: int, codes: dict[str, LayerCodes]
    ) -> tuple[graph.Int8Array, LayerCodes]:
        """Weights [filters, rows, columns, channels] and their codes, skipped between groups."""
        shape = (*self.layers[0].weights.shape[1:3], channels)
        filters = sum(len(layer.weights) for layer in self.layers)
        weights = np.zeros((filters, *shape), np.int8)
        assigned = np.full(weights.shape, SKIP, np.uint8)
        multipliers: list[Multiplier] = []
        first = 0
        for part, layer in zip(self.slices, self.layers):
            own = codes[layer.name]
            multipliers += [m for m in own.multipliers if m not in multipliers]
            numbers = [SKIP, *(1 + multipliers.index(m) for m in own.multipliers)]
            count, *_, width = layer.weights.shape
            place = np.s_[first : first + count, ..., part.begin[-1] : part.begin[-1] + width]
            weights[place] = layer.weights
            assigned[place] = np.array(numbers, np.uint8)[own.codes]
            first += count
        return weights, LayerCodes(tuple(multipliers), assigned)


def grouped(model: graph.Model, left_out: Collection[str]) -> dict[graph.Operator, Grouped]:
    """The grouped convolutions of a network, by the concatenations at their ends.

    Args:
        left_out: names of operators that others do.
    """
    makers = {op.output: op for op in model.operators}
    found: dict[graph.Operator, Grouped] = {}
    for op in model.operators:
        if isinstance(op, graph.Concatenation) and op.name not in left_out:
            group = _grouped(model, op, makers)
            if group is not None:
                found[op] = group
    return found


def _grouped(
    model: graph.Model, end: graph.Concatenation, makers: dict[int, graph.Operator]
) -> Grouped | None:
    layers: list[graph.Convolution] = []
    slices: list[graph.Slice] = []
    for index in end.inputs:
        layer = makers.get(index)
        if not isinstance(layer, graph.Convolution) or not lasts_for(model, index, end):
            return None
        part = makers.get(layer.inputs[0])
        if not isinstance(part, graph.Slice) or not lasts_for(model, part.output, layer):
            return None
        layers.append(layer)
        slices.append(part)
    if end.axis != len(model.tensors[end.output].shape) - 1 or len(set(end.inputs)) < 2:
        return None
    alike = {
        (each.weights.shape[1:3], each.stride, each.dilation, each.padding, each.activation)
        for each in layers
    }
    sources = {part.inputs[0] for part in slices}
    if len(alike) > 1 or len(sources) > 1 or not all(_of_channels(model, s) for s in slices):
        return None
    (source,) = sources
    return Grouped(source, tuple(slices), tuple(layers), end)


def _of_channels(model: graph.Model, part: graph.Slice) -> bool:
    """Whether a slice has all rows and columns, and neighbouring channels."""
    source, target = (model.tensors[index].shape for index in (part.inputs[0], part.output))
    return (
        part.inputs[0] not in model.constants
        and source[:-1] == target[:-1]
        and set(part.stride) == {1}
    )
