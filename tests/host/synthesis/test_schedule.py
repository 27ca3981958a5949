# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The schedule of overlays, and the operators behind it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from axynq.emulator.errors import ToolError
from axynq.host.synthesis import compilation
from axynq.host.synthesis.compilation import compile_source
from axynq.host.synthesis.memories import Memories
from axynq.host.synthesis.operators import regions
from axynq.host.synthesis.regions import Channel, dataflow_regions
from axynq.host.synthesis.schedule import schedule
from axynq.host.synthesis.widths import Widths

pytest.importorskip("llvmlite")
pytest.importorskip("ziglang")


def compiled(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    source = tmp_path / "source.cpp"
    source.write_text('#include <ap_int.h>\n#include "axynq/pragmas.hpp"\n' + text)
    include = Path(compilation.__file__).parents[2] / "hls" / "include"
    return compile_source(source, "top", [include])


def test_schedule_of_an_overlay(axynq) -> None:
    code, out, _ = axynq("rtl", "--schedule", "tiny4", "--json")
    assert code == 0
    content = json.loads(out)
    assert content["overlay"] == "tiny4"
    assert content["clock_ns"] == 10.0
    assert content["budget_ns"] == 7.3
    assert content["loops"]
    assert content["regions"]
    for loop in content["loops"]:
        forced = [a["ii"] for a in loop["accesses"]] + [r["ii"] for r in loop["recurrences"]]
        assert loop["ii"] == max(1, *forced)
        assert loop["depth"] >= 1
        assert loop["obstacles"] == []
        assert loop["name"].isupper()
    [multiply] = [loop for loop in content["loops"] if loop["name"] == "MULTIPLY"]
    assert any(access["array"] == "weights" for access in multiply["accesses"])


@pytest.mark.thorough
def test_schedule_as_a_table(axynq) -> None:
    code, out, _ = axynq("rtl", "--schedule", "tiny4")
    assert code == 0
    assert "MULTIPLY" in out
    assert "not the schedule of a vendor's tool" in out


def test_it_goes_with_no_other_option(axynq) -> None:
    code, _, err = axynq("rtl", "--schedule", "tiny4", "--estimate", "tiny4")
    assert code == 2
    assert "--estimate takes no" in err


def test_packages_that_are_missing_are_one_error(axynq, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match=r"pip install 'axynq\[rtl\]'"):
        compilation.require_packages()


def test_sources_that_do_not_compile_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="clang rejects the sources: .*nothing"):
        compiled(tmp_path, "void top() { nothing(); }")


def test_a_loop_that_cannot_be_unrolled_is_an_obstacle(tmp_path: Path) -> None:
    text = """
void top(int *to, int rows, int columns) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
OUTER:
  for (int i = 0; i < rows; ++i) {
    AXYNQ_PIPELINE
    for (int k = 0; k < columns; ++k) to[k] = i;
  }
}"""
    [loop] = schedule(compiled(tmp_path, text), "", 10.0).loops
    assert loop.name == "OUTER"
    assert (loop.ii, loop.obstacles) == (0, ("the loop at source.cpp:9 inside it",))


def test_ports_of_a_memory(tmp_path: Path) -> None:
    """Three reads of one bank take three cycles of a memory with one port to read, two with two."""
    text = """
void top(int *to, int n) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
  int memory[4096];
  STORAGE
  for (int i = 0; i < 4096; ++i) memory[i] = n;
READ:
  for (int i = 0; i < n; ++i) {
    AXYNQ_PIPELINE
    to[i] = memory[i] + memory[i + 64] + memory[(i + 77) & 1023];
  }
}"""
    bound = "AXYNQ_PRAGMA(HLS BIND_STORAGE variable=memory type=ram_s2p impl=bram)"
    for storage, ii in ((bound, 3), ("", 2)):
        [loop] = schedule(compiled(tmp_path, text.replace("STORAGE", storage)), "", 10.0).loops
        assert loop.ii == ii


@pytest.mark.parametrize(
    ("index", "independent", "ii"),
    [
        *(("i & 63", False, 3), ("i & 63", True, 1), ("i", False, 1)),
        *(("i | 1", False, 3), ("2 * i | 1", False, 1)),  # two iterations have a word, or one
    ],
)
def test_a_memory_that_is_read_and_written(
    tmp_path: Path, index: str, independent: bool, ii: int
) -> None:
    """Sums in a memory: unless each iteration has its own, or the sources say so, the next waits
    for the load (two cycles) and the store after it."""
    claim = "AXYNQ_PRAGMA(HLS DEPENDENCE variable=sums type=inter false)" if independent else ""
    text = f"""
void top(const int *from, int *to, int n) {{
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=from)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
  int sums[4096];
  for (int i = 0; i < 4096; ++i) sums[i] = 0;
ADD:
  for (int i = 0; i < n; ++i) {{
    AXYNQ_PIPELINE
    {claim}
    sums[{index}] += from[i];
  }}
  for (int i = 0; i < 4096; ++i) to[i] = sums[i];
}}"""
    [loop] = schedule(compiled(tmp_path, text), "", 10.0).loops
    assert loop.ii == ii


