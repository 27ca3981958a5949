# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Programs on anything that can play the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from axynq.emulator.model import graph
from axynq.host import Program
from axynq.host.runtime.execution import Execution
from axynq.host.runtime.host_operators import HostOperators

Core = Callable[[graph.Int8Array, graph.Int8Array, int], None]
"""Of the commands, the memory of feature maps, and how many images are there."""


class Memory:
    """Of feature maps, full of garbage at first."""

    def __init__(self, size: int) -> None:
        self.bytes = np.full(size, 0x5A, np.int8)

    def write(self, start: int, values: graph.Int8Array) -> None:
        self.bytes[start : start + values.size] = values

    def read(self, start: int, size: int) -> graph.Int8Array:
        return self.bytes[start : start + size].copy()


def execute(
    program: Program, inputs: Sequence[graph.Int8Array], core: Core
) -> tuple[graph.Int8Array, ...]:
    """All outputs."""
    images = len(inputs[0])
    memory = Memory(images * program.arena_words * program.word_bytes)
    execution = Execution(program, HostOperators(program), inputs, memory)
    for stage in execution.steps():
        core(program.memory[stage.commands :].view(np.int8), memory.bytes, images)
    return execution.outputs
