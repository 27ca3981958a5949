# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What flows between a network's steps, and between memory and chip where some run together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from axynq.emulator.model import graph
from axynq.host.compiler.lowering import Lowered, StepsOnCore
from axynq.host.compiler.residency import Resident


class Traffic(NamedTuple):
    """What goes between memory and chip in a step whose maps are on chip."""

    source: bool = False
    """Whether the input comes from memory."""
    source_shared: bool = False
    """Whether steps behind take the input too, so that all its rows have to come."""
    source_ahead: bool = False
    """Whether it does so for the first image only: later ones are loaded ahead."""
    folded: bool = False
    """Whether a word of the input takes several taps, which is arranged as it comes in."""
    residual: bool = False
    """Whether the other operand of an addition comes from memory."""
    stored: bool = False
    """Whether the output goes to memory too."""
    ahead_words: int = 0
    """Words of the next image's input that come in meanwhile."""


@dataclass(frozen=True)
class Uses:
    """The tensors of a step, by their homes."""

    source: int
    operand: int | None
    """The other one of an addition."""
    output: int

    @property
    def inputs(self) -> tuple[int, ...]:
        return (self.source,) if self.operand is None else (self.source, self.operand)


class Flow:
    """Which steps make and take which tensors."""

    def __init__(self, model: graph.Model, lowered: Lowered) -> None:
        home = lowered.home
        self.steps = tuple(
            Uses(
                home[step.source],
                None if step.residual_operand is None else home[step.residual_operand],
                home[step.output],
            )
            for step in lowered.steps
        )
        self.words = {home[index]: each.image_words for index, each in lowered.maps.items()}
        self.parts = lowered.parts
        self.maker = {uses.output: number for number, uses in enumerate(self.steps)}
        """The step that makes a tensor."""
        self.last_use: dict[int, int] = {}
        """The last step that takes a tensor; behind all steps where the host does."""
        for number, uses in enumerate(self.steps):
            for tensor in uses.inputs:
                self.last_use[tensor] = number
        for_host = [*model.outputs, *(i for op in lowered.host_operators for i in op.inputs)]
        self.last_use |= {home[index]: len(self.steps) for index in for_host}
        # Those who take a concatenation take it from memory.
        self.last_use |= dict.fromkeys(lowered.parts, len(self.steps))
        self.ends = {
            number: stage.numbers.stop
            for stage in lowered.stages
            if isinstance(stage, StepsOnCore)
            for number in stage.numbers
        }
        """For each step the end of its stage, behind which no step runs together with it."""

    def in_memory(self, tensor: int) -> int:
        """The tensor in whose memory one lies: itself, unless it is part of another."""
        part = self.parts.get(tensor)
        return tensor if part is None else part.whole

    @property
    def made(self) -> set[int]:
        """What steps make, wholes of parts included."""
        return {*self.maker, *map(self.in_memory, self.maker)}

    def starts_stage(self, number: int) -> bool:
        """Whether a step is the first of a stage."""
        return number == 0 or self.ends[number - 1] == number

    def leaves(self, tensor: int, steps: range) -> bool:
        """Whether steps behind these take a tensor that one of them makes."""
        return self.last_use.get(tensor, -1) >= steps.stop

    def traffic(self, steps: range, folded: bool, ahead: int | None) -> list[Traffic]:
        """What goes between memory and chip in steps that run together.

        Args:
            steps: their numbers.
            folded: whether the first one's input is.
            ahead: the step in which the first one's input for the next image comes in.
        """
        on_chip: set[int] = set()
        last_use = {tensor: number for number in steps for tensor in self.steps[number].inputs}
        found = []
        for number in steps:
            uses, is_first = self.steps[number], number == steps.start
            found.append(
                Traffic(
                    source=uses.source not in on_chip,
                    source_shared=uses.source not in on_chip and last_use[uses.source] > number,
                    source_ahead=is_first and ahead is not None,
                    folded=is_first and folded,
                    residual=uses.operand is not None and uses.operand not in on_chip,
                    stored=self.leaves(uses.output, steps),
                    ahead_words=self.words[self.steps[steps.start].source]
                    if number == ahead
                    else 0,
                )
            )
            on_chip.update(uses.inputs)
            on_chip.add(uses.output)
        return found

    def residents(
        self, steps: range, ahead: int | None
    ) -> tuple[dict[int, Resident], dict[int, set[int]]]:
        """The maps on chip while steps run together, and for each of them those which lie in other
        memories."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        apart: dict[int, set[int]] = {}

        def keep_apart(tensors: tuple[int, ...]) -> None:
            for tensor in tensors:
                apart.setdefault(tensor, set()).update(set(tensors) - {tensor})

        for number in steps:
            uses = self.steps[number]
            there = (*uses.inputs, uses.output)
            for tensor in there:
                first.setdefault(tensor, number)
                last[tensor] = number
            keep_apart(there)
        spans: dict[int, tuple[tuple[int, int], ...]] = {
            tensor: ((first[tensor], last[tensor]),) for tensor in first
        }
        if ahead is not None:
            source = self.steps[steps.start].source
            spans[source] += ((ahead, steps.stop - 1),)
            keep_apart((source, self.steps[ahead].output))
        residents = {tensor: Resident(self.words[tensor], spans[tensor]) for tensor in spans}
        return residents, apart
