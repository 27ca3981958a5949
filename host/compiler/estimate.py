"""Stand-in for the cycle model."""

from __future__ import annotations

from collections.abc import Sequence

from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay

RUN = 60


def batch_cycles(descriptors: Sequence[Descriptor], overlay: Overlay, batch: int) -> int:
    total = 0
    for d in descriptors:
        images = batch
        rows = d.tile_rows
        compute = d.first_row_steps + (rows - 1) * d.row_steps + overlay.requantise_steps
        incoming = 0
        if d.source_loaded and not d.source_ahead:
            incoming += min(d.tile_span + 1, d.input_rows) * d.input_row_words
        if d.residual_loaded:
            incoming += rows * d.output_row_words
        if d.ahead_words:
            incoming += d.ahead_words
        outgoing = rows * d.store_row_words if d.destination_stored else 0
        incoming *= overlay.beats
        outgoing *= overlay.beats
        passes = d.weights_words * overlay.beats if d.passes > 1 else 0
        run = max(compute * d.passes, incoming, outgoing, passes) + RUN
        if d.whole_batch:
            total += images * d.tiles * run + incoming + outgoing + 2 * RUN
            total += max(0, d.set_words * overlay.beats - images * d.tiles * run)
        else:
            if d.ahead_words:
                incoming = 0
            total += images * (max(run, d.set_words * overlay.beats) + incoming + outgoing)
    return total
