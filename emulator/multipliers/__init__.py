# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Multiplier families. :func:`multiplier` turns a specification into a multiplier."""

from __future__ import annotations

from functools import cache

from axynq.emulator.errors import MultiplierError, nearest
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
    """The multiplier of a specification.

    Args:
        spec: ``exact``, ``roup:P,R``, ``roup:P,r0-r1-r2-r3``, ``smapprox:WXYZ`` or
            ``table:FILE#NAME`` (``docs/plans.md`` describes them all). A table may be followed by
            options, ``,signed``, ``,unsigned``, ``,activation=first`` or ``,activation=second``,
            and its path may be in double quotes.

    Raises:
        MultiplierError: the specification is malformed, or its table cannot be used.
        ToolError: the table is a Verilog module, and Yosys is not installed.

    Examples:
        >>> int(multiplier("smapprox:2222").product(7, -7))  # exact: -49
        -9
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
    if not text:
        raise MultiplierError(f"a multiplier is missing, before or after a |. Known forms: {forms}")
    close = nearest(family, FAMILIES)
    raise MultiplierError(f"unknown multiplier '{text}'.{close} Known forms: {forms}")


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
