# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How often words come and go while the lanes are at work, and how many come for the next phase.

Words are spread over the steps of a run, so that the memory has time to bring them and the lanes
need not wait; a run that has more of them than steps takes them as fast as the ports move them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from axynq.host import isa
from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay
from axynq.host.performance.loops import tiles

MAX_PACE = (1 << 12) - 1
"""The largest that a descriptor holds."""


def paced(descriptors: Sequence[Descriptor], overlay: Overlay) -> list[Descriptor]:
    """Phases of a program with their paces."""
    following = [*descriptors[1:], None]
    # Image by image: the segment's first phase comes next, except once.
    again = [_first_of_segment(descriptors, place) for place in range(len(descriptors))]
    return [
        _paced(d, first or after, overlay) for d, after, first in zip(descriptors, following, again)
    ]


def linked(descriptors: Sequence[Descriptor]) -> list[Descriptor]:
    """Phases of a program that know how much the one behind them takes in."""
    made = []
    for place, descriptor in enumerate(descriptors):
        behind, again = descriptors[place + 1 : place + 2], _first_of_segment(descriptors, place)
        made.append(
            replace(
                descriptor,
                next_set_words=behind[0].set_words if behind else 0,
                again_set_words=again.set_words if again else 0,
            )
        )
    return made


def _first_of_segment(descriptors: Sequence[Descriptor], place: int) -> Descriptor | None:
    """The first phase of the segment that ends at a place, if one does."""
    phases = descriptors[place].segment_phases
    return descriptors[place - phases + 1] if phases else None


def _paced(d: Descriptor, after: Descriptor | None, overlay: Overlay) -> Descriptor:
    """The words of a phase spread over its steps: for each run in which words are moved, its steps
    and the words."""
    copies = overlay.array.copies
    all_tiles = [tile.of(copies) for tile in tiles(d)]
    last_row = d.last_pass_row_steps if d.passes > 1 else d.row_steps
    finish = overlay.finish_steps(bool(d.has_residual))
    first_pass = [d.first_row_steps + (tile.rows - 1) * d.row_steps + finish for tile in all_tiles]
    last_pass = [tile.rows * last_row + finish for tile in all_tiles]

    # Tiles of an image follow on those of the image before.
    incoming = [
        (steps, tile.load_words) for steps, tile in zip([first_pass[-1], *first_pass], all_tiles)
    ]
    outgoing = [
        (steps, tile.store_words)
        for steps, tile in zip([*first_pass[1:], first_pass[0]], all_tiles)
    ]
    if not d.whole_batch and d.tiles == 1:
        incoming, outgoing = [(first_pass[0], copies * d.ahead_words)], []

    sets = []
    if after is not None:
        record_words = isa.RECORD_INTEGERS * 4 // overlay.array.inputs
        room = sum(first_pass) if d.passes == 1 else last_pass[-1]
        sets.append((room, record_words + after.set_words))
    if d.passes > 1:
        # Each run takes in the weights of the pass that follows it.
        sets += [(min(first_pass), d.first_pass_words), (min(last_pass), d.first_pass_words)]
    return replace(
        d,
        incoming_pace=_pace(incoming, overlay),
        outgoing_pace=_pace(outgoing, overlay),
        set_pace=_pace(sets, overlay),
    )


def _pace(runs: Iterable[tuple[int, int]], overlay: Overlay) -> int:
    """Steps from a word to the next, so that all words of each run come in its steps."""
    fitting = min((steps // words for steps, words in runs if words), default=0)
    return min(max(fitting, overlay.beats), MAX_PACE)
