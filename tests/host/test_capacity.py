# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many filters may use a multiplier before a layer takes longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from axynq.emulator import Plan
from axynq.emulator.model import graph
from axynq.host import Overlay, compile_program
from axynq.host.compiler.capacity import most_filters
from axynq.host.performance.cycles import program_cycles
from tests.overlays import write_overlay


def steps(digits: graph.Model, overlay: Overlay, name: str, exact: int) -> int:
    """Of a layer whose first filters are exact; all others are approximate."""
    codes = {}
    for layer in digits.layers:
        chosen = np.ones(layer.kernel.shape, np.uint8)
        if layer.name == name:
            chosen[:exact] = 2
        codes[layer.name] = (["roup:2,6", "exact"], chosen)
    cycles = program_cycles(compile_program(digits, Plan.from_codes(codes), overlay, 1), overlay, 1)
    return next(each for each in cycles.layers if each.name == name).counts.multiply_steps


def test_one_filter_more_takes_longer(tmp_path: Path, digits: graph.Model) -> None:
    """Held against programs: as many exact filters as are promised take as many steps as the fewest
    do, one more takes more; and as few as the approximate lanes leave."""
    lanes = [(5, ["roup:2,6"], "separate"), (1, ["exact"], "separate"), (2, ["exact"], "dsp pair")]
    overlay = write_overlay(
        tmp_path, filters=8, requantisers=4, lanes=lanes, map_words=4096, weight_vectors=1024
    )
    promised = most_filters(digits, overlay)
    assert promised["conv_4"] == {"roup:2,6": 20, "exact": 12}
    assert promised["fully_connected_9"] == {"roup:2,6": 10, "exact": 6}
    for name in ("conv_0", "conv_2", "conv_4"):
        filters = next(len(each.kernel) for each in digits.layers if each.name == name)
        most, fewest = promised[name]["exact"], filters - promised[name]["roup:2,6"]
        assert steps(digits, overlay, name, most) == steps(digits, overlay, name, fewest)
        assert steps(digits, overlay, name, most + 1) > steps(digits, overlay, name, most)
        assert steps(digits, overlay, name, fewest - 1) > steps(digits, overlay, name, fewest)
