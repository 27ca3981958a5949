# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The search finds what looking at every array finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from axynq.emulator import Plan
from axynq.emulator.model import graph
from axynq.host.design.limits import Limits
from axynq.host.design.looks import RESOURCES, Look
from axynq.host.design.mixes import Need, mixes
from axynq.host.design.search import (
    ANY,
    COARSE,
    KNOWN,
    RANGE,
    TOLERANCE,
    Family,
    Result,
    Search,
)
from axynq.host.design.space import Choice, Shape, Space
from axynq.host.design.speed import LeastSteps, cycles_per_image
from axynq.host.design.surrogate import PRIOR, described
from axynq.host.overlay import Overlay
from axynq.host.overlay.board import load_board

BOARD = load_board("pynq-z2")
EXACT = [Need(frozenset(["exact"]), 1.0)]
SPACE = Space(
    mixes(EXACT, (8, 16, 32), False) + mixes(EXACT, (8,), True)[2::2],
    inputs=(8, 16),
    copies=(1, 2),
    finish_steps=(1, 4, 16),
    add_steps=(1, 2),
    window_parts=(1, 4),
    map_words=(2048, 8192),
    weight_vectors=(512, 1024),
    partial_sums=((512, "block RAM"),),
)
EVERY = [choice for shape in SPACE.shapes() for choice in SPACE.choices(shape)]


def key_of(overlay: Overlay) -> str:
    return str(overlay.model_dump(exclude={"name", "clock_mhz"}))


