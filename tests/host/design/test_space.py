# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every array of a space can be built, and lanes hold what the filters of a plan need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator import Plan
from axynq.emulator.errors import MultiplierError, PlanError
from axynq.emulator.model import graph
from axynq.host.design.mixes import Need, bank_of, mixes, needs_of
from axynq.host.design.space import Choice, Shape, Space, even_counts
from axynq.host.design.surrogate import _straight

SPECS = ("exact", "roup:1,4", "roup:2,6", "smapprox:3330")


@st.composite
def needs(draw: st.DrawFn) -> tuple[Need, ...]:
    found = draw(
        st.lists(st.frozensets(st.sampled_from(SPECS), min_size=1, max_size=3), min_size=1,
                 max_size=3, unique=True)
    )  # fmt: skip
    weights = [draw(st.integers(1, 9)) for _ in found]
    return tuple(Need(specs, weight / sum(weights)) for specs, weight in zip(found, weights))


@st.composite
def choices(draw: st.DrawFn) -> tuple[Space, Choice]:
    space = Space(
        mixes(draw(needs()), [draw(st.sampled_from(even_counts(64)))], draw(st.booleans())),
        inputs=(4, 8, 16, 32, 64),
        copies=(1, 2, 4),
        groups=(32, 128),
    )
    shapes = list(space.shapes())
    shape = draw(st.sampled_from(shapes))
    return space, draw(st.sampled_from(list(space.choices(shape))))


@given(choices())
def test_every_array_can_be_built(drawn: tuple[Space, Choice]) -> None:
    space, choice = drawn
    overlay = choice.overlay("tried", "pynq-z2", 100.0)
    shape = choice.shape
    assert overlay.array.filters == shape.filters
    assert overlay.stored_code_bits == shape.code_bits
    assert overlay.straight == _straight(choice)
    assert sum(overlay.paired) == shape.paired
    assert overlay.finish_steps(adds=False) == choice.finish_steps
    every = set(space.choices(shape))
    assert {space.fastest(shape), space.smallest(shape)} <= every


def test_the_size_counts_each_array_once() -> None:
    lanes = mixes([Need(frozenset(["exact"]), 1.0)], (4, 12, 16), True)
    space = Space(lanes, inputs=(8, 32), copies=(1, 2))
    every = [choice for shape in space.shapes() for choice in space.choices(shape)]
    assert len(every) == len(set(every)) == space.size()


@given(needs(), st.integers(1, 16), st.booleans())
def test_lanes_hold_what_filters_need(needed: tuple[Need, ...], lanes: int, products: bool) -> None:
    for groups in mixes(needed, [lanes], products):
        shape = Shape(64, groups)
        assert shape.filters == lanes
        assert all(group.size > 0 for group in groups)
        for need in needed:
            assert any(need.specs <= set(group.bank) for group in groups)
        cells = [group.cell for group in groups]
        assert products or "dsp pair" not in cells
        if "dsp pair" in cells:
            assert cells.index("dsp pair") == len(cells) - 1
            assert (lanes - shape.paired) % 2 == shape.paired % 2 == 0


def test_exact_and_roup_share_a_cell() -> None:
    assert bank_of(frozenset(["roup:1,4", "exact"])) == (("exact", "roup:1,4"), "configurable")
    assert bank_of(frozenset(["smapprox:3330", "exact"]))[1] == "separate"
    assert bank_of(frozenset(f"roup:0,{r}" for r in range(17))) is None


def test_needs_of_a_plan(digits: graph.Model) -> None:
    assert needs_of(digits, Plan.uniform("exact")) == (Need(frozenset(["exact"]), 1.0),)
    found = needs_of(digits, Plan.parse(digits, "flam=exact|roup:1,4"))
    assert {need.specs for need in found} == {frozenset(["exact"]), frozenset(["roup:1,4"])}
    assert sum(need.share for need in found) == pytest.approx(1)
    assert found[0].share == pytest.approx(0.5, abs=0.01)
    together = needs_of(digits, Plan.parse(digits, "klam-row=exact|roup:1,4"))
    assert frozenset(["exact", "roup:1,4"]) in {need.specs for need in together}


def test_tables_without_a_circuit(digits: graph.Model, tmp_path) -> None:
    import numpy as np

    path = tmp_path / "t.npz"
    np.savez(path, product=np.outer(np.arange(256), np.arange(256)).astype(np.int32))
    plan = Plan.parse(digits, f"llam=table:{path}#product")
    with pytest.raises(MultiplierError):
        needs_of(digits, plan)


def test_more_multipliers_than_a_lane_holds(digits: graph.Model) -> None:
    """Each filter has one, so that lanes can be divided among them; a filter has too many."""
    specs = [f"roup:{p},{r}" for p in range(4) for r in range(1, 9)]
    one_each = [Need(frozenset([spec]), 1 / len(specs)) for spec in specs]
    assert mixes(one_each, [16], False) == ()
    [lanes] = mixes(one_each, [len(specs)], False)
    assert {group.bank for group in lanes} == {(spec,) for spec in specs}
    beside = [Need(frozenset(specs), 0.5), Need(frozenset(["exact"]), 0.5)]
    assert mixes(beside, [64], True) == ()
    with pytest.raises(PlanError, match=r"has a filter with \d\d multipliers; a lane holds 16"):
        needs_of(digits, Plan.parse(digits, "klam-channel=" + "|".join(specs)))


def test_a_plan_that_skips_all_weights_fits_any_lane(digits: graph.Model) -> None:
    assert needs_of(digits, Plan.parse(digits, "klms=0.000001")) == (
        Need(frozenset(["exact"]), 1.0),
    )
