# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a phase takes in before it begins: the bytes of its set."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator.plan import SKIP
from axynq.host import isa
from axynq.host.compiler.blocks import NO_FILTER, Block
from axynq.host.compiler.filters import Filters, Fold, Kernel, codes_by_lane
from axynq.host.overlay import Overlay
from axynq.host.overlay.circuits import array_weights

Bytes = npt.NDArray[np.uint8]
Byte = TypeVar("Byte", np.int8, np.uint8)


class SetSize(NamedTuple):
    """Sizes of what a phase takes in, in words."""

    set_words: int
    """Tables, constants, places, and the weights of the first pass."""
    first_pass_words: int
    weights_words: int
    """Weights of all passes."""


def set_size(tables: bool, block: Block, overlay: Overlay) -> SetSize:
    """How large the set of a block of filters is."""
    width, lanes = overlay.array.inputs, overlay.array.filters
    front = isa.TABLE_ENTRIES * _words(8, width) if tables else 0
    constants = _words(lanes * isa.CONSTANT_INTEGERS * 4, width)
    places = overlay.rounds * _words(width * 2, width) + _words(lanes, width)
    first, whole = (
        block.groups * vectors * overlay.vector_words
        for vectors in (block.pass_vectors[0], sum(block.pass_vectors))
    )
    return SetSize(front + block.groups * (constants + places) + first, first, whole)


class PhaseData(NamedTuple):
    """What a phase takes in, whole words each."""

    front: Bytes
    """Tables, constants and places."""
    weights: Bytes
    """Of all passes; those of the first belong to the set."""


def pack_set(
    tables: npt.NDArray[np.int32] | None,
    filters: Filters,
    block: Block,
    fold: Fold,
    overlay: Overlay,
) -> PhaseData:
    """The bytes of a block of filters.

    ``tables`` is int32 [2, TABLE_ENTRIES]: of the computed values, then of the other operand.
    """
    front = []
    if tables is not None:
        pairs = np.ascontiguousarray(tables.T.astype("<i4")).view(np.uint8)
        front = [_whole_words(pairs, overlay.array.inputs).reshape(-1)]
    constants, places, lanes = (
        _whole_words(part, overlay.array.inputs)
        for part in (_constants(filters, block), *_places(block, overlay))
    )
    front.append(np.concatenate([constants, places, lanes], axis=1).reshape(-1))
    weights = np.zeros(0, np.uint8)
    if filters.kernel is not None:
        weights = _weights(filters.kernel, block, fold, overlay)
    return PhaseData(np.concatenate(front), weights)


