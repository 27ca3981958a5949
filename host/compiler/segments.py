# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Steps of a network that run image by image, with their maps on chip.

A network is cut into segments. A step alone computes the whole batch, and its maps go through the
board's memory. Several steps together run image after image, and only what others need goes there;
so does a single step whose map is too large for two tiles, but not for the chip.
The first takes in weights once for all images; the second needs no traffic for maps, and no time in
which a layer's first tile comes in and its last one goes out. The cycle model decides.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from axynq.emulator.errors import ProgramError
from axynq.host.compiler.flow import Flow, Traffic, Uses
from axynq.host.compiler.phases import Phase
from axynq.host.compiler.residency import Place, find_places
from axynq.host.compiler.step_phases import MisfitError, StepPhases, compute_steps
from axynq.host.isa import MAPS, Descriptor

MAX_STEPS = 64
"""Of a segment: bounds the time that deep networks take to compile."""

MAX_AHEAD = 4
"""Steps of a segment in which loading the next image's input is tried."""


@dataclass(frozen=True)
class Segment:
    """Neighbouring steps that run together, or a step alone."""

    steps: range
    phases: tuple[Phase, ...]


class _Choice(NamedTuple):
    """A way to run steps."""

    cycles: int
    """Of a batch."""
    steps: range
    on_chip: bool
    """Whether their maps are: they run image by image. Otherwise it is one step alone."""
    folded: bool = False
    """Whether the first one's input is."""
    ahead: int | None = None
    """The step in which the first one's input for the next image is loaded."""

    def needs_room_of(self, other: _Choice) -> bool:
        """Whether all maps that the other has on chip are there too, for as long at least."""
        if other.ahead is not None and (self.ahead, self.steps.start) != (
            other.ahead,
            other.steps.start,
        ):
            return False
        return self.steps.start <= other.steps.start and other.steps.stop <= self.steps.stop


def choose_segments(flow: Flow, phases: StepPhases, map_words: int) -> list[Segment]:
    """The segments with which the cycle model promises the fastest batch.

    Args:
        flow: what the steps take and make.
        phases: their phases.
        map_words: words of each map memory.

    Raises:
        MisfitError: layers are too large.
    """
    count = len(flow.steps)
    alone = [
        _Choice(phases.alone_cycles(number), range(number, number + 1), on_chip=False)
        for number in range(count)
        if number not in phases.too_large
    ]
    together: list[_Choice] = []
    for first in range(count):
        growing = _Growing(flow, phases, first)
        while growing.grow():
            together += growing.choices()
    placed: dict[_Choice, dict[int, Place]] = {}
    while True:
        chosen = _cheapest([*together, *alone], phases.too_large, count)
        for choice in chosen:
            if choice.on_chip and choice not in placed:
                places = find_places(*flow.residents(choice.steps, choice.ahead), map_words)
                if places is None:
                    together = [each for each in together if not each.needs_room_of(choice)]
                    break
                placed[choice] = places
        else:
            return [
                _segment(choice, flow, phases, placed[choice])
                if choice.on_chip
                else Segment(choice.steps, tuple(phases.alone[choice.steps.start]))
                for choice in chosen
            ]


