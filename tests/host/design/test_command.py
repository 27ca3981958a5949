# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq design`` as a user types it, over a small space."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples
from axynq.emulator.model import graph
from axynq.host import Overlay, compile_program, design_overlay
from axynq.host.design import designer
from axynq.host.design.space import Space
from axynq.host.performance.cycles import Timing, program_cycles
from tests.host.test_cli import json_of

pytest.importorskip("llvmlite")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty at the first test; what that compiles, the others find again."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def finish_steps() -> tuple[int, ...]:
    """One, so that there is a single array to compile for each set of lanes."""
    return (2,)


@pytest.fixture
def small(monkeypatch, cache: Path, finish_steps: tuple[int, ...]) -> None:
    """Arrays that are compiled in a second or two, and a cache of these tests' own."""

    def usual_space(request: designer.Request, lanes) -> Space:
        few = tuple(mix for mix in lanes if sum(group.size for group in mix) == 4)
        return Space(
            few[:1], inputs=(4,), finish_steps=finish_steps, add_steps=(1,), window_parts=(1,),
            map_words=(4096,), weight_vectors=(512,), partial_sums=((512, "block RAM"),),
            codes_in=("block RAM",),
        )  # fmt: skip

    monkeypatch.setattr(designer, "usual_space", usual_space)
    monkeypatch.setenv("AXYNQ_CACHE", str(cache))


LOOKED_AT = ("--plan", "flam=exact|roup:1,4", "--clocks", "50,100", "--no-dsp-products")
"""Of these tests, the first looks at the array for them, and the others find what it kept."""


@pytest.mark.parametrize(
    ("finish_steps", "compare"),
    [((2,), False), pytest.param((2, 4), True, marks=pytest.mark.thorough)],
)
def test_design(axynq, small, digits: graph.Model, digits_path, tmp_path, compare: bool) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "designed"
    plan = LOOKED_AT[1]
    content = json_of(
        axynq("design", digits_path, "--output", folder, *LOOKED_AT, "--batch", 4, "--json",
              "--compare" if compare else "--no-compare")
    )  # fmt: skip
    overlay = Overlay.load(folder / "overlay.toml")
    assert (folder / "overlay.toml").read_text().startswith("# Found by axynq design")
    assert overlay.name == content["overlay"] == "digits-int8-pynq-z2"
    assert overlay.hash == content["overlay_hash"]
    assert overlay.clock_mhz == content["figures"]["clock_mhz"] == 100
    written = json.loads((folder / "design.json").read_text())
    assert written["format"] == "axynq-design"
    assert written["version"] == 1
    assert written["figures"] == content["figures"]
    # The figures are those of the program that users compile for the overlay, with the depth of
    # the loop that was found.
    for batch, name in ((4, "cycles_per_image"), (1, "cycles_per_image_batch_1")):
        program = compile_program(digits, Plan.parse(digits, plan), overlay, batch)
        timing = Timing(multiply_fill=content["figures"]["depth"])
        cycles = program_cycles(program, overlay, batch, timing).cycles_per_image
        assert content["figures"][name] == cycles
    speed = 1e8 / content["figures"]["cycles_per_image"]
    assert content["figures"]["images_per_second"] == pytest.approx(speed, rel=1e-4)
    families = content["families"]
    assert list(families) == ["approximate", "exact, no products in DSPs"][: 1 + compare]
    assert all(family["proven"] for family in families.values())
    assert families["approximate"]["best"]["array"] == content["figures"]["array"]
    lut = content["figures"]["resources"]["lut"]
    assert lut["low"] < lut["likely"] < lut["high"]
    assert content["luts"]["total"] == pytest.approx(lut["likely"], rel=0.005)
    assert sum(content["bounded_by"]["cycles"].values()) == pytest.approx(1, abs=0.001)
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "plan.json").exists()


@pytest.mark.thorough
def test_with_a_library(
    axynq, small, monkeypatch, digits: graph.Model, digits_path, digits_data, tmp_path
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("AXYNQ_ENGINE", "portable")  # the cache, which is empty, has no kernel
    folder = tmp_path / "designed"
    code, out, _ = axynq(
        "design", digits_path, "--output", folder, "--multipliers", "exact|roup:1,4", "--data",
        digits_data, "--clocks", "100", "--no-compare", "--objective", "energy", "--limit", 20,
        "--weights", "histogram", "--compensate",
    )  # fmt: skip
    assert code == 0
    assert "LUTs of the chosen array are for" in out
    plan = Plan.load(folder / "plan.json")
    overlay = Overlay.load(folder / "overlay.toml")
    assert compile_program(digits, plan, overlay).overlay_hash == overlay.hash
    content = json.loads((folder / "design.json").read_text())
    assert 0 < content["figures"]["accuracy"] <= 1
    assert content["figures"]["joules_per_image"] > 0
    measured = content["accuracy_on_test_examples"]
    assert set(measured) == {"exact", "chosen"}
    # What is written is what was measured: tuned to the plan.
    tuned = load_model(folder / "tuned.tflite")
    assert any(not np.array_equal(a.bias, b.bias) for a, b in zip(tuned.layers, digits.layers))
    data = load_dataset(digits_data).evenly(20)
    x = quantise_examples(digits.input, data.x)
    assert Emulator(tuned, plan).accuracy(x, data.y) == pytest.approx(measured["chosen"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*LOOKED_AT, "--lut-limit", 0.1), "no array fits pynq-z2: the smallest would take about"),
        pytest.param(
            ("--clocks", "1000"),
            "no array reaches a clock: at 1000 MHz",
            marks=pytest.mark.thorough,
        ),
        (("--multipliers", "exact"), "no approximate multiplier"),
        ((*LOOKED_AT, "--time-limit", 0), "the time was up"),
    ],
)
def test_what_cannot_be_designed(axynq, small, digits_path, tmp_path, options, message) -> None:
    code, out, err = axynq("design", digits_path, "--output", tmp_path / "d", *options)
    assert code == 1
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.thorough
def test_in_python(small, digits: graph.Model) -> None:
    made = design_overlay(digits, compare=False, clocks=[100.0], objective="latency")
    assert made.overlay.array.copies == 1
    assert made.chosen.latency_milliseconds > 0
    assert made.most_filters.keys() == {layer.name for layer in digits.layers}
