"""What the accelerator's loops do for a program: how often they run and what they move.

Nothing here is estimated. The C simulation counts the same while it computes, and the tests hold
both against each other; :mod:`axynq.host.performance.cycles` turns the counts into time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from axynq.host import isa
from axynq.host.counters import Counts
from axynq.host.isa import Descriptor, Opcode
from axynq.host.overlay import Overlay
from axynq.host.runtime.program import Program


@dataclass(frozen=True)
class Tile:
    """Output rows that are computed at a time."""

    rows: int
    input_rows: int


class LayerLoops:
    """The loops of one layer on an overlay."""

    def __init__(
        self, descriptor: Descriptor, overlay: Overlay, memory: npt.NDArray[np.uint8] | None = None
    ) -> None:
        self.descriptor = descriptor
        self.overlay = overlay
        self._memory = memory

    # --- one tile --------------------------------------------------------------------------------

    def tiles(self) -> Iterator[Tile]:
        """The tiles of one image."""
        d = self.descriptor
        extent = (d.kernel_rows * d.fold_rows - 1) * d.dilation_rows + 1
        for first in range(0, d.output_rows, d.tile_rows):
            rows = min(d.tile_rows, d.output_rows - first)
            top = first * d.stride_rows - d.padding_top
            bottom = top + (rows - 1) * d.stride_rows + extent - 1
            first_input = min(max(top, 0), d.input_rows)
            yield Tile(rows, max(min(bottom, d.input_rows - 1) - first_input + 1, 0))

    def input_words(self, tile: Tile) -> int:
        d = self.descriptor
        return tile.input_rows * d.input_columns * d.input_pixel_words

    def residual_words(self, tile: Tile) -> int:
        """Words of the residual operand."""
        d = self.descriptor
        return tile.rows * d.output_columns * d.output_pixel_words if d.has_residual else 0

    def store_words(self, tile: Tile, block: int) -> int:
        d = self.descriptor
        return tile.rows * d.output_columns * self._block_words(block)

    def store_bursts(self, tile: Tile, block: int) -> int:
        d = self.descriptor
        whole = self._block_words(block) == d.output_pixel_words
        return 1 if whole else tile.rows * d.output_columns

    def multiply_steps(self, tile: Tile) -> list[int]:
        """Iterations of the multiplication loop for each pass over the taps."""
        d = self.descriptor
        if not d.uses_lanes:
            return []
        finish = self.overlay.array.filters // self.overlay.array.requantisers
        columns = d.block_groups * d.output_columns
        if d.opcode == Opcode.CONVOLUTION:
            outputs = columns * tile.rows
            return [outputs * max(taps, finish) + finish for taps in self.pass_taps]
        first, others = max(d.taps, finish), max(self._fresh_taps, finish)
        return [columns * (first + (tile.rows - 1) * others) + finish]

    def pool_steps(self, tile: Tile) -> int:
        """Iterations of the loop of the layers that do not use the lanes."""
        d = self.descriptor
        if d.uses_lanes:
            return 0
        divided = d.opcode in (Opcode.AVERAGE_POOL, Opcode.MEAN)
        divide = self.overlay.array.inputs if divided else 0
        words = tile.rows * d.output_columns * d.output_pixel_words
        return words * max(d.kernel_rows * d.kernel_columns, divide) + divide

    @property
    def pass_taps(self) -> list[int]:
        """Taps of each pass: those whose weights are on chip at a time."""
        d = self.descriptor
        return [min(d.pass_taps, d.taps - first) for first in range(0, d.taps, d.pass_taps)]

    @property
    def pass_weight_words(self) -> list[int]:
        """Words of weights that come in for each tile and pass; none where they stay on chip."""
        d = self.descriptor
        if d.passes == 1:
            return [0]
        return [d.block_groups * taps * self.overlay.vector_words for taps in self.pass_taps]

    @property
    def _fresh_taps(self) -> int:
        """Taps that are new where a window moves down a row."""
        d = self.descriptor
        kept = (
            d.dilation_rows == 1
            and d.stride_rows < d.kernel_rows
            and d.taps <= self.overlay.array.inputs
        )
        return d.stride_rows * d.kernel_columns if kept else d.taps

    def _block_words(self, block: int) -> int:
        d = self.descriptor
        return min(d.block_pixel_words, d.output_pixel_words - block * d.block_pixel_words)

    # --- the layer -------------------------------------------------------------------------------

    @property
    def record_words(self) -> int:
        return _record_words(self.overlay)

    @cached_property
    def block_weight_words(self) -> int:
        """Words of a block's weights: those of all passes."""
        d = self.descriptor
        if not d.has_weights:
            return 0
        vectors = d.taps
        if d.opcode == Opcode.DEPTHWISE:
            vectors = -(-d.taps // self.overlay.array.inputs)
        return d.block_groups * vectors * self.overlay.vector_words

    @property
    def block_constant_words(self) -> int:
        d, array = self.descriptor, self.overlay.array
        if not d.uses_lanes:
            return 0
        return -(-d.block_groups * array.filters * isa.CONSTANT_INTEGERS * 4 // array.inputs)

    def counts(self, images: int) -> Counts:
        """The counters after a batch."""
        d = self.descriptor
        total = Counts(record_words=self.record_words, program_bursts=1)
        passed = d.passes > 1
        for block in range(d.blocks):
            if d.uses_lanes:
                total += Counts(constant_words=self.block_constant_words, program_bursts=1)
            if d.has_weights and not passed:
                total += Counts(weight_words=self.block_weight_words, program_bursts=1)
            for tile in self.tiles():
                total += Counts(
                    tiles=images,
                    load_words=images * (self.input_words(tile) + self.residual_words(tile)),
                    load_bursts=images
                    * ((self.input_words(tile) > 0) + (self.residual_words(tile) > 0)),
                    store_words=images * self.store_words(tile, block),
                    store_bursts=images * self.store_bursts(tile, block),
                    weight_words=images * sum(self.pass_weight_words),
                    program_bursts=images * d.passes if passed else 0,
                    multiply_steps=images * sum(self.multiply_steps(tile)),
                    pool_steps=images * self.pool_steps(tile),
                )
        return total + Counts(multiplications=images * self.multiplications)

    @cached_property
    def multiplications(self) -> int:
        """Products of weights other than zero, per image; padded taps are multiplied too."""
        d = self.descriptor
        if not d.has_weights or self._memory is None:
            return 0
        array = self.overlay.array
        vector_bytes = self.overlay.vector_words * array.inputs
        first = d.weights_offset * array.inputs
        size = d.blocks * self.block_weight_words * array.inputs
        vectors = self._memory[first : first + size].reshape(-1, vector_bytes)
        weights = vectors[:, : array.filters * array.inputs]
        return int(np.count_nonzero(weights)) * d.output_pixels


def layer_loops(program: Program, overlay: Overlay) -> list[LayerLoops]:
    """The loops of each of the program's layers, in order."""
    records = program.memory[: (1 + len(program.layers)) * isa.RECORD_INTEGERS * 4]
    integers = records.view("<i4").reshape(-1, isa.RECORD_INTEGERS)[1:]
    return [LayerLoops(Descriptor.of(values), overlay, program.memory) for values in integers]


def program_counts(program: Program, overlay: Overlay, images: int) -> Counts:
    """The simulation's counters after a batch of so many images."""
    header = Counts(record_words=_record_words(overlay), program_bursts=1)
    return sum((loops.counts(images) for loops in layer_loops(program, overlay)), header)


def _record_words(overlay: Overlay) -> int:
    return isa.RECORD_INTEGERS * 4 // overlay.array.inputs
