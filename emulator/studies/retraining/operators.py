# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators without weights in real numbers, as PyTorch computes and differentiates them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.lookups import lookup_table, table_slopes
from axynq.emulator.model.movement import filling, interpolation
from axynq.emulator.model.quantisation import reduced_axes


def channels_first(values: Tensor) -> Tensor:
    """A batch [images, *shape] as the network has it: feature maps [images, channels, rows,
    columns], tensors of any other shape [images, values]."""
    return values.permute(0, 3, 1, 2) if values.dim() == 4 else values.flatten(1)


def channels_last(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A batch as the network has it as [images, *shape]."""
    values = values.permute(0, 2, 3, 1) if values.dim() == 4 else values
    return values.reshape(len(values), *shape)


# --- operators that move values ------------------------------------------------------------------


def needs_places(op: graph.Operator) -> bool:
    """Whether :func:`moved` wants to know where values come from."""
    if isinstance(op, graph.Slice):
        return min(op.stride) < 1
    return isinstance(op, graph.Movement) and not isinstance(
        op, (graph.Concatenation, graph.Transpose)
    )


def moved(
    model: graph.Model, op: graph.Operator, inputs: list[Tensor], places: Tensor | None
) -> Tensor:
    """The output of a movement, a padding or a reshaping: nothing is rounded.

    ``places`` are those of module ``movement``, [values], where :func:`needs_places`.
    """
    x = inputs[0]
    shape = model.tensors[op.output].shape
    if isinstance(op, graph.Reshape):
        # Between tensors that are no maps, values keep their order.
        return channels_first(channels_last(x, shape))
    if isinstance(op, graph.Pad):
        p = op.padding
        return functional.pad(x, (p.left, p.right, p.top, p.bottom))
    assert isinstance(op, graph.Movement)
    natural = [channels_last(y, model.tensors[k].shape) for k, y in zip(op.inputs, inputs)]
    x = natural[0]
    if isinstance(op, graph.Concatenation):
        return channels_first(_together(natural, op.axis + 1))
    if isinstance(op, graph.Transpose):
        return channels_first(x.permute(0, *(axis + 1 for axis in op.permutation)))
    if isinstance(op, graph.Slice) and places is None:
        for axis, (begin, stride, count) in enumerate(zip(op.begin, op.stride, shape)):
            x = x[(slice(None),) * (axis + 1) + (slice(begin, begin + stride * count, stride),)]
        return channels_first(x)
    assert places is not None
    source = model.tensors[op.inputs[0]]
    new = source.scale * (filling(model, op) - source.zero_point)
    values = torch.cat([x.flatten(1), x.new_full((len(x), 1), new)], dim=1)
    picked = values.index_select(1, places % values.shape[1])  # new values are the last
    return channels_first(picked.reshape(len(x), *shape))


def _together(values: list[Tensor], axis: int) -> Tensor:
    """One after another; a constant is there once for all images."""
    images = max(len(x) for x in values)
    return torch.cat([x.expand(images, *x.shape[1:]) for x in values], dim=axis)


# --- operators that compute ----------------------------------------------------------------------


def computed(model: graph.Model, op: graph.Operator, inputs: list[Tensor]) -> Tensor:
    """The real output [images, *shape] of what is no sum or pool of maps, before it is rounded, in
    memory that nobody else has.

    Raises:
        ModelError: no gradient is known for the operator.
    """
    shape = model.tensors[op.output].shape
    natural = [channels_last(y, model.tensors[k].shape) for k, y in zip(op.inputs, inputs)]
    x = natural[0]
    if isinstance(op, graph.Elementwise):
        a, b = (_with_axes(y, len(shape)) for y in natural)
        y = _PAIRS[op.kind](a, b)
        return y.expand(len(y), *shape).clone() if y.shape[1:] != shape else y
    if isinstance(op, (graph.Mean, graph.Reduce)):
        dim = [axis + 1 for axis in reduced_axes(op)]
        if isinstance(op, graph.Reduce) and op.kind == "sum":
            return x.sum(dim=dim, keepdim=op.keep_dims)
        return x.mean(dim=dim, keepdim=op.keep_dims)
    if isinstance(op, graph.ResizeBilinear):
        rows, columns = (
            torch.from_numpy(interpolation(n, m, op.align_corners, op.half_pixel_centers)).to(x)
            for n, m in zip(x.shape[1:3], shape)
        )
        return torch.einsum("ar,bc,nrcd->nabd", rows, columns, x)
    # What follows keeps its results to differentiate them: they must not be rounded in place.
    return _of_one(model, op, x).clone()


def _of_one(model: graph.Model, op: graph.Operator, x: Tensor) -> Tensor:
    source = model.tensors[op.inputs[0]]
    if isinstance(op, graph.Lookup):
        if op.kind == "leaky_relu":
            return functional.leaky_relu(x, op.alpha)
        if op.kind == "gelu":
            return functional.gelu(x, approximate="tanh" if op.alpha else "none")
        if op.kind == "table":
            return _tabulated(model, op, x)
        return _LOOKUPS[op.kind](x)
    if isinstance(op, graph.Softmax):
        return torch.softmax(op.beta * x, dim=-1)
    if isinstance(op, graph.LogSoftmax):
        return torch.log_softmax(x, dim=-1)
    if isinstance(op, graph.L2Normalisation):
        # Nothing that is not zero is shorter than a step.
        return functional.normalize(x, dim=-1, eps=source.scale / 2)
    raise ModelError(f"'{op.name}' cannot be retrained: no gradient is known for it")


def _tabulated(model: graph.Model, op: graph.Lookup, x: Tensor) -> Tensor:
    """A function that is known as a table alone: a straight line around each of its 256 values."""
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    real = source.dequantise(np.arange(graph.INT8_MIN, graph.INT8_MAX + 1, dtype=np.int64))
    x = x.clamp(real[0], real[-1])
    steps = torch.round(x.detach() / source.scale) + (source.zero_point - graph.INT8_MIN)
    nearest = steps.long().clamp(0, len(real) - 1)

    def at_nearest(values: npt.NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values).to(x)[nearest]

    values, slopes = target.dequantise(lookup_table(model, op)), table_slopes(model, op)
    return at_nearest(values) + at_nearest(slopes) * (x - at_nearest(real))


def _with_axes(x: Tensor, axes: int) -> Tensor:
    return x.reshape(len(x), *(1,) * (axes + 1 - x.dim()), *x.shape[1:])


_PAIRS: dict[graph.ElementwiseKind, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "subtract": torch.subtract,
    "multiply": torch.multiply,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "prelu": lambda a, b: torch.where(a < 0, a * b, a),
}


def _reciprocal_square_root(x: Tensor) -> Tensor:
    """What is not positive becomes the largest value."""
    tiny = torch.finfo(x.dtype).tiny
    return torch.where(x > 0, torch.rsqrt(x.clamp_min(tiny)), math.inf)


_LOOKUPS: dict[graph.LookupKind, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu6": functional.relu6,
    "relu_n1_to_1": functional.hardtanh,
    "relu_0_to_1": lambda x: functional.hardtanh(x, 0, 1),
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "hard_swish": functional.hardswish,
    "absolute": torch.abs,
    "exponential": torch.exp,
    "reciprocal_square_root": _reciprocal_square_root,
    "quantise": lambda x: x,
}


def pooled(op: graph.Pool, x: Tensor) -> Tensor:
    """A map [images, channels, rows, columns] pooled, before it is rounded."""
    p = op.padding
    around = (p.left, p.right, p.top, p.bottom)
    if op.kind == "max":
        if any(p):
            x = functional.pad(x, around, value=-torch.inf)
        return functional.max_pool2d(x, op.window, op.stride)
    if not any(p):
        return functional.avg_pool2d(x, op.window, op.stride)
    # Positions outside the map do not count.
    inside = functional.pad(torch.ones_like(x[:1, :1]), around)
    total = functional.avg_pool2d(functional.pad(x, around), op.window, op.stride)
    return total / functional.avg_pool2d(inside, op.window, op.stride)
