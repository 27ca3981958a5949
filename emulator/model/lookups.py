# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators that turn each value into another by itself, as tables of 256 results.

Oracle, engines and the host behind an accelerator share these tables; they are compared with
TFLite for all 256 values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.fixed_point import (
    FixedPoint,
    fixed_point,
    inverse_square_root,
    nearest_int8,
    rescaled,
    shifted_right,
)
from axynq.emulator.model.graph import (
    INT8_MAX,
    INT8_MIN,
    Activation,
    Int8Array,
    Lookup,
    LookupKind,
    Model,
    Tensor,
    activation_bounds,
)

Int64Array = npt.NDArray[np.int64]

_RECTIFIED: dict[LookupKind, Activation] = {
    "relu": "relu",
    "relu6": "relu6",
    "relu_n1_to_1": "relu_n1_to_1",
}

_OPERANDS = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)


def table_slopes(model: Model, op: Lookup) -> npt.NDArray[np.float64]:
    """The slope of a function that is known as a table alone, in real numbers, [256] by ``value +
    128``: half the difference between the results of both neighbours, at the ends the difference to
    the only one."""
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    return np.asarray(np.gradient(target.dequantise(lookup_table(model, op)), source.scale))


def lookup_table(model: Model, op: Lookup) -> Int8Array:
    """The result for each value, int8 [256], by ``value + 128``.

    Raises:
        ValueError: the operator is of a kind that has no table.
    """
    if op.table is not None:
        return op.table
    source, target = model.tensors[op.inputs[0]], model.tensors[op.output]
    operands = _OPERANDS - source.zero_point
    if op.kind in _TRANSFORMS:
        approximated = op.kind == "gelu" and op.alpha
        transform = _gelu_approximated if approximated else _TRANSFORMS[op.kind]
        return _through_reals(source, target, transform)
    if op.kind == "hard_swish":
        return _hard_swish(source, target, operands)
    if op.kind == "reciprocal_square_root":
        return _reciprocal_square_root(source, target, operands)
    same = fixed_point(float(np.float32(source.scale) / np.float32(target.scale)))
    low, high = INT8_MIN, INT8_MAX
    if op.kind == "quantise":
        same = fixed_point(source.scale / target.scale)
    elif op.kind == "absolute":
        operands = np.abs(operands)
    elif op.kind in _RECTIFIED:
        low, high = activation_bounds(_RECTIFIED[op.kind], target)
    elif op.kind == "relu_0_to_1":
        low, high = (
            activation_bounds("relu", target)[0],
            activation_bounds("relu_n1_to_1", target)[1],
        )
    elif op.kind != "leaky_relu":
        raise ValueError(f"operator '{op.name}' has no table: {op.kind}")
    y = rescaled(operands, same)
    if op.kind == "leaky_relu":
        slope = np.float32(source.scale) * np.float32(op.alpha) / np.float32(target.scale)
        factor = signed_fixed_point(float(slope))
        y = np.where(operands >= 0, y, rescaled(operands, factor))
    return np.clip(y + target.zero_point, low, high).astype(np.int8)


def signed_fixed_point(real: float) -> FixedPoint:
    """As :func:`fixed_point`, of a factor that may be negative: halves away from zero."""
    factor = fixed_point(abs(real))
    return factor if real >= 0 else FixedPoint(-factor.multiplier, factor.shift)


# --- by way of real numbers ----------------------------------------------------------------------

_Transform = Callable[[np.float32], float]


def _logistic(x: np.float32) -> float:
    # The exponential is a float32, and so is the sum.
    return float(np.float32(1) / (np.float32(1) + np.float32(_exp(-float(x)))))


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _gelu(x: np.float32) -> float:
    return 0.5 * float(x) * math.erfc(-float(x) * math.sqrt(0.5))


def _gelu_approximated(x: np.float32) -> float:
    value = float(x)
    inner = math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)
    return 0.5 * value * (1 + math.tanh(inner))


