# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Convolutions and fully connected layers of an int8 ONNX network."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.onnx_drawing import Flat, Held
from axynq.emulator.file_formats.onnx_file import Array, Node
from axynq.emulator.file_formats.onnx_reading import Reading, within_int8
from axynq.emulator.file_formats.onnx_values import Fixed, Pending, Value
from axynq.emulator.file_formats.onnx_windows import Window, transposed_window, window_of
from axynq.emulator.model import graph
from axynq.emulator.model.graph import Activation, Padding, Quantisation


class Weights(NamedTuple):
    """A layer's numbers."""

    values: graph.Int8Array
    """Filters first."""
    scales: graph.Float32Array
    """[filters]."""
    per_channel: bool

    def of(self, filters: slice) -> Weights:
        """Those of some filters."""
        return Weights(self.values[filters], self.scales[filters], self.per_channel)


def weights_of(value: Value, filter_axis: int) -> Weights:
    """A layer's weights, its filters brought to the front.

    Raises:
        ModelError: they are no constants, not quantised, or not to int8 without a zero point.
    """
    value = _fixed(value)
    if not within_int8(value.values):
        raise ModelError(
            "its weights have a zero point and do not fit int8 without it: quantise them "
            "symmetrically (extra_options={'WeightSymmetric': True} of onnxruntime)"
        )
    filters = value.shape[filter_axis]
    if value.scales.size not in (1, filters) or (
        value.scales.size > 1 and value.axis != filter_axis
    ):
        raise ModelError("its weights have scales along another axis than their filters'")
    values = np.moveaxis(value.values, filter_axis, 0).astype(np.int8)
    scales = np.broadcast_to(value.scales, (filters,)).copy()
    return Weights(np.ascontiguousarray(values), scales, value.scales.size == filters)


def _fixed(weights: Value) -> Fixed:
    if isinstance(weights, np.ndarray):
        raise ModelError("its weights are not quantised: a DequantizeLinear before them is missing")
    if not isinstance(weights, Fixed):
        raise ModelError("its weights are computed; only constant ones are supported")
    return weights


def _one_for_each(terms: Fixed | Array, behind: int, filters: int) -> Fixed | Array | None:
    """Numbers that are added to a layer's result as its bias, one for each filter or for all; the
    result has ``behind`` axes after the filters'. None where they differ along another axis."""
    size = math.prod(terms.shape)
    along = len(terms.shape) > behind and terms.shape[-1 - behind] == filters == size
    if size != 1 and not along:
        return None
    if isinstance(terms, Fixed):
        return replace(terms, values=terms.values.reshape(-1), axis=0)
    return terms.reshape(-1)


def bias_of(value: Value | None, scales: Array, filters: int) -> graph.Int32Array:
    """A layer's bias in units of its accumulators, whose real values are ``scales``; [filters]."""
    if value is None:
        return np.zeros(filters, np.int32)
    values: Array
    if isinstance(value, Fixed):
        shape, values = value.shape, value.values.reshape(-1)
        given = np.broadcast_to(value.scales.astype(np.float64), (max(len(values), 1),))
    elif isinstance(value, np.ndarray):
        shape, values, given = value.shape, value.astype(np.float64).reshape(-1), np.ones(1)
    else:
        raise ModelError("its bias is computed; only a constant one is supported")
    if math.prod(shape) not in (1, filters) or (shape and shape[-1] != math.prod(shape)):
        raise ModelError(f"has a bias of shape {list(shape)} for {filters} filters")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factors = given / scales
        # What a file of ONNX's own quantiser has is in these units but for the last bit.
        factors = np.where(np.abs(factors - 1) < 1e-5, 1.0, factors)
        units = np.rint(np.broadcast_to(values * factors, (filters,)))
    if not (np.abs(units) < 2**31).all():
        raise ModelError("has a bias that does not fit 32 bits in units of its accumulator")
    return units.astype(np.int32)


# --- convolutions --------------------------------------------------------------------------------


