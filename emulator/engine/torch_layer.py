"""Accumulators of a layer as torch operations, on CPU or CUDA, equal to the other engines' bits.

The same separable terms as everywhere: each is a table on the activations and an exact
convolution. Sums are taken in floating point, in pieces so small that every partial sum is an
integer the type represents; matrix products are used rather than convolution routines, because
those may choose algorithms that are not exact (Winograd's).

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from axynq.emulator.engine.recipe import RAW_BYTES
from axynq.emulator.engine.terms import terms_of
from axynq.emulator.model import graph
from axynq.emulator.multipliers import ACTIVATION_MIN, WEIGHT_MIN
from axynq.emulator.plan import LayerCodes

EXACT_INTEGERS = {torch.float32: 2**24, torch.float64: 2**53}
"""Integers up to these are represented exactly."""


@dataclass(frozen=True)
class _Piece:
    """Some taps of a term."""

    first: int
    last: int
    weights: torch.Tensor
    """[taps, filters], depthwise [channels, taps, filters of a channel]."""


@dataclass(frozen=True)
class _Term:
    table: torch.Tensor
    """[256] by the activation's byte."""
    padding: float
    """The table at the zero point."""
    pieces: list[_Piece]


class TorchLayer:
    """The accumulators of one layer under one assignment.

    Args:
        model: the network the layer is of.
        layer: a weighted layer.
        codes: the layer's multipliers.
        device: where to compute.
        dtype: float32 or float64, in which sums are taken; float32 in more, smaller pieces.
    """

    def __init__(
        self,
        model: graph.Model,
        layer: graph.WeightedLayer,
        codes: LayerCodes,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.layer = layer
        self.input_shape = graph.rows_columns_channels(model.tensors[layer.inputs[0]].shape)
        self.output_shape = graph.rows_columns_channels(model.tensors[layer.output].shape)
        self.device = torch.device(device)
        self.dtype = dtype
        self.bias = torch.from_numpy(layer.bias.copy()).to(self.device)
        zero_point = model.tensors[layer.inputs[0]].zero_point
        self.terms = [
            _Term(
                self._tensor(table),
                float(table[zero_point & 255]),
                [
                    _Piece(first, last, self._tensor(weights[..., first:last, :]))
                    for first, last in _pieces(table, weights, EXACT_INTEGERS[dtype])
                ],
            )
            for table, weights in self._tables_and_weights(codes, zero_point)
        ]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """``bias + sum over taps of m(a, w)``: int32 [images, rows, columns, filters].

        ``x`` is int8 [images, *input shape] on the layer's device.
        """
        index = x.to(torch.int64).reshape(len(x), *self.input_shape) & 255
        total = self.bias.expand(len(x), *self.output_shape).clone()
        for term in self.terms:
            patches = self._patches(term.table[index], term.padding)
            for piece in term.pieces:
                taps = patches[..., piece.first : piece.last]
                if isinstance(self.layer, graph.DepthwiseConvolution):
                    sums = (taps.unsqueeze(-2) @ piece.weights).squeeze(-2)
                else:
                    sums = taps @ piece.weights
                # By way of int64, which takes the sum modulo 2**32.
                total += sums.to(torch.int64).to(torch.int32).reshape(total.shape)
        return total

    def _tensor(self, values: npt.NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float64)).to(self.device, self.dtype)

    def _tables_and_weights(
        self, codes: LayerCodes, zero_point: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Terms of all multipliers in use: [256] by byte, and [..., taps, filters]."""
        kernel = self.layer.kernel.astype(np.int64) - WEIGHT_MIN
        rows = RAW_BYTES - zero_point - ACTIVATION_MIN
        for k, multiplier in enumerate(codes.multipliers, start=1):
            terms = terms_of(multiplier)
            for table, g in zip(terms.activation[:, rows], terms.weight):
                weights = np.where(codes.codes == k, g[kernel], 0)
                if table.any() and weights.any():
                    yield table, self._by_tap(weights)

    def _by_tap(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Weights [filters, rows, columns, channels] in the order of the patches."""
        if isinstance(self.layer, graph.FullyConnected):
            return weights.reshape(len(weights), -1).T
        if isinstance(self.layer, graph.DepthwiseConvolution):
            channels = self.input_shape[2]
            grouped = weights.reshape(channels, len(weights) // channels, -1)
            return grouped.transpose(0, 2, 1)
        return weights.transpose(3, 1, 2, 0).reshape(-1, len(weights))

    def _patches(self, a: torch.Tensor, padding: float) -> torch.Tensor:
        """[images, positions, taps], depthwise [images, positions, channels, taps]."""
        layer = self.layer
        if isinstance(layer, graph.FullyConnected):
            return a.reshape(len(a), 1, -1)
        assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
        p = layer.padding
        channels_first = a.permute(0, 3, 1, 2)
        padded = functional.pad(channels_first, (p.left, p.right, p.top, p.bottom), value=padding)
        window = (layer.kernel.shape[1], layer.kernel.shape[2])
        patches = functional.unfold(padded, window, dilation=layer.dilation, stride=layer.stride)
        patches = patches.transpose(1, 2)
        if isinstance(layer, graph.DepthwiseConvolution):
            return patches.reshape(len(a), patches.shape[1], self.input_shape[2], -1)
        return patches


def _pieces(
    table: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], limit: int
) -> list[tuple[int, int]]:
    """Ranges of taps within which no partial sum reaches ``limit``."""
    by_tap = np.moveaxis(np.abs(weights), -2, 0).reshape(weights.shape[-2], -1)
    largest = by_tap.max(axis=1)
    bounds = largest * int(np.abs(table).max())
    pieces, first, total = [], 0, 0
    for tap, bound in enumerate(bounds.tolist()):
        if bound >= limit:
            raise OverflowError("a single product exceeds what the floating-point type represents")
        if total + bound >= limit:
            pieces.append((first, tap))
            first, total = tap, 0
        total += bound
    pieces.append((first, len(bounds)))
    return pieces