class _Growing:
    """The ways to run steps together from one on, were there always places for their maps. The
    range grows by a step at a time, so that little has to be summed again."""

    def __init__(self, flow: Flow, phases: StepPhases, first: int) -> None:
        self.flow = flow
        self.phases = phases
        self.steps = range(first, first)
        self.end = flow.ends[first]
        self.source = flow.steps[first].source
        self.traffic: dict[int, Traffic] = {}
        self.cycles: dict[int, int] = {}
        """Of all steps but the last, which is followed by the first."""
        self.total = 0
        self.last_use: dict[int, int] = {}
        """Of the tensors on chip, within the steps."""
        self.loads: dict[int, int] = {}
        """The steps that take tensors in as their inputs, by the tensors."""
        self.live: dict[int, int] = {}
        """Words on chip while a step runs."""
        self.ahead: list[tuple[int, int]] = []
        """Steps in which the first one's input for the next image may be loaded: how many of their
        steps are missing for it, and their negated numbers, the best first."""

    def grow(self) -> bool:
        """Take in the next step; whether that is possible."""
        number = self.steps.stop
        if number == self.end or len(self.steps) == MAX_STEPS:
            return False
        uses = self.flow.steps[number]
        # The two operands of an addition come from different memories.
        if uses.operand == uses.source:
            return False
        if self.steps and not self.phases.can_keep(self.phases.plain[number]):
            return False
        self.steps = range(self.steps.start, number + 1)
        self.traffic[number] = Traffic(
            source=uses.source not in self.last_use,
            residual=uses.operand is not None and uses.operand not in self.last_use,
            stored=self.flow.leaves(uses.output, self.steps),
        )
        if len(self.steps) > 1:
            self._sum(number - 1)
        if self.traffic[number].source:
            self.loads[uses.source] = number
        for tensor in uses.inputs:
            loads = self.loads.get(tensor, number)
            if loads < number and not self.traffic[loads].source_shared:
                self.traffic[loads] = self.traffic[loads]._replace(source_shared=True)
                self._sum(loads)
            maker = self.flow.maker.get(tensor, -1)
            if maker in self.steps and not self.flow.leaves(tensor, self.steps):
                self.traffic[maker] = self.traffic[maker]._replace(stored=False)
                self._sum(maker)
        self._note_ahead(number)
        return self._note_words(number)

    def _sum(self, number: int) -> None:
        """The cycles of a step that another one follows."""
        then = self.phases.kept(number + 1, self.traffic[number + 1])[0]
        cycles = self.phases.kept_cycles(number, self.traffic[number], then, then)
        self.total += cycles - self.cycles.get(number, 0)
        self.cycles[number] = cycles

    def _note_words(self, number: int) -> bool:
        """With the maps of a new step on chip; whether all together are not too large."""
        uses, room = self.flow.steps[number], MAPS * self.phases.overlay.buffers.map_words
        for tensor in (*uses.inputs, uses.output):
            for time in range(self.last_use.get(tensor, number - 1) + 1, number + 1):
                self.live[time] = self.live.get(time, 0) + self.flow.words[tensor]
                if self.live[time] > room:
                    return False
            self.last_use[tensor] = number
        return True

    def _note_ahead(self, number: int) -> None:
        uses, traffic = self.flow.steps[number], self.traffic[number]
        if self.source in uses.inputs:
            self.ahead = []  # only when this image's is no longer needed
        elif not (traffic.source or traffic.residual or self.phases.plain[number].adds_nothing):
            steps = compute_steps(self.phases.kept(number, Traffic())[0])
            needed = self.flow.words[self.source] * self.phases.overlay.beats
            bisect.insort(self.ahead, (max(needed - steps, 0), -number))
            del self.ahead[MAX_AHEAD:]

    def choices(self) -> Iterator[_Choice]:
        """The ways to run the steps. Of equally fast ways the first is taken: loading ahead pays
        with more images."""
        first = self.steps.start
        if self.phases.can_keep(self.phases.plain[first]):
            for _, number in self.ahead:
                yield self._choice(ahead=-number)
            yield self._choice()
        folded = self.phases.folded[first]
        if (
            folded.fold.taps > 1
            and len(folded.blocks) == 1
            and self.last_use[self.source] == first
            and self.phases.can_keep(folded)
        ):
            yield self._choice(folded=True)

    def _choice(self, folded: bool = False, ahead: int | None = None) -> _Choice:
        first, last = self.steps.start, self.steps[-1]
        changed = {
            first: self.traffic[first]._replace(folded=folded, source_ahead=ahead is not None)
        }
        if ahead is not None:
            words = self.flow.words[self.source]
            changed[ahead] = self.traffic[ahead]._replace(ahead_words=words)
        begin = self.phases.kept(first, changed[first])[0]
        cycles = self.phases.kept_cycles(
            last, changed.get(last, self.traffic[last]), begin, self.phases.after(last)
        )
        cycles += self.total
        for number, traffic in changed.items():
            if number != last:
                then = self.phases.kept(number + 1, self.traffic[number + 1])[0]
                cycles += self.phases.kept_cycles(number, traffic, then, then)
                cycles -= self.cycles[number]
        return _Choice(cycles, self.steps, True, folded, ahead)


def _cheapest(
    choices: Sequence[_Choice], too_large: Mapping[int, ProgramError], count: int
) -> list[_Choice]:
    """The way through all steps that takes the fewest cycles, by dynamic programming."""
    # By the steps that are done: the cycles until then, and the choice that ends there.
    total = {0: 0}
    best: dict[int, _Choice] = {}
    # By their last steps, so that what comes before is known.
    for choice in sorted(choices, key=lambda choice: choice.steps.stop):
        first, end = choice.steps.start, choice.steps.stop
        if first in total and total[first] + choice.cycles < total.get(end, math.inf):
            total[end] = total[first] + choice.cycles
            best[end] = choice
    end = max(total)
    if end < count:
        raise MisfitError({end: too_large[end]})
    chosen: list[_Choice] = []
    while end:
        chosen.append(best[end])
        end = best[end].steps.start
    return chosen[::-1]


def _segment(choice: _Choice, flow: Flow, phases: StepPhases, places: dict[int, Place]) -> Segment:
    """Steps together, with the places of their maps."""
    steps = choice.steps
    source = places[flow.steps[steps.start].source]
    traffic = flow.traffic(steps, choice.folded, choice.ahead)
    found = [
        replace(phase, descriptor=_placed(phase, flow.steps[number], places, source))
        for number, each in zip(steps, traffic)
        for phase in phases.kept(number, each)
    ]
    # The last one goes back to the first while there are images left.
    last = replace(found[-1].descriptor, segment_phases=len(found))
    return Segment(steps, (*found[:-1], replace(found[-1], descriptor=last)))


def _placed(phase: Phase, uses: Uses, places: dict[int, Place], ahead: Place) -> Descriptor:
    """A phase with the places of its maps."""
    source, output = places[uses.source], places[uses.output]
    # What a layer looks up alone is added to nothing: it reads whatever is in the third memory.
    third = next(m for m in range(MAPS) if m not in (source.memory, output.memory))
    operand = Place(third, 0) if uses.operand is None else places[uses.operand]
    if not phase.layer.has_residual:
        operand = Place(0, 0)
    return replace(
        phase.descriptor,
        source_map=source.memory,
        source_base=source.base,
        residual_map=operand.memory,
        residual_base=operand.base,
        destination_map=output.memory,
        destination_base=output.base + phase.block.first_word,
        outgoing_base=output.base,
        ahead_map=ahead.memory if phase.descriptor.ahead_words else 0,
        ahead_base=ahead.base if phase.descriptor.ahead_words else 0,
    )
