# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The order of a network's operators in which accelerator and host take turns least often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axynq.emulator.model import graph


@dataclass(frozen=True, eq=False)
class Unit:
    """Operators that run together."""

    operators: tuple[graph.Operator, ...]
    """None where nothing is left to do but to wait for the inputs."""
    inputs: tuple[int, ...]
    """Tensors that others make, by their homes."""
    output: int
    """The tensor that they make, by its home."""
    on_host: bool = False
    """Whether the accelerator cannot run them."""

    @property
    def multiplies(self) -> bool:
        """Whether they have weights: worth a start of the core."""
        return any(isinstance(op, graph.WeightedLayer) for op in self.operators)


@dataclass(frozen=True)
class UnitStage:
    """Units that run one after the other at one place."""

    units: tuple[Unit, ...]
    on_host: bool


def in_stages(units: Sequence[Unit], given: set[int]) -> list[UnitStage]:
    """All units in stages, accelerator and host alternately.

    Each stage takes all that it can, in the network's order: so branches that do not depend on each
    other share stages. A stage of the accelerator multiplies; what is left behind the last layer is
    the host's, except where a network multiplies nothing.

    Args:
        units: in an order in which they can run.
        given: tensors that are there before, by their homes.
    """
    orders = [_ordered(units, given, host_first) for host_first in (False, True)]
    return min(orders, key=len)  # of equals that with the accelerator first


def _ordered(units: Sequence[Unit], given: set[int], host_first: bool) -> list[UnitStage]:
    left, done = list(units), set(given)
    stages: list[UnitStage] = []
    # Where nothing multiplies there is one stage of the accelerator, the first that there can be.
    started = any(unit.multiplies for unit in units)
    while left:
        taken = [] if host_first and not stages else _ready(left, done, on_host=False)
        if taken and (not started or any(unit.multiplies for unit in taken)):
            started = True
            stages.append(UnitStage(tuple(taken), on_host=False))
        else:
            taken = taken or _ready(left, done, on_host=True)
            if not taken:  # there was nothing for the host to do first
                host_first = False
                continue
            before = stages.pop().units if stages and stages[-1].on_host else ()
            stages.append(UnitStage((*before, *taken), on_host=True))
        done.update(unit.output for unit in taken)
        left = [unit for unit in left if unit not in taken]
    return stages


def _ready(units: Sequence[Unit], done: set[int], on_host: bool) -> list[Unit]:
    """What can run at a place without the other, in order."""
    there, taken = set(done), []
    for unit in units:
        if unit.on_host == on_host and there.issuperset(unit.inputs):
            taken.append(unit)
            there.add(unit.output)
    return taken
