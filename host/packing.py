"""Weights, codes and constants of a layer in the order the accelerator reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import PlanError, ProgramError
from axynq.emulator.model.quantisation import FixedPoint
from axynq.emulator.multipliers import Multiplier
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.host import isa
from axynq.host.overlay import Overlay
from axynq.host.placement import Groups, place_filters


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

    blocks: int
    block_groups: int
    """Filter groups in each block."""
    block_pixel_words: int
    """Output words of each pixel that a block computes."""
    weights: npt.NDArray[np.uint8]
    constants: npt.NDArray[np.uint8]


def pack_filters(bank: FilterBank, overlay: Overlay) -> PackedFilters:
    """Place the filters on lanes and lay their weights out.

    Raises:
        PlanError: a filter needs multipliers that no lane has together.
        ProgramError: one group of filters has more weights than fit on chip.
    """
    lane_codes = _codes_by_lane(bank, overlay)
    allowed = _allowed_lanes(bank, lane_codes)
    words = -(-bank.kernel.shape[3] // overlay.array.inputs)
    taps = bank.kernel.shape[1] * bank.kernel.shape[2] * (1 if bank.depthwise else words)
    block_words, blocks = _blocks(bank, allowed, taps, overlay)
    groups = max(len(block) for block in blocks)
    for block in blocks:
        idle: list[int | None] = [None] * overlay.array.filters
        block.extend(list(idle) for _ in range(groups - len(block)))
    return PackedFilters(
        blocks=len(blocks),
        block_groups=groups,
        block_pixel_words=block_words,
        weights=np.concatenate([_weights(bank, block, lane_codes, overlay) for block in blocks]),
        constants=np.concatenate([_constants(bank, block, overlay) for block in blocks]),
    )


def _codes_by_lane(bank: FilterBank, overlay: Overlay) -> list[list[int | None]]:
    """For each lane the lane's code of each of the layer's multipliers, None where it lacks it."""
    known: dict[tuple[Multiplier, ...], list[int | None]] = {}
    for designs in set(overlay.banks):
        known[designs] = [
            designs.index(m) + 1 if m in designs else None for m in bank.codes.multipliers
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
    bank: FilterBank, allowed: list[frozenset[int]], taps: int, overlay: Overlay
) -> tuple[int, list[Groups]]:
    """Output words per block, and the groups of each block: as few blocks as fit on chip."""
    filters = len(bank.kernel)
    width = overlay.array.inputs
    words = -(-filters // width)
    most_groups = min(overlay.buffers.groups, overlay.buffers.weight_vectors // taps)
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
            return block_words, blocks
    raise ProgramError(
        f"layer '{bank.name}' does not fit overlay '{overlay.name}': a word of filters takes "
        f"{max(len(block) for block in blocks) * taps} weight vectors on chip, there are "
        f"{overlay.buffers.weight_vectors}"
    )


def _weights(
    bank: FilterBank, block: Groups, lane_codes: list[list[int | None]], overlay: Overlay
) -> npt.NDArray[np.uint8]:
    """Vectors in the order group, kernel row, kernel column, channel word: for each vector a word
    of weights per lane, then the codes of all lanes, packed."""
    lanes, inputs = overlay.array.filters, overlay.array.inputs
    _, rows, columns, channels = bank.kernel.shape
    words = -(-channels // inputs)
    weights = np.zeros((len(block), rows, columns, words * inputs, lanes), np.int8)
    codes = np.zeros(weights.shape, np.uint8)
    for g, group in enumerate(block):
        for lane, filter_ in enumerate(group):
            if filter_ is None:
                continue
            own = np.array([SKIP, *(code or SKIP for code in lane_codes[lane])], np.uint8)
            weights[g, :, :, :channels, lane] = bank.kernel[filter_]
            codes[g, :, :, :channels, lane] = own[bank.codes.codes[filter_]]
    weights[codes == SKIP] = 0
    shape = (-1, inputs, lanes)
    by_vector = weights.reshape(shape).transpose(0, 2, 1)  # [vectors, lanes, inputs]
    packed = _pack_codes(codes.reshape(shape).transpose(0, 2, 1), overlay)
    return np.concatenate(
        [by_vector.reshape(len(by_vector), -1).view(np.uint8), packed], axis=1
    ).reshape(-1)


def _pack_codes(codes: npt.NDArray[np.uint8], overlay: Overlay) -> npt.NDArray[np.uint8]:
    """Codes [vectors, lanes, inputs] at ``stored_code_bits`` each, first code lowest, to words."""
    bits = overlay.stored_code_bits
    per_byte = 8 // bits
    code_bytes = (overlay.vector_words - overlay.array.filters) * overlay.array.inputs
    flat = np.zeros((len(codes), code_bytes * per_byte), np.uint8)
    flat[:, : codes.shape[1] * codes.shape[2]] = codes.reshape(len(codes), -1)
    shifts = bits * np.arange(per_byte, dtype=np.uint8)
    shifted = flat.reshape(len(codes), code_bytes, per_byte) << shifts
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
