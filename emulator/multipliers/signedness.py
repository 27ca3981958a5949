# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Whether a table holds products of magnitudes or of two's complement bytes.

Libraries do not say it in one way: signed multipliers are also declared with unsigned types. A
multiplier is near its exact product, and the two products are far from each other, so the table
itself is the best witness. Its name and its declared types are the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import MultiplierError

IntTable = npt.NDArray[np.int64]

_MAGNITUDES = np.arange(256, dtype=np.int64)
_BYTES = _MAGNITUDES.astype(np.int8).astype(np.int64)

CLEAR = 1.5
"""How many times nearer one product must be than the other. Of 49 multipliers of EvoApproxLib the
least clear is twice as near."""

NEAR = 0.5
"""Mean error over mean product below which a table may be meant for an operand format."""

_NAME = re.compile(r"mul8(?:x8)?([su])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Interpretation:
    """What a table's entries are."""

    signed: bool
    values: IntTable
    """[256, 256], the products themselves: entries that had wrapped around are put right."""
    reason: str
    """What says so."""


def named_signedness(name: str) -> bool | None:
    """What the name of a multiplier says: ``mul8s`` is signed, ``mul8u`` unsigned, others None."""
    found = _NAME.match(name)
    return None if found is None else found[1].lower() == "s"


def interpret(
    of_magnitudes: IntTable,
    of_bytes: IntTable,
    what: str,
    given: bool | None = None,
    named: bool | None = None,
    declared: bool | None = None,
) -> Interpretation:
    """Decide what the entries of a table are.

    Args:
        of_magnitudes: products as they are for operands 0 to 255.
        of_bytes: products as they are for operands -128 to 127, indexed by their bytes. The same
            table, unless a function takes operands of more than eight bits.
        what: names the table in errors.
        given: what the user says; nothing else counts then.
        named: what the name says.
        declared: what the declared types say, where they say something.

    Raises:
        MultiplierError: the witnesses contradict each other, or say nothing.
    """
    unsigned_error, unsigned_values = _nearest(of_magnitudes, False)
    signed_error, signed_values = _nearest(of_bytes, True)

    def outcome(signed: bool, reason: str) -> Interpretation:
        return Interpretation(signed, signed_values if signed else unsigned_values, reason)

    if given is not None:
        return outcome(given, "as given")
    stated = named if named is not None else declared
    witness = "its name" if named is not None else "its declared type"
    if max(unsigned_error, signed_error) > NEAR:  # else it is defined for either
        for signed, error, other in (
            (True, signed_error, unsigned_error),
            (False, unsigned_error, signed_error),
        ):
            if CLEAR * error <= other:
                if stated not in (None, signed):
                    raise MultiplierError(
                        f"'{what}' is {_word(not signed)} by {witness}, but its products are "
                        f"{_word(signed)}: {_HOW}"
                    )
                return outcome(signed, "by its products" + (stated is not None) * f" and {witness}")
        if named is None and not declared:
            stated = None  # anything may be declared unsigned
    if stated is None:
        raise MultiplierError(
            f"'{what}': its products are not near enough to those of magnitudes or of two's "
            f"complement bytes to tell which it multiplies. If it multiplies 8 by 8 bits, {_HOW}"
        )
    return outcome(stated, f"by {witness}")


_HOW = "say which it is: write ',signed' or ',unsigned' behind the specification"


def _word(signed: bool) -> str:
    return "signed" if signed else "unsigned"


def _nearest(table: IntTable, signed: bool) -> tuple[float, IntTable]:
    """The mean error over the mean product, and the table as it is nearest to the exact product:
    with the entries as they are, or with those put right that a type of 16 or 32 bits wrapped."""
    operands = _BYTES if signed else _MAGNITUDES
    exact = np.outer(operands, operands)
    candidates = [table]
    for bits in (16, 32):
        turn = 1 << bits
        if table.min() >= -turn // 2 and table.max() < turn:
            edge = turn // 2 if signed else turn
            wrapped = table % turn
            candidates.append(np.where(wrapped >= edge, wrapped - turn, wrapped))
    errors = [
        float(np.abs(c - exact.astype(float)).mean() / np.abs(exact).mean()) for c in candidates
    ]
    best = int(np.argmin(errors))
    return errors[best], candidates[best]