def convolution(
    reading: Reading, node: Node, x: Value, weights: Value, bias: Value | None
) -> Pending:
    """A Conv of any number of groups, of maps or of sequences."""
    source = reading.drawing.channels_last(reading.held(x))
    numbers = weights_of(weights, 0)
    numbers = numbers._replace(values=_as_maps(numbers.values))
    filters, channels = numbers.values.shape[:2]
    groups = int(node.attribute("group", 1))
    _check_groups(source.shape[1], channels * groups, filters, groups)
    window = window_of(node, source.shape[1:], numbers.values.shape[2:])
    sequence = len(x.shape) == 3
    shape = _result_shape(filters, window.size, sequence)

    def made(bias: Value | None) -> Pending:
        units = _units(reading, source, numbers)
        layer = _Layer(reading, node, source, numbers, bias_of(bias, units, filters), window)

        def emit(quantisation: Quantisation, activation: Activation) -> Held:
            return layer.drawn(groups, quantisation, activation, shape)

        return Pending(node, shape, emit, fuses=True, with_bias=added if bias is None else None)

    def added(terms: Fixed | Array) -> Pending | None:
        one_each = _one_for_each(terms, len(shape) - 2, filters)
        return None if one_each is None else made(one_each)

    return made(bias)


def transposed_convolution(
    reading: Reading, node: Node, x: Value, weights: Value, bias: Value | None
) -> Pending:
    """A ConvTranspose: zeros between rows and columns, then a convolution with a turned kernel."""
    source = reading.drawing.channels_last(reading.held(x))
    groups = int(node.attribute("group", 1))
    numbers, filters = _turned(weights, groups)
    _check_groups(source.shape[1], numbers.values.shape[1] * groups, filters, groups)
    sequence = len(x.shape) == 3
    stride, size, padding, dilation = transposed_window(
        node, source.shape[2:], numbers.values.shape[2:]
    )
    drawing = reading.drawing
    rows, columns, channels = source.stored
    spread_shape = (
        (rows - 1) * stride[0] + 1 + padding.top + padding.bottom,
        (columns - 1) * stride[1] + 1 + padding.left + padding.right,
    )
    spread = drawing.moved(
        graph.Spread, "spread", [source.tensor], (*spread_shape, channels),
        stride=stride, padding=padding,
    )  # fmt: skip
    source = replace(source, tensor=spread, shape=(1, channels, *spread_shape))
    units = _units(reading, source, numbers)
    window = Window(size, (1, 1), dilation, Padding())
    layer = _Layer(reading, node, source, numbers, bias_of(bias, units, filters), window)
    shape = _result_shape(filters, size, sequence)

    def emit(quantisation: Quantisation, activation: Activation) -> Held:
        return layer.drawn(groups, quantisation, activation, shape)

    return Pending(node, shape, emit, fuses=True)


