# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Gradients of a layer through the slopes of its approximate products.

With ``y = bias + unit * sum over taps of m(a, w)`` and slopes in separable terms,
``dm/da = sum over k of u_k(a) v_k(w)``, the gradient of an input is ``sum over k of u_k(a)`` times
a transposed convolution with ``v_k(w)`` for weights; with ``dm/dw = sum over k of p_k(a) q_k(w)``,
that of a weight is ``sum over k of q_k(w)`` times the weight gradient for ``p_k(a)`` for
activations. So both are gradients of ordinary convolutions, one for each term, and no product is
looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from axynq.emulator.model import graph
from axynq.emulator.plan import LayerCodes, Plan
from axynq.emulator.studies.retraining.product_slopes import (
    TOLERANCE,
    Operand,
    separated_slopes,
)


class Geometry(NamedTuple):
    """Of a convolution, as PyTorch takes it."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


Needed = tuple[bool, bool, bool]
"""Whether gradients of inputs, weights and biases are."""


def convolution_gradients(
    gradient: Tensor, x: Tensor, weights: Tensor, geometry: Geometry, needed: Needed
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of a convolution's inputs, weights and biases; None what is not needed.

    Args:
        gradient: of the outputs, [images, filters, rows, columns].
        x: inputs [images, channels, rows, columns].
        weights: [filters, channels of a group, rows, columns].
        geometry: of the convolution.
        needed: which gradients.
    """
    stride, padding, dilation, groups = geometry
    found: tuple[Tensor | None, Tensor | None, Tensor | None]
    found = torch.ops.aten.convolution_backward(
        gradient, x, weights, [len(weights)],
        stride, padding, dilation, False, (0, 0), groups, needed,
    )  # fmt: skip
    return found


class ProductGradients(nn.Module):
    """The gradients of one layer, for weights in PyTorch's order [filters, channels, rows,
    columns].

    Args:
        model: the network.
        layer: one of its layers.
        codes: the multiplier of each weight. Skipped weights have no gradient and pass none on.
        smoothing: operands on either side over which products are averaged.
        averaged: LUT-1D instead of LUT-2D.
        tolerance: of the separable terms.
    """

    input_by_activation: Tensor
    """[terms, 256] of ``dm/da``, by the activation's int8 value plus 128."""
    input_by_weight: Tensor
    """[terms, codes * 256] of ``dm/da``, by the weight's code and its value plus 128."""
    weight_by_activation: Tensor
    """[terms, 256] of ``dm/dw``, in real activations."""
    weight_by_weight: Tensor
    """[terms, codes * 256] of ``dm/dw``."""
    place: Tensor
    """[filters, rows, columns, channels]: where a weight of 0 is among codes and weights."""
    scale: Tensor
    """[filters]: the real value of a weight's step."""

    def __init__(
        self,
        model: graph.Model,
        layer: graph.WeightedLayer,
        codes: LayerCodes,
        smoothing: int,
        averaged: bool,
        tolerance: float = TOLERANCE,
    ) -> None:
        super().__init__()
        source = model.tensors[layer.inputs[0]]
        self.input_scale, self.zero = source.scale, source.zero_point + 128
        units: dict[str, tuple[Operand, float]] = {
            "input": ("activation", 1.0),
            "weight": ("weight", source.scale),
        }
        for name, (operand, unit) in units.items():
            terms = separated_slopes(
                codes.multipliers, source.zero_point, operand, smoothing, averaged, tolerance
            )
            self._keep(f"{name}_by_activation", unit * terms.by_activation)
            self._keep(f"{name}_by_weight", terms.by_weight.reshape(len(terms.by_weight), -1))
        self.level = bool((self.input_by_activation == 1).all())
        """Whether the slope ``dm/da`` depends on weights alone."""
        self._keep("scale", layer.weight_scales)
        place = torch.from_numpy(256 * codes.codes.astype(np.int64) + 128)
        self.register_buffer("place", place, persistent=False)

    def _keep(self, name: str, values: npt.NDArray[np.floating[Any]]) -> None:
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        self.register_buffer(name, tensor, persistent=False)

    def forward(
        self, gradient: Tensor, x: Tensor, weights: Tensor, geometry: Geometry, needed: Needed
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """As :func:`convolution_gradients`, for inputs and weights that are on the grids of their
        quantisation."""
        index = self._activations(x)
        return (
            self._of_input(gradient, x, index, weights, geometry) if needed[0] else None,
            self._of_weights(gradient, index, weights, geometry) if needed[1] else None,
            gradient.sum(dim=(0, 2, 3)) if needed[2] else None,
        )

    def _of_input(
        self, gradient: Tensor, x: Tensor, index: Tensor, weights: Tensor, geometry: Geometry
    ) -> Tensor:
        place, scale = self._places(weights), self.scale[:, None, None, None]

        def spread(by_weight: Tensor) -> Tensor:
            faced = _looked_up(by_weight, place).mul_(scale)
            only = (True, False, False)
            found, _, _ = convolution_gradients(gradient, x, faced, geometry, only)
            assert found is not None
            return found

        if self.level:
            return spread(self.input_by_weight[0])
        total = torch.zeros_like(x)
        for by_activation, by_weight in zip(self.input_by_activation, self.input_by_weight):
            total.addcmul_(spread(by_weight), _looked_up(by_activation, index))
        return total

    def _of_weights(
        self, gradient: Tensor, index: Tensor, weights: Tensor, geometry: Geometry
    ) -> Tensor:
        rows, columns = geometry.padding
        if rows or columns:
            # A multiplier may make something of the zeros around a map.
            index = functional.pad(index, (columns, columns, rows, rows), value=self.zero)
            geometry = geometry._replace(padding=(0, 0))
        place = self._places(weights)
        total = torch.zeros_like(weights)
        for by_activation, by_weight in zip(self.weight_by_activation, self.weight_by_weight):
            seen = _looked_up(by_activation, index)
            only = (False, True, False)
            _, spread, _ = convolution_gradients(gradient, seen, weights, geometry, only)
            assert spread is not None
            total.addcmul_(spread, _looked_up(by_weight, place))
        return total

    def _activations(self, x: Tensor) -> Tensor:
        """Int8 values plus 128, int32, of real activations."""
        return (x * (1 / self.input_scale) + (self.zero + 0.5)).int()

    def _places(self, weights: Tensor) -> Tensor:
        """Where in a table by code and weight each weight is, in the weights' order."""
        steps = torch.round(weights / self.scale[:, None, None, None]).long()
        filters, channels, rows, columns = weights.shape
        zeros = self.place.reshape(filters, rows, columns, channels).permute(0, 3, 1, 2)
        return zeros + steps


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """``table[index]`` for four axes, laid out with the second one last."""
    # Several times as fast as indexing.
    last = index.permute(0, 2, 3, 1)
    return table.index_select(0, last.reshape(-1)).reshape(last.shape).permute(0, 3, 1, 2)


def product_gradients(
    model: graph.Model, plan: Plan, smoothing: int, averaged: bool
) -> Mapping[str, ProductGradients]:
    """By layer name."""
    codes = plan.expand(model)
    return {
        layer.name: ProductGradients(model, layer, codes[layer.name], smoothing, averaged)
        for layer in model.layers
    }
