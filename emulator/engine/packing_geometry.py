# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What convolutions a layer is, and what each filter sees of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import Memory
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding, rows_columns_channels

TAPS_PER_GROUP = 4

IndexArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Geometry:
    """The convolutions that make up a layer, and what each filter sees of its input."""

    convolutions: int
    """One, or one per input channel where the layer is depthwise; the filters of each follow each
    other."""
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    channels: int
    """Seen by each filter."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding

    @property
    def flattened(self) -> bool:
        """Whether groups of four taps run over columns and channels of a kernel row: with few
        channels, groups of channels would be mostly empty."""
        return self.channels < TAPS_PER_GROUP

    @property
    def row_groups(self) -> int:
        """Groups of a kernel row (flattened), or of a pixel."""
        taps = self.channels * (self.kernel[1] if self.flattened else 1)
        return -(-taps // TAPS_PER_GROUP)

    @property
    def spans(self) -> int:
        """Parts of a kernel row whose activations are contiguous: a pixel's are, and those of
        neighbouring columns too, unless the kernel is dilated."""
        return self.kernel[1] if not self.flattened and self.dilation[1] > 1 else 1


def group_shape(geometry: Geometry) -> tuple[int, int, int]:
    """Rows and columns of the kernel, and taps of a pixel in whole groups; flattened, a row is one
    pixel."""
    rows, columns = geometry.kernel
    return rows, 1 if geometry.flattened else columns, geometry.row_groups * TAPS_PER_GROUP


def taps_of(geometry: Geometry) -> int:
    """Of a pixel; flattened, of a kernel row."""
    return geometry.channels * (geometry.kernel[1] if geometry.flattened else 1)


def geometry_of(model: graph.Model, layer: graph.WeightedLayer) -> Geometry:
    """The convolutions of a layer of a network."""
    source = rows_columns_channels(model.tensors[layer.inputs[0]].shape)
    target = rows_columns_channels(model.tensors[layer.output].shape)
    if isinstance(layer, graph.FullyConnected):
        # As large as its input.
        rows, columns, channels = source
        return Geometry(1, source, target, channels, (rows, columns), (1, 1), (1, 1), Padding())
    assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
    kernel = (layer.kernel.shape[1], layer.kernel.shape[2])
    rest = (kernel, layer.stride, layer.dilation, layer.padding)
    if isinstance(layer, graph.Convolution):
        return Geometry(1, source, target, source[2], *rest)
    return Geometry(source[2], source, target, 1, *rest)


def addresses(
    memory: Memory, records: npt.NDArray[Any], counts: IndexArray, weights: bool = False
) -> IndexArray:
    """Where the records of each owner begin, which has so many of them, one owner after another."""
    first = np.cumsum(counts, dtype=np.int64) - counts
    return memory.aligned(records, weights) + first * records.itemsize


def counts_of(owner: IndexArray, owners: int) -> IndexArray:
    """How often each owner occurs."""
    return np.bincount(owner.astype(np.intp), minlength=owners).astype(np.int64)
