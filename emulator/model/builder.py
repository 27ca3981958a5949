"""Builds int8 networks from float weights: post-training quantisation to the TFLite contract.

>>> builder = NetworkBuilder("tiny", input_shape=(8, 8, 1))
>>> x = builder.convolution(builder.input, weights, bias, activation="relu")
>>> x = builder.fully_connected(x, more_weights, more_bias)
>>> model = builder.quantise(calibration_images)

Activations are quantised per tensor from the range the calibration inputs reach, weights
symmetrically per filter (fully connected: per tensor), as TFLite's converter does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Padding
from axynq.emulator.model.windows import window_geometry

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Node:
    """A tensor of the network being built."""

    index: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Step:
    kind: type[graph.Operator]
    inputs: tuple[int, ...]
    output: int
    options: dict[str, Any]
    forward: Callable[..., FloatArray]
    weights: FloatArray | None = None
    """[filters, rows, columns, channels], or [filters, inputs] where fully connected."""
    bias: FloatArray | None = None
    same_quantisation: bool = False


class NetworkBuilder:
    """Collects float operators, then quantises them together."""

    def __init__(self, name: str, input_shape: tuple[int, ...]) -> None:
        self.name = name
        self._shapes: list[tuple[int, ...]] = [input_shape]
        self._steps: list[_Step] = []
        self.input = Node(0, input_shape)

    def convolution(
        self,
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        stride: tuple[int, int] = (1, 1),
        same: bool = True,
        activation: Activation = "none",
    ) -> Node:
        """``weights`` are [filters, rows, columns, channels]."""
        return self._window(graph.Convolution, x, weights, bias, stride, same, activation)

    def depthwise(
        self,
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        stride: tuple[int, int] = (1, 1),
        same: bool = True,
        activation: Activation = "none",
    ) -> Node:
        """``weights`` are [filters, rows, columns, 1]."""
        return self._window(graph.DepthwiseConvolution, x, weights, bias, stride, same, activation)

    def fully_connected(
        self, x: Node, weights: FloatArray, bias: FloatArray, activation: Activation = "none"
    ) -> Node:
        """``weights`` are [filters, inputs], the inputs flattened as rows, columns, channels."""

        def forward(x: FloatArray) -> FloatArray:
            return _activated(x.reshape(len(x), -1) @ weights.T + bias, activation)

        options = {"activation": activation}
        shape = (len(bias),)
        return self._append(
            graph.FullyConnected, (x,), shape, options, forward, weights=weights, bias=bias
        )

    def add(self, x: Node, y: Node, activation: Activation = "none") -> Node:
        """Elementwise sum."""

        def forward(a: FloatArray, b: FloatArray) -> FloatArray:
            return _activated(a + b, activation)

        return self._append(graph.Add, (x, y), x.shape, {"activation": activation}, forward)

    def pool(
        self,
        x: Node,
        kind: Literal["average", "max"],
        window: tuple[int, int],
        stride: tuple[int, int] | None = None,
    ) -> Node:
        """``kind`` is ``average`` or ``max``; no padding."""
        stride = stride or window
        size, padding = window_geometry((x.shape[0], x.shape[1]), window, stride, (1, 1), False)

        def forward(a: FloatArray) -> FloatArray:
            patches = _patches(a, window)
            patches = patches[:, :: stride[0], :: stride[1]]
            return patches.max(axis=(-1, -2)) if kind == "max" else patches.mean(axis=(-1, -2))

        options = {"kind": kind, "window": window, "stride": stride, "padding": padding}
        shape = (*size, x.shape[2])
        return self._append(graph.Pool, (x,), shape, options, forward, same_quantisation=True)

    def flatten(self, x: Node) -> Node:
        """All but the batch in one dimension."""
        shape = (int(np.prod(x.shape)),)
        return self._append(
            graph.Reshape, (x,), shape, {}, lambda a: a.reshape(len(a), -1), same_quantisation=True
        )

    def softmax(self, x: Node) -> Node:
        def forward(a: FloatArray) -> FloatArray:
            e = np.exp(a - a.max(axis=-1, keepdims=True))
            return e / e.sum(axis=-1, keepdims=True)

        return self._append(graph.Softmax, (x,), x.shape, {"beta": 1.0}, forward)

    def run(self, x: npt.ArrayLike) -> list[FloatArray]:
        """Every tensor in floating point, for a batch of real inputs."""
        values: list[FloatArray] = [np.asarray(x, np.float32)]
        for step in self._steps:
            values.append(step.forward(*(values[i] for i in step.inputs)).astype(np.float32))
        return values

    def quantise(
        self,
        calibration: npt.ArrayLike,
        input_range: tuple[float, float] | None = None,
        percentile: float = 100.0,
    ) -> graph.Model:
        """The int8 network.

        Args:
            calibration: real inputs [examples, *input shape] that reach the ranges to represent.
            input_range: real range of the input; default: that of the calibration inputs.
            percentile: share of the values of each tensor, in percent, that its range covers; below
                100 the largest values saturate.
        """
        values = self.run(calibration)
        low, high = input_range or _range(values[0], 100.0)
        tensors = [_activation_tensor("input", self.input.shape, low, high)]
        operators: list[graph.Operator] = []
        for number, step in enumerate(self._steps):
            shape = self._shapes[step.output]
            name = f"{_PREFIXES[step.kind]}_{number}"
            if step.same_quantisation:
                tensors.append(replace(tensors[step.inputs[0]], name=name, shape=shape))
            elif step.kind is graph.Softmax:
                tensors.append(graph.Tensor(name, shape, 1 / 256, -128))
            else:
                low, high = _range(values[step.output], percentile)
                tensors.append(_activation_tensor(name, shape, low, high))
            operators.append(_quantised_operator(step, name, tensors))
        return graph.Model(self.name, tuple(tensors), tuple(operators), (0,), (len(tensors) - 1,))

    def _append(
        self,
        kind: type[graph.Operator],
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        options: dict[str, Any],
        forward: Callable[..., FloatArray],
        **more: Any,
    ) -> Node:
        node = Node(len(self._shapes), shape)
        self._shapes.append(shape)
        indices = tuple(x.index for x in inputs)
        self._steps.append(_Step(kind, indices, node.index, options, forward, **more))
        return node

    def _window(
        self,
        kind: type[graph.Operator],
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        stride: tuple[int, int],
        same: bool,
        activation: Activation,
    ) -> Node:
        rows, columns = weights.shape[1:3]
        size, padding = window_geometry(
            (x.shape[0], x.shape[1]), (rows, columns), stride, (1, 1), same
        )
        depthwise = kind is graph.DepthwiseConvolution

        def forward(a: FloatArray) -> FloatArray:
            amounts = ((0, 0), (padding.top, padding.bottom), (padding.left, padding.right), (0, 0))
            patches = _patches(np.pad(a, amounts), (rows, columns))
            patches = patches[:, :: stride[0], :: stride[1]]
            if depthwise:
                y = np.einsum("nyxcij,cij->nyxc", patches, weights[..., 0])
            else:
                y = np.tensordot(patches, weights, axes=((4, 5, 3), (1, 2, 3)))
            return _activated(y + bias, activation)

        options = {"stride": stride, "padding": Padding(*padding), "activation": activation}
        shape = (*size, len(bias))
        return self._append(kind, (x,), shape, options, forward, weights=weights, bias=bias)


_PREFIXES: dict[type[graph.Operator], str] = {
    graph.Convolution: "conv",
    graph.DepthwiseConvolution: "depthwise",
    graph.FullyConnected: "fully_connected",
    graph.Add: "add",
    graph.Pool: "pool",
    graph.Reshape: "reshape",
    graph.Softmax: "softmax",
}


def _activated(y: FloatArray, activation: Activation) -> FloatArray:
    if activation == "none":
        return y
    if activation == "relu":
        return np.maximum(y, 0)
    if activation == "relu6":
        return np.clip(y, 0, 6)
    return np.clip(y, -1, 1)


def _patches(x: FloatArray, window: tuple[int, int]) -> FloatArray:
    """Windows of a batch: [images, rows, columns, channels, *window]."""
    windows: FloatArray = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))  # type: ignore[call-overload]
    return windows


def _range(values: FloatArray, percentile: float) -> tuple[float, float]:
    low = float(np.percentile(values, 100 - percentile))
    high = float(np.percentile(values, percentile))
    return low, high


def _activation_tensor(name: str, shape: tuple[int, ...], low: float, high: float) -> graph.Tensor:
    """Scale and zero point for ``low..high``, widened to contain 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        high = low + 1.0
    scale = float(np.float32((high - low) / 255))
    zero_point = int(np.clip(round(-128 - low / scale), -128, 127))
    return graph.Tensor(name, shape, scale, zero_point)


