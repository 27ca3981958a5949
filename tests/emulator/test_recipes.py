# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every way to compute a layer gives the same sums, whatever pays on this processor."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan, reference
from axynq.emulator.engine import calibration, network
from axynq.emulator.engine import packing_strips as strips
from axynq.emulator.engine.kernel import load_kernel, supported_variants
from axynq.emulator.engine.packing_geometry import geometry_of
from axynq.emulator.engine.packing_strips import Strip
from axynq.emulator.engine.recipe import (
    Costs,
    Plane,
    _by_seven_bits,
    halves_of,
    with_few_exponents,
)
from axynq.emulator.model import graph
from axynq.emulator.multipliers import multiplier
from tests.networks import convolution, depthwise, random_input, weighted_models

ENGINES = [variant.name for variant in supported_variants()]

WAYS = {
    "terms": Costs(1.0, 1e6, 1e6),
    "terms in tiles": Costs(1e3, 1e6, 1e6, tile_term=1e-6),
    "look-ups": Costs(1e6, 1.0, 1e6),
    "look-ups by seven bits": Costs(1.0, 1e6, 1e6, seven_bits=1e-3),
    "look-ups by halves": Costs(1e6, 1e6, 1.0, in_groups=True),
}

PLANS = ["llam=roup:1,4", "llam=smapprox:3330", "klam-channel=exact|smapprox:2222|roup:2,6"]


def wide(columns: int, channels: int, filters: int, **geometry: Any) -> graph.Model:
    """A convolution whose activations have no sign, as those behind a relu have none."""
    model = convolution(5, columns, channels, filters, 3, seed=7)
    (layer,) = model.layers
    source = dataclasses.replace(model.tensors[0], zero_point=-128)
    changed = dataclasses.replace(layer, **geometry)
    return dataclasses.replace(model, tensors=(source, *model.tensors[1:]), operators=(changed,))


MODELS = {
    "convolution": wide(9, 6, 21),
    "few channels": wide(9, 2, 5),
    "depthwise": depthwise(5, 9, 7, 3, seed=8),
}


