# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Families of multipliers, and what of them is searched."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import multiplier
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.errors import MultiplierError, PlanError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import Roup, SMApprox, is_family, members
from axynq.emulator.studies.search import reduction
from axynq.emulator.studies.search.reduction import (
    NEGLIGIBLE,
    TOLERANCE,
    Member,
    lines,
    reduce_family,
    relative_errors,
    thinned,
    unbeaten,
)
from axynq.emulator.studies.tuning.second_order import linear
from axynq.emulator.studies.tuning.tuner import Tuner
from axynq.emulator.studies.tuning.weights import WeightRule
from axynq.host.netlists.relative import kept_relative_activity
from tests.networks import convolution

SMALL = [multiplier(spec) for family in ("roup:2,*", "roup:3,*") for spec in members(family)]


@pytest.fixture(scope="module")
def tuner(digits: graph.Model) -> Tuner:
    train = handwritten_digits("train")
    return Tuner(digits, quantise_examples(digits.input, train.x), "second-order", True)


@pytest.mark.parametrize(
    ("family", "count"),
    [("roup:*", 9**4 + 9**3 + 9**2 + 9), ("roup:*,*", 7380), ("roup:1,*", 9**3), ("roup:3,*", 9),
     ("roup:*,0-0-0-4", 4), ("roup:2,5-5-*-4", 9), ("smapprox:*", 256), ("smapprox:1*0*", 16)],
)  # fmt: skip
def test_members(family: str, count: int) -> None:
    assert is_family(family)
    specs = members(family)
    assert len(specs) == len(set(specs)) == count
    assert all(multiplier(spec).spec == spec for spec in specs)


@pytest.mark.parametrize("family", ["roup:2,*", "roup:*,4-4-4-*", "smapprox:*000"])
def test_members_are_different_functions(family: str) -> None:
    specs = members(family)
    assert len({multiplier(spec) for spec in specs}) == len(specs)


def test_a_family_has_what_its_pattern_names() -> None:
    assert "roup:3,0-0-0-4" in members("roup:*")
    assert set(members("roup:3,*")) <= set(members("roup:*"))
    assert members("smapprox:333*") == tuple(f"smapprox:333{k}" for k in range(4))


@pytest.mark.parametrize(
    "text", ["roup:4,*", "roup:**", "roup:3,9-0-0-*", "roup:3,0-*", "smapprox:4*00", "smapprox:**"]
)
def test_families_that_are_none(text: str) -> None:
    with pytest.raises(MultiplierError, match=r"no family of multipliers.*roup:P,\*"):
        members(text)


def test_a_family_is_no_multiplier() -> None:
    with pytest.raises(MultiplierError, match=r"'roup:3,\*' is a family"):
        multiplier("roup:3,*")


@pytest.mark.parametrize("text", ["exact", "roup:2,6", "smapprox:3330", "table:a*.npz#x"])
def test_single_multipliers_are_no_families(text: str) -> None:
    assert not is_family(text)


