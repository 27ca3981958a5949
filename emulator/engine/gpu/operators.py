# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators without weights on a device, each prepared once for its network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from axynq.emulator.engine.gpu import softmax as softmaxes
from axynq.emulator.engine.gpu.packed import PackedLayer
from axynq.emulator.engine.gpu.pairing import Pairing
from axynq.emulator.engine.gpu.rescaling import bounded, factor_table, rescaled
from axynq.emulator.engine.recipe import RAW_BYTES
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, activation_bounds
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.movement import BETWEEN_ONE, FILLED, between, filling, places
from axynq.emulator.model.quantisation import mean_factor, reduced_axes, sum_scale_and_bias

Computation = Callable[[Sequence[Tensor]], Tensor]
"""From all inputs, int8 [images, *shape], to the output."""


class Kernels(Protocol):
    """What modules ``kernels`` and ``plain`` both give."""

    def mapped(self, x: Tensor, tables: Tensor) -> Tensor:
        """int8 values by tables [tables, 256] of their bytes: [tables, *shape of x]."""

    def paired(self, pairing: Pairing, a: Tensor, b: Tensor) -> Tensor:
        """What ``pairing`` makes of two int8 tensors of one shape."""

    def layer_output(
        self, packed: PackedLayer, x: Tensor, sums: bool
    ) -> tuple[Tensor, Tensor | None]:
        """A weighted layer's output and, where asked for, its accumulators."""


def prepared(
    model: graph.Model, op: graph.Operator, device: torch.device, kernels: Kernels
) -> Computation:
    """What computes an operator of ``model`` on ``device``.

    Raises:
        AssertionError: there is no such operator.
    """
    shape = model.tensors[op.output].shape
    if isinstance(op, (graph.Add, graph.Elementwise)):
        return _pair(model, op, device, kernels)
    if isinstance(op, graph.Lookup):
        table = torch.from_numpy(lookup_table(model, op)[RAW_BYTES - INT8_MIN][None]).to(device)
        return lambda inputs: kernels.mapped(inputs[0], table)[0]
    if isinstance(op, graph.Pool):
        return _pool(model, op, device)
    if isinstance(op, (graph.Mean, graph.Reduce)):
        return _reduction(model, op, device)
    if isinstance(op, graph.ResizeBilinear):
        return _resize(model, op, device)
    if isinstance(op, graph.Reshape):
        return lambda inputs: inputs[0].reshape(len(inputs[0]), *shape)
    if isinstance(op, (graph.Movement, graph.Pad)):
        return _movement(model, op, device)
    return _over_last_axis(model, op, device)


def _pair(
    model: graph.Model, op: graph.Add | graph.Elementwise, device: torch.device, kernels: Kernels
) -> Computation:
    pairing, shape = Pairing.of(model, op, device), model.tensors[op.output].shape

    def broadcast(x: Tensor) -> Tensor:
        aligned = x.reshape(len(x), *(1,) * (len(shape) + 1 - x.dim()), *x.shape[1:])
        return aligned.expand(len(x), *shape)

    return lambda inputs: kernels.paired(pairing, *map(broadcast, inputs))


def _over_last_axis(model: graph.Model, op: graph.Operator, device: torch.device) -> Computation:
    source = model.tensors[op.inputs[0]]
    if isinstance(op, graph.L2Normalisation):
        return lambda inputs: softmaxes.l2_normalised(source.zero_point, inputs[0])
    assert isinstance(op, (graph.Softmax, graph.LogSoftmax)), op
    if isinstance(op, graph.Softmax):
        tables = softmaxes.SoftmaxTables.of(op.beta * source.scale, device)
        return lambda inputs: softmaxes.softmax(tables, inputs[0])
    tables = softmaxes.SoftmaxTables.of(source.scale, device)
    return lambda inputs: softmaxes.log_softmax(tables, inputs[0])


# --- sums ----------------------------------------------------------------------------------------