def _quantised_operator(step: _Step, name: str, tensors: list[graph.Tensor]) -> graph.Operator:
    if step.weights is None or step.bias is None:
        return step.kind(name, step.inputs, step.output, **step.options)
    weights = np.asarray(step.weights, np.float64)
    per_channel = step.kind is not graph.FullyConnected
    axes = tuple(range(1, weights.ndim)) if per_channel else None
    largest = np.maximum(np.abs(weights).max(axis=axes), 1e-8)
    scales = np.broadcast_to((largest / 127).astype(np.float32), len(weights)).copy()
    spread = scales.reshape(-1, *[1] * (weights.ndim - 1)).astype(np.float64)
    quantised = np.clip(np.round(weights / spread), -127, 127).astype(np.int8)
    bias_scale = tensors[step.inputs[0]].scale * scales.astype(np.float64)
    bias = np.round(np.asarray(step.bias, np.float64) / bias_scale)
    if np.abs(bias).max(initial=0) >= 2**31:
        raise ModelError(f"a bias of '{name}' does not fit 32 bits at its scale")
    if step.kind is graph.DepthwiseConvolution:
        quantised = np.ascontiguousarray(quantised[..., 0].transpose(1, 2, 0))
    kind: Any = step.kind  # one of the weighted layers
    operator: graph.Operator = kind(
        name,
        step.inputs,
        step.output,
        quantised,
        bias.astype(np.int32),
        scales,
        per_channel=per_channel,
        **step.options,
    )
    return operator