@settings(max_examples=30)
@given(
    st.integers(0, 3),
    st.tuples(*[st.integers(0, 8)] * 4),
    st.sampled_from([-128, -3, 0, 127]),
    st.integers(0, 2**32 - 1),
)
def test_lines_of_roup_are_those_of_its_table(
    dropped: int, rounding: tuple[int, int, int, int], zero_point: int, seed: int
) -> None:
    m = Roup(dropped, rounding)
    shares = np.random.default_rng(seed).random(256) ** 4
    fit, expected = lines([m], zero_point, shares), linear(m, zero_point, shares)
    np.testing.assert_allclose(fit.value[0], expected.value, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(fit.noise[0], expected.noise, rtol=1e-9, atol=1e-5)
    others = lines([SMApprox("2222"), m], zero_point, shares)
    np.testing.assert_allclose(others.value[1], fit.value[0])
    a = np.arange(-128, 128) - zero_point
    products = m.product(a[:, None], np.arange(-128, 128)[None, :])
    np.testing.assert_allclose(
        fit.mean[0], shares @ products / shares.sum(), rtol=1e-9, atol=1e-7
    )  # fmt: skip


def test_layers_of_constant_inputs_have_no_say() -> None:
    model = convolution(4, 4, 2, 3, 1, 0)
    tuner = Tuner(model, np.full((8, 4, 4, 2), 7, np.int8))
    found = relative_errors([multiplier("exact"), multiplier("roup:2,6")], tuner)
    assert found.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("weights", ["none", "histogram", "second-order", "rescaled"])
@pytest.mark.parametrize("compensate", [False, True])
def test_errors_by_definition(digits: graph.Model, weights: WeightRule, compensate: bool) -> None:
    """One multiplier, all weights of all layers, by loops."""
    x = quantise_examples(digits.input, handwritten_digits("train").x)
    tuner = Tuner(digits, x, weights, compensate)
    m = multiplier("roup:2,0-0-3-4")
    total, multiplications = 0.0, 0
    for layer in digits.layers:
        zero_point = digits.tensors[layer.inputs[0]].zero_point
        p = tuner.shares(layer) / tuner.shares(layer).sum()
        a = np.arange(-128, 128) - zero_point
        products = m.product(a[:, None], np.arange(-128, 128)[None, :]).astype(np.float64)
        value, noise = linear(m, zero_point, p)
        variance = p @ (a - p @ a) ** 2
        left = tuner.left_over(layer)
        curvature = variance if left is None else left.mean()
        kernel = layer.kernel.reshape(-1).astype(np.float64)
        errors = []
        for w in kernel:
            cost = curvature * (value - w) ** 2 + noise
            if not compensate:
                cost = cost + (p @ products - w * (p @ a)) ** 2
            errors.append(cost[int(w) + 128] if weights == "none" else cost[1:].min())
        share = digits.multiplications(layer)
        total += share * np.mean(errors) / (variance * np.mean(kernel**2))
        multiplications += share
    (found,) = relative_errors([m], tuner)
    assert found == pytest.approx(total / multiplications, rel=0.1)
    with patch.object(reduction, "WANTED", 1 << 20):  # all weights of each layer
        (found,) = relative_errors([m], tuner)
    assert found == pytest.approx(total / multiplications, rel=1e-5)


def test_what_is_left_of_a_family_is_what_nothing_beats(tuner: Tuner) -> None:
    """Every member's energy is measured here, and only some by the reduction."""
    energies = {m: kept_relative_activity(m.spec) for m in SMALL}
    errors = np.maximum(relative_errors(SMALL, tuner), NEGLIGIBLE)
    looked_at = []

    def energy(m: Roup) -> float:
        looked_at.append(m)
        return energies[m]

    made = reduce_family(SMALL, tuner, energy, len(SMALL))
    everything = [Member(m, energies[m], float(error)) for m, error in zip(SMALL, errors)]
    assert list(made.kept) == unbeaten(everything)
    assert "roup:3,0-0-0-4" in {member.multiplier.spec for member in made.kept}
    assert (made.members, made.unbeaten) == (90, len(made.kept))
    assert made.measured == len(set(looked_at)) < 70
    for kept in made.kept:
        assert not [
            m for m in everything
            if m.energy <= kept.energy and m.error <= kept.error
            and (m.energy < kept.energy or m.error < kept.error)
        ]  # fmt: skip
    fewer = reduce_family(SMALL, tuner, energies.__getitem__, 12)
    assert len(fewer.kept) == 12
    assert set(fewer.kept) < set(made.kept)
    assert "roup:3,0-0-0-4" in {member.multiplier.spec for member in fewer.kept}


def test_leaving_out_more_never_costs_more() -> None:
    """What bounds energies that are not measured."""
    out = np.array([[9] * m.perforation + list(m.rounding[m.perforation :]) for m in SMALL])
    energies = np.array([kept_relative_activity(m.spec) for m in SMALL])
    more = (out[:, None, :] >= out[None, :, :]).all(axis=2)
    assert np.where(more, energies[:, None] - energies[None, :], -1).max() <= TOLERANCE / 2


def test_family_without_energies(tuner: Tuner) -> None:
    with pytest.raises(PlanError, match="no energy figure for any member"):
        reduce_family(SMALL[:5], tuner, lambda m: None)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1), st.integers(1, 9))
def test_unbeaten_and_thinned(pairs: list[tuple[int, int]], count: int) -> None:
    exact = multiplier("exact")
    found = [Member(exact, float(energy), float(error)) for energy, error in pairs]
    front = unbeaten(found)
    for member in found:
        assert any(f.energy <= member.energy and f.error <= member.error for f in front)
    assert [f.energy for f in front] == sorted({f.energy for f in front}, reverse=True)
    assert [f.error for f in front] == sorted({f.error for f in front})
    kept = thinned(front, count)
    assert len(kept) == min(len(front), count)
    assert [f for f in front if f in kept] == kept
    if count > 1:
        assert (kept[0], kept[-1]) == (front[0], front[-1])
