# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The phases of each step of a network, alone or together with others, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from axynq.emulator.errors import ProgramError
from axynq.host.compiler.flow import Flow, Traffic
from axynq.host.compiler.layers import Layer, Layers
from axynq.host.compiler.phases import Phase, can_keep, kept, phase_of, streamed
from axynq.host.compiler.tiling import tiled
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import phase_cycles
from axynq.host.performance.loops import Call, turns


class MisfitError(ProgramError):
    """Steps that the accelerator cannot do, for the size of their layers."""

    def __init__(self, errors: Mapping[int, ProgramError]) -> None:
        super().__init__("; ".join(map(str, errors.values())))
        self.errors = errors
        """By the numbers of the steps."""


class StepPhases:
    """Phases of a network's steps; each is made once.

    Raises:
        PlanError: a filter needs multipliers that no lane has together.
        MisfitError: the accelerator cannot do some layers.
    """

    def __init__(self, flow: Flow, layers: Layers, overlay: Overlay, batch: int) -> None:
        self.count = len(flow.steps)
        self.flow = flow
        self.overlay = overlay
        self.batch = batch
        self._check(layers)
        self.folded = [layers.layer(number, folded=True) for number in range(self.count)]
        """The layers whose input comes from memory."""
        self.plain = [layers.layer(number, folded=False) for number in range(self.count)]
        """Those whose input is on chip."""
        self.too_large: dict[int, ProgramError] = {}
        """Steps that cannot compute the whole batch with their maps in memory, and why."""
        self.alone = [self._streamed(number) for number in range(self.count)]
        """The phases of each step that can; of others none."""
        misfits = {
            number: error
            for number, error in self.too_large.items()
            if not any(map(self.can_keep, (self.plain[number], self.folded[number])))
        }
        if misfits:
            raise MisfitError(misfits)
        self._firsts = [self._first(number) for number in range(self.count)]
        self._kept: dict[tuple[int, Traffic], list[Phase]] = {}
        self._cycles: dict[tuple[int, Traffic, int, int], int] = {}
        for number in range(1, self.count):
            if not flow.starts_stage(number):
                self.plain[number] = self._divided(number, layers)

    def _check(self, layers: Layers) -> None:
        """Raises:
        MisfitError: there are steps that no phases can do.
        """
        misfits = {}
        for number in range(self.count):
            try:
                layers.layer(number, folded=True)
                layers.layer(number, folded=False)
            except ProgramError as error:
                misfits[number] = error
        if misfits:
            raise MisfitError(misfits)

    def _streamed(self, number: int) -> list[Phase]:
        layer, overlay = self.folded[number], self.overlay
        phases = [
            Phase(
                number,
                layer,
                block,
                streamed(phase_of(layer, block, overlay), layer, block, overlay),
            )
            for block in layer.blocks
        ]
        try:
            return [tiled(phase, overlay, self.batch) for phase in phases]
        except ProgramError as error:
            self.too_large[number] = error
            return []

    def _first(self, number: int) -> Phase:
        layer = self.folded[number]
        block = layer.blocks[0]
        return Phase(number, layer, block, phase_of(layer, block, self.overlay))

    def can_keep(self, layer: Layer) -> bool:
        """Whether a layer can compute a whole image at a time with its maps on chip."""
        return can_keep(layer, self.overlay)

    def after(self, number: int) -> Phase | None:
        """What comes behind a step that is alone or the last of several: its set comes in
        meanwhile. None behind the last of a stage."""
        following = number + 1
        return None if following == self.flow.ends[number] else self._firsts[following]

    def kept(self, number: int, traffic: Traffic) -> list[Phase]:
        """The phases of a step that runs with others, image by image; its maps have no places
        yet."""
        if (number, traffic) not in self._kept:
            layer = self.folded[number] if traffic.folded else self.plain[number]
            self._kept[number, traffic] = self._kept_phases(number, layer, traffic)
        return self._kept[number, traffic]

    def _kept_phases(self, number: int, layer: Layer, traffic: Traffic) -> list[Phase]:
        return [
            Phase(
                number,
                layer,
                block,
                kept(phase_of(layer, block, self.overlay), layer, block, traffic),
            )
            for block in layer.blocks
        ]

    def _divided(self, number: int, layers: Layers) -> Layer:
        """A layer with so many blocks that the step before it, where both run with others, need not
        wait for the whole set: for that of the first block only."""
        whole = self.plain[number]
        before = self._kept_phases(number - 1, self.plain[number - 1], Traffic())
        first_set = phase_of(whole, whole.blocks[0], self.overlay).set_words
        if compute_steps(before[-1]) >= first_set * self.overlay.beats:
            return whole
        candidates, words = [whole], whole.blocks[0].words
        while words > 1:
            words = -(-words // 2)
            candidates.append(layers.divided(number, words))

        def cycles(layer: Layer) -> int:
            phases = self._kept_phases(number, layer, Traffic())
            return self._of_image([*before, *phases], self.after(number), 0)

        return min(candidates, key=cycles)

    # --- cycles ----------------------------------------------------------------------------------

    def alone_cycles(self, number: int) -> int:
        """Of a step that computes the whole batch."""
        return self._of_image(self.alone[number], self.after(number), 0)

    def kept_cycles(self, number: int, traffic: Traffic, again: Phase, after: Phase | None) -> int:
        """Of a step that runs with others, for the whole batch.

        Args:
            number: of the step.
            traffic: what it moves.
            again: the phase behind it, but for the last image.
            after: the phase behind it for the last image.
        """
        after_words = 0 if after is None else after.descriptor.set_words
        key = number, traffic, again.descriptor.set_words, after_words
        if key not in self._cycles:
            phases = self.kept(number, traffic)
            self._cycles[key] = sum(
                turn.times * self._of_image(phases, again if turn.after else after, turn.first)
                for turn in turns(self.batch, self.overlay.array.copies)
            )
        return self._cycles[key]

    def _of_image(self, phases: Sequence[Phase], after: Phase | None, image: int) -> int:
        """Cycles of phases that follow each other, each once, from an image of the batch on."""
        cycles, copies = 0, self.overlay.array.copies
        for phase, behind in zip(phases, [*phases[1:], after]):
            following = None if behind is None else behind.descriptor
            call = Call(phase.step, phase.descriptor, self.batch, image, copies, following, 1)
            cycles += phase_cycles(call, self.overlay).cycles
        return cycles


def compute_steps(phase: Phase) -> int:
    """Steps in which a phase computes an image."""
    d = phase.descriptor
    others = (d.passes - 1) * d.output_rows * d.row_steps
    return d.tiles * (d.first_row_steps - d.row_steps) + d.output_rows * d.row_steps + others
