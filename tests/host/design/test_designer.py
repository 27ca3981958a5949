# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is searched for a request, and what is said where nothing is found."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from axynq.emulator import Plan
from axynq.emulator.errors import OverlayError
from axynq.emulator.model import graph
from axynq.host.design.designer import (
    APPROXIMATE,
    EXACT,
    EXACT_IN_LUTS,
    Request,
    check_found,
    families_of,
)
from axynq.host.design.library import Library
from axynq.host.design.looks import RESOURCES, Look
from axynq.host.design.search import Found, Result
from axynq.host.design.space import Group, Space

SMALL = Space(
    ((Group(4, ("exact",)),),), inputs=(4,), finish_steps=(2,), add_steps=(1,), window_parts=(1,),
    map_words=(4096,), weight_vectors=(512,), partial_sums=((512, "block RAM"),),
    codes_in=("block RAM",),
)  # fmt: skip


@pytest.fixture
def request_(digits: graph.Model) -> Request:
    return Request(digits, Plan.uniform("exact"), "pynq-z2", space=SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"board": "z80"}, "unknown board 'z80'"),
        ({"objective": "speed"}, "unknown objective 'speed'; known are: throughput, latency, en"),
        ({"clocks": (100.0, 0.0)}, "clocks must be above 0 MHz"),
    ],
)
def test_requests_that_are_none(request_: Request, change: dict[str, object], message: str) -> None:
    with pytest.raises(OverlayError, match=message):
        replace(request_, **change)


@pytest.mark.parametrize(
    ("multipliers", "products", "names"),
    [
        ("exact", True, [EXACT, EXACT_IN_LUTS]),
        ("exact", False, [EXACT_IN_LUTS]),
        ("roup:1,4", True, [APPROXIMATE, EXACT, EXACT_IN_LUTS]),
        ("roup:1,4", False, [APPROXIMATE, EXACT_IN_LUTS]),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_what_a_design_is_compared_with(
    digits: graph.Model, multipliers: str, products: bool, names: list[str], chosen: bool
) -> None:
    """Exact arrays with and without products in DSP blocks, but for what it is itself."""
    library = Library(digits, (multipliers,)) if chosen and multipliers != "exact" else None
    made = Request(digits, Plan.uniform(multipliers), "pynq-z2", products=products, library=library)
    assert [family.name for family in families_of(made)] == names
    assert [family.name for family in families_of(replace(made, compare=False))] == names[:1]


# --- nothing is found ----------------------------------------------------------------------------


def found(luts: float, dsps: float) -> Found:
    resources = {name: {"likely": 1.0} for name in RESOURCES}
    resources["lut"]["likely"], resources["dsp"]["likely"] = luts, dsps
    look = Look(100.0, {}, 25, resources)
    return Found(EXACT, next(SMALL.choices(next(SMALL.shapes()))), look, 1000.0, False)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Result(EXACT), "the time was up before an array was found: give it more (--time-limit)"),
        (
            Result(EXACT, [found(90_000, 20), found(60_000, 221)], proven=True),
            "no array that was looked at fits pynq-z2: the nearest takes 60,000 LUTs of 42,560",
        ),
    ],
)
def test_what_is_short(request_: Request, result: Result, message: str) -> None:
    with pytest.raises(OverlayError, match=re.escape(message)):
        check_found(result, request_)


def test_no_array_runs_the_network(request_: Request, digits: graph.Model) -> None:
    """What the compiler says of an array is the reason; a library's plans suit its arrays, but may
    lose too much."""
    none = Result(EXACT, proven=True)
    with pytest.raises(OverlayError, match="needs multiplier 'roup:1,4'"):
        check_found(none, replace(request_, plan=Plan.uniform("roup:1,4")))
    with pytest.raises(OverlayError, match="there is no array in the space"):
        check_found(none, replace(request_, space=replace(SMALL, mixes=())))
    space = replace(SMALL, mixes=((Group(4, ("roup:1,4",)),),))
    library = Library(digits, ("roup:1,4",))
    with pytest.raises(OverlayError, match="no array of the library that fits keeps the accuracy"):
        check_found(none, replace(request_, space=space, library=library))
    refused = replace(none, refused="at 1000 MHz: a multiplier needs 6.0 ns")
    with pytest.raises(OverlayError, match="no array reaches a clock: at 1000 MHz"):
        check_found(refused, request_)
