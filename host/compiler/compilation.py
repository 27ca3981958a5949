# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From a model, a plan and an overlay to a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.emulator.plan import LayerCodes, Plan
from axynq.host import isa
from axynq.host.compiler.arena import plan_arena
from axynq.host.compiler.flow import Flow
from axynq.host.compiler.layers import Layers
from axynq.host.compiler.lowering import OperatorsOnHost, StepsOnCore, lower
from axynq.host.compiler.pacing import linked, paced
from axynq.host.compiler.phases import Phase
from axynq.host.compiler.rewriting import with_late_transpositions
from axynq.host.compiler.segments import Segment, choose_segments
from axynq.host.compiler.sets import pack_set
from axynq.host.compiler.step_phases import MisfitError, StepPhases
from axynq.host.overlay import Overlay
from axynq.host.runtime.program import CoreStage, HostStage, Program, Stage, TensorPlace
from axynq.host.runtime.serialised import Assigned

TYPICAL_BATCH = 16
"""The batch size for which programs are optimised by default."""


def compile_program(
    model: graph.Model,
    plan: Plan | str | None,
    overlay: Overlay | str,
    batch: int = TYPICAL_BATCH,
) -> Program:
    """Compile a network under a plan for an overlay.

    Operators that the accelerator cannot compute, and layers that do not fit its buffers, run on
    the host; ``program.reasons`` says why. Outputs are those of ``Emulator(model, plan)``, bit for
    bit.

    Args:
        model: an int8 network.
        plan: a plan, or a shorthand such as ``"roup:1,4"``; None: exact multipliers everywhere.
        overlay: an overlay, its name, or the path of its ``.toml`` description.
        batch: number of images per call for which the program is optimised. It runs any number.

    Raises:
        PlanError: the plan does not fit the model, or needs a multiplier that no lane has.
        ProgramError: nothing in the network can run on the accelerator, a layer or map is too large
            to be described, or a layer on the host uses a product table from a file.
        OverlayError: there is no such overlay, or its description is not valid.

    Examples:
        >>> program = compile_program(model, "flam=exact|roup:1,4", "z2-mixed16")
        >>> program.save("model.axp")
    """
    if isinstance(overlay, str):
        overlay = Overlay.load(overlay)
    if plan is None:
        plan = Plan.uniform("exact")
    elif isinstance(plan, str):
        plan = Plan.parse(model, plan)
    codes = plan.expand(model)
    model = with_late_transpositions(model)
    on_host: dict[str, str] = {}
    while True:
        try:
            return _Compiler(model, codes, overlay, batch, on_host).compile()
        except _LargeError as error:
            on_host |= error.operators


class _LargeError(ProgramError):
    """Operators that are too large for the overlay: why, by their names."""

    def __init__(self, operators: dict[str, str]) -> None:
        super().__init__("; ".join(operators.values()))
        self.operators = operators


