# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The same network with less to move: transpositions go behind the means that follow them.

Networks that hold channels first, converted to channels last, end in a transposition and means over
what are rows and columns. The means of what was not transposed are the array's.
"""

from __future__ import annotations

from dataclasses import replace

from axynq.emulator.model import graph
from axynq.host.compiler.abilities import lasts_for


def with_late_transpositions(model: graph.Model) -> graph.Model:
    """An equal network; tensors keep their numbers, new ones are behind them."""
    tensors = list(model.tensors)
    operators = list(model.operators)
    while True:
        model = replace(model, tensors=tuple(tensors), operators=tuple(operators))
        makers = {op.output: op for op in operators}
        for place, op in enumerate(operators):
            before = makers.get(op.inputs[0])
            if (
                isinstance(op, graph.Reduce)
                and isinstance(before, graph.Transpose)
                and before.inputs[0] not in model.constants
                and lasts_for(model, before.output, op)
            ):
                operators[place : place + 1] = _swapped(op, before, tensors)
                operators.remove(before)
                break
        else:
            return model


def _swapped(
    op: graph.Reduce, before: graph.Transpose, tensors: list[graph.Tensor]
) -> list[graph.Operator]:
    """The mean or sum, then the transposition, unless that moves nothing any more."""
    source = tensors[before.inputs[0]]
    axes = tuple(sorted(before.permutation[axis] for axis in op.axes))
    rank = len(source.shape)
    if op.keep_dims:
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(source.shape))
        permutation = before.permutation
    else:
        left = [axis for axis in range(rank) if axis not in axes]
        shape = tuple(source.shape[axis] for axis in left)
        permutation = tuple(left.index(axis) for axis in before.permutation if axis in left)
    moved = [axis for axis in permutation if shape[axis] != 1]
    if moved == sorted(moved) and shape == tensors[op.output].shape:
        return [replace(op, inputs=before.inputs, axes=axes)]
    between = len(tensors)
    target = tensors[op.output]
    tensors.append(replace(target, name=f"{target.name}, not transposed", shape=shape,
                           interface=None))  # fmt: skip
    after: graph.Operator = replace(
        before, inputs=(between,), output=op.output, permutation=permutation
    )
    if moved == sorted(moved):
        after = graph.Reshape(before.name, (between,), op.output)
    return [replace(op, inputs=before.inputs, output=between, axes=axes), after]
