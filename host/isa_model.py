"""What a layer computes from its descriptor, in plain loops. ``docs/descriptor.md`` shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.host.isa import NO_CHANNEL, RECORD_INTEGERS, Constant, Descriptor, Header, Opcode

Int8 = npt.NDArray[np.int8]


class Array(NamedTuple):
    """The array of an overlay."""

    filters: int
    """Lanes."""
    inputs: int
    """Multipliers of a lane, and bytes of a word."""
    code_bits: int
    """Bits of a stored code; 0: there are none."""
    product: Callable[[int, int, int, int], int]
    """Of a lane's multiplier with a code: (lane, code, activation - zero point, weight)."""

    @property
    def vector_words(self) -> int:
        """Words of a vector: a word of weights per lane, then the codes of all lanes."""
        return self.filters + -(-self.filters * self.code_bits // 8)


def run_program(array: Array, program: Int8, memory: Int8, images: int) -> None:
    """All layers, one after the other, on the feature maps of a batch in ``memory``."""
    integers = program.view("<i4")
    for layer in range(1, 1 + integers[Header.LAYERS]):
        d = Descriptor.of(integers[layer * RECORD_INTEGERS :])
        for image in range(images):
            if d.uses_lanes:
                multiply_and_add(array, d, program, memory, images, image)
            else:
                pool(array, d, memory, images, image)


class FeatureMap(NamedTuple):
    """One image of a tensor in memory."""

    memory: Int8
    first: int
    """Byte of its first channel."""
    columns: int
    pixel_bytes: int

    def address(self, row: int, column: int, channel: int) -> int:
        return self.first + (row * self.columns + column) * self.pixel_bytes + channel

    def load(self, row: int, column: int, channel: int) -> int:
        return int(self.memory[self.address(row, column, channel)])

    def store(self, row: int, column: int, channel: int, value: int) -> None:
        self.memory[self.address(row, column, channel)] = value


def feature_maps(
    array: Array, d: Descriptor, memory: Int8, images: int, image: int
) -> tuple[FeatureMap, FeatureMap, FeatureMap]:
    """Input, residual operand and output of a layer."""

    def at(offset: int, image_words: int, columns: int, pixel_words: int) -> FeatureMap:
        first = (offset * images + image * image_words) * array.inputs
        return FeatureMap(memory, first, columns, pixel_words * array.inputs)

    return (
        at(d.source_offset, d.source_image_words, d.input_columns, d.input_pixel_words),
        at(d.residual_offset, d.residual_image_words, d.output_columns, d.output_pixel_words),
        at(d.destination_offset, d.destination_image_words, d.output_columns, d.output_pixel_words),
    )


# --- layers whose outputs leave the lanes ---------------------------------------------------------


def multiply_and_add(
    array: Array, d: Descriptor, program: Int8, memory: Int8, images: int, image: int
) -> None:
    """CONVOLUTION, DEPTHWISE and ADD. A lane computes one channel in each group of a block."""
    source, residual, destination = feature_maps(array, d, memory, images, image)
    constants = program[d.constants_offset * array.inputs :].view("<i4")
    for block in range(d.blocks):
        for group in range(d.block_groups):
            for lane in range(array.filters):
                place = (block * d.block_groups + group) * array.filters + lane
                constant = [int(c) for c in constants[place * len(Constant) :][: len(Constant)]]
                channel = constant[Constant.CHANNEL]
                if channel == NO_CHANNEL:
                    continue
                taps = lane_taps(array, d, program, block, group, lane, channel)
                for row in range(d.output_rows):
                    for column in range(d.output_columns):
                        total = constant[Constant.BIAS]
                        total += lane_sum(array, d, source, taps, lane, row, column)
                        value = rescale(
                            wrap(total), constant[Constant.MULTIPLIER], constant[Constant.SHIFT]
                        )
                        value += d.pre_add_zero_point
                        value = clamp(value, d.pre_add_low, d.pre_add_high)
                        if d.has_residual:
                            value = add(d, value, residual.load(row, column, channel))
                        destination.store(row, column, channel, value)


class Tap(NamedTuple):
    """A product of a lane: where its activation is, and what that is multiplied by."""

    row: int
    """From the window's first, in input rows."""
    column: int
    channel: int
    weight: int
    code: int


def lane_taps(
    array: Array, d: Descriptor, program: Int8, block: int, group: int, lane: int, channel: int
) -> list[Tap]:
    """The products that make up an output of a lane, without those of weights of zero: these are
    zero, whatever the multiplier."""
    if d.opcode == Opcode.ADD:
        return [Tap(0, 0, channel, 1, 0)]  # goes through the lane unmultiplied
    taps = []
    for tap in range(d.taps):
        position, word = divmod(tap, d.tap_words)
        kernel_row, kernel_column = divmod(position, d.kernel_columns)
        if d.opcode == Opcode.DEPTHWISE:
            vector, byte = depthwise_place(array, d, block, group, tap)
            weight, code = weight_and_code(array, d, program, vector, lane, byte)
            row, column = kernel_row * d.dilation_rows, kernel_column * d.dilation_columns
            taps.append(Tap(row, column, channel, weight, code))
            continue
        vector = convolution_vector(d, block, group, tap)
        for byte in range(array.inputs):
            weight, code = weight_and_code(array, d, program, vector, lane, byte)
            # Where a word takes several taps: kernel columns of channels, then kernel rows.
            folded = d.fold_rows * d.fold_columns > 1
            neighbour, source_channel = divmod(byte, d.fold_channels) if folded else (0, byte)
            fold_row, fold_column = divmod(neighbour, d.fold_columns)
            row = (kernel_row * d.fold_rows + fold_row) * d.dilation_rows
            column = (kernel_column * d.fold_columns + fold_column) * d.dilation_columns
            taps.append(Tap(row, column, word * array.inputs + source_channel, weight, code))
    return [tap for tap in taps if tap.weight != 0]


def convolution_vector(d: Descriptor, block: int, group: int, tap: int) -> int:
    """Vectors lie in the order block, pass, group, tap."""
    first = tap // d.pass_taps * d.pass_taps
    pass_taps = min(d.pass_taps, d.taps - first)
    return (block * d.taps + first) * d.block_groups + group * pass_taps + tap - first


def depthwise_place(
    array: Array, d: Descriptor, block: int, group: int, tap: int
) -> tuple[int, int]:
    """Vector and byte of a tap. The last vector is filled from its end."""
    vectors = -(-d.taps // array.inputs)
    vector, byte = divmod(tap, array.inputs)
    if vector == vectors - 1:
        byte += vectors * array.inputs - d.taps
    return (block * d.block_groups + group) * vectors + vector, byte


def weight_and_code(
    array: Array, d: Descriptor, program: Int8, vector: int, lane: int, byte: int
) -> tuple[int, int]:
    """A lane's weight in a vector, and the code that selects its multiplier."""
    first = (d.weights_offset + vector * array.vector_words) * array.inputs
    index = lane * array.inputs + byte
    weight = int(program[first + index])
    if not array.code_bits:
        return weight, 0
    place, shift = divmod(index * array.code_bits, 8)
    codes = int(program[first + array.filters * array.inputs + place])
    return weight, codes >> shift & ((1 << array.code_bits) - 1)


def lane_sum(
    array: Array, d: Descriptor, source: FeatureMap, taps: list[Tap],
    lane: int, output_row: int, output_column: int,
) -> int:  # fmt: skip
    """The sum of a lane's products. Outside the input, activations are at the zero point."""
    total = 0
    for tap in taps:
        row = output_row * d.stride_rows - d.padding_top + tap.row
        column = output_column * d.stride_columns - d.padding_left + tap.column
        activation = 0
        if 0 <= row < d.input_rows and 0 <= column < d.input_columns:
            activation = source.load(row, column, tap.channel) - d.source_zero_point
        if d.opcode == Opcode.ADD:
            total += activation
        else:
            total += array.product(lane, tap.code, activation, tap.weight)
    return total


def add(d: Descriptor, computed: int, residual: int) -> int:
    """What a lane computed and the residual operand, brought to one scale and added."""
    # 20 bits more, so that little is lost to rounding.
    widened = (computed - d.pre_add_zero_point) << 20
    operand = (residual - d.residual_zero_point) << 20
    total = rescale(widened, d.pre_add_multiplier, d.pre_add_shift)
    total += rescale(operand, d.residual_multiplier, d.residual_shift)
    total = rescale(total, d.destination_multiplier, d.destination_shift)
    return clamp(total + d.destination_zero_point, d.clamp_low, d.clamp_high)


# --- layers that do not use the lanes -------------------------------------------------------------


def pool(array: Array, d: Descriptor, memory: Int8, images: int, image: int) -> None:
    """MAX_POOL, AVERAGE_POOL, MEAN and PAD: each byte for itself."""
    source, _, destination = feature_maps(array, d, memory, images, image)
    for row in range(d.output_rows):
        for column in range(d.output_columns):
            for channel in range(d.output_pixel_words * array.inputs):
                values = window(d, source, row, column, channel)
                destination.store(row, column, channel, pooled(d, values))


def window(
    d: Descriptor, source: FeatureMap, output_row: int, output_column: int, channel: int
) -> list[int]:
    """The values under a window that are inside the input."""
    top = output_row * d.stride_rows - d.padding_top
    left = output_column * d.stride_columns - d.padding_left
    return [
        source.load(row, column, channel)
        for row in range(max(top, 0), min(top + d.kernel_rows, d.input_rows))
        for column in range(max(left, 0), min(left + d.kernel_columns, d.input_columns))
    ]


def pooled(d: Descriptor, values: list[int]) -> int:
    """The output for the values under a window."""
    if d.opcode == Opcode.PAD:  # a window of one position
        return values[0] if values else d.destination_zero_point
    if d.opcode == Opcode.MAX_POOL:
        return clamp(max(values), d.clamp_low, d.clamp_high)
    total, count = sum(values), len(values)
    if d.opcode == Opcode.AVERAGE_POOL:
        # Halves away from zero.
        average = (abs(total) + count // 2) // count * (1 if total > 0 else -1)
        return clamp(average, d.clamp_low, d.clamp_high)
    mean = rescale(
        total - count * d.source_zero_point, d.destination_multiplier, d.destination_shift
    )
    return clamp(mean + d.destination_zero_point, d.clamp_low, d.clamp_high)


# --- numbers --------------------------------------------------------------------------------------


def wrap(value: int) -> int:
    """Sums are modulo 2**32."""
    return (value + 2**31) % 2**32 - 2**31


def clamp(value: int, low: int, high: int) -> int:
    """The nearest value from ``low`` to ``high``."""
    return min(max(value, low), high)


def rescale(value: int, multiplier: int, shift: int) -> int:
    """``value * multiplier / 2**31 * 2**shift``, rounded twice: to the high half of the doubled
    product, halves up, then to the right shift, halves away from zero."""
    widened = clamp(value << max(shift, 0), -(2**31), 2**31 - 1)
    high = (widened * multiplier + 2**30) >> 31
    right = max(-shift, 0)
    half = (1 << right) >> 1
    return (abs(high) + half >> right) * (1 if high >= 0 else -1)
