# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks from frameworks whose maps are channels first: PyTorch, ONNX.

An importer sees shapes and axes as its framework has them, without the images: a map is [channels,
rows, columns]. Here every value knows in which order its axes lie in the network, which is channels
last; axes are moved only where an operator needs them elsewhere.

>>> first = ChannelsFirst("net")
>>> x = first.input("x", (3, 32, 32))
>>> x = first.convolution(x, weights, bias, padding=Padding(1, 1, 1, 1))  # weights [O, I, H, W]
>>> x = first.lookup(x, "relu")
>>> x = first.linear(first.reshape(x, (64,)), more_weights, more_bias)
>>> network = first.finish([x])  # simplified: normalisations folded, activations fused
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding, Quantisation
from axynq.emulator.quantisation.builder import NetworkBuilder, Node
from axynq.emulator.quantisation.float_network import FloatArray, FloatNetwork, Origin
from axynq.emulator.quantisation.simplification import simplified

NONE = Padding()

Some = TypeVar("Some", bound=np.generic)

LAST = (1, 2, 0)
"""The order of a map's axes in the network."""


@dataclass(frozen=True)
class Value:
    """A tensor as the framework sees it."""

    node: Node
    order: tuple[int, ...]
    """Axis ``k`` of the node is the framework's axis ``order[k]``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As the framework has it, without the images."""
        sizes = dict(zip(self.order, self.node.shape))
        return tuple(sizes[axis] for axis in range(len(self.order)))


@dataclass(frozen=True)
class Parameter:
    """Names of a layer's parameters in the source, to write weights back."""

    weights: str
    bias: str | None = None