_TRANSFORMS: dict[LookupKind, _Transform] = {
    "logistic": _logistic,
    "tanh": lambda x: math.tanh(float(x)),
    "exponential": lambda x: _exp(float(x)),
    "gelu": _gelu,
}


def _through_reals(source: Tensor, target: Tensor, transform: _Transform) -> Int8Array:
    """Real numbers in float32 between two quantisations. The functions themselves are computed in
    double and rounded, so that no processor's own float32 functions decide."""
    with np.errstate(over="ignore", invalid="ignore"):
        reals = np.float32(source.scale) * (_OPERANDS - source.zero_point).astype(np.float32)
        results = np.array([transform(real) for real in reals]).astype(np.float32)
        steps = results * (np.float32(1) / np.float32(target.scale))
    return nearest_int8(steps, target.zero_point)


# --- in fixed point ------------------------------------------------------------------------------


def hard_swish_fits(source: Tensor, target: Tensor) -> bool:
    """Whether TFLite has the function: not where one step of the output is less than 1/128 of the
    input's."""
    return _hard_swish_factor(source, target).shift <= 0


def _hard_swish_factor(source: Tensor, target: Tensor) -> FixedPoint:
    fine_scale = np.float32(1 / 128) * np.float32(source.scale)
    return fixed_point(float(fine_scale / np.float32(target.scale)))


def _hard_swish(source: Tensor, target: Tensor, operands: Int64Array) -> Int8Array:
    """``x * clip(x + 3, 0, 6) / 6`` in numbers of 16 bits."""
    fine_scale = np.float32(1 / 128) * np.float32(source.scale)
    output_factor = _hard_swish_factor(source, target)
    gate_factor = fixed_point(float(fine_scale / (np.float32(3) / np.float32(32768))))
    fine = operands << 7
    value = _high_half16(fine, _in_16_bits(output_factor))
    gate = fine
    if gate_factor.shift > 0:
        gate = _saturated16(gate << (gate_factor.shift - 1))
    gate = _high_half16(gate, _in_16_bits(gate_factor))
    if gate_factor.shift > 0:
        gate = _saturated16(gate << 1)
    gate = (shifted_right(gate, max(-gate_factor.shift, 0)) + 2**15) >> 1
    product = gate * value
    y = np.sign(product) * (np.abs(product) >> 15)  # towards zero
    y = shifted_right(y, max(-output_factor.shift, 0)) + target.zero_point
    return np.clip(y, INT8_MIN, INT8_MAX).astype(np.int8)


def _in_16_bits(factor: FixedPoint) -> int:
    if factor.multiplier >= 2**31 - 1 - 2**15:
        return 2**15 - 1
    return (factor.multiplier + 2**15) >> 16


def _high_half16(a: Int64Array, b: int) -> Int64Array:
    """The high half of the doubled product, halves up."""
    return (a * b + 2**14) >> 15


def _saturated16(a: Int64Array) -> Int64Array:
    return np.clip(a, -(2**15), 2**15 - 1)


def _reciprocal_square_root(source: Tensor, target: Tensor, operands: Int64Array) -> Int8Array:
    """``1 / sqrt(x)``; what is not positive becomes the largest value."""
    root = np.sqrt(np.float32(source.scale)) * np.float32(target.scale)
    factor = fixed_point(1.0 / float(root))
    y = np.full(256, INT8_MAX, np.int64)
    for k in np.flatnonzero(operands > 0):
        inverse = inverse_square_root(int(operands[k]))
        one = np.array([1], np.int64)
        value = rescaled(one, FixedPoint(inverse.multiplier, inverse.shift + 20))
        scaled = rescaled(value, FixedPoint(factor.multiplier, factor.shift - 20))
        y[k] = scaled[0] + target.zero_point
    return np.clip(y, INT8_MIN, INT8_MAX).astype(np.int8)