def _reduction(
    model: graph.Model, op: graph.Mean | graph.Reduce, device: torch.device
) -> Computation:
    source, output = model.tensors[op.inputs[0]], model.tensors[op.output]
    axes = tuple(axis + 1 for axis in reduced_axes(op))

    def total(x: Tensor) -> Tensor:
        return x.sum(dim=axes, dtype=torch.int64).reshape(len(x), *output.shape)

    if isinstance(op, graph.Reduce) and op.kind == "sum":
        scale, bias = (float(value) for value in sum_scale_and_bias(model, op))

        def summed(inputs: Sequence[Tensor]) -> Tensor:
            # In two steps, each of which rounds to float32.
            steps = total(inputs[0]).to(torch.float32) * scale
            steps = (steps + bias).clamp(-1024, 1024).double()
            rounded = torch.trunc(steps + torch.copysign(torch.full_like(steps, 0.5), steps))
            return bounded(rounded.to(torch.int64), output.zero_point, INT8_MIN, INT8_MAX)

        return summed
    factor = factor_table([mean_factor(model, op)], device)
    zero = source.zero_point * int(
        np.prod([source.shape[axis] for axis in reduced_axes(op)], dtype=np.int64)
    )
    return lambda inputs: bounded(
        rescaled(total(inputs[0]) - zero, factor), output.zero_point, INT8_MIN, INT8_MAX
    )


def _pool(model: graph.Model, op: graph.Pool, device: torch.device) -> Computation:
    source, output = model.tensors[op.inputs[0]], model.tensors[op.output]
    low, high = activation_bounds(op.activation, output)

    def windows(x: Tensor, value: int) -> Tensor:
        """[images, output rows, output columns, channels, window rows, window columns]."""
        padded = _padded(x, op.padding, value)
        return padded.unfold(1, op.window[0], op.stride[0]).unfold(2, op.window[1], op.stride[1])

    if op.kind == "max":
        return lambda inputs: windows(inputs[0], INT8_MIN).amax(dim=(-2, -1)).clamp(low, high)
    ones = torch.ones((1, *source.shape[:2], 1), dtype=torch.int8, device=device)
    count = windows(ones, 0).sum(dim=(-2, -1), dtype=torch.int64)

    def average(inputs: Sequence[Tensor]) -> Tensor:
        total = windows(inputs[0], 0).sum(dim=(-2, -1), dtype=torch.int64)
        magnitude = (2 * total.abs() + count) // (2 * count)
        return (torch.sign(total) * magnitude).clamp(low, high).to(torch.int8)

    return average


# --- movements -----------------------------------------------------------------------------------


def _movement(
    model: graph.Model, op: graph.Movement | graph.Pad, device: torch.device
) -> Computation:
    new, shape = filling(model, op), model.tensors[op.output].shape
    if isinstance(op, graph.Concatenation):
        return lambda inputs: torch.cat(list(inputs), dim=op.axis + 1)
    if isinstance(op, graph.Transpose):
        order = (0, *(axis + 1 for axis in op.permutation))
        return lambda inputs: inputs[0].permute(order)
    if isinstance(op, graph.Pad):
        return lambda inputs: _padded(inputs[0], op.padding, new)
    # Values that are new are behind all others.
    every = places(model, op).reshape(-1)
    count = sum(int(np.prod(model.tensors[k].shape, dtype=np.int64)) for k in op.inputs)
    index = torch.from_numpy(np.where(every == FILLED, count, every)).to(device)

    def moved(inputs: Sequence[Tensor]) -> Tensor:
        images = len(inputs[0])
        filled = inputs[0].new_full((images, 1), new)
        values = torch.cat([*(x.reshape(images, -1) for x in inputs), filled], dim=1)
        return values.index_select(1, index).reshape(images, *shape)

    return moved


def _padded(x: Tensor, padding: graph.Padding, value: int) -> Tensor:
    around = (0, 0, padding.left, padding.right, padding.top, padding.bottom)
    return functional.pad(x, around, value=value) if any(around) else x


def _resize(model: graph.Model, op: graph.ResizeBilinear, device: torch.device) -> Computation:
    """Columns first, then rows: the sum is that of four products."""
    shapes = zip(model.tensors[op.inputs[0]].shape[:2], model.tensors[op.output].shape[:2])
    rows, columns = (
        [
            torch.from_numpy(a).to(device)
            for a in between(*s, op.align_corners, op.half_pixel_centers)
        ]
        for s in shapes
    )

    def resized(inputs: Sequence[Tensor]) -> Tensor:
        values = inputs[0].to(torch.int64)
        for axis, (lower, upper, share) in ((2, columns), (1, rows)):
            first, second = values.index_select(axis, lower), values.index_select(axis, upper)
            between_both = share.reshape(-1, *(1,) * (3 - axis))
            values = BETWEEN_ONE * first + between_both * (second - first)
        rounded = (values.abs() + BETWEEN_ONE**2 // 2) // BETWEEN_ONE**2
        return (torch.sign(values) * rounded).clamp(INT8_MIN, INT8_MAX).to(torch.int8)

    return resized
