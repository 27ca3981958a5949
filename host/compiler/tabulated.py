# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators that together make another value of each value, whatever the others are.

Swish is an example: the product of a map and its logistic. A table of 256 values does all of them
at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from axynq.emulator.model import graph


@dataclass(frozen=True, eq=False)
class Tabulated:
    """Operators of one tensor's values."""

    root: int
    """The tensor."""
    operators: tuple[graph.Operator, ...]
    """In order; what all but the last make is read by these only."""


def tabulated(model: graph.Model, left_out: Collection[str]) -> dict[graph.Operator, Tabulated]:
    """The operators by value, as many together as there are, by the last of each.

    Args:
        left_out: names of operators that others do.
    """
    found: dict[graph.Operator, Tabulated] = {}
    taken: set[graph.Operator] = set()
    for op in reversed(model.operators):
        if op in taken or not _is_candidate(model, op, left_out):
            continue
        together = _grown(model, op, left_out)
        if together is not None:
            found[op] = together
            taken.update(together.operators)
    return found


def _is_candidate(model: graph.Model, op: graph.Operator, left_out: Collection[str]) -> bool:
    """Whether each value of an operator's output depends on one of each computed input."""
    if not isinstance(op, (graph.Lookup, graph.Elementwise, graph.Add)) or op.name in left_out:
        return False
    shape = model.tensors[op.output].shape
    return all(
        np.all(model.constants[index] == model.constants[index].reshape(-1)[:1])
        if index in model.constants
        else model.tensors[index].shape == shape
        for index in op.inputs
    )


def _grown(model: graph.Model, last: graph.Operator, left_out: Collection[str]) -> Tabulated | None:
    """All that is one tensor's function up to an operator, the most there is."""
    makers = {op.output: number for number, op in enumerate(model.operators)}
    inside = {last}
    best: Tabulated | None = None
    while True:
        made = {op.output for op in inside}
        frontier = {i for op in inside for i in op.inputs} - made - set(model.constants)
        if len(frontier) == 1:
            (root,) = frontier
            best = Tabulated(root, tuple(op for op in model.operators if op in inside))
        # The one that is made last cannot be what the others are made of.
        tensor = max(frontier, key=lambda index: makers.get(index, -1), default=-1)
        if tensor not in makers or tensor in model.outputs:
            return best
        maker = model.operators[makers[tensor]]
        if not _is_candidate(model, maker, left_out) or not inside.issuperset(
            model.consumers(tensor)
        ):
            return best
        inside.add(maker)


def names_of(groups: Collection[Tabulated]) -> Iterator[str]:
    """The operators of groups."""
    for group in groups:
        yield from (op.name for op in group.operators)
