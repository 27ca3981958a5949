# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The structures that Python and the native kernel share: the mirror of ``native/abi.hpp``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.linear_sums import LOW_BITS

BLOCK = 64
"""Images computed together."""

VECTOR_FILTERS, MOST_FILTERS = 6, 16
"""Filters computed together at most, in vector registers and in tiles."""

TILE_GROUPS, TILE_POSITIONS = 16, 4
"""Groups of four taps that tiles multiply at once, and output positions they compute together."""

SEGMENT_TILES, CHUNK_TILES = 8, 20
"""Tiles of weights in a segment, and those that are used before others, at most."""

WHOLE_BYTE, LOW_HALF, HIGH_HALF, SEVEN_BITS = range(4)
"""What of an activation's byte is looked up."""


CACHE_LINE = 64
"""Bytes."""


LOOKUP_CHANNELS = 32
"""Channels whose looked-up bytes the nearest cache holds."""


class Memory:
    """Keeps arrays alive whose addresses are in structures."""

    def __init__(self) -> None:
        self._arrays: list[npt.NDArray[Any]] = []
        self.weights: list[npt.NDArray[Any]] = []
        """Those that hold packed weights: 32 bits for four of a byte, or 64 for four words."""

    def pointer(self, array: npt.NDArray[Any], weights: bool = False) -> int:
        """The address of the array, which lives as long as this object.

        ``weights`` says that it holds packed weights.
        """
        array = np.ascontiguousarray(array)
        (self.weights if weights else self._arrays).append(array)
        return int(array.ctypes.data)

    def aligned(self, array: npt.NDArray[Any], weights: bool = False) -> int:
        """The address of a copy that begins with a cache line."""
        room = np.empty(array.nbytes + CACHE_LINE, np.uint8)
        begin = -room.ctypes.data % CACHE_LINE
        copy = room[begin : begin + array.nbytes]
        copy[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._arrays.append(room)
        if weights:
            self.weights.append(copy.view(array.dtype))
        return int(copy.ctypes.data)


def _structure(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    return np.dtype(list(fields), align=True)


POINTER = np.uintp
"""An address: 32 bits on 32-bit processors."""

_INT, _LONG, _POINTER = np.int32, np.int64, POINTER

TENSOR = _structure(
    ("rows", _INT), ("columns", _INT), ("channels", _INT), ("unused", _INT), ("offset", _LONG),
    ("constant", _POINTER), ("single_constant", _POINTER),
)  # fmt: skip
SEGMENT = _structure(
    ("stack", _INT),
    ("kernel_row", _INT),
    ("offset", _INT),
    ("groups", _INT),
    ("shift", _INT),
    ("part", _INT),
)
FILTER_BLOCK = _structure(
    ("filters", _INT),
    ("segments", _INT),
    ("filter", _INT, (MOST_FILTERS,)),
    ("final_shift", _INT),
    ("tiles", _INT),
    ("narrow", _INT),
    ("unused", _INT),
    ("segment", _POINTER),
    ("weights", _POINTER),
    ("tables", _POINTER),
)  # fmt: skip
LOOKUP_TAP = _structure(("kernel_row", _INT), ("offset", _INT), ("table", _INT), ("flush", _INT))
LOOKUP_FILTER = _structure(
    ("filter", _INT),
    ("channels", _INT),
    ("unused", _INT),
    ("shift", _INT),
    ("taps", _INT),
    ("part", _INT),
    ("tap", _POINTER),
)
HALF_TABLES = _structure(
    ("exist", _INT), ("unused", _INT, (3,)), ("low", np.uint8, (16,)), ("high", np.uint8, (16,))
)
CONVOLUTION = _structure(
    *((name, _INT) for name in (
        "input_rows", "input_columns", "input_channels", "first_channel", "channels",
        "output_rows", "output_columns", "output_channels", "kernel_rows", "kernel_columns",
        "stride_rows", "stride_columns", "dilation_rows", "dilation_columns", "padding_top",
        "padding_left", "pad_value", "flattened", "row_groups", "planes", "stacks",
        "strip_columns", "stack_by_stack", "blocks", "lookups",
    )),
    *((name, _POINTER) for name in (
        "plane_tables", "plane_halves", "stack_planes", "block", "lookup", "lookup_tables", "bias",
        "multiplier", "shift", "real",
    )),
    ("output_zero_point", _INT), ("clamp_low", _INT), ("clamp_high", _INT),
    ("lookup_parts", _INT),
)  # fmt: skip
RUN = _structure(("source", _INT), ("first", _INT), ("count", _INT))
PAIRING = _structure(
    *((name, _INT) for name in ("first", "second", "first_step", "second_step", "count"))
)
BETWEEN = _structure(*((name, _INT) for name in ("lower", "upper", "lower_weight", "upper_weight")))
OPERATOR = _structure(
    *((name, _INT) for name in (
        "kind", "input", "second", "output", "convolutions", "window_rows", "window_columns",
        "stride_rows", "stride_columns", "padding_top", "padding_left", "clamp_low", "clamp_high",
        "input_zero_point", "second_zero_point", "output_zero_point",
    )),
    ("multiplier", _INT, (3,)),
    ("shift", _INT, (3,)),
    ("linear", np.int16, (4,)),
    ("linear_constant", _INT, (2,)),
    ("linear_shift", _INT), ("unused", _INT),
    ("runs", _INT), ("terms", _INT),
    *((name, _POINTER) for name in (
        "convolution", "exact", "accumulators", "exact_accumulators", "run", "pairing", "tables",
        "first", "term", "thresholds", "row", "column", "exponentials",
    )),
)  # fmt: skip
PORT = _structure(("images", _POINTER), ("tensor", _INT), ("blocked", _INT))
REALS = _structure(
    ("from", _POINTER), ("to", _POINTER), ("count", _LONG), ("scale", np.float32),
    ("zero_point", _INT),
)  # fmt: skip
NETWORK = _structure(
    ("tensors", _INT), ("operators", _INT), ("inputs", _INT), ("unused", _INT),
    *((name, _LONG) for name in ("arena_bytes", "scratch_bytes", "single_scratch_bytes")),
    *((name, _POINTER) for name in ("tensor", "op", "input", "capture")),
)  # fmt: skip

KINDS = (
    "CONVOLUTION", "MOVE", "MAP", "ADD", "SUBTRACT", "MULTIPLY", "MAXIMUM", "MINIMUM", "PRELU",
    "MAX_POOL", "AVERAGE_POOL", "REDUCE", "RESIZE_BILINEAR", "SOFTMAX",
)  # fmt: skip
"""What an operator does, in the order of their numbers."""

REAL_FACTOR = _structure(("high", np.float32), ("low", np.float32))

STRUCTURES = {
    "Tensor": TENSOR,
    "Segment": SEGMENT,
    "FilterBlock": FILTER_BLOCK,
    "LookupTap": LOOKUP_TAP,
    "LookupFilter": LOOKUP_FILTER,
    "RealFactor": REAL_FACTOR,
    "HalfTables": HALF_TABLES,
    "Convolution": CONVOLUTION,
    "Run": RUN,
    "Pairing": PAIRING,
    "Between": BETWEEN,
    "Operator": OPERATOR,
    "Port": PORT,
    "Reals": REALS,
    "Network": NETWORK,
}
"""All structures by their names in C++."""

CONSTANTS = {
    "BLOCK": BLOCK,
    "VECTOR_FILTERS": VECTOR_FILTERS,
    "MOST_FILTERS": MOST_FILTERS,
    "LOOKUP_CHANNELS": LOOKUP_CHANNELS,
    "TILE_GROUPS": TILE_GROUPS,
    "TILE_POSITIONS": TILE_POSITIONS,
    "SEGMENT_TILES": SEGMENT_TILES,
    "CHUNK_TILES": CHUNK_TILES,
    "LINEAR_LOW_BITS": LOW_BITS,
    "WHOLE_BYTE": WHOLE_BYTE,
    "SEVEN_BITS": SEVEN_BITS,
    "LOW_HALF": LOW_HALF,
    "HIGH_HALF": HIGH_HALF,
    **{kind: number for number, kind in enumerate(KINDS)},
}
"""All constants by their names in C++."""


def checks() -> str:
    """C++ that compiles only where constants, structures and their fields are as they are here:
    the kernel includes it."""
    facts = [(name, f"axynq::{name} == {value}") for name, value in CONSTANTS.items()]
    for name, structure in STRUCTURES.items():
        facts.append((name, f"sizeof(axynq::{name}) == {structure.itemsize}"))
        for field, (kind, offset, *_) in (structure.fields or {}).items():
            place = f"axynq::{name}, {field}"
            facts.append((f"{name}.{field}", f"offsetof({place}) == {offset}"))
            size = f"sizeof(axynq::{name}::{field}) == {kind.itemsize}"
            facts.append((f"{name}.{field}", size))
    lines = ["#include <cstddef>", '#include "abi.hpp"']
    lines += [
        f'static_assert({fact}, "the compiler (CXX) has another {what} than this Python");'
        for what, fact in facts
    ]
    return "\n".join(lines) + "\n"
