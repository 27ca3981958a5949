"""The accelerator's instruction set: layer descriptors, program header, status codes.

This file is the single source: ``hls/include/axynq/isa.hpp`` is generated from it.

A program is one block of memory in words of the overlay (``inputs`` bytes each): the header, one
descriptor per layer, then weights and constants. Header and descriptors are 64 integers of 32 bits,
little-endian, the last of which is a checksum of the others.

Sizes and offsets are in words unless stated otherwise. A feature map lies in memory as rows of
pixels; a pixel is ``ceil(channels / inputs)`` words with the channels in order. Tensors of a batch
are contiguous, so image ``n`` of a tensor starts at ``images * offset + n * image_words``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

VERSION = 2
"""Changes whenever a program of another version would be misread."""

MAGIC = 0x4E595841
"""``AXYN`` in little-endian ASCII: the first integer of a program."""

RECORD_INTEGERS = 64
"""Integers in the header and in each descriptor."""

CHECKSUM_FIELD = RECORD_INTEGERS - 1


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


class Field(IntEnum):
    """Integers of a layer descriptor."""

    OPCODE = 0
    SOURCE_OFFSET = 1
    SOURCE_IMAGE_WORDS = 2
    SECOND_OFFSET = 3
    SECOND_IMAGE_WORDS = 4
    DESTINATION_OFFSET = 5
    DESTINATION_IMAGE_WORDS = 6
    INPUT_ROWS = 7
    INPUT_COLUMNS = 8
    INPUT_PIXEL_WORDS = 9
    OUTPUT_ROWS = 10
    OUTPUT_COLUMNS = 11
    OUTPUT_PIXEL_WORDS = 12
    KERNEL_ROWS = 13
    KERNEL_COLUMNS = 14
    STRIDE_ROWS = 15
    STRIDE_COLUMNS = 16
    DILATION_ROWS = 17
    DILATION_COLUMNS = 18
    PADDING_TOP = 19
    PADDING_LEFT = 20
    FOLD_CHANNELS = 21
    FOLD_ROWS = 22
    FOLD_COLUMNS = 23
    TILE_ROWS = 24
    PASSES = 25
    PASS_TAPS = 26
    BLOCKS = 27
    BLOCK_GROUPS = 28
    BLOCK_PIXEL_WORDS = 29
    WEIGHTS_OFFSET = 30
    CONSTANTS_OFFSET = 31
    RESIDUAL = 32
    SOURCE_ZERO_POINT = 33
    INNER_ZERO_POINT = 34
    INNER_LOW = 35
    INNER_HIGH = 36
    SECOND_ZERO_POINT = 37
    DESTINATION_ZERO_POINT = 38
    CLAMP_LOW = 39
    CLAMP_HIGH = 40
    INNER_MULTIPLIER = 41
    INNER_SHIFT = 42
    SECOND_MULTIPLIER = 43
    SECOND_SHIFT = 44
    DESTINATION_MULTIPLIER = 45
    DESTINATION_SHIFT = 46


FIELD_NOTES = {
    Field.SECOND_OFFSET: "operand of the addition that is not computed here",
    Field.FOLD_CHANNELS: "with few channels, byte lanes take several taps: channels of each tap,",
    Field.FOLD_ROWS: "kernel rows that lie side by side in a step,",
    Field.FOLD_COLUMNS: "and kernel columns; the kernel is counted in steps of them",
    Field.TILE_ROWS: "output rows computed at a time",
    Field.PASSES: "parts of the taps whose weights are on chip at a time, and taps of each",
    Field.BLOCKS: "filter blocks whose weights are on chip at a time",
    Field.BLOCK_GROUPS: "groups of filters in a block; a group fills the lanes once",
    Field.BLOCK_PIXEL_WORDS: "words of each output pixel that a block computes",
    Field.WEIGHTS_OFFSET: "from the start of the program",
    Field.CONSTANTS_OFFSET: "from the start of the program",
    Field.RESIDUAL: "1: the second operand is added to what is computed",
    Field.INNER_ZERO_POINT: "of what is computed, before the addition",
    Field.INNER_MULTIPLIER: "factors of the addition; a mean uses the destination's",
}


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


def record(values: dict[IntEnum, int]) -> npt.NDArray[np.uint32]:
    """A header or descriptor, with its checksum, from the fields that are not zero."""
    integers = np.zeros(RECORD_INTEGERS, np.int64)
    for field, value in values.items():
        if not -(2**31) <= value < 2**32:
            raise OverflowError(f"{field.name} = {value} does not fit 32 bits")
        integers[field] = value
    words = (integers & 0xFFFFFFFF).astype(np.uint32)
    words[CHECKSUM_FIELD] = checksum(words[:CHECKSUM_FIELD])
    return words


def checksum(words: Sequence[int] | npt.NDArray[np.uint32]) -> int:
    """Sum with rotation: ``s = rotate_left(s, 1) + word``, from a seed, modulo 2**32."""
    total = MAGIC
    for word in words:
        total = (((total << 1) | (total >> 31)) + int(word)) & 0xFFFFFFFF
    return total


def isa_header() -> str:
    """The C++ header that the accelerator is compiled with."""
    lines = [
        "// Generated from host/isa.py. Do not edit: run `make generate`.",
        "#ifndef AXYNQ_ISA_HPP",
        "#define AXYNQ_ISA_HPP",
        "",
        "#include <cstdint>",
        "",
        "namespace axynq {",
        "",
        f"const std::uint32_t ISA_VERSION = {VERSION};",
        f"const std::uint32_t PROGRAM_MAGIC = 0x{MAGIC:08X}u;",
        f"const int RECORD_INTEGERS = {RECORD_INTEGERS};",
        f"const int CHECKSUM_FIELD = {CHECKSUM_FIELD};",
        f"const int CONSTANT_INTEGERS = {CONSTANT_INTEGERS};",
        "",
    ]
    groups: tuple[tuple[type[IntEnum], str], ...] = (
        (Header, "HEADER_"),
        (Opcode, "OPCODE_"),
        (Field, "FIELD_"),
        (Constant, "CONSTANT_"),
        (Status, "STATUS_"),
    )
    for kind, prefix in groups:
        assert kind.__doc__ is not None
        lines.append(f"// {kind.__doc__.splitlines()[0]}")
        lines.append("enum {")
        for member in kind:
            note = FIELD_NOTES.get(member) if isinstance(member, Field) else None
            comment = f"  // {note}" if note else ""
            lines.append(f"  {prefix}{member.name} = {int(member)},{comment}")
        lines += ["};", ""]
    lines += ["}  // namespace axynq", "", "#endif", ""]
    return "\n".join(lines)
