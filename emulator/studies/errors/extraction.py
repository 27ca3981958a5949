# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Errors of a network under a plan, at each neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.emulation import Emulator
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.model.batch import Given, batch_of
from axynq.emulator.model.quantisation import accumulator_scales
from axynq.emulator.plan import Plan
from axynq.emulator.studies.errors.moments import PairMoments

BATCH = 128
"""Samples at a time: enough for the native kernel, little enough for the processor's cache."""


@dataclass(frozen=True)
class LayerStatistics:
    """Errors of one layer: approximate minus accurate accumulator, both of the same input.

    Moments are in accumulator units; ``scale`` times those is the real value before the
    activation.
    """

    name: str
    neurons: PairMoments
    """Arrays of shape [rows, columns, filters]; in the reduced form [1, 1, filters]."""
    scale: npt.NDArray[np.float64]
    """[filters]: the real value of an accumulator unit."""

    @property
    def channels(self) -> PairMoments:
        """The reduced form: all positions of a filter together, [1, 1, filters]."""
        pooled = self.neurons.pooled((0, 1))
        return PairMoments(
            pooled.count,
            *(
                values[None, None]
                for values in (
                    pooled.output_mean,
                    pooled.error_mean,
                    pooled.output_squares,
                    pooled.error_squares,
                    pooled.products,
                )
            ),
        )

    def reduced(self) -> LayerStatistics:
        """With the moments of each filter instead of those of each neuron."""
        return LayerStatistics(self.name, self.channels, self.scale)

    @property
    def real(self) -> PairMoments:
        """The layer as a whole in real units, every neuron and sample together: 0-dimensional."""
        return _scaled(self.neurons, self.scale).pooled((0, 1, 2))


@dataclass(frozen=True)
class ErrorStatistics:
    """Errors of all weighted layers of a network."""

    model: str
    plan: str
    """As the user wrote it; empty where it was given as an object."""
    samples: int
    layers: Mapping[str, LayerStatistics]
    """By layer name, in the network's order."""
    description: Mapping[str, Any] = field(default_factory=dict)
    """What the user should know about where the samples are from."""

    def __add__(self, other: ErrorStatistics) -> ErrorStatistics:
        """Of both sets of samples together.

        Raises:
            DataError: they are of different networks or plans.
        """
        if (self.model, self.plan) != (other.model, other.plan) or [*self.layers] != [
            *other.layers
        ]:
            raise DataError(
                "statistics of different networks or plans cannot be merged: "
                f"{self.model} under {self.plan}, {other.model} under {other.plan}"
            )
        merged = {
            name: LayerStatistics(name, mine.neurons + other.layers[name].neurons, mine.scale)
            for name, mine in self.layers.items()
        }
        samples = self.samples + other.samples
        return ErrorStatistics(self.model, self.plan, samples, merged, self.description)

    def reduced(self) -> ErrorStatistics:
        """With the moments of each filter instead of those of each neuron."""
        layers = {name: layer.reduced() for name, layer in self.layers.items()}
        return ErrorStatistics(self.model, self.plan, self.samples, layers, self.description)


def extract(
    model: graph.Model,
    plan: Plan | str,
    x: Given,
    *,
    engine: str = "auto",
    threads: int | None = None,
    advance: Callable[[int], None] = lambda samples: None,
    description: Mapping[str, Any] | None = None,
) -> ErrorStatistics:
    """Errors of ``model`` under ``plan`` over samples ``x``, as :meth:`Emulator.run` takes them.

    Every layer sees the input it has in the approximate network, and the error is what the layer
    itself adds to its accumulators: ``accurate + error = approximate`` on every sample. Memory does
    not grow with the number of samples. ``engine`` and ``threads`` are those of
    :class:`Emulator`.

    Raises:
        PlanError: the plan does not fit the model.
        ToolError: an engine was asked for that cannot be had.
        DataError: there are no samples, or they have another shape or type.
    """
    text = plan if isinstance(plan, str) else ""
    emulator = Emulator(model, plan, engine, threads)
    batch = batch_of(model, x)
    if len(batch) == 0:
        raise DataError("error statistics need at least one sample")
    moments: dict[str, PairMoments] = {}
    for start in range(0, len(batch), BATCH):
        part = batch[start : start + BATCH]
        for name, sums in emulator.accumulators(part).items():
            exact = np.moveaxis(sums.exact, 0, -1)
            error = np.moveaxis(sums.approximate, 0, -1) - exact
            part_moments = PairMoments.of(exact, error)
            moments[name] = moments[name] + part_moments if name in moments else part_moments
        advance(len(part))
    layers = {
        layer.name: LayerStatistics(
            layer.name, moments[layer.name], accumulator_scales(model, layer)
        )
        for layer in model.layers
    }
    return ErrorStatistics(model.name, text, len(batch), layers, dict(description or {}))


def _scaled(moments: PairMoments, scale: npt.NDArray[np.float64]) -> PairMoments:
    squared = scale * scale
    return PairMoments(
        moments.count,
        moments.output_mean * scale,
        moments.error_mean * scale,
        moments.output_squares * squared,
        moments.error_squares * squared,
        moments.products * squared,
    )
