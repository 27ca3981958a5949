# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Activations in the engine's own order: blocks of 64 images, planar within a block.

A network that is computed in several segments hands them on in this order, which costs a copy;
to bring images into it and out of it costs as much as a small convolution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from axynq.emulator.engine.abi import BLOCK
from axynq.emulator.model.graph import Int8Array, rows_columns_channels


class Blocks(NamedTuple):
    """A batch of one tensor."""

    values: Int8Array
    """[blocks, channels, rows, columns, 64]; the last block may be padded with any values."""
    images: int

    @classmethod
    def of(cls, x: Int8Array) -> Blocks:
        """A batch [images, *shape], at least one image."""
        count = -(-len(x) // BLOCK)
        padded = np.pad(x, ((0, count * BLOCK - len(x)), *((0, 0),) * (x.ndim - 1)), mode="edge")
        blocked = padded.reshape(count, BLOCK, *rows_columns_channels(x.shape[1:]))
        return cls(np.ascontiguousarray(blocked.transpose(0, 4, 2, 3, 1)), len(x))

    def in_order(self, shape: tuple[int, ...]) -> Int8Array:
        """The batch as [images, *shape]."""
        ordered = self.values.transpose(0, 4, 2, 3, 1).reshape(-1, *shape)
        return np.ascontiguousarray(ordered[: self.images])
