# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is added up for each filter, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.abi import WHOLE_BYTE
from axynq.emulator.engine.packing_geometry import (
    TAPS_PER_GROUP,
    BoolArray,
    Geometry,
    IndexArray,
    group_shape,
    taps_of,
)
from axynq.emulator.engine.recipe import LookupPlane, Plane


@dataclass(frozen=True)
class Parts:
    """What is added up for each filter: products with planes, and look-ups by halves of bytes, in
    order of falling exponent."""

    planes: tuple[Plane, ...]
    """What rows of activations are made of: those of the products, and one of bytes as they are
    where something is looked up."""
    stacks: IndexArray
    """[planes]: planes of a stack lie side by side."""
    exponents: IndexArray
    """[parts]."""
    kinds: IndexArray
    """[parts]: WHOLE_BYTE for products, or what is looked up."""
    plane: IndexArray
    """[parts]: which plane each reads."""
    lookups: tuple[LookupPlane | None, ...]
    """[parts]."""

    @classmethod
    def of(cls, planes: tuple[Plane, ...], lookups: Sequence[LookupPlane], most: int) -> Parts:
        """For stacks of so many planes at most."""
        stacks = _stacks(np.array([plane.exponent for plane in planes], np.int64), most)
        both: list[tuple[int, int, LookupPlane | None]] = [
            *((plane.exponent, k, None) for k, plane in enumerate(planes)),
            *((plane.exponent, len(planes), plane) for plane in lookups),
        ]
        both.sort(key=lambda part: -part[0])
        if lookups:
            planes += (Plane(np.arange(256, dtype=np.uint8), np.zeros(0, np.int8), 0),)
            stacks = np.append(stacks, stacks.max(initial=-1) + 1)
        exponents, plane, looked_up = zip(*both) if both else ((), (), ())
        return cls(
            planes,
            stacks,
            np.array(exponents, np.int64),
            np.array([WHOLE_BYTE if part is None else part.part for part in looked_up], np.int64),
            np.array(plane, np.int64),
            looked_up,
        )

    @property
    def runs(self) -> IndexArray:
        """[parts]: numbers that are the same for neighbours whose activations lie side by side."""
        stack = self.stacks[self.plane]
        return np.cumsum(
            (np.diff(stack, prepend=stack[:1]) != 0) | (self.kinds != WHOLE_BYTE), dtype=np.int64
        )


def _stacks(exponents: IndexArray, most: int) -> IndexArray:
    """The stack of each plane: of one exponent, and of so many planes at most."""
    opens = np.diff(exponents, prepend=exponents[:1]) != 0
    first = np.maximum.accumulate(np.where(opens, np.arange(len(opens), dtype=np.int64), 0))
    place = np.arange(len(opens), dtype=np.int64) - first
    return np.cumsum(opens | ((place > 0) & (place % most == 0)), dtype=np.int64)


@dataclass(frozen=True)
class Line:
    """All groups of four taps of a filter, in the order in which they are computed: by run of parts
    (:class:`Parts`), row of the kernel, and place in memory."""

    run: IndexArray
    row: IndexArray
    column: IndexArray
    part: IndexArray
    group: IndexArray
    """Of a pixel, or of a kernel row where the layer is flattened."""
    opens: BoolArray
    """Whether the activations do not follow those of the group before."""

    @classmethod
    def of(cls, geometry: Geometry, runs: IndexArray) -> Line:
        """For parts in runs [parts], with numbers that never fall."""
        rows, columns, _ = group_shape(geometry)
        shape = (len(runs), rows, columns, geometry.row_groups)
        part, row, column, group = (axis.reshape(-1) for axis in np.indices(shape, np.int64))
        run = runs[part]
        order = np.lexsort((group, part, column, row, run))
        run, row, column = run[order], row[order], column[order]
        area = np.stack([run, row, column if geometry.spans > 1 else np.zeros_like(column)])
        opens = (np.diff(area, axis=1, prepend=-1) != 0).any(axis=0)
        return cls(run, row, column, part[order], group[order], opens)


def in_groups(parts: Parts, geometry: Geometry, line: Line) -> npt.NDArray[np.int32]:
    """[filters, groups of the line]: four bytes of weights as an integer, with zeros where a group
    is not full; of look-ups, ones where something is looked up."""
    filters = geometry.output_shape[2]
    full = np.zeros((filters, len(parts.kinds), *group_shape(geometry)), np.int8)
    for number, (plane, lookup) in enumerate(zip(parts.plane, parts.lookups)):
        # A fully connected layer's kernel is flat.
        values = parts.planes[plane].weights if lookup is None else (lookup.index != 0)
        here = full[:, number]
        here[..., : taps_of(geometry)] = values.reshape(*here.shape[:-1], taps_of(geometry))
    return full.view(np.int32)[:, line.part, line.row, line.column, line.group]


def group_tables(
    parts: Parts, geometry: Geometry, line: Line
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Numbers of tables [filters, groups of the line, 4], and all tables [tables, 16]."""
    filters = geometry.output_shape[2]
    numbers = np.zeros((filters, len(parts.kinds), *group_shape(geometry)), np.int32)
    tables = [np.zeros((1, 16), np.uint8)]
    first = 0
    for part, lookup in enumerate(parts.lookups):
        if lookup is None:
            continue
        here = numbers[:, part]
        index = np.where(lookup.index > 0, lookup.index + first, 0)
        here[..., : taps_of(geometry)] = index.reshape(*here.shape[:-1], taps_of(geometry))
        tables.append(lookup.tables[1:])
        first += len(lookup.tables) - 1
    four = numbers.reshape(*numbers.shape[:-1], -1, TAPS_PER_GROUP)
    return four[:, line.part, line.row, line.column, line.group], np.concatenate(tables)
