# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The accelerator's instruction set: phase descriptors, program header, status codes.

This file is the single source: ``hls/include/axynq/isa.hpp`` and ``docs/descriptor.md`` are
generated from it.

A program is one block of memory in words of the overlay (``inputs`` bytes each): the header, one
descriptor per *phase*, then what the phases take in. A phase is a layer, or a block of a layer's
filters. Header and descriptors are :data:`RECORD_INTEGERS` integers of 32 bits, little-endian, the
last of which is a checksum of the others.

Sizes and offsets are in words unless stated otherwise. A feature map lies in memory, and on chip,
as rows of pixels; a pixel is ``ceil(channels / inputs)`` words with the channels in order. Tensors
of a batch are contiguous, so image ``n`` of a tensor starts at ``images * offset + n *
image_words``.

The core divides nothing: quotients, products and steps between addresses are in the descriptor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ProgramError

VERSION = 4
"""Changes whenever a program of another version would be misread."""

MAGIC = 0x4E595841
"""``AXYN`` in little-endian ASCII: the first integer of a program."""

RECORD_INTEGERS = 112
"""Integers in the header and in each descriptor."""

CHECKSUM_FIELD = RECORD_INTEGERS - 1

CHECKSUM_COLUMNS = 8
"""Sums that the checksum is made of; integer ``i`` belongs to sum ``i % CHECKSUM_COLUMNS``."""

MIN_INTEGER, MAX_INTEGER = -(2**31), 2**31 - 1

MAPS = 3
"""On-chip memories for feature maps: a phase reads its input from one, the other operand of an
addition from another, and writes its output to a third."""

MAX_FOLD_DISTANCE = 63
"""Rows and columns between taps that a word takes together, at most."""

FARTHEST = (1 << 16) - 1 - MAX_FOLD_DISTANCE
"""The last row or column of the input, or beyond it, that a window may see: the core knows places
modulo 2**16, and would take those behind for places inside."""

MAX_WINDOW_TAPS = 9
"""Taps of a depthwise window that a lane multiplies at a time, at most: 3 x 3. Its other
multipliers are spared the choice between a window and the taps that all lanes share."""

TABLE_ENTRIES = 256
"""Integers of each of the two tables of a phase that has them."""


class Header(IntEnum):
    """Integers of the program header."""

    MAGIC = 0
    VERSION = 1
    OVERLAY = 2
    PHASES = 3
    PROGRAM_WORDS = 4
    FIRST_SET_WORDS = 5


class Opcode(IntEnum):
    """What a phase does with the activations that enter the lanes. 0 is left out, so that cleared
    memory is no program."""

    CONVOLUTION = 1
    DEPTHWISE = 2
    SUM = 3
    MAXIMUM = 4
    AVERAGE = 5


def _integer(note: str, unit: str = "", low: int = 0, high: int = MAX_INTEGER) -> Any:
    """A field of a descriptor: what it means, what it counts, and what it may be."""
    return field(default=0, metadata={"note": note, "unit": unit, "low": low, "high": high})


def _field(bits: int, note: str, unit: str = "", low: int = 0) -> Any:
    """An unsigned field of so many bits."""
    return _integer(note, unit, low, 2**bits - 1)


def _flag(note: str) -> Any:
    return _integer(note, "0 or 1", 0, 1)


def _int8(note: str) -> Any:
    return _integer(note, "int8", -128, 127)


def _map(note: str) -> Any:
    return _integer(note, "map memory", 0, MAPS - 1)


def _address(note: str) -> Any:
    """An on-chip address, or a step between two: modulo 2**16, so that steps may go back."""
    return _field(16, note, "words, modulo 2¹⁶")


def _offset(note: str) -> Any:
    return _integer(note, "words per image of the batch")


