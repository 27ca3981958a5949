# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which operators of a network are in its design, and which the host computes."""

from __future__ import annotations

from dataclasses import dataclass

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph


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