@pytest.fixture(autouse=True)
def _no_shared_costs() -> Any:
    calibration.measured_costs.cache_clear()
    yield
    calibration.measured_costs.cache_clear()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_all_ways_give_the_same(
    engine: str, plan: str, model: graph.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = random_input(model, 3, seed=9)
    products = reference.plan_products(model, Plan.parse(model, plan))
    expected = reference.run(model, x, products)[model.output_index]
    for way, costs in WAYS.items():
        monkeypatch.setattr(network, "measured_costs", lambda kernel, costs=costs: costs)
        np.testing.assert_array_equal(Emulator(model, plan, engine).run(x), expected, way)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=weighted_models(),
    plan=st.sampled_from(PLANS),
    way=st.sampled_from(sorted(WAYS)),
    cache=st.sampled_from([1, 1 << 12, 1 << 14, 1 << 20]),
    columns=st.sampled_from([1, 4, 16]),
)
def test_in_strips_and_stack_by_stack(
    engine: str,
    model: graph.Model,
    plan: str,
    way: str,
    cache: int,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where rows leave the caches, fewer columns and planes are computed together."""
    x = random_input(model, 2, seed=1)
    products = reference.plan_products(model, Plan.parse(model, plan))
    expected = reference.run(model, x, products)[model.output_index]
    with monkeypatch.context() as patch:
        patch.setattr(strips, "CACHE", cache)
        patch.setattr(strips, "FEW_COLUMNS", columns)
        patch.setattr(network, "measured_costs", lambda kernel: WAYS[way])
        np.testing.assert_array_equal(Emulator(model, plan, engine).run(x), expected)


def test_strips_are_made_where_rows_are_large() -> None:
    model = wide(224, 64, 64)
    (layer,) = model.layers
    geometry = geometry_of(model, layer)
    assert Strip.of(geometry, 1, False) == (76, 1)
    columns, planes = Strip.of(geometry, 15, True)
    assert columns <= strips.FEW_COLUMNS
    assert planes < 15
    assert Strip.of(geometry, 15, False) == (columns, 15)


# --- what recipes are made of ---------------------------------------------------------------------

tables = st.builds(
    lambda seed, most: np.random.default_rng(seed).integers(0, most + 1, 256).astype(np.uint8),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 16, 255]),
)
weights = st.builds(
    lambda seed, low, high: np.random.default_rng(seed).integers(low, high + 1, 256),
    st.integers(0, 2**32 - 1),
    st.sampled_from([-128, -40, -1, 0]),
    st.sampled_from([0, 1, 30, 127]),
)


def total(planes: list[Plane]) -> Any:
    products = np.zeros((256, 256), np.int64)
    for plane in planes:
        outer = plane.table.astype(np.int64)[:, None] * plane.weights.astype(np.int64)
        products += outer << plane.exponent
    return products


@given(
    st.lists(
        st.builds(lambda t, w, e: Plane(t, w.astype(np.int8), e), tables, weights,
                  st.integers(0, 17)),
        max_size=9,
    )
)  # fmt: skip
def test_fewer_exponents_change_no_sum(planes: list[Plane]) -> None:
    found = with_few_exponents(planes)
    np.testing.assert_array_equal(total(found), total(planes))
    exponents = [plane.exponent for plane in found]
    assert exponents == sorted(exponents, reverse=True)
    assert len(set(exponents)) <= len({plane.exponent for plane in planes})


def test_one_exponent_where_bytes_have_room() -> None:
    one = np.ones(256, np.int8)
    planes = [Plane(np.full(256, 3, np.uint8), one, exponent) for exponent in (0, 5, 12)]
    assert {plane.exponent for plane in with_few_exponents(planes)} == {0}
    full = [
        Plane(np.full(256, 255, np.uint8), np.full(256, -128).astype(np.int8), e) for e in (0, 1)
    ]
    assert {plane.exponent for plane in with_few_exponents(full)} == {0, 1}


@given(tables)
def test_halves_of_a_table(table: Any) -> None:
    assert halves_of(table) is None or table.max() <= 1 or len(set(table.tolist())) == 1
    low, high = table[:16], table[16:32]
    summed = (high[:, None] + low).astype(np.uint8).reshape(-1)
    pair = halves_of(summed)
    assert pair is not None
    np.testing.assert_array_equal((pair[1][:, None] + pair[0]).reshape(-1), summed)


@pytest.mark.parametrize("zero_point", [-128, 0, 83])
@pytest.mark.parametrize(
    "spec", ["exact", "roup:1,4", "roup:3,0", "smapprox:3330", "smapprox:2222"]
)
def test_look_ups_by_seven_bits(spec: str, zero_point: int) -> None:
    m = multiplier(spec)
    recipes = _by_seven_bits(m, zero_point, np.ones(256, bool))
    x = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64)
    expected = m.product((x - zero_point)[:, None], np.arange(-128, 128)[None, :])
    assert recipes or spec.startswith("smapprox")
    for recipe in recipes:
        np.testing.assert_array_equal(recipe.products(), expected)
        for lookup in recipe.lookups:
            np.testing.assert_array_equal(lookup.tables[:, :128], lookup.tables[:, 128:])


# --- what they cost here --------------------------------------------------------------------------


def test_costs_are_measured_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    kernel = load_kernel(ENGINES[0])
    taken = dict.fromkeys(("term", "lookup", "plane"), 2.0)
    calls: list[int] = []
    monkeypatch.setattr(calibration, "_measure", lambda kernel: calls.append(1) or taken)
    first = calibration.measured_costs(kernel)
    assert (first.term, first.lookup, first.plane) == (2.0, 2.0, 2.0)
    calibration.measured_costs.cache_clear()
    assert calibration.measured_costs(kernel) == first
    assert len(calls) == 1
    (file,) = tmp_path.glob("costs-*.json")
    for damaged in ("", "[]", '{"term": "x"}', '{"term": -1.0}', '{"speed": 1.0}', '{"term": NaN}'):
        file.write_text(damaged)
        calibration.measured_costs.cache_clear()
        assert calibration.measured_costs(kernel) == first
        assert json.loads(file.read_text()) == taken


@pytest.mark.parametrize("engine", ENGINES)
def test_measured_costs_are_near_those_estimated(engine: str) -> None:
    """Or the processor is so slow that they are not measured."""
    kernel = load_kernel(engine)
    measured = calibration._measure(kernel)
    if measured:
        unit = measured["term"] / kernel.variant.costs.term
        for name, value in measured.items():
            ratio = value / unit / getattr(kernel.variant.costs, name)
            assert 0.99 / calibration.FACTOR <= ratio <= 1.01 * calibration.FACTOR
