# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where values lie in a planar tensor, and how operators that move or pair values find them.

A position is that of one value of an image: planes of channels, rows and columns within. What an
operator takes is described in stretches of neighbouring positions, as long as can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import PAIRING, RUN
from axynq.emulator.model import graph
from axynq.emulator.model.graph import rows_columns_channels
from axynq.emulator.model.movement import FILLED, Moving, places

IndexArray = npt.NDArray[np.int64]


def positions(shape: tuple[int, ...]) -> IndexArray:
    """The position of each value of a tensor, [*shape]."""
    rows, columns, channels = rows_columns_channels(shape)
    planar = np.arange(math.prod(shape), dtype=np.int64).reshape(channels, rows * columns)
    return planar.T.reshape(shape)


def by_position(values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The values of a tensor [*shape] in the order of their positions."""
    channels = rows_columns_channels(shape)[2]
    return np.ascontiguousarray(values.reshape(-1, channels).T).reshape(-1)


def stretches(*sequences: tuple[IndexArray, int]) -> tuple[IndexArray, IndexArray]:
    """Where stretches begin along which each sequence grows by its step, and how long they are."""
    length = len(sequences[0][0])
    breaks = np.zeros(max(length - 1, 0), bool)
    for values, step in sequences:
        breaks |= np.diff(values) != step
    first = np.concatenate([[0], np.flatnonzero(breaks) + 1]).astype(np.int64)
    return first, np.diff(np.append(first, length))


def movement_runs(model: graph.Model, op: Moving) -> npt.NDArray[Any]:
    """What a movement copies: runs of positions of its inputs, or of the filling."""
    target = model.tensors[op.output].shape
    shapes = [model.tensors[index].shape for index in op.inputs]
    moved = by_position(places(model, op), target)
    starts = np.cumsum([0, *map(math.prod, shapes)], dtype=np.int64)
    number = np.searchsorted(starts, moved, side="right") - 1  # -1: filled
    found = np.concatenate([positions(shape).reshape(-1) for shape in shapes])
    position = np.where(moved == FILLED, np.arange(len(moved), dtype=np.int64), found[moved])
    tensors = np.array([*op.inputs, -1], np.int64)
    return _runs(tensors[number], position)


def map_runs(
    model: graph.Model, source: int, op: graph.Operator, tables: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Positions of the input ``source``, broadcast to the output, whose values go through the same
    table: ``tables`` has its number for each value of the output, [*shape]."""
    target = model.tensors[op.output].shape
    position = np.broadcast_to(positions(model.tensors[source].shape), target)
    return _runs(by_position(tables, target), by_position(position, target))


def _runs(sources: IndexArray, position: IndexArray) -> npt.NDArray[Any]:
    first, count = stretches((sources, 0), (position, 1))
    runs = np.zeros(len(first), RUN)
    runs["source"], runs["first"], runs["count"] = sources[first], position[first], count
    return runs


def pairings(model: graph.Model, op: graph.Operator) -> npt.NDArray[Any]:
    """Positions of both inputs, broadcast to the output."""
    target = model.tensors[op.output].shape
    a, b = (
        by_position(np.broadcast_to(positions(model.tensors[index].shape), target), target)
        for index in op.inputs
    )
    found = [
        (*stretches((a, first_step), (b, second_step)), first_step, second_step)
        for first_step, second_step in ((1, 1), (1, 0), (0, 1))
    ]
    first, count, first_step, second_step = min(found, key=lambda one: len(one[0]))
    records = np.zeros(len(first), PAIRING)
    records["first"], records["second"] = a[first], b[first]
    records["first_step"], records["second_step"] = first_step, second_step
    records["count"] = count
    return records


def terms(
    shape: tuple[int, ...], axes: Sequence[int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """For a sum over axes of a tensor: where the terms of each result begin, in the order of the
    values that are left, and how far from there each term is."""
    every = positions(shape)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    ordered = every.transpose(*kept, *axes).reshape(
        math.prod(shape[axis] for axis in kept), math.prod(shape[axis] for axis in axes)
    )
    return ordered[:, 0].astype(np.int32), (ordered[0] - ordered[0, 0]).astype(np.int32)
