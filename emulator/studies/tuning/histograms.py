# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How often each activation value meets each weight of a layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import (
    DepthwiseConvolution,
    Int8Array,
    Model,
    WeightedLayer,
    rows_columns_channels,
)
from axynq.emulator.model.taps import tap_inputs

FloatArray = npt.NDArray[np.float64]


def tap_histograms(model: Model, layer: WeightedLayer, x: Int8Array) -> FloatArray:
    """Shares of the activation values that each tap of ``layer`` sees, padding included.

    Args:
        model: the network.
        layer: one of its layers.
        x: the layer's inputs, int8 [images, *shape].

    Returns:
        [kernel rows, kernel columns, channels, 256], each row summing to 1; the last axis is the
        int8 value + 128. Channels are those of the kernel, for a depthwise layer those of its
        input.
    """
    rows, columns, channels = layer.kernel.shape[1:]
    if isinstance(layer, DepthwiseConvolution):
        channels = rows_columns_channels(model.tensors[layer.inputs[0]].shape)[2]
    counts = np.zeros((rows, columns, channels, 256))
    offset = (np.arange(channels) * 256).astype(np.int32)
    for (row, column), seen in tap_inputs(model, layer, x):
        index = (seen.reshape(-1, channels).astype(np.int32) + 128) + offset
        occurrences = np.bincount(index.reshape(-1).astype(np.intp), minlength=256 * channels)
        counts[row, column] = occurrences.reshape(channels, 256)
    return counts / counts[0, 0, 0].sum()


def per_weight(layer: WeightedLayer, values: FloatArray) -> FloatArray:
    """Values [kernel rows, kernel columns, channels, …] by tap as [filters or 1, …] by weight."""
    if isinstance(layer, DepthwiseConvolution):
        filters = len(layer.bias)
        by_filter = np.repeat(values, filters // values.shape[2], axis=2)
        return np.moveaxis(by_filter, 2, 0)[:, :, :, None]
    return values[None]
