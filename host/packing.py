"""Weights, codes and constants of a layer in the order the accelerator reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import PlanError, ProgramError
from axynq.emulator.model.quantisation import FixedPoint
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.host import isa
from axynq.host.overlay import Overlay
from axynq.host.placement import Groups, place_filters

PASS_THROUGH = FixedPoint(1 << 30, 1)
"""The factor that changes nothing."""


Byte = TypeVar("Byte", np.int8, np.uint8)


class Fold(NamedTuple):
    """Kernel rows and columns that lie side by side in the bytes of a word, where a layer has so
    few channels that a word would be mostly empty."""

    channels: int
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True)
class FilterBank:
    """A layer that multiplies, as the accelerator sees it."""

    name: str
    kernel: npt.NDArray[np.int8]
    """[filters, rows, columns, channels]; one channel where depthwise."""
    codes: LayerCodes
    """Of the kernel's shape."""
    depthwise: bool
    """Whether filter ``f`` sees input channel ``f`` only."""
    bias: npt.NDArray[np.int32]
    factors: Sequence[FixedPoint]


@dataclass(frozen=True)
class PackedFilters:
    """What a descriptor points to."""

    fold: Fold
    blocks: int
    block_groups: int
    """Filter groups in each block."""
    block_pixel_words: int
    """Output words of each pixel that a block computes."""
    passes: int
    pass_taps: int
    """Taps whose weights are on chip at a time."""
    weights: npt.NDArray[np.uint8]
    constants: npt.NDArray[np.uint8]


