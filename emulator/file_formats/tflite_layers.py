# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads the operators of a ``.tflite`` file that multiply by weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tflite

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.limits import require_moderate_size
from axynq.emulator.file_formats.tflite_dilation import Dilation
from axynq.emulator.file_formats.tflite_file import Node, options_of
from axynq.emulator.file_formats.tflite_reading import (
    ACTIVATION_TYPES,
    Reading,
    fused,
    require_no_activation,
)
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding
from axynq.emulator.model.windows import transposed_geometry, window_geometry


class _Weights(NamedTuple):
    values: graph.Int8Array
    """Limited to int8."""
    bias: graph.Int32Array
    scales: graph.Float32Array
    per_channel: bool
    layer: str
    """The layer's name, where the file has it."""
    rest: graph.Int8Array | None = None
    """What :attr:`values` lack, where int8 does not hold the weights less their zero point."""


def _weights(
    reading: Reading,
    node: Node,
    filter_axis: int,
    dimensions: int,
    position: int = 1,
    bias_position: int = 2,
    moved: bool = False,
) -> _Weights:
    """Weights and biases; with ``moved`` TFLite lets int8 weights have a zero point."""
    raw = reading.constant(node, position, ACTIVATION_TYPES, "weights")
    assert raw.data is not None
    legacy = raw.type == tflite.TensorType.UINT8
    if legacy != reading.is_legacy(node):
        raise ModelError("weights and output are not of one type")
    if len(raw.shape) != dimensions:
        raise ModelError(f"weights have shape {list(raw.shape)}")
    filters = raw.shape[filter_axis]
    if len(raw.scales) not in (1, filters):
        raise ModelError(f"weights have {len(raw.scales)} scales for {filters} filters")
    if not (np.isfinite(raw.scales).all() and (raw.scales >= 0).all()):
        raise ModelError("weights have a scale that is negative or not finite")
    values = raw.data.astype(np.int64)
    if raw.zero_points.any():
        if not (legacy or moved) or len(raw.zero_points) != 1:
            raise ModelError("weights have a zero point; only symmetric weights are supported")
        values = values - raw.zero_points[0]
    bias = np.zeros(filters, np.int32)
    if len(node.inputs) > bias_position and node.inputs[bias_position] >= 0:
        types = (tflite.TensorType.INT32,)
        constant = reading.constant(node, bias_position, types, "bias").data
        assert constant is not None
        bias = constant.astype(np.int32).reshape(-1)
        if len(bias) != filters:
            raise ModelError(f"has {len(bias)} biases for {filters} filters")
    scales = np.broadcast_to(raw.scales, (filters,)).astype(np.float32)
    limited = np.clip(values, graph.INT8_MIN, graph.INT8_MAX)
    rest = (values - limited).astype(np.int8)
    return _Weights(
        limited.astype(np.int8),
        bias,
        scales,
        len(raw.scales) == filters,
        reading.layer_name(raw),
        rest if rest.any() else None,
    )


def _channels_twice(
    reading: Reading, node: Node, source: int, values: graph.Int8Array, rest: graph.Int8Array
) -> tuple[int, graph.Int8Array]:
    """The input with those of its channels behind it whose weights, [..., channels], have a rest;
    and weights and rest one behind the other."""
    used = np.flatnonzero(rest.reshape(-1, rest.shape[-1]).any(axis=0))
    first, end, channels = int(used[0]), int(used[-1]) + 1, rest.shape[-1]
    reading.doubled.append(node)
    around = reading.shape(source)[:-1]
    again = source
    if (first, end) != (0, channels):
        again = reading.part(
            node, graph.Slice, "slice", (source,), source, (*around, end - first),
            (*(0 for _ in around), first), (1,) * (len(around) + 1), suffix="_rest",
        )  # fmt: skip
    joined = reading.part(
        node, graph.Concatenation, "concatenation", (source, again), source,
        (*around, channels + end - first), len(around), suffix="_twice",
    )  # fmt: skip
    return joined, np.concatenate([values, rest[..., first:end]], axis=-1)


def _rows_twice(
    reading: Reading,
    node: Node,
    source: int,
    weights: _Weights,
    geometry: dict[str, Any],
) -> tuple[int, graph.Int8Array]:
    """The input of a depthwise layer with every row twice, and its kernel with weights and rest in
    turn; the geometry becomes that of such a layer."""
    rest = weights.rest
    assert rest is not None
    if geometry["dilation"][0] != 1:
        raise ModelError(
            "weights less their zero point leave int8 in a dilated depthwise layer: convert the "
            "float network again, to int8"
        )
    reading.doubled.append(node)
    rows, columns, channels = reading.shape(source)
    twice = reading.part(
        node, graph.ResizeNearest, "resize_nearest", (source,), source,
        (2 * rows, columns, channels), False, False, suffix="_twice",
    )  # fmt: skip
    p = geometry["padding"]
    geometry["padding"] = Padding(2 * p.top, 2 * p.bottom, p.left, p.right)
    geometry["stride"] = (2 * geometry["stride"][0], geometry["stride"][1])
    pairs = np.stack([weights.values[0], rest[0]], axis=1)
    return twice, pairs.reshape(2 * pairs.shape[0], *pairs.shape[2:])


