# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From a layer, a block of its filters and the places of its maps to a descriptor.

This is where everything is divided and multiplied that the core does not: quotients, numbers of
steps, and steps between addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from axynq.emulator.errors import ProgramError
from axynq.host.compiler.blocks import Block
from axynq.host.compiler.flow import Traffic
from axynq.host.compiler.layers import Layer
from axynq.host.compiler.sets import set_size
from axynq.host.isa import Descriptor, Opcode
from axynq.host.overlay import Overlay

ADDRESSES = 1 << 16
"""On-chip addresses, and steps between them, are modulo this."""


@dataclass(frozen=True)
class Phase:
    """A phase, but for what depends on its neighbours and on where data lie in memory."""

    step: int
    """Which of the network's steps it belongs to."""
    layer: Layer
    block: Block
    descriptor: Descriptor


def phase_of(layer: Layer, block: Block, overlay: Overlay) -> Descriptor:
    """What a block of a layer computes; maps have no places yet, and there is one tile."""
    source, target, window, fold = layer.source, layer.target, layer.window, layer.fold
    opcode = layer.numbers["opcode"]
    row_words, pixel_words = source.columns * source.pixel_words, source.pixel_words
    kernel = (-(-window.kernel[0] // fold.rows), -(-window.kernel[1] // fold.columns))
    convolved = opcode == Opcode.CONVOLUTION
    tap_words = pixel_words if convolved and fold.taps == 1 else 1
    taps = kernel[0] * kernel[1] * tap_words
    size = set_size(layer.tables is not None, block, overlay)
    pass_taps = block.pass_vectors if convolved else (taps,)
    # A window that moves down a row keeps the taps it has in common with the row above.
    keeps = (
        opcode == Opcode.DEPTHWISE
        and window.dilation[0] == 1
        and window.stride[0] < kernel[0]
        and taps <= overlay.window_taps
    )
    fresh_rows = window.stride[0] if keeps else kernel[0]
    fresh_taps = fresh_rows * kernel[1] * tap_words
    # Steps of an output row: down a column a depthwise layer's windows move; other layers' outputs
    # follow each other along the rows.
    outputs = block.groups * target.columns
    finish = overlay.finish_steps(layer.has_residual)
    row_steps = outputs * max(pass_taps[0], finish)
    last_pass_row_steps = outputs * max(pass_taps[-1], finish)
    other_row_steps = row_steps
    if opcode == Opcode.DEPTHWISE:
        other_row_steps = outputs * max(fresh_taps, finish)
    fold_steps = window.dilation if fold.taps > 1 else (0, 0)
    values = {
        "tables": int(layer.tables is not None),
        "groups": block.groups,
        "vectors": block.groups * block.pass_vectors[0],
        "set_words": size.set_words,
        "passes": len(block.pass_vectors),
        "last_pass_vectors": block.groups * block.pass_vectors[-1],
        "weights_words": size.weights_words,
        "first_pass_words": size.first_pass_words,
        "source_image_words": source.image_words,
        "residual_image_words": target.image_words if layer.adds_map else 0,
        "destination_image_words": layer.stored_image_words,
        "input_rows": source.rows,
        "input_columns": source.columns,
        "input_row_words": row_words,
        "padding_top": window.top,
        "padding_left": window.left,
        "padding_left_words": window.left * pixel_words % ADDRESSES,
        "stride_rows": window.stride[0],
        "stride_columns": window.stride[1],
        "stride_row_words": window.stride[0] * row_words % ADDRESSES,
        "stride_column_words": window.stride[1] * pixel_words % ADDRESSES,
        "kernel_rows": kernel[0],
        "kernel_columns": kernel[1],
        "tap_words": tap_words,
        "kernel_row_step": fold.rows * window.dilation[0],
        "kernel_column_step": fold.columns * window.dilation[1],
        "kernel_row_words": fold.rows * window.dilation[0] * row_words % ADDRESSES,
        "kernel_column_words": fold.columns * window.dilation[1] * pixel_words % ADDRESSES,
        "pass_taps": pass_taps[0],
        "last_pass_taps": pass_taps[-1],
        "fresh_rows": fresh_rows,
        "fresh_taps": fresh_taps,
        "fold_channels": source.channels if fold.taps > 1 else 0,
        "fold_columns": fold.columns if fold.taps > 1 else 0,
        "fold_row_step": fold_steps[0],
        "fold_column_step": fold_steps[1],
        "fold_row_words": fold_steps[0] * row_words % ADDRESSES,
        "fold_column_words": fold_steps[1] * pixel_words % ADDRESSES,
        "output_columns": target.columns,
        "output_row_words": layer.stored_row_words,
        "output_pixel_words": layer.stored_pixel_words,
        "block_word": block.first_word,
        "first_row_steps": row_steps,
        "row_steps": other_row_steps,
        "last_pass_row_steps": last_pass_row_steps,
        "incoming_pace": overlay.beats,
        "outgoing_pace": overlay.beats,
        "set_pace": overlay.beats,
    }
    return Descriptor(**layer.numbers, **values, **_tiles(layer, target.rows))


def cut(descriptor: Descriptor, layer: Layer, tile_rows: int) -> Descriptor:
    """With tiles of so many output rows."""
    return replace(descriptor, **_tiles(layer, tile_rows))


def _tiles(layer: Layer, tile_rows: int) -> dict[str, int]:
    rows = layer.target.rows
    tiles = -(-rows // tile_rows)
    last_rows = rows - (tiles - 1) * tile_rows
    return {
        "tiles": tiles,
        "tile_rows": tile_rows,
        "last_tile_rows": last_rows,
        "tile_stride": tile_rows * layer.window.stride[0],
        "tile_span": _span(layer, tile_rows),
        "last_tile_span": _span(layer, last_rows),
    }


def _span(layer: Layer, output_rows: int) -> int:
    """Input rows that so many output rows see, less one; those included that fill up the last
    fold."""
    window = layer.window
    rows = -(-window.kernel[0] // layer.fold.rows) * layer.fold.rows
    return (output_rows - 1) * window.stride[0] + (rows - 1) * window.dilation[0]


# --- layer by layer, maps in memory --------------------------------------------------------------

SOURCE, RESIDUAL, DESTINATION = range(3)
"""Map memories of phases whose maps are in the board's memory: each has one, for two tiles."""


def streamed(descriptor: Descriptor, layer: Layer, block: Block, overlay: Overlay) -> Descriptor:
    """A phase that computes all images: tiles come from memory and go there again."""
    d, half = descriptor, overlay.buffers.map_words // 2
    return replace(
        d,
        whole_batch=1,
        source_loaded=1,
        source_map=SOURCE,
        source_half=half,
        residual_loaded=int(layer.adds_map),
        residual_map=RESIDUAL,
        residual_half=half,
        destination_map=DESTINATION,
        destination_half=half,
        destination_stored=1,
        destination_first=layer.first_stored_word + block.first_word,
        pixel_step=block.words,
        row_step=d.output_columns * block.words,
        store_pixel_words=block.words,
        store_row_words=d.output_columns * block.words,
    )


def largest_tile_rows(phase: Phase, overlay: Overlay) -> int:
    """As many output rows as half a map memory holds, of all maps.

    Raises:
        ProgramError: not even one row fits.
    """
    layer, d, buffers = phase.layer, phase.descriptor, overlay.buffers
    half = buffers.map_words // 2
    # The other operand of an addition comes with all blocks' channels.
    row_words = d.output_row_words if d.has_residual else d.output_columns * phase.block.words
    row_sums = d.output_columns * d.groups
    for rows in range(1 if layer.has_rows_apart else layer.target.rows, 0, -1):
        input_words = min(_span(layer, rows) + 1, layer.source.rows) * d.input_row_words
        if (
            input_words <= half
            and rows * row_words <= half
            and (d.passes == 1 or rows * row_sums <= buffers.partial_sums)
        ):
            return rows
    raise ProgramError(
        f"layer '{layer.name}' does not fit overlay '{overlay.name}': one output row takes "
        f"{input_words} input words, {row_words} output words"
        + (f" and {row_sums} partial sums" if d.passes > 1 else "")
        + f" on chip, there is room for {half}, {half} and {buffers.partial_sums}"
    )


# --- image by image, maps on chip ----------------------------------------------------------------


def can_keep(layer: Layer, overlay: Overlay) -> bool:
    """Whether a layer can compute a whole image at a time with its maps on chip."""
    buffers = overlay.buffers
    pixels = layer.target.rows * layer.target.columns
    # What goes through a table alone reads as many words elsewhere as its output has in memory.
    output = layer.stored_image_words if layer.adds_nothing else layer.target.image_words
    if layer.has_rows_apart:
        return False
    return max(layer.source.image_words, output) <= buffers.map_words and all(
        len(block.pass_vectors) == 1 or pixels * block.groups <= buffers.partial_sums
        for block in layer.blocks
    )


def kept(descriptor: Descriptor, layer: Layer, block: Block, traffic: Traffic) -> Descriptor:
    """A phase that computes an image whose maps are on chip; they have no places yet."""
    d = descriptor
    # All blocks of a layer see the maps that the first takes in; the last has the whole output,
    # which on chip is by itself.
    pixel_words = layer.target.pixel_words
    is_first, is_last = block is layer.blocks[0], block is layer.blocks[-1]
    span = d.last_tile_span
    if traffic.source_shared and is_first:
        # A stride may pass over the last rows, which the others see.
        span = max(span, layer.window.top + layer.source.rows - 1)
    return replace(
        d,
        last_tile_span=span,
        source_loaded=int(traffic.source and is_first),
        source_ahead=int(traffic.source_ahead and is_first),
        residual_loaded=int(traffic.residual and is_first),
        destination_stored=int(traffic.stored and is_last),
        ahead_words=traffic.ahead_words if is_first else 0,
        destination_first=layer.first_stored_word if traffic.stored and is_last else 0,
        pixel_step=pixel_words,
        row_step=d.output_columns * pixel_words,
        store_pixel_words=pixel_words,
        store_row_words=d.output_columns * pixel_words,
    )
