# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many images of a batch the native kernel computes in blocks, and how many one by one.

A block of 64 images costs the same however many of them are there; one image by itself costs more
than its share of a block, because the vectors that its maps are cut into are not all full and its
taps have to be gathered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from axynq.emulator.engine.abi import BLOCK
from axynq.emulator.model import graph
from axynq.emulator.model.graph import rows_columns_channels

_PRODUCT, _RESULT = 0.5, 40.0
"""Cycles of a vector of 64 products in dot products, and until a vector of sums is bytes."""

_GATHERED, _CONVOLUTION = 5.0, 500.0
"""Cycles of a vector of taps that is gathered, and of the beginning of each convolution, of one
image. Estimated, as the others, for Intel's Sapphire Rapids; only their ratios matter."""

_ONE = 1.4
"""What an image by itself takes beyond these estimates, as measured with AMX, AVX-512 and AVX2 on
ResNets, MobileNets and a keyword network: between 0.7 and 2, multipliers with look-ups most."""

_MARGIN = 1.25
"""One by one must be so much faster: it takes more processor time where there are many threads."""

_THREAD = 150_000.0
"""Cycles that a thread must have to do: to start it takes as long."""


class Work(NamedTuple):
    """What one image takes by itself, estimated by the weighted layers."""

    share: float
    """Of the time of a block."""
    cycles: float


def work_of_one(model: graph.Model, operators: Iterable[graph.Operator]) -> Work:
    """The work of some operators of a network, with exact multipliers."""
    block = one = 0.0
    for layer in operators:
        if not isinstance(layer, graph.WeightedLayer):
            continue
        rows, columns, filters = rows_columns_channels(model.tensors[layer.output].shape)
        depthwise = isinstance(layer, graph.DepthwiseConvolution)
        taps = layer.kernel.size / filters
        convolutions = model.tensors[layer.inputs[0]].shape[-1] if depthwise else 1
        each = filters * (_PRODUCT * taps + _RESULT)
        vectors = math.ceil(rows * columns / BLOCK)
        block += rows * columns * each
        one += vectors * (each + convolutions * _GATHERED * taps) + convolutions * _CONVOLUTION
    return Work(_ONE * one / block if block else 1 / BLOCK, _ONE * one)


def useful_threads(threads: int, images: int, in_blocks: int, work: Work) -> int:
    """Threads, of so many, that have enough to do to be worth their start: all of them where there
    are blocks."""
    if in_blocks:
        return threads
    return max(1, min(threads, int(images * work.cycles / _THREAD)))


@lru_cache(maxsize=4096)
def images_in_blocks(images: int, threads: int, one: float) -> int:
    """How many of ``images`` to compute in blocks, the first ones, so that all are there soonest.

    Args:
        images: of the batch.
        threads: that take a block or an image at a time.
        one: the share of a block's time that an image takes by itself.
    """
    most = -(-images // BLOCK)

    def time(blocks: int) -> float:
        alone = max(0, images - blocks * BLOCK)
        if not alone:
            return -(-blocks // threads)
        shared = (blocks + alone * one) / threads
        return _MARGIN * max(shared, -(-blocks // threads), one)

    # More than a block for each thread is never better one by one.
    best = min(range(max(0, most - threads - 1), most + 1), key=lambda b: (time(b), -b))
    return min(images, best * BLOCK)
