"""Where feature maps lie in the board's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from axynq.emulator.model import graph
from axynq.emulator.model.lifetimes import Lifetime, first_fit
from axynq.host.compiler.flow import Flow
from axynq.host.compiler.lowering import Lowered


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
    themselves for the whole run, so that the host can write and read them at any time.

    Args:
        segments: the steps that run together, or alone.
    """
    home, end = lowered.home, len(segments)
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    for time, steps in enumerate(segments):
        for number in steps:
            uses = flow.steps[number]
            if len(steps) == 1 or flow.leaves(uses.output, steps):
                born[uses.output] = dies[uses.output] = time
            dies.update({tensor: time for tensor in uses.inputs if tensor in born})
    for boundary in (model.input_index, lowered.steps[-1].output):
        born[home[boundary]], dies[home[boundary]] = -1, end
    return Arena(*first_fit({t: Lifetime(born[t], dies[t], flow.words[t]) for t in born}))
