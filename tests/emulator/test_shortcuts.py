# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Shorter arithmetic that gives the same bytes, where it was found that it does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, reference
from axynq.emulator.engine import operators
from axynq.emulator.engine.abi import REAL_FACTOR, Memory
from axynq.emulator.engine.kernel import load_kernel
from axynq.emulator.engine.linear_sums import linear_sum
from axynq.emulator.engine.records import describe
from axynq.emulator.model import graph
from axynq.emulator.model.quantisation import layer_factors
from tests.engines import ENGINES

WITH_REALS = [e for e in ENGINES if e in ("amx", "avx512", "avxvnni", "avx2")]

scales = st.floats(0.002, 2.0)
zero_points = st.integers(-128, 127)


def sum_of(scale: tuple[float, float, float], zero: tuple[int, int, int], kind: str) -> graph.Model:
    """The sum or difference of two vectors of all pairs of values."""
    tensors = tuple(
        graph.Tensor(name, (256, 256), float(np.float32(s)), z)
        for name, s, z in zip("abc", scale, zero)
    )
    op: graph.Operator = graph.Add("add_0", (0, 1), 2)
    if kind == "subtract":
        op = graph.Elementwise("subtract_0", (0, 1), 2, "subtract")
    return graph.Model("sum", tensors, (op,), (0, 1), (2,))


def all_pairs() -> list[graph.Int8Array]:
    every = np.arange(-128, 128, dtype=np.int64).astype(np.int8)
    a, b = np.meshgrid(every, every, indexing="ij")
    return [a[None], b[None]]


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25)
@given(
    st.tuples(scales, scales, scales),
    st.tuples(zero_points, zero_points, zero_points),
    st.sampled_from(["add", "subtract"]),
)
def test_sums_of_all_pairs(engine: str, scale, zero, kind: str) -> None:
    model = sum_of(scale, zero, kind)
    x = all_pairs()
    expected = reference.run(model, x)[2]
    np.testing.assert_array_equal(Emulator(model, engine=engine).run(x), expected)


def test_most_sums_are_linear() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        scale = tuple(np.exp(rng.uniform(-4, 0, 3)).tolist())
        zero = tuple(rng.integers(-128, 128, 3).tolist())
        model = sum_of(scale, zero, "add")  # type: ignore[arg-type]
        found += bool(describe(model, model.operators[0], Memory()).get("linear_shift"))
    assert found > 25


def test_a_sum_that_is_not_linear() -> None:
    """Halves are rounded away from zero on both sides."""
    model = sum_of((0.5, 0.5, 1.0), (0, 0, 0), "add")
    table = operators.paired_tables(model, model.operators[0], 0)
    assert linear_sum(table, (0.5, 0.5), 0.0, (-128, 127)) is None
    assert linear_sum(np.zeros((256, 256), np.int8), (np.inf, 1.0), 0.0, (-128, 127)) is None


def requantised(scale: float, zero_point: int, seed: int) -> graph.Model:
    """A layer of 1 500 filters whose sums are biases alone: around the places where results change,
    and anywhere."""
    rng = np.random.default_rng(seed)
    results = rng.integers(-400, 401, 1000)
    places = (results - 0.5 * np.sign(results)) / scale + rng.integers(-2, 3, 1000)
    bias = np.concatenate([places, rng.uniform(-1, 1, 400) * 2**30, rng.uniform(-1, 1, 100) * 300])
    bias = np.clip(bias, -(2**31) + 1, 2**31 - 1).astype(np.int32)
    tensors = (
        graph.Tensor("x", (1,), 1.0, 0),
        graph.Tensor("y", (len(bias),), 1.0, zero_point),
    )
    layer = graph.FullyConnected(
        "fc_0", (0,), 1, np.zeros((len(bias), 1), np.int8), bias,
        np.full(len(bias), np.float32(scale)), per_channel=False,
    )  # fmt: skip
    return graph.Model("requantised", tensors, (layer,), (0,), (1,))


@settings(max_examples=40)
@given(
    st.one_of(st.floats(-24, 2).map(lambda e: 2.0**e), st.integers(-20, 1).map(lambda e: 2.0**e)),
    zero_points,
    st.integers(0, 99),
)
def test_requantisation_where_results_change(scale: float, zero_point: int, seed: int) -> None:
    model = requantised(scale, zero_point, seed)
    x = np.zeros((2, 1), np.int8)
    expected = reference.run(model, x)[1]
    for engine in ENGINES:
        found = Emulator(model, engine=engine).run(x)
        np.testing.assert_array_equal(found, expected, err_msg=engine)


@pytest.mark.parametrize("engine", WITH_REALS)
def test_most_factors_are_real(engine: str) -> None:
    library = load_kernel(engine).library
    rng = np.random.default_rng(0)
    multipliers = rng.integers(2**30, 2**31 - 1, 500).astype(np.int32)
    shifts = rng.integers(-12, 0, 500).astype(np.int32)
    found = np.zeros(500, REAL_FACTOR)
    library.axynq_real_factors(
        multipliers.ctypes.data, shifts.ctypes.data, len(found), found.ctypes.data
    )
    assert np.count_nonzero(found["high"]) > 480
    whole = (found["high"].astype(np.float64) + found["low"])[found["high"] != 0]
    exact = (multipliers / 2.0 ** (31 - shifts))[found["high"] != 0]
    np.testing.assert_allclose(whole, exact, rtol=2**-40)
    model = requantised(0.01, 0, 0)
    assert layer_factors(model, model.layers[0])[0].shift < 0
