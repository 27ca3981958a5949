# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The C++ functors of the multipliers, in ``hls/include/axynq/multipliers``: one table of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import Exact, Multiplier, Roup, SMApprox, Table
from axynq.host.overlay.naming import module_name


class Functor(NamedTuple):
    """A functor ``axynq::NAME`` in the header ``axynq/multipliers/NAME.hpp``."""

    name: str
    arguments: Callable[[Any], tuple[int | str, ...]] = lambda m: ()
    """Template arguments of a multiplier."""
    netlist: bool = False
    """Whether :mod:`axynq.host.netlists` has netlists of the family, which Vitis HLS takes in the
    functor's place; if not, it makes gates of the functor."""

    @property
    def header(self) -> str:
        """The path that it is included by."""
        return f"axynq/multipliers/{self.name}.hpp"


FUNCTORS: dict[type[Multiplier], Functor] = {
    Exact: Functor("exact", netlist=True),
    Roup: Functor("roup", lambda m: (m.perforation, *m.rounding), netlist=True),
    SMApprox: Functor("smapprox", lambda m: tuple(m.digits), netlist=True),
}
"""Of each family but tables, whose functors are generated."""

HEADERS = tuple(functor.header for functor in FUNCTORS.values())


def has_netlist(m: Multiplier) -> bool:
    """Whether there are netlists of a multiplier's family."""
    return isinstance(m, Table) or functor_of(m).netlist


def functor_of(m: Multiplier) -> Functor:
    """The functor of a multiplier's family.

    Raises:
        MultiplierError: the family has none.
    """
    if type(m) not in FUNCTORS:
        raise MultiplierError(f"'{m.spec}' has no C++ functor: only the emulator runs it")
    return FUNCTORS[type(m)]


def cpp_type(m: Multiplier) -> str:
    """The C++ type of a multiplier's functor.

    Raises:
        MultiplierError: its family has none.
    """
    if isinstance(m, Table):
        return module_name(m)
    functor = functor_of(m)
    arguments = ", ".join(map(str, functor.arguments(m)))
    return f"{functor.name}<{arguments}>" if arguments else functor.name
