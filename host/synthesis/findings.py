# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a schedule says in words: what stands against full speed, and what is large without need."""

from __future__ import annotations

from axynq.host.synthesis.schedule import LoopSchedule, Schedule

LARGE_CHOICE = 8
"""Elements from which on a choice by a variable is worth a word."""


def problems(found: Schedule) -> list[str]:
    """What keeps loops from a new iteration every clock cycle, and processes from overlapping."""
    told = []
    for loop in found.loops:
        told += [f"{loop.name} in {loop.function}: {what}" for what in _loop_problems(loop)]
    for region in found.regions:
        if region.unstable:
            told.append(
                f"region {region.function}: {len(region.unstable)} arguments are not stable, so "
                f"that its processes start together: {', '.join(region.unstable)}"
            )
        told += [
            f"region {region.function}: {channel.name} has {len(channel.writers)} writers and "
            f"{len(channel.readers)} readers"
            for channel in region.channels
            if len(channel.writers) != 1 or len(channel.readers) != 1
        ]
    return list(dict.fromkeys(told))


def _loop_problems(loop: LoopSchedule) -> list[str]:
    told = [f"not pipelined because of {what}" for what in loop.obstacles]
    for access in loop.accesses:
        counts = f"{access.reads} reads and {access.writes} writes"
        if access.variable_bank:
            told.append(
                f"a variable chooses the bank of {access.array}, which accesses all "
                f"{access.banks}: {counts} of each, {_at(access.places)}"
            )
        elif access.ii > 1:
            told.append(f"{counts} of a bank of {access.array}, {_at(access.places)}")
    for way in loop.recurrences:
        if way.ii > 1:
            told.append(
                f"{way.delay_ns:.1f} ns from one iteration to the next "
                f"({', '.join(way.operators)}), {_at(way.places)}"
            )
    return told + [f"no clock cycle has room for {what}" for what in loop.slow]


def costs(found: Schedule) -> list[str]:
    """Hardware that other sources would not need."""
    told = []
    for loop in found.loops:
        title = f"{loop.name} in {loop.function}"
        if loop.dividers:
            told.append(f"{title}: {loop.dividers} dividers, {_at(loop.divider_places)}")
        for choice in loop.multiplexers:
            if len(choice.operands) >= LARGE_CHOICE:
                told.append(
                    f"{title}: {choice.count} choices by a variable among {len(choice.operands)} "
                    f"values of {choice.width} bits, {_at(choice.places)}"
                )
        dsps = sum(product.count * product.dsps for product in loop.multiplications)
        if dsps:
            told.append(f"{title}: {dsps} DSPs for multiplications")
    for region in found.regions:
        fifos = [bits for process in region.processes for _, bits in process.scalars]
        if fifos:
            told.append(
                f"region {region.function}: {len(fifos)} scalars of {sum(fifos)} bits cross to "
                "processes through FIFOs"
            )
    return told


def _at(places: tuple[str, ...]) -> str:
    few = places[:4]
    return f"at {', '.join(few)}{' and others' if len(places) > len(few) else ''}"
