# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Families of multipliers: specifications in which ``*`` stands for any number.

``roup:*`` is every ROUP multiplier, ``roup:3,*`` those that drop three partial products,
``roup:2,0-0-*-4`` those that differ in one rounding; ``smapprox:*`` and ``smapprox:**00`` go by
digits. A multiplier that several specifications name is in a family once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.roup import DIGITS, MAX_ROUNDING, Roup
from axynq.emulator.multipliers.smapprox import CELLS

ANY = "*"

SYNTAX = "roup:*, roup:P,*, roup:P,r0-r1-r2-r3 or smapprox:WXYZ with * for any number"


def is_family(spec: str) -> bool:
    """Whether a specification names a family, not one multiplier."""
    name, _, arguments = spec.strip().partition(":")
    return name in ("roup", "smapprox") and ANY in arguments


def members(spec: str) -> tuple[str, ...]:
    """The specifications of a family's multipliers, each of another function of its operands.

    Partial products that are left out are not rounded: ``roup:3,0-0-0-4``.

    Raises:
        MultiplierError: the family is malformed.
    """
    name, _, arguments = spec.strip().partition(":")
    found = list(_roup(arguments) if name == "roup" else _smapprox(arguments))
    if not found:
        raise MultiplierError(f"'{spec}' is no family of multipliers: they are {SYNTAX}")
    return tuple(dict.fromkeys(found))


def _roup(arguments: str) -> Iterator[str]:
    if arguments == ANY:
        arguments = f"{ANY},{ANY}"
    match = re.fullmatch(r"(\d|\*),(?:(\*)|(\d|\*)-(\d|\*)-(\d|\*)-(\d|\*))", arguments)
    if match is None:
        return
    perforations = _numbers(match[1], DIGITS - 1)
    given = [ANY] * DIGITS if match[2] else match.groups()[2:]
    roundings = [_numbers(text, MAX_ROUNDING) for text in given]
    if not all(roundings):
        return
    for dropped in perforations:
        kept = [(0,)] * dropped + [tuple(choices) for choices in roundings[dropped:]]
        for r0, r1, r2, r3 in itertools.product(*kept):
            yield Roup(dropped, (r0, r1, r2, r3)).spec


def _smapprox(arguments: str) -> Iterator[str]:
    digits = ANY * 4 if arguments == ANY else arguments
    if not re.fullmatch(r"[\d*]{4}", digits):
        return
    for chosen in itertools.product(*(_numbers(digit, len(CELLS) - 1) for digit in digits)):
        yield f"smapprox:{''.join(map(str, chosen))}"


def _numbers(text: str, largest: int) -> Sequence[int]:
    """What a number or ``*`` stands for; nothing where it is too large."""
    return [k for k in range(largest + 1) if text in (ANY, str(k))]