@dataclass(frozen=True)
class Descriptor:
    """A phase. ``docs/descriptor.md`` says what it computes, as a program.

    The fields are the integers of a descriptor in their order. This is the only place that lists
    them: :data:`Field`, the C++ and the page are made from it.
    """

    opcode: int = _integer("what the phase does", "Opcode", min(Opcode), max(Opcode))

    # What the phase takes in before it begins: while the phase before it runs.
    tables: int = _flag("whether its set begins with tables")
    groups: int = _field(8, "groups of filters; a group fills the lanes", "groups", low=1)
    vectors: int = _field(16, "weight vectors of its first pass", "vectors")
    set_offset: int = _integer("where its set is", "words of the program")
    set_words: int = _field(
        24, "tables, constants and places of all groups, weights of the first pass"
    )
    passes: int = _field(
        12, "parts of the taps whose weights are on chip at a time", "passes", low=1
    )
    last_pass_vectors: int = _field(16, "weight vectors of the last pass", "vectors")
    weights_offset: int = _integer("where the weights of all passes are", "words of the program")
    weights_words: int = _field(24, "weights of all passes", "words")
    first_pass_words: int = _field(24, "weights of the first pass", "words")

    # The order of phases.
    layer: int = _field(16, "layers that are finished when the phase is", "layers")
    whole_batch: int = _flag("whether the phase computes all images; otherwise one")
    segment_phases: int = _field(
        12,
        "phases of the segment that ends here, which runs image by image; 0: none ends",
        "phases",
    )
    next_set_words: int = _field(24, "the set of the phase behind this one; 0: there is none")
    again_set_words: int = _field(24, "the set of the segment's first phase, if it ends here")

    # Feature maps in memory.
    source_loaded: int = _flag("whether the input comes from memory; otherwise it is on chip")
    source_ahead: int = _flag(
        "whether it does so for the first image only: later ones are loaded ahead"
    )
    source_offset: int = _offset("where the input is")
    source_image_words: int = _integer("size of the input", "words per image")
    residual_loaded: int = _flag("whether the residual operand comes from memory")
    residual_offset: int = _offset("where the residual operand is")
    residual_image_words: int = _integer("size of the residual operand", "words per image")
    destination_stored: int = _flag("whether the output goes to memory")
    destination_offset: int = _offset("where the output goes")
    destination_image_words: int = _integer("size of the output", "words per image")
    destination_first: int = _field(12, "first word of each pixel that is stored", "words")
    ahead_words: int = _field(16, "words of the next image that are loaded meanwhile", "words")
    ahead_offset: int = _offset("where they are")
    ahead_image_words: int = _integer("size of the map they are of", "words per image")

    # Feature maps on chip.
    source_map: int = _map("memory of the input")
    source_base: int = _address("its first word")
    source_half: int = _address("from a tile to the next, of two")
    residual_map: int = _map("memory of the residual operand")
    residual_base: int = _address("its first word")
    residual_half: int = _address("from a tile to the next, of two")
    destination_map: int = _map("memory of the output")
    destination_base: int = _address("its first word")
    destination_half: int = _address("from a tile to the next, of two")
    outgoing_base: int = _address("first word that is stored")
    ahead_map: int = _map("memory of what is loaded ahead")
    ahead_base: int = _address("its first word")

    # Tiles: output rows that are computed at a time.
    tiles: int = _field(16, "tiles of an image", "tiles", low=1)
    tile_rows: int = _field(16, "output rows of a tile", "rows", low=1)
    last_tile_rows: int = _field(16, "output rows of the last tile", "rows", low=1)
    tile_stride: int = _field(16, "from a tile's first input row to the next tile's", "rows")
    tile_span: int = _field(16, "input rows that a tile sees, less one", "rows")
    last_tile_span: int = _field(16, "input rows that the last tile takes in, less one", "rows")

    # The input.
    input_rows: int = _field(15, "height of the input", "rows", low=1)
    input_columns: int = _field(12, "width of the input", "columns", low=1)
    input_row_words: int = _field(16, "a row of the input", "words", low=1)
    padding_top: int = _field(12, "padding above the input", "input rows")
    padding_left: int = _field(12, "padding left of the input", "input columns")
    padding_left_words: int = _address("padding left of the input")
    stride_rows: int = _field(12, "from an output row to the next", "input rows", low=1)
    stride_columns: int = _field(12, "from an output column to the next", "input columns", low=1)
    stride_row_words: int = _address("from an output row's windows to the next row's")
    stride_column_words: int = _address("from an output column's window to the next")

    # The kernel.
    kernel_rows: int = _field(16, "height of the kernel", "steps", low=1)
    kernel_columns: int = _field(12, "width of the kernel", "steps", low=1)
    tap_words: int = _field(
        12, "words of a kernel position that are taps of their own", "words", low=1
    )
    kernel_row_step: int = _field(12, "from a kernel row to the next", "input rows", low=1)
    kernel_column_step: int = _field(12, "from a kernel column to the next", "input columns", low=1)
    kernel_row_words: int = _address("from a kernel row to the next")
    kernel_column_words: int = _address("from a kernel column to the next")
    pass_taps: int = _field(16, "taps of a pass", "taps", low=1)
    last_pass_taps: int = _field(16, "taps of the last pass", "taps", low=1)
    fresh_rows: int = _field(16, "kernel rows that a window moving down a row reads", "kernel rows")
    fresh_taps: int = _field(16, "taps that a window moving down a row reads", "taps")
    fold_channels: int = _field(
        8, "channels of each tap, where a word takes several taps; 0: it does not"
    )
    fold_columns: int = _field(8, "kernel columns that lie side by side in a word", "columns")
    fold_row_step: int = _field(12, "from a kernel row in a word to the next", "input rows")
    fold_column_step: int = _field(
        12, "from a kernel column in a word to the next", "input columns"
    )
    fold_row_words: int = _address("from a kernel row in a word to the next")
    fold_column_words: int = _address("from a kernel column in a word to the next")

    # The output.
    output_columns: int = _field(12, "width of the output", "columns", low=1)
    output_row_words: int = _field(16, "a row of the output, all channels", "words", low=1)
    output_pixel_words: int = _field(12, "a pixel of the output, all channels", "words", low=1)
    block_word: int = _field(12, "first word of each pixel that the phase computes", "words")
    pixel_step: int = _address("from an output pixel on chip to the next")
    row_step: int = _address("from an output row on chip to the next")
    store_pixel_words: int = _field(12, "words of each pixel that are stored", "words", low=1)
    store_row_words: int = _field(16, "words of each row that are stored", "words", low=1)

    # Steps of the loop.
    first_row_steps: int = _field(24, "steps that a tile's first row takes in a pass", "steps")
    row_steps: int = _field(24, "steps that each other row takes", "steps")
    last_pass_row_steps: int = _field(24, "steps that a row takes in the last pass", "steps")
    incoming_pace: int = _field(12, "steps from a loaded word to the next", "steps", low=1)
    outgoing_pace: int = _field(12, "steps from a stored word to the next", "steps", low=1)
    set_pace: int = _field(
        12, "steps from a word of the next set to the one after it", "steps", low=1
    )

    # Numbers.
    has_residual: int = _flag("whether the residual operand is added")
    source_zero_point: int = _int8("zero point of the input")
    pre_add_zero_point: int = _int8("zero point of what the lanes compute")
    pre_add_low: int = _int8("smallest value that leaves the lanes")
    pre_add_high: int = _int8("largest value that leaves the lanes")
    destination_zero_point: int = _int8("zero point of a sum of two maps")
    clamp_low: int = _int8("smallest sum of two maps")
    clamp_high: int = _int8("largest sum of two maps")
    destination_multiplier: int = _integer("factor of a sum of two maps", "2^-31")
    destination_shift: int = _integer("that factor's shift: left where positive", "bits", -31, 30)

    @property
    def has_weights(self) -> bool:
        """Whether there are weights to multiply by."""
        return self.opcode in (Opcode.CONVOLUTION, Opcode.DEPTHWISE)

    @property
    def taps(self) -> int:
        """Operand words that one output takes."""
        return self.kernel_rows * self.kernel_columns * self.tap_words

    @property
    def output_rows(self) -> int:
        """Height of the output."""
        return (self.tiles - 1) * self.tile_rows + self.last_tile_rows

    @property
    def output_pixels(self) -> int:
        """Output positions of an image."""
        return self.output_rows * self.output_columns

    def record(self) -> npt.NDArray[np.uint32]:
        """The descriptor in a program, with its checksum: uint32 [RECORD_INTEGERS].

        Raises:
            ProgramError: a field is outside its range.
        """
        for item in fields(self):
            value, low, high = getattr(self, item.name), item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:
                raise ProgramError(
                    f"{item.name} = {value} cannot be in a descriptor: it may be {low} to {high}"
                )
        return _record(
            {Field[item.name.upper()]: getattr(self, item.name) for item in fields(self)}
        )

    @classmethod
    def of(cls, integers: Sequence[int] | npt.NDArray[np.int32]) -> Descriptor:
        """The descriptor that a program's integers are: int32 [RECORD_INTEGERS]."""
        return cls(*(int(value) for value in integers[: len(fields(cls))]))


