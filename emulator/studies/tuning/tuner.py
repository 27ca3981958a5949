"""Tunes layers to their multipliers, one layer at a time, from what its inputs look like."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
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
from axynq.emulator.studies.tuning.second_order import curvatures, linear, second_order_weights
from axynq.emulator.studies.tuning.weights import WeightRule, activation_rows, tuned_weights

IMAGES = 256
"""Calibration examples a tuner looks at."""

KEPT = 1024
"""Tuned layers that are kept, for plans that have them in common."""


class Tuner:
    """Makes a layer fit the multipliers it is given.

    Weights are exchanged by a rule: one for one (module ``weights``), or those of a filter
    together (module ``second_order``). With ``compensate`` the mean
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
            if weights == "second-order"
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
        if self.weights != "second-order":
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
        kernel = self._kernel(layer, codes)
        bias = layer.bias
        if self.compensate:
            shift = np.rint(self.mean_errors(layer, codes, kernel)).astype(np.int64)
            bias = fitting(layer, bias.astype(np.int64) - shift)
        return with_parameters(layer, kernel, bias)

    def _kernel(self, layer: WeightedLayer, codes: LayerCodes) -> Int8Array:
        """Weights by the rule."""
        if self.weights == "second-order":
            zero_point = self.model.tensors[layer.inputs[0]].zero_point
            shares = self.shares(layer)
            lines = [linear(m, zero_point, shares) for m in codes.multipliers]
            curvature = self._curvatures[layer.name]
            return second_order_weights(layer.kernel, codes.codes, lines, curvature)
        kernel = layer.kernel.copy()
        for k, multiplier in enumerate(codes.multipliers, start=1):
            places = codes.codes == k
            kernel[places] = self._mapping(layer, multiplier)[kernel[places].astype(np.int64) + 128]
        return kernel

    def mean_errors(
        self, layer: WeightedLayer, codes: LayerCodes, kernel: Int8Array | None = None
    ) -> FloatArray:
        """Expected error of each filter's accumulator, [filters].

        ``kernel`` are the weights multiplied by, [filters, rows, columns, channels]; the error is
        against exact products of the layer's own.
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
        return (expected - mean_operand * layer.kernel).sum(axis=(1, 2, 3))

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
