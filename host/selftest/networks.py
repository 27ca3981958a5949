# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small networks that together use everything the accelerator can do.

They are made of integers from ``numpy.random.RandomState``, whose streams are frozen, so that they
are the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding


class Random:
    """Whole numbers from a seed, of 64 bits on 32-bit processors too."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def randint(self, low: int, high: int | None = None, size: Any = None) -> Any:
        """From ``low`` to below ``high``, or below ``low``."""
        return self._state.randint(low, high, size, dtype=np.int64)

    def choice(self, values: Sequence[Any]) -> Any:
        """One of them."""
        return values[int(self.randint(len(values)))]


SCALE = 0.5
"""Of inputs; that of weights is a tenth of it."""


class Chain:
    """A network that grows at its end."""

    def __init__(self, name: str, shape: tuple[int, ...], random: Random) -> None:
        self.name = name
        self.random = random
        zero_point = int(random.choice([-128, 0, 3]))
        self.tensors = [graph.Tensor("input", shape, SCALE, zero_point)]
        self.operators: list[graph.Operator] = []

    @property
    def end(self) -> int:
        return len(self.tensors) - 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensors[-1].shape

    def append(self, kind: Any, shape: tuple[int, ...], *values: Any, like: bool = False,
               scale: float = 30.0, inputs: tuple[int, ...] | None = None,
               **options: Any) -> None:  # fmt: skip
        """An operator on the last tensor, with the output's quantisation ``like`` its input's."""
        before = self.tensors[-1]
        zero_point = before.zero_point if like else int(self.random.randint(-60, 60))
        name = f"{kind.__name__.lower()}_{len(self.operators)}"
        source = inputs or (self.end,)
        self.tensors.append(graph.Tensor(name, shape, before.scale if like else scale, zero_point))
        self.operators.append(kind(name, source, self.end, *values, **options))

    def weighted(
        self, kind: Any, shape: tuple[int, ...], weights: tuple[int, ...], **options: Any
    ) -> None:
        filters = shape[-1]
        values = self.random.randint(-127, 128, weights).astype(np.int8)
        bias = self.random.randint(-5000, 5001, filters).astype(np.int32)
        # Powers of two, a hair apart: nothing about them depends on how a machine rounds.
        scales = (2.0 ** -self.random.randint(4, 7, filters)).astype(np.float32)
        taps = math.prod(weights) // filters
        scale = 2.0 ** (taps - 1).bit_length() * SCALE  # of the next power of two
        self.append(kind, shape, values, bias, scales, scale=scale, **options)

    def convolution(self, filters: int, kernel: int, stride: int = 1, dilation: int = 1,
                    activation: str = "none") -> None:  # fmt: skip
        rows, columns, channels = self.shape
        half = dilation * (kernel // 2)
        self.weighted(
            graph.Convolution,
            (-(-rows // stride), -(-columns // stride), filters),
            (filters, kernel, kernel, channels),
            stride=(stride, stride),
            dilation=(dilation, dilation),
            padding=Padding(half, half, half, half),
            activation=activation,
        )

    def depthwise(self, kernel: int, stride: int = 1) -> None:
        rows, columns, channels = self.shape
        half = kernel // 2
        self.weighted(
            graph.DepthwiseConvolution,
            (-(-rows // stride), -(-columns // stride), channels),
            (kernel, kernel, channels),
            stride=(stride, stride),
            padding=Padding(half, half, half, half),
        )

    def fully_connected(self, filters: int) -> None:
        inputs = math.prod(self.shape)
        self.weighted(graph.FullyConnected, (filters,), (filters, inputs), per_channel=False)

    def pool(self, kind: str, window: int, stride: int) -> None:
        rows, columns, channels = self.shape
        size = ((rows - window) // stride + 1, (columns - window) // stride + 1, channels)
        self.append(
            graph.Pool, size, kind, (window, window), (stride, stride), Padding(), "none", like=True
        )

    def pad(self, rows: int, columns: int) -> None:
        size = (self.shape[0] + 2 * rows, self.shape[1] + 2 * columns, self.shape[2])
        self.append(graph.Pad, size, Padding(rows, rows, columns, columns), like=True)

    def mean(self) -> None:
        self.append(graph.Mean, (self.shape[-1],), False, like=True)

    def add(self, first: int, second: int) -> None:
        shape, scale = self.tensors[first].shape, self.tensors[first].scale
        self.append(graph.Add, shape, "none", inputs=(first, second), scale=2 * scale)

    def model(self) -> graph.Model:
        return graph.Model(self.name, tuple(self.tensors), tuple(self.operators), (0,), (self.end,))


def _few_channels(random: Random) -> graph.Model:
    chain = Chain("few-channels", (9, 7, 3), random)
    chain.convolution(6, 3, activation="relu")
    return chain.model()


def _many_channels(random: Random) -> graph.Model:
    chain = Chain("many-channels", (6, 5, 37), random)
    chain.convolution(21, 3, stride=2)
    return chain.model()


def _dilated(random: Random) -> graph.Model:
    chain = Chain("dilated", (8, 8, 5), random)
    chain.convolution(9, 3, dilation=2)
    return chain.model()


def _pointwise(random: Random) -> graph.Model:
    chain = Chain("pointwise", (5, 5, 33), random)
    chain.convolution(18, 1)
    return chain.model()


def _depthwise(random: Random) -> graph.Model:
    chain = Chain("depthwise", (9, 6, 19), random)
    chain.depthwise(3, stride=2)
    return chain.model()


def _fully_connected(random: Random) -> graph.Model:
    chain = Chain("fully-connected", (70,), random)
    chain.fully_connected(13)
    return chain.model()


def _maximum(random: Random) -> graph.Model:
    chain = Chain("maximum", (9, 9, 6), random)
    chain.pool("max", 3, 2)
    return chain.model()


def _average(random: Random) -> graph.Model:
    chain = Chain("average", (8, 8, 18), random)
    chain.pool("average", 2, 2)
    return chain.model()


def _mean(random: Random) -> graph.Model:
    chain = Chain("mean", (5, 7, 20), random)
    chain.mean()
    return chain.model()


def _pad(random: Random) -> graph.Model:
    chain = Chain("pad", (4, 5, 6), random)
    chain.pad(1, 2)
    return chain.model()


def _sum(random: Random) -> graph.Model:
    """An addition of its own: both operands are pooled, not computed by the lanes."""
    chain = Chain("sum", (6, 6, 7), random)
    chain.pool("max", 2, 2)
    chain.add(1, 1)
    return chain.model()


def _residual(random: Random) -> graph.Model:
    """A block with a shortcut, then a classifier: several layers in one start."""
    chain = Chain("residual", (8, 8, 3), random)
    chain.convolution(8, 3, activation="relu")
    chain.convolution(8, 3)
    chain.add(1, 2)
    chain.depthwise(3)
    chain.pool("average", 4, 4)
    chain.fully_connected(10)
    return chain.model()


NETWORKS: tuple[Callable[[Random], graph.Model], ...] = (
    _few_channels,
    _many_channels,
    _dilated,
    _pointwise,
    _depthwise,
    _fully_connected,
    _maximum,
    _average,
    _mean,
    _pad,
    _sum,
    _residual,
)


def networks(seed: int = 0) -> list[graph.Model]:
    """One of each, with weights by the seed."""
    return [make(Random(1000 * seed + number)) for number, make in enumerate(NETWORKS)]


def random_network(random: Random) -> graph.Model:
    """A few layers of random kinds and sizes."""
    chain = Chain("random", tuple(int(n) for n in random.randint(4, 13, 3)), random)
    for _ in range(random.randint(1, 5)):
        kind = random.randint(6)
        kernel = int(random.choice([1, 3, 5]))
        if kind == 0:
            stride = int(random.randint(1, 3))
            chain.convolution(int(random.randint(1, 40)), kernel, stride)
        elif kind == 1:
            chain.convolution(int(random.randint(1, 20)), 3, dilation=2)
        elif kind == 2:
            chain.depthwise(kernel, int(random.randint(1, 3)))
        elif kind == 3:
            chain.pad(*(int(n) for n in random.randint(0, 3, 2)))
        elif kind == 4 and min(chain.shape[:2]) >= 2:
            chain.pool(str(random.choice(["max", "average"])), 2, int(random.randint(1, 3)))
        elif len(chain.operators) and chain.shape == chain.tensors[chain.end - 1].shape:
            chain.add(chain.end - 1, chain.end)
        else:
            chain.convolution(int(random.randint(1, 20)), 1)
    if random.randint(2):
        chain.fully_connected(int(random.randint(1, 30)))
    return chain.model()


def split_network(random: Random) -> graph.Model:
    """Layers, what only the host computes, an activation by table, and layers again."""
    chain = Chain("split", (5, 4, 6), random)
    chain.convolution(7, 3)
    chain.append(graph.Lookup, chain.shape, "leaky_relu", 0.25, like=True)
    first = chain.end
    chain.convolution(7, 1)
    chain.append(graph.Elementwise, chain.shape, "multiply", inputs=(first, chain.end), scale=900.0)
    chain.append(graph.Transpose, (4, 5, 7), (1, 0, 2), like=True)
    chain.convolution(5, 3)
    return chain.model()


def random_inputs(model: graph.Model, images: int, random: Random) -> graph.Int8Array:
    """Uniform int8 values."""
    return random.randint(-128, 128, (images, *model.input.shape)).astype(np.int8)
