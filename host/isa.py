"""The accelerator's instruction set: layer descriptors, program header, status codes.

This file is the single source: ``hls/include/axynq/isa.hpp`` and ``docs/descriptor.md`` are
generated from it.

A program is one block of memory in words of the overlay (``inputs`` bytes each): the header, one
descriptor per layer, then weights and constants. Header and descriptors are 64 integers of 32 bits,
little-endian, the last of which is a checksum of the others.

Sizes and offsets are in words unless stated otherwise. A feature map lies in memory as rows of
pixels; a pixel is ``ceil(channels / inputs)`` words with the channels in order. Tensors of a batch
are contiguous, so image ``n`` of a tensor starts at ``images * offset + n * image_words``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ProgramError

VERSION = 2
"""Changes whenever a program of another version would be misread."""

MAGIC = 0x4E595841
"""``AXYN`` in little-endian ASCII: the first integer of a program."""

RECORD_INTEGERS = 64
"""Integers in the header and in each descriptor."""

CHECKSUM_FIELD = RECORD_INTEGERS - 1

MIN_INTEGER, MAX_INTEGER = -(2**31), 2**31 - 1


class Header(IntEnum):
    """Integers of the program header."""

    MAGIC = 0
    VERSION = 1
    OVERLAY = 2
    LAYERS = 3
    PROGRAM_WORDS = 4


class Opcode(IntEnum):
    """What a layer does. 0 is left out, so that cleared memory is no program."""

    CONVOLUTION = 1
    DEPTHWISE = 2
    ADD = 3
    MAX_POOL = 4
    AVERAGE_POOL = 5
    MEAN = 6
    PAD = 7


def _integer(note: str, unit: str = "", low: int = 0, high: int = MAX_INTEGER) -> Any:
    """A field of a descriptor: what it means, what it counts, and what it may be."""
    return field(default=0, metadata={"note": note, "unit": unit, "low": low, "high": high})


def _count(note: str, unit: str = "") -> Any:
    return _integer(note, unit, low=1)


def _int8(note: str) -> Any:
    return _integer(note, "int8", -128, 127)


def _shift(note: str) -> Any:
    return _integer(note, "bits", -31, 30)


@dataclass(frozen=True)
class Descriptor:
    """What a layer computes. ``docs/descriptor.md`` says how, as a program.

    The fields are the integers of a descriptor in their order. This is the only place that lists
    them: :data:`Field`, the C++ and the page are made from it.
    """

    opcode: int = _integer("what the layer does", "Opcode", min(Opcode), max(Opcode))

    source_offset: int = _integer("where the input is", "words per image of the batch")
    source_image_words: int = _integer("size of the input", "words per image")
    residual_offset: int = _integer("where the residual operand is", "words per image of the batch")
    residual_image_words: int = _integer("size of the residual operand", "words per image")
    destination_offset: int = _integer("where the output goes", "words per image of the batch")
    destination_image_words: int = _integer("size of the output", "words per image")

    input_rows: int = _count("height of the input", "rows")
    input_columns: int = _count("width of the input", "columns")
    input_pixel_words: int = _count("all channels of a pixel of the input", "words")
    output_rows: int = _count("height of the output", "rows")
    output_columns: int = _count("width of the output", "columns")
    output_pixel_words: int = _count("all channels of a pixel of the output", "words")

    kernel_rows: int = _count("height of the kernel", "steps of fold_rows rows")
    kernel_columns: int = _count("width of the kernel", "steps of fold_columns columns")
    stride_rows: int = _count("from an output row to the next", "input rows")
    stride_columns: int = _count("from an output column to the next", "input columns")
    dilation_rows: int = _count("from a kernel row to the next", "input rows")
    dilation_columns: int = _count("from a kernel column to the next", "input columns")
    padding_top: int = _integer("padding above the input", "input rows")
    padding_left: int = _integer("padding left of the input", "input columns")

    fold_channels: int = _integer(
        "channels of each tap, where a word takes several taps", "channels"
    )
    fold_rows: int = _count("kernel rows that lie side by side in a word", "rows")
    fold_columns: int = _count("kernel columns that lie side by side in a word", "columns")

    tile_rows: int = _count("computed at a time", "output rows")
    passes: int = _count("parts of the taps whose weights are on chip at a time", "passes")
    pass_taps: int = _count("taps of a pass; the last may have fewer", "taps")
    blocks: int = _count("parts of the filters whose weights are on chip at a time", "blocks")
    block_groups: int = _integer("groups of filters in a block; a group fills the lanes", "groups")
    block_pixel_words: int = _count("what a block computes of each output pixel", "words")
    weights_offset: int = _integer("where weights and codes are", "words of the program")
    constants_offset: int = _integer("where the constants are", "words of the program")

    has_residual: int = _integer("whether the residual operand is added", "0 or 1", 0, 1)
    source_zero_point: int = _int8("zero point of the input")
    pre_add_zero_point: int = _int8("zero point of what the lanes compute")
    pre_add_low: int = _int8("smallest value that leaves the lanes")
    pre_add_high: int = _int8("largest value that leaves the lanes")
    residual_zero_point: int = _int8("zero point of the residual operand")
    destination_zero_point: int = _int8("zero point of a sum, a mean or a pad")
    clamp_low: int = _int8("smallest output of a sum or a pool")
    clamp_high: int = _int8("largest output of a sum or a pool")
    pre_add_multiplier: int = _integer("factor of what the lanes compute, in an addition", "2^-31")
    pre_add_shift: int = _shift("that factor's shift: left where positive")
    residual_multiplier: int = _integer("factor of the residual operand, in an addition", "2^-31")
    residual_shift: int = _shift("that factor's shift: left where positive")
    destination_multiplier: int = _integer("factor of an addition's sum, or of a mean's", "2^-31")
    destination_shift: int = _shift("that factor's shift: left where positive")

    @property
    def uses_lanes(self) -> bool:
        """Whether outputs leave the lanes: multiplied, or added."""
        return self.opcode in (Opcode.CONVOLUTION, Opcode.DEPTHWISE, Opcode.ADD)

    @property
    def has_weights(self) -> bool:
        """Whether there are weights to multiply by."""
        return self.opcode in (Opcode.CONVOLUTION, Opcode.DEPTHWISE)

    @property
    def tap_words(self) -> int:
        """Words of a kernel position that are taps of their own. A depthwise filter sees one
        byte of one of them."""
        return self.input_pixel_words if self.opcode == Opcode.CONVOLUTION else 1

    @property
    def taps(self) -> int:
        """Operand words that one output takes."""
        return self.kernel_rows * self.kernel_columns * self.tap_words

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
    """Integers per lane and group in a layer's constants."""

    BIAS = 0
    MULTIPLIER = 1
    SHIFT = 2
    CHANNEL = 3


CONSTANT_INTEGERS = len(Constant)

NO_CHANNEL = -1
"""Constant CHANNEL of a lane that a group leaves idle."""


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


def header(overlay: int, layers: int, program_words: int) -> npt.NDArray[np.uint32]:
    """The header of a program, with its checksum: uint32 [RECORD_INTEGERS].

    Args:
        overlay: the overlay's identifier, an unsigned integer of 32 bits.
        layers: descriptors that follow.
        program_words: words of the whole program.

    Raises:
        ProgramError: a value does not fit.
    """
    signed = overlay - 2**32 if overlay > MAX_INTEGER else overlay
    return _record(
        {
            Header.MAGIC: MAGIC,
            Header.VERSION: VERSION,
            Header.OVERLAY: signed,
            Header.LAYERS: layers,
            Header.PROGRAM_WORDS: program_words,
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
    """Sum with rotation: ``s = rotate_left(s, 1) + word``, from a seed, modulo 2**32."""
    total = MAGIC
    for word in words:
        total = (((total << 1) | (total >> 31)) + int(word)) & 0xFFFFFFFF
    return total
