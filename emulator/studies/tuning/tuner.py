# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tunes layers to their multipliers, one layer at a time, from what its inputs look like."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.emulation import Emulator
from axynq.emulator.errors import ModelError
from axynq.emulator.keys import layer_key
from axynq.emulator.model.batch import Given, batch_of
from axynq.emulator.model.graph import DepthwiseConvolution, Int8Array, Model, WeightedLayer
from axynq.emulator.multipliers import WEIGHT_MIN, Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.emulator.studies.tuning.histograms import FloatArray, per_weight, tap_histograms
from axynq.emulator.studies.tuning.second_order import (
    Linear,
    curvatures,
    linear,
    nearest,
    second_order_weights,
)
from axynq.emulator.studies.tuning.weights import (
    LOWEST,
    WeightRule,
    activation_rows,
    tuned_weights,
)

IMAGES = 256
"""Calibration examples a tuner looks at."""

TOGETHER: tuple[WeightRule, ...] = ("second-order", "rescaled")
"""Rules that choose the weights of a filter together."""

FACTORS = (1.0, 0.92, 0.84, 0.77, 1.19, 1.41, 1.68, 2.0, 2.38, 2.83, 4.0)
"""What the scale of a filter's weights may be multiplied by; of equally good ones the first.

Smaller ones cut long weights: errors of single accumulators fall on, those of the network rise."""

KEPT = 1024
"""Tuned layers that are kept, for plans that have them in common."""


