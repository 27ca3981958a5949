# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fixed-point constants of the requantisation, computed from scales as TFLite computes them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.fixed_point import (
    FixedPoint,
    fixed_point,
    limited,
    significand_and_shift,
)
from axynq.emulator.model.graph import (
    Add,
    Elementwise,
    Mean,
    Model,
    Operator,
    Quantisation,
    Reduce,
    WeightedLayer,
)

FIXED_OUTPUTS: dict[str, Quantisation] = {
    "logistic": Quantisation(1 / 256, -128),
    "tanh": Quantisation(1 / 128, 0),
    "softmax": Quantisation(1 / 256, -128),
    "log_softmax": Quantisation(1 / 16, 127),
    "l2_normalisation": Quantisation(1 / 128, 0),
}
"""What TFLite quantises the outputs of these operators to. Its reference kernel of TANH alone takes
any."""


def layer_factors(model: Model, layer: WeightedLayer) -> list[FixedPoint]:
    """Per filter, the factor from the accumulator to the output tensor.

    ``input scale * weight scale / output scale`` in double; a fully connected layer whose weights
    have one scale multiplies the first two in float32.
    """
    input_scale = model.tensors[layer.inputs[0]].scale
    output_scale = model.tensors[layer.output].scale
    several = layer.per_channel and len(layer.weight_scales) > 1
    factors = []
    for weight_scale in layer.weight_scales:
        if layer.float32_scales and not several:
            with np.errstate(over="ignore"):  # to infinity
                product = float(np.float32(input_scale) * np.float32(weight_scale))
        else:
            product = input_scale * float(weight_scale)
        factors.append(fixed_point(product / output_scale))
    return factors


def accumulator_scales(model: Model, layer: WeightedLayer) -> npt.NDArray[np.float64]:
    """Per filter, the real value of an accumulator unit: float64 [filters]."""
    return model.tensors[layer.inputs[0]].scale * layer.weight_scales.astype(np.float64)


ADD_LEFT_SHIFT = 20
"""Both inputs of an addition are widened by this many bits before they are rescaled."""


def add_factors(model: Model, add: Add | Elementwise) -> tuple[FixedPoint, FixedPoint, FixedPoint]:
    """Factors of a sum or difference: first input, second input, output."""
    first, second = (model.tensors[index].scale for index in add.inputs)
    twice_larger = 2 * max(first, second)
    output_scale = model.tensors[add.output].scale
    return (
        fixed_point(first / twice_larger),
        fixed_point(second / twice_larger),
        fixed_point(twice_larger / (2**ADD_LEFT_SHIFT * output_scale)),
    )


def is_sum(op: Operator) -> bool:
    """Whether an operator is a sum or difference, which has :func:`add_factors`."""
    return isinstance(op, Add) or (isinstance(op, Elementwise) and op.kind in ("add", "subtract"))


def product_factor(model: Model, op: Elementwise) -> FixedPoint:
    """Factor of a product of two tensors, or of what ``prelu`` makes of negative values: from the
    product of ``x - zero point`` of both to the output. TFLite computes it in float32."""
    first, second = (np.float32(model.tensors[index].scale) for index in op.inputs)
    with np.errstate(over="ignore"):  # to infinity
        return fixed_point(float(first * second / np.float32(model.tensors[op.output].scale)))


def identity_factor(model: Model, op: Elementwise) -> FixedPoint:
    """Factor of what ``prelu`` leaves as it is: from ``x - zero point`` to the output."""
    source, target = model.tensors[op.inputs[0]].scale, model.tensors[op.output].scale
    with np.errstate(over="ignore"):  # to infinity
        return fixed_point(float(np.float32(source) / np.float32(target)))


def mean_factor(model: Model, mean: Mean | Reduce) -> FixedPoint:
    """Factor of a mean: from the sum of ``x - zero point`` to the output.

    TFLite folds the division by the number of positions into the multiplier.
    """
    source, target = model.tensors[mean.inputs[0]], model.tensors[mean.output]
    positions = math.prod(source.shape[axis] for axis in reduced_axes(mean))
    multiplier, shift = significand_and_shift(source.scale / target.scale)
    fold = min(positions.bit_length() - 1, 32, 31 + shift)
    return limited(FixedPoint((multiplier << fold) // positions, shift - fold))


def reduced_axes(op: Mean | Reduce) -> tuple[int, ...]:
    """The axes that a mean or sum is taken over, counted from 0 without the images."""
    return (0, 1) if isinstance(op, Mean) else op.axes


def sum_scale_and_bias(model: Model, op: Reduce) -> tuple[np.float32, np.float32]:
    """What the sum of values ``x`` is multiplied by, and what is added, both in float32, before it
    is rounded, halves away from zero, and moved by the output's zero point."""
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    positions = math.prod(source.shape[axis] for axis in op.axes)
    scale = np.float32(source.scale) / np.float32(target.scale)
    return scale, np.float32(-source.zero_point) * scale * np.float32(positions)
