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
from axynq.host.compiler.layers import Layers
from axynq.host.compiler.phases import Phase, can_keep, kept, phase_of, streamed
from axynq.host.compiler.residency import Place, find_places
from axynq.host.compiler.tiling import tiled
from axynq.host.isa import MAPS, Descriptor
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import phase_cycles
from axynq.host.performance.loops import Call

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


def choose_segments(flow: Flow, layers: Layers, overlay: Overlay, batch: int) -> list[Segment]:
    """The segments with which the cycle model promises the fastest batch.

    Raises:
        PlanError: a filter needs multipliers that no lane has together.
        ProgramError: a layer is too large, or the accelerator cannot do it.
    """
    return _Segmentation(flow, layers, overlay, batch).segments()


class _Segmentation:
    def __init__(self, flow: Flow, layers: Layers, overlay: Overlay, batch: int) -> None:
        self.flow = flow
        self.layers = layers
        self.overlay = overlay
        self.batch = batch
        self.alone = [self._streamed(number) for number in range(len(flow.steps))]
        self._kept_phases: dict[tuple[int, Traffic], list[Phase]] = {}
        self._known_cycles: dict[tuple[int, Traffic, int, int], int] = {}

    def segments(self) -> list[Segment]:
        """The cheapest way through the network in which all maps on chip find places."""
        count = len(self.alone)
        alone = [self._alone_cycles(number) for number in range(count)]
        together = [choice for first in range(count) for choice in self._together(first)]
        placed: dict[_Choice, dict[int, Place]] = {}
        while True:
            chosen = _cheapest(alone, together)
            for choice in chosen:
                if len(choice.steps) == 1 or choice in placed:
                    continue
                residents, apart = self.flow.residents(choice.steps, choice.ahead)
                places = find_places(residents, apart, self.overlay.buffers.map_words)
                if places is None:
                    together = [each for each in together if not each.needs_room_of(choice)]
                    break
                placed[choice] = places
            else:
                return [
                    Segment(choice.steps, tuple(self.alone[choice.steps.start]))
                    if len(choice.steps) == 1
                    else self._segment(choice, placed[choice])
                    for choice in chosen
                ]

    def _segment(self, choice: _Choice, places: dict[int, Place]) -> Segment:
        steps = choice.steps
        source = self.flow.steps[steps.start].source
        traffic = self.flow.traffic(steps, choice.folded, choice.ahead)
        phases = [
            replace(
                phase,
                descriptor=_placed(phase, self.flow.steps[phase.step], places, places[source]),
            )
            for number, each in zip(steps, traffic)
            for phase in self._kept(number, each)
        ]
        # The last one goes back to the first while there are images left.
        last = replace(phases[-1].descriptor, loop_back=len(phases) - 1)
        return Segment(steps, (*phases[:-1], replace(phases[-1], descriptor=last)))

    # --- steps alone -----------------------------------------------------------------------------

    def _streamed(self, number: int) -> list[Phase]:
        layer, overlay = self.layers.layer(number, folded=True), self.overlay
        phases = [
            Phase(number, layer, block, streamed(phase_of(layer, block, overlay), block, overlay))
            for block in layer.blocks
        ]
        return [tiled(phase, overlay, self.batch) for phase in phases]

    def _alone_cycles(self, number: int) -> int:
        phases = self.alone[number]
        following = [*phases[1:], self._after(number)]
        return sum(self._call_cycles(phase, then, 0, 1) for phase, then in zip(phases, following))

    def _after(self, number: int) -> Phase | None:
        """What comes next behind a step that ends a segment: its set comes in meanwhile."""
        return self.alone[number + 1][0] if number + 1 < len(self.alone) else None

    def _call_cycles(self, phase: Phase, then: Phase | None, image: int, times: int) -> int:
        following = None if then is None else then.descriptor
        call = Call(phase.step, phase.descriptor, self.batch, image, following, times)
        return times * phase_cycles(call, self.overlay).cycles

    # --- steps together --------------------------------------------------------------------------

    def _together(self, first: int) -> Iterator[_Choice]:
        """The ways to run steps together from the first on, were there always places for maps."""
        for steps in self._fitting(first):
            source = self.flow.steps[first].source
            folded = self.layers.layer(first, folded=True)
            foldable = len(folded.blocks) == 1 and self.flow.used_once(source, steps)
            # Of equally fast ways the first is taken: loading ahead pays with more images.
            if can_keep(self.layers.layer(first, folded=False), self.overlay):
                for ahead in self._ahead(steps):
                    yield self._choice(steps, False, ahead)
                yield self._choice(steps, False, None)
            if folded.fold.taps > 1 and foldable and can_keep(folded, self.overlay):
                yield self._choice(steps, True, None)

    def _fitting(self, first: int) -> Iterator[range]:
        """Two steps or more from the first on whose maps are not too large for the chip."""
        count, room = len(self.alone), MAPS * self.overlay.buffers.map_words
        live = [0] * count
        last: dict[int, int] = {}
        for number in range(first, min(first + MAX_STEPS, count)):
            uses = self.flow.steps[number]
            # The two operands of an addition come from different memories.
            if uses.operand == uses.source:
                return
            plain = self.layers.layer(number, folded=False)
            if number > first and not can_keep(plain, self.overlay):
                return
            for tensor in (*uses.inputs, uses.output):
                for time in range(last.get(tensor, number - 1) + 1, number + 1):
                    live[time] += self.flow.words[tensor]
                    if live[time] > room:
                        return
                last[tensor] = number
            if number > first:
                yield range(first, number + 1)

    def _ahead(self, steps: range) -> list[int]:
        """Steps in which the first one's input for the next image may be loaded: those that have
        time for it, the latest first."""
        source = self.flow.steps[steps.start].source
        needed = self.flow.words[source] * self.overlay.beats
        traffic = self.flow.traffic(steps, False, None)
        candidates = [
            number
            for number, each in zip(steps, traffic)
            if number > self.flow.last_use_within(source, steps)
            and not each.source
            and not each.residual
        ]

        def missing(number: int) -> int:
            d = self._kept(number, Traffic())[0].descriptor
            return max(needed - d.first_row_steps - (d.output_rows - 1) * d.row_steps, 0)

        return sorted(candidates, key=lambda number: (missing(number), -number))[:MAX_AHEAD]

    def _choice(self, steps: range, folded: bool, ahead: int | None) -> _Choice:
        traffic = self.flow.traffic(steps, folded, ahead)
        cycles = 0
        for number, each in zip(steps, traffic):
            if number + 1 < steps.stop:
                again = self._kept(number + 1, traffic[number + 1 - steps.start])[0]
                cycles += self._kept_cycles(number, each, again, again)
            else:
                again = self._kept(steps.start, traffic[0])[0]
                cycles += self._kept_cycles(number, each, again, self._after(number))
        return _Choice(cycles, steps, folded, ahead)

    def _kept(self, number: int, traffic: Traffic) -> list[Phase]:
        """The phases of a step that runs with others; its maps have no places yet."""
        if (number, traffic) not in self._kept_phases:
            layer = self.layers.layer(number, traffic.folded)
            self._kept_phases[number, traffic] = [
                Phase(
                    number,
                    layer,
                    block,
                    kept(phase_of(layer, block, self.overlay), layer, block, traffic),
                )
                for block in layer.blocks
            ]
        return self._kept_phases[number, traffic]

    def _kept_cycles(self, number: int, traffic: Traffic, again: Phase, after: Phase | None) -> int:
        """Cycles of a step for the whole batch.

        Args:
            again: the phase behind it, but for the last image.
            after: the phase behind it for the last image.
        """
        set_words = after.descriptor.set_words if after else -1
        key = number, traffic, again.descriptor.set_words, set_words
        if key not in self._known_cycles:
            phases = self._kept(number, traffic)
            cycles = 0
            # The images between the first and the last are alike.
            alike = (
                [(0, 1), (1, self.batch - 2), (self.batch - 1, 1)] if self.batch > 1 else [(0, 1)]
            )
            for image, times in alike:
                following = [*phases[1:], again if image + 1 < self.batch else after]
                for phase, then in zip(phases, following):
                    cycles += self._call_cycles(phase, then, image, times)
            self._known_cycles[key] = cycles
        return self._known_cycles[key]


def _cheapest(alone: Sequence[int], together: Sequence[_Choice]) -> list[_Choice]:
    """The way through all steps that takes the fewest cycles, by dynamic programming."""
    ways = [_Choice(cycles, range(k, k + 1), False, None) for k, cycles in enumerate(alone)]
    # By their last steps, so that what comes before is known.
    ordered = sorted([*together, *ways], key=lambda choice: choice.steps.stop)
    total: list[int | None] = [0] + [None] * len(alone)
    best: list[_Choice] = [ways[0]] * (len(alone) + 1)
    for choice in ordered:
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
