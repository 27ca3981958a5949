# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks whose arithmetic is at the limits: every accumulator, bias and factor that matters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator import reference
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint, fixed_point
from axynq.emulator.model.quantisation import layer_factors, mean_factor
from tests.networks import tensor

INT32 = np.iinfo(np.int32)


def _biases() -> npt.NDArray[np.int32]:
    """Powers of two, three halves of them, and the ends of int32, of both signs."""
    powers = 2 ** np.arange(32, dtype=np.int64)
    ends = [0, INT32.max - 2, INT32.max]
    values = np.unique(np.concatenate([powers, -powers, 3 * powers, -3 * powers, ends]))
    return values[(values >= INT32.min) & (values <= INT32.max)].astype(np.int32)


BIASES = _biases()

NEIGHBOURS = np.arange(-2, 3).astype(np.int8)
"""What is added to each bias."""

SHIFTS = np.arange(-33, 34)
"""Beyond both ends of what a factor can have."""

ZERO_POINTS = (-128, 0, 127)


def scales_of(significand: int) -> tuple[float, float]:
    """Two float32 scales whose product has the significand and no shift."""
    first = 1 + np.arange(1, 2**16) * 2.0**-23
    second = np.float64(np.float32(significand / 2**31 / first))
    exact = np.floor(first * second * 2**31 + 0.5) == significand
    found = int(np.flatnonzero(exact)[0]) if significand != 2**30 else 0
    scales = (first[found], second[found]) if significand != 2**30 else (1.0, 0.5)
    assert fixed_point(scales[0] * scales[1]) == FixedPoint(significand, 0)
    return float(scales[0]), float(scales[1])


def layers_of_biases() -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """Layers of one tap with a weight of 1. Each filter has its bias and its factor."""
    cases: tuple[tuple[int, int, graph.Activation], ...] = (
        (0, 2**30, "none"),
        (127, 2**31 - 1, "none"),
        (0, 2**30 + 1, "none"),
        (-128, 2**31 - 1, "none"),
        (0, 2**31 - 1, "relu6"),
        (127, 2**30, "relu_n1_to_1"),
    )
    for number, (zero_point, significand, activation) in enumerate(cases):
        first, second = scales_of(significand)
        bias = np.tile(BIASES, len(SHIFTS))
        scales = np.repeat((second * 2.0**SHIFTS).astype(np.float32), len(BIASES))
        source = tensor("x", (1, len(NEIGHBOURS), 1), first, 0)
        target = tensor("y", (1, len(NEIGHBOURS), len(bias)), 1.0, zero_point)
        kind = (graph.Convolution, graph.DepthwiseConvolution)[number % 2]
        shape = {graph.Convolution: (len(bias), 1, 1, 1)}.get(kind, (1, 1, len(bias)))
        layer = kind("layer_0", (0,), 1, np.ones(shape, np.int8), bias, scales, activation)
        model = graph.Model("biases", (source, target), (layer,), (0,), (1,))
        yield model, NEIGHBOURS.reshape(1, 1, -1, 1)


def fully_connected_of_biases() -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """As above, a factor a network."""
    for number, shift in enumerate(SHIFTS[::3].tolist()):
        # TFLite wants a bias in input scale * weight scale, nearly.
        source = tensor("x", (1,), 1.0, 0)
        target = tensor("y", (len(BIASES),), 1 + 2.0**-22, (0, 127)[number % 2])
        weights = np.ones((len(BIASES), 1), np.int8)
        scales = np.full(len(BIASES), 0.75 * 2.0**shift, np.float32)
        layer = graph.FullyConnected("layer_0", (0,), 1, weights, BIASES, scales, per_channel=False)
        model = graph.Model("biases", (source, target), (layer,), (0,), (1,))
        yield model, NEIGHBOURS.reshape(-1, 1)


