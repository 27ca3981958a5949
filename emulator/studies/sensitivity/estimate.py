# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A first-order estimate of how much each part of a network suffers from a multiplier.

One pass forward and backward over some images says how the loss of each image changes with each
accumulator. An approximate multiplier adds ``m(a, w) - a * w`` to an accumulator; as a short sum of
terms ``f(a) * g(w)`` its effect through every single weight is a weight gradient with ``f(a)`` in
the place of the activations. Sums of those over the weights of a filter, channel, row, column or
layer say how much the loss changes when these weights use the multiplier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Emulator
from axynq.emulator.model.batch import Given, batch_of, check_classifier
from axynq.emulator.model.graph import (
    DepthwiseConvolution,
    FullyConnected,
    Int8Array,
    Model,
    WeightedLayer,
)
from axynq.emulator.model.taps import tap_inputs
from axynq.emulator.multipliers import WEIGHT_MIN, Multiplier, multiplier
from axynq.emulator.plan import CLASS_AXES, Axis
from axynq.emulator.studies.sensitivity.gradients import FloatArray, accumulator_gradients
from axynq.emulator.studies.tuning.histograms import per_weight, tap_histograms
from axynq.emulator.studies.tuning.weights import activation_rows

BATCH = 64
"""Images differentiated together."""

TERMS = 8
"""Terms of an error at most; the largest ones of its singular value decomposition."""

TOLERANCE = 1e-3
"""Share of an error's energy that may be left out."""

Increase = dict[tuple[str, Axis, str], npt.NDArray[np.float64]]
"""By layer, axis and multiplier the estimated increase of the loss for each element."""


def estimate(
    model: Model,
    x: Given,
    y: npt.NDArray[np.int64],
    specs: Sequence[str],
    compensated: bool = False,
) -> Increase:
    """The mean increase of the cross-entropy loss when an element uses a multiplier.

    ``mean over images of d + d**2 / 2`` with ``d`` the first-order change of an image's loss: the
    square is the curvature, by the Fisher information (Gauss-Newton approximation).

    Args:
        model: an int8 classifier.
        x: images, as for :meth:`axynq.emulator.Emulator.run`.
        y: their classes.
        specs: multipliers.
        compensated: whether mean errors are taken off the biases
            (:class:`~axynq.emulator.studies.tuning.tuner.Tuner`); then only deviations from them
            count.

    Raises:
        ModelError: the network has several outputs, or an operator that cannot be differentiated.
    """
    check_classifier(model)
    emulator, batch = Emulator(model), batch_of(model, x)
    sums: Increase = {}
    for start in range(0, len(batch), BATCH):
        images, classes = batch[start : start + BATCH], y[start : start + BATCH]
        tensors = emulator.tensors(images)
        gradients = accumulator_gradients(model, tensors, classes)
        for layer in model.layers:
            seen = tensors[layer.inputs[0]]
            for spec in specs:
                changes = _per_weight(
                    model, layer, seen, gradients[layer.name], multiplier(spec), compensated
                )
                for axis in CLASS_AXES:
                    d = _along(model, layer, changes, axis).astype(np.float64)
                    key = (layer.name, axis, spec)
                    sums[key] = sums.get(key, 0.0) + (d + d**2 / 2).sum(axis=0)
    return {key: total / len(batch) for key, total in sums.items()}


def sensitivity_ranking(
    model: Model, increase: Increase, specs: Sequence[str]
) -> dict[tuple[str, Axis], npt.NDArray[np.int64]]:
    """Elements of each layer and axis from the most to the least sensitive, by the mean rank of
    their increase over the multipliers."""
    ranking = {}
    for layer in model.layers:
        for axis in CLASS_AXES:
            ranks = [increase[layer.name, axis, spec].argsort().argsort() for spec in specs]
            ranking[layer.name, axis] = np.argsort(-np.mean(ranks, axis=0), kind="stable")
    return ranking


