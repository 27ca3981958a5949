"""What the accelerator has operations for, and why not for the rest."""

from __future__ import annotations

from typing import Literal

import numpy as np

from axynq.emulator.model import graph

Role = Literal["lanes", "sum", "table", "host"]
"""What computes an operator: the lanes; what adds another map to their outputs; its tables alone,
where each value becomes another whatever the others are; the host."""

_LANES = (graph.WeightedLayer, graph.Pool, graph.Mean, graph.Pad)

_WHY = {
    graph.Softmax: "exponentials",
    graph.LogSoftmax: "logarithms",
    graph.L2Normalisation: "square roots of sums",
    graph.Reduce: "sums over other axes than rows and columns",
    graph.ResizeBilinear: "interpolation",
}


def role(model: graph.Model, op: graph.Operator) -> Role:
    """What computes an operator best."""
    if isinstance(op, _LANES):
        return "host" if op.inputs[0] in model.constants else "lanes"
    if isinstance(op, (graph.Lookup, graph.Elementwise)) and _by_value(model, op):
        return "table"
    if isinstance(op, graph.Add) or (
        isinstance(op, graph.Elementwise) and op.kind in ("add", "subtract")
    ):
        shapes = {model.tensors[index].shape for index in (*op.inputs, op.output)}
        if len(shapes) == 1 and not any(index in model.constants for index in op.inputs):
            return "sum"
    return "host"


def reason(model: graph.Model, op: graph.Operator) -> str:
    """Why the host computes an operator whose :func:`role` that is."""
    for kind, what in _WHY.items():
        if isinstance(op, kind):
            return f"the array computes no {what}"
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


def _by_value(model: graph.Model, op: graph.Lookup | graph.Elementwise) -> bool:
    """Whether an output depends on one value of one computed tensor of its shape."""
    given = [index for index in op.inputs if index not in model.constants]
    constants = [model.constants[index] for index in op.inputs if index in model.constants]
    return (
        len(given) == 1
        and model.tensors[given[0]].shape == model.tensors[op.output].shape
        and all(np.all(values == values.reshape(-1)[:1]) for values in constants)
    )
