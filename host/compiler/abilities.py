# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the accelerator has operations for, and why not for the rest."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal

from axynq.emulator.model import graph
from axynq.emulator.model.movement import nearest
from axynq.host.isa import Descriptor

Role = Literal["lanes", "sum", "table", "place", "host"]
"""What computes an operator: the lanes; what adds another map to their outputs; its tables alone,
where each value becomes another whatever the others are; nothing, because maps are written to where
it would put them; the host."""

MOST_FIRST_WORDS, MOST_ROW_WORDS = (
    next(item.metadata["high"] for item in fields(Descriptor) if item.name == name)
    for name in ("destination_first", "output_row_words")
)
"""What descriptors hold."""

_LANES = (graph.WeightedLayer, graph.Pool, graph.Mean, graph.Pad)

_WHY = {
    graph.Softmax: "exponentials",
    graph.LogSoftmax: "logarithms",
    graph.L2Normalisation: "square roots of sums",
    graph.Reduce: "sums of this kind, or over these axes",
    graph.ResizeBilinear: "interpolation",
}


def role(model: graph.Model, op: graph.Operator, word_bytes: int) -> Role:
    """What computes an operator best, where memory words have so many bytes. Which of them
    :mod:`tables <axynq.host.compiler.tabulated>` do is another matter."""
    if isinstance(op, _LANES) or _is_mean_of_lines(model, op):
        return "host" if op.inputs[0] in model.constants else "lanes"
    if isinstance(op, graph.Add) or (
        isinstance(op, graph.Elementwise) and op.kind in ("add", "subtract")
    ):
        shapes = {model.tensors[index].shape for index in (*op.inputs, op.output)}
        if len(shapes) == 1 and not any(index in model.constants for index in op.inputs):
            return "sum"
    if isinstance(op, graph.Concatenation) and _is_by_words(model, op, word_bytes):
        return "place"
    if isinstance(op, graph.ResizeNearest) and _repeats(model, op, word_bytes):
        return "place"
    return "host"


def reason(model: graph.Model, op: graph.Operator) -> str:
    """Why the host computes an operator whose :func:`role` that is."""
    for kind, what in _WHY.items():
        if isinstance(op, kind):
            return f"the array computes no {what}"
    if isinstance(op, graph.Concatenation):
        return "its parts do not begin at whole words of pixels, or the host makes them"
    if isinstance(op, graph.ResizeNearest):
        return "its pixels are not all repeated alike, or lie too far apart, or the host makes them"
    if isinstance(op, graph.Movement):
        return "the array does not move values between pixels and channels"
    if any(index in model.constants for index in op.inputs):
        return "its constant has several values, and the array's tables are for one"
    if isinstance(op, graph.Elementwise) and op.kind in ("add", "subtract"):
        return "its operands differ in shape"
    if isinstance(op, graph.Elementwise):
        return "the array multiplies and compares no two maps"
    return "the array has no operation for it"


def lasts_for(model: graph.Model, tensor: int, reader: graph.Operator) -> bool:
    """Whether nothing else reads the tensor."""
    return tensor not in model.outputs and list(model.consumers(tensor)) == [reader]


def _is_mean_of_lines(model: graph.Model, op: graph.Operator) -> bool:
    """Whether an operator is a mean over columns of pixels, over rows, or over both."""
    if not isinstance(op, graph.Reduce) or op.kind != "mean" or not op.axes:
        return False
    rank = len(model.tensors[op.inputs[0]].shape)
    return rank in (2, 3) and max(op.axes) < rank - 1


def _repeats(model: graph.Model, op: graph.ResizeNearest, word_bytes: int) -> bool:
    """Whether each pixel becomes as many as each other, and descriptors reach them all."""
    source, target = (model.tensors[index].shape for index in (op.inputs[0], op.output))
    for before, after in zip(source[:2], target[:2]):
        found = nearest(before, after, op.align_corners, op.half_pixel_centers)
        if after % before or list(found) != [k // (after // before) for k in range(after)]:
            return False
    times = target[0] // source[0], target[1] // source[1]
    return is_within_reach(target, times, word_bytes)


def is_within_reach(shape: tuple[int, ...], stride: tuple[int, int], word_bytes: int) -> bool:
    """Whether descriptors can write every so many rows and columns of a map."""
    _, columns, channels = shape
    words = -(-channels // word_bytes)
    last = (stride[0] - 1) * columns * words + stride[1] * words
    return last <= MOST_FIRST_WORDS and stride[0] * columns * words <= MOST_ROW_WORDS


def _is_by_words(model: graph.Model, op: graph.Concatenation, word_bytes: int) -> bool:
    """Whether the channels of all parts begin at a word of each pixel."""
    shapes = [model.tensors[index].shape for index in op.inputs]
    return (
        op.axis == len(shapes[0]) - 1
        and not any(shape[-1] % word_bytes for shape in shapes[:-1])
        and not any(index in model.constants for index in op.inputs)
    )
