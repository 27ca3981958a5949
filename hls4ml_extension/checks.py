# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Whether a layer can have the multipliers that it is to have."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from axynq.emulator.errors import ModelError, MultiplierError, PlanError
from axynq.emulator.multipliers import (
    ACTIVATION_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    Exact,
    Multiplier,
    Table,
    multiplier,
)
from axynq.emulator.plan import LayerCodes
from axynq.hls4ml.fixed_point import fraction, is_fixed_point, value_range
from axynq.hls4ml.layers import DEPTHWISE, kernel, kernel_shape
from axynq.host.overlay.circuits import ZERO_WEIGHT, check_hardware, zero_is_zero

STRATEGIES = ("latency", "resource")

_PASSING = ("Clone", "Repack", "Reshape", "Transpose", "ZeroPadding1D", "ZeroPadding2D")
"""Layers that give on the values they get."""

_ACTIVATION_LOW = -256
"""The smallest activation of 9 bits; :mod:`axynq.hls4ml.cpp` makes -255 of it."""


def is_exact(m: Multiplier) -> bool:
    """Whether all products are exact: then -256 times a weight is defined too."""
    return m == multiplier("exact")


def check_strategy(node: Any) -> None:
    """How the layer is computed.

    Raises:
        ModelError: in a way that has no place for other multipliers.
    """
    strategy = str(node.get_attr("strategy", "latency")).lower()
    if strategy not in STRATEGIES:
        raise ModelError(
            f"layer '{node.name}': multipliers go with the strategies {' and '.join(STRATEGIES)}, "
            f"not with {strategy}"
        )


def check_layer(node: Any) -> None:
    """The layer's form.

    Raises:
        ModelError: its operands have more bits than the multipliers take, or hls4ml computes it in
            a way that has no place for other multipliers.
    """
    name = node.name
    check_strategy(node)
    if (reuse := int(node.get_attr("reuse_factor", 1))) < 1:
        raise ModelError(f"layer '{name}': the reuse factor is a positive integer, not {reuse}")
    if node.model.config.get_compression(node):
        raise ModelError(f"layer '{name}': compressed weights cannot have multipliers")
    if node.get_attr("data_format", "channels_last") != "channels_last":
        raise ModelError(f"layer '{name}': multipliers need the data format channels_last")
    if node.class_name in DEPTHWISE and node.get_attr("n_filt") != node.get_attr("n_chan"):
        raise ModelError(f"layer '{name}': hls4ml has no depth multiplier other than 1 here")
    if node.get_weights("weight").data.size != math.prod(kernel_shape(node)):
        raise ModelError(f"layer '{name}': hls4ml has no groups of channels")
    data = node.get_input_variable().type.precision
    weight = node.get_weights("weight").type.precision
    if str(data) == str(weight) == "uint<1>":
        raise ModelError(f"layer '{name}': hls4ml takes inputs and weights of ap_uint<1> for signs")
    inputs, weights = ("inputs", "9 bits, or 8 unsigned"), ("weights", "8 bits, or 7 unsigned")
    _check_range(node, inputs, data, _ACTIVATION_LOW, ACTIVATION_MAX)
    _check_range(node, weights, weight, WEIGHT_MIN, WEIGHT_MAX)


def _check_range(node: Any, operand: tuple[str, str], precision: Any, low: int, high: int) -> None:
    name, (what, bits) = node.name, operand
    if not is_fixed_point(precision):
        raise ModelError(
            f"layer '{name}': multipliers take integers and fixed-point numbers, but its {what} "
            f"are {precision}"
        )
    lowest, highest = value_range(precision)
    if lowest < low or highest > high:
        raise ModelError(
            f"layer '{name}': multipliers take {what} of {bits}, but these are {precision}: "
            f"give such a type in the configuration, {_entry(node, what)}"
        )


def _entry(node: Any, what: str) -> str:
    """Where the configuration says the type of an operand."""
    if what == "weights":
        return f'["LayerName"]["{node.name}"]["Precision"]["weight"]'
    before = node.get_input_node()
    while before.class_name in _PASSING and before.get_input_node() is not None:
        before = before.get_input_node()
    return f'["LayerName"]["{before.name}"]["Precision"]["result"]'


def check_codes(node: Any, codes: LayerCodes) -> None:
    """The layer's multipliers.

    Raises:
        PlanError: one of them cannot be in hardware, or does not take the layer's operands.
    """
    low, high = value_range(node.get_input_variable().type.precision)
    low = max(low, -ACTIVATION_MAX)
    for number, m in enumerate(codes.multipliers, start=1):
        if isinstance(m, Table):
            try:
                check_hardware(m)
            except MultiplierError as error:
                raise PlanError(f"layer '{node.name}': {error}") from error
        if low < m.activation_range[0] or high > m.activation_range[1]:
            raise PlanError(
                f"layer '{node.name}': inputs span {low}..{high}, but the signed table '{m.spec}' "
                f"covers {m.activation_range[0]}..{m.activation_range[1]} only"
            )
        if not zero_is_zero(m) and (kernel(node)[codes.codes == number] == ZERO_WEIGHT).any():
            raise PlanError(
                f"layer '{node.name}': '{m.spec}' in hardware has no products of {ZERO_WEIGHT}, "
                "which is among the weights: give these another multiplier"
            )


def check_multiplier(node: Any, m: Multiplier) -> None:
    """One multiplier for any weights of the layer.

    Raises:
        PlanError: as of :func:`check_codes`.
    """
    check_codes(node, LayerCodes((m,), np.ones(kernel_shape(node), np.uint8)))


def warn_of_overflow(node: Any, codes: LayerCodes) -> None:
    """Say so where sums of exact products fit the layer's accumulator, and those of approximate
    ones may not."""
    if all(isinstance(m, Exact) for m in codes.multipliers):
        return
    data = node.get_input_variable().type.precision
    weight = node.get_weights("weight").type.precision
    accum = node.types["accum_t"].precision
    if not is_fixed_point(accum):
        return
    (a_low, a_high), (w_low, w_high) = value_range(data), value_range(weight)
    rows = slice(max(a_low, -255) + 255, a_high + 256)
    columns = slice(w_low + 128, w_high + 129)
    largest = max(int(np.abs(m.table[rows, columns]).max()) for m in codes.multipliers)
    exact = max(abs(a * w) for a in (a_low, a_high) for w in (w_low, w_high))
    taps = int(np.prod(kernel_shape(node)[1:]))
    bias = float(np.abs(node.get_weights("bias").data).max())
    unit = 2.0 ** -(fraction(data) + fraction(weight))
    limit = (value_range(accum)[1] + 1) * 2.0 ** -fraction(accum)
    if taps * exact * unit + bias <= limit < taps * largest * unit + bias:
        warnings.warn(
            f"layer '{node.name}': its accumulator, {accum}, may overflow: products reach "
            f"{largest}, exact ones {exact} (in units of the last bit)",
            stacklevel=2,
        )
