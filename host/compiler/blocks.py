# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A layer's filters divided into what a phase can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ProgramError
from axynq.host import isa
from axynq.host.compiler.placement import Groups, groups_needed, place_filters
from axynq.host.overlay import Overlay

NO_FILTER = -1


@dataclass(frozen=True)
class Block:
    """Filters of a phase: those of neighbouring words of each output pixel."""

    first_word: int
    words: int
    placed: npt.NDArray[np.int64] = field(repr=False)
    """[groups, lanes]: the filter on each lane, or NO_FILTER."""
    pass_vectors: tuple[int, ...]
    """Weight vectors that each group takes in each pass: as many as lie on chip at a time."""

    @property
    def groups(self) -> int:
        return len(self.placed)


def divide(
    layer: str,
    allowed: Sequence[frozenset[int]],
    vectors: int,
    overlay: Overlay,
    *,
    in_passes: bool,
    most_words: int | None = None,
) -> tuple[Block, ...]:
    """Blocks: as few as let the weights of all taps lie on chip, or else the smallest.

    Args:
        layer: its name, for errors.
        allowed: for each filter, in the order of channels, the lanes that have its multipliers.
        vectors: weight vectors that a group of filters takes.
        overlay: the array.
        in_passes: whether its weights may come in one part after the other.
        most_words: of an output pixel in a block; default: all.

    Raises:
        ProgramError: the weights of a block have to lie on chip together, and there is no room.
    """
    lanes, width = overlay.array.filters, overlay.array.inputs
    filters = len(allowed)
    words = -(-filters // width)
    room = overlay.buffers.weight_vectors // 2
    most_groups = min(overlay.buffers.groups, room // vectors if vectors else filters)

    def channels_of(block_words: int) -> list[range]:
        size = block_words * width
        return [range(first, min(first + size, filters)) for first in range(0, filters, size)]

    def fits(block_words: int) -> bool:
        return all(
            groups_needed(channels, [allowed[c] for c in channels], lanes, width) <= most_groups
            for channels in channels_of(block_words)
        )

    # Each size once, in falling order: other numbers of blocks have these sizes again.
    sizes = dict.fromkeys(-(-words // count) for count in range(1, words + 1))
    most = min(isa.MOST_PLACE_WORDS, words if most_words is None else most_words)
    block_words = next((size for size in sizes if size <= most and fits(size)), 1)
    blocks = []
    for channels in channels_of(block_words):
        placed = _numbers(place_filters(channels, [allowed[c] for c in channels], lanes, width))
        needed, per_pass = len(placed) * vectors, vectors
        if needed > room:
            if not in_passes:
                raise ProgramError(
                    f"layer '{layer}' does not fit overlay '{overlay.name}': its windows take "
                    f"{needed} weight vectors on chip, there is room for {room}"
                )
            per_pass = room // len(placed)
        first_word = channels.start // width
        blocks.append(
            Block(
                first_word=first_word,
                words=-(-channels.stop // width) - first_word,
                placed=placed,
                pass_vectors=_passes(vectors, per_pass),
            )
        )
    return tuple(blocks)


def _passes(vectors: int, per_pass: int) -> tuple[int, ...]:
    if vectors <= per_pass:
        return (vectors,)
    return tuple(min(per_pass, vectors - first) for first in range(0, vectors, per_pass))


def _numbers(groups: Groups) -> npt.NDArray[np.int64]:
    return np.array(
        [[NO_FILTER if number is None else number for number in group] for group in groups]
    )
