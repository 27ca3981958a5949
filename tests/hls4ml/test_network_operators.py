# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Operators of int8 networks in hls4ml designs are those of the oracle, on all or random values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hls4ml")

from axynq.emulator import reference
from axynq.emulator.model import graph
from axynq.emulator.model.windows import window_geometry
from tests.hls4ml.operators import Operators
from tests.networks import ACTIVATIONS, tensor

EACH = 12
"""Networks of each kind."""


def zero_point(rng: np.random.Generator) -> int:
    return int(rng.choice([-128, 0, 127, rng.integers(-128, 128)]))


def scale(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def requantised(rng: np.random.Generator) -> graph.Model:
    """A layer whose factors shift to either side, and among which are zero and very small ones."""
    filters = 16
    scales = np.exp(rng.uniform(np.log(1e-10), np.log(30), filters)).astype(np.float32)
    scales[0], scales[1] = 0, 1e-12
    layer = graph.FullyConnected(
        "layer", (0,), 1,
        np.zeros((filters, 1), np.int8), np.zeros(filters, np.int32), scales,
        rng.choice(ACTIVATIONS),
    )  # fmt: skip
    target = tensor("y", (filters,), scale(rng, 0.05, 20), zero_point(rng))
    return graph.Model("requantised", (tensor("x", (1,), 1.0, 0), target), (layer,), (0,), (1,))


def added(rng: np.random.Generator) -> graph.Model:
    source = tensor("x", (16, 16, 256), scale(rng, 0.004, 2), zero_point(rng))
    other = tensor("w", source.shape, scale(rng, 0.004, 2), zero_point(rng))
    target = tensor("y", source.shape, scale(rng, 0.004, 4), zero_point(rng))
    # The second operand is given to the program by itself.
    pool = graph.Lookup("lookup", (0,), 1, "quantise")
    op = graph.Add("add", (0, 1), 2, rng.choice(ACTIVATIONS))
    return graph.Model("added", (source, other, target), (pool, op), (0,), (2,))


def pooled(rng: np.random.Generator, kind: Any) -> graph.Model:
    size = tuple(int(n) for n in rng.integers(1, 9, 2))
    window = tuple(int(n) for n in rng.integers(1, 5, 2))
    stride = tuple(int(n) for n in rng.integers(1, 4, 2))
    same = bool(rng.random() < 0.6) or any(n < k for n, k in zip(size, window))
    out, padding = window_geometry(size, window, stride, (1, 1), same)
    channels = int(rng.integers(1, 5))
    source = tensor("x", (*size, channels), scale(rng, 0.004, 0.5), zero_point(rng))
    target = tensor("y", (*out, channels), source.scale, source.zero_point)
    op = graph.Pool("pool", (0,), 1, kind, window, stride, padding, rng.choice(ACTIVATIONS))
    return graph.Model("pooled", (source, target), (op,), (0,), (1,))


def averaged(rng: np.random.Generator) -> graph.Model:
    return pooled(rng, "average")


def largest(rng: np.random.Generator) -> graph.Model:
    return pooled(rng, "max")


def mean(rng: np.random.Generator) -> graph.Model:
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    source = tensor("x", shape, scale(rng, 0.004, 2), zero_point(rng))
    target = tensor("y", shape[2:], scale(rng, 0.004, 2), zero_point(rng))
    op = graph.Mean("mean", (0,), 1, False)
    return graph.Model("mean", (source, target), (op,), (0,), (1,))


def looked_up(rng: np.random.Generator) -> graph.Model:
    source = tensor("x", (16, 16), 0.1, zero_point(rng))
    target = tensor("y", (16, 16), 0.1, zero_point(rng))
    table = rng.integers(-128, 128, 256).astype(np.int8)
    op = graph.Lookup("lookup", (0,), 1, "table", table=table)
    return graph.Model("looked up", (source, target), (op,), (0,), (1,))


KINDS = (requantised, added, averaged, largest, mean, looked_up)


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Operators:
    models = [
        kind(np.random.default_rng([place, seed]))
        for place, kind in enumerate(KINDS)
        for seed in range(EACH)
    ]
    return Operators(models, Path(tmp_path_factory.mktemp("operators")))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_operators_are_those_of_the_oracle(operators: Operators, kind: Any, streams: bool) -> None:
    seen = set()
    for seed in range(EACH):
        number = KINDS.index(kind) * EACH + seed
        model = operators.models[number]
        first, second, expected = values(model, np.random.default_rng(seed))
        given = operators.run(number, first, second, streams)
        np.testing.assert_array_equal(given, expected)
        seen.update(np.unique(given).tolist())
    assert len(seen) > 200


def values(model: graph.Model, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """What the last operator is given, and its output."""
    op = model.operators[-1]
    if isinstance(op, graph.WeightedLayer):
        accumulators = spread(rng, (2000, 1, 1, *model.output.shape))
        return accumulators, accumulators, reference.requantise(model, op, accumulators)
    source = model.input
    if isinstance(op, graph.Add):
        pairs = np.arange(2**16).reshape(1, 16, 16, 256)
        operands = [(pairs >> 8) - 128, (pairs & 255) - 128]
        x = [each.astype(np.int8) for each in operands]
        zero_points = [model.tensors[index].zero_point for index in op.inputs]
        first, second = (each - zero for each, zero in zip(operands, zero_points))
        return first, second, reference.add(model, op, *x)
    if isinstance(op, graph.Lookup):
        x8 = np.arange(-128, 128).astype(np.int8).reshape(1, *source.shape)
    else:
        x8 = rng.integers(-128, 128, (60, *source.shape)).astype(np.int8)
        x8[0], x8[1] = -128, 127
    centred = x8.astype(np.int64) - source.zero_point
    expected = reference.evaluate(model, op, [x8], reference.exact_products)
    return centred, centred, expected


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """int32 values of all sizes, the outermost among them, some of them halves of powers of two."""
    bits = rng.integers(0, 32, shape)
    magnitude = (rng.random(shape) * 2.0**bits).astype(np.int64)
    powers = rng.random(shape) < 0.3
    magnitude[powers] = (2 ** bits.astype(np.int64))[powers] + rng.integers(-1, 2, shape)[powers]
    signed = magnitude * rng.choice([-1, 1], shape)
    signed[0], signed[1] = -(2**31), 2**31 - 1
    return np.clip(signed, -(2**31), 2**31 - 1)
