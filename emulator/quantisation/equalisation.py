# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Cross-layer equalisation: channels of neighbouring layers get weights of similar size.

After Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction* (ICCV
2019). Where only a layer reads another one, and what is between them keeps factors (ReLU does), a
channel can be divided by a number in the first and multiplied by it in the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.quantisation.float_network import FloatLayer, FloatNetwork
from axynq.emulator.quantisation.ranges import Range

ROUNDS = 20
"""More change nothing to speak of."""

LARGEST_FACTOR = 1e4


def equalised(network: FloatNetwork, ranges: Mapping[int, Range]) -> FloatNetwork:
    """The same function with weights that lose less when they are quantised.

    ``ranges`` are those that calibration inputs reach, by tensor: a ReLU6 that none of them reaches
    the end of becomes a ReLU.
    """
    network = _without_unused_limits(network, ranges)
    layers = {op.output: op for op in network.layers}
    pairs = [
        (layer.output, second.output)
        for layer in network.layers
        if (second := _next_layer(network, layer)) is not None
    ]
    for _ in range(ROUNDS):
        most = 1.0
        for one, other in pairs:
            layers[one], layers[other], factor = _balanced(layers[one], layers[other])
            most = max(most, factor)
        if most < 1.01:
            break
    operators = tuple(layers.get(op.output, op) for op in network.operators)
    return replace(network, operators=operators)


def _without_unused_limits(network: FloatNetwork, ranges: Mapping[int, Range]) -> FloatNetwork:
    operators = tuple(
        replace(op, activation="relu")
        if isinstance(op, FloatLayer)
        and op.activation == "relu6"
        and op.output in ranges
        and ranges[op.output][1] < 6
        else op
        for op in network.operators
    )
    return replace(network, operators=operators)


def _next_layer(network: FloatNetwork, layer: FloatLayer) -> FloatLayer | None:
    """The layer that alone reads the channels of another one, times any positive factor."""
    if layer.activation not in ("none", "relu") or layer.weight_scales is not None:
        return None
    output = layer.output
    while network.tensors[output].quantisation is None:
        following = network.only_consumer(output)
        if following is None:
            return None
        if isinstance(following, FloatLayer):
            channels = len(layer.bias)
            inputs = following.weights.shape[3]
            alike = inputs == channels
            if following.kind == "depthwise":
                alike = len(following.bias) == channels
            return following if alike and following.weight_scales is None else None
        if not _keeps_factors(following):
            return None
        output = following.output
    return None


def _keeps_factors(op: graph.Operator) -> bool:
    if isinstance(op, graph.Lookup):
        return op.kind in ("relu", "leaky_relu")
    if isinstance(op, graph.Pool):
        return op.activation in ("none", "relu")
    return isinstance(op, (graph.Mean, graph.Pad))


def _balanced(first: FloatLayer, second: FloatLayer) -> tuple[FloatLayer, FloatLayer, float]:
    """Both layers, and how much the farthest channel was moved."""
    one = np.abs(first.weights).max(axis=(1, 2, 3)).astype(np.float64)
    depthwise = second.kind == "depthwise"
    axes = (1, 2, 3) if depthwise else (0, 1, 2)
    other = np.abs(second.weights).max(axis=axes).astype(np.float64)
    factors: npt.NDArray[np.float64] = np.ones_like(one)
    moved = (one > 0) & (other > 0)
    factors[moved] = np.sqrt(one[moved] / other[moved])
    factors = np.clip(factors, 1 / LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)
    spread = factors[:, None, None, None]
    first = replace(first, weights=first.weights / spread, bias=first.bias / factors)
    scaled = second.weights * (spread if depthwise else factors)
    changed = float(np.maximum(factors, 1 / factors).max(initial=1))
    return first, replace(second, weights=scaled.astype(np.float32)), changed
