"""An int8 network as the list of layers that hls4ml makes a design of.

Every tensor holds centred values, ``q - zero point``. A layer that multiplies is one of hls4ml's,
with int32 accumulators, and a requantisation behind it. hls4ml is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.model.fixed_point import FixedPoint
from axynq.emulator.model.lookups import lookup_table
from axynq.emulator.model.quantisation import add_factors, layer_factors, mean_factor

INPUT = "network_input"
"""The design's input. hls4ml reserves ``input``, and files have names that C++ has not."""

ACCUMULATOR, WEIGHT = "ap_int<32>", "ap_int<8>"

Constants = Mapping[str, int | list[int]]
"""Of an operator's configuration in C++."""


def centred(tensor: graph.Tensor) -> str:
    """The smallest type that holds a tensor's centred values."""
    if tensor.zero_point == graph.INT8_MIN:
        return "ap_uint<8>"
    return "ap_int<8>" if tensor.zero_point == 0 else "ap_int<9>"


@dataclass
class LayerList:
    """What hls4ml is given."""

    layers: list[dict[str, Any]] = field(default_factory=list)
    precisions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of each layer, by what has them: result, weight, bias, accum."""

    def add(self, class_name: str, name: str, precisions: Mapping[str, str], **given: Any) -> str:
        """One more layer; its name."""
        self.layers.append({"class_name": class_name, "name": name, **given})
        self.precisions[name] = dict(precisions)
        return name


@dataclass(frozen=True)
class Parts:
    """A network, cut where the host goes on."""

    design: tuple[graph.Operator, ...]
    host: tuple[graph.Operator, ...]
    """What the host computes of the design's output, in order."""
    output: int
    """The tensor that the design gives."""


def parts(model: graph.Model) -> Parts:
    """Which operators of a network are the design's, and which the host's: a softmax at the end.

    Raises:
        ModelError: the network has several inputs or outputs, or no operator for the design.
    """
    index = model.output_index
    host: list[graph.Operator] = []
    while isinstance(op := model.maker(index), (graph.Softmax, graph.LogSoftmax, graph.Reshape)):
        host.insert(0, op)
        index = op.inputs[0]
    needed = {index}
    design: list[graph.Operator] = []
    for op in reversed(model.operators):
        if op.output in needed:
            needed.update(op.inputs)
            design.insert(0, op)
    if not design or model.input_index not in needed:
        raise ModelError(f"model '{model.name}' has no operators for an hls4ml design")
    return Parts(tuple(design), tuple(host), index)


def layer_list(model: graph.Model, streams: bool) -> LayerList:
    """The layers of a network's design.

    Args:
        model: the network.
        streams: whether feature maps are streams of pixels (``io_stream``).

    Raises:
        ModelError: the network has several inputs or outputs, or an operator that cannot be in a
            design; the message names it.
    """
    writer = _Writer(model, streams)
    cut = parts(model)
    for op in cut.design:
        handler = _HANDLERS.get(type(op))
        if handler is None:
            raise writer.refusal(op, f"there is no layer for {type(op).__name__}")
        handler(writer, op)
    return writer.list


class _Writer:
    """Adds layers operator by operator."""

    def __init__(self, model: graph.Model, streams: bool) -> None:
        self.model, self.streams = model, streams
        self.list = LayerList()
        shape = list(model.input.shape)
        given = {"input_shape": shape, "data_format": "channels_last"}
        name = self.list.add("InputLayer", INPUT, {"result": centred(model.input)}, **given)
        self.named = {model.input_index: name}
        """The layer that gives each tensor."""

    def refusal(self, op: graph.Operator, reason: str) -> ModelError:
        """The error that says why an operator cannot be in the design."""
        return ModelError(
            f"operator '{op.name}' of model '{self.model.name}' cannot be in an hls4ml design: "
            f"{reason}"
        )

    def sources(self, op: graph.Operator) -> list[str]:
        """The layers whose outputs an operator takes."""
        constants = [index for index in op.inputs if index in self.model.constants]
        if constants:
            raise self.refusal(op, "it takes a constant")
        return [self.named[index] for index in op.inputs]

    def map_shape(self, op: graph.Operator, index: int) -> tuple[int, int, int]:
        """Rows, columns and channels of a tensor."""
        shape = self.model.tensors[index].shape
        if len(shape) != 3:
            raise self.refusal(op, f"its feature map is {list(shape)}, not rows, columns, channels")
        rows, columns, channels = shape
        return rows, columns, channels

    def own(
        self,
        class_name: str,
        name: str,
        inputs: list[str],
        op: graph.Operator,
        operation: str,
        constants: Constants,
    ) -> None:
        """A layer of :mod:`axynq.hls4ml.network_layers`, which gives the output of ``op``."""
        target = self.model.tensors[op.output]
        given = {
            "inputs": inputs,
            "output_shape": list(target.shape),
            "operation": operation,
            "constants": {"zero_point": target.zero_point, **constants},
        }
        self.named[op.output] = self.list.add(
            class_name, name, {"result": centred(target)}, **given
        )

    def moved(self, class_name: str, op: graph.Operator, given: Mapping[str, Any]) -> None:
        """One of hls4ml's layers that gives values as they are."""
        inputs = self.sources(op)
        precisions = {"result": centred(self.model.tensors[op.output])}
        name = self.list.add(class_name, op.name, precisions, inputs=inputs, **given)
        self.named[op.output] = name

    def pixels(self, op: graph.Operator) -> Constants:
        """The size of an operator's output."""
        shape = self.model.tensors[op.output].shape
        return {"n_pixels": math.prod(shape[:-1]), "n_chan": shape[-1]}


