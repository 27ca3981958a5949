# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every product of a multiplier, seen through a layer's int8 output.

A product has more bits than an output. So each is computed beside two others that bring the sum
near zero: ``m(a, w) + m(b, 127) + m(c, -127)``, with ``b`` and ``c`` looked up for the pair. What
is left fits a byte unchanged, and one wrong bit in a product shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from axynq.emulator.model import graph
from axynq.emulator.multipliers import Multiplier, multiplier
from axynq.host.overlay import Overlay
from axynq.host.overlay.circuits import ZERO_WEIGHT, zero_is_zero

ZERO_POINTS = (-128, 127)
"""With these, activations run from 0 to 255 and from -255 to 0. Signed tables take 0 alone."""

OUTPUT_ZERO_POINT = 0

WEIGHTS = np.arange(-128, 128, dtype=np.int64)


class ProductLayer(NamedTuple):
    """All activations against one weight, in all lanes that hold the multiplier."""

    model: graph.Model
    plan: str
    x: graph.Int8Array
    expected: graph.Int8Array
    seen: int
    """Products whose every bit shows; the others are out of a byte's reach even so."""


def product_layers(overlay: Overlay, spec: str, weights: np.ndarray) -> Iterator[ProductLayer]:  # type: ignore[type-arg]
    """Layers for every weight given, at both zero points. The weight's place among the inputs goes
    round with the weight, so that all of a lane's multipliers take part."""
    m = multiplier(spec)
    if not zero_is_zero(m):
        weights = weights[weights != ZERO_WEIGHT]
    lanes = sum(any(design.spec == spec for design in bank) for bank in overlay.banks)
    general = m.activation_range == Multiplier.activation_range
    for zero_point in ZERO_POINTS if general else (0,):
        partners = _Partners(m, zero_point)
        for weight in weights:
            yield _layer(m, int(weight), zero_point, lanes, overlay.array.inputs, partners)


class _Partners:
    """Pairs of activations by the sum of their products with 127 and -127."""

    def __init__(self, m: Multiplier, zero_point: int) -> None:
        stored = np.arange(-128, 128, dtype=np.int64)
        activations = stored - zero_point
        up = m.product(activations, np.int64(127))
        down = m.product(activations, np.int64(-127))
        sums = (up[:, None] + down[None, :]).reshape(-1)
        self._order = np.argsort(sums, kind="stable")
        self._sums = sums[self._order]

    def cancelling(self, products: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        """Stored activations for 127 and -127 whose sum is next to ``-products``, and the sum."""
        after = np.searchsorted(self._sums, -products).clip(1, len(self._sums) - 1)
        before = after - 1
        nearer = np.abs(self._sums[before] + products) <= np.abs(self._sums[after] + products)
        place = np.where(nearer, before, after)
        pair = self._order[place]
        return pair // 256 - 128, pair % 256 - 128, self._sums[place]


def _layer(
    m: Multiplier, weight: int, zero_point: int, lanes: int, inputs: int, partners: _Partners
) -> ProductLayer:
    stored = np.arange(-128, 128, dtype=np.int64)
    products = m.product(stored - zero_point, np.int64(weight)).astype(np.int64)
    up, down, sums = partners.cancelling(products)
    # Inputs that take no part see the zero point and a weight of zero.
    idle = int(m.product(np.int64(0), np.int64(0))) * (inputs - 3)
    place = weight % inputs
    channels = [(place + k) % inputs for k in range(3)]
    x = np.full((1, 16, 16, inputs), zero_point, np.int8)
    for channel, values in zip(channels, (stored, up, down)):
        x[..., channel] = values.reshape(16, 16)
    weights = np.zeros((lanes, 1, 1, inputs), np.int8)
    weights[..., channels] = (weight, 127, -127)
    residue = products + sums + idle
    clamped = np.clip(residue + OUTPUT_ZERO_POINT, -128, 127).astype(np.int8)
    expected = np.repeat(clamped.reshape(1, 16, 16, 1), lanes, axis=3)
    tensors = (
        graph.Tensor("x", (16, 16, inputs), 1.0, zero_point),
        graph.Tensor("y", (16, 16, lanes), 1.0, OUTPUT_ZERO_POINT),
    )
    operator = graph.Convolution(
        "products", (0,), 1, weights, np.zeros(lanes, np.int32), np.ones(lanes, np.float32)
    )
    model = graph.Model(f"products of {m.spec}", tensors, (operator,), (0,), (1,))
    seen = int(np.count_nonzero(clamped == residue + OUTPUT_ZERO_POINT))
    return ProductLayer(model, m.spec, x, expected, seen)
