# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What an experiment says: for each contender and rail, energy per inference and its interval.

Neighbouring runs share the idle stretch between them, so their net energies go up and down
together; the intervals allow for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from axynq.host.power.energy import Figure, Trace, figure, integral, mean_power, trace
from axynq.host.power.log import Record
from axynq.host.power.sampler import Sample


class Net(NamedTuple):
    """Joules per inference above idle, and how it depends on what was measured while idle."""

    joules: float
    weights: dict[tuple[int, int], float]
    """Change with each idle stretch's power, by session and place."""

    def minus(self, other: Net) -> Net:
        places = self.weights.keys() | other.weights.keys()
        weights = {p: self.weights.get(p, 0.0) - other.weights.get(p, 0.0) for p in places}
        return Net(self.joules - other.joules, weights)


class RunEnergy(NamedTuple):
    """One run on one rail."""

    round: int
    contender: str
    rail: str
    inferences: int
    seconds: float
    joules: float
    """All that the rail delivered."""
    idle_watts: float | None
    """Around the run; None where idling was not measured beside it."""
    net: Net | None

    @property
    def joules_per_inference(self) -> float:
        return self.joules / self.inferences


class Result(NamedTuple):
    """One contender on one rail. Energies are joules per inference."""

    contender: str
    rail: str
    joules: Figure
    net_joules: Figure | None
    against_first: Figure | None
    """Net energy minus the first contender's in the same round; None for the first itself."""
    watts: Figure
    idle_watts: Figure | None
    seconds: Figure
    """Per inference, while running."""
    runs_left_out: int
    """Runs without enough readings."""


def traces(samples: Mapping[int, Sequence[Sample]]) -> dict[tuple[int, str], Trace]:
    """By session and rail."""
    found: dict[tuple[int, str], list[Sample]] = {}
    for session, taken in samples.items():
        for sample in taken:
            found.setdefault((session, sample.rail), []).append(sample)
    return {
        key: trace([sample.time for sample in taken], [sample.watts for sample in taken])
        for key, taken in found.items()
    }


def analyse(
    records: Sequence[Record], samples: Mapping[int, Sequence[Sample]], settle: float = 0.0
) -> list[Result]:
    """Results in the order in which rails and contenders first occur.

    Readings within ``settle`` seconds of the start of a slot do not count.
    """
    names = list(dict.fromkeys(r.slot.contender for r in records if r.slot.contender))
    by_trace = traces(samples)
    results = []
    for rail in dict.fromkeys(rail for _, rail in by_trace):
        runs: list[RunEnergy] = []
        steps: list[float] = []  # of idle power, from one stretch to the next
        for (session, name), readings in by_trace.items():
            if name == rail:
                own = [record for record in records if record.session == session]
                idle = _idle_watts(own, readings, settle)
                steps += np.diff([idle[place] for place in sorted(idle)]).tolist()
                runs += _runs(own, rail, readings, idle, settle)
        idle_variance = float(np.mean(np.square(steps))) / 2 if steps else 0.0
        first: dict[int, Net] = {}
        for name in names:
            mine = [run for run in runs if run.contender == name]
            if not mine:
                continue
            nets = {run.round: run.net for run in mine if run.net is not None}
            if name == names[0]:
                first = nets
            against = [net.minus(first[k]) for k, net in nets.items() if k in first]
            attempted = sum(record.slot.contender == name for record in records)
            results.append(
                Result(
                    contender=name,
                    rail=rail,
                    joules=figure([run.joules_per_inference for run in mine]),
                    net_joules=_net_figure(list(nets.values()), idle_variance),
                    against_first=None if name == names[0] else _net_figure(against, idle_variance),
                    watts=figure([run.joules / run.seconds for run in mine]),
                    idle_watts=_figure_or_none(
                        [run.idle_watts for run in mine if run.idle_watts is not None]
                    ),
                    seconds=figure([run.seconds / run.inferences for run in mine]),
                    runs_left_out=attempted - len(mine),
                )
            )
    return results


def _idle_watts(own: list[Record], readings: Trace, settle: float) -> dict[int, float]:
    """Mean power of a session's idle stretches, by place."""
    return {
        place: watts
        for place, record in enumerate(own)
        if record.slot.contender is None
        and (watts := mean_power(readings, record.start, record.end, settle)) is not None
    }


def _runs(
    own: list[Record], rail: str, readings: Trace, idle: dict[int, float], settle: float
) -> list[RunEnergy]:
    """A session's runs that have enough readings."""
    found = []
    for place, record in enumerate(own):
        contender = record.slot.contender
        if contender is None or record.inferences == 0:
            continue
        joules = integral(readings, record.start, record.end, settle)
        if joules is None:
            continue
        seconds = record.end - record.start
        beside = [other for other in (place - 1, place + 1) if other in idle]
        watts, net = None, None
        if beside:
            watts = sum(idle[other] for other in beside) / len(beside)
            weight = -seconds / record.inferences / len(beside)
            net = Net(
                (joules - watts * seconds) / record.inferences,
                {(record.session, other): weight for other in beside},
            )
        found.append(
            RunEnergy(record.slot.round, contender, rail, record.inferences, seconds, joules,
                      watts, net)
        )  # fmt: skip
    return found


def _net_figure(nets: list[Net], idle_variance: float) -> Figure | None:
    shared = sum(
        weight * b.weights.get(place, 0.0)
        for a, b in combinations(nets, 2)
        for place, weight in a.weights.items()
    )
    return _figure_or_none([net.joules for net in nets], idle_variance * shared)


def _figure_or_none(values: list[float], covariance: float = 0.0) -> Figure | None:
    return figure(values, covariance) if values else None