def pack_filters(bank: FilterBank, overlay: Overlay) -> PackedFilters:
    """Place the filters on lanes and lay their weights out.

    Raises:
        PlanError: a filter needs multipliers that no lane has together.
        ProgramError: the windows of a depthwise layer are too large.
    """
    lane_codes = _codes_by_lane(bank, overlay)
    allowed = _allowed_lanes(bank, lane_codes)
    inputs = overlay.array.inputs
    _, rows, columns, channels = bank.kernel.shape
    fold = Fold(channels) if bank.depthwise else choose_fold(rows, columns, channels, inputs)
    if bank.depthwise:
        taps = rows * columns
        vectors = -(-taps // inputs)
    else:
        words = -(-channels // inputs)
        taps = vectors = -(-rows // fold.rows) * -(-columns // fold.columns) * words
    block_words, blocks = _blocks(bank, allowed, vectors, overlay)
    groups = max(len(block) for block in blocks)
    if bank.depthwise and groups * vectors > overlay.buffers.weight_vectors:
        raise ProgramError(
            f"layer '{bank.name}' does not fit overlay '{overlay.name}': its {rows} x {columns} "
            f"windows take {groups * vectors} weight vectors on chip, there are "
            f"{overlay.buffers.weight_vectors}"
        )
    for block in blocks:
        idle: list[int | None] = [None] * overlay.array.filters
        block.extend(list(idle) for _ in range(groups - len(block)))
    pass_taps = taps if bank.depthwise else min(taps, overlay.buffers.weight_vectors // groups)
    return PackedFilters(
        fold=fold,
        blocks=len(blocks),
        block_groups=groups,
        block_pixel_words=block_words,
        passes=-(-taps // pass_taps),
        pass_taps=pass_taps,
        weights=np.concatenate(
            [_weights(bank, block, lane_codes, fold, pass_taps, overlay) for block in blocks]
        ),
        constants=np.concatenate([_constants(bank, block, overlay) for block in blocks]),
    )


def choose_fold(rows: int, columns: int, channels: int, inputs: int) -> Fold:
    """The fold with which a kernel takes fewest steps; of those the one that pads least."""
    taps = inputs // channels
    return min(
        (
            Fold(channels, r, c)
            for r, c in product(range(1, rows + 1), range(1, columns + 1))
            if r * c <= max(taps, 1)
        ),
        key=lambda fold: (
            -(-rows // fold.rows) * -(-columns // fold.columns),
            -rows % fold.rows + -columns % fold.columns,
            fold.rows,
        ),
    )


def _codes_by_lane(bank: FilterBank, overlay: Overlay) -> list[list[int | None]]:
    """For each lane the lane's code of each of the layer's multipliers, None where it lacks it."""
    known: dict[tuple[Multiplier, ...], list[int | None]] = {}
    for designs in set(overlay.banks):
        known[designs] = [
            designs.index(m) if m in designs else None for m in bank.codes.multipliers
        ]
    return [known[designs] for designs in overlay.banks]


def _allowed_lanes(bank: FilterBank, lane_codes: list[list[int | None]]) -> list[frozenset[int]]:
    """For each filter the lanes that have every multiplier it uses."""
    by_need: dict[tuple[int, ...], frozenset[int]] = {}
    allowed = []
    for codes in bank.codes.codes:
        need = tuple(int(code) for code in np.unique(codes) if code != SKIP)
        if need not in by_need:
            by_need[need] = frozenset(
                lane
                for lane, own in enumerate(lane_codes)
                if all(own[code - 1] is not None for code in need)
            )
        if not by_need[need]:
            specs = [bank.codes.multipliers[code - 1].spec for code in need]
            raise PlanError(_lacking(bank.name, specs, need, lane_codes))
        allowed.append(by_need[need])
    return allowed


def _lacking(
    layer: str, specs: list[str], need: tuple[int, ...], lane_codes: list[list[int | None]]
) -> str:
    absent = [
        spec for spec, code in zip(specs, need) if all(own[code - 1] is None for own in lane_codes)
    ]
    if absent:
        return f"layer '{layer}' needs multiplier '{absent[0]}', which the overlay does not have"
    return (
        f"layer '{layer}' has a filter that needs {' and '.join(specs)} together, but no lane of "
        "the overlay has all of them"
    )


def _blocks(
    bank: FilterBank, allowed: list[frozenset[int]], vectors: int, overlay: Overlay
) -> tuple[int, list[Groups]]:
    """Output words per block, and the groups of each block: as few blocks as let the weights of all
    taps lie on chip, or else the smallest blocks."""
    filters = len(bank.kernel)
    width = overlay.array.inputs
    words = -(-filters // width)
    most_groups = min(overlay.buffers.groups, overlay.buffers.weight_vectors // vectors)
    for count in range(1, words + 1):
        block_words = -(-words // count)
        blocks = []
        for first in range(0, filters, block_words * width):
            channels = list(range(first, min(first + block_words * width, filters)))
            placed = place_filters(
                channels, [allowed[c] for c in channels], overlay.array.filters, width
            )
            blocks.append(placed)
        if max(len(block) for block in blocks) <= most_groups:
            break
    return block_words, blocks


def _weights(
    bank: FilterBank,
    block: Groups,
    lane_codes: list[list[int | None]],
    fold: Fold,
    pass_taps: int,
    overlay: Overlay,
) -> npt.NDArray[np.uint8]:
    """Vectors in the order pass, group, tap: for each vector a word of weights per lane, then the
    codes of all lanes, packed."""
    lanes, inputs = overlay.array.filters, overlay.array.inputs
    kernel_vectors = _vectors(bank.kernel, bank.depthwise, fold, inputs)
    code_vectors = _vectors(bank.codes.codes, bank.depthwise, fold, inputs)
    # A skipped weight is a weight of zero: every design multiplies by zero exactly.
    kernel_vectors[code_vectors == SKIP] = 0
    count = kernel_vectors.shape[1]
    weights = np.zeros((len(block), count, lanes, inputs), np.int8)
    codes = np.zeros(weights.shape, np.uint8)
    for g, group in enumerate(block):
        for lane, filter_ in enumerate(group):
            if filter_ is None:
                continue
            own = np.array([0, *(code or 0 for code in lane_codes[lane])], np.uint8)
            weights[g, :, lane] = kernel_vectors[filter_]
            codes[g, :, lane] = own[code_vectors[filter_]]
    packed = np.concatenate(
        [
            weights.reshape(len(block), count, -1).view(np.uint8),
            _pack_codes(codes.reshape(-1, lanes * inputs), overlay).reshape(len(block), count, -1),
        ],
        axis=2,
    )
    per_pass = count if bank.depthwise else pass_taps
    return np.concatenate(
        [packed[:, first : first + per_pass].reshape(-1) for first in range(0, count, per_pass)]
    )


def _vectors(
    values: npt.NDArray[Byte], depthwise: bool, fold: Fold, inputs: int
) -> npt.NDArray[Byte]:
    """A kernel or its codes [filters, rows, columns, channels] as a lane takes them in: [filters,
    vectors, inputs], zero (skip) where there is nothing.

    A convolution takes a fold of the kernel, or a word of a position's channels, at a time. A
    depthwise layer's taps move through a window: the last vector is filled from its end.
    """
    filters, rows, columns, channels = values.shape
    if depthwise:
        taps = rows * columns
        whole = taps // inputs * inputs
        vectors = np.zeros((filters, -(-taps // inputs) * inputs), values.dtype)
        flat = values.reshape(filters, taps)
        vectors[:, :whole] = flat[:, :whole]
        if whole < taps:
            vectors[:, whole - taps :] = flat[:, whole:]
        return vectors.reshape(filters, -1, inputs)
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


def _pack_codes(codes: npt.NDArray[np.uint8], overlay: Overlay) -> npt.NDArray[np.uint8]:
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


def _constants(bank: FilterBank, block: Groups, overlay: Overlay) -> npt.NDArray[np.uint8]:
    """Bias, factor and channel of the filter on each lane of each group."""
    values = np.zeros((len(block), overlay.array.filters, isa.CONSTANT_INTEGERS), "<i4")
    values[:, :, isa.Constant.CHANNEL] = isa.NO_CHANNEL
    for g, group in enumerate(block):
        for lane, filter_ in enumerate(group):
            if filter_ is None:
                continue
            factor = bank.factors[filter_]
            values[g, lane, isa.Constant.BIAS] = bank.bias[filter_]
            values[g, lane, isa.Constant.MULTIPLIER] = factor.multiplier
            values[g, lane, isa.Constant.SHIFT] = factor.shift
            values[g, lane, isa.Constant.CHANNEL] = filter_
    return values.reshape(-1).view(np.uint8)


@dataclass(frozen=True)
class PassThrough:
    """Constants with which values go through the lanes unchanged, channel by channel."""

    blocks: int
    block_groups: int
    block_pixel_words: int
    constants: npt.NDArray[np.uint8]


def pass_through(channels: int, overlay: Overlay) -> PassThrough:
    """For a layer that has no filters of its own."""
    lanes, width = overlay.array.filters, overlay.array.inputs
    words = -(-channels // width)
    block_words = min(words, overlay.buffers.groups * lanes // width)
    blocks = -(-words // block_words)
    groups = -(-block_words * width // lanes)
    values = np.zeros((blocks, groups * lanes, isa.CONSTANT_INTEGERS), "<i4")
    values[..., isa.Constant.MULTIPLIER] = PASS_THROUGH.multiplier
    values[..., isa.Constant.SHIFT] = PASS_THROUGH.shift
    within = np.arange(groups * lanes, dtype=np.int64)
    channel = np.arange(blocks, dtype=np.int64)[:, None] * block_words * width + within
    used = (within < block_words * width) & (channel < channels)
    values[..., isa.Constant.CHANNEL] = np.where(used, channel, isa.NO_CHANNEL)
    return PassThrough(blocks, groups, block_words, values.reshape(-1).view(np.uint8))
