# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the host computes of a network, in numpy alone: operators between the starts of the core,
and layers that are too large for the array."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from axynq.emulator.engine import operators
from axynq.emulator.model import graph
from axynq.host.runtime.program import HostStage, Int8, Program

if TYPE_CHECKING:
    from axynq.emulator.engine.portable import PortableLayer

CHUNK_BYTES = 16 << 20
"""Working memory of an operator, roughly; it decides how many images are computed at once."""

BYTES_A_VALUE = 32
"""Of working memory: operators widen values to 64 bits."""


class HostOperators:
    """The operators of a program's host stages.

    Raises:
        MultiplierError: a layer's multiplier cannot be made here.
    """

    def __init__(self, program: Program) -> None:
        self.network = program.network
        self._layers = _layers(program)
        self.last_stage = _last_stages(program)
        """The last stage in which the host needs a tensor, by the tensors' homes."""

    def compute(self, op: graph.Operator, inputs: list[Int8]) -> Int8:
        """The output [images, *shape] of an operator; constants are given as one image."""
        images = max(map(len, inputs))
        tensors = [self.network.tensors[index] for index in (*op.inputs, op.output)]
        largest = max(math.prod(tensor.shape) for tensor in tensors)
        size = max(1, CHUNK_BYTES // (BYTES_A_VALUE * largest))
        # Weights and movements want all images; what pairs values broadcasts constants.
        if not isinstance(op, (graph.Add, graph.Elementwise)):
            inputs = [np.broadcast_to(x, (images, *x.shape[1:])) for x in inputs]
        given = [len(x) == images for x in inputs]
        found = [
            self._compute(
                op, [x[start : start + size] if own else x for x, own in zip(inputs, given)]
            )
            for start in range(0, images, size)
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _compute(self, op: graph.Operator, inputs: list[Int8]) -> Int8:
        if isinstance(op, graph.WeightedLayer):
            sums = self._layers[op.name].accumulate(inputs[0])
            return operators.requantise(self.network, op, sums)
        return operators.compute(self.network, op, inputs)


def _layers(program: Program) -> dict[str, PortableLayer]:
    if not program.assigned:
        return {}
    # Boards that run no layers themselves do without.
    from axynq.emulator.engine.portable import PortableLayer
    from axynq.emulator.multipliers import multiplier
    from axynq.emulator.plan import LayerCodes

    found = {}
    for op in program.host_operators:
        if isinstance(op, graph.WeightedLayer):
            held = program.assigned[op.name]
            codes = LayerCodes(tuple(map(multiplier, held.multipliers)), held.codes)
            found[op.name] = PortableLayer(program.network, op, codes)
    return found


def _last_stages(program: Program) -> dict[int, int]:
    last: dict[int, int] = {}
    for number, stage in enumerate(program.stages):
        if isinstance(stage, HostStage):
            for op in program.operators_of(stage):
                last.update({program.home_of(i): number for i in (*op.inputs, op.output)})
        else:
            last.update(dict.fromkeys(stage.packs, number))
    for index in program.network.outputs:
        last[program.home_of(index)] = len(program.stages)
    return last
