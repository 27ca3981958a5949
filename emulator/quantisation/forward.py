# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A float network computed in numpy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.model.movement import FILLED, places
from axynq.emulator.quantisation.float_network import (
    Affine,
    Filled,
    FloatArray,
    FloatLayer,
    FloatNetwork,
)

LARGE = 10**7
"""Multiplications, about, from which on a layer is worth loading PyTorch for."""


def run(
    network: FloatNetwork,
    x: npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[int, npt.ArrayLike],
    keep: Collection[int] | None = None,
    seen: Callable[[int, FloatArray], None] = lambda index, values: None,
) -> dict[int, FloatArray]:
    """Tensors [images, *shape] by index.

    Args:
        network: the network.
        x: inputs [images, *shape], of the only input or of several by tensor.
        keep: the tensors to give; None: all. Others live only as long as they are needed.
        seen: called with each tensor that is given or computed.

    Raises:
        ModelError: an input is missing or has another shape.
    """
    values = network.batch(x)
    last: dict[int, int] = {}
    for number, op in enumerate(network.operators):
        last.update(dict.fromkeys(op.inputs, number))
    for index in network.inputs:
        seen(index, values[index])
    for number, op in enumerate(network.operators):
        inputs = [
            network.constants[index][None] if index in network.constants else values[index]
            for index in op.inputs
        ]
        # Values out of range become infinities, and are told of where they are used.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            y = np.asarray(evaluate(network, op, inputs), np.float32)
        seen(op.output, y)
        values[op.output] = y
        for index in {*op.inputs, op.output}:
            if keep is not None and index not in keep and last.get(index, -1) <= number:
                values.pop(index, None)
    return values


def evaluate(network: FloatNetwork, op: graph.Operator, inputs: list[FloatArray]) -> FloatArray:
    """The output [images, *shape] of one operator."""
    x, target = inputs[0], network.tensors[op.output].shape
    if isinstance(op, FloatLayer):
        return activated(convolved(op, x).reshape(len(x), *target), op.activation)
    if isinstance(op, graph.Lookup):
        return looked_up(op, x)
    if isinstance(op, (graph.Add, graph.Elementwise)):
        return activated(_paired(op, *inputs), op.activation)
    if isinstance(op, graph.Movement):
        return _moved(network, op, inputs)
    if isinstance(op, graph.Reshape):
        return x.reshape(len(x), *target)
    if isinstance(op, Affine):
        return x * op.factors + op.terms
    return _OTHERS[type(op)](op, x, target)


def convolved(layer: FloatLayer, x: FloatArray) -> FloatArray:
    """A layer's output before its activation, [images, rows, columns, filters]."""
    weights = layer.weights
    filters, k_rows, k_columns, _ = weights.shape
    if layer.kind == "fully_connected":
        return (x.reshape(len(x), -1) @ weights.reshape(filters, -1).T + layer.bias)[:, None, None]
    stride, dilation = layer.stride, layer.dilation
    if any(layer.padding):
        x = np.pad(x, ((0, 0), *layer.padding.amounts))
    if x.size * weights[0].size * (filters if layer.kind == "convolution" else 1) > LARGE:
        torch = _torch()
        if torch is not None:
            return _by_torch(torch, layer, x)
    rows = (x.shape[1] - (k_rows - 1) * dilation[0] - 1) // stride[0] + 1
    columns = (x.shape[2] - (k_columns - 1) * dilation[1] - 1) // stride[1] + 1
    y = np.zeros((len(x), rows, columns, filters), np.float32)
    y += layer.bias
    repeats = filters // x.shape[-1] if layer.kind == "depthwise" else 1
    for row in range(k_rows):
        for column in range(k_columns):
            top, left = row * dilation[0], column * dilation[1]
            taps = x[
                :,
                top : top + (rows - 1) * stride[0] + 1 : stride[0],
                left : left + (columns - 1) * stride[1] + 1 : stride[1],
            ]
            w = weights[:, row, column]
            if layer.kind == "depthwise":
                y += (np.repeat(taps, repeats, axis=-1) if repeats > 1 else taps) * w[:, 0]
            else:
                y += np.ascontiguousarray(taps) @ w.T
    return y


@cache
def _torch() -> Any:
    """PyTorch, which convolves faster; None: it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def _by_torch(torch: Any, layer: FloatLayer, x: FloatArray) -> FloatArray:
    """The same of a padded map; nothing is copied to turn it."""
    image = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
    weights = torch.from_numpy(np.ascontiguousarray(layer.weights)).permute(0, 3, 1, 2)
    groups = x.shape[-1] if layer.kind == "depthwise" else 1
    with torch.no_grad():
        y = torch.nn.functional.conv2d(
            image, weights, torch.from_numpy(np.ascontiguousarray(layer.bias)), layer.stride,
            0, layer.dilation, groups,
        )  # fmt: skip
    return np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy())


def activated(y: FloatArray, activation: graph.Activation) -> FloatArray:
    """A fused activation."""
    if activation == "none":
        return y
    low, high = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}[
        activation
    ]
    return np.clip(y, np.float32(low), np.float32(high))


def looked_up(op: graph.Lookup, x: FloatArray) -> FloatArray:
    """Each value's image."""
    return np.asarray(_LOOKUPS[op.kind](x, np.float32(op.alpha)), np.float32)


def _erf(x: FloatArray) -> FloatArray:
    # Abramowitz and Stegun, 7.1.26: within 1.5e-7.
    t = 1 / (1 + np.float64(0.3275911) * np.abs(x))
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    total = np.zeros_like(t)
    for factor in factors:
        total = (total + factor) * t
    return np.asarray(np.sign(x) * (1 - total * np.exp(-np.square(x, dtype=np.float64))))