def _per_weight(
    model: Model,
    layer: WeightedLayer,
    x: Int8Array,
    g: FloatArray,
    m: Multiplier,
    compensated: bool,
) -> FloatArray:
    """First-order change of each image's loss through each weight,
    [images, filters, kernel rows, columns, channels]."""
    kernel = layer.kernel.astype(np.int64) - WEIGHT_MIN
    changes = np.zeros((len(x), *layer.kernel.shape), np.float32)
    zero_point = model.tensors[layer.inputs[0]].zero_point
    for table, weights in _error_terms(m, zero_point, kernel, x):
        values = table[x.astype(np.int64) + 128]
        padding = float(table[zero_point + 128])
        for (i, j), seen in tap_inputs(model, layer, values, padding):
            changes[:, :, i, j] += _weight_gradient(layer, seen, g) * weights[kernel[:, i, j]]
    if compensated:
        error = _error(m, zero_point)
        expected = per_weight(layer, tap_histograms(model, layer, x) @ error)
        full = np.broadcast_to(expected, (*layer.kernel.shape, 256))
        mean = np.take_along_axis(full, kernel[..., None], axis=-1)[..., 0].astype(np.float32)
        changes -= g.sum(axis=(1, 2))[:, :, None, None, None] * mean
    return changes


def _weight_gradient(layer: WeightedLayer, seen: FloatArray, g: FloatArray) -> FloatArray:
    """Sum over positions of gradient times input: [images, filters, channels of a filter]."""
    if isinstance(layer, FullyConnected):
        return g.reshape(len(g), -1, 1) * seen.reshape(len(seen), 1, -1)
    if isinstance(layer, DepthwiseConvolution):
        per_filter = np.repeat(seen, g.shape[-1] // seen.shape[-1], axis=-1)
        return np.asarray((g * per_filter).sum(axis=(1, 2))[..., None])
    n, _, _, filters = g.shape
    by_filter = g.reshape(n, -1, filters).transpose(0, 2, 1)
    return np.asarray(by_filter @ seen.reshape(n, -1, seen.shape[-1]))


def _error(m: Multiplier, zero_point: int) -> npt.NDArray[np.float64]:
    """``m(a, w) - a * w`` as [int8 activation + 128, w + 128]."""
    a = np.arange(-128, 128)[:, None] - zero_point
    exact = a * np.arange(-128, 128)[None, :]
    return (m.table[activation_rows(zero_point)] - exact).astype(np.float64)


def _error_terms(
    m: Multiplier, zero_point: int, kernel: npt.NDArray[np.int64], x: Int8Array
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Tables f [256] and g [256] whose products nearly sum to the multiplier's error, for the
    activations and weights that occur (an estimate needs no more)."""
    error = _error(m, zero_point)
    seen = np.bincount(x.reshape(-1).astype(np.intp) + 128, minlength=256) > 0
    seen[zero_point + 128] = True
    used = np.bincount(kernel.reshape(-1).astype(np.intp), minlength=256) > 0
    u, s, v = np.linalg.svd(error * np.outer(seen, used), full_matrices=False)
    energy = s**2
    if energy.sum() == 0:
        return
    left_out = 1 - np.cumsum(energy) / energy.sum()
    count = min(TERMS, len(s), int((left_out > TOLERANCE).sum()) + 1)
    for k in range(count):
        yield (u[:, k] * s[k]).astype(np.float32), v[k].astype(np.float32)


def _along(model: Model, layer: WeightedLayer, changes: FloatArray, axis: Axis) -> FloatArray:
    """Changes summed over the weights of each element of an axis: [images, elements]."""
    if axis == "channel" and isinstance(layer, DepthwiseConvolution):
        channels = model.tensors[layer.inputs[0]].shape[-1]
        by_filter = changes.sum(axis=(2, 3, 4))
        return np.asarray(by_filter.reshape(len(changes), channels, -1).sum(axis=2))
    kept = {"filter": 1, "row": 2, "column": 3, "channel": 4}.get(axis)
    summed = tuple(k for k in range(1, 5) if k != kept)
    result = changes.sum(axis=summed)
    return np.asarray(result if kept else result[:, None])
