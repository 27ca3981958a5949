# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Derivatives of operators without weights: what the gradient of an output is to the inputs.

Gradients are of int8 steps, taken at the values that the exact network has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Int8Array, Model, activation_bounds
from axynq.emulator.model.lookups import table_slopes
from axynq.emulator.model.movement import FILLED, interpolation, places
from axynq.emulator.model.quantisation import reduced_axes

FloatArray = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]


def passed(op: graph.Operator, model: Model, tensors: Mapping[int, Int8Array]) -> FloatArray:
    """1 where the output is not clamped."""
    activation: graph.Activation = getattr(op, "activation", "none")
    low, high = activation_bounds(activation, model.tensors[op.output])
    value = tensors[op.output]
    return ((value > low) & (value < high)).astype(np.float32)


def input_gradients(
    model: Model, op: graph.Operator, tensors: Mapping[int, Int8Array], g: FloatArray
) -> list[FloatArray]:
    """Gradients of an operator's inputs, [images, *shape] each, from that of its output.

    ``tensors`` has constants too, [1, *shape].

    Raises:
        ModelError: the operator cannot be differentiated.
    """
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    ratio = np.float32(source.scale / target.scale)
    if isinstance(op, graph.Movement):
        return _movement(model, op, g)
    if isinstance(op, graph.Reshape):
        return [g.reshape(len(g), *source.shape)]
    if isinstance(op, graph.Pad):
        p = op.padding
        rows, columns = source.shape[:2]
        return [g[:, p.top : p.top + rows, p.left : p.left + columns]]
    if isinstance(op, graph.Pool):
        return [_pool(model, op, tensors, g)]
    if isinstance(op, graph.ResizeBilinear):
        down, across = (
            interpolation(n, m, op.align_corners, op.half_pixel_centers)
            for n, m in zip(source.shape, target.shape[:2])
        )
        return [np.einsum("ar,bc,nabd->nrcd", down, across, g, optimize=True)]
    g = g * passed(op, model, tensors)
    if isinstance(op, (graph.Softmax, graph.LogSoftmax, graph.L2Normalisation)):
        return [_over_last_axis(model, op, tensors, g) * ratio]
    if isinstance(op, (graph.Add, graph.Elementwise)):
        return _pair(model, op, tensors, g)
    if isinstance(op, (graph.Mean, graph.Reduce)):
        axes = reduced_axes(op)
        kept = [1 if axis in axes else size for axis, size in enumerate(source.shape)]
        if not (isinstance(op, graph.Reduce) and op.kind == "sum"):
            ratio = np.float32(ratio / math.prod(source.shape[axis] for axis in axes))
        return [np.broadcast_to(g.reshape(len(g), *kept) * ratio, (len(g), *source.shape))]
    if isinstance(op, graph.Lookup):
        real = source.dequantise(np.arange(-128, 128, dtype=np.int64))
        with np.errstate(over="ignore"):
            known = table_slopes(model, op) if op.kind == "table" else _slope(op, real)
            slope = known.astype(np.float32)
        return [g * slope[tensors[op.inputs[0]].astype(np.int16) + 128] * ratio]
    raise ModelError(f"operator '{op.name}' cannot be differentiated")


# --- values that move ----------------------------------------------------------------------------


def _movement(model: Model, op: graph.Movement, g: FloatArray) -> list[FloatArray]:
    """What became of a value comes back to it, of all its copies together."""
    where = places(model, op).reshape(-1)
    order = np.argsort(where, kind="stable")
    order = order[np.count_nonzero(where == FILLED) :]
    reached, first = np.unique(where[order], return_index=True)
    shapes = [model.tensors[index].shape for index in op.inputs]
    sizes = [math.prod(shape) for shape in shapes]
    back = np.zeros((len(g), sum(sizes)), np.float32)
    if len(reached):
        back[:, reached] = np.add.reduceat(g.reshape(len(g), -1)[:, order], first, axis=1)
    parts = np.split(back, np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(len(g), *shape) for part, shape in zip(parts, shapes)]


# --- pairs ---------------------------------------------------------------------------------------


def _pair(
    model: Model,
    op: graph.Add | graph.Elementwise,
    tensors: Mapping[int, Int8Array],
    g: FloatArray,
) -> list[FloatArray]:
    target = model.tensors[op.output]
    kind = op.kind if isinstance(op, graph.Elementwise) else "add"
    shapes = [model.tensors[index].shape for index in op.inputs]
    a, b = (
        model.tensors[index].dequantise(tensors[index]).reshape(
            len(tensors[index]), *(1,) * (len(target.shape) - len(shape)), *shape
        )
        for index, shape in zip(op.inputs, shapes)
    )  # fmt: skip
    one = np.float64(1)
    slopes: dict[str, Callable[[], tuple[npt.ArrayLike, npt.ArrayLike]]] = {
        "add": lambda: (one, one),
        "subtract": lambda: (one, -one),
        "multiply": lambda: (b, a),
        # Equal values share.
        "maximum": lambda: ((np.sign(a - b) + 1) / 2, (np.sign(b - a) + 1) / 2),
        "minimum": lambda: ((np.sign(b - a) + 1) / 2, (np.sign(a - b) + 1) / 2),
        "prelu": lambda: (np.where(a < 0, b, 1), np.minimum(a, 0)),
    }
    found = []
    for index, shape, slope in zip(op.inputs, shapes, slopes[kind]()):
        ratio = np.float32(model.tensors[index].scale / target.scale)
        whole = g * (np.asarray(slope, np.float32) * ratio)
        found.append(_summed(whole, len(g), shape))
    return found


