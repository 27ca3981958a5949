# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""An int8 network as the list of layers that hls4ml makes a design of.

A layer that multiplies is one of hls4ml's, with int32 accumulators, and a requantisation behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.quantisation import add_factors, layer_factors, mean_factor
from axynq.hls4ml.layer_writer import Constants, LayerList, LayerWriter, centred
from axynq.hls4ml.network_parts import parts

ACCUMULATOR, WEIGHT = "ap_int<32>", "ap_int<8>"


def layer_list(model: graph.Model, streams: bool) -> LayerList:
    """The layers of a network's design.

    Args:
        model: the network.
        streams: whether feature maps are streams of pixels (``io_stream``).

    Raises:
        ModelError: the network has several inputs or outputs, or an operator that cannot be in a
            design; the message names it.
    """
    writer = LayerWriter(model, streams)
    cut = parts(model)
    for op in cut.design:
        handler = _HANDLERS.get(type(op))
        if handler is None:
            raise writer.refusal(op, f"there is no layer for {type(op).__name__}")
        handler(writer, op)
    return writer.list


def _bounds(low: int, high: int) -> Constants:
    return {"low": low, "high": high}


def _factor(prefix: str, factor: FixedPoint) -> Constants:
    return {f"{prefix}multiplier": factor.multiplier, f"{prefix}shift": factor.shift}


# --- operators that multiply ---------------------------------------------------------------------


def _fully_connected(writer: LayerWriter, op: graph.FullyConnected) -> None:
    (source,) = writer.sources(op)
    tensor = writer.model.tensors[op.inputs[0]]
    filters, inputs = op.weights.shape
    if len(tensor.shape) > 1:
        name = f"{op.name}_flat"
        given = {"inputs": [source], "target_shape": [inputs]}
        source = writer.list.add("Reshape", name, {"result": centred(tensor)}, **given)
    geometry = {"n_in": inputs, "n_out": filters}
    _multiplying(writer, op, "Dense", source, "weight_data", op.weights.T, geometry)


def _convolution(writer: LayerWriter, op: graph.Convolution | graph.DepthwiseConvolution) -> None:
    (source,) = writer.sources(op)
    rows, columns, channels = writer.map_shape(op, op.inputs[0])
    out_rows, out_columns, filters = writer.map_shape(op, op.output)
    kernel = op.kernel
    _check_convolution(writer, op, channels, filters)
    p = op.padding
    geometry = {
        **{"in_height": rows, "in_width": columns, "n_chan": channels, "n_filt": filters},
        **{"filt_height": kernel.shape[1], "filt_width": kernel.shape[2]},
        **{"stride_height": op.stride[0], "stride_width": op.stride[1]},
        **{"pad_top": p.top, "pad_bottom": p.bottom, "pad_left": p.left, "pad_right": p.right},
        **{"out_height": out_rows, "out_width": out_columns},
        **{"data_format": "channels_last", "padding": "same" if any(p) else "valid"},
    }
    if isinstance(op, graph.DepthwiseConvolution) and channels > 1:
        values = kernel.transpose(1, 2, 0, 3)
        geometry["depth_multiplier"] = 1
        _multiplying(writer, op, "DepthwiseConv2D", source, "depthwise_data", values, geometry)
    else:
        values = kernel.transpose(1, 2, 3, 0)
        _multiplying(writer, op, "Conv2D", source, "weight_data", values, geometry)


def _check_convolution(
    writer: LayerWriter,
    op: graph.Convolution | graph.DepthwiseConvolution,
    channels: int,
    filters: int,
) -> None:
    """Refuses what hls4ml 1.3 computes wrongly or stops at, after it has compiled the design."""
    if op.dilation != (1, 1):
        raise writer.refusal(op, "hls4ml has no dilation in two dimensions")
    if isinstance(op, graph.DepthwiseConvolution) and channels not in (1, filters):
        raise writer.refusal(op, "hls4ml has only one filter for each channel of a depthwise one")
    rows, columns = op.kernel.shape[1:3]
    depthwise = isinstance(op, graph.DepthwiseConvolution) and channels > 1
    pointwise = rows == columns == 1 and not depthwise
    if writer.streams and rows == 1 and op.stride[0] > 1 and not pointwise:
        raise writer.refusal(op, "hls4ml's io_stream ignores the stride of kernels of one row")


def _multiplying(
    writer: LayerWriter,
    op: graph.WeightedLayer,
    class_name: str,
    source: str,
    weights_name: str,
    values: npt.NDArray[np.int8],
    geometry: Mapping[str, Any],
) -> None:
    """One of hls4ml's layers, and the requantisation of its accumulators."""
    precisions = {"weight": WEIGHT, "bias": ACCUMULATOR}
    precisions.update(accum=ACCUMULATOR, result=ACCUMULATOR)
    given = {
        "inputs": [source],
        weights_name: np.ascontiguousarray(values, np.float64),
        "bias_data": op.bias.astype(np.float64),
        "use_bias": True,
        **geometry,
    }
    accumulators = writer.list.add(class_name, op.name, precisions, **given)
    model = writer.model
    factors = layer_factors(model, op)
    constants = {
        **writer.pixels(op),
        **_bounds(*graph.activation_bounds(op.activation, model.tensors[op.output])),
        "multipliers": [factor.multiplier for factor in factors],
        "shifts": [factor.shift for factor in factors],
    }
    name = f"{op.name}_requantise"
    writer.own("AxynqRequantise", name, [accumulators], op, "Requantise", constants)