def overflowing_sums() -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """Layers whose accumulators leave int32, up and down: with the bias, the last without."""
    rng = np.random.default_rng(0)
    ends = np.resize([INT32.max, INT32.min, INT32.max - 1000, INT32.min + 1000], 12)
    for kind in (graph.Convolution, graph.DepthwiseConvolution, graph.FullyConnected):
        fully_connected = kind is graph.FullyConnected
        shapes = {graph.Convolution: (12, 3, 3, 12), graph.DepthwiseConvolution: (3, 3, 12)}
        weights = rng.integers(-127, 128, shapes.get(kind, (12, 108))).astype(np.int8)
        source = tensor("x", (3, 3, 12), 1.0, -128)
        target = tensor("y", (12,) if fully_connected else (1, 1, 12), 2.0**24, 3)
        layer = kind(
            "layer_0", (0,), 1, weights, ends.astype(np.int32), np.ones(12, np.float32),
            per_channel=not fully_connected,
        )  # fmt: skip
        model = graph.Model("overflowing", (source, target), (layer,), (0,), (1,))
        yield model, rng.integers(-128, 128, (40, 3, 3, 12)).astype(np.int8)
    inputs = 70_000
    weights = np.stack([np.full(inputs, 127, np.int8), np.full(inputs, -127, np.int8)])
    source, target = tensor("x", (inputs,), 1.0, -128), tensor("y", (2,), 2.0**24, 3)
    layer = graph.FullyConnected(
        "layer_0", (0,), 1, weights, np.zeros(2, np.int32), np.ones(2, np.float32),
        per_channel=False,
    )  # fmt: skip
    model = graph.Model("overflowing", (source, target), (layer,), (0,), (1,))
    yield model, np.full((1, inputs), 127, np.int8)


