# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is found of arrays is kept, and guessed well; clocks and breakdown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.host.design import looks
from axynq.host.design.breakdown import ADDERS, MULTIPLIERS, REGISTERS, break_down
from axynq.host.design.clocks import netlist_nanoseconds, usual_clocks, why_too_fast
from axynq.host.design.looks import RESOURCES, Look, look_at
from axynq.host.design.space import Choice, Group, Shape
from axynq.host.design.surrogate import PRIOR, Surrogate, described
from axynq.host.netlists.designs import netlist
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.overlay.board import load_board
from axynq.host.overlay.description import LaneGroup
from axynq.host.synthesis.estimate import estimate
from axynq.host.synthesis.schedule import LoopSchedule, Schedule, Way

RESULTS = Path(__file__).parents[3] / "benchmarks" / "resources" / "results.json"


def choice_of(overlay: Overlay) -> Choice:
    array, buffers = overlay.array, overlay.buffers
    groups = tuple(Group(g.count, g.bank, g.cell) for g in overlay.lanes)
    return Choice(
        Shape(array.inputs, groups, array.copies), array.requantisers, overlay.adders,
        overlay.window_lanes, buffers.map_words, buffers.weight_vectors, buffers.groups,
        buffers.partial_sums, buffers.sums_in, buffers.codes_in,
    )  # fmt: skip


