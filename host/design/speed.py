# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How fast a network is on an array, by the cycle model; and a bound that takes no compiling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from axynq.emulator.errors import AxynqError
from axynq.emulator.model.graph import DepthwiseConvolution, Model, WeightedLayer
from axynq.emulator.plan import LayerCodes, Plan
from axynq.host.compiler.compilation import compile_program
from axynq.host.compiler.filters import choose_fold
from axynq.host.design.space import Shape
from axynq.host.overlay import Overlay
from axynq.host.performance.cycles import Timing, program_cycles


def cycles_per_image(
    model: Model, plan: Plan, overlay: Overlay, batch: int, depth: int | None = None
) -> float | None:
    """Clock cycles of an image, where so many are computed at a time.

    Args:
        model: the network.
        plan: of its multipliers.
        overlay: the array.
        batch: images at a time.
        depth: of the multiplication loop; default: as ``axynq inspect`` reckons.

    Returns:
        The cycles, or None where the array cannot run the network under the plan.
    """
    try:
        program = compile_program(model, plan, overlay, batch)
    except AxynqError:
        return None
    return program_cycles(program, overlay, batch, Timing(multiply_fill=depth)).cycles_per_image


class LeastSteps:
    """The fewest steps in which the lanes of a shape multiply for an image: each step a tap of as
    many channels as a word has bytes, for as many filters as there are lanes that can. No program
    takes fewer cycles."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self._layers = [
            _Work.of(model, layer, codes) for layer, codes in _weighted(model, plan.expand(model))
        ]

    def of(self, shape: Shape) -> float:
        """Steps for an image; infinite where a filter has no lane."""
        held = [frozenset(group.bank) for group in shape.lanes]
        counts = [group.size for group in shape.lanes]
        total = sum(work.steps(shape.inputs, held, counts) for work in self._layers)
        return total / shape.copies


class _Work:
    """A weighted layer."""

    def __init__(
        self,
        positions: int,
        kernel: tuple[int, int, int],
        dilation: tuple[int, int],
        depthwise: bool,
        needs: Counter[frozenset[str]],
    ) -> None:
        self.positions, self.kernel, self.dilation = positions, kernel, dilation
        self.depthwise, self.needs = depthwise, needs

    @classmethod
    def of(cls, model: Model, layer: WeightedLayer, codes: LayerCodes) -> _Work:
        filters, rows, columns, channels = layer.kernel.shape
        positions = model.multiplications(layer) // layer.kernel.size
        flat = codes.codes.reshape(filters, -1)
        used = [(flat == code).any(axis=1) for code in range(1, len(codes.multipliers) + 1)]
        specs = [m.spec for m in codes.multipliers]
        needs = Counter(
            frozenset(spec for spec, is_used in zip(specs, row) if is_used)
            for row in np.array(used).reshape(len(specs), filters).T
        )
        return cls(
            positions,
            (rows, columns, channels),
            getattr(layer, "dilation", (1, 1)),
            isinstance(layer, DepthwiseConvolution),
            needs,
        )

    def steps(self, inputs: int, held: list[frozenset[str]], counts: list[int]) -> float:
        groups = self._groups(held, counts)
        rows, columns, channels = self.kernel
        if self.depthwise:
            # Each step takes in a tap of a window, at least the new ones: a row or column of it.
            return self.positions * groups
        fold = choose_fold(rows, columns, channels, inputs, self.dilation)
        vectors = -(-rows // fold.rows) * -(-columns // fold.columns)
        vectors *= -(-channels * fold.taps // inputs)
        return self.positions * groups * max(vectors, 1)

    def _groups(self, held: list[frozenset[str]], counts: list[int]) -> float:
        """The fewest groups of filters: by Hall's condition for every need and for all together."""
        most = -(-sum(self.needs.values()) / sum(counts))
        for need in self.needs:
            lanes = sum(count for own, count in zip(held, counts) if need <= own)
            if not lanes:
                return float("inf")
            alike = sum(number for other, number in self.needs.items() if need <= other)
            most = max(most, alike / lanes)
        return float(np.ceil(most))


def _weighted(
    model: Model, codes: Mapping[str, LayerCodes]
) -> list[tuple[WeightedLayer, LayerCodes]]:
    return [(layer, codes[layer.name]) for layer in model.layers]
