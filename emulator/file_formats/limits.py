# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How large operators may be, whatever the file's format: what engines hold in memory, and what the
contract's integers hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from axynq.emulator.errors import ModelError
from axynq.emulator.softmax import MOST_CLASSES, SMALLEST_STEP

MOST_VALUES = 2**28
"""Of an image's feature map, its padding included, which engines may hold in memory."""

MOST_POSITIONS = 2**23
"""Of a window that is summed, each -255 .. 255."""

LONGEST_VECTOR = 2**15
"""Values of a vector whose squares, each up to 255 * 255, are summed in 32 bits."""


def require_moderate_size(shape: Sequence[int]) -> None:
    """Raises:
    ModelError: a feature map with its padding is larger than :data:`MOST_VALUES`.
    """
    if math.prod(shape) > MOST_VALUES:
        raise ModelError(
            f"with its padding the input has {' x '.join(map(str, shape))} values; {MOST_VALUES} "
            "at most are supported: is its window or dilation meant to be so large?"
        )


def require_sum_in_32_bits(positions: int) -> None:
    """Raises:
    ModelError: a window or axes that are summed have more than :data:`MOST_POSITIONS`.
    """
    if positions > MOST_POSITIONS:
        raise ModelError(
            f"the sum of {positions} positions may leave 32 bits; {MOST_POSITIONS} at most are "
            "supported"
        )


def require_softmax(classes: int, scale: float, beta: float = 1.0) -> None:
    """Raises:
    ModelError: a softmax over so many values of that scale leaves the contract's fixed point.
    """
    if not SMALLEST_STEP < beta * scale < math.inf:
        raise ModelError(f"beta {beta} times input scale {scale} must be above {SMALLEST_STEP:.2g}")
    if classes > MOST_CLASSES:
        raise ModelError(f"over {classes} values; {MOST_CLASSES} at most are supported")


def require_vector(values: int) -> None:
    """Raises:
    ModelError: a vector that is divided by its length has more than :data:`LONGEST_VECTOR` values.
    """
    if values > LONGEST_VECTOR:
        raise ModelError(f"over {values} values; {LONGEST_VECTOR} at most are supported")
