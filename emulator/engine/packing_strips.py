# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How much of a layer is computed together."""

from __future__ import annotations

from typing import NamedTuple

from axynq.emulator.engine.abi import BLOCK, TILE_POSITIONS
from axynq.emulator.engine.packing_geometry import TAPS_PER_GROUP, Geometry


class Strip(NamedTuple):
    """What is computed together, such that the rows of activations stay in the second-level cache:
    so many output columns, and in tiles so many planes."""

    columns: int
    planes: int

    @classmethod
    def of(cls, geometry: Geometry, planes: int, tiles: bool) -> Strip:
        """For a layer with so many planes."""
        every = geometry.output_shape[1]
        span = (geometry.kernel[0] - 1) * geometry.dilation[0] + 1
        halo = (geometry.kernel[1] - 1) * geometry.dilation[1]

        def row_bytes(columns: int) -> int:
            """Of all rows of a plane that the kernel spans."""
            seen = columns if geometry.flattened else columns * geometry.stride[1] + halo
            return span * seen * geometry.row_groups * TAPS_PER_GROUP * BLOCK

        def in_strips(most: int) -> int:
            """Columns of strips that are as equal as positions in tiles allow."""
            columns = -(-every // -(-every // most))
            return min(every, -(-columns // TILE_POSITIONS) * TILE_POSITIONS)

        columns = every
        while columns > max(FEW_COLUMNS, TILE_POSITIONS) and row_bytes(columns) * planes > CACHE:
            columns = in_strips(columns - TILE_POSITIONS)
        if not tiles or row_bytes(columns) * planes <= CACHE:
            return cls(columns, max(planes, 1))
        columns = in_strips(FEW_COLUMNS)
        stacks = -(-planes // max(1, CACHE // row_bytes(columns)))
        return cls(columns, -(-planes // stacks))


CACHE = 1 << 20
"""Bytes of rows, beside which a second-level cache should hold weights and sums."""

FEW_COLUMNS = 16
"""Narrower strips have too much in common with their neighbours."""
