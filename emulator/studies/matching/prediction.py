# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How large a multiplier's errors are at a layer's output, relative to the output itself.

``multi-distribution`` is the probabilistic model of the paper (section IV): it knows multipliers by
their error tables and layers by what values their operands have. ``measured`` computes the layer
with the multiplier, on the inputs that the exact network has there. ``residual``, which is not in
the paper, is what is left of that when each filter's mean error and its share that is proportional
to the output are taken off: a bias and a gain are no noise, and retraining makes them good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from axynq.emulator.datasets import evenly_spread
from axynq.emulator.emulation import Emulator
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import (
    DepthwiseConvolution,
    Int8Array,
    Model,
    WeightedLayer,
)
from axynq.emulator.model.quantisation import accumulator_scales
from axynq.emulator.model.taps import tap_inputs
from axynq.emulator.multipliers import Multiplier, multiplier
from axynq.emulator.plan import Plan
from axynq.emulator.studies.errors import LayerStatistics, extract
from axynq.emulator.studies.tuning.weights import activation_rows

FloatArray = npt.NDArray[np.float64]

Prediction = Literal["multi-distribution", "measured", "residual"]
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)

POSITIONS = 512
"""Receptive fields of a layer whose distributions are looked at, as in the authors' software."""


def predict(
    model: Model,
    library: Sequence[str],
    x: Int8Array,
    prediction: Prediction = "multi-distribution",
    advance: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Deviations of errors relative to deviations of outputs.

    Both are over all neurons of a layer and all inputs together, before the activation; mean errors
    of a whole layer do not count, as in the paper.

    Args:
        model: the network.
        library: specifications of multipliers.
        x: int8 inputs [samples, *input shape].
        prediction: how.
        advance: called after each layer.

    Returns:
        By layer name and specification; 0 where there are no errors, infinite where there are
        errors and the output is constant.

    Raises:
        DataError: there are no inputs.
    """
    if len(x) == 0:
        raise DataError("predictions need at least one example")
    tensors = Emulator(model, "exact").tensors(x)
    found: dict[str, dict[str, float]] = {}
    for layer in model.layers:
        seen = tensors[layer.inputs[0]]
        output = float(_measured(model, layer, "exact", seen).real.output_deviation)
        model_of_errors = _MultiDistribution(model, layer, seen)
        found[layer.name] = {}
        for spec in library:
            if prediction == "multi-distribution":
                deviation = model_of_errors.deviation(multiplier(spec))
            elif prediction == "measured":
                deviation = float(_measured(model, layer, spec, seen).real.error_deviation)
            else:
                deviation = _residual(_measured(model, layer, spec, seen))
            ratio = deviation / output if output > 0 else np.inf
            found[layer.name][spec] = float(ratio) if deviation > 0 else 0.0
        advance()
    return found


def _measured(model: Model, layer: WeightedLayer, spec: str, seen: Int8Array) -> LayerStatistics:
    """Errors and outputs of the layer alone, for inputs of it [samples, *shape]."""
    alone = replace(
        model, operators=(layer,), inputs=layer.inputs, outputs=(layer.output,), constants={}
    )
    return extract(alone, Plan.uniform(spec), seen).layers[layer.name]


def _residual(layer: LayerStatistics) -> float:
    """Deviation, in real units, of what is left of a layer's errors when those of each filter are
    predicted by a line from its output."""
    filters = layer.channels
    left = filters.error_squares / filters.count * (1 - filters.correlation**2)
    return float(np.sqrt((left * layer.scale**2).mean()))


class _MultiDistribution:
    """Errors of one layer from the distributions of its operands.

    At one position of the output the activations under the kernel are taken as drawn independently
    from their own (local) distribution. A filter's error there has as its mean the sum of the means
    over its weights, and likewise its variance; over all positions and filters the variance is the
    mean of the variances plus the variance of the means (eq. 15-16 of the paper). The paper draws
    weights too, from one distribution for the layer; here each filter has the weights it has, as
    it has its own scale.
    """

    def __init__(self, model: Model, layer: WeightedLayer, seen: Int8Array) -> None:
        self.zero_point = model.tensors[layer.inputs[0]].zero_point
        self.scales = accumulator_scales(model, layer)
        self.depthwise = isinstance(layer, DepthwiseConvolution)
        self.local = _local_distributions(model, layer, seen)
        filters = layer.kernel.reshape(len(layer.kernel), -1)
        self.weights = np.stack([_counts(filter_) for filter_ in filters])

    def deviation(self, m: Multiplier) -> float:
        """Of the layer's error, in real units."""
        operand = np.arange(-128, 128, dtype=np.int64) - self.zero_point
        products = operand[:, None] * np.arange(-128, 128, dtype=np.int64)
        error = (m.table[activation_rows(self.zero_point)] - products).astype(np.float64)
        mean = self.local @ error  # of each weight's product, [positions, channels or 1, 256]
        variance = np.maximum(self.local @ error**2 - mean**2, 0.0)
        means = self._summed(mean) * self.scales
        variances = self._summed(variance) * self.scales**2
        return float(np.sqrt(variances.mean() + means.var()))

    def _summed(self, values: FloatArray) -> FloatArray:
        """Values [positions, channels or 1, weights] summed over each filter's weights,
        [positions, filters]."""
        if not self.depthwise:
            return values[:, 0] @ self.weights.T
        # A filter of a depthwise layer sees its own channel.
        own = np.repeat(values, len(self.weights) // values.shape[1], axis=1)
        return np.einsum("pfw,fw->pf", own, self.weights)


def _local_distributions(model: Model, layer: WeightedLayer, seen: Int8Array) -> FloatArray:
    """Shares of the activation values under the kernel at some positions of the output, padding
    included: [positions, 1, 256], for a depthwise layer [positions, channels, 256]."""
    taps = [values.reshape(-1, values.shape[-1]) for _, values in tap_inputs(model, layer, seen)]
    places = evenly_spread(len(taps[0]), POSITIONS)
    under = np.stack([values[places] for values in taps], axis=2)  # [positions, channels, taps]
    if not isinstance(layer, DepthwiseConvolution):
        under = under.reshape(len(places), 1, -1)
    counts = np.stack([_counts(row) for row in under.reshape(-1, under.shape[-1])])
    return counts.reshape(len(places), -1, 256) / under.shape[-1]


def _counts(values: npt.NDArray[np.int8]) -> FloatArray:
    """How often each int8 value occurs, [256] by value + 128."""
    return np.bincount(values.astype(np.intp) + 128, minlength=256).astype(np.float64)
