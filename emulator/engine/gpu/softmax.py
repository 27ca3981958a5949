# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The softmax and its relatives in PyTorch's 64-bit integers: module ``softmax`` for tensors on a
device, whose constants and table these are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from axynq.emulator import softmax as shared
from axynq.emulator.engine.gpu.rescaling import rescaled
from axynq.emulator.model.fixed_point import FixedPoint, fixed_point, significand_and_shift

_MIDDLE = shared.EXPONENT_BITS
_FURTHEST = (2**_MIDDLE - 1) << (31 - _MIDDLE)


class SoftmaxTables(NamedTuple):
    """What depends on the input's scale."""

    exponentials: Tensor
    """int64 [256], by how far a value is below the largest."""
    factor: FixedPoint
    """From steps to exponents."""
    inverse: FixedPoint
    """From exponents to steps."""

    @classmethod
    def of(cls, step: float, device: torch.device) -> SoftmaxTables:
        """Tables for an exponent of ``step`` for each step of the input."""
        exponentials = torch.from_numpy(shared.exponentials(step).copy()).to(device)
        largest = min(step * 2.0 ** (31 - _MIDDLE), float(shared.ONE))
        factor = significand_and_shift(largest)
        inverse = fixed_point(2.0 ** (31 - factor.shift) / factor.multiplier)
        return cls(exponentials, factor, inverse)


def softmax(tables: SoftmaxTables, x: Tensor) -> Tensor:
    """As :func:`axynq.emulator.softmax.softmax`."""
    e = tables.exponentials[_below_maximum(x)]
    total = _shifted_right(e, shared.SUM_BITS).sum(dim=-1, keepdim=True)
    digits = _digits(total)
    y = _shifted_right(_high(_reciprocal(total << (32 - digits)), e), digits + 3) - 128
    return y.clamp(max=127).to(torch.int8)


def log_softmax(tables: SoftmaxTables, x: Tensor) -> Tensor:
    """As :func:`axynq.emulator.softmax.log_softmax`."""
    multiplier, left = tables.factor
    below = _below_maximum(x)
    total = _shifted_right(tables.exponentials[below], shared.SUM_BITS).sum(dim=-1, keepdim=True)
    logarithm = _logarithm(total)
    furthest = _FURTHEST >> left
    bound = _times(logarithm - 2**31, tables.inverse).clamp(min=-furthest - 1)
    exponents = _high(-below.clamp(max=furthest) << left, multiplier)
    y = _shifted_right(exponents - logarithm, 31 - _MIDDLE - shared.LOGARITHM_BITS) + 127
    return torch.where(-below > bound, y, -128).clamp(-128, 127).to(torch.int8)


def l2_normalised(zero_point: int, x: Tensor) -> Tensor:
    """As :func:`axynq.emulator.softmax.l2_normalised`."""
    a = x.to(torch.int64) - zero_point
    multiplier, shift = _inverse_square_root((a * a).sum(dim=-1, keepdim=True), a.shape[-1])
    shift = shift + 7
    right = (-shift).clamp(min=0)
    factors = [multiplier, shift.clamp(min=0), right, (1 << right) >> 1]
    y = rescaled(a, torch.stack(factors))
    return y.clamp(-128, 127).to(torch.int8)


def _below_maximum(x: Tensor) -> Tensor:
    wide = x.to(torch.int64)
    return wide.amax(dim=-1, keepdim=True) - wide


def _times(values: Tensor, factor: FixedPoint) -> Tensor:
    left, right = max(factor.shift, 0), max(-factor.shift, 0)
    widened = (values << left).clamp(-(2**31), 2**31 - 1)
    return _shifted_right(_high(widened, factor.multiplier), right)


def _high(a: Tensor, b: Tensor | int) -> Tensor:
    """The high half of the doubled product of int32 values, halves up."""
    return (a * b + (1 << 30)) >> 31


def _shifted_right(values: Tensor, times: Tensor | int) -> Tensor:
    """``values / 2**times``, halves away from zero."""
    half = (1 << times) >> 1
    return torch.sign(values) * ((values.abs() + half) >> times)


def _digits(values: Tensor) -> Tensor:
    """Binary digits of numbers that are not negative and below 2**53."""
    return torch.frexp(values.double())[1].to(torch.int64)


def _reciprocal(a: Tensor) -> Tensor:
    half = a >> 1
    x = 1515870810 + _high(half, -1010580540)
    for _ in range(3):
        x = x + (_high(x, (1 << 29) - _high(half, x)) << 2)
    return (x << 1).clamp(max=shared.ONE)


def _logarithm(a: Tensor) -> Tensor:
    bits = shared.EXPONENT_BITS + 1
    unit, quarter = 31 - bits, 1 << (29 - bits)
    zeros = 32 - _digits(a)
    lower = _saturated(_high(a << (zeros - 1), shared.HALF_ROOT_OF_TWO) << 1)
    lower_power = ((shared.SUM_BITS - zeros) << unit) + quarter
    headroom = 31 - _digits(_high(a, shared.HALF_ROOT_OF_TWO))
    upper = _saturated(a << headroom)
    upper_power = ((shared.SUM_BITS - headroom) << unit) - quarter
    r, power = torch.minimum(lower, upper), torch.maximum(lower_power, upper_power)
    middle = (r + shared.FOURTH_ROOT_OF_HALF + 1) >> 1
    q = 2 * (r - shared.FOURTH_ROOT_OF_HALF)
    square = _high(q, q)
    above = _high(q, r) + _high(_high(q, square), 117049297)
    below = _high(middle, 1057819769 + q + _high(square, 127690142)) + _high(q, 638450708)
    quotient = _high(_shifted_right(above, bits), _reciprocal(below + 2**31))
    return _saturated((_high(power, shared.LOGARITHM_OF_TWO) + quotient) << 1)


def _saturated(a: Tensor) -> Tensor:
    return a.clamp(-shared.ONE - 1, shared.ONE)


def _inverse_square_root(value: Tensor, terms: int) -> tuple[Tensor, Tensor]:
    """Significands and shifts of ``1 / sqrt(value)``, of sums of so many squares."""
    small = value <= 1
    right = torch.full_like(value, 11)
    for _ in range(max(0, (terms * 255**2).bit_length() - 28)):
        large = value >= 1 << 29
        value = torch.where(large, value >> 2, value)
        right = right + large
    pairs = (31 - _digits(value)) // 2 - 1
    right = right - pairs
    half_input = ((value << 2 * pairs >> 1) + 1) >> 1
    x = torch.full_like(value, 1 << 28)
    for _ in range(5):
        cube = _high(_high(x, x), x) << 6
        x = (_high(x, (1 << 28) + (1 << 27)) - _high(half_input, cube)) << 3
    multiplier = _high(x, shared.HALF_ROOT_OF_TWO) << (-right).clamp(min=0)
    return (
        torch.where(small, 2**31 - 1, multiplier),
        torch.where(small, 0, -right.clamp(min=0)),
    )
