# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The arithmetic at its limits: TFLite, the oracle and every engine."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator import Emulator, reference
from axynq.emulator.file_formats.tflite_writer import serialise_model
from axynq.emulator.model import graph
from tests import limits
from tests.emulator import runtime
from tests.engines import ENGINES


def assert_equal(model: graph.Model, x: graph.Int8Array | list[graph.Int8Array]) -> graph.Int8Array:
    """All engines compute what the oracle does; that is returned."""
    expected = reference.run(model, x)[model.output_index]
    for name in ENGINES:
        assert np.array_equal(Emulator(model, engine=name).run(x), expected), name
    return expected


def assert_equal_to_tflite(
    model: graph.Model, x: graph.Int8Array, y: graph.Int8Array, defined: np.ndarray | bool = True
) -> None:
    expected = runtime.run("tflite_runtime", serialise_model(model), x)
    assert np.array_equal(y[defined], expected[defined])


@pytest.mark.parametrize("models", [limits.layers_of_biases, limits.fully_connected_of_biases])
def test_every_factor_and_accumulator(models) -> None:
    undefined = compared = 0
    for model, x in models():
        y = assert_equal(model, x)
        leaves = limits.undefined_in_tflite(model, x)
        assert_equal_to_tflite(model, x, y, ~leaves)
        # What leaves 32 bits ends at the end of int8 where the real value is.
        layer = model.layers[0]
        sums = reference.accumulators(model, layer, x).reshape(y.shape)
        low, high = graph.activation_bounds(layer.activation, model.output)
        ends = np.where(sums < 0, low, np.where(sums > 0, high, y))
        assert np.array_equal(y[leaves], ends[leaves])
        undefined, compared = undefined + leaves.sum(), compared + (~leaves).sum()
    assert min(undefined, compared) > 1000


def test_accumulators_are_modulo_2_to_the_32() -> None:
    for model, x in limits.overflowing_sums():
        layer = model.layers[0]
        exact = layer.bias + (x.astype(np.int64) + 128).reshape(len(x), -1) @ spread(layer).T
        assert ((exact < -(2**31)) | (exact >= 2**31)).any()
        wrapped = exact.astype(np.int32)
        for name in ENGINES:
            found = Emulator(model, engine=name).accumulators(x)["layer_0"].exact
            assert np.array_equal(found.reshape(wrapped.shape), wrapped), name
        assert_equal_to_tflite(model, x, assert_equal(model, x))


def spread(layer: graph.WeightedLayer) -> np.ndarray:
    """The weights of a layer that sees all of its input, as a matrix [filters, inputs]."""
    kernel = layer.kernel.astype(np.int64)
    if isinstance(layer, graph.DepthwiseConvolution):
        kernel = kernel * np.eye(len(kernel), dtype=np.int64)[:, None, None, :]
    return kernel.reshape(len(kernel), -1)


def test_means() -> None:
    for model, x in limits.means():
        y = assert_equal(model, x)
        assert_equal_to_tflite(model, x, y, ~limits.undefined_in_tflite(model, x))


def test_averages() -> None:
    for model, x in limits.averages():
        assert_equal_to_tflite(model, x, assert_equal(model, x))


def test_additions() -> None:
    # TFLite ends the process where the output's factor is 1 or more.
    compared = 0
    for model, x in limits.additions(largest_output_factor=np.inf):
        assert_equal(model, x)
    for model, x in limits.additions(largest_output_factor=0.99):
        assert_equal_to_tflite(model, x, reference.run(model, x)[model.output_index])
        compared += 1
    assert compared >= 40


def test_pairs() -> None:
    for model, x in limits.pairs():
        assert_equal(model, x)


def test_sums() -> None:
    for model, x in limits.sums():
        assert_equal(model, x)