@pytest.fixture
def cache(monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    return tmp_path / "designs"


FOUND = Look(
    100.0, {"125": "too fast"}, 25,
    {name: {"low": 1.0, "likely": 2.0, "high": 3.0} for name in RESOURCES},
)  # fmt: skip


def test_looks_are_kept(cache: Path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(looks, "_looked", lambda overlay, clocks: asked.append(clocks) or FOUND)
    tiny = Overlay.load("tiny4")
    assert look_at(tiny, (100.0,)) == look_at(tiny, (100.0,)) == FOUND
    # Name and clock are not what is looked at; clocks to choose from and the array are.
    look_at(tiny.model_copy(update={"name": "other", "clock_mhz": 50.0}), (100.0,))
    assert len(asked) == 1
    look_at(tiny, (100.0, 125.0))
    look_at(Overlay.load("z2-exact16"), (100.0,))
    assert len(asked) == len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("content", ["", "{}", "null", '{"clock_mhz": 1}', "[1]"])
def test_damaged_looks_are_looked_at_again(cache: Path, monkeypatch, content: str) -> None:
    monkeypatch.setattr(looks, "_looked", lambda overlay, clocks: FOUND)
    tiny = Overlay.load("tiny4")
    look_at(tiny, (100.0,))
    [path] = cache.iterdir()
    path.write_text(content)
    assert look_at(tiny, (100.0,)) == FOUND
    assert json.loads(path.read_text())["depth"] == 25


def test_without_a_cache_arrays_are_looked_at_again(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    asked = []
    monkeypatch.setattr(looks, "_looked", lambda overlay, clocks: asked.append(clocks) or FOUND)
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path / "file"))
    assert [look_at(Overlay.load("tiny4"), (100.0,)) for _ in range(2)] == [FOUND, FOUND]
    assert len(asked) == 2


@pytest.mark.thorough
def test_a_look_is_the_estimate(cache: Path) -> None:
    pytest.importorskip("llvmlite")
    tiny = Overlay.load("tiny4")
    found = look_at(tiny, (1.0, 1000.0))
    assert found.clock_mhz == 1.0
    assert "1000" in found.refused
    slow = estimate(tiny.model_copy(update={"clock_mhz": 1.0}))
    assert found.likely("lut") == pytest.approx(slow.total("lut"), abs=0.1)


@pytest.mark.slow
def test_luts_are_told_apart_without_loss() -> None:
    pytest.importorskip("llvmlite")
    tiny = Overlay.load("tiny4")
    made = break_down(tiny)
    assert made.total == pytest.approx(shipped()["tiny4"]["lut"]["likely"], rel=0.005)
    per_lane = [sum(netlist(m.spec).resources()["LUT"] for m in bank) for bank in tiny.banks]
    assert made.parts[MULTIPLIERS] == 4 * sum(per_lane)
    assert made.per_lane[ADDERS] > 0
    assert made.parts[REGISTERS] > 0
    assert made.most_lanes > 1 / (1 - made.multipliers_share)


# --- the surrogate -------------------------------------------------------------------------------


def shipped() -> dict[str, dict[str, dict[str, float]]]:
    content = json.loads(RESULTS.read_text())["overlays"]
    return {name: content[name]["totals"] for name in overlay_names() if name in content}


def test_a_first_guess_is_close() -> None:
    """Of overlays that come with axynq, whose estimates are kept."""
    for name, totals in shipped().items():
        guess = Surrogate().guess(described([choice_of(Overlay.load(name))]))
        likely = [totals[resource]["likely"] for resource in RESOURCES]
        assert guess.likely[0, 0] == pytest.approx(likely[0], rel=0.2), name
        assert guess.likely[0, 2] == pytest.approx(likely[2], abs=7), name
        assert guess.likely[0, 3] == pytest.approx(likely[3], abs=8), name
        assert abs(guess.likely[0] - likely)[0] <= 3 * guess.doubt[0, 0], name


def arrays(seed: int, count: int) -> list[Choice]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        inputs, lanes = int(random.choice([8, 16, 32])), int(random.choice([8, 16, 32]))
        spec = str(random.choice(["exact", "roup:2,6"]))
        requantisers = int(random.choice([1, 2, 4, 8]))
        made.append(
            Choice(
                Shape(inputs, (Group(lanes, (spec,)),), int(random.integers(1, 4))), requantisers,
                int(random.choice([1, requantisers])), int(random.choice([2, 8])),
                int(random.choice([2048, 8192])), 512, 32, 512, "block RAM", "block RAM",
            )
        )  # fmt: skip
    return made


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_it_learns_what_it_is_shown(seed: int) -> None:
    """Of resources that are linear in its terms, and others than it thought, it guesses arrays that
    it was not shown: the better for those that it was."""
    random = np.random.default_rng(seed)
    prior = np.array(list(PRIOR.values()))
    truth = prior * random.uniform(0.7, 1.3, prior.shape)
    choices = arrays(seed, 48)
    x, known = described(choices)
    amounts = x @ truth + known

    def look(row: np.ndarray) -> Look:
        return Look(100.0, {}, 25, {n: {"likely": float(v)} for n, v in zip(RESOURCES, row)})

    surrogate = Surrogate()
    before = surrogate.guess(described(choices[40:])).likely
    surrogate.fit(described(choices[:40]), [look(row) for row in amounts[:40]])
    guess = surrogate.guess(described(choices[40:]))
    error = abs(guess.likely - amounts[40:]) / amounts[40:]
    assert (error.max(axis=0) < (0.06, 0.1, 0.03, 0.03)).all()
    assert error[:, 0].mean() < 0.5 * (abs(before - amounts[40:]) / amounts[40:])[:, 0].mean()


def test_doubt_falls_where_it_has_looked() -> None:
    choices = arrays(1, 6)
    surrogate = Surrogate()
    before = surrogate.guess(described(choices))
    looks_ = [
        Look(100.0, {}, 25, {n: {"likely": float(v)} for n, v in zip(RESOURCES, row)})
        for row in before.likely
    ]
    surrogate.fit(described(choices), looks_)
    after = surrogate.guess(described(choices))
    assert (after.doubt < before.doubt).all()
    assert after.likely == pytest.approx(before.likely)


# --- clocks --------------------------------------------------------------------------------------


def lanes(*bank: str, cell: str = "separate") -> LaneGroup:
    return LaneGroup(count=2, bank=bank, cell=cell)


def test_smaller_multipliers_are_faster() -> None:
    board = load_board("pynq-z2")
    times = [
        netlist_nanoseconds([lanes(*bank)], board)
        for bank in (("roup:2,6",), ("roup:1,4",), ("exact",), ("smapprox:3330",))
    ]
    assert times == sorted(times)
    assert len(set(times)) == 4
    joined = netlist_nanoseconds([lanes("roup:2,6"), lanes("smapprox:3330")], board)
    assert joined == times[-1]
    assert netlist_nanoseconds([lanes("exact", cell="dsp pair")], board) < times[0]
    assert netlist_nanoseconds([lanes("exact")], load_board("zcu104")) < times[0] < times[2]


def test_what_stands_against_a_clock() -> None:
    board = load_board("pynq-z2")

    def why(clock_ns: float, **loop: object) -> str | None:
        made = LoopSchedule(**{"name": "L", "function": "f", "ii": 1, "depth": 3, **loop})
        return why_too_fast(Schedule("o", clock_ns, 1.0, (made,), ()), [lanes("exact")], board)

    assert why(10.0) is None
    assert "a multiplier needs" in (why(5.0) or "")
    assert "every 2 cycles" in (why(10.0, ii=2) or "")
    assert "mul at a.hpp:3" in (why(10.0, slow=("mul at a.hpp:3",)) or "")
    way = Way(0.9, 1, ("add", "select"), ("a.hpp:4",))
    assert "0.9 ns from a register to itself" in (why(10.0, recurrences=(way,)) or "")
    assert why(10.0, recurrences=(replace(way, operators=()),)) is None


def test_usual_clocks_rise() -> None:
    for name in ("pynq-z2", "zcu104"):
        clocks = usual_clocks(load_board(name))
        assert list(clocks) == sorted(set(clocks))
