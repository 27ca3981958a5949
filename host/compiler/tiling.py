"""How many output rows of a layer to compute at a time."""

from __future__ import annotations

from dataclasses import replace

from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import Timing, layer_cycles
from axynq.host.performance.loops import LayerLoops

MAX_EXTRA_TILES = 8
"""Tiles beyond the fewest possible that are tried: more tiles overlap more, and load rows that
windows share again and again."""


def choose_tile_rows(descriptor: Descriptor, overlay: Overlay, largest: int, batch: int) -> int:
    """Rows of a tile, at most ``largest``, with which the cycle model promises the fastest batch.

    Small batches want more tiles, since only those of the same layer overlap. The descriptor's own
    tile_rows do not matter.
    """
    rows = descriptor.output_rows
    fewest = -(-rows // largest)
    most = min(fewest + MAX_EXTRA_TILES, rows)
    candidates = range(largest, -(-rows // most) - 1, -1)

    def cost(tile_rows: int) -> int:
        loops = LayerLoops(replace(descriptor, tile_rows=tile_rows), overlay)
        return layer_cycles("", loops, batch, Timing()).cycles

    return min(candidates, key=cost)
