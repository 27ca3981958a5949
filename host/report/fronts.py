# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fronts of searches, drawn: loss of accuracy against energy saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from axynq.host.report.charts import Plane, Point, Series, points
from axynq.host.report.kept import Front, FrontPoint
from axynq.host.report.page import Picture, Section, Table
from axynq.host.report.words import OTHER, percent, points_of

PLANE = Plane("energy saved [%]", "loss of accuracy [points]")

OWN = 1
"""The number of the series of the report's own plan, whose colour stands out."""

Place = tuple[float | None, float, tuple[float, float]]
"""A plan's energy relative to exact multipliers, its loss against them, and the loss's interval."""


def front_section(
    front: Front | None,
    own: Place | None,
    title: str,
    of_other: str = "",
    numbers: Mapping[str, int] | None = None,
) -> Section:
    """A front, and where a plan lies beside it.

    Args:
        front: None: there is a word about how to get one.
        own: the plan.
        title: of the section.
        of_other: the front's network, where it is not the plan's.
        numbers: of the series by the kind of points, where other pictures have them too.
    """
    if front is None:
        return Section(
            title,
            missing="Give --front and a folder of axynq explore or axynq match, to see the plan "
            "beside the front of a search.",
        )
    shown = [point for point in front.points if point.on_front]
    others = [point for point in front.points if not point.on_front]
    if numbers is None:
        numbers = numbers_of(kinds_of(front))
    kinds = {kind: numbers[kind] for kind in kinds_of(front)}
    series = [
        Series(
            number, [_point(p) for p in group if _kind(p) == kind], joined=not faint, faint=faint
        )
        for kind, number in kinds.items()
        for group, faint in ((others, True), (shown, False))
    ]
    legend = {number: kind for kind, number in kinds.items()}
    energy = None if own is None else own[0]
    if own is not None and energy is not None:
        _, loss, (low, high) = own
        label = (
            f"this report's plan: {percent(1 - energy, 1)} saved, {points_of(loss)} points lost "
            f"({points_of(low)} to {points_of(high)})"
        )
        series.append(
            Series(OWN, [Point(100 * (1 - energy), 100 * loss, label, 100 * low, 100 * high, 15)])
        )
        legend[OWN] = "this report's plan"
    tested = sum(p.accuracy_loss is not None for p in front.points)
    text = [
        f"{len(shown)} of {len(front.points)} plans are on the front of {front.model}: no other "
        f"plan both saves as much energy and loses as little accuracy on the "
        f"{front.choice_examples:,} examples used for choosing. "
        + _measured(tested, len(front.points), front.test_examples)
    ]
    if of_other:
        text.append(OTHER.format(of_other))
    picture = Picture(
        "Loss of accuracy against energy saved",
        f"Each mark is a plan; exact multipliers have {percent(front.baseline_accuracy)} accuracy. "
        "Pale marks are beaten by others. Energy is an estimate of the multiplications alone.",
        lambda width: points([one for one in series if one.points], PLANE, width),
        _table(shown),
        legend,
    )
    return Section(title, text, pictures=[picture])


def _measured(tested: int, plans: int, examples: int) -> str:
    """A sentence about how many plans were measured on the test examples."""
    on = f"measured on the {examples:,} test examples, and"
    if tested == plans:
        return f"All were {on} have intervals."
    rest = "the others are drawn by their loss on the examples used for choosing."
    if tested == 1:
        return f"1 was {on} has an interval; {rest}"
    return f"{tested} were {on} have intervals; {rest}"


def kinds_of(front: Front) -> list[str]:
    """What kinds of points there are."""
    return list(dict.fromkeys(_kind(point) for point in front.points))


def numbers_of(kinds: Sequence[str]) -> dict[str, int]:
    """A series' number for each kind of points; not that of the report's own plan."""
    free = (k for k in range(len(kinds) + 1) if k != OWN)
    return dict(zip(dict.fromkeys(kinds), free))


def _kind(point: FrontPoint) -> str:
    level = f"{point.level} level" if point.level else "plans"
    return f"{level}, retrained" if point.retrained else level


def _point(p: FrontPoint) -> Point:
    loss = p.loss
    label = f"{p.name}: {percent(p.energy_gain, 1)} saved, {points_of(loss)} points lost"
    if p.accuracy_loss_interval is None:
        label += " on the examples used for choosing"
        return Point(100 * p.energy_gain, 100 * loss, f"{label}\n{_designs(p)}")
    low, high = p.accuracy_loss_interval
    label += f" ({points_of(low)} to {points_of(high)})\n{_designs(p)}"
    return Point(100 * p.energy_gain, 100 * loss, label, 100 * low, 100 * high)


def _designs(p: FrontPoint) -> str:
    return " | ".join(p.designs)


def _table(shown: Sequence[FrontPoint]) -> Table:
    return Table(
        "The front",
        ("plan", "energy saved", "accuracy", "loss, points", "interval", "multipliers"),
        [
            (
                p.name,
                percent(p.energy_gain, 1),
                "" if p.accuracy is None else percent(p.accuracy),
                points_of(p.loss),
                ""
                if p.accuracy_loss_interval is None
                else " to ".join(map(points_of, p.accuracy_loss_interval)),
                _designs(p),
            )
            for p in shown
        ],
        frozenset({0, 5}),
    )