def _gelu(x: FloatArray, tanh: np.float32) -> FloatArray:
    if tanh:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(np.asarray(x / np.sqrt(2))))


_LOOKUPS: dict[str, Callable[[FloatArray, np.float32], Any]] = {
    "relu": lambda x, _: np.maximum(x, 0),
    "relu6": lambda x, _: np.clip(x, 0, 6),
    "relu_n1_to_1": lambda x, _: np.clip(x, -1, 1),
    "relu_0_to_1": lambda x, _: np.clip(x, 0, 1),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "gelu": _gelu,
    "logistic": lambda x, _: 1 / (1 + np.exp(-x.astype(np.float64))),
    "tanh": lambda x, _: np.tanh(x),
    "hard_swish": lambda x, _: x * np.clip(x + 3, 0, 6) / 6,
    "absolute": lambda x, _: np.abs(x),
    "exponential": lambda x, _: np.exp(x),
    "reciprocal_square_root": lambda x, _: 1 / np.sqrt(x),
    "quantise": lambda x, _: x,
}


def _paired(op: graph.Add | graph.Elementwise, x: FloatArray, y: FloatArray) -> FloatArray:
    rank = max(x.ndim, y.ndim)
    x, y = (v.reshape(len(v), *[1] * (rank - v.ndim), *v.shape[1:]) for v in (x, y))
    kind = op.kind if isinstance(op, graph.Elementwise) else "add"
    if kind == "prelu":
        return np.where(x < 0, x * y, x)
    pairs: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "maximum": np.maximum,
        "minimum": np.minimum,
    }
    return pairs[kind](x, y)


def _moved(network: FloatNetwork, op: graph.Movement, inputs: list[FloatArray]) -> FloatArray:
    x, target = inputs[0], network.tensors[op.output].shape
    if isinstance(op, graph.Concatenation):
        images = max(map(len, inputs))
        parts = [np.broadcast_to(v, (images, *v.shape[1:])) for v in inputs]
        return np.concatenate(parts, axis=op.axis + 1)
    if isinstance(op, graph.Transpose):
        return x.transpose(0, *(axis + 1 for axis in op.permutation))
    # Where values come from depends on shapes alone, which both kinds of network have.
    found = places(cast(graph.Model, network), op)
    y = x.reshape(len(x), -1)[:, np.maximum(found, 0)]
    return np.where(found == FILLED, np.float32(0), y).reshape(len(x), *target)


def _pooled(op: graph.Pool, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    rows, columns, channels = target
    window_rows, window_columns = op.window
    amounts = ((0, 0), *op.padding.amounts)
    largest = op.kind == "max"
    padded = np.pad(x, amounts, constant_values=-np.inf if largest else 0)
    inside = np.pad(np.ones((1, *x.shape[1:3], 1), np.float32), amounts)
    y = np.full((len(x), rows, columns, channels), -np.inf if largest else 0, np.float32)
    count = np.zeros((1, rows, columns, 1), np.float32)
    for row in range(window_rows):
        for column in range(window_columns):
            where = (
                slice(None),
                slice(row, row + (rows - 1) * op.stride[0] + 1, op.stride[0]),
                slice(column, column + (columns - 1) * op.stride[1] + 1, op.stride[1]),
            )
            if largest:
                np.maximum(y, padded[where], out=y)
            else:
                y += padded[where]
                count += inside[where]
    return activated(y if largest else y / count, op.activation)


def _mean(op: graph.Mean, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    return np.asarray(x.mean(axis=(1, 2)).reshape(len(x), *target))


def _reduced(op: graph.Reduce, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    axes = tuple(axis + 1 for axis in op.axes)
    y = x.mean(axis=axes) if op.kind == "mean" else x.sum(axis=axes)
    return np.asarray(y.reshape(len(x), *target))


def _padded(op: graph.Pad, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    return np.pad(x, ((0, 0), *op.padding.amounts))


def _filled(op: Filled, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    return np.pad(x, ((0, 0), *zip(op.before, op.after)), constant_values=op.value)


def _softmax(op: graph.Softmax, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    e = np.exp(op.beta * (x - x.max(axis=-1, keepdims=True)))
    return e / e.sum(axis=-1, keepdims=True)


def _log_softmax(op: graph.LogSoftmax, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _normalised(op: graph.L2Normalisation, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    return x / np.maximum(np.sqrt((x * x).sum(axis=-1, keepdims=True)), np.float32(1e-12))


def _resized(op: graph.ResizeBilinear, x: FloatArray, target: tuple[int, ...]) -> FloatArray:
    for axis in (1, 2):
        source, size = x.shape[axis], target[axis - 1]
        scale = source / size
        if op.align_corners and size > 1:
            scale = (source - 1) / (size - 1)
        offset = 0.5 if op.half_pixel_centers else 0.0
        at = (np.arange(size) + offset) * scale - offset
        lower = np.maximum(np.floor(at), 0).astype(np.int64)
        upper = np.clip(np.ceil(at), 0, source - 1).astype(np.int64)
        share = np.clip(at - lower, 0, 1).astype(np.float32)
        share = share.reshape(-1, *[1] * (x.ndim - axis - 1))
        x = x.take(lower, axis) * (1 - share) + x.take(upper, axis) * share
    return x


_OTHERS: dict[type[graph.Operator], Callable[..., FloatArray]] = {
    graph.Pool: _pooled,
    graph.Mean: _mean,
    graph.Reduce: _reduced,
    graph.Pad: _padded,
    Filled: _filled,
    graph.Softmax: _softmax,
    graph.LogSoftmax: _log_softmax,
    graph.L2Normalisation: _normalised,
    graph.ResizeBilinear: _resized,
}
