# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators of an int8 ONNX network on values by themselves and in pairs.

Whatever depends on one quantised value alone, over however many operators, becomes one table of
256 results, computed in real numbers and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_drawing import Held, broadcast
from axynq.emulator.file_formats.onnx_file import Array, Node
from axynq.emulator.file_formats.onnx_formulas import UNARY, logistic
from axynq.emulator.file_formats.onnx_reading import Reading
from axynq.emulator.file_formats.onnx_values import (
    Curve,
    Fixed,
    Float32Array,
    Pending,
    Value,
    quantised,
    reals_of,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Quantisation

# --- values by themselves ------------------------------------------------------------------------


def unary(reading: Reading, node: Node) -> Value:
    """A function of each value by itself."""
    x = reading.operand(node, 0)
    if node.kind == "Relu":
        return limited(reading, x, 0.0, np.inf)
    curve = _curve(reading, x)
    with np.errstate(all="ignore"):
        reals = UNARY[node.kind](curve.reals.astype(np.float64), node)
    return replace(curve, reals=reals.astype(np.float32))


def clip(reading: Reading, node: Node) -> Value:
    """Limits, in attributes or inputs."""
    low, high = reading.limits(node)
    return limited(reading, reading.operand(node, 0), low, high)


def limited(reading: Reading, x: Value, low: float, high: float) -> Value:
    """``x`` within limits."""
    if isinstance(x, Pending):
        return x.limited(low, high)
    curve = _curve(reading, x)
    return replace(curve, reals=np.clip(curve.reals, np.float32(low), np.float32(high)))


def prelu(reading: Reading, node: Node) -> Value:
    """Negative values times a slope, of which each channel may have its own."""
    x, slope = reading.operand(node, 0), reading.operand(node, 1)
    if isinstance(slope, (np.ndarray, Fixed)):
        slopes = slope.reals if isinstance(slope, Fixed) else slope
        if slopes.size == 1:
            return _leaky(_curve(reading, x), float(slopes.reshape(-1)[0]))
    return paired(reading, node, "prelu", x, slope)


def leaky_relu(reading: Reading, node: Node, x: Value) -> Value:
    """Negative values times ``alpha``."""
    return _leaky(_curve(reading, x), float(node.attribute("alpha", 0.01)))


def _leaky(curve: Curve, slope: float) -> Curve:
    reals = np.where(curve.reals < 0, curve.reals * np.float32(slope), curve.reals)
    return replace(curve, reals=reals.astype(np.float32))


def sigmoid(reading: Reading, x: Value) -> Value:
    """The logistic function."""
    curve = _curve(reading, x)
    return replace(curve, reals=logistic(curve.reals.astype(np.float64)).astype(np.float32))


def _curve(reading: Reading, x: Value) -> Curve:
    curve = reading.curve(x)
    if curve is None:
        reading.held(x)  # says what is amiss
        raise ModelError("takes integers where a DequantizeLinear should come before")
    return curve


# --- values in pairs -----------------------------------------------------------------------------

_KINDS = {
    "Add": "add", "Sum": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide",
    "Pow": "power", "Max": "maximum", "Min": "minimum",
}  # fmt: skip

_FUNCTIONS: dict[str, Callable[[Float32Array, Float32Array], Float32Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
}


def binary(reading: Reading, node: Node) -> Value:
    """Add, Sub, Mul, Div, Pow, and Sum, Max and Min of any number of inputs."""
    kind = _KINDS[node.kind]
    x = reading.operand(node, 0)
    for position in range(1, len(node.inputs)):
        x = combined(reading, node, kind, x, reading.operand(node, position))
    return x


def combined(reading: Reading, node: Node, kind: str, x: Value, y: Value) -> Value:
    """Two values in pairs: a function of one value where both depend on the same, a bias, or an
    operator of the graph."""
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):  # of a Sum, Max or Min of several
        return np.asarray(_FUNCTIONS[kind](x, y), np.float32)
    for first, second in ((x, y), (y, x)):
        constant = isinstance(second, (np.ndarray, Fixed))
        if isinstance(first, Pending) and constant:
            assert isinstance(second, (np.ndarray, Fixed))
            number = _one_number(second)
            if kind in ("maximum", "minimum") and number is not None:
                low = number if kind == "maximum" else -np.inf
                return first.limited(low, number if kind == "minimum" else np.inf)
            if kind == "add" and first.with_bias is not None:
                biased = first.with_bias(second)
                if biased is not None:
                    return biased
    curves = [_as_curve(reading, value) for value in (x, y)]
    base = _common_base(x, y, curves)
    if base is not None:
        reals = [c.reals if isinstance(c, Curve) else c for c in curves]
        with np.errstate(all="ignore"):
            assert reals[0] is not None
            assert reals[1] is not None
            result = _FUNCTIONS[kind](reals[0], reals[1])
        return Curve(base, np.asarray(result, np.float32))
    if kind == "divide":
        if isinstance(y, np.ndarray):
            with np.errstate(all="ignore"):
                return combined(reading, node, "multiply", x, 1 / y.astype(np.float32))
        raise ModelError("divides by what is computed or quantised, which is not supported")
    if kind == "power":
        raise ModelError("has an exponent that is no constant number, which is not supported")
    named: graph.ElementwiseKind = kind  # type: ignore[assignment]
    return paired(reading, node, named, x, y)


def _one_number(value: Array | Fixed) -> float | None:
    reals = value.reals if isinstance(value, Fixed) else value
    return float(reals.reshape(-1)[0]) if reals.size == 1 else None


def _as_curve(reading: Reading, value: Value) -> Curve | Float32Array | None:
    """A function of int8 values, or one constant number."""
    if isinstance(value, (np.ndarray, Fixed)):
        number = _one_number(value)
        return None if number is None else np.full(256, number, np.float32)
    if isinstance(value, Pending):
        return None
    return reading.curve(value)


def _common_base(x: Value, y: Value, curves: list[Curve | Float32Array | None]) -> Held | None:
    """The int8 tensor that both depend on alone."""
    if any(curve is None for curve in curves):
        return None
    bases = [curve.base for curve in curves if isinstance(curve, Curve)]
    shape = broadcast(x.shape, y.shape)
    fits = bases and all(base == bases[0] for base in bases) and bases[0].shape == shape
    return bases[0] if fits else None


def paired(
    reading: Reading, node: Node, kind: graph.ElementwiseKind, x: Value, y: Value
) -> Pending:
    """An operator on two tensors, of which one may be constant."""
    shape = broadcast(x.shape, y.shape)
    computed = [v for v in (x, y) if not isinstance(v, (np.ndarray, Fixed))]
    operands = [None if isinstance(v, (np.ndarray, Fixed)) else reading.held(v) for v in (x, y)]
    drawing = reading.drawing
    ranked = []
    for value in operands:
        if value is not None:
            missing = (1,) * (len(shape) - len(value.shape))
            value = drawing.settled(drawing.reshaped(value, missing + value.shape))
        ranked.append(value)
    leader = next(
        (v for v in ranked if v is not None and v.shape == shape),
        next(v for v in ranked if v is not None),
    )
    if any(v is not None and v.images != (shape[:1] == (1,)) for v in ranked):
        raise ModelError("repeats one image for several, which is not supported")
    order = leader.order
    result = Held(-1, shape, order)
    aligned = [None if v is None else drawing.in_order(v, order).tensor for v in ranked]

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        inputs = [
            _constant(reading, value, shape, order, node) if tensor is None else tensor
            for tensor, value in zip(aligned, (x, y))
        ]
        if kind in ("maximum", "minimum"):
            inputs = [_in_quantisation(reading, i, quantisation) for i in inputs]
        output = reading.tensor(node.outputs[0], result.stored, quantisation)
        same = all(drawing.tensors[i].shape == result.stored for i in inputs)
        if kind == "add" and same and len(computed) == 2:
            drawing.append(graph.Add, "add", inputs, output, activation)
        else:
            drawing.append(graph.Elementwise, kind, inputs, output, kind, activation)
        return replace(result, tensor=output)

    for constant in (x, y):
        if isinstance(constant, (np.ndarray, Fixed)):
            _values_of(constant)  # complains now rather than when it is drawn
    return Pending(node, shape, emit, fuses=kind in ("add", "subtract", "multiply"))


def _in_quantisation(reading: Reading, tensor: int, quantisation: Quantisation) -> int:
    sketch = reading.drawing.tensors[tensor]
    if sketch.quantisation == quantisation:
        return tensor
    if tensor in reading.drawing.constants:
        values = reading.drawing.constants[tensor]
        assert sketch.quantisation is not None
        reals = reals_of(sketch.quantisation)[values.astype(np.int64) + 128]
        output = reading.tensor(sketch.name, sketch.shape, quantisation)
        reading.drawing.constants[output] = quantised(reals, quantisation)
        return output
    shape = (1, *sketch.shape)
    held = Held(tensor, shape, tuple(range(1, len(shape))))
    return reading.requantised(held, quantisation).tensor


def _values_of(value: Array | Fixed) -> tuple[graph.Int8Array, Quantisation]:
    """A constant as int8, in ONNX's shape."""
    if isinstance(value, Fixed):
        if value.scales.size != 1:
            raise ModelError("has a constant operand with a scale for each channel")
        zero = value.zero_point
        values = value.values + zero
        if value.bits > 8 or (values.size and (values.min() < -128 or values.max() > 127)):
            raise ModelError("has a constant operand that does not fit int8")
        return values.astype(np.int8), Quantisation(float(value.scales[0]), zero)
    # Numbers that are all 0 or of one magnitude need no rounding.
    reals = value.astype(np.float32)
    scale = float(np.abs(reals).max(initial=0))
    if scale == 0:
        return np.zeros(reals.shape, np.int8), Quantisation(1.0, 0)
    if not np.isfinite(scale) or not np.isin(np.abs(reals), [0.0, scale]).all():
        raise ModelError(
            "has a constant operand that is not quantised: a DequantizeLinear before it is missing"
        )
    return np.sign(reals).astype(np.int8), Quantisation(scale, 0)


def _constant(
    reading: Reading, value: Value, shape: tuple[int, ...], order: tuple[int, ...], node: Node
) -> int:
    """The tensor of a constant operand, its axes in ``order``."""
    assert isinstance(value, (np.ndarray, Fixed))
    values, quantisation = _values_of(value)
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if len(order) < len(shape):
        values = values[0].transpose([axis - 1 for axis in order])
    else:
        values = values.transpose(order)
    tensor = reading.tensor(f"{node.outputs[0]}/constant", values.shape, quantisation)
    reading.drawing.constants[tensor] = np.ascontiguousarray(values)
    return tensor
