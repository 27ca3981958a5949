# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where feature maps lie in the board's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from axynq.emulator.model import graph
from axynq.emulator.model.lifetimes import Lifetime, first_fit
from axynq.host.compiler.flow import Flow
from axynq.host.compiler.lowering import Lowered, OperatorsOnHost


class Arena(NamedTuple):
    """Places for one image of a batch, in words."""

    offsets: dict[int, int]
    """By the tensor's home."""
    words: int


def plan_arena(
    model: graph.Model, lowered: Lowered, flow: Flow, segments: Sequence[range]
) -> Arena:
    """Tensors whose lifetimes do not overlap share memory; those that are on chip only have none.

    Steps of a segment run image by image: what one of them stores for an image must not be where
    another one's input for a later image is. Input and output of the network keep their places to
    themselves for the whole run, so that the host can write and read them at any time. What the
    host makes in between is written before the stage that takes it, and what it takes stays there
    until then.

    Args:
        segments: the steps that run together, or alone.
    """
    home = lowered.home
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    made = flow.made
    time = 0
    waiting = list(segments)
    for stage in lowered.stages:
        if isinstance(stage, OperatorsOnHost):
            read = {home[index] for op in stage.operators for index in op.inputs}
            dies.update({tensor: time for tensor in read if tensor in born})
            time += 1
            continue
        before = time
        while waiting and waiting[0].start in stage.numbers:
            steps = waiting.pop(0)
            for number in steps:
                uses = flow.steps[number]
                for tensor in uses.inputs:
                    if tensor not in made:  # the host's
                        born.setdefault(tensor, before)
                if len(steps) == 1 or flow.leaves(uses.output, steps):
                    output = flow.in_memory(uses.output)
                    born.setdefault(output, time)
                    dies[output] = time
                dies.update({tensor: time for tensor in uses.inputs if tensor in born})
            time += 1
    for boundary in (*model.inputs, *model.outputs):
        if home[boundary] in born:
            born[home[boundary]], dies[home[boundary]] = -1, time
    return Arena(*first_fit({t: Lifetime(born[t], dies[t], flow.words[t]) for t in born}))
