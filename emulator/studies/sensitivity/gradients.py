# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Gradients of the loss with respect to every accumulator, in numpy.

The network is taken as the real-valued function that its int8 arithmetic rounds: an accumulator
times its factor, clamped; sums, means and maxima of real values. It is differentiated at the values
that the exact int8 network has, so that a forward pass in floating point is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.model.graph import Int8Array, Model, rows_columns_channels
from axynq.emulator.model.taps import padded_input, tap_windows
from axynq.emulator.studies.sensitivity.derivatives import input_gradients, passed

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
    logits, beta = _logits(model)
    values = {**tensors, **{index: value[None] for index, value in model.constants.items()}}
    gradients: dict[int, FloatArray] = {
        logits: _loss_gradient(beta * model.tensors[logits].scale, tensors[logits], y)
    }
    # Nothing may depend on a layer.
    by_layer = {
        layer.name: np.zeros(
            (len(y), *rows_columns_channels(model.tensors[layer.output].shape)), np.float32
        )
        for layer in model.layers
    }
    for op in reversed(model.operators):
        if op.output not in gradients:
            continue  # nothing depends on it
        g = gradients.pop(op.output).reshape(values[op.output].shape)
        if isinstance(op, graph.WeightedLayer):
            by_layer[op.name] = g = _before_requantising(model, op, values, g)
        for index, part in zip(op.inputs, _inputs(model, op, values, g)):
            if index in model.constants:
                continue
            part = part.reshape(tensors[index].shape)
            gradients[index] = gradients[index] + part if index in gradients else part
    return by_layer


def cross_entropy(
    model: Model, tensors: Mapping[int, Int8Array], y: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The loss of each image, from the values in front of the softmax."""
    logits, beta = _logits(model)
    z = tensors[logits].reshape(len(y), -1).astype(np.float64)
    z = (z - z.max(axis=1, keepdims=True)) * beta * model.tensors[logits].scale
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]


def _logits(model: Model) -> tuple[int, float]:
    """The tensor in front of the softmax at the end, and what it is multiplied by."""
    made = model.maker(model.output_index)
    if isinstance(made, graph.Softmax):
        return made.inputs[0], made.beta
    if isinstance(made, graph.LogSoftmax):
        return made.inputs[0], 1.0
    return model.output_index, 1.0


def _loss_gradient(scale: float, logits: Int8Array, y: npt.NDArray[np.int64]) -> FloatArray:
    z = scale * logits.reshape(len(logits), -1).astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return (scale * p).astype(np.float32)


def _before_requantising(
    model: Model, op: graph.WeightedLayer, tensors: Mapping[int, Int8Array], g: FloatArray
) -> FloatArray:
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    factor = source.scale / target.scale * op.weight_scales
    g = g * passed(op, model, tensors) * factor.astype(np.float32)
    return g.reshape(len(g), *rows_columns_channels(target.shape))


def _inputs(
    model: Model, op: graph.Operator, tensors: Mapping[int, Int8Array], g: FloatArray
) -> list[FloatArray]:
    """Gradients of an operator's inputs."""
    if isinstance(op, graph.FullyConnected):
        return [g.reshape(len(g), -1) @ op.weights.astype(np.float32)]
    if isinstance(op, graph.WeightedLayer):
        return [_convolution_input(model, op, tensors[op.inputs[0]], g)]
    return input_gradients(model, op, tensors, g)


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
