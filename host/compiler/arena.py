"""Where feature maps lie in the board's memory."""

from __future__ import annotations

from typing import NamedTuple

from axynq.emulator.model import graph
from axynq.emulator.model.lifetimes import Lifetime, first_fit
from axynq.host.compiler.lowering import Lowered


class Arena(NamedTuple):
    """Places for one image of a batch, in words."""

    offsets: dict[int, int]
    """By the tensor's home."""
    words: int


def plan_arena(model: graph.Model, lowered: Lowered) -> Arena:
    """Tensors whose lifetimes do not overlap share memory.

    Input and output keep their places to themselves for the whole run, so that the host can write
    and read them at any time.
    """
    home, end = lowered.home, len(lowered.steps)
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    for time, step in enumerate(lowered.steps):
        born.setdefault(home[step.output], time)
        for index in step.tensors:
            dies[home[index]] = time
    for boundary in (model.input_index, lowered.steps[-1].output):
        born[home[boundary]], dies[home[boundary]] = -1, end
    words = {home[index]: feature_map.image_words for index, feature_map in lowered.maps.items()}
    return Arena(*first_fit({t: Lifetime(born[t], dies[t], words[t]) for t in born}))
