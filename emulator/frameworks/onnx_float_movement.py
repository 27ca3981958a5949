# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators of float ONNX networks that move values: shapes, parts, paddings, resizing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_file import Node
from axynq.emulator.file_formats.onnx_movement import (
    completed,
    evenly_spaced,
    linear_kind,
    nearest_kind,
    resized_shape,
    split_sizes,
)
from axynq.emulator.frameworks.onnx_float_importer import Importer, Operand
from axynq.emulator.quantisation.channels_first import Value


def axis_of(axis: int, value: Value) -> int:
    """An axis of ONNX without the images.

    Raises:
        ModelError: it is none, or the images'.
    """
    rank = len(value.shape) + 1
    number = axis + rank if axis < 0 else axis
    if not 0 < number < rank:
        raise ModelError(f"is over axis {axis} of {rank}, which is not supported")
    return number - 1


def _to_shape(importer: Importer, x: Value, shape: Sequence[int]) -> Value:
    if not shape or shape[0] != 1:
        raise ModelError(f"turns {[1, *x.shape]} into {list(shape)}: images must stay apart")
    return importer.first.reshape(x, tuple(shape[1:]))


def _reshape(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    target = importer.numbers(node, "shape", 1, "shape") or []
    given = (1, *x.shape)
    if not node.attribute("allowzero", 0):
        target = [given[k] if n == 0 and k < len(given) else n for k, n in enumerate(target)]
    return _to_shape(importer, x, completed(given, target))


def _flatten(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    given, axis = (1, *x.shape), int(node.attribute("axis", 1))
    axis = axis + len(given) if axis < 0 else axis
    return _to_shape(importer, x, (math.prod(given[:axis]), math.prod(given[axis:])))


def _squeeze(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    axes = importer.numbers(node, "axes", 1, "list of axes")
    if axes is None:
        raise ModelError("leaves out all axes of 1, the images' too: name the axes")
    places = [axis_of(axis, x) for axis in axes]
    if any(x.shape[axis] != 1 for axis in places):
        raise ModelError(f"leaves out axes {axes} of {[1, *x.shape]}")
    return importer.first.squeeze(x, places)


def _unsqueeze(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    axes = importer.numbers(node, "axes", 1, "list of axes") or []
    rank = len(x.shape) + 1 + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        if not 0 < axis < rank:
            raise ModelError(f"puts in axes {axes} before the images, which is not supported")
        x = importer.first.unsqueeze(x, axis - 1)
    return x


def _transpose(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    rank = len(x.shape) + 1
    permutation = [int(n) for n in node.attribute("perm", None) or range(rank - 1, -1, -1)]
    if sorted(permutation) != list(range(rank)) or permutation[0] != 0:
        raise ModelError(f"has perm {permutation}: the images must stay first")
    return importer.first.permute(x, [axis - 1 for axis in permutation[1:]])


def _slice(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    starts = importer.numbers(node, "starts", 1, "start") or []
    ends = importer.numbers(node, "ends", 2, "end") or []
    axes = importer.numbers(node, "axes", 3, "list of axes") or list(range(len(starts)))
    steps = importer.numbers(node, "steps", 4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(f"has starts {starts}, ends {ends}, axes {axes} and steps {steps}")
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if axis in (0, -len(x.shape) - 1):
            if len(range(1)[start:end:step]) == 1:
                continue
            raise ModelError("takes images apart, which is not supported")
        place = axis_of(axis, x)
        n = x.shape[place]
        stop = None if step < 0 and end < -n else end
        chosen = range(n)[start:stop:step]
        if not chosen:
            raise ModelError(f"leaves no values of {[1, *x.shape]}")
        x = importer.first.slice(x, place, chosen.start, chosen.stop, chosen.step)
    return x


def _split(importer: Importer, node: Node) -> list[Operand]:
    x = importer.computed(node)
    axis = axis_of(int(node.attribute("axis", 0)), x)
    given = importer.numbers(node, "split", 1, "sizes")
    sizes = split_sizes(given, x.shape[axis], len(node.outputs))
    ends = np.cumsum(sizes).tolist()
    return [importer.first.slice(x, axis, end - size, end) for size, end in zip(sizes, ends)]


def _gather(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    indices = importer.constant(node, 1, "list of indices").astype(np.int64)
    axis = axis_of(int(node.attribute("axis", 0)), x)
    if indices.ndim > 1:
        raise ModelError(f"has indices of shape {list(indices.shape)}")
    found = evenly_spaced(indices, x.shape[axis])
    y = importer.first.slice(x, axis, found.start, found.stop, found.step)
    return importer.first.squeeze(y, [axis]) if indices.ndim == 0 else y


def _concat(importer: Importer, node: Node) -> Value:
    values = [importer.computed(node, position) for position in range(len(node.inputs))]
    axis = axis_of(int(node.attribute("axis", 1)), values[0])
    others = {tuple(n for k, n in enumerate(v.shape) if k != axis) for v in values}
    if len(others) != 1:
        raise ModelError(f"joins {', '.join(str([1, *v.shape]) for v in values)}")
    return importer.first.concatenate(values, axis)


def _pad(importer: Importer, node: Node) -> Value:
    x = importer.computed(node)
    if str(node.attribute("mode", "constant")) != "constant":
        raise ModelError(f"pads in mode '{node.attributes['mode']}'; only 'constant' is supported")
    amounts = importer.numbers(node, "pads", 1, "amounts") or []
    number = float(node.attribute("value", 0.0))
    if importer.optional(node, 2) is not None:
        number = float(importer.constant(node, 2, "value").reshape(-1)[0])
    rank = len(x.shape) + 1
    axes = importer.numbers(node, "axes", 3, "list of axes") or list(range(rank))
    if len(amounts) != 2 * len(axes):
        raise ModelError(f"has amounts {amounts} for {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for k, axis in enumerate(axes):
        before[axis], after[axis] = amounts[k], amounts[k + len(axes)]
    if before[0] or after[0]:
        raise ModelError("pads images, which is not supported")
    return importer.first.pad(x, before[1:], after[1:], number)


def _resize(importer: Importer, node: Node) -> Value:
    x, arguments = importer.computed(node), importer.arguments(node)
    mode, given = str(node.attribute("mode", "nearest")), (1, *x.shape)
    shape, scales = resized_shape(arguments, given)
    if len(shape) != 4 or shape[:2] != given[:2]:
        raise ModelError("resizes more than the rows and columns of a map")
    size = (shape[2], shape[3])
    if mode == "nearest":
        corners, centers = nearest_kind(arguments, given)
        return importer.first.resize(x, size, "nearest", corners, centers)
    if mode != "linear":
        raise ModelError(f"is in mode '{mode}'; 'nearest' and 'linear' are supported")
    corners, centers = linear_kind(arguments, given, shape, scales)
    return importer.first.resize(x, size, "bilinear", corners, centers)


def _depth_to_space(importer: Importer, node: Node) -> Value:
    x, block = importer.computed(node), int(node.attribute("blocksize", 0))
    mode = str(node.attribute("mode", "DCR"))
    if block < 1 or not x.shape or x.shape[0] % block**2:
        raise ModelError(f"has blocks of {block} for {[1, *x.shape]}")
    if mode not in ("DCR", "CRD"):
        raise ModelError(f"has mode '{mode}'")
    return importer.first.depth_to_space(x, block, mode == "CRD")


def _space_to_depth(importer: Importer, node: Node) -> Value:
    x, block = importer.computed(node), int(node.attribute("blocksize", 0))
    if block < 1 or len(x.shape) != 3 or x.shape[1] % block or x.shape[2] % block:
        raise ModelError(f"has blocks of {block} for {[1, *x.shape]}")
    return importer.first.space_to_depth(x, block, channels_first=False)


MOVEMENTS: dict[str, Callable[[Importer, Node], Any]] = {
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""By the operator's name."""
