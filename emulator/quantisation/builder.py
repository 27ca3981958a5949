# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Builds float networks by hand, operator by operator, and quantises them.

>>> builder = NetworkBuilder("tiny", input_shape=(8, 8, 1))
>>> x = builder.convolution(builder.input, weights, bias, activation="relu")
>>> x = builder.fully_connected(x, more_weights, more_bias)
>>> model = builder.quantise(calibration_images)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Padding, Quantisation
from axynq.emulator.model.windows import window_geometry
from axynq.emulator.quantisation import forward
from axynq.emulator.quantisation.float_network import (
    Affine,
    Filled,
    FloatArray,
    FloatLayer,
    FloatNetwork,
    FloatTensor,
    LayerKind,
    Origin,
)


@dataclass(frozen=True)
class Node:
    """A tensor of the network being built."""

    index: int
    shape: tuple[int, ...]


class NetworkBuilder:
    """Collects float operators in the order of execution. Feature maps are [rows, columns,
    channels]; axes are counted without the images.

    Args:
        name: of the network.
        input_shape: of the first input, which is :attr:`input`; None: :meth:`add_input` makes it.
    """

    input: Node
    """The first input."""

    def __init__(self, name: str, input_shape: tuple[int, ...] | None = None) -> None:
        self.name = name
        self._tensors: list[FloatTensor] = []
        self._operators: list[graph.Operator] = []
        self._constants: dict[int, FloatArray] = {}
        self._inputs: list[Node] = []
        self._outputs: list[Node] | None = None
        if input_shape is not None:
            self.add_input("input", input_shape)

    def __len__(self) -> int:
        """The number of operators."""
        return len(self._operators)

    # --- tensors ---------------------------------------------------------------------------------

    def add_input(
        self, name: str, shape: tuple[int, ...], quantisation: Quantisation | None = None
    ) -> Node:
        """Another input."""
        node = self._tensor(name, shape, quantisation)
        if not self._inputs:
            self.input = node
        self._inputs.append(node)
        return node

    def constant(
        self, values: npt.ArrayLike, quantisation: Quantisation | None = None, name: str = ""
    ) -> Node:
        """Numbers, [*shape] without images, that operators in pairs take."""
        array = np.asarray(values, np.float32)
        node = self._tensor(name or f"constant_{len(self._constants)}", array.shape, quantisation)
        self._constants[node.index] = array
        return node

    def set_outputs(self, outputs: Sequence[Node]) -> None:
        """What the network gives; default: the tensor that was computed last."""
        self._outputs = list(outputs)

    def set_quantisation(self, x: Node, quantisation: Quantisation) -> None:
        """Say what int8 values of a tensor are to stand for."""
        tensor = self._tensors[x.index]
        self._tensors[x.index] = FloatTensor(tensor.name, tensor.shape, quantisation)

    def quantisation(self, x: Node) -> Quantisation | None:
        """What is known of a tensor's int8 values."""
        return self._tensors[x.index].quantisation

    # --- layers ----------------------------------------------------------------------------------

    def convolution(
        self,
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        stride: tuple[int, int] = (1, 1),
        same: bool = True,
        activation: Activation = "none",
        *,
        dilation: tuple[int, int] = (1, 1),
        padding: Padding | None = None,
        weight_scales: FloatArray | None = None,
        origin: Origin | None = None,
        name: str = "",
    ) -> Node:
        """``weights`` are [filters, rows, columns, channels]. ``padding``, where given, is in place
        of ``same``; ``weight_scales`` [filters] are those of weights that are quantised already."""
        known = {"weight_scales": weight_scales, "origin": origin, "name": name}
        return self._window(
            "convolution", x, weights, bias, stride, same, activation, dilation, padding, known
        )

    def depthwise(
        self,
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        stride: tuple[int, int] = (1, 1),
        same: bool = True,
        activation: Activation = "none",
        *,
        dilation: tuple[int, int] = (1, 1),
        padding: Padding | None = None,
        weight_scales: FloatArray | None = None,
        origin: Origin | None = None,
        name: str = "",
    ) -> Node:
        """``weights`` are [filters, rows, columns, 1]; filter ``f`` sees channel
        ``f // (filters / channels)``."""
        known = {"weight_scales": weight_scales, "origin": origin, "name": name}
        return self._window(
            "depthwise", x, weights, bias, stride, same, activation, dilation, padding, known
        )

    def fully_connected(
        self,
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        activation: Activation = "none",
        *,
        weight_scales: FloatArray | None = None,
        origin: Origin | None = None,
        name: str = "",
    ) -> Node:
        """``weights`` are [filters, inputs], the inputs flattened as rows, columns, channels."""
        weights, bias = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
        if weights.ndim != 2 or weights.shape[1] != math.prod(x.shape):
            raise ModelError(
                f"a fully connected layer after {list(x.shape)} needs weights [filters, "
                f"{math.prod(x.shape)}], not {list(weights.shape)}"
            )
        kernel = weights.reshape(len(weights), 1, 1, -1)
        return self._layer(
            "fully_connected", x, kernel, bias, (len(bias),), activation=activation,
            weight_scales=weight_scales, origin=origin, name=name,
        )  # fmt: skip

    def affine(
        self, x: Node, factors: FloatArray, terms: FloatArray, source: str | None = None
    ) -> Node:
        """Every channel (last axis) times a factor plus a number: a batch normalisation."""
        factors, terms = (np.asarray(v, np.float32) for v in (factors, terms))
        return self.append(Affine, (x,), x.shape, "affine", factors=factors, terms=terms,
                           source=source)  # fmt: skip

    # --- values by themselves and in pairs -------------------------------------------------------

    def lookup(self, x: Node, kind: graph.LookupKind, alpha: float = 0.0) -> Node:
        """An activation, or another function of single values."""
        return self.append(graph.Lookup, (x,), x.shape, kind, kind=kind, alpha=alpha)

    def add(self, x: Node, y: Node, activation: Activation = "none") -> Node:
        """Elementwise sum."""
        return self.elementwise("add", x, y, activation)

    def elementwise(
        self, kind: graph.ElementwiseKind, x: Node, y: Node, activation: Activation = "none"
    ) -> Node:
        """Values in pairs; shapes broadcast as numpy's, the images apart."""
        try:
            shape = np.broadcast_shapes(x.shape, y.shape)
        except ValueError as error:
            raise ModelError(
                f"'{kind}' of {list(x.shape)} and {list(y.shape)}: the shapes do not fit"
            ) from error
        constants = x.index in self._constants or y.index in self._constants
        if kind == "add" and x.shape == y.shape and not constants:
            return self.append(graph.Add, (x, y), shape, "add", activation=activation)
        return self.append(graph.Elementwise, (x, y), shape, kind, kind=kind, activation=activation)

    def softmax(self, x: Node, beta: float = 1.0) -> Node:
        """Softmax over the last axis."""
        return self.append(graph.Softmax, (x,), x.shape, "softmax", beta=beta)

    def log_softmax(self, x: Node) -> Node:
        """Logarithm of the softmax over the last axis."""
        return self.append(graph.LogSoftmax, (x,), x.shape, "log_softmax")

    def l2_normalisation(self, x: Node) -> Node:
        """The last axis divided by its Euclidean length."""
        return self.append(graph.L2Normalisation, (x,), x.shape, "l2_normalisation")

    # --- several values become one ---------------------------------------------------------------

    def pool(
        self,
        x: Node,
        kind: Literal["average", "max"],
        window: tuple[int, int],
        stride: tuple[int, int] | None = None,
        same: bool = False,
        padding: Padding | None = None,
        activation: Activation = "none",
    ) -> Node:
        """Pooling over the positions inside the map; ``padding``, where given, is in place of
        ``same``."""
        stride = stride or window
        size, padding = _geometry(x, window, stride, (1, 1), same, padding)
        return self.append(
            graph.Pool, (x,), (*size, x.shape[2]), "pool", kind=kind, window=window, stride=stride,
            padding=padding, activation=activation,
        )  # fmt: skip

    def reduce(
        self, x: Node, kind: Literal["mean", "sum"], axes: Sequence[int], keep_dims: bool = False
    ) -> Node:
        """Mean or sum over axes."""
        axes = tuple(sorted(axes))
        shape = tuple(
            1 if axis in axes else size
            for axis, size in enumerate(x.shape)
            if keep_dims or axis not in axes
        )
        if kind == "mean" and axes == (0, 1) and len(x.shape) == 3:
            return self.append(graph.Mean, (x,), shape, "mean", keep_dims=keep_dims)
        return self.append(
            graph.Reduce, (x,), shape, kind, kind=kind, axes=axes, keep_dims=keep_dims
        )

    def resize_bilinear(
        self, x: Node, size: tuple[int, int], align_corners: bool = False,
        half_pixel_centers: bool = False,
    ) -> Node:  # fmt: skip
        """Rows and columns become ``size``."""
        return self._resize(graph.ResizeBilinear, x, size, align_corners, half_pixel_centers)

    # --- values that move ------------------------------------------------------------------------

    def resize_nearest(
        self, x: Node, size: tuple[int, int], align_corners: bool = False,
        half_pixel_centers: bool = False,
    ) -> Node:  # fmt: skip
        """Rows and columns become ``size``."""
        return self._resize(graph.ResizeNearest, x, size, align_corners, half_pixel_centers)

    def _resize(
        self, kind: type[graph.Operator], x: Node, size: tuple[int, int], align_corners: bool,
        half_pixel_centers: bool,
    ) -> Node:  # fmt: skip
        shape = (*size, x.shape[2])
        return self.append(
            kind, (x,), shape, "resize", align_corners=align_corners,
            half_pixel_centers=half_pixel_centers,
        )  # fmt: skip

    def flatten(self, x: Node) -> Node:
        """All but the images in one dimension."""
        return self.reshape(x, (math.prod(x.shape),))

    def reshape(self, x: Node, shape: tuple[int, ...]) -> Node:
        """The same values in another shape."""
        if math.prod(shape) != math.prod(x.shape):
            raise ModelError(f"{list(x.shape)} does not become {list(shape)}")
        return self.append(graph.Reshape, (x,), tuple(shape), "reshape")

    def transpose(self, x: Node, permutation: Sequence[int]) -> Node:
        """Axis ``k`` of the output is axis ``permutation[k]`` of the input."""
        shape = tuple(x.shape[axis] for axis in permutation)
        return self.append(
            graph.Transpose, (x,), shape, "transpose", permutation=tuple(permutation)
        )

    def concatenate(self, xs: Sequence[Node], axis: int = -1) -> Node:
        """One after another along an axis."""
        axis %= len(xs[0].shape)
        shape = list(xs[0].shape)
        shape[axis] = sum(x.shape[axis] for x in xs)
        return self.append(graph.Concatenation, tuple(xs), tuple(shape), "concatenation", axis=axis)

    def slice(
        self, x: Node, begin: Sequence[int], size: Sequence[int],
        stride: Sequence[int] | None = None,
    ) -> Node:  # fmt: skip
        """Along each axis, from ``begin``, ``size`` values, ``stride`` apart."""
        stride = tuple(stride or [1] * len(x.shape))
        for start, count, step, length in zip(begin, size, stride, x.shape):
            if not (0 <= start < length and 0 <= start + (count - 1) * step < length):
                raise ModelError(f"a slice from {start} of {count} values leaves {length} values")
        return self.append(
            graph.Slice, (x,), tuple(size), "slice", begin=tuple(begin), stride=stride
        )

    def pad(self, x: Node, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Node:
        """A number before and after along each axis."""
        before, after = tuple(before), tuple(after)
        if min(*before, *after, 0) < 0:
            raise ModelError(
                f"pads by {list(before)} and {list(after)}, of which some are negative"
            )
        shape = tuple(b + size + a for b, size, a in zip(before, x.shape, after))
        if value != 0:
            return self.append(
                Filled, (x,), shape, "pad", before=before, after=after, value=float(value)
            )
        if len(x.shape) == 3 and before[2] == after[2] == 0:
            padding = Padding(before[0], after[0], before[1], after[1])
            return self.append(graph.Pad, (x,), shape, "pad", padding=padding)
        return self.append(graph.Surround, (x,), shape, "pad", before=before, after=after)

    def spread(self, x: Node, stride: tuple[int, int], padding: Padding) -> Node:
        """Zeros between rows and columns, and around: what makes a convolution a transposed one."""
        rows, columns, channels = x.shape
        shape = (
            (rows - 1) * stride[0] + 1 + padding.top + padding.bottom,
            (columns - 1) * stride[1] + 1 + padding.left + padding.right,
            channels,
        )
        return self.append(graph.Spread, (x,), shape, "spread", stride=stride, padding=padding)

    def depth_to_space(self, x: Node, block: int) -> Node:
        """Blocks of ``block * block`` channels become squares of pixels."""
        rows, columns, channels = x.shape
        if block < 1 or channels % block**2:
            raise ModelError(f"has blocks of {block} for {channels} channels")
        shape = (rows * block, columns * block, channels // block**2)
        return self.append(graph.DepthToSpace, (x,), shape, "depth_to_space", block=block)

    def space_to_depth(self, x: Node, block: int) -> Node:
        """Squares of ``block * block`` pixels become blocks of channels."""
        rows, columns, channels = x.shape
        if block < 1 or rows % block or columns % block:
            raise ModelError(f"has blocks of {block} for a map of {rows} x {columns}")
        shape = (rows // block, columns // block, channels * block**2)
        return self.append(graph.SpaceToDepth, (x,), shape, "space_to_depth", block=block)

    # --- what comes of it ------------------------------------------------------------------------

    def network(self) -> FloatNetwork:
        """What has been built so far."""
        outputs = self._outputs or [Node(self._operators[-1].output, ())]
        return FloatNetwork(
            self.name,
            tuple(self._tensors),
            tuple(self._operators),
            tuple(x.index for x in self._inputs),
            tuple(x.index for x in outputs),
            dict(self._constants),
        )

    def run(self, x: npt.ArrayLike) -> list[FloatArray]:
        """Every tensor in floating point, for a batch of real inputs."""
        values = forward.run(self.network(), x)
        return [
            self._constants[index] if index in self._constants else values[index]
            for index in range(len(self._tensors))
        ]

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
        from axynq.emulator.quantisation.quantise import Options, quantise

        options = Options(ranges="percentile", percentile=percentile, input_range=input_range)
        return quantise(self.network(), calibration, options).model

    def append(
        self,
        kind: type[graph.Operator],
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        prefix: str,
        /,
        *,
        name: str = "",
        **options: Any,
    ) -> Node:
        """Any operator, whose output has that shape; its name is made of ``prefix``."""
        if min(shape, default=1) < 1:
            raise ModelError(f"'{prefix}' would give a tensor of shape {list(shape)}")
        name = name or f"{prefix}_{len(self._operators)}"
        node = self._tensor(name, shape, None)
        indices = tuple(x.index for x in inputs)
        self._operators.append(kind(name, indices, node.index, **options))
        return node

    def _tensor(self, name: str, shape: tuple[int, ...], quantisation: Quantisation | None) -> Node:
        node = Node(len(self._tensors), tuple(int(size) for size in shape))
        self._tensors.append(FloatTensor(name, node.shape, quantisation))
        return node

    def _layer(
        self, kind: LayerKind, x: Node, kernel: FloatArray, bias: FloatArray,
        shape: tuple[int, ...], **options: Any,
    ) -> Node:  # fmt: skip
        if bias.shape != (len(kernel),):
            raise ModelError(f"{len(kernel)} filters need as many biases, not {list(bias.shape)}")
        return self.append(
            FloatLayer, (x,), shape, _PREFIXES[kind], kind=kind, weights=kernel, bias=bias,
            **options,
        )  # fmt: skip

    def _window(
        self,
        kind: LayerKind,
        x: Node,
        weights: FloatArray,
        bias: FloatArray,
        stride: tuple[int, int],
        same: bool,
        activation: Activation,
        dilation: tuple[int, int],
        padding: Padding | None,
        known: dict[str, Any],
    ) -> Node:
        weights, bias = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
        channels = weights.shape[-1] if kind == "convolution" else 1
        fits = weights.ndim == 4 and len(x.shape) == 3 and weights.shape[-1] == channels
        if fits:
            whole = len(weights) % x.shape[2] == 0
            fits = x.shape[2] == channels if kind == "convolution" else whole
        if not fits:
            raise ModelError(
                f"weights {list(weights.shape)} of a {kind} layer do not fit a map {list(x.shape)}"
            )
        window = (weights.shape[1], weights.shape[2])
        size, padding = _geometry(x, window, stride, dilation, same, padding)
        return self._layer(
            kind, x, weights, bias, (*size, len(bias)), stride=stride, dilation=dilation,
            padding=padding, activation=activation, **known,
        )  # fmt: skip


_PREFIXES: dict[LayerKind, str] = {
    "convolution": "conv",
    "depthwise": "depthwise",
    "fully_connected": "fully_connected",
}


def _geometry(
    x: Node,
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    same: bool,
    padding: Padding | None,
) -> tuple[tuple[int, int], Padding]:
    """Rows and columns of the output, and the padding."""
    if padding is None:
        return window_geometry((x.shape[0], x.shape[1]), window, stride, dilation, same)
    rows = x.shape[0] + padding.top + padding.bottom
    columns = x.shape[1] + padding.left + padding.right
    size, _ = window_geometry((rows, columns), window, stride, dilation, False)
    return size, padding