def means() -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """Means over few and many positions with factors from the smallest to the largest, and inputs
    of a value per channel and of random values."""
    rng = np.random.default_rng(0)
    values = np.linspace(-128, 127, 64).astype(np.int8)
    shapes = ((1, 1), (1, 3), (7, 1), (8, 8), (17, 15))
    exponents = (*range(-36, -24, 3), -20, -9, -4, -1, 0, 1, 4, 9, 20, *range(24, 40, 3))
    for number, (shape, exponent) in enumerate(product(shapes, exponents)):
        source_zero, target_zero = ZERO_POINTS[number % 3], ZERO_POINTS[number // 3 % 3]
        source = tensor("x", (*shape, len(values)), (1.0, 1.2, 1.9999)[number % 3], source_zero)
        target = tensor("y", (len(values),), 2.0**-exponent, target_zero)
        op = graph.Mean("mean_0", (0,), 1, False)
        x = np.broadcast_to(values, (1, *shape, len(values)))
        x = np.concatenate([x, rng.choice(values, x.shape)])
        yield graph.Model("mean", (source, target), (op,), (0,), (1,)), x


def additions(largest_output_factor: float) -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """Additions of operands of very different scales, brought to very small and large ones.

    Both operands are read from channels of the input by convolutions, so that they come in all
    pairs of extreme values.
    """
    values = np.array([-128, -127, -86, -64, -3, -1, 0, 1, 31, 85, 127])
    x = np.stack(np.meshgrid(values, values), axis=-1)[None].astype(np.int8)
    shape = (len(values), len(values), 3)
    ratios = (2.0**-36, 2.0**-31 * 1.5, 2.0**-20, 0.37, 1.0, 3.0, 2.0**30, 2.0**40)
    outputs = (2.0**-40, 2.0**-22, 2.0**-19, 2.0**-18.99, 0.001, 0.9, 200.0, 2.0**12, 2.0**13)
    for number, (ratio, output) in enumerate(product(ratios, outputs)):
        zero = [ZERO_POINTS[number // k % 3] for k in (1, 3, 9)]
        scales = (1.0, ratio)
        if 2 * max(scales) / (2**20 * output * max(scales)) > largest_output_factor:
            continue
        tensors = [tensor("x", (*shape[:2], 2), 1.0, 0)]
        operators: list[graph.Operator] = []
        for k, scale in enumerate(scales):
            weights = np.zeros((3, 1, 1, 2), np.int8)
            weights[:, 0, 0, k] = 1, 2, 3
            weight_scales = np.full(3, scale, np.float32)
            tensors.append(tensor(f"t{k}", shape, scale, zero[k]))
            operators.append(
                graph.Convolution(
                    f"conv_{k}", (0,), k + 1, weights, np.zeros(3, np.int32), weight_scales
                )
            )
        tensors.append(tensor("y", shape, output * max(scales), zero[2]))
        operators.append(graph.Add("add_2", (1, 2), 3, ("none", "relu")[number % 2]))
        yield graph.Model("addition", tuple(tensors), tuple(operators), (0,), (3,)), x


def averages() -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """Averages over windows of all sizes, inside the map and across its edge."""
    rng = np.random.default_rng(0)
    for number, (rows, columns) in enumerate(product((1, 2, 3, 8, 20), (1, 5, 20))):
        scale = (0.05, 6.5, 3e-8)[number % 3]
        source = tensor("x", (20, 20, 5), scale, ZERO_POINTS[number % 3])
        target = tensor("y", (20, 20, 5), scale, ZERO_POINTS[number % 3])
        padding = graph.Padding((rows - 1) // 2, rows // 2, (columns - 1) // 2, columns // 2)
        activation = ("none", "relu6", "relu_n1_to_1", "relu")[number % 4]
        op = graph.Pool(
            "average_0", (0,), 1, "average", (rows, columns), (1, 1), padding, activation
        )
        x = np.empty((2, 20, 20, 5), np.int8)
        x[0] = -128, -127, -1, 126, 127
        x[1] = rng.integers(-128, 128, x[1].shape)
        yield graph.Model("average", (source, target), (op,), (0,), (1,)), x


def undefined_in_tflite(model: graph.Model, x: graph.Int8Array) -> npt.NDArray[np.bool_]:
    """Which outputs of a network of one layer or mean have a value leave 32 bits where TFLite's C++
    does not say what becomes of it: a left shift, the addition of the zero point."""
    op, output = model.operators[0], model.output
    if isinstance(op, graph.Mean):
        source = model.input
        values = (x.astype(np.int64) - source.zero_point).sum(axis=(1, 2))
        factors = [mean_factor(model, op)] * values.shape[-1]
        large = source.scale / output.scale >= 2**30
    else:
        assert isinstance(op, graph.WeightedLayer)
        values = reference.accumulators(model, op, x)
        factors = layer_factors(model, op)
        large = model.input.scale * op.weight_scales.astype(np.float64) / output.scale >= 2**30
    multipliers, shifts = np.array(factors, np.int64).T
    scaled = reference.rescale(values, multipliers, shifts)
    shifted = values << np.maximum(shifts, 0)
    undefined = np.zeros(values.shape, bool) | large
    for value in (shifted, scaled + output.zero_point):
        undefined |= (value < INT32.min) | (value > INT32.max)
    return undefined.reshape(len(x), *output.shape)


KINDS: tuple[graph.ElementwiseKind, ...] = ("add", "subtract", "multiply", "prelu")


def pairs() -> Iterator[tuple[graph.Model, list[graph.Int8Array]]]:
    """Pairs of values, with factors from the smallest to the largest: of two computed tensors,
    and of one and a constant on either side."""
    every = np.array([*range(-128, 128, 7), -127, 0, 1, 126, 127]).astype(np.int8)
    exponents = (-40, -8, -1, 0, 1, 8, 40)
    for number, (kind, exponent, other) in enumerate(product(KINDS, exponents, (-20, 1))):
        zero_points = [ZERO_POINTS[(number + k) % 3] for k in range(3)]
        first = tensor("a", (len(every), 1), 0.7 * 2.0**other, zero_points[0])
        second = tensor("b", (len(every),), 1.3, zero_points[1])
        target = tensor("y", (len(every), len(every)), 0.9 * 2.0**exponent, zero_points[2])
        activation = ("none", "relu", "relu6")[number % 3] if kind != "prelu" else "none"
        op = graph.Elementwise("pair_0", (0, 1), 2, kind, activation)
        tensors = (first, second, target)
        values = [every[:, None], every]
        yield graph.Model("pairs", tensors, (op,), (0, 1), (2,)), [v[None] for v in values]
        constant = number % 2
        model = graph.Model(
            "pairs", tensors, (op,), (1 - constant,), (2,), {constant: values[constant]}
        )
        yield model, [values[1 - constant][None]]


def sums() -> Iterator[tuple[graph.Model, graph.Int8Array]]:
    """Sums and means of few and many values, with factors from the smallest to the largest."""
    rng = np.random.default_rng(0)
    exponents = (-40, -20, -4, -1, 0, 1, 4, 9, 20, 40)
    kinds: tuple[Literal["mean", "sum"], ...] = ("mean", "sum")
    for number, (kind, exponent, count) in enumerate(product(kinds, exponents, (1, 2, 13, 700))):
        source = tensor("x", (count, 3), 0.3, ZERO_POINTS[number % 3])
        target = tensor("y", (3,), 0.7 * 2.0**exponent, ZERO_POINTS[number // 3 % 3])
        op = graph.Reduce("reduce_0", (0,), 1, kind, (0,), False)
        x = rng.integers(-128, 128, (70, count, 3)).astype(np.int8)
        x[:3] = np.array([-128, 127, source.zero_point], np.int8)[:, None, None]
        yield graph.Model("sums", (source, target), (op,), (0,), (1,)), x
