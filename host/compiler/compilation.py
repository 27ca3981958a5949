"""From a model, a plan and an overlay to a program."""

from __future__ import annotations

from collections.abc import Iterator
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
from axynq.host.compiler.lowering import lower
from axynq.host.compiler.pacing import paced
from axynq.host.compiler.phases import Phase
from axynq.host.compiler.segments import Segment, choose_segments
from axynq.host.compiler.sets import pack_set
from axynq.host.compiler.step_phases import StepPhases
from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay
from axynq.host.runtime.program import HostStep, Program, TensorPlace

TYPICAL_BATCH = 16
"""Images at a time that programs are tuned for unless told otherwise."""


def compile_program(
    model: graph.Model,
    plan: Plan | str | None,
    overlay: Overlay | str,
    batch: int = TYPICAL_BATCH,
) -> Program:
    """Compile ``model`` under ``plan`` (default: exact everywhere) for ``overlay``.

    The program runs any number of images at a time and is fastest at ``batch``.

    Raises:
        PlanError: the plan does not fit the model, or needs a multiplier that no lane holds.
        ProgramError: the network has something the accelerator cannot do, or a layer is too large
            for the overlay's buffers.
        OverlayError: there is no such overlay.
    """
    if isinstance(overlay, str):
        overlay = Overlay.load(overlay)
    if plan is None:
        plan = Plan.uniform("exact")
    elif isinstance(plan, str):
        plan = Plan.parse(model, plan)
    return _Compiler(model, plan.expand(model), overlay, batch).compile()


class _Compiler:
    def __init__(
        self, model: graph.Model, codes: dict[str, LayerCodes], overlay: Overlay, batch: int
    ) -> None:
        self.model = model
        self.codes = codes
        self.overlay = overlay
        self.batch = batch
        self.word_bytes = overlay.array.inputs
        self.lowered = lower(model, self.word_bytes)
        self.flow = Flow(self.lowered)
        for words in self.flow.words.values():
            self._check_words("a feature map takes", words)
        layers = Layers(model, codes, self.lowered, overlay)
        phases = StepPhases(self.flow, layers, overlay, batch)
        self.segments = choose_segments(self.flow, phases, overlay.buffers.map_words)
        self.arena = plan_arena(
            model, self.lowered, self.flow, [segment.steps for segment in self.segments]
        )

    def compile(self) -> Program:
        steps, overlay = self.lowered.steps, self.overlay
        self._check_words("its feature maps take", self.arena.words)
        phases = [phase for segment in self.segments for phase in self._located(segment)]
        records, data = self._with_sets(phases)
        return Program(
            model=self.model.name,
            overlay=overlay.name,
            overlay_hash=overlay.hash,
            word_bytes=self.word_bytes,
            arena_words=self.arena.words,
            input=self._place(self.model.input_index, steps[0].source),
            output=self._place(self.model.output_index, steps[-1].output),
            host_steps=tuple(
                HostStep("softmax", self.model.tensors[op.inputs[0]].scale, op.beta)
                for op in self.lowered.host_steps
            ),
            layers=tuple(step.name for step in steps),
            plan={name: codes.counts() for name, codes in self.codes.items()},
            memory=np.concatenate([records, *data]),
        )

    def _check_words(self, what: str, words: int) -> None:
        if words > isa.MAX_INTEGER:
            raise ProgramError(
                f"'{self.model.name}' is too large: {what} {words} words of {self.word_bytes} "
                f"bytes, and descriptors count up to {isa.MAX_INTEGER}"
            )

    def _place(self, user: int, device: int) -> TensorPlace:
        """A boundary tensor: shape and quantisation as the user sees it, memory as the device."""
        tensor, device_map = self.model.tensors[user], self.lowered.maps[device]
        return TensorPlace(
            name=tensor.name,
            shape=tensor.shape,
            scale=tensor.scale,
            zero_point=tensor.zero_point,
            pixels=device_map.rows * device_map.columns,
            channels=device_map.channels,
            offset=self._offset(device),
            image_words=device_map.image_words,
            interface=tensor.interface,
        )

    def _offset(self, index: int) -> int:
        return self.arena.offsets[self.lowered.home[index]]

    # --- phases ----------------------------------------------------------------------------------

    def _located(self, segment: Segment) -> Iterator[Phase]:
        """A segment's phases with the places of maps in memory, and their place in the network."""
        offsets = self.arena.offsets
        first = self.flow.steps[segment.steps.start].source
        for phase in segment.phases:
            uses, d = self.flow.steps[phase.step], phase.descriptor
            is_last = phase.block is phase.layer.blocks[-1]
            descriptor = replace(
                d,
                layer=phase.step + is_last,
                source_offset=offsets[uses.source] if d.source_loaded else 0,
                residual_offset=offsets[uses.operand]
                if d.residual_loaded and uses.operand is not None
                else 0,
                destination_offset=offsets[uses.output] if d.destination_stored else 0,
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
        descriptors = paced([phase.descriptor for phase in phases], self.overlay)
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
            records.append(_record(layer.name, descriptor))
        header = isa.header(self.overlay.identifier, len(phases), words)
        return np.concatenate([header, *records]).astype("<u4").view(np.uint8), data


def _record(layer: str, descriptor: Descriptor) -> npt.NDArray[np.uint32]:
    try:
        return descriptor.record()
    except ProgramError as error:
        raise ProgramError(f"layer '{layer}' is too large: {error}") from error