def test_operators_have_the_widths_that_matter(tmp_path: Path) -> None:
    text = """
void top(const ap_int<9> *a, const ap_int<8> *b, int *to, int n) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=a)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=b)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
MULTIPLY:
  for (int i = 0; i < n; ++i) {
    AXYNQ_PIPELINE
    to[i] = int(a[i]) * int(b[i]) + 7;
  }
}"""
    made = compiled(tmp_path, text)
    memories = Memories(made)
    [loop] = [region for region in regions(made, memories) if region.loop == "MULTIPLY"]
    [product] = [o for o in loop.operators if o.kind == "mul"]
    assert sorted(product.operands) == [8, 9]
    assert product.width == 17
    assert {o.width for o in loop.operators if o.kind == "add"} == {18, 32}
    assert loop.pipelined


@pytest.mark.parametrize("other", ["ap_uint<4> step;", "", "ap_uint<20> word; bool held;"])
def test_registers_in_a_structure(tmp_path: Path, other: str) -> None:
    """An element chosen by a variable is a multiplexer, also where the structure has gaps, which
    make it a packed one to clang; and where it is read only under a condition."""
    text = f"""
struct waiting_t {{
  int sums[8];
  {other}
}};
void top(const int *from, int *to, int n, int lane) {{
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=from)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
  waiting_t waiting;
  AXYNQ_REGISTERS(waiting.sums)
  for (int k = 0; k < 8; ++k) {{
    AXYNQ_UNROLL
    waiting.sums[k] = 0;
  }}
FINISH:
  for (int i = 0; i < n; ++i) {{
    AXYNQ_PIPELINE
    int sum = waiting.sums[lane & 7];
    if (i & 1) sum = waiting.sums[3];
    to[i] = sum;
    for (int k = 7; k > 0; --k) {{
      AXYNQ_UNROLL
      waiting.sums[k] = waiting.sums[k - 1];
    }}
    waiting.sums[0] = from[i];
  }}
}}"""
    [loop] = schedule(compiled(tmp_path, text), "", 10.0).loops
    [choice] = loop.multiplexers
    assert (len(choice.operands), choice.width) == (8, 32)


def test_widths_of_a_function(tmp_path: Path) -> None:
    """What is thrown away afterwards needs no bits."""
    text = """
void top(const int *from, unsigned char *to) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=from)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
  *to = (unsigned char)((from[0] + from[1]) ^ (from[2] & 15));
}"""
    made = compiled(tmp_path, text)
    [function] = made.module.functions.values()
    widths = Widths(function)
    found = {i.opcode: widths.result(i) for i in function.instructions() if i.name and i.width}
    assert found["add"] <= 8
    assert found["and"] <= 4


REGION = """
struct settings_t { int first; ap_uint<9> count; };
static void produce(const int *from, hls::stream<int> &out, long at, const settings_t &s) {
  AXYNQ_NO_INLINE
  for (int k = 0; k < int(s.count); ++k) { AXYNQ_PIPELINE out.write(from[at + k]); }
}
static void change(hls::stream<int> &in, int table[64], int scale, int shift) {
  AXYNQ_NO_INLINE
  for (int k = 0; k < 64; ++k) { AXYNQ_PIPELINE table[k] = in.read() * scale >> shift; }
}
static void keep(int table[64], int *to, int round) {
  AXYNQ_NO_INLINE
  for (int k = 0; k < 64; ++k) { AXYNQ_PIPELINE to[round * 64 + k] = table[k]; }
}
void top(const int *from, int *to, int n, int scale, int shift, settings_t s) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=from)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=to)
ROUND:
  for (int i = 0; i < n; ++i) {
    AXYNQ_DATAFLOW
    AXYNQ_STABLE(shift)
    hls::stream<int> values;
    int table[64];
    produce(from, values, i, s);
    change(values, table, scale, shift);
    keep(table, to, 3);
  }
}
"""


def test_a_region_that_is_the_body_of_a_loop(tmp_path: Path) -> None:
    """What changes with the loop, or comes from outside it, crosses to the processes that use it,
    but for constants and what is said to be stable."""
    made = compiled(tmp_path, '#include "hls_stream.h"\n' + REGION)
    [region] = dataflow_regions(made, Memories(made))
    assert (region.function, region.loop) == ("top", "ROUND")
    assert {process.name: dict(process.scalars) for process in region.processes} == {
        "produce": {"i": 64, "s.count": 16},
        "change": {"scale": 32},
        "keep": {},
    }
    assert region.channels == (
        Channel("values", "channel", ("produce",), ("change",)),
        Channel("table", "memory", ("change",), ("keep",)),
    )
    assert set(region.unstable) == {"i", "from", "s", "scale", "to"}
