# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small random networks of all operators, in any order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from axynq.emulator.model import graph
from axynq.emulator.model.windows import transposed_geometry, window_geometry
from tests.networks import ACTIVATIONS, tensor

Shape = tuple[int, ...]
Quantisation = tuple[float, int]

MOST_VALUES = 1500
"""Of a tensor, so that networks stay small."""

FIXED: dict[str, Quantisation] = {
    "logistic": (1 / 256, -128),
    "tanh": (1 / 128, 0),
    "softmax": (1 / 256, -128),
    "log_softmax": (1 / 16, 127),
    "l2_normalisation": (1 / 128, 0),
}
"""Quantisations that TFLite demands of outputs."""

LOOKUPS: tuple[graph.LookupKind, ...] = (
    "relu", "relu6", "relu_n1_to_1", "relu_0_to_1", "leaky_relu", "gelu", "logistic", "tanh",
    "hard_swish", "absolute", "exponential", "quantise",
)  # fmt: skip


class RandomNetwork:
    """Grows operator by operator. Every method returns whether it could add its operator."""

    def __init__(self, rng: np.random.Generator, tflite: bool) -> None:
        self.rng = rng
        self.tflite = tflite
        self.tensors: list[graph.Tensor] = []
        self.operators: list[graph.Operator] = []
        self.constants: dict[int, graph.Int8Array] = {}
        self.inputs: list[int] = []

    # --- tensors ---------------------------------------------------------------------------------

    def number(self, low: int, high: int) -> int:
        """Of ``low..high``."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, choices: Any) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def quantisation(self, around: float = 0.05) -> Quantisation:
        scale = float(np.float32(around * self.rng.uniform(0.5, 2)))
        return scale, self.one_of([-128, 0, 127, self.number(-128, 127)])

    def new(self, shape: Shape, quantisation: Quantisation) -> int:
        index = len(self.tensors)
        self.tensors.append(tensor(f"t{index}", tuple(int(n) for n in shape), *quantisation))
        return index

    def given(self, shape: Shape) -> None:
        self.inputs.append(self.new(shape, self.quantisation()))

    def constant(self, shape: Shape, quantisation: Quantisation) -> int:
        index = self.new(shape, quantisation)
        self.tensors[index] = replace(self.tensors[index], name=f"t{index}/constant")
        self.constants[index] = self.rng.integers(-128, 128, shape).astype(np.int8)
        return index

    def shape(self, index: int) -> Shape:
        return self.tensors[index].shape

    def quantised(self, index: int) -> Quantisation:
        return self.tensors[index].scale, self.tensors[index].zero_point

    def values(self) -> list[int]:
        """Tensors that an operator may take, the last ones first."""
        return [k for k in range(len(self.tensors) - 1, -1, -1) if k not in self.constants]

    def source(self) -> int:
        """A tensor to go on from: mostly the last one."""
        return self.mostly_first(self.values())

    def map(self) -> int | None:
        """As :meth:`source`, of rows, columns and channels; None: there is none."""
        fitting = [k for k in self.values() if len(self.shape(k)) == 3]
        return self.mostly_first(fitting) if fitting else None

    def mostly_first(self, choices: list[int]) -> int:
        return choices[0] if self.rng.random() < 0.7 else int(self.one_of(choices))

    def sliding(
        self, rows: int, columns: int
    ) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], graph.Padding]:
        """A window and its stride, the rows and columns of the output, and the padding."""
        window = (self.number(1, 3), self.number(1, 3))
        stride = (self.number(1, 2), self.number(1, 2))
        same = rows < window[0] or columns < window[1] or bool(self.rng.random() < 0.5)
        size, padding = window_geometry((rows, columns), window, stride, (1, 1), same)
        return window, stride, size, padding

    def add(
        self, kind: Any, name: str, sources: tuple[int, ...], shape: Shape,
        quantisation: Quantisation, *fields: Any, **options: Any,
    ) -> int:  # fmt: skip
        """One operator; its output."""
        target = self.new(shape, quantisation)
        label = f"{name}_{len(self.operators)}"
        self.operators.append(kind(label, sources, target, *fields, **options))
        return target

    def activation(self) -> graph.Activation:
        return self.one_of(ACTIVATIONS)  # type: ignore[no-any-return]

    # --- operators that multiply -----------------------------------------------------------------

    def parameters(
        self, source: int, weights: graph.Int8Array, taps: int, filters: int
    ) -> tuple[tuple[Any, ...], Quantisation, bool]:
        per_channel = bool(self.rng.random() < 0.6)
        scales = np.exp(self.rng.uniform(np.log(0.001), np.log(0.02), filters)).astype(np.float32)
        if not per_channel:
            scales[:] = scales[0]
        bias = self.rng.integers(-4000, 4001, filters).astype(np.int32)
        typical = self.tensors[source].scale * float(scales.mean()) * 73 * 73 * math.sqrt(taps)
        quantisation = self.quantisation(typical / 60)
        return (weights, bias, scales, self.activation()), quantisation, per_channel

    def weights(self, *shape: int) -> graph.Int8Array:
        return self.rng.integers(-127, 128, shape).astype(np.int8)

    def convolution(self, depthwise: bool = False) -> bool:
        source = self.map()
        if source is None:
            return False
        rows, columns, channels = self.shape(source)
        window, stride, size, padding = self.sliding(rows, columns)
        filters = channels * self.number(1, 2) if depthwise else self.number(1, 6)
        if depthwise:
            weights, taps = self.weights(*window, filters), math.prod(window)
        else:
            weights = self.weights(filters, *window, channels)
            taps = math.prod(window) * channels
        fields, quantisation, per_channel = self.parameters(source, weights, taps, filters)
        kind = graph.DepthwiseConvolution if depthwise else graph.Convolution
        self.add(
            kind, "depthwise" if depthwise else "conv", (source,), (*size, filters), quantisation,
            *fields, per_channel=per_channel, stride=stride, padding=padding,
        )  # fmt: skip
        return True

    def depthwise(self) -> bool:
        return self.convolution(depthwise=True)

    def fully_connected(self) -> bool:
        source = self.source()
        inputs, filters = math.prod(self.shape(source)), self.number(1, 6)
        fields, quantisation, per_channel = self.parameters(
            source, self.weights(filters, inputs), inputs, filters
        )
        self.add(
            graph.FullyConnected, "fully_connected", (source,), (filters,), quantisation,
            *fields, per_channel=per_channel and not self.tflite,
        )  # fmt: skip
        if self.tflite:
            layer: Any = self.operators[-1]
            scales = np.full_like(layer.weight_scales, layer.weight_scales[0])
            self.operators[-1] = replace(layer, weight_scales=scales)
        return True

    def transposed_convolution(self) -> bool:
        source = self.map()
        if source is None:
            return False
        rows, columns, channels = self.shape(source)
        window = (self.number(1, 3), self.number(1, 3))
        stride = (self.number(1, 3), self.number(1, 3))
        same = bool(self.rng.random() < 0.5)
        size = tuple(
            n * s if same else (n - 1) * s + k for n, k, s in zip((rows, columns), window, stride)
        )
        around = transposed_geometry((rows, columns), (size[0], size[1]), window, stride, same)
        if math.prod(size) > MOST_VALUES // 6:
            return False
        spread_size = [n + k - 1 for n, k in zip(size, window)]
        spread = self.add(
            graph.Spread, "spread", (source,), (*spread_size, channels), self.quantised(source),
            stride, around,
        )  # fmt: skip
        filters = self.number(1, 5)
        weights = self.weights(filters, *window, channels)
        fields, quantisation, per_channel = self.parameters(
            spread, weights, math.prod(window) * channels, filters
        )
        fields = (*fields[:3], "none")
        self.add(
            graph.Convolution, "conv", (spread,), (*size, filters), quantisation,
            *fields, per_channel=per_channel,
        )  # fmt: skip
        return True

    # --- pairs -----------------------------------------------------------------------------------

    def addition(self) -> bool:
        first = self.source()
        second = self.one_of([k for k in self.values() if self.shape(k) == self.shape(first)])
        larger = max(self.tensors[first].scale, self.tensors[second].scale)
        self.add(
            graph.Add, "add", (first, second), self.shape(first), self.quantisation(larger),
            self.activation(),
        )  # fmt: skip
        return True

    def elementwise(self) -> bool:
        kind: graph.ElementwiseKind = self.one_of(
            ["add", "subtract", "multiply", "multiply", "maximum", "minimum", "prelu"]
        )
        first = self.source()
        alike = kind in ("maximum", "minimum")
        partners = [
            k for k in self.values()
            if self.shape(k) == broadcast(self.shape(first), self.shape(k))
            or self.shape(first) == broadcast(self.shape(first), self.shape(k))
            if (self.quantised(k) == self.quantised(first)) or not alike
            if kind != "add" or self.shape(k) != self.shape(first)
        ]  # fmt: skip
        if kind == "prelu" or not partners or self.rng.random() < 0.4:
            shape = self.operand_shape(self.shape(first))
            if kind == "prelu":
                shape = tuple(1 for _ in shape[:-1]) + shape[-1:]
            quantisation = self.quantised(first) if alike else self.quantisation()
            second = self.constant(shape, quantisation)
        else:
            second = int(self.one_of(partners))
        sources = (first, second)
        if kind != "prelu" and self.rng.random() < 0.3:
            sources = (second, first)
        scales = [self.tensors[k].scale for k in sources]
        typical = {"multiply": scales[0] * scales[1] * 60, "prelu": scales[0]}.get(
            kind, max(scales)
        )
        quantisation = self.quantised(first) if alike else self.quantisation(typical)
        fused = self.activation() if kind in ("add", "subtract", "multiply") else "none"
        shape = broadcast(*(self.shape(k) for k in sources))
        assert shape is not None
        self.add(graph.Elementwise, kind, sources, shape, quantisation, kind, fused)
        return True

    def operand_shape(self, shape: Shape) -> Shape:
        """That of a constant which is broadcast to ``shape``."""
        found = [n if self.rng.random() < 0.6 else 1 for n in shape]
        return tuple(found)

    # --- one value each, and over axes -----------------------------------------------------------

    def lookup(self, source: int | None = None) -> bool:
        source = self.source() if source is None else source
        kind = self.one_of(LOOKUPS)
        scale = self.tensors[source].scale
        largest = scale * (127 - self.tensors[source].zero_point)
        if kind == "exponential" and largest > 40:
            kind = "quantise"
        quantisation = FIXED.get(kind, self.quantisation(scale))
        alpha = 0.0
        if kind == "leaky_relu":
            alpha = float(np.float32(self.rng.uniform(-0.2, 1.2)))
        elif kind == "gelu":
            alpha = float(self.number(0, 1))
        shape = self.shape(source)
        if kind == "exponential":
            # Results have 32 bits in TFLite.
            quantisation = self.quantisation(math.exp(largest) / 200)
        self.add(graph.Lookup, kind, (source,), shape, quantisation, kind, alpha)
        return True

    def softmax(self) -> bool:
        source = self.source()
        kind, name, fields = self.one_of(
            [
                (graph.Softmax, "softmax", (1.0,)),
                (graph.LogSoftmax, "log_softmax", ()),
                (graph.L2Normalisation, "l2_normalisation", ()),
            ]
        )
        self.add(kind, name, (source,), self.shape(source), FIXED[name], *fields)
        return True

    def reduction(self) -> bool:
        source = self.source()
        shape = self.shape(source)
        axes = tuple(k for k in range(len(shape)) if self.rng.random() < 0.5) or (0,)
        keep = len(axes) == len(shape) or bool(self.rng.random() < 0.5)
        kind = "mean" if self.tflite else self.one_of(["mean", "sum"])
        target = tuple(1 if k in axes else n for k, n in enumerate(shape) if keep or k not in axes)
        quantisation = self.quantisation(self.tensors[source].scale)
        if kind == "mean" and len(shape) == 3 and axes == (0, 1):
            self.add(graph.Mean, "mean", (source,), target, quantisation, keep)
        else:
            self.add(graph.Reduce, kind, (source,), target, quantisation, kind, axes, keep)
        return True

    def pool(self) -> bool:
        source = self.map()
        if source is None:
            return False
        rows, columns, channels = self.shape(source)
        window, stride, size, padding = self.sliding(rows, columns)
        kind = self.one_of(["average", "max"])
        self.add(
            graph.Pool, f"{kind}_pool", (source,), (*size, channels), self.quantised(source),
            kind, window, stride, padding, self.activation(),
        )  # fmt: skip
        return True

    # --- values that move ------------------------------------------------------------------------

    def pad(self) -> bool:
        source = self.source()
        shape = self.shape(source)
        rows_and_columns = len(shape) == 3 and self.rng.random() < 0.5
        before = [self.number(0, 2) for _ in shape]
        after = [self.number(0, 2) for _ in shape]
        if rows_and_columns:
            before[2] = after[2] = 0
        target = tuple(n + b + a for n, b, a in zip(shape, before, after))
        if math.prod(target) > MOST_VALUES:
            return False
        quantisation = self.quantised(source)
        if rows_and_columns:
            around = graph.Padding(before[0], after[0], before[1], after[1])
            self.add(graph.Pad, "pad", (source,), target, quantisation, around)
            return True
        value = self.one_of([None, self.number(-128, 127)])
        if value == self.tensors[source].zero_point:
            value = None
        self.add(
            graph.Surround, "pad", (source,), target, quantisation,
            tuple(before), tuple(after), value,
        )  # fmt: skip
        return True

    def reshape(self) -> bool:
        source = self.source()
        shape = self.shape(source)
        count = math.prod(shape)
        target: Shape = (count,)
        if self.rng.random() < 0.6:
            rows = self.one_of([n for n in range(1, 9) if count % n == 0])
            columns = self.one_of([n for n in range(1, 9) if (count // rows) % n == 0])
            target = (rows, columns, count // rows // columns)
        self.add(graph.Reshape, "reshape", (source,), target, self.quantised(source))
        return True

    def concatenation(self) -> bool:
        source = self.source()
        shape = self.shape(source)
        axis = self.number(0, len(shape) - 1)

        def others(index: int) -> list[int]:
            return [n for k, n in enumerate(self.shape(index)) if k != axis]

        partners = [
            k for k in self.values()
            if len(self.shape(k)) == len(shape)
            and others(k) == others(source)
            and self.quantised(k) == self.quantised(source)
        ]  # fmt: skip
        sources = [source] + [int(self.one_of(partners)) for _ in range(self.number(1, 2))]
        if self.rng.random() < 0.2:
            sources.append(self.constant(shape, self.quantised(source)))
        length = sum(self.shape(k)[axis] for k in sources)
        target = (*shape[:axis], length, *shape[axis + 1 :])
        if math.prod(target) > MOST_VALUES:
            return False
        self.add(
            graph.Concatenation, "concatenation", tuple(sources), target, self.quantised(source),
            axis,
        )  # fmt: skip
        return True

    def slice(self) -> bool:
        source = self.source()
        begin, stride, target = [], [], []
        for n in self.shape(source):
            step = self.one_of([1, 1, 2, -1])
            start = self.number(0, n - 1)
            most = (n - 1 - start) // step + 1 if step > 0 else start + 1
            begin.append(start)
            stride.append(step)
            target.append(self.number(1, most))
        self.add(
            graph.Slice, "slice", (source,), tuple(target), self.quantised(source),
            tuple(begin), tuple(stride),
        )  # fmt: skip
        return True

    def transpose(self) -> bool:
        source = self.source()
        shape = self.shape(source)
        order = tuple(int(k) for k in self.rng.permutation(len(shape)))
        self.add(
            graph.Transpose, "transpose", (source,), tuple(shape[k] for k in order),
            self.quantised(source), order,
        )  # fmt: skip
        return True

    def resize(self) -> bool:
        source = self.map()
        if source is None:
            return False
        channels = self.shape(source)[2]
        target = (self.number(1, 9), self.number(1, 9), channels)
        align, half = self.one_of([(False, False), (True, False), (False, True)])
        bilinear = bool(self.rng.random() < 0.5)
        self.add(
            graph.ResizeBilinear if bilinear else graph.ResizeNearest,
            "resize_bilinear" if bilinear else "resize_nearest",
            (source,), target, self.quantised(source), align, half,
        )  # fmt: skip
        return True

    def blocks(self) -> bool:
        source = self.map()
        if source is None:
            return False
        rows, columns, channels = self.shape(source)
        block = self.one_of([1, 2, 3])
        if channels % (block * block) == 0 and self.rng.random() < 0.5:
            target = (rows * block, columns * block, channels // block**2)
            kind, name = graph.DepthToSpace, "depth_to_space"
        elif rows % block == 0 and columns % block == 0:
            target = (rows // block, columns // block, channels * block**2)
            kind, name = graph.SpaceToDepth, "space_to_depth"  # type: ignore[assignment]
        else:
            return False
        self.add(kind, name, (source,), target, self.quantised(source), block)
        return True

    def spread(self) -> bool:
        source = self.map()
        if source is None or self.tflite:
            return False
        rows, columns, channels = self.shape(source)
        stride = (self.number(1, 3), self.number(1, 3))
        around = graph.Padding(*(self.number(0, 2) for _ in range(4)))
        size = (
            (rows - 1) * stride[0] + 1 + around.top + around.bottom,
            (columns - 1) * stride[1] + 1 + around.left + around.right,
        )
        if math.prod(size) * channels > MOST_VALUES:
            return False
        self.add(
            graph.Spread, "spread", (source,), (*size, channels), self.quantised(source),
            stride, around,
        )  # fmt: skip
        return True

    def model(self) -> graph.Model:
        """The network: every input is read, and what nothing reads is given out."""
        for index in self.inputs:
            if not any(index in op.inputs for op in self.operators):
                self.lookup(index)
        read = {k for op in self.operators for k in op.inputs}
        outputs = [op.output for op in self.operators if op.output not in read]
        return graph.Model(
            "random", tuple(self.tensors), tuple(self.operators),
            tuple(self.inputs), tuple(outputs), self.constants,
        )  # fmt: skip


KINDS: tuple[str, ...] = (
    "convolution", "depthwise", "fully_connected", "transposed_convolution", "addition",
    "elementwise", "lookup", "softmax", "reduction", "pool", "pad", "reshape", "concatenation",
    "slice", "transpose", "resize", "blocks", "spread",
)  # fmt: skip


def broadcast(first: Shape, second: Shape) -> Shape | None:
    """The shape of a result; None: they do not fit."""
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        return None


@st.composite
def any_models(
    draw: Any, kinds: tuple[str, ...] = KINDS, most: int = 5, tflite: bool = False
) -> graph.Model:
    """A network of 1 to ``most`` operators, with one input or two, and one output or more.

    Args:
        draw: hypothesis'.
        kinds: which operators, some of :data:`KINDS`.
        most: operators, a transposed convolution counting as one.
        tflite: nothing that a ``.tflite`` file cannot hold or TFLite's reference kernels compute
            otherwise.
    """
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = RandomNetwork(rng, tflite)
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        network.given((int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(rng.integers(1, 7))))
    for kind in chosen:
        grow: Callable[[], bool] = getattr(network, kind)
        if not grow():
            network.lookup()
    return network.model()


def random_inputs(model: graph.Model, images: int, seed: int) -> list[npt.NDArray[np.int8]]:
    """Uniform int8 values for each input."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-128, 128, (images, *model.tensors[k].shape)).astype(np.int8)
        for k in model.inputs
    ]
