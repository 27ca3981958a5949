"""Weights, codes and constants of a layer in the order the accelerator reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import PlanError, ProgramError
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.host import isa
from axynq.host.compiler.placement import Groups, groups_needed, place_filters
from axynq.host.overlay import Overlay

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
    placed = np.stack([_filter_numbers(block, groups, overlay.array.filters) for block in blocks])
    pass_taps = taps if bank.depthwise else min(taps, overlay.buffers.weight_vectors // groups)
    return PackedFilters(
        fold=fold,
        blocks=len(blocks),
        block_groups=groups,
        block_pixel_words=block_words,
        passes=-(-taps // pass_taps),
        pass_taps=pass_taps,
        weights=_weights(bank, placed, lane_codes, fold, pass_taps, overlay),
        constants=_constants(bank, placed, overlay),
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
    codes = bank.codes.codes.reshape(len(bank.kernel), -1)
    count = len(bank.codes.multipliers)
    used = np.stack([(codes == code).any(axis=1) for code in range(1, count + 1)], axis=1)
    held = np.array([[code is not None for code in own] for own in lane_codes])
    by_need: dict[bytes, frozenset[int]] = {}
    allowed = []
    for need in used:
        key = need.tobytes()
        if key not in by_need:
            by_need[key] = frozenset(np.flatnonzero((held | ~need).all(axis=1)).tolist())
            if not by_need[key]:
                needed = tuple((np.flatnonzero(need) + 1).tolist())
                specs = [bank.codes.multipliers[code - 1].spec for code in needed]
                raise PlanError(_lacking(bank.name, specs, needed, lane_codes))
        allowed.append(by_need[key])
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
    lanes, width = overlay.array.filters, overlay.array.inputs
    words = -(-filters // width)
    most_groups = min(overlay.buffers.groups, overlay.buffers.weight_vectors // vectors)

    def blocks_of(block_words: int) -> list[range]:
        size = block_words * width
        return [range(first, min(first + size, filters)) for first in range(0, filters, size)]

    def fits(block_words: int) -> bool:
        return all(
            groups_needed(channels, [allowed[c] for c in channels], lanes, width) <= most_groups
            for channels in blocks_of(block_words)
        )

    # Each size once, in falling order: other numbers of blocks have these sizes again.
    sizes = dict.fromkeys(-(-words // count) for count in range(1, words + 1))
    block_words = next((size for size in sizes if fits(size)), 1)
    return block_words, [
        place_filters(channels, [allowed[c] for c in channels], lanes, width)
        for channels in blocks_of(block_words)
    ]


NO_FILTER = -1


def _filter_numbers(block: Groups, groups: int, lanes: int) -> npt.NDArray[np.int64]:
    """The filter on each lane of so many groups [groups, lanes], or NO_FILTER."""
    numbers = np.full((groups, lanes), NO_FILTER)
    for g, group in enumerate(block):
        numbers[g] = [NO_FILTER if filter_ is None else filter_ for filter_ in group]
    return numbers


def _weights(
    bank: FilterBank,
    placed: npt.NDArray[np.int64],
    lane_codes: list[list[int | None]],
    fold: Fold,
    pass_taps: int,
    overlay: Overlay,
) -> npt.NDArray[np.uint8]:
    """Vectors in the order block, pass, group, tap: for each vector a word of weights per lane,
    then the codes of all lanes, packed.

    ``placed`` [blocks, groups, lanes] has the filter on each lane.
    """
    lanes, inputs = overlay.array.filters, overlay.array.inputs
    kernel_vectors = _vectors(bank.kernel, bank.depthwise, fold, inputs)
    code_vectors = _vectors(bank.codes.codes, bank.depthwise, fold, inputs)
    # A skipped weight is a weight of zero: every design multiplies by zero exactly.
    kernel_vectors[code_vectors == SKIP] = 0
    # The code that a lane has for each of the layer's.
    translation = np.array([[SKIP, *(code or 0 for code in own)] for own in lane_codes], np.uint8)
    count = kernel_vectors.shape[1]
    per_pass = count if bank.depthwise else pass_taps
    parts: list[npt.NDArray[np.uint8]] = []
    for block in placed:
        group, lane = np.nonzero(block != NO_FILTER)
        filters = block[group, lane]
        weights = np.zeros((len(block), count, lanes, inputs), np.int8)
        codes = np.zeros(weights.shape, np.uint8)
        weights[group, :, lane] = kernel_vectors[filters]
        codes[group, :, lane] = translation[lane[:, None, None], code_vectors[filters]]
        packed = np.concatenate(
            [
                weights.reshape(len(block), count, -1).view(np.uint8),
                _pack_codes(codes.reshape(-1, lanes * inputs), overlay).reshape(
                    len(block), count, -1
                ),
            ],
            axis=2,
        )
        parts += [
            packed[:, first : first + per_pass].reshape(-1) for first in range(0, count, per_pass)
        ]
    return np.concatenate(parts)


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


def _constants(
    bank: FilterBank, placed: npt.NDArray[np.int64], overlay: Overlay
) -> npt.NDArray[np.uint8]:
    """Bias, factor and channel of the filter on each lane of each group of each block."""
    values = np.zeros((*placed.shape, isa.CONSTANT_INTEGERS), "<i4")
    values[..., isa.Constant.CHANNEL] = isa.NO_CHANNEL
    used = placed != NO_FILTER
    filters = placed[used]
    values[used, isa.Constant.BIAS] = bank.bias[filters]
    values[used, isa.Constant.MULTIPLIER] = np.array([f.multiplier for f in bank.factors])[filters]
    values[used, isa.Constant.SHIFT] = np.array([f.shift for f in bank.factors])[filters]
    values[used, isa.Constant.CHANNEL] = filters
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
