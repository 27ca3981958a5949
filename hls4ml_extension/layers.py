# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The layers of an hls4ml graph that multiply, as axynq's layers: what plans are about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.hls4ml.fixed_point import Integers, integers

FULL = ("Dense", "Conv1D", "Conv2D", "Conv2DBatchnorm", "PointwiseConv1D", "PointwiseConv2D")
"""Class names of layers whose filters see all channels."""

DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")

CODES = "axynq_codes"
"""An attribute of layers with multipliers: :class:`axynq.emulator.plan.LayerCodes`."""

WEIGHTED = (*FULL, *DEPTHWISE)

SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
"""hls4ml makes two layers of :data:`WEIGHTED` of each of these."""

_OF_MAPS = ("Dot", "Einsum", "MatMul")
"""Class names of layers that multiply two maps."""


def transposed(node: Any) -> bool:
    """Whether the weights are [filters, rows, columns, channels] in memory, as the strategy
    ``resource`` wants them, and not [rows, columns, channels, filters]."""
    return bool(node.get_attr("_weights_transposed", False)) and node.class_name not in DEPTHWISE


def weight_integers(node: Any) -> Integers:
    """The weights as the design holds them, in units of the last bit of their type: int64 in the
    shape of the node's data."""
    weight = node.get_weights("weight")
    # As in the design: written with so many decimals, then read.
    texts = [weight.precision_fmt.format(value) for value in weight.data.reshape(-1)]
    return integers(np.array(texts, np.float64), weight.type.precision).reshape(weight.data.shape)


def kernel_shape(node: Any) -> tuple[int, int, int, int]:
    """[filters, rows, columns, channels of one filter]."""
    if node.class_name == "Dense":
        return int(node.get_attr("n_out")), 1, 1, int(node.get_attr("n_in"))
    rows, columns = int(node.get_attr("filt_height", 1)), int(node.get_attr("filt_width"))
    channels, filters = int(node.get_attr("n_chan")), int(node.get_attr("n_filt"))
    return filters, rows, columns, 1 if node.class_name in DEPTHWISE else channels


def kernel(node: Any) -> Integers:
    """The weights' integers, [filters, rows, columns, channels of one filter]."""
    filters, rows, columns, channels = kernel_shape(node)
    values = weight_integers(node).reshape(-1)
    if transposed(node):
        return values.reshape(filters, rows, columns, channels)
    if node.class_name in DEPTHWISE:
        return values.reshape(rows, columns, filters).transpose(2, 0, 1)[..., None]
    return values.reshape(rows, columns, channels, filters).transpose(3, 0, 1, 2)


def in_memory(node: Any, codes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """A number per weight, [filters, rows, columns, channels], in the order of the design's
    memory."""
    if transposed(node):
        return codes.reshape(-1)
    if node.class_name in DEPTHWISE:
        return codes[..., 0].transpose(1, 2, 0).reshape(-1)
    return codes.transpose(1, 2, 3, 0).reshape(-1)


def positions(node: Any) -> tuple[int, int]:
    """Rows and columns of the result."""
    if node.class_name == "Dense":
        return 1, 1
    return int(node.get_attr("out_height", 1)), int(node.get_attr("out_width"))


def weighted_nodes(model: Any) -> list[Any]:
    """The layers of an hls4ml ``ModelGraph`` that may have multipliers, in order."""
    return [node for node in model.get_layers() if node.class_name in WEIGHTED]


def others(model: Any) -> dict[str, str]:
    """By name, the layers of a design that sum up products and cannot have multipliers, and why."""
    return {node.name: cannot(node) for node in model.get_layers() if _is_other(node)}


def _is_other(node: Any) -> bool:
    if node.class_name in WEIGHTED:
        return False
    return node.class_name in _OF_MAPS or any("weight" in name for name in node.weights)


def cannot(node: Any) -> str:
    """Says that a layer's type has no place for multipliers."""
    return f"layer '{node.name}' is of the type {node.class_name}, which cannot have multipliers"


def as_network(nodes: Iterable[Any], name: str = "hls4ml") -> graph.Model:
    """Multiplying layers of a design as a network that plans can be made for.

    It has names, shapes and weights, and nothing that connects its layers: it cannot be computed.

    Args:
        nodes: of an hls4ml ``ModelGraph``, as of :func:`weighted_nodes`.
        name: of the network.

    Raises:
        ModelError: a layer's weights have more than 8 bits.
    """
    tensors: list[graph.Tensor] = []
    operators = []
    for node in nodes:
        shape = kernel_shape(node)
        channels = shape[0] if node.class_name in DEPTHWISE else shape[3]
        rows, columns = positions(node)
        tensors.append(graph.Tensor(f"{node.name} in", (rows, columns, channels), 1.0, 0))
        tensors.append(graph.Tensor(f"{node.name} out", (rows, columns, shape[0]), 1.0, 0))
        operators.append(as_layer(node, (len(tensors) - 2,), len(tensors) - 1))
    inputs = tuple(range(0, len(tensors), 2))
    outputs = tuple(range(1, len(tensors), 2))
    return graph.Model(name, tuple(tensors), tuple(operators), inputs, outputs)


def as_layer(node: Any, inputs: tuple[int, ...], output: int) -> graph.WeightedLayer:
    """One layer of :func:`as_network`."""
    values = kernel(node)
    if values.min(initial=0) < graph.INT8_MIN or values.max(initial=0) > graph.INT8_MAX:
        raise ModelError(
            f"layer '{node.name}': multipliers take weights of 8 bits, but these are "
            f"{node.get_weights('weight').type.precision}"
        )
    weights = values.astype(np.int8)
    filters = weights.shape[0]
    numbers = (np.zeros(filters, np.int32), np.ones(filters, np.float32))
    if node.class_name == "Dense":
        return graph.FullyConnected(node.name, inputs, output, weights[:, 0, 0, :], *numbers)
    if node.class_name in DEPTHWISE:
        return graph.DepthwiseConvolution(
            node.name, inputs, output, weights[..., 0].transpose(1, 2, 0), *numbers
        )
    return graph.Convolution(node.name, inputs, output, weights, *numbers)