def _places(descriptor: type[Descriptor]) -> Any:
    return IntEnum("Field", {item.name.upper(): n for n, item in enumerate(fields(descriptor))})


Field = _places(Descriptor)
"""Places of a descriptor's integers: an IntEnum, its members the fields in capitals."""


class Constant(IntEnum):
    """Integers per lane and group in a phase's constants."""

    BIAS = 0
    MULTIPLIER = 1
    SHIFT = 2
    SPARE = 3


CONSTANT_INTEGERS = len(Constant)

PLACE_LANE_BITS = 6
"""Of a byte's place: which lane's filter has its channel there."""
MAX_LANES = 1 << PLACE_LANE_BITS
PLACE_USED = 1 << PLACE_LANE_BITS
PLACE_WORD_SHIFT = PLACE_LANE_BITS + 1
MOST_PLACE_WORDS = 1 << (16 - PLACE_WORD_SHIFT)
"""Words of a pixel that a place tells apart: a phase computes as many at most."""
LANE_USED = 1 << 7
"""Of a lane's place: it has a filter; the bits below are the byte of its channel."""


class Status(IntEnum):
    """What the core reports when it is done."""

    OK = 0
    BAD_MAGIC = 1
    BAD_VERSION = 2
    WRONG_OVERLAY = 3
    BAD_CHECKSUM = 4
    BAD_OPCODE = 5
    DOES_NOT_FIT = 6


