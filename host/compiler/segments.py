"""Steps of a network that run image by image, with their maps on chip.

A network is cut into segments. A step alone computes the whole batch, and its maps go through the
board's memory. Several steps together run image after image, and only what others need goes there.
The first takes in weights once for all images; the second needs no traffic for maps, and no time in
which a layer's first tile comes in and its last one goes out. The cycle model decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from axynq.host.compiler.flow import Flow, Traffic, Uses
from axynq.host.compiler.phases import Phase
from axynq.host.compiler.residency import Place, find_places
from axynq.host.compiler.step_phases import StepPhases, compute_steps
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

    @property
    def is_alone(self) -> bool:
        """Whether it is one step, which computes the whole batch."""
        return len(self.steps) == 1


class _Choice(NamedTuple):
    """A way to run steps together."""

    cycles: int
    """Of a batch."""
    steps: range
    folded: bool
    """Whether the first one's input is."""
    ahead: int | None
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
    """
    count = len(flow.steps)
    alone = [
        _Choice(phases.alone_cycles(number), range(number, number + 1), False, None)
        for number in range(count)
    ]
    ways = _Ways(flow, phases, MAPS * map_words)
    together = [choice for first in range(count) for choice in ways.from_step(first)]
    placed: dict[_Choice, dict[int, Place]] = {}
    while True:
        chosen = _cheapest(alone, together)
        for choice in chosen:
            if len(choice.steps) > 1 and choice not in placed:
                places = find_places(*flow.residents(choice.steps, choice.ahead), map_words)
                if places is None:
                    together = [each for each in together if not each.needs_room_of(choice)]
                    break
                placed[choice] = places
        else:
            return [
                _segment(choice, flow, phases, placed[choice])
                if choice in placed
                else Segment(choice.steps, tuple(phases.alone[choice.steps.start]))
                for choice in chosen
            ]


class _Ways:
    """The ways to run steps of a network together, were there always places for their maps."""

    def __init__(self, flow: Flow, phases: StepPhases, room: int) -> None:
        self.flow = flow
        self.phases = phases
        self.room = room
        """Words of all map memories."""

    def from_step(self, first: int) -> Iterator[_Choice]:
        """Those that begin with a step."""
        source = self.flow.steps[first].source
        folded, plain = self.phases.folded[first], self.phases.plain[first]
        for steps in self._fitting(first):
            # Of equally fast ways the first is taken: loading ahead pays with more images.
            if self.phases.can_keep(plain):
                yield from (self._choice(steps, False, ahead) for ahead in self._ahead(steps))
                yield self._choice(steps, False, None)
            foldable = len(folded.blocks) == 1 and self.flow.used_once(source, steps)
            if folded.fold.taps > 1 and foldable and self.phases.can_keep(folded):
                yield self._choice(steps, True, None)

    def _fitting(self, first: int) -> Iterator[range]:
        """Two steps or more from the first on whose maps are not too large for the chip."""
        live = [0] * len(self.flow.steps)
        last: dict[int, int] = {}
        for number in range(first, min(first + MAX_STEPS, len(live))):
            uses = self.flow.steps[number]
            # The two operands of an addition come from different memories.
            if uses.operand == uses.source:
                return
            if number > first and not self.phases.can_keep(self.phases.plain[number]):
                return
            for tensor in (*uses.inputs, uses.output):
                for time in range(last.get(tensor, number - 1) + 1, number + 1):
                    live[time] += self.flow.words[tensor]
                    if live[time] > self.room:
                        return
                last[tensor] = number
            if number > first:
                yield range(first, number + 1)

    def _ahead(self, steps: range) -> list[int]:
        """Steps in which the first one's input for the next image may be loaded: those that have
        time for it, the latest first."""
        source = self.flow.steps[steps.start].source
        needed = self.flow.words[source] * self.phases.overlay.beats
        last_use = self.flow.last_use_within(source, steps)
        candidates = [
            number
            for number, each in zip(steps, self.flow.traffic(steps, False, None))
            if number > last_use and not each.source and not each.residual
        ]

        def missing(number: int) -> int:
            return max(needed - compute_steps(self.phases.kept(number, Traffic())[0]), 0)

        return sorted(candidates, key=lambda number: (missing(number), -number))[:MAX_AHEAD]

    def _choice(self, steps: range, folded: bool, ahead: int | None) -> _Choice:
        traffic = self.flow.traffic(steps, folded, ahead)
        begins = [self.phases.kept(number, each)[0] for number, each in zip(steps, traffic)]
        cycles = sum(
            self.phases.kept_cycles(number, each, then, then)
            for number, each, then in zip(steps, traffic, begins[1:])
        )
        last, after = steps[-1], self.phases.after(steps[-1])
        cycles += self.phases.kept_cycles(last, traffic[-1], begins[0], after)
        return _Choice(cycles, steps, folded, ahead)


def _cheapest(alone: Sequence[_Choice], together: Sequence[_Choice]) -> list[_Choice]:
    """The way through all steps that takes the fewest cycles, by dynamic programming."""
    total: list[int | None] = [0] + [None] * len(alone)
    best = [alone[0]] * len(total)
    # By their last steps, so that what comes before is known.
    for choice in sorted([*together, *alone], key=lambda choice: choice.steps.stop):
        before, so_far = total[choice.steps.start], total[choice.steps.stop]
        assert before is not None
        if so_far is None or before + choice.cycles < so_far:
            total[choice.steps.stop] = before + choice.cycles
            best[choice.steps.stop] = choice
    chosen: list[_Choice] = []
    end = len(alone)
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
    last = replace(found[-1].descriptor, loop_back=len(found) - 1)
    return Segment(steps, (*found[:-1], replace(found[-1], descriptor=last)))


def _placed(phase: Phase, uses: Uses, places: dict[int, Place], ahead: Place) -> Descriptor:
    """A phase with the places of its maps."""
    source, output = places[uses.source], places[uses.output]
    operand = Place(0, 0) if uses.operand is None else places[uses.operand]
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
