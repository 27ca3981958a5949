# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""PyTorch's operators in terms of a float network.

Every handler takes the importer, the node and the operator's own arguments, and gives the value or
values that the operator gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.problems import (
    CHOICE,
    COMPUTED_PRODUCT,
    RECURRENT,
    STATISTICS,
)
from axynq.emulator.frameworks.torch_values import (
    Constant,
    Importer,
    array_of,
    axes_of,
    axis_of,
    number,
    pair,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding, Quantisation
from axynq.emulator.quantisation.channels_first import Parameter, Value

Handler = Callable[..., Any]

HANDLERS: dict[str, Handler] = {}
"""By the operator's name, without ``aten.`` and the overload."""

HINTS = {
    **dict.fromkeys(
        ("layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm"),
        STATISTICS,
    ),
    **dict.fromkeys(("scaled_dot_product_attention", "bmm"), COMPUTED_PRODUCT),
    **dict.fromkeys(("lstm", "gru"), RECURRENT),
    **dict.fromkeys(("topk", "argmax", "sort"), CHOICE),
    **dict.fromkeys(("conv3d", "max_pool3d"), "maps have rows and columns only"),
    **dict.fromkeys(("selu", "celu"), "use elu"),
    "embedding": "look the embedding up before the network",
    "mish": "use silu or hardswish",
    "softplus": "use relu",
}
"""What to say of operators that are not known, by name."""


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


# --- layers --------------------------------------------------------------------------------------


def _weights(value: Any, what: str) -> Constant:
    if not isinstance(value, Constant):
        raise ModelError(f"the weights of {what} are computed from inputs")
    return value


def _parameter(weights: Constant, bias: Constant | None) -> Parameter | None:
    if not weights.name:
        return None
    return Parameter(weights.name, bias.name if bias is not None and bias.name else None)


@_handles("conv2d", "conv1d")
def _convolution(
    im: Importer, node: Any, x: Value, weight: Any, bias: Any = None, stride: Any = (1, 1),
    padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1,
) -> Value:  # fmt: skip
    weights = _weights(weight, "a convolution")
    flat = len(x.shape) == 2
    kernel = weights.array()
    if flat:
        x, kernel = im.first.unsqueeze(x, 1), kernel[:, :, None]
        stride, dilation = (1, pair(stride)[1]), (1, pair(dilation)[1])
    stride, dilation = pair(stride), pair(dilation)
    y = im.first.convolution(
        x, kernel, None if bias is None else _weights(bias, "a convolution").array(),
        stride=stride, padding=_padding(padding, kernel.shape[2:], dilation, flat),
        dilation=dilation, groups=groups, parameter=_parameter(weights, bias),
        weight_scales=weights.scales,
    )  # fmt: skip
    return im.first.squeeze(y, [1]) if flat else y


def _padding(padding: Any, window: Any, dilation: tuple[int, int], flat: bool) -> Padding:
    """Of PyTorch's argument: numbers, or a word."""
    if padding == "valid":
        return Padding()
    if padding == "same":
        totals = [(k - 1) * d for k, d in zip(window, dilation)]
        top, left = (total // 2 for total in totals)
        return Padding(top, totals[0] - top, left, totals[1] - left)
    rows, columns = pair(padding)
    rows = 0 if flat else rows
    return Padding(rows, rows, columns, columns)


@_handles("convolution")
def _any_convolution(
    im: Importer, node: Any, x: Value, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> Value:  # fmt: skip
    if transposed:
        return _transposed(
            im, node, x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return _convolution(im, node, x, weight, bias, stride, padding, dilation, groups)


@_handles("conv_transpose2d", "conv_transpose1d")
def _transposed(
    im: Importer, node: Any, x: Value, weight: Any, bias: Any = None, stride: Any = (1, 1),
    padding: Any = (0, 0), output_padding: Any = (0, 0), groups: int = 1, dilation: Any = (1, 1),
) -> Value:  # fmt: skip
    weights = _weights(weight, "a transposed convolution")
    kernel, flat = weights.array(), len(x.shape) == 2
    stride, dilation, more = pair(stride), pair(dilation), pair(output_padding, (0, 0))
    if flat:
        x, kernel = im.first.unsqueeze(x, 1), kernel[:, :, None]
        stride, dilation, more = (1, stride[1]), (1, dilation[1]), (0, more[1])
    y = im.first.transposed_convolution(
        x, kernel, None if bias is None else _weights(bias, "a convolution").array(),
        stride=stride, padding=_padding(padding, kernel.shape[2:], dilation, flat),
        output_padding=more, dilation=dilation, groups=groups,
        parameter=_parameter(weights, bias), weight_scales=weights.scales,
    )  # fmt: skip
    return im.first.squeeze(y, [1]) if flat else y


@_handles("linear")
def _linear(im: Importer, node: Any, x: Value, weight: Any, bias: Any = None) -> Value:
    weights = _weights(weight, "a linear layer")
    return im.first.linear(
        x, weights.array(), None if bias is None else _weights(bias, "a linear layer").array(),
        parameter=_parameter(weights, bias), weight_scales=weights.scales,
    )  # fmt: skip


@_handles("addmm")
def _addmm(im: Importer, node: Any, bias: Any, x: Value, weight: Any) -> Value:
    weights = _weights(weight, "a linear layer").array()
    return im.first.linear(x, weights.T, _weights(bias, "a linear layer").array())


@_handles("mm", "matmul")
def _matmul(im: Importer, node: Any, x: Any, weight: Any) -> Value:
    if not (isinstance(x, Value) and isinstance(weight, Constant) and weight.tensor.dim() == 2):
        raise ModelError(COMPUTED_PRODUCT)
    return im.first.linear(x, weight.array().T)


@_handles("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm",
          "cudnn_batch_norm")  # fmt: skip
def _batch_norm(
    im: Importer, node: Any, x: Value, weight: Any, bias: Any, mean: Any, variance: Any, *more: Any
) -> Any:
    name = str(node.target)
    training = more[0] if "no_training" not in name else False
    if training or mean is None:
        raise ModelError("a batch normalisation by the batch's own statistics: call eval() first")
    epsilon = float(more[2] if "no_training" not in name else more[1])
    # In double, as the sum of a small variance and epsilon.
    factors = 1 / np.sqrt(_in_double(variance) + epsilon)
    if weight is not None:
        factors = factors * _in_double(weight)
    terms = -_in_double(mean) * factors
    if bias is not None:
        terms = terms + _in_double(bias)
    source = mean.name.rpartition(".")[0] if mean.name else None
    y = im.first.affine(x, factors.astype(np.float32), terms.astype(np.float32), source or None)
    return y if "native" not in name else [y, None, None]


def _in_double(value: Constant) -> npt.NDArray[np.float64]:
    return value.array().astype(np.float64)


# --- activations ---------------------------------------------------------------------------------


_LOOKUPS: dict[str, graph.LookupKind] = {
    "relu": "relu", "relu6": "relu6", "hardswish": "hard_swish", "sigmoid": "logistic",
    "tanh": "tanh", "exp": "exponential", "abs": "absolute",
    "rsqrt": "reciprocal_square_root",
}  # fmt: skip


def _lookup_handler(kind: graph.LookupKind) -> Handler:
    def handler(im: Importer, node: Any, x: Value) -> Value:
        return im.first.lookup(x, kind)

    return handler


HANDLERS.update({name: _lookup_handler(kind) for name, kind in _LOOKUPS.items()})


@_handles("hardtanh")
def _hardtanh(im: Importer, node: Any, x: Value, low: Any = -1, high: Any = 1) -> Value:
    return im.first.clip(x, float(low), float(high))


@_handles("clamp", "clip")
def _clamp(im: Importer, node: Any, x: Value, min: Any = None, max: Any = None) -> Value:
    low, high = (None if end is None else number(end) for end in (min, max))
    if (low is None) != (min is None) or (high is None) != (max is None):
        raise ModelError("limits that are tensors")
    return im.first.clip(x, -math.inf if low is None else low, math.inf if high is None else high)


@_handles("clamp_min")
def _clamp_min(im: Importer, node: Any, x: Value, low: Any) -> Value:
    return _clamp(im, node, x, low)


@_handles("clamp_max")
def _clamp_max(im: Importer, node: Any, x: Value, high: Any) -> Value:
    return _clamp(im, node, x, None, high)


@_handles("leaky_relu")
def _leaky_relu(im: Importer, node: Any, x: Value, slope: float = 0.01) -> Value:
    return im.first.lookup(x, "leaky_relu", float(slope))


@_handles("prelu")
def _prelu(im: Importer, node: Any, x: Value, slopes: Any) -> Value:
    return im.first.prelu(x, _weights(slopes, "a PReLU").array())


@_handles("elu")
def _elu(
    im: Importer, node: Any, x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1
) -> Value:
    if (alpha, scale, input_scale) != (1, 1, 1):
        raise ModelError("an ELU with an alpha or scale other than 1")
    return im.first.elu(x)


@_handles("gelu")
def _gelu(im: Importer, node: Any, x: Value, approximate: str = "none") -> Value:
    return im.first.lookup(x, "gelu", 1.0 if approximate == "tanh" else 0.0)


@_handles("silu")
def _silu(im: Importer, node: Any, x: Value) -> Value:
    return im.first.silu(x)


@_handles("hardsigmoid")
def _hardsigmoid(im: Importer, node: Any, x: Value) -> Value:
    return im.first.hard_sigmoid(x)


@_handles("neg", "negative")
def _negative(im: Importer, node: Any, x: Value) -> Value:
    return im.first.elementwise("multiply", x, np.float32(-1))


@_handles("square")
def _square(im: Importer, node: Any, x: Value) -> Value:
    return im.first.elementwise("multiply", x, x)


@_handles("pow")
def _power(im: Importer, node: Any, x: Any, exponent: Any) -> Value:
    if not isinstance(x, Value) or number(exponent) not in (1, 2):
        raise ModelError("powers other than squares")
    return _square(im, node, x) if number(exponent) == 2 else x


@_handles("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(im: Importer, node: Any, x: Value, dim: int, *more: Any) -> Value:
    return im.first.softmax(x, axis_of(dim, x), "log" in str(node.target))


@_handles("dropout", "feature_dropout", "alpha_dropout", "native_dropout")
def _dropout(im: Importer, node: Any, x: Value, p: float, training: bool) -> Any:
    if training and p:
        raise ModelError("a dropout that is at work: call eval() first")
    return [x, None] if "native" in str(node.target) else x


@_handles("clone", "contiguous", "alias", "detach", "lift_fresh_copy", "to", "_to_copy", "identity",
          "type_as", "float")  # fmt: skip
def _same(im: Importer, node: Any, x: Value, *more: Any, **options: Any) -> Value:
    value = node.meta.get("val")
    if value is not None and not value.dtype.is_floating_point:
        raise ModelError(f"values of type {str(value.dtype).removeprefix('torch.')}")
    return x


@_handles("sym_size")
def _size(im: Importer, node: Any, x: Value, *more: Any) -> Any:
    """A size that is open: the number of images, in shapes that :func:`_reshape` knows without."""
    return node.meta["val"]


@_handles("_assert_tensor_metadata")
def _asserted(im: Importer, node: Any, x: Value, *more: Any, **options: Any) -> None:
    """What ``torch.export`` writes before a conversion of types: it computes nothing."""


# --- values in pairs -----------------------------------------------------------------------------


def _pair(im: Importer, kind: graph.ElementwiseKind, x: Any, y: Any, alpha: Any = 1) -> Value:
    first, second = array_of(x), array_of(y)
    if alpha != 1:
        if isinstance(second, Value):
            second = im.first.elementwise("multiply", second, np.float32(alpha))
        else:
            second = second * np.float32(alpha)
    return im.first.elementwise(kind, first, second)


@_handles("add")
def _add(im: Importer, node: Any, x: Any, y: Any, alpha: Any = 1) -> Value:
    return _pair(im, "add", x, y, alpha)


@_handles("sub", "subtract")
def _subtract(im: Importer, node: Any, x: Any, y: Any, alpha: Any = 1) -> Value:
    return _pair(im, "subtract", x, y, alpha)


@_handles("rsub")
def _from(im: Importer, node: Any, x: Any, y: Any, alpha: Any = 1) -> Value:
    return _pair(im, "subtract", y, x, alpha)


@_handles("mul", "multiply")
def _multiply(im: Importer, node: Any, x: Any, y: Any) -> Value:
    return _pair(im, "multiply", x, y)


@_handles("div", "divide", "true_divide")
def _divide(im: Importer, node: Any, x: Any, y: Any, rounding_mode: Any = None) -> Value:
    if rounding_mode is not None or isinstance(y, Value):
        raise ModelError("a division by computed values, or one that rounds")
    return _pair(im, "multiply", x, 1 / array_of(y))  # type: ignore[operator]


@_handles("maximum")
def _maximum(im: Importer, node: Any, x: Any, y: Any) -> Value:
    return _pair(im, "maximum", x, y)


@_handles("minimum")
def _minimum(im: Importer, node: Any, x: Any, y: Any) -> Value:
    return _pair(im, "minimum", x, y)


# --- several values become one -------------------------------------------------------------------


def _pool(
    im: Importer, x: Value, kind: Literal["average", "max"], window: Any, stride: Any, padding: Any,
    ceil: bool, count: bool = False,
) -> Value:  # fmt: skip
    window, flat = pair(window), len(x.shape) == 2
    stride, (rows, columns) = pair(stride, window), pair(padding, (0, 0))
    if flat:
        x = im.first.unsqueeze(x, 1)
        window, stride, rows = (1, window[1]), (1, stride[1]), 0
    around = Padding(rows, rows, columns, columns)
    y = im.first.pool(x, kind, window, stride, around, ceil=ceil, count_padding=count)
    return im.first.squeeze(y, [1]) if flat else y


@_handles("max_pool2d", "max_pool1d", "max_pool2d_with_indices", "max_pool1d_with_indices")
def _max_pool(
    im: Importer, node: Any, x: Value, window: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil: bool = False,
) -> Any:  # fmt: skip
    if pair(dilation) != (1, 1):
        raise ModelError("maximum pooling with dilation")
    y = _pool(im, x, "max", window, stride, padding, ceil)
    return [y, None] if "indices" in str(node.target) else y


@_handles("avg_pool2d", "avg_pool1d")
def _average_pool(
    im: Importer, node: Any, x: Value, window: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,
) -> Value:  # fmt: skip
    if divisor_override is not None:
        raise ModelError("average pooling with another divisor")
    return _pool(im, x, "average", window, stride, padding, ceil_mode, count_include_pad)


@_handles("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d")
def _adaptive_average(im: Importer, node: Any, x: Value, size: Any) -> Value:
    return _adaptive(im, x, "average", size)


@_handles("adaptive_max_pool2d", "adaptive_max_pool1d")
def _adaptive_max(im: Importer, node: Any, x: Value, size: Any) -> Any:
    return [_adaptive(im, x, "max", size), None]


def _adaptive(im: Importer, x: Value, kind: Literal["average", "max"], size: Any) -> Value:
    flat = len(x.shape) == 2
    if flat:
        x, size = im.first.unsqueeze(x, 1), (1, pair(size)[1])
    sizes = [size, size] if isinstance(size, int) else list(size)
    rows, columns = (
        length if wanted is None else wanted for wanted, length in zip(sizes, x.shape[1:])
    )
    y = im.first.adaptive_pool(x, kind, (rows, columns))
    return im.first.squeeze(y, [1]) if flat else y


@_handles("mean")
def _mean(
    im: Importer, node: Any, x: Value, dim: Any = None, keepdim: bool = False, **more: Any
) -> Value:
    im.kept_images(node)
    return im.first.reduce(x, "mean", axes_of(dim, x), keepdim)


@_handles("sum")
def _sum(
    im: Importer, node: Any, x: Value, dim: Any = None, keepdim: bool = False, **more: Any
) -> Value:
    im.kept_images(node)
    return im.first.reduce(x, "sum", axes_of(dim, x), keepdim)


@_handles("amax")
def _largest(im: Importer, node: Any, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    im.kept_images(node)
    return im.first.reduce(x, "max", axes_of(dim, x), keepdim)


# --- values that move ----------------------------------------------------------------------------


@_handles("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze",
          "view_copy")  # fmt: skip
def _reshape(im: Importer, node: Any, x: Value, *more: Any) -> Value:
    return im.first.reshape(x, im.kept_images(node))


@_handles("expand", "expand_as")
def _expand(im: Importer, node: Any, x: Value, *more: Any) -> Value:
    shape = im.kept_images(node)
    if shape != x.shape:
        raise ModelError("values that are repeated: operators in pairs repeat axes of 1 themselves")
    return x


@_handles("permute")
def _permute(im: Importer, node: Any, x: Value, dims: Any) -> Value:
    rank = len(x.shape) + 1
    order = [dim % rank for dim in dims]
    if order[0] != 0:
        raise ModelError("it moves the images of a batch to another axis")
    return im.first.permute(x, [axis - 1 for axis in order[1:]])


@_handles("transpose", "swapaxes")
def _transpose(im: Importer, node: Any, x: Value, first: int, second: int) -> Value:
    one, other = axis_of(first, x), axis_of(second, x)
    order = list(range(len(x.shape)))
    order[one], order[other] = other, one
    return im.first.permute(x, order)


@_handles("t")
def _t(im: Importer, node: Any, x: Value) -> Value:
    raise ModelError("it moves the images of a batch to another axis")


@_handles("cat", "concat")
def _concatenate(im: Importer, node: Any, xs: Any, dim: int = 0) -> Value:
    if not all(isinstance(x, Value) for x in xs):
        raise ModelError("the concatenation of computed values and numbers")
    return im.first.concatenate(xs, axis_of(dim, xs[0]))


@_handles("stack")
def _stack(im: Importer, node: Any, xs: Any, dim: int = 0) -> Value:
    if not all(isinstance(x, Value) for x in xs):
        raise ModelError("a stack of computed values and numbers")
    axis = axis_of(dim, xs[0], added=1)
    return im.first.concatenate([im.first.unsqueeze(x, axis) for x in xs], axis)


@_handles("slice")
def _slice(
    im: Importer, node: Any, x: Value, dim: int = 0, start: Any = None, end: Any = None,
    step: int = 1,
) -> Value:  # fmt: skip
    if dim in (0, -len(x.shape) - 1) and start in (None, 0) and step == 1:
        im.kept_images(node)
        return x
    axis = axis_of(dim, x)
    begin, stop, _ = slice(start, end).indices(x.shape[axis])
    return im.first.slice(x, axis, begin, stop, step)


@_handles("narrow")
def _narrow(im: Importer, node: Any, x: Value, dim: int, start: int, length: int) -> Value:
    axis = axis_of(dim, x)
    begin = start % x.shape[axis]
    return im.first.slice(x, axis, begin, begin + length)


@_handles("select")
def _select(im: Importer, node: Any, x: Value, dim: int, index: int) -> Value:
    axis = axis_of(dim, x)
    begin = index % x.shape[axis]
    return im.first.squeeze(im.first.slice(x, axis, begin, begin + 1), [axis])


@_handles("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unbind",
          "unsafe_chunk")  # fmt: skip
def _split(im: Importer, node: Any, x: Value, *more: Any, dim: int = 0) -> list[Value]:
    unbound = "unbind" in str(node.target)
    position = 0 if unbound else 1
    axis = axis_of(more[position] if len(more) > position else dim, x)
    if unbound:
        sizes = [1] * x.shape[axis]
    else:
        sizes = [int(part.shape[axis + 1]) for part in node.meta["val"]]
    parts, begin = [], 0
    for size in sizes:
        part = im.first.slice(x, axis, begin, begin + size)
        parts.append(im.first.squeeze(part, [axis]) if unbound else part)
        begin += size
    return parts


@_handles("flip")
def _flip(im: Importer, node: Any, x: Value, dims: Any) -> Value:
    for axis in (axis_of(dim, x) for dim in dims):
        x = im.first.slice(x, axis, x.shape[axis] - 1, -1, -1)
    return x


@_handles("pad", "constant_pad_nd")
def _pad(
    im: Importer, node: Any, x: Value, amounts: Any, mode: Any = "constant", value: Any = None
) -> Value:
    if not isinstance(mode, str):  # that of constant_pad_nd has no mode
        mode, value = "constant", mode
    rank = len(x.shape)
    before, after = [0] * rank, [0] * rank
    if len(amounts) > 2 * rank:
        raise ModelError("it works along the images of a batch")
    for place in range(len(amounts) // 2):
        before[rank - 1 - place] = amounts[2 * place]
        after[rank - 1 - place] = amounts[2 * place + 1]
    if mode != "constant":
        return im.first.repeat_edges(x, before, after, mode)
    return im.first.pad(x, before, after, float(value or 0))


@_handles("reflection_pad1d", "reflection_pad2d")
def _reflection(im: Importer, node: Any, x: Value, amounts: Any) -> Value:
    return _pad(im, node, x, amounts, "reflect")


@_handles("replication_pad1d", "replication_pad2d")
def _replication(im: Importer, node: Any, x: Value, amounts: Any) -> Value:
    return _pad(im, node, x, amounts, "replicate")


@_handles("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d")
def _resize(im: Importer, node: Any, x: Value, *more: Any, **options: Any) -> Value:
    name = str(node.target)
    rows, columns = im.kept_images(node)[1:]
    factors = next(
        (part for part in (*more, options.get("scale_factors")) if _are_factors(part)), None
    )
    for length, wanted, factor in zip(x.shape[1:], (rows, columns), factors or (None, None)):
        if factor is not None and not math.isclose(length * factor, wanted):
            raise ModelError(
                f"a map of {length} resized by {factor}, which is no whole number: give the size"
            )
    if "nearest" in name:
        exact = "exact" in name
        return im.first.resize(x, (rows, columns), "nearest", half_pixel_centers=exact)
    aligned = next((part for part in more if isinstance(part, bool)), False)
    return im.first.resize(x, (rows, columns), "bilinear", aligned, not aligned)


def _are_factors(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(isinstance(f, float) for f in part)


@_handles("pixel_shuffle")
def _pixel_shuffle(im: Importer, node: Any, x: Value, factor: int) -> Value:
    return im.first.depth_to_space(x, factor)


@_handles("pixel_unshuffle")
def _pixel_unshuffle(im: Importer, node: Any, x: Value, factor: int) -> Value:
    return im.first.space_to_depth(x, factor)


@_handles("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(im: Importer, node: Any, x: Value, groups: int) -> Value:
    channels, *rest = x.shape
    y = im.first.reshape(x, (groups, channels // groups, *rest))
    y = im.first.permute(y, (1, 0, *range(2, len(rest) + 2)))
    return im.first.reshape(y, x.shape)


# --- values that are quantised already -----------------------------------------------------------


def _quantisation(scale: Any, zero_point: Any, low: Any, high: Any) -> Quantisation:
    if (low, high) not in ((-128, 127), (-127, 127), (0, 255)):
        raise ModelError(f"integers from {low} to {high}: quantise to 8 bits")
    known, point = number(scale), number(zero_point)
    if known is None or point is None:
        raise ModelError("a scale that is computed from inputs: quantise statically")
    return Quantisation(float(np.float32(known)), int(point) - (128 if low == 0 else 0))


@_handles("quantize_per_tensor")
def _quantize(
    im: Importer, node: Any, x: Value, scale: Any, zero_point: Any, low: Any = -128,
    high: Any = 127, dtype: Any = None,
) -> Value:  # fmt: skip
    if low is torch.qint8 or low is torch.quint8:  # of the operator without limits
        low, high = (-128, 127) if low is torch.qint8 else (0, 255)
    wanted = _quantisation(scale, zero_point, low, high)
    known = im.first.builder.quantisation(x.node)
    if known is None:
        im.first.set_quantisation(x, wanted)
    elif known != wanted:
        x = im.first.lookup(x, "quantise")
        im.first.set_quantisation(x, wanted)
    return x


@_handles("fake_quantize_per_tensor_affine")
def _fake_quantize(
    im: Importer, node: Any, x: Any, scale: Any, zero_point: Any, low: Any, high: Any, *more: Any
) -> Any:
    if isinstance(x, Value):
        return _quantize(im, node, x, scale, zero_point, low, high)
    known = _quantisation(scale, zero_point, low, high)
    point = int(number(zero_point) or 0)
    steps = torch.clamp(torch.round(x.tensor.double() / known.scale) + point, low, high)
    scales = np.full(len(x.tensor), known.scale, np.float32) if point == 0 and low < 0 else None
    return Constant(((steps - point) * known.scale).float(), scales=scales)


@_handles("fake_quantize_per_channel_affine")
def _fake_quantize_channels(
    im: Importer, node: Any, x: Any, scales: Any, zero_points: Any, axis: int, low: int, high: int
) -> Any:
    if isinstance(x, Value):
        raise ModelError("activations with a scale for each channel: quantise them per tensor")
    shape = [-1 if k == axis else 1 for k in range(x.tensor.dim())]
    steps = scales.tensor.double().reshape(shape)
    points = zero_points.tensor.double().reshape(shape)
    integers = torch.clamp(torch.round(x.tensor.double() / steps) + points, low, high)
    symmetric = axis == 0 and low < 0 and not bool(points.any())
    real = ((integers - points) * steps).float()
    return Constant(real, scales=scales.array() if symmetric else None)


@_handles("dequantize_per_tensor", "dequantize")
def _dequantize(
    im: Importer, node: Any, x: Any, scale: Any = None, zero_point: Any = None, *more: Any,
    **options: Any,
) -> Any:  # fmt: skip
    if isinstance(x, Value):
        return x
    known, point = number(scale), number(zero_point)
    if known is None or point is None:
        raise ModelError("a scale that is computed from inputs: quantise statically")
    real = (x.tensor.to(torch.float64) - point) * known
    filters = len(real) if real.dim() else 1
    scales = (
        np.full(filters, known, np.float32) if x.tensor.dtype == torch.int8 and not point else None
    )
    return Constant(real.float(), scales=scales)


@_handles("dequantize_per_channel")
def _dequantize_channels(
    im: Importer, node: Any, x: Any, scales: Any, zero_points: Any, axis: int, *more: Any,
    **options: Any,
) -> Any:  # fmt: skip
    if isinstance(x, Value):
        raise ModelError("activations with a scale for each channel: quantise them per tensor")
    shape = [-1 if k == axis else 1 for k in range(x.tensor.dim())]
    points = 0 if zero_points is None else zero_points.tensor.reshape(shape)
    real = (x.tensor.to(torch.float64) - points) * scales.tensor.double().reshape(shape)
    symmetric = x.tensor.dtype == torch.int8 and axis == 0 and not np.any(np.asarray(points))
    return Constant(real.float(), scales=scales.array() if symmetric else None)
