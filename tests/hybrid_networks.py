# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks of branches that are put together again, for splits between host and accelerator."""

from __future__ import annotations

from typing import Any

import numpy as np

from axynq.emulator.model import graph
from axynq.emulator.model.windows import transposed_geometry
from tests.networks import tensor


class Network:
    """Grows operator by operator; every method gives the new tensor."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors = [tensor("x", shape, 0.05, 3)]
        self.operators: list[graph.Operator] = []
        self.constants: dict[int, graph.Int8Array] = {}

    def new(self, shape: tuple[int, ...], scale: float = 0.5, zero_point: int | None = None) -> int:
        if zero_point is None:
            zero_point = int(self.rng.integers(-40, 40))
        self.tensors.append(tensor(f"t{len(self.tensors)}", shape, scale, zero_point))
        return len(self.tensors) - 1

    def constant(self, values: Any, scale: float = 0.05, zero_point: int = 0) -> int:
        index = self.new(np.shape(values), scale, zero_point)
        self.constants[index] = np.asarray(values, np.int8)
        return index

    def shape(self, index: int) -> tuple[int, ...]:
        return self.tensors[index].shape

    def add(self, kind: Any, inputs: tuple[int, ...], output: int, *values: Any,
            **options: Any) -> int:  # fmt: skip
        name = f"{kind.__name__.lower()}_{len(self.operators)}"
        self.operators.append(kind(name, inputs, output, *values, **options))
        return output

    def convolution(
        self, source: int, filters: int, kernel: int = 1, like: int | None = None
    ) -> int:
        """That keeps rows and columns; with the quantisation of ``like``."""
        rows, columns, channels = self.shape(source)
        of = (0.5, None) if like is None else self.quantisation(like)
        weights = self.rng.integers(-127, 128, (filters, kernel, kernel, channels)).astype(np.int8)
        before, after = (kernel - 1) // 2, kernel // 2
        return self.add(
            graph.Convolution, (source,), self.new((rows, columns, filters), *of), weights,
            self.rng.integers(-3000, 3000, filters).astype(np.int32),
            np.full(filters, 0.02 / kernel, np.float32),
            padding=graph.Padding(before, after, before, after),
        )  # fmt: skip

    def grouped(self, source: int, groups: int, filters: int, kernel: int = 3) -> int:
        """Slices of the channels, a convolution of each, and their concatenation."""
        rows, columns, channels = self.shape(source)
        width, parts = channels // groups, []
        for group in range(groups):
            part = self.new((rows, columns, width), *self.quantisation(source))
            self.add(graph.Slice, (source,), part, (0, 0, group * width), (1, 1, 1))
            like = parts[0] if parts else None
            parts.append(self.convolution(part, filters // groups, kernel, like))
        return self.concatenation(*parts)

    def enlarged(self, source: int, rows: int, columns: int) -> int:
        """So many times, each pixel repeated."""
        shape = self.shape(source)
        target = self.new(
            (shape[0] * rows, shape[1] * columns, shape[2]), *self.quantisation(source)
        )
        return self.add(graph.ResizeNearest, (source,), target, False, False)

    def transposed(self, source: int, filters: int, kernel: int, stride: tuple[int, int],
                   same: bool) -> int:  # fmt: skip
        """A transposed convolution: a spread map and a convolution of it."""
        rows, columns, channels = self.shape(source)
        size = [n * s if same else (n - 1) * s + kernel for n, s in zip((rows, columns), stride)]
        window, larger = (kernel, kernel), (size[0], size[1])
        around = transposed_geometry((rows, columns), larger, window, stride, same)
        shape = (size[0] + kernel - 1, size[1] + kernel - 1, channels)
        spread = self.new(shape, *self.quantisation(source))
        self.add(graph.Spread, (source,), spread, stride, around)
        weights = self.rng.integers(-127, 128, (filters, kernel, kernel, channels)).astype(np.int8)
        return self.add(
            graph.Convolution, (spread,), self.new((*larger, filters)), weights,
            self.rng.integers(-3000, 3000, filters).astype(np.int32),
            np.full(filters, 0.02 / kernel, np.float32),
        )  # fmt: skip

    def quantisation(self, index: int) -> tuple[float, int]:
        return self.tensors[index].scale, self.tensors[index].zero_point

    def concatenation(self, *sources: int) -> int:
        """Of channels; all have the first one's quantisation."""
        shapes = [self.shape(index) for index in sources]
        shape = (*shapes[0][:-1], sum(each[-1] for each in shapes))
        target = self.new(shape, *self.quantisation(sources[0]))
        return self.add(graph.Concatenation, sources, target, len(shape) - 1)

    def pool(self, source: int) -> int:
        target = self.new(self.shape(source), *self.quantisation(source))
        around = graph.Padding(1, 1, 1, 1)
        return self.add(graph.Pool, (source,), target, "max", (3, 3), (1, 1), around)

    def lookup(self, source: int, kind: str, of: tuple[float, int] | None = None) -> int:
        target = self.new(self.shape(source), *(of or self.quantisation(source)))
        return self.add(graph.Lookup, (source,), target, kind)

    def pair(self, kind: str, first: int, second: int) -> int:
        """Of two tensors of one shape, or of one and a constant."""
        shape = self.shape(second if first in self.constants else first)
        return self.add(graph.Elementwise, (first, second), self.new(shape), kind)

    def model(self, *outputs: int) -> graph.Model:
        return graph.Model(
            "branches", tuple(self.tensors), tuple(self.operators), (0,),
            outputs or (len(self.tensors) - 1,), self.constants,
        )  # fmt: skip


def branches(seed: int, word: int = 4) -> graph.Model:
    """Concatenations of channels of all kinds of parts, one in the other, and layers behind them;
    all but the last part of each fill whole words."""
    rng = np.random.default_rng(seed)
    network = Network((int(rng.integers(2, 6)), int(rng.integers(2, 6)), word), seed)
    source = network.convolution(0, int(rng.choice([word, 2 * word])), 3)
    for _ in range(rng.integers(1, 4)):
        first = network.convolution(source, word, int(rng.choice([1, 3])))
        parts = [first]
        for _ in range(rng.integers(1, 4)):
            kind = rng.integers(6)
            last = network.convolution(source, int(rng.choice([word, 2 * word])), 2, like=first)
            if kind == 0:
                last = network.pool(last)
            elif kind == 1:
                last = network.lookup(network.convolution(source, word), "leaky_relu",
                                      network.quantisation(first))  # fmt: skip
            elif kind == 2:
                other = network.convolution(source, network.shape(last)[2])
                target = network.new(network.shape(last), *network.quantisation(first))
                last = network.add(graph.Add, (last, other), target)
            elif kind == 3:
                parts.append(first)  # twice
            elif kind == 4:
                network.convolution(last, 3)  # read by another as well
            parts.append(last)
        if rng.integers(3) == 0:
            parts.append(network.convolution(source, 3, like=first))
        source = network.concatenation(*parts)
        if rng.integers(3) == 0:
            continue  # straight into the next
        source = network.convolution(source, int(rng.choice([word, 2 * word])))
        if rng.integers(4) == 0 and network.shape(source)[0] < 6:
            filters, kernel = int(rng.integers(1, 3 * word)), int(rng.integers(1, 5))
            strides = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
            source = network.transposed(source, filters, kernel, strides, bool(rng.integers(2)))
        elif rng.integers(3) == 0 and network.shape(source)[0] < 6:
            source = network.enlarged(source, 2, int(rng.choice([1, 2])))
    unread = {op.output for op in network.operators} - {
        index for op in network.operators for index in op.inputs
    }
    return network.model(*sorted(unread))