STATUS_TEXT = {
    Status.OK: "finished",
    Status.BAD_MAGIC: "the program address does not hold a program",
    Status.BAD_VERSION: "the program was compiled for another version of the instruction set",
    Status.WRONG_OVERLAY: "the program was compiled for another overlay",
    Status.BAD_CHECKSUM: "a descriptor is damaged",
    Status.BAD_OPCODE: "a descriptor has an unknown opcode",
    Status.DOES_NOT_FIT: "a layer is larger than the on-chip buffers",
}


def header(
    overlay: int, phases: int, program_words: int, first_set_words: int
) -> npt.NDArray[np.uint32]:
    """The header of a program, with its checksum: uint32 [RECORD_INTEGERS].

    Args:
        overlay: the overlay's identifier, an unsigned integer of 32 bits.
        phases: descriptors that follow.
        program_words: words of the whole program.
        first_set_words: words of the first phase's set.

    Raises:
        ProgramError: a value does not fit.
    """
    signed = overlay - 2**32 if overlay > MAX_INTEGER else overlay
    return _record(
        {
            Header.MAGIC: MAGIC,
            Header.VERSION: VERSION,
            Header.OVERLAY: signed,
            Header.PHASES: phases,
            Header.PROGRAM_WORDS: program_words,
            Header.FIRST_SET_WORDS: first_set_words,
        }
    )


def _record(values: Mapping[Any, int]) -> npt.NDArray[np.uint32]:
    """Integers by their places, the others zero, and the checksum."""
    integers = np.zeros(RECORD_INTEGERS, np.int32)
    for place, value in values.items():
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ProgramError(f"{place.name} = {value} does not fit a program's 32 bits")
        integers[place] = value
    words = integers.view(np.uint32)
    words[CHECKSUM_FIELD] = checksum(words[:CHECKSUM_FIELD])
    return words


def checksum(words: Sequence[int] | npt.NDArray[np.uint32]) -> int:
    """Sums with rotation in columns, so that a word of several integers is summed in one step:
    ``s = rotate_left(s, 1) + integer`` for each column, from a seed; the columns, each rotated by
    4 bits more than the one before it, are added. All modulo 2**32."""
    sums = [MAGIC] * CHECKSUM_COLUMNS
    for place, word in enumerate(words):
        column = place % CHECKSUM_COLUMNS
        sums[column] = (_rotated(sums[column], 1) + int(word)) & 0xFFFFFFFF
    return sum(_rotated(s, 4 * column) for column, s in enumerate(sums)) & 0xFFFFFFFF


def _rotated(value: int, bits: int) -> int:
    """An unsigned integer of 32 bits, rotated left."""
    return ((value << bits) | (value >> (32 - bits))) & 0xFFFFFFFF