class _Compiler:
    def __init__(
        self,
        model: graph.Model,
        codes: dict[str, LayerCodes],
        overlay: Overlay,
        batch: int,
        on_host: Mapping[str, str],
    ) -> None:
        self.model = model
        self.codes = codes
        self.overlay = overlay
        self.batch = batch
        self.word_bytes = overlay.array.inputs
        self.lowered = lower(model, self.word_bytes, on_host)
        self.flow = Flow(model, self.lowered)
        for words in self.flow.words.values():
            self._check_words("a feature map takes", words)
        layers = Layers(model, codes, self.lowered, overlay)
        try:
            phases = StepPhases(self.flow, layers, overlay, batch)
            self.segments = choose_segments(self.flow, phases, overlay.buffers.map_words)
        except MisfitError as error:
            raise self._too_large(error.errors) from error
        self.arena = plan_arena(
            model, self.lowered, self.flow, [segment.steps for segment in self.segments]
        )

    def _too_large(self, errors: Mapping[int, ProgramError]) -> _LargeError:
        """For the operators of steps, without what joined them."""
        steps = self.lowered.steps
        return _LargeError({steps[n].operator.name: str(why) for n, why in errors.items()})

    def compile(self) -> Program:
        steps, overlay, lowered = self.lowered.steps, self.overlay, self.lowered
        self._check_words("its feature maps take", self.arena.words)
        stages: list[Stage] = []
        blocks: list[npt.NDArray[np.uint8]] = []
        operators: list[graph.Operator] = []
        packed: set[int] = set()
        for stage in lowered.stages:
            if isinstance(stage, OperatorsOnHost):
                stages.append(HostStage(len(operators), len(stage.operators)))
                operators += stage.operators
                continue
            packs = self._packs(stage) - packed
            packed |= packs
            place = sum(map(len, blocks))
            numbers = stage.numbers
            stages.append(CoreStage(place, numbers.start, len(numbers), tuple(sorted(packs))))
            phases = [
                phase
                for segment in self.segments
                if segment.steps.start in numbers
                for phase in self._located(segment, numbers.start)
            ]
            records, data = self._with_sets(phases)
            blocks += [records, *data]
        memory = np.concatenate(blocks)
        self._check_words("its program takes", len(memory) // self.word_bytes)
        taken = {*self.model.outputs, *(index for op in operators for index in op.inputs)}
        constants = {
            index: values for index, values in self.model.constants.items() if index in taken
        }
        return Program(
            model=self.model.name,
            overlay=overlay.name,
            overlay_hash=overlay.hash,
            word_bytes=self.word_bytes,
            arena_words=self.arena.words,
            stages=tuple(stages),
            network=replace(self.model, operators=tuple(operators), constants=constants),
            home={index: home for index, home in lowered.home.items() if index != home},
            places={index: self._place(index) for index in sorted(self.arena.offsets)},
            layers=tuple(step.name for step in steps),
            plan={name: codes.counts() for name, codes in self.codes.items()},
            memory=memory,
            reasons=lowered.reasons,
            assigned={op.name: self._assigned(op) for op in operators if op.name in self.codes},
        )

    def _packs(self, stage: StepsOnCore) -> set[int]:
        """Tensors that a stage takes and no step makes, by their homes."""
        taken = {tensor for number in stage.numbers for tensor in self.flow.steps[number].inputs}
        return taken - self.flow.made

    def _assigned(self, op: graph.Operator) -> Assigned:
        codes = self.codes[op.name]
        specs = tuple(multiplier.spec for multiplier in codes.multipliers)
        for spec in specs:
            if spec.startswith("table:"):
                raise ProgramError(
                    f"'{op.name}' runs on the host ({self.lowered.reasons[op.name]}), where the "
                    f"multiplier '{spec}' is not: choose another one for it"
                )
        return Assigned(specs, codes.codes)

    def _check_words(self, what: str, words: int) -> None:
        if words > isa.MAX_INTEGER:
            raise ProgramError(
                f"'{self.model.name}' is too large: {what} {words} words of {self.word_bytes} "
                f"bytes, and descriptors count up to {isa.MAX_INTEGER}"
            )

    def _place(self, home: int) -> TensorPlace:
        """Of a tensor in memory."""
        device_map = next(
            each for index, each in self.lowered.maps.items() if self.lowered.home[index] == home
        )
        return TensorPlace(
            tensor=self.model.tensors[home],
            pixels=device_map.rows * device_map.columns,
            channels=device_map.channels,
            offset=self.arena.offsets[home],
            image_words=device_map.image_words,
        )

    # --- phases ----------------------------------------------------------------------------------

    def _located(self, segment: Segment, first_step: int) -> Iterator[Phase]:
        """A segment's phases with the places of maps in memory, and their place in the stage that
        begins with a step."""
        offsets = self.arena.offsets
        first = self.flow.steps[segment.steps.start].source
        for phase in segment.phases:
            uses, d = self.flow.steps[phase.step], phase.descriptor
            is_last = phase.block is phase.layer.blocks[-1]
            descriptor = replace(
                d,
                layer=phase.step - first_step + is_last,
                source_offset=offsets[uses.source] if d.source_loaded else 0,
                residual_offset=offsets[uses.operand]
                if d.residual_loaded and uses.operand is not None
                else 0,
                destination_offset=offsets[self.flow.in_memory(uses.output)]
                if d.destination_stored
                else 0,
                ahead_offset=offsets[first] if d.ahead_words else 0,
                ahead_image_words=self.flow.words[first] if d.ahead_words else 0,
            )
            yield replace(phase, descriptor=descriptor)

    # --- the program -----------------------------------------------------------------------------

    def _with_sets(
        self, phases: list[Phase]
    ) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.uint8]]]:
        """Header and records, and what follows them: the phases' sets and weights."""
        words = (1 + len(phases)) * isa.RECORD_INTEGERS * 4 // self.word_bytes
        data: list[npt.NDArray[np.uint8]] = []
        descriptors = linked(paced([phase.descriptor for phase in phases], self.overlay))
        records = []
        for phase, descriptor in zip(phases, descriptors):
            layer = phase.layer
            packed = pack_set(layer.tables, layer.filters, phase.block, layer.fold, self.overlay)
            data += packed
            descriptor = replace(
                descriptor,
                set_offset=words,
                weights_offset=words + len(packed.front) // self.word_bytes,
            )
            words += sum(len(part) for part in packed) // self.word_bytes
            self._check_words("its program takes", words)
            try:
                records.append(descriptor.record())
            except ProgramError as error:
                reason = ProgramError(f"layer '{layer.name}' is too large: {error}")
                raise self._too_large({phase.step: reason}) from error
        first = descriptors[0].set_words
        header = isa.header(self.overlay.identifier, len(phases), words, first)
        return np.concatenate([header, *records]).astype("<u4").view(np.uint8), data