class ChannelsFirst:
    """Builds a float network from operators in a framework's terms. Axes are counted from 0 without
    the images.

    Raises:
        ModelError: an operator does not fit its inputs, or is one that no int8 network has; the
            message says what it is.
    """

    def __init__(self, name: str) -> None:
        self.builder = NetworkBuilder(name)

    def finish(self, outputs: Sequence[Value], simplify: bool = True) -> FloatNetwork:
        """The network. Maps come out channels last, other tensors as the framework has them."""
        natural = tuple(range(3))
        nodes = [
            v.node if v.order in (LAST, natural) else self.arranged(v, range(len(v.order)))
            for v in outputs
        ]
        self.builder.set_outputs(nodes)
        network = self.builder.network()
        return simplified(network) if simplify else network

    # --- order -----------------------------------------------------------------------------------

    def arranged(self, x: Value, order: Sequence[int]) -> Node:
        """The value with its axes in that order."""
        if tuple(order) == x.order:
            return x.node
        return self.builder.transpose(x.node, [x.order.index(axis) for axis in order])

    def natural(self, x: Value) -> Node:
        """The value with its axes as the framework has them."""
        return self.arranged(x, range(len(x.order)))

    def _map(self, x: Value, what: str) -> Node:
        """[rows, columns, channels] of a value [channels, rows, columns]."""
        if len(x.shape) != 3:
            raise ModelError(f"{what} of a tensor [images, {', '.join(map(str, x.shape))}]")
        return self.arranged(x, LAST)

    @staticmethod
    def _plain(node: Node) -> Value:
        return Value(node, tuple(range(len(node.shape))))

    # --- tensors ---------------------------------------------------------------------------------

    def input(
        self, name: str, shape: tuple[int, ...], quantisation: Quantisation | None = None
    ) -> Value:
        """An input; a map [channels, rows, columns] becomes [rows, columns, channels]."""
        order = LAST if len(shape) == 3 else tuple(range(len(shape)))
        kept = tuple(shape[axis] for axis in order)
        return Value(self.builder.add_input(name, kept, quantisation), order)

    def set_quantisation(self, x: Value, quantisation: Quantisation) -> None:
        """Say what int8 values of a tensor are to stand for."""
        self.builder.set_quantisation(x.node, quantisation)

    def constant(
        self, values: npt.ArrayLike, like: Value, quantisation: Quantisation | None = None
    ) -> Value:
        """Numbers that are paired with a value; their axes are those of the value that come last.
        A first axis of one image is left out."""
        array = np.asarray(values, np.float32)
        rank = len(like.shape)
        while array.ndim > rank and array.shape[0] == 1:
            array = array[0]
        if array.ndim > rank:
            raise ModelError(f"numbers {list(array.shape)} that differ between images")
        if array.size == 1:
            node = self.builder.constant(array.reshape(1), quantisation)
            return Value(node, (0,))
        array = array.reshape(*[1] * (rank - array.ndim), *array.shape)
        node = self.builder.constant(array.transpose(like.order), quantisation)
        return Value(node, like.order)

    # --- layers ----------------------------------------------------------------------------------

    def convolution(
        self,
        x: Value,
        weights: FloatArray,
        bias: FloatArray | None = None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = NONE,
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        parameter: Parameter | None = None,
        weight_scales: FloatArray | None = None,
    ) -> Value:
        """``weights`` are [filters, channels of a group, rows, columns]."""
        node = self._map(x, "a convolution")
        weights = np.asarray(weights, np.float32)
        kernel = weights.transpose(0, 2, 3, 1)
        places = np.arange(weights.size, dtype=np.int64).reshape(weights.shape)
        return Value(
            self._filters(
                node, kernel, places.transpose(0, 2, 3, 1), bias, stride, padding, dilation, groups,
                parameter, weight_scales,
            ),
            LAST,
        )  # fmt: skip

    def transposed_convolution(
        self,
        x: Value,
        weights: FloatArray,
        bias: FloatArray | None = None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = NONE,
        output_padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        parameter: Parameter | None = None,
        weight_scales: FloatArray | None = None,
    ) -> Value:
        """``weights`` are [channels, filters of a group, rows, columns]; ``padding`` is cut off the
        output."""
        node = self._map(x, "a transposed convolution")
        weights = np.asarray(weights, np.float32)
        places = np.arange(weights.size, dtype=np.int64).reshape(weights.shape)
        kernel, places = _turned(weights, groups), _turned(places, groups)
        k_rows, k_columns = ((k - 1) * d for k, d in zip(weights.shape[2:], dilation))
        wanted = Padding(
            k_rows - padding.top, k_rows - padding.bottom + output_padding[0],
            k_columns - padding.left, k_columns - padding.right + output_padding[1],
        )  # fmt: skip
        full = Padding(k_rows, k_rows, k_columns, k_columns)
        around = wanted
        cut = [f - w for f, w in zip(full, wanted)]
        if min(cut) >= 0 and not _same_transposed(weights.shape[2:], stride, dilation, cut):
            around = full  # as files have it, then cut
        spread = self.builder.spread(node, stride, around)
        y = self._filters(
            spread, kernel, places, bias, (1, 1), Padding(), dilation, groups, parameter,
            weight_scales,
        )  # fmt: skip
        if around is not wanted:
            rows, columns, filters = y.shape
            size = (rows - cut[0] - cut[1], columns - cut[2] - cut[3], filters)
            y = self.builder.slice(y, (cut[0], cut[2], 0), size)
        return Value(y, LAST)

    def _filters(
        self,
        node: Node,
        kernel: FloatArray,
        places: npt.NDArray[np.int64],
        bias: FloatArray | None,
        stride: tuple[int, int],
        padding: Padding,
        dilation: tuple[int, int],
        groups: int,
        parameter: Parameter | None,
        weight_scales: FloatArray | None,
    ) -> Node:
        """A convolution in groups, [filters, rows, columns, channels of a group]."""
        filters, channels = len(kernel), node.shape[2]
        kernel = np.ascontiguousarray(kernel)
        bias = np.zeros(filters, np.float32) if bias is None else np.asarray(bias, np.float32)
        if kernel.shape[3] * groups != channels or filters % groups:
            raise ModelError(
                f"a convolution of {groups} groups with {filters} filters of {kernel.shape[3]} "
                f"channels does not fit {channels} channels"
            )

        def made(method: str, x: Node, first: int, end: int, name: str = "") -> Node:
            add = getattr(self.builder, method)
            y: Node = add(
                x, kernel[first:end], bias[first:end], stride, dilation=dilation, padding=padding,
                weight_scales=None if weight_scales is None else weight_scales[first:end],
                origin=_origin(parameter, places, first, end), name=name,
            )  # fmt: skip
            return y

        if groups == 1:
            return made("convolution", node, 0, filters)
        if kernel.shape[3] == 1:
            return made("depthwise", node, 0, filters)
        number, each, parts = len(self.builder), filters // groups, []
        for group in range(groups):
            begin = (0, 0, group * kernel.shape[3])
            part = self.builder.slice(node, begin, (*node.shape[:2], kernel.shape[3]))
            name = f"conv_{number}_group_{group}"
            parts.append(made("convolution", part, group * each, (group + 1) * each, name))
        return self.builder.concatenate(parts)

    def linear(
        self,
        x: Value,
        weights: FloatArray,
        bias: FloatArray | None = None,
        *,
        parameter: Parameter | None = None,
        weight_scales: FloatArray | None = None,
    ) -> Value:
        """``weights`` are [filters, inputs]: of the last axis, at every position of the others."""
        weights = np.asarray(weights, np.float32)
        bias = np.zeros(len(weights), np.float32) if bias is None else np.asarray(bias, np.float32)
        kernel = weights.reshape(len(weights), 1, 1, -1)
        places = np.arange(weights.size, dtype=np.int64).reshape(kernel.shape)
        known = {
            "origin": _origin(parameter, places, 0, len(weights)),
            "weight_scales": weight_scales,
        }
        node = self.natural(x)
        if len(node.shape) == 1:
            y = self.builder.fully_connected(node, weights, bias, **known)  # type: ignore[arg-type]
            return self._plain(y)
        positions = node.shape[:-1]
        if len(positions) != 2:
            flat = (math.prod(positions), 1, node.shape[-1])
            node = self.builder.reshape(node, flat)
        y = self.builder.convolution(node, kernel, bias, padding=Padding(), **known)  # type: ignore[arg-type]
        if len(positions) != 2:
            y = self.builder.reshape(y, (*positions, len(weights)))
        return self._plain(y)

    def affine(
        self, x: Value, factors: FloatArray, terms: FloatArray, source: str | None = None
    ) -> Value:
        """Every channel (the framework's first axis) times a factor plus a number: a batch
        normalisation, ``source``."""
        order = (*[axis for axis in x.order if axis != 0], 0)
        return Value(self.builder.affine(self.arranged(x, order), factors, terms, source), order)

    # --- values by themselves and in pairs -------------------------------------------------------

    def lookup(self, x: Value, kind: graph.LookupKind, alpha: float = 0.0) -> Value:
        """An activation, or another function of single values."""
        return Value(self.builder.lookup(x.node, kind, alpha), x.order)

    def hard_sigmoid(self, x: Value, slope: float = 1 / 6, offset: float = 0.5) -> Value:
        """``slope * x + offset``, between 0 and 1."""
        x = self.elementwise("add", x, np.float32(offset / slope))
        x = self._limited(x, 1 / slope)
        return self.elementwise("multiply", x, np.float32(slope))

    def _limited(self, x: Value, high: float) -> Value:
        if np.isclose(high, 6):
            return self.lookup(x, "relu6")
        x = self.lookup(x, "relu")
        return self.elementwise("minimum", x, np.float32(high))

    def silu(self, x: Value) -> Value:
        """``x * sigmoid(x)``."""
        return self.elementwise("multiply", x, self.lookup(x, "logistic"))

    def elu(self, x: Value) -> Value:
        """Below zero ``exp(x) - 1``."""
        below = self.lookup(self.elementwise("minimum", x, np.float32(0)), "exponential")
        below = self.elementwise("subtract", below, np.float32(1))
        return self.elementwise("add", self.lookup(x, "relu"), below)

    def clip(self, x: Value, low: float, high: float) -> Value:
        """Values limited to a range; either end may be infinite."""
        kinds: dict[tuple[float, float], graph.LookupKind] = {
            (0, math.inf): "relu", (0, 6): "relu6", (-1, 1): "relu_n1_to_1", (0, 1): "relu_0_to_1",
        }  # fmt: skip
        if (low, high) in kinds:
            return self.lookup(x, kinds[low, high])
        if low == 0:
            x = self.lookup(x, "relu")
        elif low > -math.inf:
            x = self.elementwise("maximum", x, np.float32(low))
        return x if high == math.inf else self.elementwise("minimum", x, np.float32(high))

    def prelu(self, x: Value, slopes: FloatArray) -> Value:
        """Negative numbers times a slope, one or one for each channel (first axis)."""
        slopes = np.asarray(slopes, np.float32).reshape(-1)
        if len(slopes) == 1:
            return self.lookup(x, "leaky_relu", float(slopes[0]))
        return self.elementwise("prelu", x, slopes.reshape(-1, *[1] * (len(x.shape) - 1)))

    def elementwise(
        self, kind: graph.ElementwiseKind, x: Value | npt.ArrayLike, y: Value | npt.ArrayLike
    ) -> Value:
        """Values in pairs, numbers among them. Shapes broadcast as the framework's do."""
        if not isinstance(x, Value):
            assert isinstance(y, Value)
            if kind in ("add", "multiply", "maximum", "minimum"):
                return self.elementwise(kind, y, x)
            constant = self.constant(x, y)
            return self._paired(kind, constant, y, y.order)
        if not isinstance(y, Value):
            array = np.asarray(y, np.float32)
            if kind == "subtract":
                kind, array = "add", -array
            return self._paired(kind, x, self.constant(array, x), x.order)
        if len(x.order) != len(y.order):
            raise ModelError(
                f"'{kind}' of tensors [images, {x.shape}] and [images, {y.shape}], of which one "
                "has fewer axes: give it axes of 1"
            )
        order = x.order if math.prod(x.shape) >= math.prod(y.shape) else y.order
        return self._paired(kind, x, y, order)

    def _paired(
        self, kind: graph.ElementwiseKind, x: Value, y: Value, order: tuple[int, ...]
    ) -> Value:
        first, second = (
            v.node if len(v.order) < len(order) else self.arranged(v, order) for v in (x, y)
        )
        return Value(self.builder.elementwise(kind, first, second), order)

    def softmax(self, x: Value, axis: int, logarithm: bool = False) -> Value:
        """Softmax over an axis, or its logarithm."""
        return self._over_last(x, axis, "log_softmax" if logarithm else "softmax")

    def l2_normalisation(self, x: Value, axis: int) -> Value:
        """An axis divided by its Euclidean length."""
        return self._over_last(x, axis, "l2_normalisation")

    def _over_last(self, x: Value, axis: int, method: str) -> Value:
        order = x.order
        if order[-1] != axis:
            order = (*[other for other in order if other != axis], axis)
        return Value(getattr(self.builder, method)(self.arranged(x, order)), order)

    # --- several values become one ---------------------------------------------------------------

    def pool(
        self,
        x: Value,
        kind: Literal["average", "max"],
        window: tuple[int, int],
        stride: tuple[int, int],
        padding: Padding = NONE,
        *,
        ceil: bool = False,
        count_padding: bool = False,
    ) -> Value:
        """Pooling. ``ceil``: a last window may reach over the edge; ``count_padding``: averages
        count padded positions, but not what is beyond them."""
        node = self._map(x, "pooling")
        more = _beyond(node.shape[:2], window, stride, padding) if ceil else (0, 0)
        if kind == "average" and count_padding and any(padding):
            p = padding
            node = self.builder.pad(node, (p.top, p.left, 0), (p.bottom, p.right, 0))
            padding = Padding()
        p = padding
        around = Padding(p.top, p.bottom + more[0], p.left, p.right + more[1])
        return Value(self.builder.pool(node, kind, window, stride, padding=around), LAST)

    def adaptive_pool(
        self, x: Value, kind: Literal["average", "max"], size: tuple[int, int]
    ) -> Value:
        """Pooling to so many rows and columns.

        Raises:
            ModelError: the windows differ in size.
        """
        node = self._map(x, "pooling")
        rows, columns = node.shape[:2]
        if (rows, columns) == size:
            return Value(node, LAST)
        if size == (1, 1) and kind == "average":
            return Value(self.builder.reduce(node, "mean", (0, 1), keep_dims=True), LAST)
        if rows % size[0] == 0 and columns % size[1] == 0:
            window = (rows // size[0], columns // size[1])
            return Value(self.builder.pool(node, kind, window), LAST)
        if size[0] % rows == 0 and size[1] % columns == 0:
            return Value(self.builder.resize_nearest(node, size), LAST)
        raise ModelError(
            f"adaptive pooling of {rows} x {columns} to {size[0]} x {size[1]} has windows of "
            "different sizes: choose a size that divides the map, or another input size"
        )

    def reduce(
        self, x: Value, kind: Literal["mean", "sum", "max"], axes: Sequence[int], keep: bool
    ) -> Value:
        """Mean, sum or maximum over axes."""
        axes = tuple(sorted(axes))
        if kind == "max":
            return self._largest(x, axes, keep)
        node = self.builder.reduce(x.node, kind, [x.order.index(axis) for axis in axes], keep)
        return Value(node, x.order) if keep else Value(node, _without(x.order, axes))

    def _largest(self, x: Value, axes: tuple[int, ...], keep: bool) -> Value:
        if len(x.shape) != 3 or axes != (1, 2):
            raise ModelError("the maximum over axes other than all rows and columns")
        node = self._map(x, "pooling")
        window = (node.shape[0], node.shape[1])
        y = Value(self.builder.pool(node, "max", window), LAST)
        return y if keep else self.reshape(y, (y.shape[0],))

    # --- values that move ------------------------------------------------------------------------

    def permute(self, x: Value, permutation: Sequence[int]) -> Value:
        """Axis ``k`` of the output is axis ``permutation[k]`` of the input; nothing moves yet."""
        return Value(x.node, tuple(list(permutation).index(axis) for axis in x.order))

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The same values, in the framework's order, in another shape."""
        shape = tuple(shape)
        if shape == x.shape:
            return x
        if math.prod(shape) != math.prod(x.shape):
            raise ModelError(f"{list(x.shape)} does not become {list(shape)}")
        if [n for n in shape if n != 1] == [n for n in x.shape if n != 1]:
            x = self.squeeze(x, [axis for axis, size in enumerate(x.shape) if size == 1])
            for axis, size in enumerate(shape):
                x = self.unsqueeze(x, axis) if size == 1 else x
            return x
        return self._plain(self.builder.reshape(self.natural(x), shape))

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        """Without axes of 1."""
        left = tuple(axis for axis in x.order if axis not in axes)
        if len(left) == len(x.order):
            return x
        sizes = dict(zip(x.order, x.node.shape))
        node = self.builder.reshape(x.node, tuple(sizes[axis] for axis in left))
        return Value(node, _without(x.order, axes))

    def unsqueeze(self, x: Value, axis: int) -> Value:
        """With another axis of 1."""
        order = (axis, *(other + (other >= axis) for other in x.order))
        return Value(self.builder.reshape(x.node, (1, *x.node.shape)), order)

    def concatenate(self, xs: Sequence[Value], axis: int) -> Value:
        """One after another along an axis."""
        order = max(xs, key=lambda v: math.prod(v.shape)).order
        nodes = [self.arranged(v, order) for v in xs]
        return Value(self.builder.concatenate(nodes, order.index(axis)), order)

    def slice(self, x: Value, axis: int, begin: int, end: int, step: int = 1) -> Value:
        """Along an axis, from ``begin`` to before ``end``, counted from 0; ``step`` may be negative
        (then ``end`` may be -1)."""
        count = max(0, -(-(end - begin) // step))
        if (begin, count, step) == (0, x.shape[axis], 1):
            return x
        at = x.order.index(axis)
        starts, size, steps = [0] * len(x.order), list(x.node.shape), [1] * len(x.order)
        starts[at], size[at], steps[at] = begin, count, step
        if count < 1:
            raise ModelError("a slice of no values")
        return Value(self.builder.slice(x.node, starts, size, steps), x.order)

    def pad(
        self, x: Value, before: Sequence[int], after: Sequence[int], value: float = 0.0
    ) -> Value:
        """A number before and after along each axis; negative amounts are cut off."""
        for axis, (b, a) in enumerate(zip(before, after)):
            if min(a, b) < 0:
                x = self.slice(x, axis, max(-b, 0), x.shape[axis] - max(-a, 0))
        before, after = ([max(n, 0) for n in amounts] for amounts in (before, after))
        if not any(before) and not any(after):
            return x
        if len(x.order) == 3:
            x = Value(self.arranged(x, LAST), LAST)
        first, last = ([n[axis] for axis in x.order] for n in (before, after))
        return Value(self.builder.pad(x.node, first, last, value), x.order)

    def repeat_edges(
        self, x: Value, before: Sequence[int], after: Sequence[int],
        mode: Literal["reflect", "replicate", "circular"],
    ) -> Value:  # fmt: skip
        """The map's own values before and after along each axis: mirrored without the edge itself,
        the edge again and again, or those of the other end."""
        for axis, (b, a) in enumerate(zip(before, after)):
            n = x.shape[axis]
            most = {"reflect": n - 1, "circular": n}.get(mode, max(a, b))
            if min(a, b) < 0 or max(a, b) > most:
                raise ModelError(f"padding an axis of {n} by {b} and {a} in mode '{mode}'")
            parts = [x]
            if mode == "replicate":
                first, last = self.slice(x, axis, 0, 1), self.slice(x, axis, n - 1, n)
                parts = [first] * b + parts + [last] * a
            elif mode == "reflect":
                parts = [self.slice(x, axis, b, 0, -1)] if b else []
                parts += [x, *([self.slice(x, axis, n - 2, n - 2 - a, -1)] if a else [])]
            else:
                parts = [self.slice(x, axis, n - b, n)] if b else []
                parts += [x, *([self.slice(x, axis, 0, a)] if a else [])]
            x = self.concatenate(parts, axis) if len(parts) > 1 else x
        return x

    def resize(
        self, x: Value, size: tuple[int, int], kind: Literal["nearest", "bilinear"],
        align_corners: bool = False, half_pixel_centers: bool = False,
    ) -> Value:  # fmt: skip
        """Rows and columns become ``size``."""
        node = self._map(x, "resizing")
        method = self.builder.resize_nearest if kind == "nearest" else self.builder.resize_bilinear
        return Value(method(node, size, align_corners, half_pixel_centers), LAST)

    def depth_to_space(self, x: Value, block: int, channels_first: bool = True) -> Value:
        """Blocks of channels become squares of pixels. ``channels_first``: each channel of the
        output is ``block * block`` neighbouring ones of the input (PyTorch, and ONNX's CRD)."""
        node = self._map(x, "a pixel shuffle")
        rows, columns, channels = node.shape
        left = channels // block**2
        if channels_first and left > 1:
            node = self.builder.reshape(node, (rows, columns, left, block**2))
            node = self.builder.transpose(node, (0, 1, 3, 2))
            node = self.builder.reshape(node, (rows, columns, channels))
        return Value(self.builder.depth_to_space(node, block), LAST)

    def space_to_depth(self, x: Value, block: int, channels_first: bool = True) -> Value:
        """Squares of pixels become blocks of channels; the reverse of :meth:`depth_to_space`."""
        node = self._map(x, "a pixel unshuffle")
        channels = node.shape[2]
        node = self.builder.space_to_depth(node, block)
        if channels_first and channels > 1:
            rows, columns, total = node.shape
            node = self.builder.reshape(node, (rows, columns, block**2, channels))
            node = self.builder.transpose(node, (0, 1, 3, 2))
            node = self.builder.reshape(node, (rows, columns, total))
        return Value(node, LAST)


def _turned(weights: npt.NDArray[Some], groups: int) -> npt.NDArray[Some]:
    """[channels, filters of a group, rows, columns] of a transposed convolution as the kernel
    [filters, rows, columns, channels of a group] of a convolution."""
    channels, filters, rows, columns = weights.shape
    grouped = weights.reshape(groups, channels // groups, filters, rows, columns)[..., ::-1, ::-1]
    return grouped.transpose(0, 2, 3, 4, 1).reshape(groups * filters, rows, columns, -1)


def _same_transposed(
    window: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int], cut: Sequence[int]
) -> bool:
    """Whether what is cut off the output is what TFLite's SAME (or VALID) cuts off."""
    totals = [max((k - 1) * d + 1 - s, 0) for k, d, s in zip(window, dilation, stride)]
    same = [totals[0] // 2, totals[0] - totals[0] // 2, totals[1] // 2, totals[1] - totals[1] // 2]
    return list(cut) in (same, [0, 0, 0, 0])


def _origin(
    parameter: Parameter | None, places: npt.NDArray[np.int64], first: int, end: int
) -> Origin | None:
    if parameter is None:
        return None
    factors = np.ones(end - first, np.float32)
    return Origin(parameter.weights, places[first:end], factors, (first, end), parameter.bias)


def _beyond(
    size: tuple[int, ...], window: tuple[int, int], stride: tuple[int, int], p: Padding
) -> tuple[int, int]:
    """Rows and columns that windows, counted upwards, reach beyond the padding."""
    more = []
    for length, k, s, before, after in zip(
        size, window, stride, (p.top, p.left), (p.bottom, p.right)
    ):
        span = length + before + after
        count = -(-(span - k) // s) + 1
        if (count - 1) * s >= length + before:  # the last one would begin beyond the map
            count -= 1
        more.append(max((count - 1) * s + k - span, 0))
    return more[0], more[1]


def _without(order: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    """The order of the axes that are left."""
    left = sorted(axis for axis in order if axis not in axes)
    return tuple(left.index(axis) for axis in order if axis not in axes)
