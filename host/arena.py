"""Where feature maps lie in memory: tensors whose lifetimes do not overlap share it."""

from __future__ import annotations

from typing import NamedTuple

from axynq.emulator.model import graph
from axynq.host.lowering import Lowered


class Arena(NamedTuple):
    """Places for one image of a batch, in words."""

    offsets: dict[int, int]
    """By the tensor's home."""
    words: int


class _Placed(NamedTuple):
    start: int
    end: int
    born: int
    dies: int


def plan_arena(model: graph.Model, lowered: Lowered) -> Arena:
    """First fit by lifetime.

    Input and output keep their places to themselves for the whole run, so that the host can write
    and read them at any time.
    """
    steps, home = lowered.steps, lowered.home
    end = len(steps)
    born = {home[model.input_index]: -1}
    dies = {home[model.input_index]: end}
    for time, step in enumerate(steps):
        born.setdefault(home[step.output], time)
        dies.setdefault(home[step.output], time)
        for index in step.inputs:
            dies[home[index]] = max(dies[home[index]], time)
    dies[home[steps[-1].output]] = end
    born[home[steps[-1].output]] = -1

    placed: list[_Placed] = []
    offsets: dict[int, int] = {}
    for tensor in sorted(born, key=lambda t: born[t]):
        size = lowered.maps[_user_of(lowered, tensor)].image_words
        offset = 0
        for other in sorted(placed):
            if other.born > dies[tensor] or born[tensor] > other.dies:
                continue
            if offset + size <= other.start:
                break
            offset = max(offset, other.end)
        offsets[tensor] = offset
        placed.append(_Placed(offset, offset + size, born[tensor], dies[tensor]))
    return Arena(offsets, max(p.end for p in placed))


def _user_of(lowered: Lowered, tensor: int) -> int:
    """A tensor with a feature map that lives in ``tensor``."""
    return next(index for index in lowered.maps if lowered.home[index] == tensor)
