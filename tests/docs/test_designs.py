# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Overlays that come from the designer are what their figures are of."""

from __future__ import annotations

from typing import Any

import pytest

from axynq.emulator import load_model
from axynq.host import Overlay, compile_program
from axynq.host.performance.cycles import program_cycles
from tests.docs.documents import ROOT, document
from tests.docs.test_tables import number, plain, results

NAMES = sorted(path.stem for path in (ROOT / "benchmarks" / "design").glob("*.json"))


def figures(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = results(f"benchmarks/design/{name}.json")
    return content, content["figures"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_those_of_the_overlay(name: str) -> None:
    content, expected = figures(name)
    overlay = Overlay.load(name)
    assert overlay.hash == content["overlay_hash"]
    assert overlay.clock_mhz == expected["clock_mhz"]
    model = load_model(ROOT / "models" / "resnet8_int8.tflite")
    for batch, key in ((content["batch"], "cycles_per_image"), (1, "cycles_per_image_batch_1")):
        program = compile_program(model, content["plan"], overlay, batch)
        found = program_cycles(program, overlay, batch).cycles_per_image
        # The search rounds nothing; what a phase waits for depends on the loop's depth alone.
        assert found == pytest.approx(expected[key], rel=1e-3)
    estimated = results("benchmarks/resources/results.json")["overlays"][name]["totals"]
    for resource, bounds in expected["resources"].items():
        assert estimated[resource]["likely"] == pytest.approx(bounds["likely"], rel=1e-3)
        assert bounds["likely"] <= content["limits"][resource]["amount"]


def test_table_of_designs() -> None:
    (table,) = document("docs/design.md").tables("Overlays that come from it")
    assert sorted(plain(row[0]) for row in table[1:]) == NAMES
    for name, board, _, clock, speed, alone, likely, low_high, dsps, rams in table[1:]:
        content, expected = figures(plain(name))
        assert plain(board) == content["board"]
        assert number(clock) == pytest.approx(expected["clock_mhz"], abs=0.006)
        assert number(speed) == round(expected["images_per_second"])
        assert number(alone) == round(expected["latency_ms"], 3)
        resources = expected["resources"]
        assert number(likely) == round(resources["lut"]["likely"])
        low, high = low_high.split(" to ")
        assert (number(low), number(high)) == (
            round(resources["lut"]["low"]),
            round(resources["lut"]["high"]),
        )
        assert number(dsps) == resources["dsp"]["likely"]
        assert number(rams) == resources["block_ram_36k"]["likely"]


def test_what_approximation_buys() -> None:
    best_of, luts = document("docs/design.md").tables("What approximation buys, and what it cannot")
    content, chosen = figures("z2-hybrid")
    families = content["families"]
    assert [row[0] for row in best_of[1:]] == list(families)
    for kind, _, speed, ratio, likely, dsps in best_of[1:]:
        best = families[kind]["best"]
        assert number(speed) == round(best["images_per_second"])
        assert number(ratio) == round(chosen["images_per_second"] / best["images_per_second"], 2)
        assert number(likely) == round(best["resources"]["lut"]["likely"])
        assert number(dsps) == best["resources"]["dsp"]["likely"]
    parts, total = content["luts"]["parts"], content["luts"]["total"]
    for part, amount, share in luts[1:]:
        assert number(amount) == round(parts[part])
        assert number(share) == round(100 * parts[part] / total)
    assert sum(parts[row[0]] for row in luts[1:]) > 0.99 * total
