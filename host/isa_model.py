# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a program computes, in plain loops: the executable definition in ``docs/descriptor.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.host.isa import (
    CONSTANT_INTEGERS,
    LANE_USED,
    MAPS,
    MAX_WINDOW_TAPS,
    PLACE_WORD_SHIFT,
    RECORD_INTEGERS,
    TABLE_ENTRIES,
    Constant,
    Descriptor,
    Header,
    Opcode,
)

Int8 = npt.NDArray[np.int8]


class Array(NamedTuple):
    """The array of an overlay."""

    filters: int
    """Number of lanes."""
    inputs: int
    """Multipliers per lane, and bytes per word."""
    code_bits: int
    """Bits of a stored code; 0: codes are not stored."""
    product: Callable[[int, int, int, int], int]
    """The product by the multiplier that a code selects: (lane, code, activation - zero point,
    weight)."""

    def words(self, size: int) -> int:
        """Number of words for ``size`` bytes."""
        return -(-size // self.inputs)

    @property
    def rounds(self) -> int:
        """How often the lanes pass through the bytes of a word, with ``inputs`` lanes each time."""
        return self.words(self.filters)

    @property
    def window_taps(self) -> int:
        """Taps of a depthwise window that a lane multiplies per step."""
        return min(self.inputs, MAX_WINDOW_TAPS)

    @property
    def vector_words(self) -> int:
        """Words per weight vector: a word of weights per lane, then the codes of all lanes."""
        return self.filters + -(-self.filters * self.code_bits // 8)

    @property
    def pair_words(self) -> int:
        """Words per table entry: a pair of integers, one of each table."""
        return self.words(2 * 4)

    @property
    def constant_words(self) -> int:
        """Words of a group's constants, which precede its places."""
        return self.words(self.filters * CONSTANT_INTEGERS * 4)

    @property
    def group_words(self) -> int:
        """Words of a group's constants and places. Places are two bytes for each byte of a word in
        each round, and one byte for each lane."""
        return self.constant_words + 2 * self.rounds + self.words(self.filters)


@dataclass(frozen=True)
class Core:
    """The state of the accelerator while it computes a batch."""

    array: Array
    program: Int8
    memory: Int8
    """Feature maps of all images."""
    images: int
    maps: tuple[dict[int, int], ...]
    """The on-chip map memories: bytes by address. Bytes that were not written cannot be read."""


def run_program(array: Array, program: Int8, memory: Int8, images: int) -> None:
    """Run all phases in order, on the feature maps of a batch in ``memory``."""
    core = Core(array, program, memory, images, tuple({} for _ in range(MAPS)))
    for d, image in phases(program, images):
        if not d.whole_batch:
            run_phase(core, d, image)
            continue
        for each in range(images):
            for feature_map in core.maps:
                feature_map.clear()  # such phases neither find nor leave anything on chip
            run_phase(core, d, each)


def phases(program: Int8, images: int) -> Iterator[tuple[Descriptor, int]]:
    """Descriptors in the order in which they run, each with its image. Consecutive phases may form
    a segment, which runs image by image; the last of them has the number of its phases."""
    integers = program.view("<i4")
    phase = image = 0
    while phase < integers[Header.PHASES]:
        d = Descriptor.of(integers[(1 + phase) * RECORD_INTEGERS :])
        yield d, image
        if d.segment_phases and image + 1 < images:
            phase, image = phase - d.segment_phases + 1, image + 1
        elif d.segment_phases:
            phase, image = phase + 1, 0
        else:
            phase += 1


def run_phase(core: Core, d: Descriptor, image: int) -> None:
    """Compute one image of a phase. In each group, a lane computes one channel."""
    load(core, d, image)
    for group in range(d.groups):
        for lane in range(core.array.filters):
            own = lane_filter(core, d, group, lane)
            if own is None:
                continue
            taps = list(lane_taps(core, d, group, lane, own))
            for row in range(d.output_rows):
                for column in range(d.output_columns):
                    value = computed(core, d, own, window(core, d, taps, row, column), lane)
                    if d.has_residual:
                        pixel = row * d.output_columns + column
                        word = pixel * d.output_pixel_words + d.block_word + own.word
                        address = (d.residual_base + word) * core.array.inputs + own.byte
                        # A mere look-up is a sum whose second table is all zeros. The operand may
                        # then be any value.
                        operand = core.maps[d.residual_map].get(address, 0)
                        value = add(core, d, value, operand)
                    word = d.destination_base + row * d.row_step + column * d.pixel_step + own.word
                    address = word * core.array.inputs + own.byte
                    core.maps[d.destination_map][address] = value
    store(core, d, image)


# --- maps between memory and chip -----------------------------------------------------------------


def load(core: Core, d: Descriptor, image: int) -> None:
    """Load the input, the residual operand, and the input of the next image. Only those input rows
    are loaded that tiles read, up to the span of the last one. (The core loads one tile at a time
    and alternates between two places.)"""
    if d.source_loaded and not (d.source_ahead and image > 0):
        first = d.source_offset * core.images + image * d.source_image_words
        behind = (d.tiles - 1) * d.tile_stride + d.last_tile_span + 1 - d.padding_top
        words = max(min(behind, d.input_rows), 0) * d.input_row_words
        copy_in(core, d, first, words, d.source_map, d.source_base, d.fold_channels)
    if d.residual_loaded:
        first = d.residual_offset * core.images + image * d.residual_image_words
        words = d.output_rows * d.output_row_words
        copy_in(core, d, first, words, d.residual_map, d.residual_base)
    if d.ahead_words and image + 1 < core.images:
        first = d.ahead_offset * core.images + (image + 1) * d.ahead_image_words
        copy_in(core, d, first, d.ahead_words, d.ahead_map, d.ahead_base)


def copy_in(
    core: Core, d: Descriptor, first: int, words: int, feature_map: int, base: int, fold: int = 0
) -> None:
    """Copy words from external memory to a map memory. If a word holds several taps of ``fold``
    channels, these channels are repeated in its bytes."""
    inputs = core.array.inputs
    for word in range(words):
        for byte in range(inputs):
            value = core.memory[(first + word) * inputs + (byte % fold if fold else byte)]
            core.maps[feature_map][(base + word) * inputs + byte] = int(value)


def store(core: Core, d: Descriptor, image: int) -> None:
    """Store the output. Bytes that belong to no channel may get any value."""
    if not d.destination_stored:
        return
    inputs, outgoing = core.array.inputs, core.maps[d.destination_map]
    target = d.destination_offset * core.images + image * d.destination_image_words
    for row in range(d.output_rows):
        for column in range(d.output_columns):
            for word in range(d.store_pixel_words):
                here = d.outgoing_base + row * d.store_row_words
                here += column * d.store_pixel_words + word
                there = target + row * d.output_row_words
                there += column * d.output_pixel_words + d.destination_first + word
                for byte in range(inputs):
                    value = outgoing.get(here * inputs + byte, 0)
                    core.memory[there * inputs + byte] = value


# --- the set: what a phase loads before it begins -------------------------------------------------


class Filter(NamedTuple):
    """A lane's filter in a group: its constants, and the place of its output channel."""

    bias: int
    multiplier: int
    shift: int
    word: int
    """Word of the pixel, counted from the first word of the phase."""
    byte: int
    """Byte of that word."""


def table(core: Core, d: Descriptor, which: int, entry: int) -> int:
    """An entry of the first (``which`` = 0) or the second table (1)."""
    first = d.set_offset + core.array.pair_words * entry
    return int(core.program[first * core.array.inputs :].view("<i4")[which])


def lane_filter(core: Core, d: Descriptor, group: int, lane: int) -> Filter | None:
    """A lane's filter in a group; None if it has none."""
    array = core.array
    first = d.set_offset + array.group_words * group
    if d.tables:
        first += array.pair_words * TABLE_ENTRIES
    constants = core.program[first * array.inputs :].view("<i4")
    places = core.program[(first + array.constant_words) * array.inputs :].view("<u2")
    behind = first + array.constant_words + 2 * array.rounds
    lanes = core.program[behind * array.inputs :].view(np.uint8)
    if not lanes[lane] & LANE_USED:
        return None
    byte = int(lanes[lane]) % LANE_USED
    constant = [int(c) for c in constants[lane * CONSTANT_INTEGERS :][:CONSTANT_INTEGERS]]
    return Filter(
        constant[Constant.BIAS],
        constant[Constant.MULTIPLIER],
        constant[Constant.SHIFT],
        int(places[lane // array.inputs * array.inputs + byte]) >> PLACE_WORD_SHIFT,
        byte,
    )


def weight_and_code(
    core: Core, d: Descriptor, vector: int, lane: int, byte: int
) -> tuple[int, int]:
    """A weight of a lane in a vector, and the code that selects its multiplier."""
    array = core.array
    first = (d.weights_offset + vector * array.vector_words) * array.inputs
    index = lane * array.inputs + byte
    weight = int(core.program[first + index])
    if not array.code_bits:
        return weight, 0
    place, shift = divmod(index * array.code_bits, 8)
    codes = int(core.program[first + array.filters * array.inputs + place])
    return weight, codes >> shift & ((1 << array.code_bits) - 1)


# --- operands -------------------------------------------------------------------------------------


class Tap(NamedTuple):
    """A tap of a lane: where its activation is, and what it is multiplied by."""

    row: int
    """Offset from the first row of the window, in input rows."""
    column: int
    """Offset from its first column, in input columns."""
    word: int
    """Word of the pixel."""
    byte: int
    """Byte of that word."""
    weight: int
    code: int


def lane_taps(core: Core, d: Descriptor, group: int, lane: int, own: Filter) -> Iterator[Tap]:
    """The taps of a lane's output, except those whose weight is zero: their products are zero,
    whatever the multiplier."""
    for tap in range(d.taps):
        position, word = divmod(tap, d.tap_words)
        kernel_row, kernel_column = divmod(position, d.kernel_columns)
        row, column = kernel_row * d.kernel_row_step, kernel_column * d.kernel_column_step
        if not d.has_weights:
            yield Tap(row, column, d.block_word + own.word, own.byte, 1, 0)
        elif d.opcode == Opcode.DEPTHWISE:
            vector, byte = depthwise_place(core, d, group, tap)
            weight, code = weight_and_code(core, d, vector, lane, byte)
            if weight:
                yield Tap(row, column, d.block_word + own.word, own.byte, weight, code)
        else:
            vector = convolution_vector(d, group, tap)
            for byte in range(core.array.inputs):
                weight, code = weight_and_code(core, d, vector, lane, byte)
                if weight:
                    # A word with several taps has kernel columns of channels, then rows of these.
                    neighbour = byte // d.fold_channels if d.fold_channels else 0
                    fold_row, fold_column = divmod(neighbour, max(d.fold_columns, 1))
                    yield Tap(
                        row + fold_row * d.fold_row_step,
                        column + fold_column * d.fold_column_step,
                        word, byte, weight, code,
                    )  # fmt: skip


def convolution_vector(d: Descriptor, group: int, tap: int) -> int:
    """The weight vector of a tap. Vectors are in the order pass, group, tap of the pass."""
    number, within = divmod(tap, d.pass_taps)
    pass_taps = d.last_pass_taps if number == d.passes - 1 else d.pass_taps
    return number * d.groups * d.pass_taps + group * pass_taps + within


def depthwise_place(core: Core, d: Descriptor, group: int, tap: int) -> tuple[int, int]:
    """The weight vector and byte of a depthwise tap. A window is at the end of its vector, and the
    last one of a group is aligned to the end, too."""
    window = core.array.window_taps
    vectors = -(-d.taps // window)
    vector, place = divmod(tap, window)
    if vector == vectors - 1:
        place += vectors * window - d.taps
    return group * vectors + vector, core.array.inputs - window + place


class Operand(NamedTuple):
    """A tap inside the input, with its activation."""

    activation: int
    """The input value minus the zero point."""
    weight: int
    code: int


def window(
    core: Core, d: Descriptor, taps: list[Tap], output_row: int, output_column: int
) -> list[Operand]:
    """A lane's operands for an output. Taps outside the input have activation 0: left out."""
    operands = []
    for tap in taps:
        row = output_row * d.stride_rows - d.padding_top + tap.row
        column = output_column * d.stride_columns - d.padding_left + tap.column
        if 0 <= row < d.input_rows and 0 <= column < d.input_columns:
            pixel_words = d.input_row_words // d.input_columns
            word = d.source_base + row * d.input_row_words + column * pixel_words + tap.word
            value = core.maps[d.source_map][word * core.array.inputs + tap.byte]
            operands.append(Operand(value - d.source_zero_point, tap.weight, tap.code))
    return operands


# --- arithmetic of the lanes ----------------------------------------------------------------------


def computed(core: Core, d: Descriptor, own: Filter, operands: list[Operand], lane: int) -> int:
    """A lane's output before the residual operand is added, int8."""
    if d.opcode == Opcode.AVERAGE:
        value = average(core, d, own, [operand.activation for operand in operands])
    else:
        if d.opcode == Opcode.MAXIMUM:
            total = max((operand.activation for operand in operands), default=-256)
        elif d.opcode == Opcode.SUM:
            total = sum(operand.activation for operand in operands)
        else:
            total = sum(
                core.array.product(lane, operand.code, operand.activation, operand.weight)
                for operand in operands
            )
        value = rescale(wrap(total + own.bias), own.multiplier, own.shift)
    return clamp(value + d.pre_add_zero_point, d.pre_add_low, d.pre_add_high)


def average(core: Core, d: Descriptor, own: Filter, values: list[int]) -> int:
    """The mean of the values, with halves away from zero: ``floor((2 * |total| + count) / (2 *
    count))`` with the sign of the total. The division is a multiplication by a reciprocal that is
    rounded up. Reciprocals come from a table, by count, or there is one for all windows."""
    total, count = sum(values), len(values)
    multiplier, right = own.multiplier, -own.shift
    if d.tables:
        multiplier, right = table(core, d, 1, count), 0
    magnitude = (2 * abs(total) + count) * multiplier >> 31 >> right
    return magnitude if total >= 0 else -magnitude


def add(core: Core, d: Descriptor, value: int, residual: int) -> int:
    """A lane's output plus the residual operand, both brought to one scale by tables."""
    total = wrap(table(core, d, 0, value % 256) + table(core, d, 1, residual % 256))
    total = rescale(total, d.destination_multiplier, d.destination_shift)
    return clamp(total + d.destination_zero_point, d.clamp_low, d.clamp_high)


# --- numbers --------------------------------------------------------------------------------------


def wrap(value: int) -> int:
    """The value modulo 2**32, as a signed 32-bit integer."""
    return (value + 2**31) % 2**32 - 2**31


def clamp(value: int, low: int, high: int) -> int:
    """The value, limited to ``low..high``."""
    return min(max(value, low), high)


def rescale(value: int, multiplier: int, shift: int) -> int:
    """``value * multiplier / 2**31 * 2**shift``, rounded twice: to the high half of the doubled
    product with halves up, then by the right shift with halves away from zero."""
    widened = clamp(value << max(shift, 0), -(2**31), 2**31 - 1)
    high = (widened * multiplier + 2**30) >> 31
    right = max(-shift, 0)
    half = (1 << right) >> 1
    return (abs(high) + half >> right) * (1 if high >= 0 else -1)
