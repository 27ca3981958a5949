# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Estimates of an overlay's resources: the shipped ones, and what they consist of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axynq.host import Overlay
from axynq.host.overlay.description import overlay_names
from axynq.host.synthesis import compilation, delays
from axynq.host.synthesis.as_verilog import loop_verilog
from axynq.host.synthesis.bits import PossibleOnes
from axynq.host.synthesis.compilation import Compiled, compile_source
from axynq.host.synthesis.estimate import content_of, estimate, instances
from axynq.host.synthesis.interfaces import memory_port, registers
from axynq.host.synthesis.logic import Logic, logic_of, pipelines
from axynq.host.synthesis.memories import Memories, plain_name
from axynq.host.synthesis.parts import BOUNDS, COUNTED, FACTORS, MAPPED
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.state import state_of

ROOT = Path(compilation.__file__).parents[2]
BUDGET = delays.budget(10.0)
MOST = {"lut": 0.8, "flip_flop": 0.8, "block_ram_36k": 0.95, "dsp": 0.95}
"""Shares of a device that leave room to place and route."""


def shipped() -> dict[str, Any]:
    text = (Path(__file__).parents[3] / "benchmarks/resources/results.json").read_text()
    overlays: dict[str, Any] = json.loads(text)["overlays"]
    return overlays


@pytest.fixture
def compiler() -> None:
    """Skips where the compiler is not installed."""
    require_compiler()


def require_compiler() -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("ziglang")


def compiled(tmp_path: Path, text: str) -> Compiled:
    require_compiler()
    source = tmp_path / "source.cpp"
    source.write_text('#include <ap_int.h>\n#include "axynq/pragmas.hpp"\n' + text)
    return compile_source(source, "top", [ROOT / "hls" / "include"])


def logic(made: Compiled) -> Logic:
    function = made.module.functions[made.top]
    return logic_of(made, Memories(made), Places(made.module), function, BUDGET)


def kinds(made: Logic) -> dict[str, float]:
    found: dict[str, float] = {}
    for (_, kind), cost in made.operators.items():
        found[kind] = found.get(kind, 0) + cost.lut
    return found


# --- overlays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", overlay_names())
def test_overlays_fit_their_boards(name: str) -> None:
    overlay = shipped()[name]
    for resource, share in MOST.items():
        used = overlay["totals"][resource]["likely"]
        assert used < share * overlay["available"][resource], resource


@pytest.mark.parametrize("name", overlay_names())
def test_shipped_totals_are_those_of_their_parts(name: str) -> None:
    overlay = shipped()[name]
    for bound in BOUNDS:
        luts = sum(part["lut"] * FACTORS[part["basis"]][bound] for part in overlay["parts"])
        assert overlay["totals"]["lut"][bound] == pytest.approx(luts, abs=1)
    for resource in ("block_ram_36k", "dsp"):
        total = sum(part[resource] for part in overlay["parts"])
        assert overlay["totals"][resource]["likely"] == total


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n == "tiny4" else pytest.mark.thorough)
        for n in overlay_names()
    ],
)
def test_shipped_estimates_are_those_of_the_sources(name: str, compiler: None) -> None:
    made = json.loads(json.dumps(content_of(estimate(Overlay.load(name)))))
    assert made == shipped()[name], "python -m axynq.host.synthesis.estimate writes it anew"