class Tuner:
    """Makes a layer fit the multipliers it is given.

    Weights are exchanged by a rule: one for one (module ``weights``), or those of a filter
    together (module ``second_order``); ``rescaled`` chooses the scale of each filter's weights with
    them, since the few values that coarse multipliers offer want another one. With ``compensate``
    the mean
    error of each filter's accumulator, against the exact products of the original weights, is
    taken off its bias. The mean is over the calibration examples and the filter's outputs, for
    inputs as the exact network has them there: it is a sum over the weights of expected errors, so
    that tuning a layer costs no run of the network.

    Args:
        model: the network.
        x: calibration examples, as :meth:`Emulator.run` takes them; :data:`IMAGES` evenly spread
            ones are looked at.
        weights: rule for the weights.
        compensate: whether to adjust biases.
    """

    def __init__(
        self,
        model: Model,
        x: Given,
        weights: WeightRule = "none",
        compensate: bool = True,
    ) -> None:
        self.model = model
        self.weights = weights
        self.compensate = compensate
        examples = batch_of(model, x)
        self.x = examples[evenly_spread(len(examples), IMAGES)]
        tensors = Emulator(model).tensors(self.x)
        self._histograms = {
            layer.name: tap_histograms(model, layer, tensors[layer.inputs[0]])
            for layer in model.layers
        }
        self._curvatures = (
            {la.name: curvatures(model, la, tensors[la.inputs[0]]) for la in model.layers}
            if weights in TOGETHER
            else {}
        )
        self._tuned: OrderedDict[tuple[str, str], WeightedLayer] = OrderedDict()
        self._errors: dict[tuple[str, Multiplier], FloatArray] = {}

    def fingerprint(self) -> str:
        """SHA-256 of what the tuning depends on besides the network, in hex."""
        content = hashlib.sha256(f"{self.weights},{self.compensate}".encode())
        for array in self.x.arrays:
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()

    def shares(self, layer: WeightedLayer) -> FloatArray:
        """How often the activations of a layer's taps occur, [256] by the int8 value + 128."""
        shares: FloatArray = self._histograms[layer.name].sum(axis=(0, 1, 2))
        return shares

    def left_over(self, layer: WeightedLayer) -> FloatArray | None:
        """What is left of an error of 1 in a weight when the filter's other weights make it good:
        by tap the mean square of its effect on the accumulator, in the order of replacement. None
        where weights are not chosen together."""
        if self.weights not in TOGETHER:
            return None
        return np.stack([np.diag(c.factor) ** -2 for c in self._curvatures[layer.name]])

    def layer(self, layer: WeightedLayer, codes: LayerCodes) -> WeightedLayer:
        """``layer`` tuned to ``codes``.

        Raises:
            ModelError: a bias would not fit 32 bits.
        """
        key = (layer.name, layer_key(codes))
        if key not in self._tuned:
            if len(self._tuned) >= KEPT:
                self._tuned.popitem(last=False)
            self._tuned[key] = self._layer(layer, codes)
        return self._tuned[key]

    def _layer(self, layer: WeightedLayer, codes: LayerCodes) -> WeightedLayer:
        factors = np.ones(len(layer.bias))
        if self.weights in TOGETHER:
            kernel, factors = self._together(layer, codes)
        else:
            kernel = self._one_by_one(layer, codes)
        bias = layer.bias / factors
        if self.compensate:
            wanted = layer.kernel / factors[:, None, None, None]
            bias = bias - self.mean_errors(layer, codes, kernel, wanted)
        whole = np.rint(bias).astype(np.int64)
        tuned = with_parameters(layer, kernel, fitting(layer, whole))
        if (factors == 1).all():
            return tuned
        return replace(tuned, weight_scales=(layer.weight_scales * factors).astype(np.float32))

    def _together(self, layer: WeightedLayer, codes: LayerCodes) -> tuple[Int8Array, FloatArray]:
        """Weights that are chosen together, and what their scales are multiplied by [filters]."""
        zero_point = self.model.tensors[layer.inputs[0]].zero_point
        shares = self.shares(layer)
        lines = [linear(m, zero_point, shares) for m in codes.multipliers]
        curvature = self._curvatures[layer.name]
        lowest = min(LOWEST, int(layer.kernel.min(initial=0)))
        factors = np.ones(len(layer.bias))
        if self.weights == "rescaled":
            factors = self._factors(layer, codes, lines, lowest)
        wanted = layer.kernel / factors[:, None, None, None]
        chosen = second_order_weights(wanted, codes.codes, lines, curvature, lowest)
        return chosen, factors

    def _factors(
        self, layer: WeightedLayer, codes: LayerCodes, lines: Sequence[Linear], lowest: int
    ) -> FloatArray:
        """What the scale of each filter's weights is best multiplied by, [filters].

        That is where the squared error of its accumulators is least, if each weight is the nearest
        there is, and activations are not correlated.
        """
        operand = np.arange(-128, 128) - self.model.tensors[layer.inputs[0]].zero_point
        seen = self._histograms[layer.name]
        variance = per_weight(layer, seen @ operand**2 - (seen @ operand) ** 2)
        offered = [nearest(line, float(variance.mean()), lowest) for line in lines]
        costs = np.empty((len(FACTORS), len(layer.bias)))
        for k, factor in enumerate(FACTORS):
            wanted = layer.kernel / factor
            cost = variance * wanted**2  # of what is skipped
            for code, line in enumerate(offered, start=1):
                mine = codes.codes == code
                value, noise = line.of(wanted[mine])
                squares = (value - wanted[mine]) ** 2
                cost[mine] = np.broadcast_to(variance, cost.shape)[mine] * squares + noise
            costs[k] = factor**2 * cost.sum(axis=(1, 2, 3))
        if not layer.per_channel:  # one scale for all
            costs[:] = costs.sum(axis=1, keepdims=True)
        factors = np.array(FACTORS)[costs.argmin(axis=0)]
        exact = [k for k, m in enumerate(codes.multipliers, start=1) if m.spec == "exact"]
        kept = np.isin(codes.codes, [SKIP, *exact]).all(axis=(1, 2, 3))
        if layer.per_channel or kept.all():
            factors[kept] = 1.0  # what is exact stays as it is
        return factors

    def _one_by_one(self, layer: WeightedLayer, codes: LayerCodes) -> Int8Array:
        """Weights by a rule for each."""
        kernel = layer.kernel.copy()
        for k, multiplier in enumerate(codes.multipliers, start=1):
            places = codes.codes == k
            kernel[places] = self._mapping(layer, multiplier)[kernel[places].astype(np.int64) + 128]
        return kernel

    def mean_errors(
        self,
        layer: WeightedLayer,
        codes: LayerCodes,
        kernel: Int8Array | None = None,
        wanted: FloatArray | None = None,
    ) -> FloatArray:
        """Expected error of each filter's accumulator, [filters].

        ``kernel`` are the weights multiplied by, [filters, rows, columns, channels]; the error is
        against exact products of the ``wanted`` ones. Default: the layer's own.
        """
        used = (layer.kernel if kernel is None else kernel).astype(np.int64) - WEIGHT_MIN
        expected = np.zeros(layer.kernel.shape)
        for k, multiplier in enumerate(codes.multipliers, start=1):
            products = np.broadcast_to(
                self._mean_products(layer, multiplier), (*layer.kernel.shape, 256)
            )
            found = np.take_along_axis(products, used[..., None], axis=-1)[..., 0]
            expected = np.where(codes.codes == k, found, expected)
        assert SKIP == 0  # skipped weights keep an expected product of 0
        operand = np.arange(-128, 128) - self.model.tensors[layer.inputs[0]].zero_point
        mean_operand = per_weight(layer, self._histograms[layer.name] @ operand)
        exact = mean_operand * (layer.kernel if wanted is None else wanted)
        return (expected - exact).sum(axis=(1, 2, 3))

    def _mean_products(self, layer: WeightedLayer, multiplier: Multiplier) -> FloatArray:
        """[filters or 1, rows, columns, channels, 256]: expected product by ``w + 128``."""
        key = (layer.name, multiplier)
        if key not in self._errors:
            zero_point = self.model.tensors[layer.inputs[0]].zero_point
            table = multiplier.table[activation_rows(zero_point)].astype(np.float64)
            self._errors[key] = per_weight(layer, self._histograms[layer.name] @ table)
        return self._errors[key]

    def _mapping(self, layer: WeightedLayer, multiplier: Multiplier) -> npt.NDArray[np.int8]:
        zero_point = self.model.tensors[layer.inputs[0]].zero_point
        if self.weights == "none":
            return np.arange(-128, 128).astype(np.int8)
        shares = None
        if self.weights == "histogram":
            shares = self.shares(layer).tobytes()
        return tuned_weights(multiplier, zero_point, shares)


def fitting(layer: WeightedLayer, bias: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Biases as int32.

    Raises:
        ModelError: one does not fit.
    """
    if len(bias) and np.abs(bias).max() >= 2**31:
        raise ModelError(f"layer '{layer.name}': a compensated bias does not fit 32 bits")
    return bias.astype(np.int32)


def with_parameters(
    layer: WeightedLayer, kernel: Int8Array, bias: npt.NDArray[np.int32]
) -> WeightedLayer:
    """``layer`` with other weights, given as [filters, rows, columns, channels], and biases."""
    weights = kernel
    if isinstance(layer, DepthwiseConvolution):
        weights = np.ascontiguousarray(kernel[..., 0].transpose(1, 2, 0))
    elif layer.weights.ndim == 2:
        weights = kernel.reshape(layer.weights.shape)
    # A layer keeps views of its weights: made anew, never changed.
    return replace(layer, weights=weights, bias=bias)
