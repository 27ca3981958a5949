# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the filters of a plan need of lanes, and how lanes can be divided among these needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from axynq.emulator.errors import PlanError
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import Exact, Roup, Table, multiplier
from axynq.emulator.plan import Plan
from axynq.host.design.space import Cell, Group
from axynq.host.overlay.circuits import check_hardware
from axynq.host.overlay.description import MAX_BANK

Lanes = tuple[Group, ...]


@dataclass(frozen=True)
class Need:
    """Filters that need the same multipliers."""

    specs: frozenset[str]
    """All of which a lane must have."""
    share: float
    """Of the network's multiplications, 0 to 1."""


def needs_of(model: Model, plan: Plan) -> tuple[Need, ...]:
    """What the filters of a plan need, the largest share first.

    Raises:
        MultiplierError: a multiplier is a table without a circuit.
        PlanError: a filter needs more multipliers than a lane can hold.
    """
    work: defaultdict[frozenset[str], float] = defaultdict(float)
    expanded = plan.expand(model)
    for layer in model.layers:
        codes = expanded[layer.name]
        for m in codes.multipliers:
            if isinstance(m, Table):
                check_hardware(m)
        filters = len(layer.kernel)
        each = model.multiplications(layer) / filters
        flat = codes.codes.reshape(filters, -1)
        used = [(flat == code).any(axis=1) for code in range(1, len(codes.multipliers) + 1)]
        for need in np.array(used).T:
            specs = frozenset(m.spec for m, is_used in zip(codes.multipliers, need) if is_used)
            if len(specs) > MAX_BANK:
                raise PlanError(
                    f"layer '{layer.name}' has a filter with {len(specs)} multipliers; a lane "
                    f"holds {MAX_BANK} at most"
                )
            work[specs] += each
    work.pop(frozenset(), None)  # skipped altogether: any lane will do
    if not work:
        return (Need(frozenset(["exact"]), 1.0),)
    total = sum(work.values())
    ordered = sorted(work.items(), key=lambda item: -item[1])
    return tuple(Need(specs, amount / total) for specs, amount in ordered)


def mixes(needs: Sequence[Need], counts: Iterable[int], products: bool) -> tuple[Lanes, ...]:
    """Ways to divide lanes among needs.

    All lanes can hold what any filter needs; or each need has lanes of its own, about as many as
    its share. Lanes that are exact alone may be DSP pairs, which come last: none of them, about
    half, or all.

    Args:
        needs: of a plan.
        counts: numbers of lanes.
        products: whether DSP blocks may multiply.
    """
    found: dict[Lanes, None] = {}
    for lanes in counts:
        for made in _divided(needs, lanes, products):
            found[made] = None
    return tuple(found)


def _divided(needs: Sequence[Need], lanes: int, products: bool) -> Iterator[Lanes]:
    whole = bank_of(frozenset().union(*(need.specs for need in needs)))
    exact = any(need.specs == {"exact"} for need in needs)
    if whole is not None:
        yield (Group(lanes, *whole),)
        if exact and products:
            for paired in range(2, lanes + 1, 2):
                if (lanes - paired) % 2:
                    continue
                if paired < lanes:
                    yield (Group(lanes - paired, *whole), _pairs(paired))
                elif len(needs) == 1:
                    yield (_pairs(paired),)
    if 1 < len(needs) <= lanes:
        for parts in _shares(needs, lanes):
            yield from _with_own_lanes(needs, parts, products)


def _shares(needs: Sequence[Need], lanes: int) -> Iterator[tuple[int, ...]]:
    """Lanes of each need: by its share, and where there are two, some more or less."""
    first = round(needs[0].share * lanes)
    if len(needs) == 2:
        for own in range(first - 2, first + 3):
            if 1 <= own < lanes:
                yield (own, lanes - own)
        return
    parts = [max(1, int(need.share * lanes)) for need in needs]
    while sum(parts) != lanes:
        step = 1 if sum(parts) < lanes else -1
        # The need whose lanes are busiest gets one; that whose lanes idle most gives one.
        busy = [need.share / part for need, part in zip(needs, parts)]
        able = [k for k in range(len(parts)) if step > 0 or parts[k] > 1]
        chosen = max(able, key=lambda k: step * busy[k])
        parts[chosen] += step
    yield tuple(parts)


def _with_own_lanes(needs: Sequence[Need], parts: Sequence[int], products: bool) -> Iterator[Lanes]:
    other, exact = [], 0
    for need, part in zip(needs, parts):
        bank = bank_of(need.specs)
        if bank is None:
            return
        if need.specs == {"exact"}:
            exact = part
        else:
            other.append(Group(part, *bank))
    options = {0}
    if products:
        options |= {exact // 2 * 2, exact // 4 * 2}
    for paired in sorted(options):
        before = sum(group.size for group in other) + exact - paired
        if before % 2 and paired:
            continue
        lanes = [*other, Group(exact - paired, ("exact",)), _pairs(paired)]
        yield tuple(group for group in lanes if group.size)


def _pairs(count: int) -> Group:
    return Group(count, ("exact",), "dsp pair")


def bank_of(specs: frozenset[str]) -> tuple[tuple[str, ...], Cell] | None:
    """The bank that has some multipliers, and how it is best built: exact and ROUP ones as
    settings of one cell, which is a third as large. None: they are too many."""
    if len(specs) > MAX_BANK:
        return None
    ordered = tuple(sorted(specs, key=lambda spec: (spec != "exact", spec)))
    joined = len(specs) > 1 and all(isinstance(multiplier(spec), (Exact, Roup)) for spec in specs)
    return ordered, "configurable" if joined else "separate"
