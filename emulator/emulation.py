"""The emulator: a network under a plan, computed bit for bit as the accelerator computes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator import reference
from axynq.emulator.engine.portable import PortableLayer
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan

CHUNK_BYTES = 64 << 20
"""Working memory that decides how many images are computed at once."""


class Accumulators(NamedTuple):
    """A layer's accumulators for the same input, int32 [images, rows, columns, filters]."""

    approximate: graph.Int32Array
    exact: graph.Int32Array


class Emulator:
    """Runs ``model`` with the multipliers of ``plan`` (default: exact everywhere).

    >>> Emulator(model, Plan.parse(model, "llam=roup:1,4")).run(images)

    Raises:
        PlanError: the plan does not fit the model.
    """

    def __init__(self, model: graph.Model, plan: Plan | str | None = None) -> None:
        if plan is None:
            plan = Plan.uniform("exact")
        elif isinstance(plan, str):
            plan = Plan.parse(model, plan)
        self.model = model
        self.plan = plan
        self.codes = plan.expand(model)
        self._layers = {
            layer.name: PortableLayer(model, layer, self.codes[layer.name])
            for layer in model.layers
        }

    def run(self, x: npt.ArrayLike) -> graph.Int8Array:
        """The network's int8 output, [images, ...], softmax included.

        ``x`` is a batch [images, *model.input.shape] of int8 in the model's input quantisation, or
        of floats, which are quantised first.

        Raises:
            DataError: ``x`` has another shape or type.
        """
        batch = self.model.input.batch(x)
        outputs = [self.tensors(chunk)[self.model.output_index] for chunk in self._chunks(batch)]
        if not outputs:
            return np.zeros((0, *self.model.output.shape), np.int8)
        return np.concatenate(outputs)

    def tensors(self, x: npt.ArrayLike) -> dict[int, graph.Int8Array]:
        """Every tensor of the network by its index, for a batch as in :meth:`run`."""
        values = {self.model.input_index: self.model.input.batch(x)}
        for op in self.model.operators:
            inputs = [values[i] for i in op.inputs]
            if isinstance(op, graph.WeightedLayer):
                accumulated = self._layers[op.name].accumulate(inputs[0])
                values[op.output] = reference.requantise(
                    self.model, op, accumulated.astype(np.int64)
                )
            else:
                values[op.output] = reference.evaluate(
                    self.model, op, inputs, reference.exact_products
                )
        return values

    def accumulators(self, x: npt.ArrayLike) -> dict[str, Accumulators]:
        """Accumulators of every weighted layer by name, approximate and exact.

        Both are computed from the same input of the layer, the one the approximate network has
        there, so their difference is the error that the layer itself introduces.
        """
        values = self.tensors(x)
        result = {}
        for layer in self.model.layers:
            inputs = values[layer.inputs[0]]
            codes = Plan.uniform("exact").expand(self.model)[layer.name]
            exact = PortableLayer(self.model, layer, codes).accumulate(inputs)
            result[layer.name] = Accumulators(self._layers[layer.name].accumulate(inputs), exact)
        return result

    def _chunks(self, batch: graph.Int8Array) -> Iterator[graph.Int8Array]:
        largest = max(int(np.prod(t.shape)) for t in self.model.tensors)
        size = max(1, CHUNK_BYTES // (16 * largest))
        for start in range(0, len(batch), size):
            yield batch[start : start + size]
