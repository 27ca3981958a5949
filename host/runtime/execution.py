# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A batch on its way through a program: what the host does before, between and behind the starts of
the core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from axynq.host.runtime.host_operators import HostOperators
from axynq.host.runtime.program import CoreStage, Int8, Program, TensorPlace


class Maps(Protocol):
    """The memory of a batch's feature maps."""

    def write(self, start: int, values: Int8) -> None:
        """Put bytes there, so that the core sees them."""

    def read(self, start: int, size: int) -> Int8:
        """Bytes as the core left them; a copy."""


class Execution:
    """A batch. :meth:`steps` goes through the program; then :attr:`outputs` are there.

    Args:
        program: what runs.
        host: computes the host's operators.
        inputs: int8 [images, *shape] each.
        maps: memory for as many images.
    """

    def __init__(
        self, program: Program, host: HostOperators, inputs: Sequence[Int8], maps: Maps
    ) -> None:
        self.program = program
        self.images = len(inputs[0])
        self.outputs: tuple[Int8, ...] = ()
        self._host = host
        self._maps = maps
        self._values = {
            program.home_of(index): x for index, x in zip(program.network.inputs, inputs)
        }
        """Of tensors that the host holds, by their homes."""

    def steps(self) -> Iterator[CoreStage]:
        """Does what the host has to do before the core is started, and gives the stage that it is
        started for; to be asked again when the core has finished."""
        program = self.program
        for number, stage in enumerate(program.stages):
            if isinstance(stage, CoreStage):
                for index in stage.packs:
                    self._pack(index)
                yield stage
            else:
                for op in program.operators_of(stage):
                    inputs = [self._value(index) for index in op.inputs]
                    y = self._host.compute(op, inputs)
                    self._values[program.home_of(op.output)] = self._of_all(y)
            self._forget(number)
        self.outputs = tuple(
            np.ascontiguousarray(self._of_all(self._value(index)))
            for index in program.network.outputs
        )

    def _value(self, index: int) -> Int8:
        """A tensor, [images, *shape]; of a constant one image."""
        program = self.program
        if index in program.network.constants:
            return program.network.constants[index][None]
        home = program.home_of(index)
        if home not in self._values:
            self._values[home] = self._unpack(program.place_of(index))
        shape = program.network.tensors[index].shape
        return self._values[home].reshape(self.images, *shape)

    def _of_all(self, values: Int8) -> Int8:
        """What is the same for all images, for each of them."""
        return np.broadcast_to(values, (self.images, *values.shape[1:]))

    def _pack(self, home: int) -> None:
        place, word = self.program.places[home], self.program.word_bytes
        packed = place.pack(self._values[home], word)
        self._maps.write(self.images * place.offset * word, packed.reshape(-1))

    def _unpack(self, place: TensorPlace) -> Int8:
        word = self.program.word_bytes
        size = self.images * place.image_words * word
        raw = self._maps.read(self.images * place.offset * word, size)
        return place.unpack(raw.reshape(self.images, -1))

    def _forget(self, stage: int) -> None:
        """What the host needs no more."""
        for home in self._host.last_stage:
            if self._host.last_stage[home] == stage:
                self._values.pop(home, None)