def _bounds(low: int, high: int) -> Constants:
    return {"low": low, "high": high}


def _factor(prefix: str, factor: FixedPoint) -> Constants:
    return {f"{prefix}multiplier": factor.multiplier, f"{prefix}shift": factor.shift}


# --- operators that multiply ---------------------------------------------------------------------


def _fully_connected(writer: _Writer, op: graph.FullyConnected) -> None:
    (source,) = writer.sources(op)
    tensor = writer.model.tensors[op.inputs[0]]
    filters, inputs = op.weights.shape
    if len(tensor.shape) > 1:
        name = f"{op.name}_flat"
        given = {"inputs": [source], "target_shape": [inputs]}
        source = writer.list.add("Reshape", name, {"result": centred(tensor)}, **given)
    geometry = {"n_in": inputs, "n_out": filters}
    _multiplying(writer, op, "Dense", source, "weight_data", op.weights.T, geometry)


def _convolution(writer: _Writer, op: graph.Convolution | graph.DepthwiseConvolution) -> None:
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
    writer: _Writer,
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
    writer: _Writer,
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


def _add(writer: _Writer, op: graph.Add) -> None:
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


def _pool(writer: _Writer, op: graph.Pool) -> None:
    bounds = graph.activation_bounds(op.activation, writer.model.tensors[op.output])
    operation = "AverageOfWindow" if op.kind == "average" else "MaximumOfWindow"
    rows, columns, _ = writer.map_shape(op, op.output)
    geometry = _geometry(
        writer, op, (rows, columns), op.window, op.stride, (op.padding.top, op.padding.left)
    )
    _window(writer, op, operation, {**geometry, **_bounds(*bounds)})


def _mean(writer: _Writer, op: graph.Mean) -> None:
    rows, columns, _ = writer.map_shape(op, op.inputs[0])
    geometry = _geometry(writer, op, (1, 1), (rows, columns), (1, 1), (0, 0))
    factor = _factor("", mean_factor(writer.model, op))
    bounds = _bounds(graph.INT8_MIN, graph.INT8_MAX)
    _window(writer, op, "MeanOfWindow", {**geometry, **bounds, **factor})


def _window(writer: _Writer, op: graph.Operator, operation: str, constants: Constants) -> None:
    writer.own("AxynqPool", op.name, writer.sources(op), op, operation, constants)


def _geometry(
    writer: _Writer,
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


def _lookup(writer: _Writer, op: graph.Lookup) -> None:
    source, target = (writer.model.tensors[index] for index in (op.inputs[0], op.output))
    table = lookup_table(writer.model, op).astype(np.int64) - target.zero_point
    constants = {
        **writer.pixels(op),
        "input_zero_point": source.zero_point,
        "table": [int(value) for value in table],
    }
    writer.own("AxynqLookup", op.name, writer.sources(op), op, "Lookup", constants)


def _pad(writer: _Writer, op: graph.Pad) -> None:
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


def _reshape(writer: _Writer, op: graph.Reshape) -> None:
    shape = list(writer.model.tensors[op.output].shape)
    # hls4ml leaves the words of a stream as they are when it flattens a map, which its own dense
    # layers know alone.
    consumers = list(writer.model.consumers(op.output))
    dense = len(consumers) == 1 and isinstance(consumers[0], graph.FullyConnected)
    class_name = "Repack" if writer.streams and not (dense and len(shape) == 1) else "Reshape"
    writer.moved(class_name, op, {"target_shape": shape})


_HANDLERS: dict[type[graph.Operator], Callable[[_Writer, Any], None]] = {
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