class Told:
    """Workers that know all answers at once: LUTs near the surrogate's terms, cycles by a formula
    in which more of everything is never slower."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.count, self.clocks = 2, (100.0,)
        self.model = SimpleNamespace(layers=())
        x, known = described(EVERY)
        prior = np.array(list(PRIOR.values()))
        amounts = x @ (prior * random.uniform(0.8, 1.2, prior.shape)) + known
        amounts[:, 0] += random.normal(0, 200, len(EVERY))
        keys = [key_of(choice.overlay("a", "pynq-z2", 100.0)) for choice in EVERY]
        self.amounts = dict(zip(keys, amounts))
        self.weight = random.uniform(0.5, 2, 3)

    def look(self, overlay: Overlay) -> Look:
        values = self.amounts[key_of(overlay)]
        bounds = ("low", "likely", "high")
        resources = {n: dict.fromkeys(bounds, float(v)) for n, v in zip(RESOURCES, values)}
        return Look(overlay.clock_mhz, {}, 25, resources)

    def time(self, overlay: Overlay) -> float:
        array, buffers = overlay.array, overlay.buffers
        steps = 1e7 / (array.inputs * array.filters * array.copies)
        a, b, c = self.weight
        finish = a * 1000 * overlay.finish_steps(False) + b * 300 * overlay.finish_steps(True)
        waits = c * 3e6 / buffers.map_words + 1e5 / buffers.weight_vectors
        return steps + (finish + waits + 2000 / overlay.window_lanes) / array.copies

    def looks(self, overlays: Sequence[Overlay], advance: Callable[[int], None]) -> list[Look]:
        return [self.look(overlay) for overlay in overlays]

    def cycles(self, asked: Sequence[tuple[Plan, Overlay, int, None]]) -> list[float]:
        return [self.time(overlay) for _, overlay, _, _ in asked]

    def least(self, shape: Shape) -> float:
        return 1e7 / shape.multipliers


def searched(told: Told, limits: Limits, points: int = 4) -> Result:
    search = Search("pynq-z2", BOARD, limits, told, 16)  # type: ignore[arg-type]
    family = Family("exact", SPACE, lambda shape: ANY, told.least)
    return search.front_of(search.best_of(family, 1e6), 1e6, points)


def thorough(*seeds: int) -> list[object]:
    return [pytest.param(seed, marks=pytest.mark.thorough) for seed in seeds]


@pytest.mark.parametrize("share", [0.55, 0.7, 0.8])
@pytest.mark.parametrize("seed", [1, *thorough(2, 18935)])
def test_the_best_is_the_best_of_all(seed: int, share: float) -> None:
    told = Told(seed)
    result = searched(told, Limits(lut=share))
    assert result.proven
    assert result.best is not None
    allowed = Limits(lut=share).amounts(BOARD)
    overlays = {key_of(o): o for o in (c.overlay("a", "pynq-z2", 100.0) for c in EVERY)}
    able = [o for key, o in overlays.items() if (told.amounts[key] <= allowed).all()]
    fastest = max(1e8 / told.time(overlay) for overlay in able)
    # Arrays of which the surrogate is wrong by more than a standard deviation may be missed.
    assert result.best.images_per_second >= 0.97 * fastest
    best = key_of(result.best.choice.overlay("a", "pynq-z2", 100.0))
    assert (told.amounts[best] <= allowed).all()
    assert result.looked < 40


@pytest.mark.parametrize("seed", [0, *thorough(1, 2, 3)])
def test_the_front_is_that_of_all(seed: int) -> None:
    """Every array has one that is known, takes about as many LUTs by the surrogate (memories take
    some), and is about as fast."""
    told = Told(seed)
    search = Search("pynq-z2", BOARD, Limits(), told, 16)  # type: ignore[arg-type]
    family = Family("exact", SPACE, lambda shape: ANY, told.least)
    items = search.best_of(family, 1e6)
    items.settle(items.front_candidates)
    known = [n for n, stage in enumerate(items.stage) if stage == KNOWN]
    guess = items._amounts()
    allowed = Limits().amounts(BOARD)
    front = [(guess[n, 0], 1 / items.cycles[n]) for n in known if (guess[n] <= allowed).all()]
    fastest = max(speed for _, speed in front)
    every = search.surrogate.guess(described(EVERY)).likely
    for choice, row in zip(EVERY, every):
        if choice in search.looks:
            row = [search.looks[choice].likely(resource) for resource in RESOURCES]
        speed = 1 / told.time(choice.overlay("a", "pynq-z2", 100.0))
        if (row <= allowed).all() and 1.1 * fastest / RANGE <= speed <= fastest:
            beaten = max((s for luts, s in front if luts <= row[0] + 300), default=0.0)
            assert beaten >= speed / (1 + 2 * COARSE)


def test_a_front_has_none_that_another_beats() -> None:
    front = searched(Told(1), Limits(), points=6).front()
    assert len(front) >= 4
    luts = [found.luts for found in front]
    speeds = [found.images_per_second for found in front]
    assert luts == sorted(luts)
    assert speeds == sorted(speeds)
    assert all(found.fits for found in front)


def test_nothing_fits() -> None:
    result = searched(Told(2), Limits(lut=0.2))
    assert result.best is None
    assert result.smallest[0] > Limits(lut=0.2).amounts(BOARD)[0]


@pytest.mark.thorough
def test_steps_are_a_bound(digits: graph.Model) -> None:
    """No array takes fewer cycles than its least steps, under any plan."""
    for text in ("exact", "flam=exact|roup:1,4"):
        plan = Plan.parse(digits, text)
        least = LeastSteps(digits, plan)
        needs = [Need(frozenset(["exact"]), 0.5), Need(frozenset(["roup:1,4"]), 0.5)]
        space = Space(mixes(needs, (4, 16), False), inputs=(8, 16), copies=(1, 2))
        for shape in space.shapes():
            overlay = space.fastest(shape).overlay("tried", "pynq-z2", 100.0)
            cycles = cycles_per_image(digits, plan, overlay, 4)
            if cycles is None:  # a depthwise layer has no window lanes with its multiplier
                assert shape.lanes[0].size >= overlay.window_lanes
                continue
            assert 0.1 * cycles < least.of(shape) <= cycles


def test_more_is_never_much_slower(digits: graph.Model) -> None:
    """What the search takes for granted of requantisers, adders and memories."""
    shape = Shape(8, SPACE.mixes[0])
    choices: list[Choice] = list(SPACE.choices(shape))
    cycles = {
        choice: cycles_per_image(digits, ANY, choice.overlay("a", "pynq-z2", 100.0), 4)
        for choice in choices[:: len(choices) // 24]
    }
    for one, slow in cycles.items():
        for other, fast in cycles.items():
            if all(a >= b for a, b in zip(other[1:], one[1:]) if isinstance(a, int)):
                assert fast is not None
                assert slow is not None
                assert fast <= slow * (1 + 2 * TOLERANCE)


def test_what_no_lane_can_take_is_no_array(digits: graph.Model) -> None:
    least = LeastSteps(digits, Plan.uniform("roup:1,4"))
    assert least.of(Shape(8, SPACE.mixes[0])) == pytest.approx(np.inf)
