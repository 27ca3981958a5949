# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A network in numpy alone: each term of each multiplier is a matrix product.

Correct everywhere numpy runs. The arithmetic is floating point but exact, because no partial sum
can leave the integers that the type represents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine import operators
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.terms import terms_of
from axynq.emulator.model import graph
from axynq.emulator.model.taps import padded_input, tap_windows
from axynq.emulator.multipliers import ACTIVATION_MIN, WEIGHT_MIN
from axynq.emulator.plan import LayerCodes, Plan

CHUNK_BYTES = 64 << 20
"""Working memory that decides how many images are computed at once."""

FloatArray = npt.NDArray[np.floating[Any]]


class PortableNetwork:
    """Runs a network layer by layer."""

    def __init__(self, model: graph.Model, codes: Mapping[str, LayerCodes]) -> None:
        self.model = model
        self.layers = {
            layer.name: PortableLayer(model, layer, codes[layer.name]) for layer in model.layers
        }

    def run(self, x: Sequence[graph.Int8Array]) -> tuple[graph.Int8Array, ...]:
        """The network's outputs [images, *shape] for its inputs."""
        chunks = []
        for chunk in self._chunks(x):
            values = self._computed(chunk)
            chunks.append([self._per_image(values[i], len(chunk[0])) for i in self.model.outputs])
        shapes = [self.model.tensors[index].shape for index in self.model.outputs]
        return tuple(
            np.concatenate([np.zeros((0, *shape), np.int8), *(chunk[k] for chunk in chunks)])
            for k, shape in enumerate(shapes)
        )

    def run_blocks(self, x: Blocks) -> Blocks:
        """The only output for the only input, in the engine's own order."""
        (y,) = self.run((x.in_order(self.model.input.shape),))
        return Blocks.of(y)

    def tensors(self, x: Sequence[graph.Int8Array]) -> dict[int, graph.Int8Array]:
        """Every tensor that is given or computed, by its index, [images, *shape]."""
        values = self._computed(x)
        return {
            index: self._per_image(value, len(x[0]))
            for index, value in values.items()
            if index not in self.model.constants
        }

    def _computed(self, x: Sequence[graph.Int8Array]) -> dict[int, graph.Int8Array]:
        """Every tensor by its index; what is the same for all images may be there once."""
        values = {index: value[None] for index, value in self.model.constants.items()}
        values |= dict(zip(self.model.inputs, x))
        images = len(x[0])
        for op in self.model.operators:
            # Weights and movements want all images; what pairs values broadcasts.
            pairs = isinstance(op, (graph.Add, graph.Elementwise))
            inputs = [values[i] if pairs else self._per_image(values[i], images) for i in op.inputs]
            if isinstance(op, graph.WeightedLayer):
                sums = self.layers[op.name].accumulate(inputs[0])
                values[op.output] = operators.requantise(self.model, op, sums)
            else:
                values[op.output] = operators.compute(self.model, op, inputs)
        return values

    def accumulators(
        self, x: Sequence[graph.Int8Array]
    ) -> dict[str, tuple[graph.Int32Array, graph.Int32Array]]:
        """Approximate and exact accumulators by layer, int32 [images, rows, columns, filters]: both
        of the layer's input in the approximate network."""
        values = self._computed(x)
        exact = Plan.uniform("exact").expand(self.model)
        sums = {}
        for layer in self.model.layers:
            source = self._per_image(values[layer.inputs[0]], len(x[0]))
            exactly = PortableLayer(self.model, layer, exact[layer.name])
            sums[layer.name] = (
                self.layers[layer.name].accumulate(source),
                exactly.accumulate(source),
            )
        return sums

    def _per_image(self, value: graph.Int8Array, images: int) -> graph.Int8Array:
        """A tensor's values; those of a constant for each image."""
        if len(value) == images:
            return value
        return np.broadcast_to(value, (images, *value.shape[1:]))

    def _chunks(self, x: Sequence[graph.Int8Array]) -> Iterator[list[graph.Int8Array]]:
        largest = max(math.prod(t.shape) for t in self.model.tensors)
        size = max(1, CHUNK_BYTES // (16 * largest))
        for start in range(0, len(x[0]), size):
            yield [part[start : start + size] for part in x]


@dataclass(frozen=True)
class _Plane:
    """One term: a table on the int8 input, and the weights it is multiplied by."""

    table: FloatArray
    """[256], indexed by ``x + 128``."""
    weights: FloatArray
    """[rows, columns, channels, filters]."""


class PortableLayer:
    """The accumulators of one layer under one assignment."""

    def __init__(self, model: graph.Model, layer: graph.WeightedLayer, codes: LayerCodes) -> None:
        self.model = model
        self.layer = layer
        self.planes = _planes(layer, codes, model.tensors[layer.inputs[0]].zero_point)

    def accumulate(self, x: graph.Int8Array) -> graph.Int32Array:
        """``bias + sum over taps of m(a, w)``, int32 [images, rows, columns, filters]."""
        depthwise = isinstance(self.layer, graph.DepthwiseConvolution)
        shape = graph.rows_columns_channels(self.model.tensors[self.layer.output].shape)
        if isinstance(self.layer, graph.FullyConnected):
            x, windows = x.reshape(len(x), 1, 1, -1), [((0, 0), (slice(None),) * 3)]
        else:
            x = padded_input(self.model, self.layer, x)
            windows = list(tap_windows(self.model, self.layer))
        index = x.astype(np.int16) + 128
        dtype = self.planes[0].table.dtype if self.planes else np.float64
        total = np.zeros((len(x), *shape), dtype)
        for plane in self.planes:
            a = plane.table[index]
            if depthwise:
                a = np.repeat(a, shape[-1] // a.shape[-1], axis=-1)
            for place, window in windows:
                w = plane.weights[place]
                total += a[window] * w[0] if depthwise else a[window] @ w
        # By way of int64, which takes the sum modulo 2**32.
        return (total.astype(np.int64) + self.layer.bias).astype(np.int32)


def _planes(layer: graph.WeightedLayer, codes: LayerCodes, zero_point: int) -> list[_Plane]:
    """The terms of all multipliers in use; terms with equal activation tables are one plane."""
    x = np.arange(graph.INT8_MIN, graph.INT8_MAX + 1, dtype=np.int64)
    gathered: dict[bytes, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
    for k, multiplier in enumerate(codes.multipliers, start=1):
        used = codes.codes == k
        terms = terms_of(multiplier)
        for f, g in zip(terms.activation, terms.weight):
            table = f[x - zero_point - ACTIVATION_MIN]
            weights = np.where(used, g[layer.kernel.astype(np.int64) - WEIGHT_MIN], 0)
            if not table.any() or not weights.any():
                continue
            key = table.tobytes()
            if key in gathered:
                weights = weights + gathered[key][1]
            gathered[key] = table, weights
    dtype = _exact_type(list(gathered.values()))
    return [
        _Plane(table.astype(dtype), weights.transpose(1, 2, 3, 0).astype(dtype))
        for table, weights in gathered.values()
    ]


def _exact_type(
    planes: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
) -> type[np.floating[Any]]:
    """The narrowest float in which every partial sum of the layer is an exact integer."""
    bound = 0
    for table, weights in planes:
        per_filter = np.abs(weights).sum(axis=(1, 2, 3), dtype=np.int64).max(initial=0)
        bound += int(np.abs(table).max()) * int(per_filter)
    if bound < 2**24:
        return np.float32
    if bound < 2**53:
        return np.float64
    raise AssertionError("a layer's partial sums exceed 2**53")  # needs > 2**25 taps
