"""Gradients of the loss with respect to every accumulator, in numpy.

The network is taken as the real-valued function that its int8 arithmetic rounds: an accumulator
times its factor, clamped; sums, means and maxima of real values. It is differentiated at the values
that the exact int8 network has, so that a forward pass in floating point is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Int8Array, Model, activation_bounds, rows_columns_channels
from axynq.emulator.model.taps import padded_input, tap_windows

FloatArray = npt.NDArray[np.float32]


def accumulator_gradients(
    model: Model, tensors: Mapping[int, Int8Array], y: npt.NDArray[np.int64]
) -> dict[str, FloatArray]:
    """By layer, how each image's cross-entropy loss changes with each accumulator.

    Args:
        model: an int8 classifier.
        tensors: every tensor of the network for some images, as
            :meth:`axynq.emulator.Emulator.tensors` gives them.
        y: the images' classes.

    Returns:
        float32 [images, rows, columns, filters].

    Raises:
        ModelError: the network has an operator that cannot be differentiated.
    """
    operators = list(model.operators)
    logits, beta = model.output_index, 1.0
    if isinstance(operators[-1], graph.Softmax):
        softmax = operators.pop()
        assert isinstance(softmax, graph.Softmax)
        logits, beta = softmax.inputs[0], softmax.beta
    gradients: dict[int, FloatArray] = {
        logits: _loss_gradient(beta * model.tensors[logits].scale, tensors[logits], y)
    }
    by_layer = {}
    for op in reversed(operators):
        if op.output not in gradients:
            continue  # nothing depends on it
        g = gradients.pop(op.output).reshape(tensors[op.output].shape)
        if isinstance(op, graph.WeightedLayer):
            by_layer[op.name] = g = _before_requantising(model, op, tensors, g)
        for index, part in zip(op.inputs, _inputs(model, op, tensors, g)):
            part = part.reshape(tensors[index].shape)
            gradients[index] = gradients[index] + part if index in gradients else part
    return by_layer


def cross_entropy(
    model: Model, tensors: Mapping[int, Int8Array], y: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The loss of each image, from the values in front of the softmax."""
    last = model.operators[-1]
    logits, beta = model.output_index, 1.0
    if isinstance(last, graph.Softmax):
        logits, beta = last.inputs[0], last.beta
    z = tensors[logits].reshape(len(y), -1).astype(np.float64)
    z = (z - z.max(axis=1, keepdims=True)) * beta * model.tensors[logits].scale
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]


def _loss_gradient(scale: float, logits: Int8Array, y: npt.NDArray[np.int64]) -> FloatArray:
    z = scale * logits.reshape(len(logits), -1).astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return (scale * p).astype(np.float32)


def _passed(op: graph.Operator, model: Model, tensors: Mapping[int, Int8Array]) -> FloatArray:
    """1 where the output is not clamped."""
    activation: graph.Activation = getattr(op, "activation", "none")
    low, high = activation_bounds(activation, model.tensors[op.output])
    value = tensors[op.output]
    return ((value > low) & (value < high)).astype(np.float32)


def _before_requantising(
    model: Model, op: graph.WeightedLayer, tensors: Mapping[int, Int8Array], g: FloatArray
) -> FloatArray:
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    factor = source.scale / target.scale * op.weight_scales
    g = g * _passed(op, model, tensors) * factor.astype(np.float32)
    return g.reshape(len(g), *rows_columns_channels(target.shape))


def _inputs(
    model: Model, op: graph.Operator, tensors: Mapping[int, Int8Array], g: FloatArray
) -> list[FloatArray]:
    """Gradients of an operator's inputs."""
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    if isinstance(op, graph.FullyConnected):
        return [g.reshape(len(g), -1) @ op.weights.astype(np.float32)]
    if isinstance(op, graph.WeightedLayer):
        return [_convolution_input(model, op, tensors[op.inputs[0]], g)]
    if isinstance(op, graph.Add):
        g = g * _passed(op, model, tensors)
        return [g * np.float32(model.tensors[i].scale / target.scale) for i in op.inputs]
    if isinstance(op, graph.Reshape):
        return [g]
    if isinstance(op, graph.Mean):
        rows, columns = source.shape[:2]
        share = np.float32(source.scale / target.scale / (rows * columns))
        spread = g.reshape(len(g), 1, 1, -1) * share
        return [np.broadcast_to(spread, (len(g), *source.shape))]
    if isinstance(op, graph.Pad):
        p = op.padding
        rows, columns = source.shape[:2]
        return [g[:, p.top : p.top + rows, p.left : p.left + columns]]
    if isinstance(op, graph.Pool):
        return [_pool_input(model, op, tensors, g)]
    raise ModelError(f"operator '{op.name}' cannot be differentiated")


def _convolution_input(
    model: Model, op: graph.WeightedLayer, x: Int8Array, g: FloatArray
) -> FloatArray:
    padded = np.zeros_like(padded_input(model, op, x), np.float32)
    kernel = op.kernel.astype(np.float32)
    for (i, j), window in tap_windows(model, op):
        if isinstance(op, graph.DepthwiseConvolution):
            parts = (g * kernel[:, i, j, 0]).reshape(*g.shape[:3], x.shape[3], -1)
            padded[window] += parts.sum(axis=-1)
        else:
            padded[window] += g @ kernel[:, i, j]
    assert isinstance(op, (graph.Convolution, graph.DepthwiseConvolution))
    p = op.padding
    return padded[:, p.top : p.top + x.shape[1], p.left : p.left + x.shape[2]]


def _pool_input(
    model: Model, op: graph.Pool, tensors: Mapping[int, Int8Array], g: FloatArray
) -> FloatArray:
    """Averages spread evenly over the window's places inside the map, maxima over the places that
    hold the maximum."""
    x, y = tensors[op.inputs[0]], tensors[op.output]
    if op.kind == "average":
        g = g * _passed(op, model, tensors)
    p = op.padding
    around = ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0))
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
