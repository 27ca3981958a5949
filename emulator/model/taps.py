# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What each tap of a weighted layer's kernel sees of the layer's input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.graph import (
    Convolution,
    DepthwiseConvolution,
    FullyConnected,
    Model,
    WeightedLayer,
)


def tap_inputs(
    model: Model, layer: WeightedLayer, x: npt.NDArray[Any], padding: float | None = None
) -> Iterator[tuple[tuple[int, int], npt.NDArray[Any]]]:
    """For each kernel row and column the input that meets it, [images, rows, columns, channels].

    Args:
        model: the network.
        layer: one of its layers.
        x: values in the place of the layer's input, [images, *shape].
        padding: the value of padded places; default: the zero point of the layer's input.
    """
    if isinstance(layer, FullyConnected):
        yield (0, 0), x.reshape(len(x), 1, 1, -1)
        return
    padded = padded_input(model, layer, x, padding)
    for place, window in tap_windows(model, layer):
        yield place, padded[window]


def padded_input(
    model: Model, layer: WeightedLayer, x: npt.NDArray[Any], padding: float | None = None
) -> npt.NDArray[Any]:
    """The input of a convolution with its padding around it."""
    assert isinstance(layer, (Convolution, DepthwiseConvolution))
    if padding is None:
        padding = model.tensors[layer.inputs[0]].zero_point
    return np.pad(x, ((0, 0), *layer.padding.amounts), constant_values=padding)


def tap_windows(
    model: Model, layer: WeightedLayer
) -> Iterator[tuple[tuple[int, int], tuple[slice, slice, slice]]]:
    """For each kernel row and column of a convolution the part of its padded input it meets."""
    assert isinstance(layer, (Convolution, DepthwiseConvolution))
    rows, columns = model.tensors[layer.output].shape[:2]
    for i in range(layer.kernel.shape[1]):
        for j in range(layer.kernel.shape[2]):
            top, left = i * layer.dilation[0], j * layer.dilation[1]
            window = (
                slice(None),
                slice(top, top + (rows - 1) * layer.stride[0] + 1, layer.stride[0]),
                slice(left, left + (columns - 1) * layer.stride[1] + 1, layer.stride[1]),
            )
            yield (i, j), window
