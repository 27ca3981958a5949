# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators of an ONNX network that only move values, in int8 networks and in real ones.

A movement takes a :class:`Held` or :class:`Flat` and gives one; it says nothing of what the values
stand for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_drawing import Drawing, Flat, Held
from axynq.emulator.file_formats.onnx_file import Array, Node
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding
from axynq.emulator.model.movement import nearest

Moved = Held | Flat
Movement = Callable[[Drawing, Moved], Moved]


class Arguments(NamedTuple):
    """A node and how to find what its attributes or constant inputs say."""

    node: Node
    opset: int
    numbers: Callable[[str, int, str], list[int] | None]
    """Whole numbers by the name of the attribute, the number of the input, and what they are."""
    constant: Callable[[int, str], Array]
    """A constant input."""
    given: Callable[[int], bool]
    """Whether an input is there."""


def reshape(arguments: Arguments) -> Movement:
    """Reshape."""
    target = arguments.numbers("shape", 1, "shape")
    if target is None:
        raise ModelError("lacks its shape")
    keeps_zeros = bool(arguments.node.attribute("allowzero", 0))

    def move(drawing: Drawing, x: Moved) -> Moved:
        shape = [
            x.shape[k] if size == 0 and not keeps_zeros and k < len(x.shape) else size
            for k, size in enumerate(target)
        ]
        return drawing.reshaped(x, completed(x.shape, shape))

    return move


