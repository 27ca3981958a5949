# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Transposed convolutions without the zeros: a spread map and a convolution of it, as convolutions
of the map itself.

Outputs whose row and column have the same remainders modulo the stride see the same of the kernel's
taps; the others meet zeros that were spread between. So each remainder is a convolution with a part
of the kernel, which writes every so many pixels of the output.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from axynq.emulator.model import graph
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.host.compiler.abilities import lasts_for


class Taps(NamedTuple):
    """Of a kernel along one axis."""

    first: int
    """Those from this one on, a stride apart."""
    skipped: int
    """So many taps of nothing come before them, where the window begins inside the map."""
    padding: int
    """Rows or columns before the map that the first window sees."""
    size: int
    """All together."""


@dataclass(frozen=True, eq=False)
class SubPixels:
    """Outputs of a transposed convolution with the same remainders."""

    spread: graph.Spread
    layer: graph.Convolution
    row: int
    column: int

    @property
    def taps(self) -> tuple[Taps, Taps]:
        """Along rows and columns."""
        padding, own = self.spread.padding, self.layer.padding
        _, rows, columns, _ = self.layer.weights.shape
        return (
            _taps(self.row, self.spread.stride[0], rows, padding.top + own.top),
            _taps(self.column, self.spread.stride[1], columns, padding.left + own.left),
        )

    def kernel(self, codes: LayerCodes) -> tuple[graph.Int8Array, LayerCodes]:
        """Weights [filters, rows, columns, channels] and their codes."""
        rows, columns = self.taps
        filters, *_, channels = self.layer.weights.shape
        weights = np.zeros((filters, rows.size, columns.size, channels), np.int8)
        assigned = np.full(weights.shape, SKIP, np.uint8)
        stride = self.spread.stride
        there = np.s_[:, rows.first :: stride[0], columns.first :: stride[1]]
        part = self.layer.weights[there]
        here = np.s_[
            :,
            rows.skipped : rows.skipped + part.shape[1],
            columns.skipped : columns.skipped + part.shape[2],
        ]
        weights[here], assigned[here] = part, codes.codes[there]
        return weights, LayerCodes(codes.multipliers, assigned)


def _taps(remainder: int, stride: int, size: int, before: int) -> Taps:
    """Output ``i * stride + remainder`` sees ``x[i + m - padding]`` by tap ``first + m *
    stride``."""
    first = (before - remainder) % stride
    count = len(range(first, size, stride))
    padding = (before - remainder - first) // stride
    if count == 0:
        return Taps(first, 0, 0, 1)
    skipped = max(-padding, 0)
    return Taps(first, skipped, max(padding, 0), skipped + count)


def transposed_convolutions(
    model: graph.Model, left_out: Collection[str]
) -> dict[graph.Operator, graph.Spread]:
    """The convolutions of a spread map that nobody else reads, and what spreads it.

    Args:
        left_out: names of operators that others do.
    """
    makers = {op.output: op for op in model.operators}
    found: dict[graph.Operator, graph.Spread] = {}
    for op in model.operators:
        spread = makers.get(op.inputs[0])
        if (
            isinstance(op, graph.Convolution)
            and isinstance(spread, graph.Spread)
            and op.name not in left_out
            and op.stride == op.dilation == (1, 1)
            and spread.inputs[0] not in model.constants
            and lasts_for(model, spread.output, op)
        ):
            found[op] = spread
    return found
