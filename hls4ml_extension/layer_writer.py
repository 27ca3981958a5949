# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Layers as hls4ml is given them, added one by one.

Every tensor holds centred values, ``q - zero point``. hls4ml is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph

INPUT = "network_input"
"""The design's input. hls4ml reserves ``input``, and files have names that C++ has not."""

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


class LayerWriter:
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
