# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where the taps of a weighted layer lie on its input."""

from __future__ import annotations

from dataclasses import dataclass

from axynq.emulator.model import graph


@dataclass(frozen=True)
class Geometry:
    """A weighted layer as a convolution; a fully connected one has a map of one position."""

    rows: int
    """Of the input."""
    columns: int
    channels: int
    output_rows: int
    output_columns: int
    filters: int
    kernel_rows: int
    kernel_columns: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    top: int
    """Rows of padding before the first; those after the last follow from the output's rows."""
    left: int
    multiple: int
    """Of a depthwise layer, filters for each channel; otherwise 0."""

    @classmethod
    def of(cls, model: graph.Model, layer: graph.WeightedLayer) -> Geometry:
        """The geometry of a layer of ``model``."""
        shape = graph.rows_columns_channels(model.tensors[layer.inputs[0]].shape)
        output = graph.rows_columns_channels(model.tensors[layer.output].shape)
        filters, kernel_rows, kernel_columns, channels = layer.kernel.shape
        if isinstance(layer, graph.FullyConnected):
            return cls(1, 1, channels, 1, 1, filters, 1, 1, (1, 1), (1, 1), 0, 0, 0)
        assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
        depthwise = isinstance(layer, graph.DepthwiseConvolution)
        return cls(
            *shape, *output[:2], filters, kernel_rows, kernel_columns, layer.stride, layer.dilation,
            layer.padding.top, layer.padding.left, filters // shape[2] if depthwise else 0,
        )  # fmt: skip

    @property
    def taps(self) -> int:
        """Products of one output."""
        return self.kernel_rows * self.kernel_columns * (1 if self.multiple else self.channels)

    @property
    def positions(self) -> int:
        """Of one image's output."""
        return self.output_rows * self.output_columns

    @property
    def last_row(self) -> int:
        """The last row that a tap sees, counted from the input's first."""
        reach = (self.kernel_rows - 1) * self.dilation[0]
        return (self.output_rows - 1) * self.stride[0] + reach - self.top

    @property
    def last_column(self) -> int:
        """The last column that a tap sees, counted from the input's first."""
        reach = (self.kernel_columns - 1) * self.dilation[1]
        return (self.output_columns - 1) * self.stride[1] + reach - self.left

    @property
    def padded(self) -> bool:
        """Whether taps see places outside the input."""
        inside = self.last_row < self.rows and self.last_column < self.columns
        return self.top > 0 or self.left > 0 or not inside
