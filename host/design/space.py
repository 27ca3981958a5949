# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The arrays that a search chooses from.

A *shape* says what multiplies: bytes of a word, lanes with their banks, copies. A *choice* is a
shape with everything else that a description has but the clock. A :class:`Space` lists both; its
fields are the numbers that they are made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from axynq.host import isa
from axynq.host.overlay import Overlay
from axynq.host.overlay.description import Array, Buffers, LaneGroup

Cell = Literal["separate", "configurable", "dsp pair"]
Storage = Literal["block RAM", "LUTs"]


class Group(NamedTuple):
    """Neighbouring lanes with the same bank, as :class:`axynq.host.overlay.description.LaneGroup`
    describes them."""

    size: int
    bank: tuple[str, ...]
    cell: Cell = "separate"


class Shape(NamedTuple):
    """What multiplies."""

    inputs: int
    lanes: tuple[Group, ...]
    copies: int = 1

    @property
    def filters(self) -> int:
        """Lanes of a copy."""
        return sum(group.size for group in self.lanes)

    @property
    def paired(self) -> int:
        """Lanes of a copy whose multipliers are halves of DSP pairs."""
        return sum(group.size for group in self.lanes if group.cell == "dsp pair")

    @property
    def multipliers(self) -> int:
        """Multiplications a cycle."""
        return self.inputs * self.filters * self.copies

    @property
    def code_bits(self) -> int:
        """Bits of a weight's code in memory, as :attr:`Overlay.stored_code_bits`."""
        bits = (max(len(group.bank) for group in self.lanes) - 1).bit_length()
        return 1 << (bits - 1).bit_length() if bits else 0


class Choice(NamedTuple):
    """An array without its clock."""

    shape: Shape
    requantisers: int
    adders: int
    window_lanes: int
    map_words: int
    weight_vectors: int
    groups: int
    partial_sums: int
    sums_in: Storage
    codes_in: Storage

    def overlay(self, name: str, board: str, clock_mhz: float) -> Overlay:
        """Its description.

        Raises:
            ValueError: it is none that can be built.
        """
        shape = self.shape
        return Overlay(
            name=name,
            board=board,
            clock_mhz=clock_mhz,
            array=Array(
                filters=shape.filters,
                inputs=shape.inputs,
                requantisers=self.requantisers,
                adders=self.adders,
                window_lanes=self.window_lanes,
                copies=shape.copies,
            ),
            lanes=tuple(
                LaneGroup(count=group.size, bank=group.bank, cell=group.cell)
                for group in shape.lanes
            ),
            buffers=Buffers(
                map_words=self.map_words,
                weight_vectors=self.weight_vectors,
                groups=self.groups,
                partial_sums=self.partial_sums,
                sums_in=self.sums_in,
                codes_in=self.codes_in,
            ),
        )

    @property
    def finish_steps(self) -> int:
        """Steps in which the outputs of all lanes are finished."""
        return self.shape.filters // self.requantisers


@dataclass(frozen=True)
class Space:
    """The numbers that arrays are made of.

    Memories smaller than these would take no less: a block RAM of 18 Kbit holds 512 words of 36
    bits or 2048 of 9 (UG473).
    """

    mixes: tuple[tuple[Group, ...], ...]
    """Lanes of a copy, however many they are."""
    inputs: tuple[int, ...] = (8, 16, 32)
    copies: tuple[int, ...] = (1,)
    finish_steps: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Steps in which the requantisers finish the outputs of all lanes."""
    add_steps: tuple[int, ...] = (1, 2, 4)
    """Parts of such a step where a second map is added."""
    window_parts: tuple[int, ...] = (1, 2, 4)
    """Of the lanes that may take in a channel of their own, one in so many does."""
    map_words: tuple[int, ...] = (2048, 4096, 8192, 16384)
    weight_vectors: tuple[int, ...] = (512, 1024, 2048)
    groups: tuple[int, ...] = (32,)
    partial_sums: tuple[tuple[int, Storage], ...] = ((512, "block RAM"), (32, "LUTs"))
    """How many, and where."""
    codes_in: tuple[Storage, ...] = ("block RAM", "LUTs")

    def shapes(self) -> Iterator[Shape]:
        """All of which there are arrays."""
        for copies in self.copies:
            for inputs in self.inputs:
                for lanes in self.mixes:
                    shape = Shape(inputs, lanes, copies)
                    if self._finishers(shape):
                        yield shape

    def choices(self, shape: Shape) -> Iterator[Choice]:
        """All arrays of a shape, each once."""
        for requantisers, adders in self._finishers(shape):
            for window_lanes in self._window_lanes(shape):
                for map_words in self.map_words:
                    for weight_vectors in self.weight_vectors:
                        for groups in self._groups(shape):
                            for sums in self.partial_sums:
                                for codes_in in self._storages(shape):
                                    yield Choice(
                                        shape, requantisers, adders, window_lanes, map_words,
                                        weight_vectors, groups, *sums, codes_in,
                                    )  # fmt: skip

    def fastest(self, shape: Shape) -> Choice:
        """The array of a shape that has most of everything."""
        requantisers, adders = max(self._finishers(shape))
        return Choice(
            shape, requantisers, adders, max(self._window_lanes(shape)), max(self.map_words),
            max(self.weight_vectors), max(self._groups(shape)), *max(self.partial_sums),
            self._storages(shape)[0],
        )  # fmt: skip

    def smallest(self, shape: Shape) -> Choice:
        """The array of a shape that takes least."""
        requantisers, adders = min(self._finishers(shape))
        return Choice(
            shape, requantisers, adders, min(self._window_lanes(shape)), min(self.map_words),
            min(self.weight_vectors), min(self._groups(shape)), *max(self.partial_sums),
            self._storages(shape)[0],
        )  # fmt: skip

    def size(self) -> int:
        """How many arrays there are."""
        return sum(
            len(self._finishers(shape))
            * len(self._window_lanes(shape))
            * len(self.map_words)
            * len(self.weight_vectors)
            * len(self._groups(shape))
            * len(self.partial_sums)
            * len(self._storages(shape))
            for shape in self.shapes()
        )

    def _finishers(self, shape: Shape) -> list[tuple[int, int]]:
        """Requantisers and adders; none where no number of either suits."""
        made = []
        for steps in self.finish_steps:
            requantisers = shape.filters // steps
            if shape.filters % steps or not requantisers:
                continue
            if shape.filters > shape.inputs and shape.inputs % requantisers:
                continue
            if requantisers % max(shape.inputs // (4 * isa.CONSTANT_INTEGERS), 1):
                continue  # a word has the constants of so many filters
            parts = (part for part in self.add_steps if requantisers % part == 0)
            made += [(requantisers, requantisers // part) for part in parts]
        return made

    def _window_lanes(self, shape: Shape) -> list[int]:
        most = min(shape.filters, shape.inputs)
        return sorted({max(most // part, 1) for part in self.window_parts}, reverse=True)

    def _groups(self, shape: Shape) -> list[int]:
        """Overlays have as many as bytes in a word at least."""
        return sorted({max(groups, shape.inputs) for groups in self.groups})

    def _storages(self, shape: Shape) -> tuple[Storage, ...]:
        return self.codes_in if shape.code_bits else self.codes_in[:1]


def even_counts(most: int, least: int = 4) -> tuple[int, ...]:
    """Numbers of lanes worth a try: multiples of four, from 32 on of eight."""
    return tuple(n for n in range(least, most + 1, 4) if n <= 32 or n % 8 == 0)
