"""Multiplier families. :func:`multiplier` turns a specification into a multiplier."""

from __future__ import annotations

from functools import cache

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    FAMILIES,
    WEIGHT_MAX,
    WEIGHT_MIN,
    ErrorMetrics,
    Multiplier,
)
from axynq.emulator.multipliers.exact import Exact
from axynq.emulator.multipliers.families import is_family, members
from axynq.emulator.multipliers.roup import Roup
from axynq.emulator.multipliers.smapprox import SMApprox
from axynq.emulator.multipliers.specification import split_multipliers
from axynq.emulator.multipliers.table import Table

SMAPPROX_TABLE_2 = ("1100", "2200", "3300", "1110", "3330", "2220", "3333", "2222")
"""Digits of the eight SMApprox multipliers in Table 2 of the error-modelling paper."""


def multiplier(spec: str) -> Multiplier:
    """The multiplier that ``spec`` names.

    ``exact`` · ``roup:P,R`` · ``roup:P,r0-r1-r2-r3`` · ``smapprox:WXYZ`` · ``table:FILE#NAME``,
    the last with options and in quotes if need be (:mod:`axynq.emulator.multipliers.table`).

    Raises:
        MultiplierError: the specification is malformed or its table cannot be used.
    """
    family, _, arguments = spec.strip().partition(":")
    if family == "table":  # files may change: never cached
        return Table.parse(arguments)
    if is_family(spec):
        raise MultiplierError(
            f"'{spec.strip()}' is a family, and here a single multiplier is needed: families are "
            "for `axynq explore`"
        )
    return _built_in(family, arguments)


@cache
def _built_in(family: str, arguments: str) -> Multiplier:
    if family in FAMILIES:
        return FAMILIES[family].parse(arguments)
    text = f"{family}:{arguments}" if arguments else family
    forms = "; ".join(known.SYNTAX for known in FAMILIES.values())
    raise MultiplierError(f"unknown multiplier '{text}'. Known forms: {forms}")


__all__ = [
    "ACTIVATION_MAX",
    "ACTIVATION_MIN",
    "FAMILIES",
    "SMAPPROX_TABLE_2",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "ErrorMetrics",
    "Exact",
    "Multiplier",
    "Roup",
    "SMApprox",
    "Table",
    "is_family",
    "members",
    "multiplier",
    "split_multipliers",
]
