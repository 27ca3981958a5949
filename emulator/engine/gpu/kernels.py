# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The kernels in Triton: tables, implicit matrix products, look-ups, pairs.

Nothing like im2col is materialised: a matrix product finds the activations of its taps by their
places. A layer's last kernel requantises in 64-bit integers as well.

With ``TRITON_INTERPRET=1``, set before this module is imported, they run on processors, slowly.
Arguments that are not ``constexpr`` may become Python's integers where they are 1, so that they are
used in arithmetic only.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from axynq.emulator.engine.gpu.packed import PackedLayer
from axynq.emulator.engine.gpu.pairing import Pairing

ELEMENTS = 1024
"""Values that a program takes of an operator on single values or pairs."""

PAIR_KINDS = {"sum": 0, "multiply": 1, "prelu": 2, "maximum": 3, "minimum": 4}


# --- single values and pairs ---------------------------------------------------------------------


@triton.jit
def _map(x, tables, y, count, elements: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * elements + tl.arange(0, elements)
    inside = place < count
    table = tl.program_id(1).to(tl.int64)
    byte = tl.load(x + place, mask=inside, other=0).to(tl.int32) & 255
    value = tl.load(tables + table * 256 + byte)
    tl.store(y + table * count + place, value, mask=inside)


def mapped(x: Tensor, tables: Tensor) -> Tensor:
    """int8 values by tables [tables, 256] of their bytes: [tables, *shape of x]."""
    y = x.new_empty((len(tables), *x.shape))
    if y.numel():
        grid = (triton.cdiv(x.numel(), ELEMENTS), len(tables))
        _launch(_map, grid, x, x.contiguous(), tables, y, x.numel(), elements=ELEMENTS)
    return y


@triton.jit
def _times(values, multiplier, left, right, half):
    """int32 values, held in int64, times a factor, as the numeric contract has it."""
    widened = values << left
    widened = tl.minimum(tl.maximum(widened, -2147483648), 2147483647)
    high = (widened * multiplier + 1073741824) >> 31
    magnitude = (tl.abs(high) + half) >> right
    return tl.where(high < 0, -magnitude, magnitude)


@triton.jit
def _times_entry(values, factors, number: tl.constexpr):
    """Values times one of two factors."""
    return _times(
        values,
        tl.load(factors + number),
        tl.load(factors + 2 + number),
        tl.load(factors + 4 + number),
        tl.load(factors + 6 + number),
    )


@triton.jit
def _pair(
    a, b, tables, factors, y, count, zero_point, low, high,
    kind: tl.constexpr, elements: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * elements + tl.arange(0, elements)
    inside = place < count
    first_byte = tl.load(a + place, mask=inside, other=0).to(tl.int32)
    second_byte = tl.load(b + place, mask=inside, other=0).to(tl.int32)
    if kind == 3:
        value = tl.maximum(first_byte, second_byte)
    elif kind == 4:
        value = tl.minimum(first_byte, second_byte)
    else:
        first = tl.load(tables + (first_byte & 255)).to(tl.int64)
        second = tl.load(tables + 256 + (second_byte & 255)).to(tl.int64)
        if kind == 0:
            value = _times_entry(first + second, factors, 0)
        else:
            value = _times_entry(first * second, factors, 0)
        if kind == 2:
            value = tl.where(first < 0, value, _times_entry(first, factors, 1))
        value += zero_point
    value = tl.minimum(tl.maximum(value, low), high)
    tl.store(y + place, value.to(tl.int8), mask=inside)


def paired(pairing: Pairing, a: Tensor, b: Tensor) -> Tensor:
    """What ``pairing`` makes of two int8 tensors of one shape."""
    y = torch.empty_like(a, memory_format=torch.contiguous_format)
    if y.numel():
        _launch(
            _pair, (triton.cdiv(y.numel(), ELEMENTS),), a,
            a.contiguous(), b.contiguous(), pairing.tables, pairing.factors, y, y.numel(),
            pairing.zero_point, pairing.low, pairing.high,
            kind=PAIR_KINDS[pairing.kind], elements=ELEMENTS,
        )  # fmt: skip
    return y


# --- weighted layers -----------------------------------------------------------------------------


@triton.jit
def _first_places(position, rows, columns, output_rows, output_columns, top, left,
                  row_stride: tl.constexpr, column_stride: tl.constexpr):  # fmt: skip
    """For output positions of all images: row and column of the first tap, and the place of that
    row and column among those of all images. Places outside the map are not those of other rows:
    whoever uses them looks whether the row and the column are inside."""
    row = (position // output_columns) % output_rows * row_stride - top
    column = position % output_columns * column_stride - left
    image = position // (output_rows * output_columns)
    return row, column, (image * rows + row) * columns + column


@triton.jit
def _finish(
    total, position, filter_, positions, filters, factors, sums, y, zero_point, low, high,
    keep_sums: tl.constexpr, is_last: tl.constexpr,
):  # fmt: skip
    """Store sums, int8 outputs, or both."""
    inside = (position < positions)[:, None] & (filter_ < filters)[None, :]
    place = position[:, None] * filters + filter_[None, :]
    if keep_sums:
        tl.store(sums + place, total, mask=inside)
    if is_last:
        used = filter_ < filters
        value = _times(
            total.to(tl.int64),
            tl.load(factors + filter_, mask=used, other=0)[None, :],
            tl.load(factors + filters + filter_, mask=used, other=0)[None, :],
            tl.load(factors + 2 * filters + filter_, mask=used, other=0)[None, :],
            tl.load(factors + 3 * filters + filter_, mask=used, other=0)[None, :],
        )
        value = tl.minimum(tl.maximum(value + zero_point, low), high)
        tl.store(y + place, value.to(tl.int8), mask=inside)


@triton.jit
def _multiply(
    planes, described, weights, bias, factors, sums, y,
    plane_count, plane_size, positions, filters, taps, padded_taps,
    rows, columns, output_rows, output_columns, top, left, zero_point, low, high,
    channels: tl.constexpr, kernel_columns: tl.constexpr,
    row_stride: tl.constexpr, column_stride: tl.constexpr,
    row_dilation: tl.constexpr, column_dilation: tl.constexpr,
    padded: tl.constexpr, whole_tiles: tl.constexpr,
    keep_sums: tl.constexpr, is_last: tl.constexpr,
    tile_positions: tl.constexpr, tile_filters: tl.constexpr, tile_taps: tl.constexpr,
):  # fmt: skip
    """Every filter sees every channel: for each plane a matrix product of bytes."""
    tiles = tl.cdiv(filters, tile_filters)
    number = tl.program_id(0)
    position = number // tiles * tile_positions + tl.arange(0, tile_positions)
    filter_ = number % tiles * tile_filters + tl.arange(0, tile_filters)
    row, column, place = _first_places(
        position, rows, columns, output_rows, output_columns, top, left, row_stride, column_stride
    )
    place *= channels
    total = tl.zeros((tile_positions, tile_filters), tl.int32)
    total += tl.load(bias + filter_, mask=filter_ < filters, other=0)[None, :]
    for number_of_plane in range(plane_count):
        entry = described + 4 * number_of_plane
        plane = planes + tl.load(entry) * plane_size
        padding = tl.load(entry + 1)
        exponent = tl.load(entry + 2).to(tl.int32)
        own_weights = weights + tl.multiple_of(tl.load(entry + 3), 16)  # whole tiles
        product = tl.zeros((tile_positions, tile_filters), tl.int32)
        for first in range(0, padded_taps, tile_taps):
            tap = first + tl.arange(0, tile_taps)
            down = tap // channels // kernel_columns * row_dilation
            right = tap // channels % kernel_columns * column_dilation
            inside = (position < positions)[:, None]
            if not whole_tiles:
                inside = inside & (tap < taps)[None, :]
            if padded:
                seen_row = row[:, None] + down[None, :]
                seen_column = column[:, None] + right[None, :]
                inside = inside & (seen_row >= 0) & (seen_row < rows)
                inside = inside & (seen_column >= 0) & (seen_column < columns)
            offset = (down * columns + right) * channels + tap % channels
            bytes_ = tl.load(plane + place[:, None] + offset[None, :], mask=inside, other=padding)
            weight = tl.load(own_weights + filter_[None, :] * padded_taps + tap[:, None])
            product = tl.dot(bytes_, weight, product, out_dtype=tl.int32)
        total += product << exponent
    _finish(
        total, position, filter_, positions, filters, factors, sums, y, zero_point, low, high,
        keep_sums, is_last,
    )  # fmt: skip


@triton.jit
def _one_by_one(
    planes, described, weights, errors, places, bias, factors, sums, y,
    plane_count, plane_size, positions, filters, taps,
    rows, columns, output_rows, output_columns, top, left, input_zero_point, zero_point, low, high,
    channels: tl.constexpr, kernel_columns: tl.constexpr, multiple: tl.constexpr,
    row_stride: tl.constexpr, column_stride: tl.constexpr,
    row_dilation: tl.constexpr, column_dilation: tl.constexpr,
    lookups: tl.constexpr, keep_sums: tl.constexpr, is_last: tl.constexpr,
    tile_positions: tl.constexpr, tile_filters: tl.constexpr,
):  # fmt: skip
    """Tap by tap: depthwise layers, of which a filter sees one channel (``multiple`` filters each),
    and errors that are looked up, which come on top of the sums there are (``lookups``)."""
    tiles = tl.cdiv(filters, tile_filters)
    number = tl.program_id(0)
    position = number // tiles * tile_positions + tl.arange(0, tile_positions)
    filter_ = number % tiles * tile_filters + tl.arange(0, tile_filters)
    row, column, place = _first_places(
        position, rows, columns, output_rows, output_columns, top, left, row_stride, column_stride
    )
    used = (filter_ < filters)[None, :]
    total = tl.zeros((tile_positions, tile_filters), tl.int32)
    if lookups:
        result = position[:, None] * filters + filter_[None, :]
        total += tl.load(sums + result, mask=(position < positions)[:, None] & used, other=0)
    else:
        total += tl.load(bias + filter_[None, :], mask=used, other=0)
    for number_of_plane in range(plane_count):
        entry = described + 4 * number_of_plane
        plane = planes
        padding = input_zero_point
        if not lookups:
            plane += tl.load(entry) * plane_size
            padding = tl.load(entry + 1)
        for tap in range(taps):
            if multiple > 0:
                spot = tap
                channel = filter_[None, :] // multiple
            else:
                spot = tap // channels
                channel = tap % channels + tl.zeros((1, 1), tl.int32)
            down = spot // kernel_columns * row_dilation
            right = spot % kernel_columns * column_dilation
            inside = (position < positions) & (row + down >= 0) & (row + down < rows)
            inside = inside & (column + right >= 0) & (column + right < columns)
            seen = ((place + down * columns + right) * channels)[:, None] + channel
            seen_inside = inside[:, None] & (channel < channels)
            byte = tl.load(plane + seen, mask=seen_inside, other=padding).to(tl.int32)
            own = tap * filters + filter_[None, :]
            if lookups:
                line = tl.load(places + own, mask=used, other=0)
                total += tl.load(errors + line + (byte & 255)).to(tl.int32)
            else:
                own_weights = weights + tl.load(entry + 3)
                weight = tl.load(own_weights + own, mask=used, other=0).to(tl.int32)
                total += (byte * weight) << tl.load(entry + 2).to(tl.int32)
    _finish(
        total, position, filter_, positions, filters, factors, sums, y, zero_point, low, high,
        keep_sums, is_last,
    )  # fmt: skip


def layer_output(packed: PackedLayer, x: Tensor, sums: bool) -> tuple[Tensor, Tensor | None]:
    """A weighted layer's output, int8 [images, *shape], and, where asked for, its accumulators,
    int32 [images, rows, columns, filters], for int8 [images, *input shape]."""
    geometry, output = packed.geometry, packed.output
    x = x.contiguous()
    y = x.new_empty((len(x), *output.shape))
    looks_up = packed.errors is not None
    kept = None
    if sums or looks_up:
        shape = (len(x), geometry.output_rows, geometry.output_columns, geometry.filters)
        kept = x.new_empty(shape, dtype=torch.int32)
    if len(x):
        planes = mapped(x, packed.tables) if packed.maps else x
        if packed.tap_by_tap:
            _launch_one_by_one(packed, planes, x, kept, y, False, sums or looks_up, not looks_up)
        else:
            _launch_multiply(packed, planes, x, kept, y, sums or looks_up, not looks_up)
        if looks_up:
            _launch_one_by_one(packed, x, x, kept, y, True, sums, True)
    return y, kept if sums else None


def _launch_multiply(
    packed: PackedLayer, planes: Tensor, x: Tensor, sums: Tensor | None, y: Tensor,
    keep_sums: bool, is_last: bool,
) -> None:  # fmt: skip
    geometry, tile, output = packed.geometry, packed.tile, packed.output
    positions = len(x) * geometry.positions
    tiles = triton.cdiv(positions, tile.positions) * triton.cdiv(geometry.filters, tile.filters)
    _launch(
        _multiply, (tiles,), x,
        planes, packed.planes, packed.weights, packed.bias, output.factors,
        y if sums is None else sums, y,
        len(packed.planes), x.numel(), positions, geometry.filters, geometry.taps,
        packed.weights.shape[2],
        geometry.rows, geometry.columns, geometry.output_rows, geometry.output_columns,
        geometry.top, geometry.left, output.zero_point, output.low, output.high,
        channels=geometry.channels, kernel_columns=geometry.kernel_columns,
        row_stride=geometry.stride[0], column_stride=geometry.stride[1],
        row_dilation=geometry.dilation[0], column_dilation=geometry.dilation[1],
        padded=geometry.padded, whole_tiles=geometry.taps % tile.taps == 0,
        keep_sums=keep_sums, is_last=is_last,
        tile_positions=tile.positions, tile_filters=tile.filters, tile_taps=tile.taps,
        num_warps=tile.warps, num_stages=3,
    )  # fmt: skip


def _launch_one_by_one(
    packed: PackedLayer, planes: Tensor, x: Tensor, sums: Tensor | None, y: Tensor,
    lookups: bool, keep_sums: bool, is_last: bool,
) -> None:  # fmt: skip
    geometry, output = packed.geometry, packed.output
    positions = len(x) * geometry.positions
    tile_filters = min(32, triton.next_power_of_2(geometry.filters))
    tile_positions = 1024 // tile_filters
    tiles = triton.cdiv(positions, tile_positions) * triton.cdiv(geometry.filters, tile_filters)
    none = packed.bias  # in the place of what is not read
    _launch(
        _one_by_one, (tiles,), x,
        planes, packed.planes, packed.weights,
        none if packed.errors is None else packed.errors,
        none if packed.error_places is None else packed.error_places,
        packed.bias, output.factors, y if sums is None else sums, y,
        1 if lookups else len(packed.planes), x.numel(), positions, geometry.filters, geometry.taps,
        geometry.rows, geometry.columns, geometry.output_rows, geometry.output_columns,
        geometry.top, geometry.left, packed.zero_point, output.zero_point, output.low, output.high,
        channels=geometry.channels, kernel_columns=geometry.kernel_columns,
        multiple=geometry.multiple,
        row_stride=geometry.stride[0], column_stride=geometry.stride[1],
        row_dilation=geometry.dilation[0], column_dilation=geometry.dilation[1],
        lookups=lookups, keep_sums=keep_sums, is_last=is_last,
        tile_positions=tile_positions, tile_filters=tile_filters,
        num_warps=4,
    )  # fmt: skip


def _launch(kernel: Any, grid: tuple[int, ...], x: Tensor, *arguments: Any, **named: Any) -> None:
    """Run a kernel where ``x`` is."""
    named["enable_fp_fusion"] = False  # there are no floats; Triton warns where it is not said
    if x.is_cuda:
        with torch.cuda.device(x.device):
            kernel[grid](*arguments, **named)
    else:
        kernel[grid](*arguments, **named)