def test_what_an_overlay_consists_of() -> None:
    parts = {part["name"]: part for part in shipped()["z2-mixed16"]["parts"]}
    # three maps of 16 byte lanes, 4096 x 8 bits: a block RAM each
    assert parts["maps"]["block_ram_36k"] == 48
    # 16 lanes of 512 x 128 bits: four halves of 512 x 36 bits each
    assert parts["weights"]["block_ram_36k"] == 32
    assert parts["partials"]["block_ram_36k"] == 8
    # a multiplier for each of 16 inputs of 14 lanes, two of another 2
    assert parts["axynq_configurable_exact_or_roup_1_4"]["instances"] == 224
    assert parts["axynq_exact"]["instances"] == 32
    assert parts["axynq_smapprox_3330"]["instances"] == 32
    assert parts["axynq_exact"]["basis"] == MAPPED
    assert parts["protocol converters"]["instances"] == 3
    assert "width converters" not in parts
    assert "width converters" in {part["name"] for part in shipped()["tiny4"]["parts"]}
    on_ultrascale = {part["name"] for part in shipped()["zcu104-roup32"]["parts"]}
    assert "protocol converters" not in on_ultrascale


def test_estimate_as_json(axynq, compiler: None) -> None:
    code, out, _ = axynq("rtl", "--estimate", "tiny4", "--json")
    assert code == 0
    content = json.loads(out)
    assert content["overlay"] == "tiny4"
    assert content["totals"]["lut"]["low"] < content["totals"]["lut"]["likely"]
    assert content["totals"]["lut"]["likely"] < content["totals"]["lut"]["high"]
    bases = {part["basis"] for part in content["parts"]}
    assert bases == set(FACTORS)
    assert all(part["source"] for part in content["parts"] if part["basis"] == "published")


@pytest.mark.thorough
def test_the_table_says_what_it_is(axynq, compiler: None) -> None:
    code, out, _ = axynq("rtl", "--estimate", "tiny4")
    assert code == 0
    assert "no vendor's tool was run" in out
    assert "total, likely" in out


# --- functions and variables ----------------------------------------------------------------------

SHARED = """
static unsigned squared(unsigned a) { AXYNQ_NO_INLINE return a * a + (a ^ (a << 3)); }
static unsigned one(unsigned a) { AXYNQ_NO_INLINE return squared(a) + squared(a + 1); }
static unsigned other(unsigned a) { AXYNQ_NO_INLINE return squared(a) ^ 77; }
void top(const volatile unsigned *in, volatile unsigned *out) { *out = one(*in) + other(*in); }
"""


def test_calls_of_one_function_share_an_instance(tmp_path: Path) -> None:
    made = compiled(tmp_path, SHARED)
    found = {plain_name(name): count for name, count in instances(made).items()}
    # squared: called twice in one function, once in another
    assert found == {"top": 1, "one": 1, "other": 1, "squared": 2}


def test_variables_that_several_functions_write_need_a_choice(tmp_path: Path) -> None:
    text = """
static void first(unsigned *kept, unsigned a) { AXYNQ_NO_INLINE kept[0] = a; kept[1] = a * 3; }
static void second(unsigned *kept, unsigned a) { AXYNQ_NO_INLINE kept[0] = a ^ 5; }
void top(const volatile unsigned *in, volatile unsigned *out) {
  unsigned kept[2];
  AXYNQ_REGISTERS(kept)
  first(kept, *in);
  *out = kept[0] + kept[1];
  second(kept, *in);
  *out = kept[0] + kept[1];
}
"""
    made = compiled(tmp_path, text)
    [cost] = state_of(made, Memories(made)).values()
    assert cost.flip_flop == 64
    assert 16 <= cost.lut <= 32  # a choice for each of the 32 bits that both write


# --- operators ------------------------------------------------------------------------------------


def test_joined_values_that_never_meet_are_wires(tmp_path: Path) -> None:
    text = """
void top(const volatile unsigned char *in, volatile unsigned *out) {
  const ap_uint<8> a = *in, b = *in, c = *in;
  *out = unsigned(ap_uint<32>(a) | (ap_uint<32>(b) << 8) | (ap_uint<32>(c) << 24));
}
"""
    made = compiled(tmp_path, text)
    assert kinds(logic(made)).get("gates", 0) == 0
    function = made.module.functions[made.top]
    ones = PossibleOnes(function, Memories(made).widths[made.top])
    masks = [ones.mask(i.name, 32) for i in function.instructions() if i.opcode == "or"]
    assert masks[-1] == 0xFF00FFFF


