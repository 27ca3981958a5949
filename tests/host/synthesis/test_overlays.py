# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The sources keep every pipelined loop at an iteration a clock cycle, and mutations are reported.

Each mutation is a change to the sources of the accelerator itself.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from axynq.host.overlay import Overlay, overlay_names
from axynq.host.performance import schedules
from axynq.host.synthesis import delays
from axynq.host.synthesis.compilation import compile_overlay
from axynq.host.synthesis.figures import figures_of
from axynq.host.synthesis.findings import costs, problems
from axynq.host.synthesis.memories import Memories
from axynq.host.synthesis.operators import DIVISIONS, regions
from axynq.host.synthesis.schedule import Schedule, schedule, schedule_overlay
from tests.overlays import write_overlay

pytest.importorskip("llvmlite")
pytest.importorskip("ziglang")

HLS = Path(__file__).parents[3] / "hls"
DSPS_OF_CONTROL = 30


def thorough(*values: object):
    return pytest.param(*values, marks=pytest.mark.thorough)


OVERLAYS = [name if name == "tiny4" else thorough(name) for name in overlay_names()]


@pytest.fixture(scope="module")
def clean() -> Schedule:
    return schedule_overlay(Overlay.load("tiny4"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_iteration_every_clock_cycle(name: str, request: pytest.FixtureRequest) -> None:
    overlay = Overlay.load(name)
    found = request.getfixturevalue("clean") if name == "tiny4" else schedule_overlay(overlay)
    assert problems(found) == []
    assert {loop.ii for loop in found.loops} == {1}
    assert all(loop.dividers == 0 for loop in found.loops)
    # Each requantiser has two products of 32 by 31 bits, and the lanes none.
    [multiply] = [loop for loop in found.loops if loop.name == "MULTIPLY"]
    dsps = sum(product.count * product.dsps for product in multiply.multiplications)
    assert dsps == 4 * overlay.array.copies * (overlay.array.requantisers + overlay.adders)
    # Nothing that a loop keeps is within half a nanosecond of the clock, or a twentieth of it; what
    # goes from register to register takes a whole cycle, whatever the clock.
    longest = max(way.delay_ns for loop in found.loops for way in loop.recurrences if way.operators)
    assert longest <= found.budget_ns - 0.05 * found.clock_ns
    # Processes start at once, and each channel has one writer and one reader.
    [region] = found.regions
    assert [process.name for process in region.processes] == ["fetch", "load", "compute", "store"]
    assert region.unstable == ()
    assert all(process.scalars == () for process in region.processes)
    assert {(c.writers, c.readers) for c in region.channels} == {
        (("fetch",), ("compute",)), (("load",), ("compute",)), (("compute",), ("store",)),
    }  # fmt: skip
    # The figures that are kept for the cycle model, as they are written.
    text = Path(schedules.__file__).with_name(schedules.FILE).read_text(encoding="utf-8")
    assert json.loads(text)["overlays"][name] == figures_of(overlay, found)


@pytest.mark.parametrize(("board", "clock_mhz"), [("pynq-z2", 125.0), thorough("zcu104", 250.0)])
def test_hybrid_arrays_keep_up_with_faster_clocks(
    board: str, clock_mhz: float, tmp_path: Path
) -> None:
    lanes = [(4, ["roup:2,6"], "separate"), (4, ["exact"], "dsp pair")]
    array = {"adders": 1, "window_lanes": 3, "copies": 2}
    values = write_overlay(tmp_path, filters=8, lanes=lanes, array=array).model_dump()
    overlay = Overlay.model_validate(values | {"board": board, "clock_mhz": clock_mhz})
    assert {loop.ii for loop in schedule_overlay(overlay).loops} == {1}


def kept(name: str) -> dict[str, schedules.LoopFigures]:
    figures = schedules.loop_figures(Overlay.load(name))
    assert figures is not None
    return figures


def test_figures_are_kept_for_every_overlay() -> None:
    for name in overlay_names():
        assert kept(name)["MULTIPLY"].ii == 1
        assert kept(name)["MULTIPLY"].depth > 10
    other = Overlay.load("tiny4").model_copy(update={"clock_mhz": 50.0})
    assert schedules.loop_figures(other) is None


def test_few_multipliers_and_no_dividers_outside_of_loops() -> None:
    compiled = compile_overlay(Overlay.load("tiny4"))
    found = [
        operator
        for region in regions(compiled, Memories(compiled))
        if "multiply_run" not in region.function
        for operator in region.operators
    ]
    assert not any(operator.name in DIVISIONS for operator in found)
    products = [operator for operator in found if operator.kind == "mul"]
    assert sum(map(delays.dsps, products)) <= DSPS_OF_CONTROL


def mutated(folder: Path, file: str, old: str, new: str) -> Schedule:
    """The schedule of tiny4 with a piece of the sources replaced."""
    for part in ("include", "src"):
        shutil.copytree(HLS / part, folder / part)
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return schedule(compile_overlay(Overlay.load("tiny4"), folder), "mutated", 10.0)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        # A bank of the maps that a variable chooses.
        thorough(
            "include/axynq/run.hpp",
            "    read_banks(maps, reads, read_address, map_bytes);\n",
            "    read_banks(maps, reads, read_address, map_bytes);\n"
            "    map_bytes[0] = maps[at.window_tap][read_address[0]];\n",
            "a variable chooses the bank of maps",
        ),
        # An argument of the region that may change.
        (
            "src/accelerator.cpp",
            "  AXYNQ_STABLE(images)\n",
            "",
            "1 arguments are not stable, so that its processes start together: images",
        ),
        # A quotient in the position of the next tap.
        thorough(
            "include/axynq/position.hpp",
            "  const address_t next_word = now.tap.address + (to_word ? 1 : 0);\n",
            "  const address_t next_word = now.tap.address / phase.kernel_columns;\n",
            "1 dividers, at position.hpp:",
        ),
        # A lane that is chosen among all by a number.
        thorough(
            "include/axynq/finish.hpp",
            "      accumulator_t own = pending.sums[copy * FILTERS + r];\n",
            "      accumulator_t own = pending.sums[ap_uint<2>(pending.count + r)];\n",
            "MULTIPLY has choices among 4 values of 32 bits",
        ),
        # Whether it is the last is compared after the subtraction, not known before it.
        thorough(
            "include/axynq/numbers.hpp",
            "    last = last ? single : second;\n",
            "    last = left == 1;\n",
            "ns from one iteration to the next",
        ),
        # A loop whose length is not known inside a pipelined one.
        thorough(
            "include/axynq/run.hpp",
            "  for (int b = 0; b < INPUTS; ++b) {\n    AXYNQ_UNROLL\n    activations[b] =",
            "  for (int b = 0; b < phase.groups; ++b) {\n    AXYNQ_UNROLL\n    activations[b] =",
            "not pipelined because of the loop at run.hpp:",
        ),
    ],
    ids=["bank", "stable", "division", "lane", "counter", "loop"],
)
def test_mutations_are_reported(
    tmp_path: Path, clean: Schedule, file: str, old: str, new: str, told: str
) -> None:
    assert told not in everything(clean)
    assert told in everything(mutated(tmp_path, file, old, new))


def everything(found: Schedule) -> str:
    """What is told of a schedule, with choices by a variable however small."""
    choices = [
        f"{loop.name} has choices among {len(choice.operands)} values of {choice.width} bits"
        for loop in found.loops
        for choice in loop.multiplexers
    ]
    return "\n".join([*problems(found), *costs(found), *choices])
