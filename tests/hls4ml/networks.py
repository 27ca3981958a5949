# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small random networks of all operators that hls4ml designs may have."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from axynq.emulator import reference
from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.windows import window_geometry
from axynq.hls4ml.layer_list import layer_list
from tests.networks import ACTIVATIONS, tensor

KINDS = (
    *("convolution", "convolution", "convolution", "depthwise", "depthwise", "pool", "pool"),
    *("addition", "addition", "padding", "lookup", "mean", "reshape", "fully_connected"),
)

FEW = 24
"""Values that an operator's output should take, so that mistakes in it are seen."""


class LivelyNetwork:
    """Grows operator by operator. Scales are chosen so that outputs take many values."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        shape = (*(int(n) for n in rng.integers(6, 10, 2)), int(rng.integers(1, 5)))
        self.tensors = [tensor("x", shape, 0.05, self.zero_point())]
        self.operators: list[graph.Operator] = []
        self.values = [rng.integers(-128, 128, (20, *shape)).astype(np.int8)]

    def zero_point(self) -> int:
        return int(self.rng.choice([-128, 0, self.rng.integers(-100, 101)]))

    def number(self, low: int, high: int) -> int:
        """Of ``low..high``."""
        return int(self.rng.integers(low, high + 1))

    def source(self, dimensions: int | None = None) -> int:
        """A tensor, mostly the last one that has so many dimensions."""
        found = [
            k for k, t in enumerate(self.tensors) if dimensions in (None, len(t.shape))
        ]  # fmt: skip
        return found[-1] if self.rng.random() < 0.7 else int(self.rng.choice(found))

    def shape(self, index: int) -> tuple[int, ...]:
        return self.tensors[index].shape

    # --- adding ----------------------------------------------------------------------------------

    def same(self, op: graph.Operator, shape: tuple[int, ...]) -> int:
        """Add an operator whose output is quantised as its input."""
        source = self.tensors[op.inputs[0]]
        return self.take(op, tensor(f"t{op.output}", shape, source.scale, source.zero_point))

    def fitted(self, op: graph.Operator, shape: tuple[int, ...]) -> int:
        """Add an operator with the output scale that gives the most values."""
        name, zero_point = f"t{op.output}", self.zero_point()
        scales = 2.0 ** np.arange(-12, 12)
        targets = [tensor(name, shape, float(scale), zero_point) for scale in scales]
        best = max(targets, key=lambda target: len(np.unique(self.computed(op, target))))
        scale = best.scale * float(self.rng.uniform(0.8, 1.3))
        return self.take(op, tensor(name, shape, scale, zero_point))

    def take(self, op: Any, target: graph.Tensor) -> int:
        y = self.computed(op, target)
        if len(np.unique(y)) < FEW and getattr(op, "activation", "none") != "none":
            op = replace(op, activation="none")
            y = self.computed(op, target)
        self.tensors.append(target)
        self.operators.append(op)
        self.values.append(y)
        return len(self.tensors) - 1

    def computed(self, op: graph.Operator, target: graph.Tensor) -> graph.Int8Array:
        model = graph.Model("", (*self.tensors, target), (op,), (0,), (op.output,))
        inputs = [self.values[index] for index in op.inputs]
        return reference.evaluate(model, op, inputs, reference.exact_products)

    def named(self, kind: str) -> str:
        return f"{kind}_{len(self.operators)}"

    def activation(self) -> graph.Activation:
        return str(self.rng.choice(ACTIVATIONS))  # type: ignore[return-value]

    # --- operators -------------------------------------------------------------------------------

    def parameters(self, filters: int) -> tuple[Any, ...]:
        scales = np.exp(self.rng.uniform(np.log(0.01), np.log(0.03), filters)).astype(np.float32)
        bias = self.rng.integers(-4000, 4001, filters).astype(np.int32)
        return bias, scales, self.activation()

    def weights(self, *shape: int) -> graph.Int8Array:
        return self.rng.integers(-128, 128, shape).astype(np.int8)

    def sliding(self, source: int, most: int) -> tuple[Any, Any, Any, Any]:
        """A window and its stride, rows and columns of the output, and the padding."""
        rows, columns, _ = self.shape(source)
        window = (self.number(1, most), self.number(1, most))
        stride = (1, 1) if min(rows, columns) < 5 else (self.number(1, 2), self.number(1, 2))
        same = rows < window[0] or columns < window[1] or bool(self.rng.random() < 0.7)
        size, padding = window_geometry((rows, columns), window, stride, (1, 1), same)
        return window, stride, size, padding

    def convolution(self) -> None:
        source, filters = self.source(3), self.number(2, 6)
        window, stride, size, padding = self.sliding(source, 4)
        op = graph.Convolution(
            self.named("conv"), (source,), len(self.tensors),
            self.weights(filters, *window, self.shape(source)[2]), *self.parameters(filters),
            stride=stride, padding=padding,
        )  # fmt: skip
        self.fitted(op, (*size, filters))

    def depthwise(self) -> None:
        source = self.source(3)
        channels = self.shape(source)[2]
        window, stride, size, padding = self.sliding(source, 4)
        op = graph.DepthwiseConvolution(
            self.named("depthwise"), (source,), len(self.tensors),
            self.weights(*window, channels), *self.parameters(channels),
            stride=stride, padding=padding,
        )  # fmt: skip
        self.fitted(op, (*size, channels))

    def fully_connected(self, source: int | None = None, filters: int = 6) -> int:
        source = self.source() if source is None else source
        op = graph.FullyConnected(
            self.named("fully_connected"), (source,), len(self.tensors),
            self.weights(filters, math.prod(self.shape(source))), *self.parameters(filters),
        )  # fmt: skip
        return self.fitted(op, (filters,))

    def pool(self) -> None:
        source = self.source(3)
        window, stride, size, padding = self.sliding(source, 3)
        kind: Any = self.rng.choice(["average", "max"])
        op = graph.Pool(
            self.named(f"{kind}_pool"), (source,), len(self.tensors),
            kind, window, stride, padding, self.activation(),
        )  # fmt: skip
        self.same(op, (*size, self.shape(source)[2]))

    def addition(self, first: int | None = None, second: int | None = None) -> int:
        first = self.source() if first is None else first
        if second is None:
            alike = [k for k in range(len(self.tensors)) if self.shape(k) == self.shape(first)]
            second = int(self.rng.choice(alike))
        op = graph.Add(
            self.named("add"), (first, second), len(self.tensors), self.activation()
        )  # fmt: skip
        return self.fitted(op, self.shape(first))

    def padding(self) -> None:
        source = self.source(3)
        around = graph.Padding(*(self.number(0, 2) for _ in range(4)))
        op = graph.Pad(self.named("pad"), (source,), len(self.tensors), around)
        self.same(op, around.around(self.shape(source)))

    def lookup(self) -> None:
        source = self.source()
        kind: Any = self.rng.choice(["leaky_relu", "quantise", "gelu", "absolute"])
        alpha = 0.3 if kind == "leaky_relu" else 0.0
        op = graph.Lookup(self.named(kind), (source,), len(self.tensors), kind, alpha)
        self.fitted(op, self.shape(source))

    def mean(self) -> None:
        source, keep = self.source(3), bool(self.rng.random() < 0.5)
        channels = self.shape(source)[2]
        op = graph.Mean(self.named("mean"), (source,), len(self.tensors), keep)
        self.fitted(op, (1, 1, channels) if keep else (channels,))

    def reshape(self) -> None:
        source = self.source(3)
        rows, columns, channels = self.shape(source)
        flat, turned = (rows * columns * channels,), (columns, rows, channels)
        op = graph.Reshape(self.named("reshape"), (source,), len(self.tensors))
        self.same(op, flat if self.rng.random() < 0.5 else turned)

    def model(self) -> graph.Model:
        """The network, with a sum of all that nothing else reads, so that it has one output."""
        read = {k for op in self.operators for k in op.inputs}
        ends = [op.output for op in self.operators if op.output not in read]
        total = self.fully_connected(ends[0], 10)
        for end in ends[1:]:
            total = self.addition(total, self.fully_connected(end, 10))
        return graph.Model("random", tuple(self.tensors), tuple(self.operators), (0,), (total,))


def random_network(seed: int) -> graph.Model:
    """A network of all of :data:`KINDS` that can be a design, of streams too."""
    for attempt in range(1000):
        network = LivelyNetwork(np.random.default_rng([seed, attempt]))
        for kind in network.rng.permutation(KINDS):
            getattr(network, kind)()
        model = network.model()
        dull = sum(len(np.unique(values)) < FEW for values in network.values)
        try:
            layer_list(model, streams=True)
        except ModelError:
            continue
        if dull < 3:
            return model
    raise AssertionError("no network can be a design")
