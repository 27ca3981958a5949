# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tables of a phase: the operands of an addition rescaled, and the factors of averages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine import operators
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint, rescaled
from axynq.emulator.model.quantisation import ADD_LEFT_SHIFT
from axynq.host.compiler.tabulated import Tabulated
from axynq.host.isa import TABLE_ENTRIES

Table = npt.NDArray[np.int32]


def operand_table(zero_point: int, factor: FixedPoint) -> Table:
    """An operand of an addition, brought to the scale of both, for each byte: int32 [256]."""
    values = _bytes().astype(np.int64)
    return rescaled((values - zero_point) << ADD_LEFT_SHIFT, factor).astype(np.int32)


def lookup_table(model: graph.Model, together: Tabulated) -> Table:
    """What operators by value make of each byte, and zeros: int32 [2, 256]."""
    table = np.zeros((2, TABLE_ENTRIES), np.int32)
    table[0] = _by_value(model, together)
    return table


def _by_value(model: graph.Model, together: Tabulated) -> graph.Int8Array:
    """What operators by value make of each byte, int8 [256]: they are applied to all of them."""
    tensors = list(model.tensors)
    seen = (index for op in together.operators for index in (*op.inputs, op.output))
    for index in {together.root, *seen}:
        tensors[index] = replace(tensors[index], shape=(TABLE_ENTRIES,))
    values = {together.root: _bytes()[None]}
    for op in together.operators:
        for index in op.inputs:
            if index in model.constants:
                constant = model.constants[index].reshape(-1)[0]
                values[index] = np.broadcast_to(constant, (1, TABLE_ENTRIES))
    constants = {index: each[0] for index, each in values.items() if index in model.constants}
    small = replace(model, tensors=tuple(tensors), constants=constants)
    for op in together.operators:
        values[op.output] = operators.compute(small, op, [values[index] for index in op.inputs])
    return values[together.operators[-1].output].reshape(-1)


def _bytes() -> graph.Int8Array:
    """All of them, as the tables count them."""
    return np.arange(TABLE_ENTRIES, dtype=np.uint8).view(np.int8)


def average_table() -> Table:
    """For each count of positions what divides by twice it: int32 [2, 256], the first unused.

    The core forms ``floor(n * factor / 2**31)``. A factor exceeds ``2**31 / (2 * count)`` by less
    than one and ``n`` is below 2**16, so that is ``floor(n / (2 * count))``.
    """
    counts = np.arange(1, TABLE_ENTRIES, dtype=np.int64)
    factors = np.zeros((2, TABLE_ENTRIES), np.int32)
    factors[1, 1:] = -(-(2**31) // (2 * counts))
    return factors


def average_factor(count: int) -> FixedPoint:
    """What divides by twice ``count``, where all windows have as many positions.

    The core forms ``floor(n * multiplier / 2**31) >> -shift``, with all bits of a multiplier, so
    that it is exact for as many positions as a window can have.
    """
    right = (2 * count).bit_length() - 1
    multiplier = -(-(2 ** (31 + right)) // (2 * count))
    if multiplier == 2**31:
        return FixedPoint(2**30, 1 - right)
    return FixedPoint(multiplier, -right)
