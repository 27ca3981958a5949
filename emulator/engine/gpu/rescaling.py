# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The requantisation in PyTorch's 64-bit integers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from axynq.emulator.model.fixed_point import FixedPoint


def factor_table(factors: Sequence[FixedPoint], device: torch.device) -> Tensor:
    """int64 [4, factors]: significands, left shifts, right shifts, and the halves that are added
    before the latter."""
    rows = [
        (f.multiplier, max(f.shift, 0), max(-f.shift, 0), (1 << max(-f.shift, 0)) >> 1)
        for f in factors
    ]
    return torch.tensor(rows, dtype=torch.int64, device=device).T.contiguous()


def rescaled(values: Tensor, factors: Tensor) -> Tensor:
    """int32 values, held in int64 [..., factors or any], times factors of :func:`factor_table`, as
    the numeric contract has it."""
    multiplier, left, right, half = factors
    widened = (values << left).clamp(-(2**31), 2**31 - 1)
    high = (widened * multiplier + (1 << 30)) >> 31
    magnitude = (high.abs() + half) >> right
    return torch.where(high < 0, -magnitude, magnitude)


def bounded(values: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """int8 values of steps of a quantisation."""
    return (values + zero_point).clamp(low, high).to(torch.int8)
