"""How often words come and go while the lanes are at work.

Words are spread over the steps of a run, so that the memory has time to bring them and the lanes
need not wait; a run that has more of them than steps takes them as fast as the ports move them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from axynq.host import isa
from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay

MAX_PACE = (1 << 12) - 1
"""The largest that a descriptor holds."""


def paced(descriptors: Sequence[Descriptor], overlay: Overlay) -> list[Descriptor]:
    """Phases of a program with their paces."""
    following = [*descriptors[1:], None]
    for last, descriptor in enumerate(descriptors):
        if descriptor.loop_back:
            # Image by image: the segment's first phase comes next, except once.
            following[last] = descriptors[last - descriptor.loop_back]
    return [_paced(d, after, overlay) for d, after in zip(descriptors, following)]


def _paced(d: Descriptor, after: Descriptor | None, overlay: Overlay) -> Descriptor:
    record = isa.RECORD_INTEGERS * 4 // overlay.array.inputs
    next_words = 0 if after is None else record + after.set_words
    tiles = list(_tiles(d, overlay))
    if d.passes == 1:
        set_room = [(sum(tile.first_pass_steps for tile in tiles), next_words)]
    else:
        # Each run takes in the weights of the pass that follows it; the last the next set.
        pass_words = (d.weights_words - d.first_pass_words) // max(d.passes - 1, 1)
        set_room = [(min(tile.last_pass_steps for tile in tiles), next_words)]
        set_room += [
            (min(tile.first_pass_steps for tile in tiles), max(d.first_pass_words, pass_words))
        ]

    def pace(rooms: list[tuple[int, int]]) -> int:
        fitting = min((steps // words for steps, words in rooms if words), default=MAX_PACE)
        return min(max(fitting, overlay.beats), MAX_PACE)

    return replace(
        d,
        incoming_pace=pace([(tile.first_pass_steps, tile.incoming) for tile in tiles]),
        outgoing_pace=pace([(tile.first_pass_steps, tile.outgoing) for tile in tiles]),
        set_pace=pace(set_room),
    )


class _Tile(NamedTuple):
    """What happens while a tile is computed."""

    first_pass_steps: int
    last_pass_steps: int
    incoming: int
    """Words of the tile after it."""
    outgoing: int
    """Words of the tile before it."""


def _tiles(d: Descriptor, overlay: Overlay) -> Iterator[_Tile]:
    """The tiles of an image, which follow on those of the image before."""
    rows = [d.tile_rows] * (d.tiles - 1) + [d.last_tile_rows]
    for tile in range(d.tiles):
        before, after = (tile - 1) % d.tiles, (tile + 1) % d.tiles
        others = (rows[tile] - 1) * d.row_steps
        last_row = d.last_pass_row_steps if d.passes > 1 else d.row_steps
        incoming = outgoing = 0
        if d.ahead_words:
            incoming = d.ahead_words
        elif d.whole_batch or d.tiles > 1:
            incoming = _incoming(d, after, rows[after])
        if d.whole_batch or d.tiles > 1:
            outgoing = rows[before] * d.store_row_words if d.destination_stored else 0
        yield _Tile(
            d.first_row_steps + others + overlay.requantise_steps,
            d.first_row_steps + others + overlay.requantise_steps
            if d.passes == 1
            else rows[tile] * last_row + overlay.requantise_steps,
            incoming,
            outgoing,
        )


def _incoming(d: Descriptor, tile: int, rows: int) -> int:
    """Words that a tile takes in."""
    words = rows * d.output_row_words if d.residual_loaded else 0
    if d.source_loaded:
        span = d.last_tile_span if tile == d.tiles - 1 else d.tile_span
        top = tile * d.tile_stride - d.padding_top
        first, last = max(top, 0), min(top + span, d.input_rows - 1)
        words += max(last - first + 1, 0) * d.input_row_words
    return words
