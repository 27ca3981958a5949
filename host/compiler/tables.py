"""Tables of a phase: the operands of an addition rescaled, and the factors of averages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from axynq.emulator.model.fixed_point import FixedPoint, rescaled
from axynq.emulator.model.quantisation import ADD_LEFT_SHIFT
from axynq.host.isa import TABLE_ENTRIES

Table = npt.NDArray[np.int32]


def addition_tables(
    computed_zero_point: int, computed: FixedPoint, operand_zero_point: int, operand: FixedPoint
) -> Table:
    """Both operands of an addition, brought to one scale, for each byte: int32 [2, 256]."""
    return np.stack(
        [
            _operand_table(computed_zero_point, computed),
            _operand_table(operand_zero_point, operand),
        ]
    )


def _operand_table(zero_point: int, factor: FixedPoint) -> Table:
    values = np.arange(TABLE_ENTRIES, dtype=np.uint8).view(np.int8).astype(np.int64)
    return rescaled((values - zero_point) << ADD_LEFT_SHIFT, factor).astype(np.int32)


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
