# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many output rows of a phase to compute at a time."""

from __future__ import annotations

from dataclasses import replace

from axynq.host.compiler.phases import Phase, cut, largest_tile_rows
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import batch_cycles

MAX_EXTRA_TILES = 8
"""Tiles beyond the fewest possible that are tried: more tiles overlap more, and load rows that
windows share again and again."""


def tiled(phase: Phase, overlay: Overlay, batch: int) -> Phase:
    """A phase whose maps are in memory, with the tiles that the cycle model promises the fastest
    batch for. Small batches want more tiles, since only those of the same phase overlap.

    Raises:
        ProgramError: not even one output row fits.
    """
    rows = phase.layer.target.rows
    largest = largest_tile_rows(phase, overlay)
    fewest = -(-rows // largest)
    most = min(fewest + MAX_EXTRA_TILES, rows)
    candidates = [
        cut(phase.descriptor, phase.layer, tile_rows)
        for tile_rows in range(largest, -(-rows // most) - 1, -1)
    ]
    best = min(candidates, key=lambda descriptor: batch_cycles([descriptor], overlay, batch))
    return replace(phase, descriptor=best)
