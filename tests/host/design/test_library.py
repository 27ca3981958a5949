# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Plans that come with an array: the most sensitive filters are exact, and no lane waits."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator import Plan
from axynq.emulator.datasets import handwritten_digits, quantise_examples
from axynq.emulator.errors import MultiplierError, PlanError
from axynq.emulator.model import graph
from axynq.emulator.studies.evaluator import Examples
from axynq.host.design.library import Library, exact_filters, squared_errors
from axynq.host.design.space import Choice, Group, Shape
from axynq.host.design.speed import cycles_per_image

MIXED = Shape(16, (Group(8, ("roup:2,6",)), Group(8, ("exact",), "dsp pair")))


def examples(model: graph.Model, count: int) -> Examples:
    data = handwritten_digits("test").evenly(count)
    return Examples(quantise_examples(model.input, data.x), data.y)


def kinds(model: graph.Model, plan: Plan, layer: graph.WeightedLayer) -> np.ndarray:
    """[filters]: whether a filter is exact."""
    codes = plan.expand(model)[layer.name]
    specs = np.array(["", *(m.spec for m in codes.multipliers)])
    return specs[codes.codes.reshape(len(layer.kernel), -1)[:, 0]] == "exact"


@pytest.mark.parametrize("with_examples", [False, True])
def test_the_most_sensitive_filters_are_exact(digits: graph.Model, with_examples: bool) -> None:
    library = Library(digits, ("roup:2,6",), examples(digits, 8) if with_examples else None)
    plan = library.plan(MIXED)
    assert library.plan(MIXED._replace(copies=2)) is plan
    for layer in digits.layers:
        exact = kinds(digits, plan, layer)
        assert exact.sum() == exact_filters(layer, MIXED)
        order = library._sensitivities[layer.name, "roup:2,6"]
        if exact.any() and not exact.all():
            assert order[exact].min() >= order[~exact].max()


def test_no_lane_waits(digits: graph.Model) -> None:
    """Under its plan an array takes about as long as if its lanes could take any filter."""
    library = Library(digits, ("roup:2,6",))
    for lanes in (MIXED.lanes, (Group(10, ("roup:2,6",)), Group(6, ("exact",)))):
        shape = Shape(16, lanes)
        choice = Choice(shape, 8, 4, 16, 4096, 512, 32, 512, "block RAM", "block RAM")
        free = choice._replace(shape=Shape(16, (Group(16, ("exact",)),)))
        own, least = (
            cycles_per_image(digits, plan, each.overlay("a", "pynq-z2", 100.0), 16)
            for plan, each in ((library.plan(shape), choice), (Plan.uniform("exact"), free))
        )
        assert own is not None
        assert least is not None
        assert least <= own * 1.001
        assert own <= least * 1.1


def test_errors_of_weights(digits: graph.Model) -> None:
    layer = digits.layers[0]
    assert not squared_errors(digits, layer, "exact").any()
    light, heavy = (squared_errors(digits, layer, spec) for spec in ("roup:0,4", "roup:2,6"))
    assert (light < heavy).all()


def test_the_accuracy_that_is_asked_for(digits: graph.Model) -> None:
    few = examples(digits, 60)
    anything = Library(digits, ("roup:3,8",), few)
    strict = Library(digits, ("roup:3,8",), few, max_loss=0.0)
    alone = Shape(16, (Group(16, ("roup:3,8",)),))
    lost = anything.accuracy(anything.plan(alone))
    exact = anything.accuracy(Plan.uniform("exact"))
    assert lost is not None
    assert exact is not None
    assert lost < exact
    assert anything.tolerates(alone)
    assert not strict.tolerates(alone)
    assert Library(digits, ("roup:3,8",), few, max_loss=exact - lost).tolerates(alone)


def test_mixes_of_a_library(digits: graph.Model) -> None:
    library = Library(digits, ("exact", "roup:1,4", "roup:1,4", "roup:2,6"))
    assert library.approximate == ("roup:1,4", "roup:2,6")
    found = library.mixes([16], products=True)
    assert len(found) == len(set(found))
    assert all(sum(group.size for group in mix) == 16 for mix in found)
    assert any(group.cell == "dsp pair" for mix in found for group in mix)
    assert all(
        group.cell == "separate" for mix in library.mixes([16], products=False) for group in mix
    )


def test_libraries_that_are_none(digits: graph.Model, tmp_path) -> None:
    with pytest.raises(PlanError, match="no approximate multiplier"):
        Library(digits, ("exact",))
    np.savez(tmp_path / "t.npz", a=np.outer(np.arange(256), np.arange(256)).astype(np.int32))
    with pytest.raises(MultiplierError):
        Library(digits, (f"table:{tmp_path / 't.npz'}#a",))
