# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fields of a descriptor that follow from others, so that the core neither divides nor multiplies.

``docs/descriptor.md`` shows them. The compiler has its own sums; tests compare both.
"""

from __future__ import annotations

from axynq.emulator.errors import ProgramError
from axynq.host.isa import TABLE_ENTRIES, Descriptor, Opcode
from axynq.host.isa_model import Array


def derived(d: Descriptor, array: Array, finish_steps: tuple[int, int]) -> dict[str, int]:
    """The values of these fields, from the others. Steps between addresses are modulo 2**16.

    Args:
        finish_steps: steps in which an output of all lanes is finished, without and with a residual
            operand.
    """
    pixel_words = d.input_row_words // d.input_columns
    vectors = last_vectors = 0
    if d.opcode == Opcode.CONVOLUTION:
        vectors, last_vectors = d.groups * d.pass_taps, d.groups * d.last_pass_taps
    elif d.opcode == Opcode.DEPTHWISE:
        vectors = last_vectors = d.groups * -(-d.taps // array.window_taps)
    first_pass_words = vectors * array.vector_words
    last_pass_words = last_vectors * array.vector_words
    table_words = TABLE_ENTRIES * array.pair_words if d.tables else 0
    set_words = table_words + d.groups * array.group_words + first_pass_words

    # A window of a depthwise layer keeps what it has in common with the one above it.
    keeps = (
        d.opcode == Opcode.DEPTHWISE
        and d.kernel_row_step == 1
        and d.stride_rows < d.kernel_rows
        and d.taps <= array.window_taps
    )
    fresh_rows = d.stride_rows if keeps else d.kernel_rows
    fresh_taps = fresh_rows * d.kernel_columns * d.tap_words
    outputs = d.groups * d.output_columns
    finish = finish_steps[d.has_residual]
    first_row = outputs * max(d.pass_taps, finish)
    other_rows = first_row
    if d.opcode == Opcode.DEPTHWISE:
        other_rows = outputs * max(fresh_taps, finish)

    # Input rows under a window, less one.
    span = (d.kernel_rows - 1) * d.kernel_row_step
    if d.fold_row_step:
        span += d.kernel_row_step - d.fold_row_step
    last_span = (d.last_tile_rows - 1) * d.stride_rows + span
    whole = d.padding_top + d.input_rows - 1
    if d.source_loaded and not d.whole_batch and d.last_tile_span == whole:
        # Phases behind may see rows that this one does not.
        last_span = max(last_span, whole)
    row, pixel = d.input_row_words, pixel_words
    values = {
        "vectors": vectors,
        "last_pass_vectors": last_vectors,
        "first_pass_words": first_pass_words,
        "weights_words": (d.passes - 1) * first_pass_words + last_pass_words,
        "set_words": set_words,
        "weights_offset": d.set_offset + set_words - first_pass_words,
        "last_pass_taps": d.taps - (d.passes - 1) * d.pass_taps,
        "tile_stride": d.tile_rows * d.stride_rows,
        "tile_span": (d.tile_rows - 1) * d.stride_rows + span,
        "last_tile_span": last_span,
        "padding_left_words": d.padding_left * pixel,
        "stride_row_words": d.stride_rows * row,
        "stride_column_words": d.stride_columns * pixel,
        "kernel_row_words": d.kernel_row_step * row,
        "kernel_column_words": d.kernel_column_step * pixel,
        "fold_row_words": d.fold_row_step * row,
        "fold_column_words": d.fold_column_step * pixel,
        "fresh_rows": fresh_rows,
        "fresh_taps": fresh_taps,
        "store_row_words": d.output_columns * d.store_pixel_words,
        "first_row_steps": first_row,
        "row_steps": other_rows,
        "last_pass_row_steps": outputs * max(d.last_pass_taps, finish),
    }
    # Rows of a tile follow each other; those of different tiles may have others between them.
    if d.tile_rows > 1 or d.last_tile_rows > 1:
        values["output_row_words"] = d.output_columns * d.output_pixel_words
        if d.destination_stored:
            values["destination_image_words"] = d.output_rows * d.output_row_words
    if d.source_loaded:
        values["source_image_words"] = d.input_rows * row
    return {name: value % 2**16 if name in _ADDRESSES else value for name, value in values.items()}


_ADDRESSES = (
    "padding_left_words",
    "stride_row_words",
    "stride_column_words",
    "kernel_row_words",
    "kernel_column_words",
    "fold_row_words",
    "fold_column_words",
)


def check_derived(d: Descriptor, array: Array, finish_steps: tuple[int, int]) -> None:
    """Compare a descriptor's fields with what they follow from.

    Raises:
        ProgramError: they differ.
    """
    for name, value in derived(d, array, finish_steps).items():
        if getattr(d, name) != value:
            raise ProgramError(f"{name} = {getattr(d, name)}, but the other fields make it {value}")
