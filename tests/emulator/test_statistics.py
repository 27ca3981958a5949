# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Error statistics and the error model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from axynq.emulator import Emulator
from axynq.emulator.errors import DataError
from axynq.emulator.model import graph
from axynq.emulator.studies.errors import (
    ErrorModel,
    PairMoments,
    extract,
    load_statistics,
    save_statistics,
)
from axynq.emulator.studies.errors.pictures import draw_correlation, draw_histograms
from tests.networks import random_input

PLAN = "flam=roup:2,6|smapprox:2222"

values = arrays(np.int32, (2, 3, 7), elements=st.integers(-(2**30), 2**30))


def assert_close(mine: PairMoments, y: np.ndarray, e: np.ndarray) -> None:
    """Against numpy, over the last axis."""
    y, e = y.astype(np.float64), e.astype(np.float64)
    assert mine.count == y.shape[-1]
    np.testing.assert_allclose(mine.output_mean, y.mean(-1), rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(mine.error_mean, e.mean(-1), rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(mine.output_deviation, y.std(-1), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(mine.error_deviation, e.std(-1), rtol=1e-9, atol=1e-6)
    for index in np.ndindex(*mine.correlation.shape):
        if y[index].std() > 1 and e[index].std() > 1:
            expected = np.corrcoef(y[index], e[index])[0, 1]
            assert mine.correlation[index] == pytest.approx(expected, abs=1e-6)


@given(values, values)
def test_moments(y: np.ndarray, e: np.ndarray) -> None:
    assert_close(PairMoments.of(y, e), y, e)


@given(values, values, st.integers(1, 6))
def test_moments_of_merged_streams(y: np.ndarray, e: np.ndarray, cut: int) -> None:
    first = PairMoments.of(y[..., :cut], e[..., :cut])
    assert_close(first + PairMoments.of(y[..., cut:], e[..., cut:]), y, e)


@given(values, values)
def test_moments_over_positions(y: np.ndarray, e: np.ndarray) -> None:
    pooled = PairMoments.of(y, e).pooled((0,))
    assert_close(pooled, np.concatenate(list(y), axis=-1), np.concatenate(list(e), axis=-1))


def test_small_deviations_beside_a_large_mean() -> None:
    y = np.tile([2**30, 2**30 + 1], 5000)[None].astype(np.int32)
    parts = [PairMoments.of(part, part) for part in np.array_split(y, 50, axis=1)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert total.output_deviation[0] == pytest.approx(0.5, rel=1e-9)
    assert total.correlation[0] == pytest.approx(1.0)


def test_accurate_plus_error_is_approximate(digits: graph.Model) -> None:
    x = random_input(digits, 150, 0)
    sums = Emulator(digits, PLAN).accumulators(x)
    statistics = extract(digits, PLAN, x)
    assert [*statistics.layers] == [layer.name for layer in digits.layers]
    for name, layer in statistics.layers.items():
        exact, approximate = sums[name].exact, sums[name].approximate
        assert exact.dtype == approximate.dtype == np.int32
        error = approximate - exact
        assert np.array_equal(exact + error, approximate)
        assert error.any()
        assert_close(layer.neurons, np.moveaxis(exact, 0, -1), np.moveaxis(error, 0, -1))


def test_no_error_where_all_is_exact(digits: graph.Model) -> None:
    statistics = extract(digits, "exact", random_input(digits, 10, 0))
    for layer in statistics.layers.values():
        assert not layer.neurons.error_mean.any()
        assert not layer.neurons.correlation.any()
        assert np.isinf(layer.real.signal_to_noise)


def test_parts_of_the_samples_make_the_whole(digits: graph.Model) -> None:
    x = random_input(digits, 90, 1)
    merged = extract(digits, PLAN, x[:31]) + extract(digits, PLAN, x[31:])
    whole = extract(digits, PLAN, x)
    assert merged.samples == 90
    for name, layer in whole.layers.items():
        np.testing.assert_allclose(
            merged.layers[name].neurons.error_squares, layer.neurons.error_squares, rtol=1e-9
        )
    with pytest.raises(DataError, match="cannot be merged"):
        _ = whole + extract(digits, "exact", x[:2])


@pytest.mark.parametrize("reduced", [False, True])
def test_archive(digits: graph.Model, tmp_path: Path, reduced: bool) -> None:
    statistics = extract(digits, PLAN, random_input(digits, 20, 2), description={"data": "noise"})
    if reduced:
        statistics = statistics.reduced()
    save_statistics(statistics, tmp_path / "errors.npz")
    read = load_statistics(tmp_path / "errors.npz")
    assert (read.model, read.plan, read.samples) == (digits.name, PLAN, 20)
    assert read.description == {"data": "noise"}
    for name, layer in statistics.layers.items():
        assert read.layers[name].neurons.count == layer.neurons.count
        assert np.array_equal(read.layers[name].neurons.correlation, layer.neurons.correlation)
        assert np.array_equal(read.layers[name].scale, layer.scale)


def test_what_is_no_archive(digits: graph.Model, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("no")
    for name, reason in (
        ("other.npz", "is not a file of error statistics"),
        ("text.npz", "is not a file of error statistics"),
        ("none.npz", "cannot be read"),
    ):
        with pytest.raises(DataError, match=reason):
            load_statistics(tmp_path / name)
    statistics = extract(digits, "exact", random_input(digits, 2, 0))
    with pytest.raises(DataError, match="cannot be written"):
        save_statistics(statistics, "/dev/full")
    with pytest.raises(DataError, match="at least one sample"):
        extract(digits, "exact", random_input(digits, 0, 0))


def test_generated_errors_have_the_moments_that_were_measured(digits: graph.Model) -> None:
    """Outputs with the measured moments give errors with the measured moments."""
    statistics = extract(digits, PLAN, random_input(digits, 200, 3))
    generator = np.random.default_rng(4)
    n = 20_000
    for name, layer in statistics.layers.items():
        some = np.s_[:2, :2, :4]
        moments, scale = layer.neurons, layer.scale[:4]
        shape = moments.error_mean[some].shape
        y = generator.standard_normal((n, *moments.error_mean.shape), np.float32)[
            (slice(None), *some)
        ]
        y = y * moments.output_deviation[some] * scale + moments.output_mean[some] * scale
        model = ErrorModel(statistics).layers[name]
        part = type(model)(*(getattr(model, f)[some] for f in model.__dataclass_fields__))
        error = part.sample(y, generator)
        assert error.shape == (n, *shape)
        deviation = moments.error_deviation[some] * scale
        # Six standard errors of each estimate.
        assert np.all(
            np.abs(error.mean(0) - moments.error_mean[some] * scale)
            <= 6 * deviation / np.sqrt(n) + 1e-12
        )
        assert np.all(np.abs(error.std(0) - deviation) <= 6 * deviation / np.sqrt(2 * n) + 1e-12)
        for index in np.ndindex(*shape):
            if deviation[index] > 0 and y[(slice(None), *index)].std() > 0:
                measured = np.corrcoef(y[(slice(None), *index)], error[(slice(None), *index)])[0, 1]
                assert abs(measured - moments.correlation[some][index]) < 6 / np.sqrt(n)


def test_reduced_moments_give_one_model_for_all_positions(digits: graph.Model) -> None:
    statistics = extract(digits, PLAN, random_input(digits, 50, 5)).reduced()
    name = digits.layers[0].name
    assert ErrorModel(statistics).layers[name].mean.shape[:2] == (1, 1)
    filters = len(digits.layers[0].bias)
    y = np.zeros((3, 8, 8, filters))
    error = ErrorModel(statistics).sample(name, y, np.random.default_rng(0))
    assert error.shape == (3, 8, 8, filters)


def test_pictures(digits: graph.Model, tmp_path: Path) -> None:
    x = random_input(digits, 20, 6)
    statistics = extract(digits, PLAN, x)
    draw_correlation(statistics, tmp_path / "c.png")
    sums = Emulator(digits, PLAN).accumulators(x)
    draw_histograms(statistics, list(sums.items()), tmp_path / "h.png")
    for name in ("c.png", "h.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