def _geometry(
    options: Any,
    rows_columns_channels: tuple[int, int, int],
    window: tuple[int, int],
    outer: Dilation | None,
) -> tuple[tuple[int, int], dict[str, Any]]:
    rows, columns, channels = rows_columns_channels
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    same = options.Padding() == tflite.Padding.SAME
    if outer is None:
        size, padding = window_geometry((rows, columns), window, stride, dilation, same)
    else:
        if same or stride != (1, 1) or dilation != (1, 1) or min(outer.around) < 0:
            raise ModelError("between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND is not supported")
        dilation, padding = outer.steps, outer.around
        padded = padding.around((rows, columns, channels))
        size, _ = window_geometry(padded[:2], window, stride, dilation, same=False)
    require_moderate_size(padding.around((rows, columns, channels)))
    return size, {
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "activation": fused(options.FusedActivationFunction()),
    }


def _convolution(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    source, rows, columns, channels = reading.feature_map(node)
    options = options_of(node, tflite.Conv2DOptions)
    weights = _weights(reading, node, 0, 4)
    filters, k_rows, k_columns, seen = weights.values.shape
    size, geometry = _geometry(
        options, (rows, columns, channels), (k_rows, k_columns), reading.dilations.get(node.place)
    )
    # TFLite multiplies the scales of uint8 layers in float32.
    geometry["float32_scales"] = reading.is_legacy(node)
    shape = (*size, filters)
    if seen == channels:
        values = weights.values
        if weights.rest is not None:
            source, values = _channels_twice(reading, node, source, values, weights.rest)
        reading.emit(
            node, graph.Convolution, "conv", (source,), shape,
            values, weights.bias, weights.scales,
            per_channel=weights.per_channel, name=weights.layer, **geometry,
        )  # fmt: skip
        return
    if not seen or channels % seen or filters % (channels // seen) or reading.is_legacy(node):
        raise ModelError(f"weights have {seen} channels for an input of {channels}")
    if seen == 1:
        turned = np.ascontiguousarray(weights.values[..., 0].transpose(1, 2, 0))
        reading.emit(
            node, graph.DepthwiseConvolution, "depthwise", (source,), shape,
            turned, weights.bias, weights.scales,
            per_channel=weights.per_channel, name=weights.layer, **geometry,
        )  # fmt: skip
        return
    _grouped(reading, node, source, weights, shape, geometry)


def _grouped(
    reading: Reading,
    node: Node,
    source: int,
    weights: _Weights,
    shape: tuple[int, ...],
    geometry: dict[str, Any],
) -> None:
    """A convolution for each group of channels."""
    rows, columns, channels = reading.shape(source)
    filters, seen = weights.values.shape[0], weights.values.shape[3]
    groups = channels // seen
    each = filters // groups
    target = reading.activation(node.outputs[0])
    results = []
    for group in range(groups):
        suffix = f"_group_{group}"
        part = reading.like(
            source, (rows, columns, seen), f"{reading.tensors[source].name}{suffix}"
        )
        begin = (0, 0, group * seen)
        name = reading.name("slice", node, suffix)
        reading.append(graph.Slice, name, (source,), part, begin, (1, 1, 1))
        result = reading.like(
            target, (*shape[:-1], each), f"{reading.tensors[target].name}{suffix}"
        )
        mine = slice(group * each, (group + 1) * each)
        reading.append(
            graph.Convolution, reading.name("conv", node, suffix), (part,), result,
            weights.values[mine], weights.bias[mine], weights.scales[mine],
            per_channel=weights.per_channel, **geometry,
        )  # fmt: skip
        results.append(result)
    reading.emit(node, graph.Concatenation, "concatenation", tuple(results), shape, 2)


def _depthwise(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    source, rows, columns, channels = reading.feature_map(node)
    options = options_of(node, tflite.DepthwiseConv2DOptions)
    weights = _weights(reading, node, 3, 4)
    _, k_rows, k_columns, filters = weights.values.shape
    if weights.values.shape[0] != 1 or filters % channels:
        raise ModelError(f"weights have shape {list(weights.values.shape)}")
    size, geometry = _geometry(
        options, (rows, columns, channels), (k_rows, k_columns), reading.dilations.get(node.place)
    )
    values = weights.values[0]
    if weights.rest is not None:
        source, values = _rows_twice(reading, node, source, weights, geometry)
    reading.emit(
        node, graph.DepthwiseConvolution, "depthwise", (source,), (*size, filters),
        values, weights.bias, weights.scales, name=weights.layer,
        per_channel=weights.per_channel, float32_scales=reading.is_legacy(node), **geometry,
    )  # fmt: skip


def _fully_connected(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    options = options_of(node, tflite.FullyConnectedOptions)
    if options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise ModelError("shuffled weights are not supported")
    weights = _weights(reading, node, 0, 2, moved=True)
    _dense(reading, node, "fully_connected", weights, fused(options.FusedActivationFunction()))


def _dense(
    reading: Reading, node: Node, word: str, weights: _Weights, activation: graph.Activation
) -> None:
    """A dense layer; over several positions it is a convolution of one tap."""
    source = reading.source(node)
    shape = reading.shape(source)
    filters, inputs = weights.values.shape
    count = math.prod(shape)
    if not inputs or count % inputs:
        raise ModelError(f"weights expect {inputs} inputs, not {list(shape)}")
    values, rest = weights.values, weights.rest
    if count == inputs:
        if rest is not None:
            source = reading.shaped(node, source, (inputs,))
            source, values = _channels_twice(reading, node, source, values, rest)
        reading.emit(
            node, graph.FullyConnected, word, (source,), (filters,),
            values, weights.bias, weights.scales, activation,
            per_channel=weights.per_channel, name=weights.layer,
        )  # fmt: skip
        return
    if len(shape) != 3 or shape[-1] != inputs:
        source = reading.shaped(node, source, (1, count // inputs, inputs))
    rows, columns, _ = reading.shape(source)
    if rest is not None:
        source, values = _channels_twice(reading, node, source, values, rest)
    reading.emit(
        node, graph.Convolution, word, (source,), (rows, columns, filters),
        values[:, None, None], weights.bias, weights.scales, activation,
        per_channel=weights.per_channel, name=weights.layer, float32_scales=True,
    )  # fmt: skip


def _batch_matmul(reading: Reading, node: Node) -> None:
    reading.needs(node, 2)
    options = options_of(node, tflite.BatchMatMulOptions)
    if not reading.is_static(node.inputs[1]):
        raise ModelError("multiplies two computed tensors; only constant weights are supported")
    if options.AdjX():
        raise ModelError("an input that is transposed first is not supported")
    dimensions = len(reading.raw[node.inputs[1]].shape)
    if dimensions < 2:
        raise ModelError("weights have fewer than two dimensions")
    weights = _weights(
        reading, node, dimensions - 1, dimensions, bias_position=len(node.inputs), moved=True
    )
    values = weights.values
    if math.prod(values.shape[:-2]) != 1:
        raise ModelError(f"weights have shape {list(values.shape)}: one matrix is supported")
    if len(reading.raw[node.inputs[1]].scales) != 1:
        raise ModelError("weights have a scale per filter, which TFLite has not")
    matrix, rest = (
        None if part is None else _by_filter(part, bool(options.AdjY()))
        for part in (values, weights.rest)
    )
    assert matrix is not None
    filters = len(matrix)
    scales = np.full(filters, weights.scales[0], np.float32)
    no_bias = np.zeros(filters, np.int32)
    dense = _Weights(matrix, no_bias, scales, per_channel=False, layer=weights.layer, rest=rest)
    _dense(reading, node, "batch_matmul", dense, "none")


def _by_filter(values: graph.Int8Array, transposed: bool) -> graph.Int8Array:
    """A matrix of weights as [filters, inputs]."""
    matrix = values.reshape(values.shape[-2:])
    return np.ascontiguousarray(matrix if transposed else matrix.T)


def _transposed_convolution(reading: Reading, node: Node) -> None:
    reading.needs(node, 3)
    if reading.is_legacy(node):
        raise ModelError("is not supported in uint8: convert the float network again, to int8")
    options = options_of(node, tflite.TransposeConvOptions)
    require_no_activation(getattr(options, "FusedActivationFunction", lambda: 0)())
    source, rows, columns, channels = reading.feature_map(node, 2)
    size = reading.integers(node, 0, "output shape").reshape(-1)
    weights = _weights(reading, node, 0, 4, bias_position=3)
    filters, k_rows, k_columns, seen = weights.values.shape
    if seen != channels or len(size) != 4 or size[0] != 1 or size[3] != filters:
        raise ModelError(
            f"weights {list(weights.values.shape)} do not turn {channels} channels into "
            f"{size.tolist()}"
        )
    target = (int(size[1]), int(size[2]))
    stride = (options.StrideH(), options.StrideW())
    same = options.Padding() == tflite.Padding.SAME
    window = (k_rows, k_columns)
    around = transposed_geometry((rows, columns), target, window, stride, same)
    shape = (target[0] + k_rows - 1, target[1] + k_columns - 1, channels)
    require_moderate_size(shape)
    spread = reading.like(source, shape, f"{reading.tensors[source].name}/spread")
    name = reading.name("spread", node)
    reading.append(graph.Spread, name, (source,), spread, stride, around)
    reading.emit(
        node, graph.Convolution, "conv", (spread,), (*target, filters),
        np.ascontiguousarray(weights.values[:, ::-1, ::-1]), weights.bias, weights.scales,
        per_channel=weights.per_channel, name=weights.layer,
    )  # fmt: skip


_CODES = tflite.BuiltinOperator

LAYERS: dict[int, Callable[[Reading, Node], None]] = {
    _CODES.CONV_2D: _convolution,
    _CODES.DEPTHWISE_CONV_2D: _depthwise,
    _CODES.FULLY_CONNECTED: _fully_connected,
    _CODES.BATCH_MATMUL: _batch_matmul,
    _CODES.TRANSPOSE_CONV: _transposed_convolution,
}