def _summed(g: FloatArray, images: int, shape: tuple[int, ...]) -> FloatArray:
    """A gradient over the axes along which a value was broadcast."""
    axes = g.ndim - 1 - len(shape)
    aligned = (1,) * axes + shape
    along = tuple(k + 1 for k, (n, m) in enumerate(zip(aligned, g.shape[1:])) if n == 1 and m > 1)
    return g.sum(axis=along, keepdims=True).reshape(images, *shape)


# --- single values -------------------------------------------------------------------------------


def _slope(op: graph.Lookup, x: Reals) -> Reals:
    """The derivative of a function of single values, at real numbers."""
    if op.kind == "leaky_relu":
        return np.where(x > 0, 1.0, op.alpha)
    if op.kind == "gelu":
        return _gelu_slope(x)
    return _SLOPES[op.kind](x)


def _inside(low: float, high: float) -> Callable[[Reals], Reals]:
    return lambda x: ((x > low) & (x < high)).astype(np.float64)


def _logistic_slope(x: Reals) -> Reals:
    y = 1 / (1 + np.exp(-x))
    return y * (1 - y)


def _gelu_slope(x: Reals) -> Reals:
    """Of the exact one; its approximation hardly differs."""
    error = np.array([math.erf(value / math.sqrt(2)) for value in x])
    return (1 + error) / 2 + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


_SLOPES: dict[graph.LookupKind, Callable[[Reals], Reals]] = {
    "relu": _inside(0, math.inf),
    "relu6": _inside(0, 6),
    "relu_n1_to_1": _inside(-1, 1),
    "relu_0_to_1": _inside(0, 1),
    "logistic": _logistic_slope,
    "tanh": lambda x: np.cosh(np.clip(x, -300.0, 300.0)) ** -2.0,
    "hard_swish": lambda x: np.where(x < -3, 0.0, np.where(x > 3, 1.0, x / 3 + 0.5)),
    "absolute": np.sign,
    "exponential": np.exp,
    "reciprocal_square_root": lambda x: np.where(x > 0, -0.5 * np.where(x > 0, x, 1) ** -1.5, 0.0),
    "quantise": np.ones_like,
}


# --- windows and vectors -------------------------------------------------------------------------


def _over_last_axis(
    model: Model, op: graph.Operator, tensors: Mapping[int, Int8Array], g: FloatArray
) -> FloatArray:
    x = model.tensors[op.inputs[0]].dequantise(tensors[op.inputs[0]])
    if isinstance(op, graph.L2Normalisation):
        # Nothing that is not zero is shorter than a step.
        length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
        length = np.maximum(length, model.tensors[op.inputs[0]].scale / 2)
        y = x / length
        found = (g - y * (y * g).sum(axis=-1, keepdims=True)) / length
        return found.astype(np.float32)
    beta = op.beta if isinstance(op, graph.Softmax) else 1.0
    e = np.exp(beta * (x - x.max(axis=-1, keepdims=True)))
    p = e / e.sum(axis=-1, keepdims=True)
    if isinstance(op, graph.LogSoftmax):
        return (g - p * g.sum(axis=-1, keepdims=True)).astype(np.float32)
    return (beta * p * (g - (p * g).sum(axis=-1, keepdims=True))).astype(np.float32)


def _pool(
    model: Model, op: graph.Pool, tensors: Mapping[int, Int8Array], g: FloatArray
) -> FloatArray:
    """Averages spread evenly over the window's places inside the map, maxima over the places that
    hold the maximum."""
    x, y = tensors[op.inputs[0]], tensors[op.output]
    if op.kind == "average":
        g = g * passed(op, model, tensors)
    p = op.padding
    around = ((0, 0), *p.amounts)
    inside = np.pad(np.ones((1, *x.shape[1:3], 1), np.float32), around)
    values = np.pad(x, around)
    windows = [
        (
            slice(None),
            slice(i, i + (y.shape[1] - 1) * op.stride[0] + 1, op.stride[0]),
            slice(j, j + (y.shape[2] - 1) * op.stride[1] + 1, op.stride[1]),
        )
        for i in range(op.window[0])
        for j in range(op.window[1])
    ]

    def weight(window: tuple[slice, slice, slice]) -> FloatArray:
        if op.kind == "average":
            return inside[window]
        return (inside[window] * (values[window] == y)).astype(np.float32)

    total = np.maximum(sum(weight(window) for window in windows), 1)
    spread = np.zeros(values.shape, np.float32)
    for window in windows:
        spread[window] += g * weight(window) / total
    return spread[:, p.top : p.top + x.shape[1], p.left : p.left + x.shape[2]]
