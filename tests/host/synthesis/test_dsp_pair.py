# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Calls of DSP pairs as a scheduler sees them, and what they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from axynq.host import Overlay
from axynq.host.bitstream.flow import retarget
from axynq.host.generate.overlay_files import blackboxes_header, overlay_blackboxes
from axynq.host.synthesis import compilation, delays
from axynq.host.synthesis.compilation import Compiled, compile_source
from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.estimate import blackbox_cost, estimate
from axynq.host.synthesis.findings import problems
from axynq.host.synthesis.logic import Logic, logic_of
from axynq.host.synthesis.memories import Memories, plain_name
from axynq.host.synthesis.parts import MAPPED
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.schedule import LoopSchedule, schedule, schedule_overlay
from axynq.host.synthesis.widths import Widths
from tests.overlays import write_overlay

pytest.importorskip("llvmlite")
pytest.importorskip("ziglang")

INCLUDE = Path(compilation.__file__).parents[2] / "hls" / "include"

SOURCE = """
#include "axynq/circuit.hpp"
using namespace axynq;
void top(activation_t *a, weight_t *w, product_t *to, int count) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=a)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=w)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
LOOP:
  for (int i = 0; i < count; ++i) {
    AXYNQ_PIPELINE
    SUM
  }
}
"""
PAIR = """
    const pair_t pair = pair_circuit::products(a[i], w[i], weight_t(w[i] ^ 85));
    to[i] = exact_pair::first_of(pair) + exact_pair::second_of(pair);
"""
TWO = """
    to[i] = circuit<exact>::product(a[i], w[i]) +
            circuit<exact>::product(a[i], weight_t(w[i] ^ 85));
"""


def overlay_with_pairs(folder: Path) -> Overlay:
    lanes = [(2, ["exact"], "dsp pair"), (2, ["exact"], "separate")]
    return write_overlay(folder, "pairs", lanes=lanes)


def compiled(folder: Path, body: str, *defines: str) -> Compiled:
    source = folder / "source.cpp"
    source.write_text(SOURCE.replace("SUM", body))
    header = blackboxes_header(overlay_with_pairs(folder))
    generated = {"axynq/blackboxes.hpp": header}
    return compile_source(source, "top", [INCLUDE], generated, defines)


def scheduled(made: Compiled) -> LoopSchedule:
    (loop,) = schedule(made, "pairs", 10.0).loops
    return loop


def logic(made: Compiled) -> Logic:
    function = made.module.functions[made.top]
    return logic_of(made, Memories(made), Places(made.module), function, delays.budget(10.0))


NETLISTS = "AXYNQ_RTL_MULTIPLIERS"


def test_a_pair_is_one_call_of_34_bits(tmp_path: Path) -> None:
    made = compiled(tmp_path, PAIR, NETLISTS)
    calls = {plain_name(name): count for name, count in logic(made).netlists.items()}
    assert calls == {"axynq_dsp_pair_dsp48e1": 1}
    function = made.module.functions[made.top]
    (call,) = (i for i in function.instructions() if "axynq_dsp_pair" in i.detail)
    assert len(call.operands) == 3
    assert Widths(function).result(call) == 34


def test_a_pair_takes_its_own_latency(tmp_path: Path) -> None:
    pair = scheduled(compiled(tmp_path, PAIR, NETLISTS))
    two = scheduled(compiled(tmp_path, TWO, NETLISTS))
    assert (pair.ii, two.ii) == (1, 1)
    assert pair.depth == two.depth + 2
    assert pair.obstacles == ()


def test_the_functor_is_one_multiplication_in_a_dsp(tmp_path: Path) -> None:
    """Its operands fit one block: 25 x 18 bits."""
    loop = scheduled(compiled(tmp_path, PAIR))
    (product,) = loop.multiplications
    assert product.operands == (25, 9)
    assert (product.count, product.dsps) == (1, 1)


@pytest.mark.parametrize(("board", "block"), [("pynq-z2", "dsp48e1"), ("zcu104", "dsp48e2")])
def test_the_block_is_that_of_the_board(board: str, block: str, tmp_path: Path) -> None:
    overlay = retarget(overlay_with_pairs(tmp_path), board)
    pair, exact = overlay_blackboxes(overlay)
    assert pair.function == f"axynq_dsp_pair_{block}"
    assert exact.function == "axynq_exact"
    assert blackbox_cost(pair) == Cost(0, 0, 1)
    assert blackbox_cost(exact) == Cost(40, 33, 0)
    assert f" {pair.function}(" in blackboxes_header(overlay)


@pytest.mark.thorough
def test_an_overlay_with_pairs(tmp_path: Path) -> None:
    overlay = overlay_with_pairs(tmp_path)
    parts = {part.name: part for part in estimate(overlay).parts}
    pair = parts["axynq_dsp_pair_dsp48e1"]
    assert (pair.basis, pair.instances) == (MAPPED, 4)  # two lanes of four inputs
    assert (pair.lut, pair.flip_flop, pair.dsp) == (0, 0, 4)
    assert parts["axynq_exact"].instances == 8
    found = schedule_overlay(overlay)
    assert problems(found) == []
    assert {loop.ii for loop in found.loops} == {1}
