# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Faults that keep HLS sources from full speed are reported, and cured ones are not."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from axynq.host.synthesis.compilation import compile_source
from axynq.host.synthesis.findings import costs, problems
from axynq.host.synthesis.schedule import LoopSchedule, Schedule, schedule

pytest.importorskip("llvmlite")
pytest.importorskip("ziglang")

FAULTS = Path(__file__).parent / "faults"
CLOCK_NS = 10.0


def schedule_of(fault: str, clean: bool) -> Schedule:
    with resources.as_file(resources.files("axynq.hls") / "include") as include:
        defines = ["CLEAN"] if clean else []
        source = FAULTS / f"{fault}.cpp"
        return schedule(compile_source(source, "top", [include], {}, defines), fault, CLOCK_NS)


def loop_of(found: Schedule, name: str) -> LoopSchedule:
    return next(loop for loop in found.loops if loop.name == name)


def told(found: Schedule) -> str:
    return "\n".join([*problems(found), *costs(found)])


def test_a_bank_chosen_by_a_variable() -> None:
    faulty, clean = schedule_of("bank", False), schedule_of("bank", True)
    [access] = [a for a in loop_of(faulty, "READ").accesses if a.array == "memory"]
    assert (access.banks, access.reads, access.variable_bank) == (8, 4, True)
    assert loop_of(faulty, "READ").ii == 4
    assert "a variable chooses the bank of memory" in told(faulty)
    assert loop_of(clean, "READ").ii == 1
    assert problems(clean) == []


def test_arguments_of_a_region_that_are_not_stable() -> None:
    faulty, clean = schedule_of("stable", False), schedule_of("stable", True)
    [region] = faulty.regions
    assert region.unstable == ("shape", "source", "destination")
    assert [process.name for process in region.processes] == ["load", "scale", "store"]
    scalars = {process.name: [name for name, _ in process.scalars] for process in region.processes}
    assert sorted(scalars["load"]) == ["shape.offset", "shape.words"]
    assert "3 arguments are not stable" in told(faulty)
    channels = {(c.name, c.writers, c.readers) for c in region.channels}
    assert channels == {("words", ("load",), ("scale",)), ("scaled", ("scale",), ("store",))}
    assert problems(clean) == []
    assert [process.scalars for process in clean.regions[0].processes] == [()] * 3
    assert {loop.name: loop.ii for loop in clean.loops} == {"LOAD": 1, "SCALE": 1, "STORE": 1}


def test_a_division_in_a_loop() -> None:
    faulty, clean = schedule_of("division", False), schedule_of("division", True)
    assert loop_of(faulty, "ROWS").dividers == 1
    lines = (FAULTS / "division.cpp").read_text(encoding="utf-8").splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "/ int(columns)" in text)
    assert f"ROWS in top: 1 dividers, at division.cpp:{line}" in told(faulty)
    assert loop_of(faulty, "ROWS").depth > loop_of(clean, "ROWS").depth + 12
    assert loop_of(clean, "ROWS").dividers == 0
    assert problems(clean) == []


def test_a_lane_chosen_by_a_variable() -> None:
    faulty, clean = schedule_of("lane", False), schedule_of("lane", True)
    [choice] = loop_of(faulty, "FINISH").multiplexers
    assert (len(choice.operands), choice.width, choice.count) == (16, 32, 4)
    assert "4 choices by a variable among 16 values of 32 bits" in told(faulty)
    assert loop_of(clean, "FINISH").multiplexers == ()
    assert told(clean) == ""


def test_wide_nested_counters() -> None:
    faulty, clean = schedule_of("counters", False), schedule_of("counters", True)
    assert loop_of(faulty, "COUNT").ii == 2
    worst = loop_of(faulty, "COUNT").recurrences[0]
    assert worst.delay_ns > faulty.budget_ns
    assert {"add 32", "equal 32"} <= set(worst.operators)
    assert "from one iteration to the next" in told(faulty)
    assert loop_of(clean, "COUNT").ii == 1
    assert problems(clean) == []