def completed(given: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """A shape with the size in place of -1."""
    if list(shape).count(-1) > 1 or any(size < -1 for size in shape):
        raise ModelError(f"has shape {list(shape)}")
    known = math.prod(size for size in shape if size != -1)
    total = math.prod(given)
    if -1 in shape and (known == 0 or total % known):
        raise ModelError(f"cannot turn {list(given)} into {list(shape)}")
    return tuple(total // known if size == -1 else size for size in shape)


def flatten(arguments: Arguments) -> Movement:
    """Flatten: two axes of all."""
    axis = int(arguments.node.attribute("axis", 1))

    def move(drawing: Drawing, x: Moved) -> Moved:
        rank = len(x.shape)
        if not -rank <= axis <= rank:
            raise ModelError(f"has axis {axis} for {rank} axes")
        split = axis + rank if axis < 0 else axis
        shape = (math.prod(x.shape[:split]), math.prod(x.shape[split:]))
        return drawing.reshaped(x, shape)

    return move


def squeeze(arguments: Arguments) -> Movement:
    """Squeeze: axes of one left out."""
    axes = arguments.numbers("axes", 1, "list of axes")

    def move(drawing: Drawing, x: Moved) -> Moved:
        rank = len(x.shape)
        left_out = [k for k, n in enumerate(x.shape) if n == 1]
        if axes is not None:
            left_out = [axis + rank if axis < 0 else axis for axis in axes]
            if any(not 0 <= k < rank or x.shape[k] != 1 for k in left_out):
                raise ModelError(f"leaves out axes {axes} of {list(x.shape)}")
        shape = tuple(n for k, n in enumerate(x.shape) if k not in left_out)
        return drawing.reshaped(x, shape)

    return move


def unsqueeze(arguments: Arguments) -> Movement:
    """Unsqueeze: axes of one put in."""
    axes = arguments.numbers("axes", 1, "list of axes")
    if axes is None:
        raise ModelError("lacks its axes")

    def move(drawing: Drawing, x: Moved) -> Moved:
        rank = len(x.shape) + len(axes)
        new = sorted(axis + rank if axis < 0 else axis for axis in axes)
        if len(set(new)) != len(new) or not all(0 <= axis < rank for axis in new):
            raise ModelError(f"puts in axes {axes} among {len(x.shape)}")
        shape = list(x.shape)
        for axis in new:
            shape.insert(axis, 1)
        return drawing.reshaped(x, tuple(shape))

    return move


def transpose(arguments: Arguments) -> Movement:
    """Transpose: another order of axes, which moves nothing yet."""
    given = arguments.node.attribute("perm", None)

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.settled(x)
        rank = len(held.shape)
        permutation = [int(n) for n in given] if given else list(range(rank))[::-1]
        if sorted(permutation) != list(range(rank)):
            raise ModelError(f"has perm {permutation} for {rank} axes")
        shape = tuple(held.shape[axis] for axis in permutation)
        if held.images and permutation[0] != 0:
            if shape[0] != 1:
                raise ModelError("moves the axis of images, which is not supported")
            held = drawing.in_order(held, tuple(sorted(held.order)))
            # Axes of one may change places freely: written as another shape, then as an order.
            moved = [axis for axis in permutation if held.shape[axis] > 1]
            if moved == sorted(moved):
                return drawing.reshaped(held, shape)
            raise ModelError("moves the axis of images, which is not supported")
        if not held.images and shape[0] == 1:
            raise ModelError("moves the axis of images, which is not supported")
        order = tuple(permutation.index(axis) for axis in held.order)
        return replace(held, shape=shape, order=order)

    return move


def slice_(arguments: Arguments) -> Movement:
    """Slice: a part, or every so many, along any axes."""
    starts = arguments.numbers("starts", 1, "start")
    ends = arguments.numbers("ends", 2, "end")
    if starts is None or ends is None or len(starts) != len(ends):
        raise ModelError("lacks its starts or ends")
    axes = arguments.numbers("axes", 3, "list of axes") or list(range(len(starts)))
    steps = arguments.numbers("steps", 4, "steps") or [1] * len(starts)

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.settled(x)
        rank = len(held.shape)
        parts = [slice(None)] * rank
        for start, end, axis, step in zip(starts, ends, axes, steps):
            if not -rank <= axis < rank or step == 0:
                raise ModelError(f"has axes {axes} and steps {steps} for {rank} axes")
            n = held.shape[axis]
            # ONNX limits ends to -1 with negative steps, where Python would begin at the end.
            stop: int | None = end
            if step < 0 and end < -n:
                stop = None
            parts[axis] = slice(start, stop, step)
        return _sliced(drawing, held, parts)

    return move


def _sliced(drawing: Drawing, held: Held, parts: Sequence[slice]) -> Held:
    ranges = [range(n)[part] for n, part in zip(held.shape, parts)]
    shape = tuple(len(each) for each in ranges)
    if 0 in shape:
        raise ModelError(f"leaves no values of {list(held.shape)}")
    if shape == held.shape and all(each.step > 0 for each in ranges):
        return held
    begin = tuple(ranges[axis].start for axis in held.order)
    stride = tuple(ranges[axis].step for axis in held.order)
    stored = [shape[axis] for axis in held.order]
    tensor = drawing.moved(graph.Slice, "slice", [held.tensor], stored, begin=begin, stride=stride)
    result = replace(held, tensor=tensor, shape=shape)
    if not held.images and shape[0] == 1:  # one of an inner batch is an image
        order = tuple(axis for axis in held.order if axis)
        result = replace(result, order=order)
        tensor = drawing.moved(graph.Reshape, "reshape", [tensor], result.stored)
        result = replace(result, tensor=tensor)
    return result


def split(arguments: Arguments) -> list[Movement]:
    """Split: a slice for each output."""
    node = arguments.node
    axis = int(node.attribute("axis", 0))
    given = arguments.numbers("split", 1, "sizes")
    count = len(node.outputs)

    def part(number: int) -> Movement:
        def move(drawing: Drawing, x: Moved) -> Moved:
            held = drawing.settled(x)
            rank = len(held.shape)
            if not -rank <= axis < rank:
                raise ModelError(f"has axis {axis} for {rank} axes")
            sizes = split_sizes(given, held.shape[axis], count)
            parts = [slice(None)] * rank
            parts[axis] = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
            return _sliced(drawing, held, parts)

        return move

    return [part(number) for number in range(count)]


def split_sizes(given: list[int] | None, values: int, count: int) -> list[int]:
    """How many of so many values each of ``count`` outputs takes; None: as many, but for the last.

    Raises:
        ModelError: the sizes that are given do not add up.
    """
    each = -(-values // count)
    sizes = given or [each] * (count - 1) + [values - each * (count - 1)]
    if len(sizes) != count or sum(sizes) != values or min(sizes) < 1:
        raise ModelError(f"has parts of {sizes} for {values} values and {count} outputs")
    return sizes


def gather(arguments: Arguments) -> Movement:
    """Gather with constant indices that are one, or lie at equal distances."""
    indices = arguments.constant(1, "list of indices").astype(np.int64)
    axis = int(arguments.node.attribute("axis", 0))

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.settled(x)
        rank = len(held.shape)
        if not -rank <= axis < rank or indices.ndim > 1 or indices.size == 0:
            raise ModelError(f"has indices of shape {list(indices.shape)}")
        found = evenly_spaced(indices, held.shape[axis])
        parts = [slice(None)] * rank
        parts[axis] = slice(found.start, None if found.stop == -1 else found.stop, found.step)
        result: Moved = _sliced(drawing, held, parts)
        if indices.ndim == 0:
            place = axis + rank if axis < 0 else axis
            shape = tuple(m for k, m in enumerate(result.shape) if k != place)
            result = drawing.reshaped(result, shape)
        return result

    return move


def evenly_spaced(indices: Array, values: int) -> range:
    """The places, of so many, that indices name, negative ones from the end.

    Raises:
        ModelError: there are none, or they do not lie at equal distances.
    """
    places = [int(k) + values if k < 0 else int(k) for k in indices.reshape(-1)]
    steps = {b - a for a, b in itertools.pairwise(places)} or {1}
    if not places or len(steps) != 1 or 0 in steps or not all(0 <= k < values for k in places):
        raise ModelError("has indices that do not lie at equal distances")
    step = steps.pop()
    return range(places[0], places[-1] + (1 if step > 0 else -1), step)


def pad(arguments: Arguments, value_of: Callable[[Held, float], int | None]) -> Movement:
    """Pad with one number. ``value_of`` gives the stored value for a number, None for zero."""
    node = arguments.node
    mode = str(node.attribute("mode", "constant"))
    if mode != "constant":
        raise ModelError(f"pads in mode '{mode}'; only 'constant' is supported")
    amounts = arguments.numbers("pads", 1, "amounts")
    if amounts is None:
        raise ModelError("lacks its amounts")
    number = float(node.attribute("value", 0.0))
    if arguments.given(2):
        number = float(arguments.constant(2, "value").reshape(-1)[0])
    axes = arguments.numbers("axes", 3, "list of axes")

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.settled(x)
        rank = len(held.shape)
        places = list(range(rank)) if axes is None else [a + rank if a < 0 else a for a in axes]
        if len(amounts) != 2 * len(places):
            raise ModelError(f"has amounts {amounts} for {len(places)} axes")
        before, after = [0] * rank, [0] * rank
        for k, axis in enumerate(places):
            before[axis], after[axis] = amounts[k], amounts[k + len(places)]
        cut = [slice(max(-b, 0), n - max(-a, 0)) for n, b, a in zip(held.shape, before, after)]
        held = _sliced(drawing, held, cut)
        before, after = [max(n, 0) for n in before], [max(n, 0) for n in after]
        if held.images and (before[0] or after[0]):
            raise ModelError("pads images, which is not supported")
        return _surrounded(drawing, held, before, after, value_of(held, number))

    return move


def _surrounded(
    drawing: Drawing, held: Held, before: Sequence[int], after: Sequence[int], value: int | None
) -> Held:
    shape = tuple(n + b + a for n, b, a in zip(held.shape, before, after))
    if shape == held.shape:
        return held
    first, last = [before[axis] for axis in held.order], [after[axis] for axis in held.order]
    stored = [shape[axis] for axis in held.order]
    if value is None and len(stored) == 3 and first[2] == last[2] == 0:
        padding = Padding(first[0], last[0], first[1], last[1])
        tensor = drawing.moved(graph.Pad, "pad", [held.tensor], stored, padding=padding)
    else:
        tensor = drawing.moved(
            graph.Surround, "surround", [held.tensor], stored,
            before=tuple(first), after=tuple(last), value=value,
        )  # fmt: skip
    return replace(held, tensor=tensor, shape=shape)


def depth_to_space(arguments: Arguments) -> Movement:
    """DepthToSpace in either order of channels."""
    node = arguments.node
    block, mode = int(node.attribute("blocksize", 0)), str(node.attribute("mode", "DCR"))

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.channels_last(x)
        _, channels, rows, columns = held.shape
        if block < 1 or channels % (block * block):
            raise ModelError(f"has blocks of {block} for {channels} channels")
        deep = channels // (block * block)
        if mode == "CRD":  # one channel's pixels lie together: bring their blocks together
            split_shape = (1, deep, block * block, rows, columns)
            split = drawing.settled(drawing.reshaped(held, split_shape))
            swapped = replace(
                split,
                shape=(1, block * block, deep, rows, columns),
                order=tuple({1: 2, 2: 1}.get(axis, axis) for axis in split.order),
            )
            held = drawing.channels_last(drawing.reshaped(swapped, held.shape))
        elif mode != "DCR":
            raise ModelError(f"has mode '{mode}'")
        shape = (1, deep, rows * block, columns * block)
        tensor = drawing.moved(
            graph.DepthToSpace, "depth_to_space", [held.tensor], (*shape[2:], deep), block=block
        )
        return replace(held, tensor=tensor, shape=shape)

    return move


def space_to_depth(arguments: Arguments) -> Movement:
    """SpaceToDepth."""
    block = int(arguments.node.attribute("blocksize", 0))

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.channels_last(x)
        _, channels, rows, columns = held.shape
        if block < 1 or rows % block or columns % block:
            raise ModelError(f"has blocks of {block} for a map of {rows} x {columns}")
        shape = (1, channels * block * block, rows // block, columns // block)
        tensor = drawing.moved(
            graph.SpaceToDepth, "space_to_depth", [held.tensor], (*shape[2:], shape[1]),
            block=block,
        )  # fmt: skip
        return replace(held, tensor=tensor, shape=shape)

    return move


# --- nearest resize ------------------------------------------------------------------------------


def resized_shape(
    arguments: Arguments, shape: Sequence[int]
) -> tuple[tuple[int, ...], list[float]]:
    """The shape that Resize or Upsample gives, and the scale of each axis."""
    node, rank = arguments.node, len(shape)
    scales_at = 1 if node.kind == "Upsample" or arguments.opset < 11 else 2
    axes = [int(n) for n in node.attribute("axes", [])] or list(range(rank))
    axes = [axis + rank if axis < 0 else axis for axis in axes]
    sizes, scales = list(shape), [1.0] * rank
    if arguments.given(3):
        wanted = arguments.numbers("", 3, "sizes") or []
        if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise ModelError("keeps the aspect ratio, which is not supported")
        for axis, size in zip(axes, wanted):
            sizes[axis], scales[axis] = size, size / shape[axis]
        return tuple(sizes), scales
    if "scales" in node.attributes:
        given = [float(n) for n in node.attributes["scales"]]
    else:
        given = [float(n) for n in arguments.constant(scales_at, "scales").reshape(-1)]
    if len(given) != len(axes):
        raise ModelError(f"has {len(given)} scales for {len(axes)} axes")
    for axis, scale in zip(axes, given):
        sizes[axis], scales[axis] = math.floor(shape[axis] * scale), scale
    return tuple(sizes), scales


def require_whole_sizes(
    before: Sequence[int], after: Sequence[int], scales: Sequence[float]
) -> None:
    """Raises:
    ModelError: a size was rounded, so that ONNX finds its places by another scale than the sizes'.
    """
    for axis in (2, 3):
        if abs(scales[axis] - after[axis] / before[axis]) > 1e-6:
            raise ModelError(
                f"has a scale of {scales[axis]:.6g} for {before[axis]} values, whose size is no "
                "whole number: give the size, or another scale"
            )


def coordinate_mode(arguments: Arguments) -> str:
    """How Resize places its points."""
    if arguments.node.kind == "Upsample" or arguments.opset < 11:
        return "asymmetric"
    return str(arguments.node.attribute("coordinate_transformation_mode", "half_pixel"))


def source_coordinate(mode: str, place: int, before: int, after: int, scale: float) -> float:
    """Where on an axis of ``before`` values the value ``place`` of ``after`` lies."""
    if mode == "half_pixel":
        return (place + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (place + 0.5) / scale - 0.5 if after > 1 else 0.0
    if mode == "align_corners":
        return place * (before - 1) / (after - 1) if after > 1 else 0.0
    if mode == "asymmetric":
        return place / scale
    raise ModelError(f"has coordinates '{mode}', which is not supported")


def _nearest_place(coordinate: float, rounding: str) -> int:
    if rounding == "round_prefer_floor":
        return math.ceil(coordinate - 0.5)
    if rounding == "round_prefer_ceil":
        return math.floor(coordinate + 0.5)
    if rounding == "floor":
        return math.floor(coordinate)
    if rounding == "ceil":
        return math.ceil(coordinate)
    raise ModelError(f"has nearest_mode '{rounding}'")


def resize_nearest(arguments: Arguments) -> Movement:
    """Resize to the nearest values."""

    def move(drawing: Drawing, x: Moved) -> Moved:
        held = drawing.channels_last(x)
        before = held.shape
        shape, _ = resized_shape(arguments, before)
        if shape[:2] != before[:2]:
            raise ModelError("resizes more than rows and columns")
        if shape == before:
            return held
        corners, centers = nearest_kind(arguments, before)
        tensor = drawing.moved(
            graph.ResizeNearest,
            "resize_nearest",
            [held.tensor],
            (*shape[2:], shape[1]),
            align_corners=corners,
            half_pixel_centers=centers,
        )
        return replace(held, tensor=tensor, shape=shape)

    return move


def linear_kind(
    arguments: Arguments,
    before: Sequence[int],
    after: Sequence[int],
    scales: Sequence[float],
) -> tuple[bool, bool]:
    """Whether corners are aligned, and pixels' centers, in a linear Resize of the shape [1,
    channels, rows, columns] to another.

    Raises:
        ModelError: int8 networks do not have it.
    """
    require_whole_sizes(before, after, scales)
    places = coordinate_mode(arguments)
    if places == "pytorch_half_pixel" and min(after[2:]) > 1:
        places = "half_pixel"
    if places not in ("half_pixel", "align_corners", "asymmetric"):
        raise ModelError(f"has coordinates '{places}', which is not supported")
    if arguments.node.attribute("antialias", 0):
        raise ModelError("has antialias, which is not supported")
    return places == "align_corners", places == "half_pixel"


def nearest_kind(arguments: Arguments, before: Sequence[int]) -> tuple[bool, bool]:
    """``align_corners`` and ``half_pixel_centers`` with which :class:`graph.ResizeNearest` takes
    the values that ONNX takes of a map [1, channels, rows, columns].

    Raises:
        ModelError: it never does.
    """
    mode = coordinate_mode(arguments)
    rounding = str(arguments.node.attribute("nearest_mode", "round_prefer_floor"))
    if arguments.node.kind == "Upsample" or arguments.opset < 11:
        rounding = "floor"
    after, scales = resized_shape(arguments, before)
    places = []
    for axis in (2, 3):
        wanted = (
            source_coordinate(mode, k, before[axis], after[axis], scales[axis])
            for k in range(after[axis])
        )
        last = before[axis] - 1
        places.append([min(max(_nearest_place(each, rounding), 0), last) for each in wanted])
    for corners, centers in ((False, False), (False, True), (True, False)):
        if all(
            list(nearest(before[axis], after[axis], corners, centers)) == places[axis - 2]
            for axis in (2, 3)
        ):
            return corners, centers
    raise ModelError(
        f"takes the nearest values in a way that is not supported (coordinates '{mode}', "
        f"nearest_mode '{rounding}', {list(before[2:])} to {list(after[2:])}): export with "
        "'asymmetric' and 'floor'"
    )
