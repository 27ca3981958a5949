# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where each value of an operator that only moves values comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Union

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph

Moving = Union[graph.Movement, graph.Pad, graph.Reshape]
"""Operators whose values are all those of inputs, or one that is filled in."""

FILLED = -1
"""In the place of a value that is no input's: :func:`filling` is there."""

BETWEEN_ONE = 1 << 10
"""The distance of two rows or columns, for bilinear resizing."""


def places(model: graph.Model, op: Moving) -> npt.NDArray[np.int64]:
    """For each value of the output, [*shape], its place among the values of all inputs, one input
    after another, each in the order of its tensor; :data:`FILLED` for those that are new."""
    numbers, start = [], 0
    for index in op.inputs:
        shape = model.tensors[index].shape
        count = math.prod(shape)
        numbers.append(np.arange(start, start + count, dtype=np.int64).reshape(shape))
        start += count
    x, target = numbers[0], model.tensors[op.output].shape
    if isinstance(op, graph.Concatenation):
        return np.concatenate(numbers, axis=op.axis)
    if isinstance(op, graph.Slice):
        steps = zip(op.begin, op.stride, target)
        return x[
            np.ix_(*(begin + stride * np.arange(n, dtype=np.int64) for begin, stride, n in steps))
        ]
    if isinstance(op, graph.Transpose):
        return x.transpose(op.permutation)
    if isinstance(op, graph.Surround):
        amounts = list(zip(op.before, op.after))
        return np.pad(x, amounts, constant_values=FILLED)
    if isinstance(op, graph.Pad):
        return np.pad(x, op.padding.amounts, constant_values=FILLED)
    if isinstance(op, graph.Reshape):
        return x.reshape(target)
    if isinstance(op, graph.Spread):
        return _spread(x, op, target)
    if isinstance(op, graph.ResizeNearest):
        nearest_rows, nearest_columns = (
            nearest(source, size, op.align_corners, op.half_pixel_centers)
            for source, size in zip(x.shape, target[:2])
        )
        return x[nearest_rows][:, nearest_columns]
    if isinstance(op, graph.DepthToSpace):
        blocks = x.reshape(*x.shape[:2], op.block, op.block, -1)
        return blocks.transpose(0, 2, 1, 3, 4).reshape(target)
    assert isinstance(op, graph.SpaceToDepth)
    rows, columns, channels = x.shape
    blocks = x.reshape(rows // op.block, op.block, columns // op.block, op.block, channels)
    return blocks.transpose(0, 2, 1, 3, 4).reshape(target)


def filling(model: graph.Model, op: Moving) -> int:
    """What values that are no input's are: int8."""
    if isinstance(op, graph.Surround) and op.value is not None:
        return op.value
    return model.tensors[op.inputs[0]].zero_point


def nearest(
    source: int, target: int, align_corners: bool, half_pixel_centers: bool
) -> Sequence[int]:
    """The row or column of the input, of ``source``, for each of ``target`` of the output; in
    float32, as TFLite finds them."""
    scale = np.float32(source) / np.float32(target)
    if align_corners and target > 1:
        scale = np.float32(source - 1) / np.float32(target - 1)
    offset = np.float32(0.5) if half_pixel_centers else np.float32(0)
    found = []
    for number in range(target):
        place = (np.float32(number) + offset) * scale
        # Halves away from zero, as C's round; or down.
        whole = math.floor(float(place) + 0.5) if align_corners else math.floor(float(place))
        found.append(max(0, min(whole, source - 1)))
    return found


def _spread(
    x: npt.NDArray[np.int64], op: graph.Spread, target: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    # Padding may be negative: rows and columns that nothing of the output sees.
    y = np.full(target, FILLED, np.int64)
    axes = zip(x.shape, op.stride, (op.padding.top, op.padding.left))
    rows, columns = (np.arange(n, dtype=np.int64) * step + first for n, step, first in axes)
    seen = [(at >= 0) & (at < size) for at, size in zip((rows, columns), target)]
    y[np.ix_(rows[seen[0]], columns[seen[1]])] = x[np.ix_(*seen)]
    return y


def between(
    source: int, target: int, align_corners: bool, half_pixel_centers: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For bilinear resizing: the two rows or columns of the input, of ``source``, that each of
    ``target`` of the output is between, and how much it takes of the second, in parts of
    :data:`BETWEEN_ONE`; it takes the rest of the first. In integers, as TFLite finds them."""
    one = BETWEEN_ONE
    scale = (one * source + target // 2) // target
    if align_corners and target > 1:
        scale = (one * (source - 1) + (target - 1) // 2) // (target - 1)
    place = np.arange(target, dtype=np.int64) * scale
    if half_pixel_centers:
        place += scale // 2 - one // 2
    lower = np.maximum(place // one, 0)  # C divides towards zero; it is held at zero anyway
    upper = np.minimum(np.maximum(place + one - 1, 0) // one, source - 1)
    return lower, upper, place - one * lower


def interpolation(
    source: int, target: int, align_corners: bool, half_pixel_centers: bool
) -> npt.NDArray[np.float32]:
    """Bilinear resizing of rows or columns as a matrix, [target, source]."""
    lower, upper, share = between(source, target, align_corners, half_pixel_centers)
    matrix = np.zeros((target, source), np.float32)
    every = np.arange(target, dtype=np.int64)
    np.add.at(matrix, (every, lower), 1 - share / BETWEEN_ONE)
    np.add.at(matrix, (every, upper), share / BETWEEN_ONE)
    return matrix
