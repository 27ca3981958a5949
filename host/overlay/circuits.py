# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tables as multipliers of the array: which can be, and what the array makes of weights of zero.

A skipped or unused multiplication is a weight of zero to the array, and adds nothing. Some tables
have products of zero that are not zero. Their circuits answer zero where the weight is zero, and
multiply by zero where it is -128, a value that TFLite's weights never have.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import (
    ACTIVATION_MIN,
    WEIGHT_MAX,
    WEIGHT_MIN,
    Multiplier,
    Table,
)
from axynq.emulator.multipliers.circuit import CCircuit

ZERO_WEIGHT = -128
"""What stands for zero where products with zero are not zero."""

_ZERO = -WEIGHT_MIN
"""The column of weights of zero in :attr:`Multiplier.table`."""

LIMITS = {
    "magnitudes": (0, 2**16 - 1),
    "bytes": (-(2**15), 2**15 - 1),
    "activation and weight": (-(2**16), 2**16 - 1),
}
"""Products that the array has bits for: 16, and a sign that is added; 16 with a sign; 17."""


def check_hardware(m: Table) -> None:
    """Raises:
    MultiplierError: the table is no multiplier of an array; the message says what to give.
    """
    if m.circuit is None:
        raise MultiplierError(
            f"'{m.spec}': a table is data without a circuit, and only the emulator runs it. Give "
            "the multiplier as a C function of gates (.c) or as a Verilog module (.v)"
        )
    if isinstance(m.circuit, CCircuit) and m.circuit.includes:
        raise MultiplierError(
            f"'{m.spec}' includes {', '.join(m.circuit.includes)}: hardware needs the whole "
            "function in one file"
        )
    low, high = LIMITS[m.operands]
    if int(m.values.min()) < low or int(m.values.max()) > high:
        raise MultiplierError(
            f"'{m.spec}': its products reach from {m.values.min()} to {m.values.max()}; the array "
            f"takes {low} to {high}"
        )


def zero_is_zero(m: Multiplier) -> bool:
    """Whether all products with a weight of zero are zero."""
    return not m.table[:, _ZERO].any()


def array_table(m: Multiplier) -> npt.NDArray[np.int32]:
    """What the circuit in the array computes, indexed as :attr:`Multiplier.table`."""
    if zero_is_zero(m):
        return m.table
    made = m.table.copy()
    made[:, ZERO_WEIGHT - WEIGHT_MIN] = made[:, _ZERO]
    made[:, _ZERO] = 0
    made.setflags(write=False)
    return made


def array_pairs(m: Multiplier) -> dict[str, npt.NDArray[np.int64]]:
    """All pairs of operands for which products are defined, activations outer: ``a`` and ``w`` of
    shape [N]."""
    low, high = m.activation_range
    a = np.arange(low, high + 1, dtype=np.int64)
    w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1, dtype=np.int64)
    return {"a": np.repeat(a, w.size), "w": np.tile(w, a.size)}


def array_products(m: Multiplier) -> npt.NDArray[np.int64]:
    """What the circuit in the array makes of :func:`array_pairs`, shape [N]."""
    low, high = m.activation_range
    rows = slice(low - ACTIVATION_MIN, high + 1 - ACTIVATION_MIN)
    return array_table(m)[rows].reshape(-1).astype(np.int64)


def check_products(m: Multiplier, made: npt.NDArray[np.int64], what: str) -> None:
    """Compare products with those of the emulator.

    Args:
        m: the multiplier.
        made: what was made of :func:`array_pairs`, shape [N].
        what: made it, for the error.

    Raises:
        MultiplierError: they differ; the message has the first pair of operands.
    """
    wanted = array_products(m)
    differ = np.flatnonzero(made != wanted)
    if differ.size:
        place, pairs = int(differ[0]), array_pairs(m)
        a, w = int(pairs["a"][place]), int(pairs["w"][place])
        raise MultiplierError(
            f"'{m.spec}' is not used: {what} makes {int(made[place])} of {a} x {w}, the emulator "
            f"{int(wanted[place])}; {differ.size} of {wanted.size} products differ"
        )


def array_weights(m: Multiplier, weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Weights that a multiplier multiplies by, of any shape, as its circuit takes them.

    Raises:
        MultiplierError: one is -128, which has another meaning to the circuit.
    """
    if zero_is_zero(m):
        return weights
    if (weights == ZERO_WEIGHT).any():
        raise MultiplierError(
            f"'{m.spec}' has products of zero that are not zero, so that its circuit takes a "
            f"weight of {ZERO_WEIGHT} for zero; weights have to lie in -127..127, as TFLite's do"
        )
    return np.where(weights == 0, np.int8(ZERO_WEIGHT), weights)
