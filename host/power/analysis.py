"""What an experiment says: for each contender and rail, energy per inference and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from axynq.host.power.energy import Figure, Trace, figure, integral, mean_power, trace
from axynq.host.power.log import Record
from axynq.host.power.sampler import Sample


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

    @property
    def joules_per_inference(self) -> float:
        return self.joules / self.inferences

    @property
    def net_joules_per_inference(self) -> float | None:
        """Without what idling for as long would have cost."""
        if self.idle_watts is None:
            return None
        return (self.joules - self.idle_watts * self.seconds) / self.inferences


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


def run_energies(
    records: Sequence[Record], samples: Mapping[int, Sequence[Sample]]
) -> list[RunEnergy]:
    """Each run on each rail that has enough readings."""
    found = []
    for (session, rail), readings in traces(samples).items():
        own = [record for record in records if record.session == session]
        for place, record in enumerate(own):
            if record.slot.contender is None or record.inferences == 0:
                continue
            joules = integral(readings, record.start, record.end)
            if joules is None:
                continue
            beside = [
                mean_power(readings, other.start, other.end)
                for other in (*own[max(0, place - 1) : place], *own[place + 1 : place + 2])
                if other.slot.contender is None
            ]
            idle = [watts for watts in beside if watts is not None]
            found.append(
                RunEnergy(
                    record.slot.round,
                    record.slot.contender,
                    rail,
                    record.inferences,
                    record.end - record.start,
                    joules,
                    sum(idle) / len(idle) if idle else None,
                )
            )
    return found


def analyse(records: Sequence[Record], samples: Mapping[int, Sequence[Sample]]) -> list[Result]:
    """Results in the order in which rails and contenders first occur."""
    runs = run_energies(records, samples)
    names = list(dict.fromkeys(r.slot.contender for r in records if r.slot.contender))
    results = []
    for rail in dict.fromkeys(run.rail for run in runs):
        net: dict[str, dict[int, float]] = {}
        for name in names:
            own = [run for run in runs if (run.contender, run.rail) == (name, rail)]
            if not own:
                continue
            by_round = {
                run.round: value
                for run in own
                if (value := run.net_joules_per_inference) is not None
            }
            net[name] = by_round
            first = net.get(names[0], {})
            joules = figure([run.joules_per_inference for run in own])
            watts = figure([run.joules / run.seconds for run in own])
            seconds = figure([run.seconds / run.inferences for run in own])
            assert joules is not None
            assert watts is not None
            assert seconds is not None
            results.append(
                Result(
                    contender=name,
                    rail=rail,
                    joules=joules,
                    net_joules=figure(list(by_round.values())),
                    against_first=None
                    if name == names[0]
                    else figure([v - first[k] for k, v in by_round.items() if k in first]),
                    watts=watts,
                    idle_watts=figure([r.idle_watts for r in own if r.idle_watts is not None]),
                    seconds=seconds,
                    runs_left_out=sum(r.slot.contender == name for r in records) - len(own),
                )
            )
    return results