@pytest.mark.parametrize(
    ("expression", "luts"),
    [
        ("a + b", {"additions": 16}),
        ("a + b + c", {"additions": 16}),  # three at once
        ("a + (p ? b : c)", {"additions": 16}),  # the choice in front of the adder
        ("a + 1", {"additions": 8}),
        ("a << 3", {}),
        ("a ^ 77", {}),
        ("p ? a : b", {"choices": 12}),
        ("p ? a : q ? b : c", {"choices": 16}),  # two choices in a LUT
    ],
)
def test_operators(tmp_path: Path, expression: str, luts: dict[str, float]) -> None:
    text = f"""
void top(const volatile unsigned short *in, const volatile bool *bits, volatile unsigned *out) {{
  const ap_uint<16> a = *in, b = *in, c = *in;
  const bool p = *bits, q = *bits;
  (void)(b + c); (void)(p | q);
  *out = unsigned(ap_uint<16>({expression}));
}}
"""
    found = kinds(logic(compiled(tmp_path, text)))
    assert {k: v for k, v in found.items() if v >= 1} == luts


LOOP = """
void top(const volatile unsigned short *in, volatile unsigned short *out, int n) {
  ap_uint<16> sum = 0;
  for (int i = 0; i < n; ++i) {
    AXYNQ_PIPELINE
    const ap_uint<16> a = *in;
    const ap_uint<16> b = *in;
    sum += a * b ^ (a + b);
    *out = unsigned(ap_uint<16>(sum + a));
  }
}
"""


def test_registers_between_stages(tmp_path: Path) -> None:
    made = compiled(tmp_path, LOOP)
    function = made.module.functions[made.top]
    memories = Memories(made)
    [(_, _, slow)] = pipelines(made, memories, function, delays.budget(40.0))
    [(_, graph, fast)] = pipelines(made, memories, function, delays.budget(5.0))
    assert fast.depth > slow.depth
    assert fast.cost.flip_flop > slow.cost.flip_flop
    for edge in graph.edges:
        if edge.distance == 0 and edge.cycles is None:
            one, other = edge.source.instruction, edge.target.instruction
            if one in fast.starts and other in fast.starts and one is not None:
                ready = fast.starts[one] + fast.latency.get(one.name, 0)
                assert ready <= fast.starts[other]


@pytest.mark.thorough
def test_a_loop_as_verilog_takes_about_what_was_counted(tmp_path: Path) -> None:
    from axynq.host.netlists.yosys import cells_of, synthesise

    made = compiled(tmp_path, LOOP)
    function = made.module.functions[made.top]
    memories = Memories(made)
    [(loop, graph, found)] = pipelines(made, memories, function, BUDGET)
    widths = memories.widths[function.name]
    text = loop_verilog(made, function, loop, graph, found, widths, "measured")
    cells = cells_of(synthesise({"measured": text}, tmp_path / "yosys", dsp=True)["measured"])
    counted = logic(made).total()
    assert cells.dsps == counted.dsp == 1
    assert 0.5 < (cells.luts + cells.shift_luts) / counted.lut < 1.3
    assert 0.5 < cells.flip_flops / counted.flip_flop < 1.3


# --- interfaces -----------------------------------------------------------------------------------


def test_interfaces_lie_between_what_was_measured() -> None:
    few, some, many = (memory_port("read", 64, n).lut for n in (2, 4, 16))
    assert few < some < many
    assert memory_port("write", 64, 4).lut > some
    assert memory_port("read", 64, 4).block_ram_36k == 1
    assert registers(43).lut < registers(288).lut < registers(640).lut


def test_every_part_names_a_basis_with_factors() -> None:
    for factors in FACTORS.values():
        assert factors["low"] <= factors["likely"] <= factors["high"]
    assert FACTORS[COUNTED]["low"] < FACTORS[MAPPED]["low"]