def _turned(weights: Value, groups: int) -> tuple[Weights, int]:
    """Weights [channels, filters of a group, rows, columns] of a transposed convolution as those of
    a convolution, [filters, channels of a group, rows, columns], and how many filters there are."""
    weights = _fixed(weights)
    per_filter = weights.scales.size > 1
    if per_filter and (weights.axis != 1 or groups != 1):
        raise ModelError("its weights have scales along another axis than their filters'")
    channels, of_a_group = weights.shape[:2]
    if channels % groups:
        raise ModelError(f"has {channels} channels in {groups} groups")
    values = weights.values.reshape(groups, channels // groups, of_a_group, *weights.shape[2:])
    filters = groups * of_a_group
    values = np.swapaxes(values, 1, 2).reshape(filters, channels // groups, *weights.shape[2:])
    values = np.flip(values, tuple(range(2, values.ndim)))
    turned = replace(weights, values=values, axis=0)
    numbers = weights_of(turned, 0)
    return numbers._replace(values=_as_maps(numbers.values)), filters


def _result_shape(filters: int, size: tuple[int, int], sequence: bool) -> tuple[int, ...]:
    return (1, filters, size[1]) if sequence else (1, filters, *size)


def _as_maps(values: graph.Int8Array) -> graph.Int8Array:
    """Kernels of sequences as those of maps of one row."""
    if values.ndim == 3:
        return values[:, :, None, :]
    if values.ndim != 4:
        raise ModelError(f"has weights of shape {list(values.shape)}; maps have rows and columns")
    return values


def _check_groups(given: int, expected: int, filters: int, groups: int) -> None:
    if groups < 1 or given != expected or filters % groups or not filters:
        raise ModelError(
            f"has {filters} filters of {expected} channels in {groups} groups for an input of "
            f"{given} channels"
        )


def _units(reading: Reading, source: Held, numbers: Weights) -> Array:
    return reading.quantisation(source).scale * numbers.scales.astype(np.float64)


class _Layer(NamedTuple):
    """A convolution to be drawn."""

    reading: Reading
    node: Node
    source: Held
    numbers: Weights
    bias: graph.Int32Array
    window: Window

    def drawn(
        self,
        groups: int,
        quantisation: Quantisation,
        activation: Activation,
        shape: tuple[int, ...],
    ) -> Held:
        """The layer as one operator, or as one for each group."""
        drawing = self.reading.drawing
        channels, filters = self.source.shape[1], len(self.bias)
        size = self.window.size
        name = self.node.outputs[0]
        result = Held(-1, (1, filters, *size), (2, 3, 1))
        if groups == 1 or (groups == channels and self.numbers.values.shape[1] == 1):
            output = self.reading.tensor(name, (*size, filters), quantisation)
            self._one(
                groups > 1, self.source.tensor, self.numbers, self.bias, output, activation, ""
            )
            return drawing.like(replace(result, tensor=output), shape)
        parts = []
        rows, columns = self.source.stored[:2]
        inside, outside = channels // groups, filters // groups
        number = len(drawing.operators)
        for group in range(groups):
            part = drawing.moved(
                graph.Slice, "slice", [self.source.tensor], (rows, columns, inside),
                begin=(0, 0, group * inside), stride=(1, 1, 1),
            )  # fmt: skip
            output = self.reading.tensor(f"{name}/{group}", (*size, outside), quantisation)
            own = slice(group * outside, (group + 1) * outside)
            named = (number, f"_group_{group}")
            self._one(False, part, self.numbers.of(own), self.bias[own], output, activation, named)
            parts.append(output)
        together = self.reading.tensor(name, (*size, filters), quantisation)
        drawing.append(graph.Concatenation, "concatenation", parts, together, axis=2)
        return drawing.like(replace(result, tensor=together), shape)

    def _one(
        self,
        depthwise: bool,
        source: int,
        numbers: Weights,
        bias: graph.Int32Array,
        output: int,
        activation: Activation,
        named: Any,
    ) -> None:
        drawing = self.reading.drawing
        kind: type[graph.WeightedLayer] = graph.Convolution
        weights, prefix = numbers.values.transpose(0, 2, 3, 1), "conv"
        if depthwise:
            kind, prefix = graph.DepthwiseConvolution, "depthwise"
            weights = numbers.values[:, 0].transpose(1, 2, 0)
        number, suffix = named or (len(drawing.operators), "")
        window = self.window
        fields: dict[str, Any] = {
            "stride": window.stride, "dilation": window.dilation, "padding": window.padding,
        }  # fmt: skip
        drawing.operators.append(
            kind(
                f"{prefix}_{number}{suffix}", (source,), output, np.ascontiguousarray(weights),
                bias, numbers.scales, activation, per_channel=numbers.per_channel, **fields,
            )
        )  # fmt: skip


# --- fully connected -----------------------------------------------------------------------------


def dense(
    reading: Reading, node: Node, x: Value, weights: Value, filter_axis: int, bias: Value | None
) -> Pending:
    """``x`` [..., inputs] times weights of two dimensions."""
    if isinstance(x, (Fixed, np.ndarray)):
        raise ModelError("multiplies a constant by a computed matrix, which is not supported")
    if not isinstance(weights, (Fixed, np.ndarray)):
        raise ModelError(
            "multiplies two computed matrices; only a product with constant weights is supported"
        )
    if len(weights.shape) != 2:
        raise ModelError(f"has weights of shape {list(weights.shape)}; two dimensions are needed")
    numbers = weights_of(weights, filter_axis)
    filters, inputs = numbers.values.shape
    source = reading.movable(x, integers=False)
    if source.shape[-1] != inputs:
        raise ModelError(f"its weights expect {inputs} inputs, not {list(source.shape)}")
    shape = (*source.shape[:-1], filters)
    if isinstance(source, Flat):
        numbers = numbers._replace(values=_as_stored(numbers.values, source.base))
        base = source.base
    else:
        base = source = _inputs_last(reading, source)

    def made(bias: Value | None) -> Pending:
        units = _units(reading, base, numbers)
        constants = bias_of(bias, units, filters)

        def emit(quantisation: Quantisation, activation: Activation) -> Held:
            return _dense_drawn(reading, node, source, numbers, constants, quantisation, activation)

        return Pending(node, shape, emit, fuses=True, with_bias=added if bias is None else None)

    def added(terms: Fixed | Array) -> Pending | None:
        one_each = _one_for_each(terms, 0, filters)
        return None if one_each is None else made(one_each)

    return made(bias)


def _as_stored(values: graph.Int8Array, base: Held) -> graph.Int8Array:
    """Weights for the values of a map as it is stored, in place of ONNX's order."""
    straight = tuple(sorted(base.order))
    sizes = [base.shape[axis] for axis in straight]
    moved = values.reshape(len(values), *sizes)
    moved = moved.transpose(0, *(1 + straight.index(axis) for axis in base.order))
    return np.ascontiguousarray(moved.reshape(len(values), -1))


def _inputs_last(reading: Reading, source: Held) -> Held:
    last = len(source.shape) - 1
    if source.order[-1:] == (last,):
        return source
    return reading.drawing.in_order(source, (*(a for a in source.order if a != last), last))


def _dense_drawn(
    reading: Reading,
    node: Node,
    source: Held | Flat,
    numbers: Weights,
    bias: graph.Int32Array,
    quantisation: Quantisation,
    activation: Activation,
) -> Held:
    """A FullyConnected, or at several positions a Convolution of one tap."""
    drawing, name = reading.drawing, node.outputs[0]
    filters = len(bias)
    base = source.base if isinstance(source, Flat) else source
    shape = (*source.shape[:-1], filters)
    positions = 1 if isinstance(source, Flat) else math.prod(source.stored[:-1])
    if positions == 1:
        output = reading.tensor(name, (filters,), quantisation)
        drawing.append(
            graph.FullyConnected, "fully_connected", [base.tensor], output, numbers.values, bias,
            numbers.scales, activation, per_channel=numbers.per_channel,
        )  # fmt: skip
        result = drawing.reshaped(Held(output, (1, filters), (1,)), shape)
        return drawing.settled(result)
    assert isinstance(source, Held)
    stored = source.stored
    tensor, rows = source.tensor, (1, positions, stored[-1])
    if len(stored) == 3:
        rows = (stored[0], stored[1], stored[2])
    else:
        tensor = drawing.moved(graph.Reshape, "reshape", [tensor], rows)
    output = reading.tensor(name, (*rows[:2], filters), quantisation)
    kernel = numbers.values[:, None, None, :]
    drawing.append(
        graph.Convolution, "conv", [tensor], output, kernel, bias, numbers.scales, activation,
        per_channel=numbers.per_channel, float32_scales=True,
    )  # fmt: skip
    wanted = (*stored[:-1], filters)
    if wanted != (*rows[:2], filters):
        output = drawing.moved(graph.Reshape, "reshape", [output], wanted)
    return Held(output, shape, source.order)
