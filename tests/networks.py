# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small random networks: one operator each, or a few in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from axynq.emulator.model import graph
from axynq.emulator.model.windows import window_geometry

ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")


def random_input(model: graph.Model, images: int, seed: int) -> graph.Int8Array:
    """Uniform int8 values."""
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (images, *model.input.shape)).astype(np.int8)


def tensor(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> graph.Tensor:
    """A tensor whose scale is a float32, as files hold it."""
    return graph.Tensor(name, shape, float(np.float32(scale)), zero_point)


@st.composite
def weighted_models(draw: Any, kinds: tuple[str, ...] = ("conv", "depthwise", "fc")) -> graph.Model:
    """A network of one convolution, depthwise convolution or fully connected layer.

    Shapes, strides, dilation, padding, zero points, scales and the fused activation are drawn;
    weights and biases are random.
    """
    kind = draw(st.sampled_from(kinds))
    zero_points = st.one_of(st.just(-128), st.just(0), st.integers(-128, 127))
    zero_point, output_zero_point = draw(zero_points), draw(zero_points)
    activation = draw(st.sampled_from(ACTIVATIONS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.integers(1, 9))
    if kind == "fc":
        shape: tuple[int, ...] = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), channels)
        filters = draw(st.integers(1, 9))
        weights = rng.integers(-127, 128, (filters, int(np.prod(shape)))).astype(np.int8)
        taps, output_shape, per_channel = weights.shape[1], (filters,), False
        geometry: dict[str, Any] = {}
    else:
        window = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]))
        # TFLite has no convolution with both a stride and a dilation.
        strides = st.integers(1, 3) if dilation == (1, 1) else st.just(1)
        stride = (draw(strides), draw(strides))
        extents = [(k - 1) * d + 1 for k, d in zip(window, dilation)]
        same = draw(st.booleans())
        rows, columns = (draw(st.integers(1 if same else e, 7 + e)) for e in extents)
        shape = (rows, columns, channels)
        size, padding = window_geometry((rows, columns), window, stride, dilation, same)
        per_channel = draw(st.booleans())
        geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        if kind == "conv":
            filters = draw(st.integers(1, 9))
            weights = rng.integers(-127, 128, (filters, *window, channels)).astype(np.int8)
            taps = window[0] * window[1] * channels
        else:
            filters = channels * draw(st.sampled_from([1, 1, 2, 3]))
            weights = rng.integers(-127, 128, (*window, filters)).astype(np.int8)
            taps = window[0] * window[1]
        output_shape = (*size, filters)
    bias = rng.integers(-4000, 4001, filters).astype(np.int32)
    scales = np.exp(rng.uniform(np.log(0.001), np.log(0.02), filters)).astype(np.float32)
    if not per_channel:
        scales[:] = scales[0]
    source = tensor("x", shape, float(np.exp(rng.uniform(np.log(0.005), np.log(0.5)))), zero_point)
    # Spread the accumulators over the output's range, with some saturation.
    typical = source.scale * float(scales.mean()) * 73 * 73 * np.sqrt(taps)
    target = tensor("y", output_shape, typical / rng.uniform(20, 120), output_zero_point)
    operator_type: Any = {
        "conv": graph.Convolution,
        "depthwise": graph.DepthwiseConvolution,
        "fc": graph.FullyConnected,
    }[kind]
    name = {"conv": "conv_0", "depthwise": "depthwise_0", "fc": "fully_connected_0"}[kind]
    operator = operator_type(
        name, (0,), 1, weights, bias, scales, activation, per_channel=per_channel, **geometry
    )
    return graph.Model("random", (source, target), (operator,), (0,), (1,))


@st.composite
def other_models(draw: Any) -> graph.Model:
    """A network of one operator that does not multiply."""
    kind = draw(st.sampled_from(["add", "average", "max", "mean", "pad", "softmax"]))
    rows, columns, channels = (draw(st.integers(1, n)) for n in (9, 9, 9))
    zero_point = draw(st.integers(-128, 127))
    scale = draw(st.floats(0.004, 0.5))
    source = tensor("x", (rows, columns, channels), scale, zero_point)
    activation = draw(st.sampled_from(ACTIVATIONS))
    op: graph.Operator
    if kind == "add":
        # Both operands come from the input: directly, and through a pooling of single positions.
        pooled = tensor("p", source.shape, scale, zero_point)
        target = tensor(
            "y", source.shape, draw(st.floats(0.004, 0.5)), draw(st.integers(-128, 127))
        )
        pool = graph.Pool("max_pool_0", (0,), 1, "max", (1, 1), (1, 1), activation="relu")
        op = graph.Add("add_1", (0, 1), 2, activation)
        return graph.Model("random", (source, pooled, target), (pool, op), (0,), (2,))
    if kind in ("average", "max"):
        window = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        same = draw(st.booleans()) or rows < window[0] or columns < window[1]
        size, padding = window_geometry((rows, columns), window, stride, (1, 1), same)
        target = tensor("y", (*size, channels), scale, zero_point)
        op = graph.Pool(f"{kind}_pool_0", (0,), 1, kind, window, stride, padding, activation)
    elif kind == "mean":
        keep = draw(st.booleans())
        shape = (1, 1, channels) if keep else (channels,)
        target = tensor("y", shape, draw(st.floats(0.004, 0.5)), draw(st.integers(-128, 127)))
        op = graph.Mean("mean_0", (0,), 1, keep)
    elif kind == "pad":
        padding = graph.Padding(*(draw(st.integers(0, 3)) for _ in range(4)))
        shape = (
            rows + padding.top + padding.bottom,
            columns + padding.left + padding.right,
            channels,
        )
        target = tensor("y", shape, scale, zero_point)
        op = graph.Pad("pad_0", (0,), 1, padding)
    else:
        source = tensor("x", (channels + 1,), scale, zero_point)
        target = tensor("y", (channels + 1,), 1 / 256, -128)
        op = graph.Softmax("softmax_0", (0,), 1, draw(st.sampled_from([1.0, 0.5])))
    return graph.Model("random", (source, target), (op,), (0,), (1,))