# --- the other operators -------------------------------------------------------------------------


def _add(writer: LayerWriter, op: graph.Add) -> None:
    first, second, output = add_factors(writer.model, op)
    bounds = graph.activation_bounds(op.activation, writer.model.tensors[op.output])
    constants = {
        **writer.pixels(op),
        **_bounds(*bounds),
        **_factor("first_", first),
        **_factor("second_", second),
        **_factor("", output),
    }
    writer.own("AxynqAdd", op.name, writer.sources(op), op, "Sum", constants)


def _pool(writer: LayerWriter, op: graph.Pool) -> None:
    bounds = graph.activation_bounds(op.activation, writer.model.tensors[op.output])
    operation = "AverageOfWindow" if op.kind == "average" else "MaximumOfWindow"
    rows, columns, _ = writer.map_shape(op, op.output)
    geometry = _geometry(
        writer, op, (rows, columns), op.window, op.stride, (op.padding.top, op.padding.left)
    )
    _window(writer, op, operation, {**geometry, **_bounds(*bounds)})


def _mean(writer: LayerWriter, op: graph.Mean) -> None:
    rows, columns, _ = writer.map_shape(op, op.inputs[0])
    geometry = _geometry(writer, op, (1, 1), (rows, columns), (1, 1), (0, 0))
    factor = _factor("", mean_factor(writer.model, op))
    bounds = _bounds(graph.INT8_MIN, graph.INT8_MAX)
    _window(writer, op, "MeanOfWindow", {**geometry, **bounds, **factor})


def _window(writer: LayerWriter, op: graph.Operator, operation: str, constants: Constants) -> None:
    writer.own("AxynqPool", op.name, writer.sources(op), op, operation, constants)


def _geometry(
    writer: LayerWriter,
    op: graph.Operator,
    outputs: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
) -> Constants:
    """Where windows lie: all pairs are of rows and columns, ``before`` the padding there."""
    rows, columns, channels = writer.map_shape(op, op.inputs[0])
    leaves = any(
        first > 0 or (count - 1) * step + extent - first > size
        for count, step, extent, first, size in zip(
            outputs, stride, window, before, (rows, columns)
        )
    )
    return {
        **{"in_height": rows, "in_width": columns, "n_chan": channels},
        **{"out_height": outputs[0], "out_width": outputs[1]},
        **{"window_height": window[0], "window_width": window[1]},
        **{"stride_height": stride[0], "stride_width": stride[1]},
        **{"pad_top": before[0], "pad_left": before[1], "leaves_map": int(leaves)},
    }


def _lookup(writer: LayerWriter, op: graph.Lookup) -> None:
    source, target = (writer.model.tensors[index] for index in (op.inputs[0], op.output))
    table = lookup_table(writer.model, op).astype(np.int64) - target.zero_point
    constants = {
        **writer.pixels(op),
        "input_zero_point": source.zero_point,
        "table": [int(value) for value in table],
    }
    writer.own("AxynqLookup", op.name, writer.sources(op), op, "Lookup", constants)


def _pad(writer: LayerWriter, op: graph.Pad) -> None:
    rows, columns, channels = writer.map_shape(op, op.inputs[0])
    out_rows, out_columns, _ = writer.map_shape(op, op.output)
    p = op.padding
    given = {
        **{"in_height": rows, "in_width": columns, "n_chan": channels},
        **{"out_height": out_rows, "out_width": out_columns},
        **{"pad_top": p.top, "pad_bottom": p.bottom, "pad_left": p.left, "pad_right": p.right},
        "data_format": "channels_last",
    }
    writer.moved("ZeroPadding2D", op, given)


def _reshape(writer: LayerWriter, op: graph.Reshape) -> None:
    shape = list(writer.model.tensors[op.output].shape)
    # hls4ml leaves the words of a stream as they are when it flattens a map, which its own dense
    # layers know alone.
    consumers = list(writer.model.consumers(op.output))
    dense = len(consumers) == 1 and isinstance(consumers[0], graph.FullyConnected)
    class_name = "Repack" if writer.streams and not (dense and len(shape) == 1) else "Reshape"
    writer.moved(class_name, op, {"target_shape": shape})


_HANDLERS: dict[type[graph.Operator], Callable[[LayerWriter, Any], None]] = {
    graph.Convolution: _convolution,
    graph.DepthwiseConvolution: _convolution,
    graph.FullyConnected: _fully_connected,
    graph.Add: _add,
    graph.Pool: _pool,
    graph.Mean: _mean,
    graph.Lookup: _lookup,
    graph.Pad: _pad,
    graph.Reshape: _reshape,
}
