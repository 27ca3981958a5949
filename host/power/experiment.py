# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Contenders take turns while a sampler looks on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from axynq.host.power.base import SensorError
from axynq.host.power.log import Log, Record
from axynq.host.power.sampler import Sampler
from axynq.host.power.schedule import Slot, schedule


class Contender(NamedTuple):
    """Something whose energy is measured."""

    name: str
    infer: Callable[[], int]
    """Runs once and says how many inferences that was."""


class Durations(NamedTuple):
    """How long things take, in seconds."""

    run: float
    idle: float
    warm_up: float
    """Of each contender, before the first slot of a session."""


def run_experiment(
    contenders: list[Contender],
    rounds: int,
    durations: Durations,
    sampler: Sampler,
    log: Log,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Run the slots that ``log`` does not have yet. ``advance`` is called with 1 after each.

    Raises:
        SensorError: no sensor gave a reading for a whole slot; the slots before are in the log.
        DataError: the log cannot be written.
    """
    by_name = {contender.name: contender for contender in contenders}
    slots = schedule([contender.name for contender in contenders], rounds)
    missing = slots[len({record.slot.number for record in log.records}) :]
    advance(len(slots) - len(missing))
    if not missing:
        return
    if missing[0].contender is not None:  # idle power of this session, before its first run
        missing = [missing[0]._replace(number=missing[0].number - 1, contender=None), *missing]
    for contender in contenders:
        _repeat(contender, durations.warm_up)
    sampler.start()
    try:
        for slot in missing:
            record = _run(slot, by_name, durations, log.session)
            samples = sampler.drain()
            log.append(record, samples)
            if sampler.sensors and not any(record.start <= s.time <= record.end for s in samples):
                reasons = "; ".join(sampler.reasons.values()) or "no reading in time"
                raise SensorError(
                    f"no power reading during a whole slot ({record.end - record.start:.3g} s): "
                    f"{reasons}. The slots before are kept; rerun the command to resume"
                )
            advance(1)
    finally:
        sampler.stop()


def _run(
    slot: Slot, contenders: dict[str, Contender], durations: Durations, session: int
) -> Record:
    wall, start = time.time(), time.monotonic()
    if slot.contender is None:
        time.sleep(durations.idle)
        inferences = 0
    else:
        inferences = _repeat(contenders[slot.contender], durations.run)
    return Record(slot, session, start, time.monotonic(), wall, inferences)


def _repeat(contender: Contender, seconds: float) -> int:
    """Run for at least so long; the inferences that were made."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        count += contender.infer()
    return count
