# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The interface of all multipliers: a function of an activation and a weight operand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import MultiplierError

ACTIVATION_MIN, ACTIVATION_MAX = -255, 255
"""Range of the activation operand ``a = x - zero_point`` (9-bit signed)."""

WEIGHT_MIN, WEIGHT_MAX = -128, 127
"""Range of the weight operand (int8)."""

IntArray = npt.NDArray[np.integer[Any]]


def check_range(low: int, high: int) -> None:
    """Check a range of operands, both ends included.

    Raises:
        MultiplierError: it is empty.
    """
    if low > high:
        raise MultiplierError(f"the range {low}:{high} is empty: LOW must not exceed HIGH")


@dataclass(frozen=True)
class ErrorMetrics:
    """Errors of a multiplier relative to the exact product, over ranges of both operands.

    The error of one pair of operands is ``product(a, w) - a * w``.
    """

    mean_relative_error: float
    """Mean of ``|error| / max(1, |a * w|)``, in percent (eq. 2 of the error-modelling paper)."""
    mean_error: float
    """Mean of the signed error: the bias."""
    mean_absolute_error: float
    """Mean of ``|error|``."""
    worst_case_error: int
    """Largest ``|error|``."""
    error_probability: float
    """Share of operand pairs with a wrong product, 0 to 1."""
    standard_deviation: float
    """Standard deviation of the signed error."""


class Multiplier(ABC):
    """An approximate (or exact) multiplier, defined on the whole operand domain.

    :func:`multiplier` makes one from a specification. Two multipliers are equal if all their
    products are: ``roup:1,4`` equals ``roup:1,0-2-0-0``.

    Examples:
        >>> m = multiplier("roup:1,4")
        >>> int(m.product(100, 37))
        3600
        >>> m.product([1, 2, 3], -5).dtype
        dtype('int32')
        >>> round(m.mean_relative_error(0, 127), 2)  # percent
        4.87
    """

    SYNTAX: ClassVar[str]
    """How specifications of the family are written, for messages."""

    spec: str
    """The specification from which :func:`axynq.emulator.multiplier` makes this multiplier."""

    activation_range: tuple[int, int] = (ACTIVATION_MIN, ACTIVATION_MAX)
    """Lowest and highest activation operand with a defined product: (-255, 255), except for signed
    tables, which have (-128, 127)."""

    @classmethod
    def parse(cls, arguments: str) -> Multiplier:
        """The multiplier whose specification has ``arguments`` behind the colon.

        Raises:
            MultiplierError: they are malformed.
        """
        raise NotImplementedError

    @abstractmethod
    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        """Products of int64 operands by the multiplier's definition, without range checks.

        ``a`` and ``w`` broadcast against each other.
        """

    @cached_property
    def table(self) -> npt.NDArray[np.int32]:
        """All products, int32 of shape [511, 256]: ``table[a + 255, w + 128]``.

        Rows outside :attr:`activation_range` are zero.
        """
        low, high = self.activation_range
        a = np.arange(low, high + 1, dtype=np.int64)[:, None]
        w = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1, dtype=np.int64)[None, :]
        table = np.zeros((ACTIVATION_MAX - ACTIVATION_MIN + 1, w.size), np.int32)
        table[low - ACTIVATION_MIN : high - ACTIVATION_MIN + 1] = self.compute(a, w)
        table.setflags(write=False)
        return table

    def product(self, a: npt.ArrayLike, w: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Approximate products.

        Args:
            a: activation operands, integers of any type in -255..255 (:attr:`activation_range`).
            w: weight operands, integers of any type in -128..127.

        Returns:
            int32 products, in the shape to which ``a`` and ``w`` broadcast.

        Raises:
            MultiplierError: an operand is not an integer or is outside its range.
        """
        low, high = self.activation_range
        a = _checked(a, low, high, f"activation operand of {self.spec}")
        w = _checked(w, WEIGHT_MIN, WEIGHT_MAX, f"weight operand of {self.spec}")
        return self.table[a - ACTIVATION_MIN, w - WEIGHT_MIN]

    def mean_relative_error(self, low: int, high: int) -> float:
        """Mean relative error, as the literature gives it.

        Args:
            low: the lowest value of both operands.
            high: their highest value, included.

        Returns:
            The mean of ``|product(a, w) - a * w| / max(1, |a * w|)`` over all ``a`` and ``w`` in
                the range, in percent.

        Raises:
            MultiplierError: the range is empty, or exceeds that of an operand.
        """
        return self.error_metrics((low, high), (low, high)).mean_relative_error

    def error_metrics(
        self, activations: tuple[int, int] | None = None, weights: tuple[int, int] | None = None
    ) -> ErrorMetrics:
        """Errors relative to the exact product.

        Args:
            activations: lowest and highest activation operand, both included; None: all.
            weights: lowest and highest weight operand, both included; None: all.

        Raises:
            MultiplierError: a range is empty, or exceeds that of the operand.
        """
        a_low, a_high = activations or self.activation_range
        w_low, w_high = weights or (WEIGHT_MIN, WEIGHT_MAX)
        check_range(a_low, a_high)
        check_range(w_low, w_high)
        a = np.arange(a_low, a_high + 1, dtype=np.int64)[:, None]
        w = np.arange(w_low, w_high + 1, dtype=np.int64)[None, :]
        exact = a * w
        error = self.product(a, w).astype(np.int64) - exact
        magnitude = np.abs(error)
        return ErrorMetrics(
            mean_relative_error=float(100 * (magnitude / np.maximum(1, np.abs(exact))).mean()),
            mean_error=float(error.mean()),
            mean_absolute_error=float(magnitude.mean()),
            worst_case_error=int(magnitude.max()),
            error_probability=float((error != 0).mean()),
            standard_deviation=float(error.std()),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Multiplier):
            return NotImplemented
        if self is other:
            return True
        return self._hash == other._hash and bool(np.array_equal(self.table, other.table))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.activation_range, self.table.tobytes()))

    def __getstate__(self) -> dict[str, Any]:
        """Without what is derived from the rest: hashes of bytes differ from process to process."""
        derived = ("table", "_hash")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    def __repr__(self) -> str:
        return f"multiplier({self.spec!r})"


FAMILIES: dict[str, type[Multiplier]] = {}
"""By the names that specifications begin with. :func:`family` enters them."""

_Family = TypeVar("_Family", bound=type[Multiplier])


def family(name: str) -> Callable[[_Family], _Family]:
    """Makes a class what specifications of this name are parsed by."""

    def enter(made: _Family) -> _Family:
        FAMILIES[name] = made
        return made

    return enter


def _checked(values: npt.ArrayLike, low: int, high: int, what: str) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise MultiplierError(f"{what} must be an integer, not {array.dtype}")
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise MultiplierError(
            f"{what} must lie in {low}..{high}, not {int(array.min())}..{int(array.max())}"
        )
    return array.astype(np.int64)