def _words(size: int, width: int) -> int:
    return -(-size // width)


def _whole_words(groups: Bytes, width: int) -> Bytes:
    """Each group's bytes [groups, size], filled up to whole words."""
    return np.pad(groups, ((0, 0), (0, -groups.shape[1] % width)))


# --- constants and places ------------------------------------------------------------------------


def _constants(filters: Filters, block: Block) -> Bytes:
    """Bias and factor of the filter on each lane [groups, bytes]."""
    placed = block.placed
    values = np.zeros((*placed.shape, isa.CONSTANT_INTEGERS), "<i4")
    used = placed != NO_FILTER
    numbers = placed[used]
    values[used, isa.Constant.BIAS] = filters.bias[numbers]
    values[used, isa.Constant.MULTIPLIER] = np.array([f.multiplier for f in filters.factors])[
        numbers
    ]
    values[used, isa.Constant.SHIFT] = np.array([f.shift for f in filters.factors])[numbers]
    return values.reshape(block.groups, -1).view(np.uint8)


def _places(block: Block, overlay: Overlay) -> tuple[Bytes, Bytes]:
    """Where the channels of a group's filters lie, by byte of a word in each round and by lane,
    [groups, bytes] each. A group has one filter at most for a byte in a round: the core writes it
    once."""
    width = overlay.array.inputs
    group, lane = np.nonzero(block.placed != NO_FILTER)
    word, byte = np.divmod(block.placed[group, lane], width)
    by_byte = np.zeros((block.groups, overlay.rounds * width), "<u2")
    in_round = lane // width * width + byte
    place = lane | isa.PLACE_USED | (word - block.first_word) << isa.PLACE_WORD_SHIFT
    by_byte[group, in_round] = place
    by_lane = np.zeros(block.placed.shape, np.uint8)
    by_lane[group, lane] = byte | isa.LANE_USED
    return by_byte.view(np.uint8), by_lane


# --- weights -------------------------------------------------------------------------------------


def _weights(kernel: Kernel, block: Block, fold: Fold, overlay: Overlay) -> Bytes:
    """In the order pass, group, vector: for each vector a word of weights per lane, then the codes
    of all lanes, packed."""
    lanes, inputs = overlay.array.filters, overlay.array.inputs
    group, lane = np.nonzero(block.placed != NO_FILTER)
    filters = block.placed[group, lane]
    vectors = _vectors(kernel.weights[filters], kernel.depthwise, fold, overlay)
    code_vectors = _vectors(kernel.codes.codes[filters], kernel.depthwise, fold, overlay)
    for code, m in enumerate(kernel.codes.multipliers, SKIP + 1):
        own = code_vectors == code
        vectors[own] = array_weights(m, vectors[own])
    # A skipped weight is a weight of zero: every circuit multiplies by zero exactly.
    vectors[code_vectors == SKIP] = 0
    # The code that a lane has for each of the layer's.
    translation = np.array(
        [[SKIP, *(code or 0 for code in own)] for own in codes_by_lane(kernel, overlay)], np.uint8
    )
    count = vectors.shape[1]
    weights = np.zeros((block.groups, count, lanes, inputs), np.int8)
    codes = np.zeros(weights.shape, np.uint8)
    weights[group, :, lane] = vectors
    codes[group, :, lane] = translation[lane[:, None, None], code_vectors]
    packed = np.concatenate(
        [
            weights.reshape(block.groups, count, -1).view(np.uint8),
            _pack_codes(codes.reshape(-1, lanes * inputs), overlay).reshape(
                block.groups, count, -1
            ),
        ],
        axis=2,
    )
    ends = np.cumsum(block.pass_vectors, dtype=np.int64)
    return np.concatenate([part.reshape(-1) for part in np.split(packed, ends[:-1], axis=1)])


def _vectors(
    values: npt.NDArray[Byte], depthwise: bool, fold: Fold, overlay: Overlay
) -> npt.NDArray[Byte]:
    """A kernel or its codes [filters, rows, columns, channels] as a lane takes them in: [filters,
    vectors, inputs], zero (skip) where there is nothing.

    A convolution takes a fold of the kernel, or a word of a position's channels, at a time. A
    depthwise layer's taps move through a window at a vector's end: the last is filled from there.
    """
    inputs = overlay.array.inputs
    filters, rows, columns, channels = values.shape
    if depthwise:
        taps = rows * columns
        window = overlay.window_taps
        whole = taps // window * window
        windows = np.zeros((filters, -(-taps // window) * window), values.dtype)
        flat = values.reshape(filters, taps)
        windows[:, :whole] = flat[:, :whole]
        if whole < taps:
            windows[:, whole - taps :] = flat[:, whole:]
        windows = windows.reshape(filters, -1, window)
        return np.pad(windows, ((0, 0), (0, 0), (inputs - window, 0)))
    row_steps, column_steps = -(-rows // fold.rows), -(-columns // fold.columns)
    padded = np.zeros(
        (filters, row_steps * fold.rows, column_steps * fold.columns, channels), values.dtype
    )
    padded[:, :rows, :columns] = values
    steps = padded.reshape(filters, row_steps, fold.rows, column_steps, fold.columns, channels)
    steps = steps.transpose(0, 1, 3, 2, 4, 5).reshape(filters, row_steps * column_steps, -1)
    words = -(-steps.shape[2] // inputs)
    filled = np.zeros((filters, steps.shape[1], words * inputs), values.dtype)
    filled[:, :, : steps.shape[2]] = steps
    return filled.reshape(filters, -1, inputs)


def _pack_codes(codes: Bytes, overlay: Overlay) -> Bytes:
    """Codes [vectors, lanes x inputs] at ``stored_code_bits`` each, first code lowest, to words."""
    bits = overlay.stored_code_bits
    if not bits:
        return np.zeros((len(codes), 0), np.uint8)
    per_byte = 8 // bits
    code_bytes = (overlay.vector_words - overlay.array.filters) * overlay.array.inputs
    filled = np.zeros((len(codes), code_bytes * per_byte), np.uint8)
    filled[:, : codes.shape[1]] = codes
    shifts = bits * np.arange(per_byte, dtype=np.uint8)
    shifted = filled.reshape(len(codes), code_bytes, per_byte) << shifts
    return np.bitwise_or.reduce(shifted, axis=2)
