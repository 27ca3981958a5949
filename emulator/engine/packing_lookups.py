# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Bytes that are looked up one by one."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import (
    BLOCK,
    LOOKUP_CHANNELS,
    LOOKUP_FILTER,
    LOOKUP_TAP,
    SEVEN_BITS,
    WHOLE_BYTE,
    Memory,
)
from axynq.emulator.engine.packing_geometry import Geometry, addresses, counts_of
from axynq.emulator.engine.recipe import LookupPlane


def pack_lookups(
    lookups: Sequence[LookupPlane], geometry: Geometry, library: ctypes.CDLL, memory: Memory
) -> dict[str, Any]:
    """For each convolution, filter and plane the taps that look something up."""
    filters = geometry.output_shape[2]
    records: list[npt.NDArray[Any]] = [np.zeros(0, LOOKUP_FILTER)]
    tables: list[npt.NDArray[np.uint8]] = [np.zeros(0, np.uint8)]
    width = min(geometry.channels, LOOKUP_CHANNELS)
    first_table, next_table = 0, 0
    for plane, first in itertools.product(lookups, range(0, geometry.channels, width)):
        if first == 0:
            tables.append(plane.tables[1:].reshape(-1))
            first_table, next_table = next_table, next_table + tables[-1].size
        # By filter, small tables first: many of them fit into a byte together.
        index = plane.index.reshape(filters, *geometry.kernel, geometry.channels)
        index = index[..., first : first + width]
        shape = index.shape[1:]
        index = index.reshape(filters, -1)
        looking = np.flatnonzero(index.any(axis=1))
        index = index[looking]
        ranges = plane.tables.max(axis=1).astype(np.uint16)
        ranges[0] = 256  # none: behind all others
        order = np.argsort(ranges[index], axis=1, kind="stable")
        counts = np.count_nonzero(index, axis=1)
        member, tap = np.nonzero(np.arange(index.shape[1], dtype=np.int64) < counts[:, None])
        tap = order[member, tap]
        table = index[member, tap]
        taps = np.zeros(len(tap), LOOKUP_TAP)
        row, column, channel = np.unravel_index(tap, shape)
        taps["kernel_row"] = row
        taps["offset"] = (column * geometry.dilation[1] * width + channel) * BLOCK
        taps["table"] = first_table + (table - 1) * plane.tables.shape[1]
        taps["flush"] = flushes(library, ranges[table].astype(np.int32), counts)
        of_plane = np.zeros(len(looking), LOOKUP_FILTER)
        of_plane["filter"], of_plane["channels"] = looking, first // width
        of_plane["shift"], of_plane["part"], of_plane["taps"] = plane.exponent, plane.part, counts
        of_plane["tap"] = addresses(memory, taps, counts)
        records.append(of_plane)
    every = np.concatenate(records)
    convolution = every["filter"] // (filters // geometry.convolutions)
    every = every[np.argsort(convolution, kind="stable")]
    counts = counts_of(convolution, geometry.convolutions)
    return {
        "lookups": counts,
        "lookup": addresses(memory, every, counts),
        "lookup_tables": memory.pointer(np.concatenate(tables)),
        "lookup_parts": sum(1 << part for part in {_row_part(plane) for plane in lookups}),
    }


def _row_part(plane: LookupPlane) -> int:
    """The part of a row that is looked up: for seven bits it is the whole byte."""
    return WHOLE_BYTE if plane.part == SEVEN_BITS else plane.part


def flushes(
    library: ctypes.CDLL, ranges: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Before which taps byte sums (1), and word sums too (2), are widened, lest they overflow.

    Args:
        library: the kernel.
        ranges: the largest value each tap looks up, filter after filter.
        counts: taps of each filter.
    """
    ranges = np.ascontiguousarray(ranges, np.int32)
    counts = np.ascontiguousarray(counts, np.int64)
    result = np.zeros(len(ranges), np.int32)
    library.axynq_flushes(ranges.ctypes.data, counts.ctypes.data, len(counts), result.ctypes.data)
    return result