@st.composite
def branched_models(draw: Any) -> graph.Model:
    """Layers whose sum is taken, with paddings of their own: two layers, or one and its input, in
    either order; perhaps one of them is the output's other operand as well."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns, channels = (draw(st.integers(1, n)) for n in (7, 7, 9))
    tensors = [
        tensor("x", (rows, columns, channels), rng.uniform(0.01, 0.1), rng.integers(-128, 128))
    ]
    operators: list[graph.Operator] = []

    def new(shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        tensors.append(tensor(f"t{len(tensors)}", shape, scale, zero_point))
        return len(tensors) - 1

    def layer(source: int, kernel: int, depthwise: bool) -> int:
        """A layer that keeps the shape; odd kernels are padded, perhaps by an operator."""
        half = kernel // 2
        around = graph.Padding(half, half, half, half)
        if half and draw(st.booleans()):
            before = tensors[source]
            shape = (rows + 2 * half, columns + 2 * half, channels)
            padded = new(shape, before.scale, before.zero_point)
            operators.append(graph.Pad(f"pad_{len(operators)}", (source,), padded, around))
            source, around = padded, graph.Padding()
        target = new((rows, columns, channels), rng.uniform(0.2, 2), rng.integers(-128, 128))
        kind: Any = graph.DepthwiseConvolution if depthwise else graph.Convolution
        shape = (kernel, kernel, channels) if depthwise else (channels, kernel, kernel, channels)
        operators.append(
            kind(
                f"{'depthwise' if depthwise else 'conv'}_{len(operators)}",
                (source,),
                target,
                rng.integers(-127, 128, shape).astype(np.int8),
                rng.integers(-4000, 4001, channels).astype(np.int32),
                np.exp(rng.uniform(np.log(0.001), np.log(0.02), channels)).astype(np.float32),
                draw(st.sampled_from(ACTIVATIONS)),
                padding=around,
            )
        )
        return target

    def addition(first: int, second: int) -> int:
        target = new((rows, columns, channels), rng.uniform(0.2, 2), rng.integers(-128, 128))
        activation = draw(st.sampled_from(ACTIVATIONS))
        operators.append(graph.Add(f"add_{len(operators)}", (first, second), target, activation))
        return target

    kernels = st.sampled_from([1, 3])
    first = layer(0, draw(kernels), draw(st.booleans()))
    second = layer(0, draw(kernels), draw(st.booleans())) if draw(st.booleans()) else 0
    end = addition(*draw(st.permutations([first, second])))
    if draw(st.booleans()):
        end = addition(end, draw(st.sampled_from([0, first, end])))
    return graph.Model("random", tuple(tensors), tuple(operators), (0,), (end,))


def convolution(
    rows: int, columns: int, channels: int, filters: int, kernel: int, seed: int, stride: int = 1
) -> graph.Model:
    """A single convolution on a padded map."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (filters, kernel, kernel, channels)).astype(np.int8)
    return _single(graph.Convolution, (rows, columns, channels), weights, kernel, stride, rng)


def depthwise(
    rows: int, columns: int, channels: int, kernel: int, seed: int, stride: int = 1
) -> graph.Model:
    """A single depthwise convolution on a padded map."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (kernel, kernel, channels)).astype(np.int8)
    shape = (rows, columns, channels)
    return _single(graph.DepthwiseConvolution, shape, weights, kernel, stride, rng)


def _single(
    kind: type, shape: tuple[int, int, int], weights: Any, kernel: int, stride: int, rng: Any
) -> graph.Model:
    rows, columns = -(-shape[0] // stride), -(-shape[1] // stride)
    filters = len(weights) if kind is graph.Convolution else shape[2]
    op = kind(
        "layer_0", (0,), 1, weights,
        rng.integers(-5000, 5001, filters).astype(np.int32),
        np.full(filters, 0.05, np.float32),
        stride=(stride, stride),
        padding=graph.Padding(*[kernel // 2] * 4),
    )  # fmt: skip
    tensors = (
        graph.Tensor("x", shape, 0.5, 3),
        graph.Tensor("y", (rows, columns, filters), 30.0, -7),
    )
    return graph.Model("single", tensors, (op,), (0,), (1,))
