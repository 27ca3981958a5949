# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A weighted layer as kernels read it, on its device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from axynq.emulator.engine.gpu.geometry import Geometry
from axynq.emulator.engine.gpu.rescaling import factor_table
from axynq.emulator.engine.gpu.signed_planes import SignedPlanes, signed_planes
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import layer_factors
from axynq.emulator.multipliers import WEIGHT_MIN
from axynq.emulator.plan import LayerCodes

MOST_TAPS = 1 << 17
"""Fewer byte products than these stay within 32 bits, of which a matrix unit may saturate more."""


class Tile(NamedTuple):
    """Outputs that a program of a kernel computes at once, the taps that it takes at a time, and
    its groups of 32 threads; powers of two, which Triton's matrix products want."""

    positions: int
    filters: int
    taps: int
    warps: int

    @classmethod
    def of(cls, geometry: Geometry) -> Tile:
        """A tile that wastes little of the layer, with enough threads that their registers hold it
        (by what the assembler for sm_80 and sm_90 says; other tiles were not tried on a GPU)."""
        filters = 16
        while filters < min(geometry.filters, 128):
            filters *= 2
        # The longest runs of taps of which at most a quarter is padding.
        fitting = [
            k for k in (128, 64) if -geometry.taps % k <= (geometry.taps + -geometry.taps % k) // 4
        ]
        return cls(64, filters, fitting[0] if fitting else 32, 4 if filters <= 32 else 8)


@dataclass(frozen=True, eq=False)
class Output:
    """What becomes of a layer's sums."""

    factors: Tensor
    """Of :func:`factor_table`, [4, filters]."""
    shape: tuple[int, ...]
    """Without the images."""
    zero_point: int
    low: int
    high: int


class PackedLayer:
    """A layer's tables, weights and factors. Weights and biases can be exchanged.

    Args:
        model: the network the layer is of.
        layer: a weighted layer.
        codes: the layer's multipliers.
        device: where the tensors are.
    """

    def __init__(
        self,
        model: graph.Model,
        layer: graph.WeightedLayer,
        codes: LayerCodes,
        device: torch.device,
    ) -> None:
        codes = codes.simplified()
        self.device = device
        self.geometry = Geometry.of(model, layer)
        self.tap_by_tap = self.geometry.multiple > 0 or self.geometry.taps >= MOST_TAPS
        """Whether its products are no matrix product."""
        self.tile = Tile.of(self.geometry)
        self.zero_point = model.tensors[layer.inputs[0]].zero_point
        output = model.tensors[layer.output]
        self.output = Output(
            factor_table(layer_factors(model, layer), device),
            output.shape,
            output.zero_point,
            *graph.activation_bounds(layer.activation, output),
        )
        planes = signed_planes(codes.multipliers, self.zero_point)
        self.tables = torch.from_numpy(planes.tables.copy()).to(device)
        """int8 [tables, 256] by the activation's byte."""
        self.maps = not _is_identity(planes)
        """Whether activations go through tables; otherwise they are the only plane."""
        self.errors = (
            None if planes.errors is None else torch.from_numpy(planes.errors.copy()).to(device)
        )
        """[rows, 256] by the activation's byte."""
        self.planes = self._described(planes)
        """int64 [planes, 4]: number of the table, its value at padded places, the exponent, where
        the weights begin."""
        self._weights = torch.stack([torch.from_numpy(plane.weights) for plane in planes.planes])
        self._weights = self._weights.to(device)
        self._constant = torch.from_numpy(planes.constant).to(device)
        self._error_rows = torch.from_numpy(planes.error_rows).to(device)
        places = codes.codes.astype("int64") * 256 - WEIGHT_MIN
        self._places = torch.from_numpy(places.reshape(len(places), -1)).to(device)
        self.load(torch.from_numpy(layer.kernel.copy()), torch.from_numpy(layer.bias.copy()))

    def load(self, kernel: Tensor, bias: Tensor) -> None:
        """Take weights int8 [filters, rows, columns, channels] and biases int32 [filters]."""
        filters = self.geometry.filters
        places = self._places + kernel.to(self.device).reshape(filters, -1)
        weights = self._weights[:, places]
        if self.tap_by_tap:
            weights = weights.transpose(1, 2)
        else:
            by_tile = (-places.shape[1] % self.tile.taps, -filters % self.tile.filters)
            weights = torch.nn.functional.pad(weights, (0, by_tile[0], 0, by_tile[1]))
        self.weights = weights.contiguous()
        """int8 [planes, filters, taps], both padded to whole tiles; tap by tap [planes, taps,
        filters]."""
        total = bias.to(self.device, torch.int64) + self._constant[places].sum(dim=1)
        self.bias = total.to(torch.int32)  # modulo 2**32, as the accumulators are
        """int32 [filters], with what planes lack."""
        self.error_places = None
        """int32 [taps, filters]: where the row of errors of a weight begins."""
        if self.errors is not None:
            self.error_places = (self._error_rows[places] * 256).T.contiguous()

    def _described(self, planes: SignedPlanes) -> Tensor:
        geometry, tile = self.geometry, self.tile
        size = geometry.taps * geometry.filters
        if not self.tap_by_tap:
            size = -(-geometry.taps // tile.taps) * tile.taps
            size *= -(-geometry.filters // tile.filters) * tile.filters
        rows = [
            (plane.table, int(planes.tables[plane.table, self.zero_point & 255]), plane.exponent,
             number * size)
            for number, plane in enumerate(planes.planes)
        ]  # fmt: skip
        return torch.tensor(rows, dtype=torch.int64, device=self.device)


def _is_identity(planes: SignedPlanes) -> bool:
    """Whether the only table is the activations themselves."""
    every = torch.arange(256, dtype=torch.uint8).view(torch.int8)
    return len(planes.tables) == 1 and bool(
        (torch.from_numpy(planes.tables[0].copy()) == every).all()
    )
