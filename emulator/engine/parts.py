# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A network as the native kernel computes it: without paddings that layers can do themselves, and
cut into parts, those that the kernel computes at a stretch and operators that numpy computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from axynq.emulator.model import graph

IN_NUMPY = (graph.LogSoftmax, graph.L2Normalisation)
"""Operators with long formulas, which networks have at their ends if at all."""


def without_paddings(model: graph.Model) -> tuple[graph.Model, tuple[graph.Pad, ...]]:
    """The network with paddings that only convolutions read as theirs, and those paddings in order.

    A padded tap is the zero point and is multiplied like any other, so nothing changes.
    """
    operators: list[graph.Operator] = list(model.operators)
    left_out: list[graph.Pad] = []
    for op in reversed(model.operators):
        if not isinstance(op, graph.Pad) or op.output in model.outputs:
            continue
        readers = [other for other in operators if op.output in other.inputs]
        if not all(isinstance(r, (graph.Convolution, graph.DepthwiseConvolution)) for r in readers):
            continue
        operators = [_padded(r, op) if r in readers else r for r in operators if r is not op]
        left_out.insert(0, op)
    return replace(model, operators=tuple(operators)), tuple(left_out)


def _padded(layer: graph.Operator, pad: graph.Pad) -> graph.Operator:
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    both = graph.Padding(*(a + b for a, b in zip(layer.padding, pad.padding)))
    return replace(layer, inputs=pad.inputs, padding=both)


@dataclass(frozen=True)
class Part:
    """Operators in execution order, and what they have to do with the others."""

    operators: tuple[graph.Operator, ...]
    native: bool
    inputs: tuple[int, ...]
    """Tensors that it reads and does not compute; without constants."""
    outputs: tuple[int, ...]
    """Tensors that it computes and that are read elsewhere."""


def parts(model: graph.Model) -> tuple[Part, ...]:
    """The network in as few parts as its order allows: all that is ready goes with a part."""
    known = {*model.inputs, *model.constants}
    left = list(model.operators)
    groups: list[tuple[bool, list[graph.Operator]]] = []
    native = True
    while left:
        ready, rest = [], []
        for op in left:
            if isinstance(op, IN_NUMPY) is not native and known.issuperset(op.inputs):
                ready.append(op)
                known.add(op.output)
            else:
                rest.append(op)
        if ready:
            groups.append((native, ready))
        left, native = rest, not native
    return tuple(_part(model, native, operators) for native, operators in groups)


def _part(model: graph.Model, native: bool, operators: Sequence[graph.Operator]) -> Part:
    computed = {op.output for op in operators}
    read = {index for op in operators for index in op.inputs}
    elsewhere = {
        index for op in model.operators if op.output not in computed for index in op.inputs
    }
    return Part(
        tuple(operators),
        native,
        tuple(sorted(read - computed - set(model.constants))),
        tuple(sorted(computed & (elsewhere | set(model.outputs)))),
    )
