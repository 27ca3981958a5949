# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the host does for a program: how much, and what crosses between it and the accelerator.

An estimate: operations are counted by kind of operator, not measured; a processor's time depends on
its memory and on numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from axynq.emulator.model import graph
from axynq.host.runtime.program import HostStage, Program

OPERATIONS_A_VALUE: tuple[tuple[type[graph.Operator], int], ...] = (
    (graph.Reshape, 1),
    (graph.Movement, 1),
    (graph.Pad, 1),
    (graph.Lookup, 2),
    (graph.Softmax, 100),
    (graph.LogSoftmax, 100),
    (graph.ResizeBilinear, 20),
    (graph.L2Normalisation, 20),
)
"""Operations for each value that is written: passes over the values, roughly."""

OTHER_OPERATIONS = 12
"""Of operators that rescale values: shift, product, rounding, clamp."""


class HostOperator(NamedTuple):
    """An operator that the host computes, for an image."""

    name: str
    reason: str
    operations: int
    bytes_in: int
    """Of its inputs that it copies from the memory of feature maps."""


class StageCost(NamedTuple):
    """A stage of a program, for an image."""

    on_host: bool
    names: tuple[str, ...]
    """Of the accelerator's layers, or of the host's operators."""
    operators: tuple[HostOperator, ...]
    bytes_packed: int
    """What the host copies to the memory of feature maps before the core is started."""

    @property
    def operations(self) -> int:
        """Of the host, an estimate."""
        return sum(op.operations for op in self.operators)

    @property
    def bytes_moved(self) -> int:
        """Between the host and the memory of feature maps, to either side."""
        return self.bytes_packed + sum(op.bytes_in for op in self.operators)


def stage_costs(program: Program) -> list[StageCost]:
    """The stages of a program in order."""
    held = {program.home_of(index) for index in program.network.inputs}
    return list(_stage_costs(program, held))


def _stage_costs(program: Program, held: set[int]) -> Iterator[StageCost]:
    for stage in program.stages:
        if isinstance(stage, HostStage):
            found = [_operator(program, op, held) for op in program.operators_of(stage)]
            yield StageCost(True, tuple(op.name for op in found), tuple(found), 0)
        else:
            size = sum(_bytes(program, home) for home in stage.packs)
            yield StageCost(False, program.layers_of(stage), (), size)


def _operator(program: Program, op: graph.Operator, held: set[int]) -> HostOperator:
    """An operator; ``held`` are the tensors that the host has, by their homes."""
    network = program.network
    fetched = {
        program.home_of(index) for index in op.inputs if index not in network.constants
    } - held
    held |= {*fetched, program.home_of(op.output)}
    return HostOperator(
        op.name,
        program.reasons[op.name],
        _operations(network, op),
        sum(_bytes(program, home) for home in fetched),
    )


def _bytes(program: Program, home: int) -> int:
    return program.places[home].image_words * program.word_bytes


def _operations(network: graph.Model, op: graph.Operator) -> int:
    values = math.prod(network.tensors[op.output].shape)
    if isinstance(op, graph.WeightedLayer):
        return network.multiplications(op)
    if isinstance(op, graph.Pool):
        return values * math.prod(op.window)
    if isinstance(op, (graph.Mean, graph.Reduce)):
        return math.prod(network.tensors[op.inputs[0]].shape) + values * OTHER_OPERATIONS
    factor = next((n for kind, n in OPERATIONS_A_VALUE if isinstance(op, kind)), OTHER_OPERATIONS)
    return values * factor
