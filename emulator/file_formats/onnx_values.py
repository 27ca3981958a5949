# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What an ONNX name stands for while an int8 network is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_drawing import Flat, Held
from axynq.emulator.file_formats.onnx_file import Array, Node
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, Activation, Int8Array, Quantisation

Float32Array = npt.NDArray[np.float32]

OPERANDS = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
"""The values of int8."""


@dataclass(frozen=True)
class Fixed:
    """A quantised constant, behind its DequantizeLinear: ``real = scale * value``."""

    values: npt.NDArray[np.signedinteger[Any]]
    """Less the zero point: int16, or int64 of a bias."""
    scales: Float32Array
    """One, or one for each index of ``axis``."""
    axis: int
    bits: int
    zero_point: int = 0
    """That the file has taken off, in int8 (or int32) terms."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def reals(self) -> Float32Array:
        """The real numbers that it stands for, as DequantizeLinear computes them."""
        scales = self.scales
        if scales.size > 1:
            scales = scales.reshape([-1 if k == self.axis else 1 for k in range(self.values.ndim)])
        reals: Float32Array = self.values.astype(np.float32) * scales
        return reals.reshape(self.values.shape)


@dataclass(frozen=True)
class Curve:
    """Real numbers that depend on one int8 value each."""

    base: Held
    reals: Float32Array
    """[256], for each int8 value."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape


Emit = Callable[[Quantisation, Activation], Held]


@dataclass(frozen=True)
class Pending:
    """The real result of an operator that is drawn when its quantisation is known."""

    node: Node
    shape: tuple[int, ...]
    emit: Emit
    """Draws the operator with that quantisation and activation of its output."""
    fuses: bool = False
    """Whether the operator has an activation of its own."""
    low: float = -np.inf
    high: float = np.inf
    """What the result is limited to."""
    after: tuple[Callable[[Held | Flat], Held | Flat], ...] = field(default=())
    """Movements of the quantised result."""
    padded: bool = False
    """Whether a movement brings in numbers that a limit would have to apply to."""
    with_bias: Callable[[Fixed | Array], Pending | None] | None = None
    """The same operator with numbers added, of a layer that has no bias; None where they are no
    number for each filter."""

    def limited(self, low: float, high: float) -> Pending:
        """The same within limits."""
        if self.padded:
            raise ModelError("limits padding that is not quantised")
        return replace(
            self,
            with_bias=None,
            low=min(max(low, self.low), self.high),
            high=max(min(high, self.high), self.low),
        )


Value: TypeAlias = "Held | Flat | Curve | Pending | Fixed | Array"
"""A computed int8 tensor (real or integers), a function of one, a result that waits for its
quantisation, a quantised constant, a constant."""


def reals_of(quantisation: Quantisation) -> Float32Array:
    """The real number of each int8 value, [256], as DequantizeLinear computes it."""
    steps = (OPERANDS - quantisation.zero_point).astype(np.float32)
    return steps * np.float32(quantisation.scale)


def quantised(reals: Array, quantisation: Quantisation) -> Int8Array:
    """int8 values of real numbers as ONNX's QuantizeLinear finds them: halves to even."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(np.asarray(reals, np.float32) / np.float32(quantisation.scale))
    steps = np.nan_to_num(np.clip(steps, np.float32(-1024), np.float32(1024)), nan=0.0)
    return np.clip(steps.astype(np.int64) + quantisation.zero_point, INT8_MIN, INT8_MAX).astype(
        np.int8
    )


def quantisation_of(scale: Array, zero_point: Array | None, unsigned: bool) -> Quantisation:
    """Of an activation, from ONNX's constants.

    Raises:
        ModelError: there are several scales, or it is none that int8 can have.
    """
    if scale.size != 1 or (zero_point is not None and zero_point.size != 1):
        raise ModelError("an activation has a scale for each channel; one for all is needed")
    number = float(np.float32(scale.reshape(-1)[0]))
    if not (np.isfinite(number) and number > 0):
        raise ModelError(f"a scale of {number} is not a positive number")
    zero = 0 if zero_point is None else int(zero_point.reshape(-1)[0])
    return Quantisation(number, zero - 128 if unsigned else zero)


def covering(reals: Array) -> Quantisation:
    """A quantisation of all numbers of a function.

    Raises:
        ModelError: some are not finite.
    """
    low, high = min(float(reals.min()), 0.0), max(float(reals.max()), 0.0)
    scale = float(np.float32((high - low) / 255 or 1.0))
    if not (np.isfinite(scale) and scale > 0):
        raise ModelError("has results that are not finite")
    return Quantisation(scale, int(np.clip(round(-128 - low / scale), -128, 127)))
