# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Verilog modules as multipliers: which ports are which, and what they multiply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers import Table, multiplier
from axynq.emulator.multipliers.circuit import VerilogCircuit
from axynq.emulator.multipliers.gates import read_gates
from axynq.emulator.yosys import cached_modules
from tests.own_multipliers import write_own

A = np.arange(-255, 256, dtype=np.int64)[:, None]
W = np.arange(-128, 128, dtype=np.int64)[None, :]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path)


def table_of(folder: Path, name: str, options: str = "") -> Table:
    m = multiplier(f"table:{folder}/own.v#{name}{options}")
    assert isinstance(m, Table)
    return m


def signed(magnitude: np.ndarray) -> np.ndarray:
    return np.where((A < 0) ^ (W < 0), -magnitude, magnitude)


@pytest.mark.thorough
def test_magnitudes(own: Path) -> None:
    a, w = np.abs(A), np.abs(W)
    expected = signed(a * w & ~1 | (a ^ w) & 1)
    m = table_of(own, "low_sum")
    assert np.array_equal(m.table, expected)
    assert (m.signed, m.activation_range) == (False, (-255, 255))
    assert "unsigned (by its products)" in m.source


def test_signed_bytes(own: Path) -> None:
    """The file beside it says that y is the activation."""
    m = table_of(own, "signed_bytes")
    assert m.activation_range == (-128, 127)
    rows = slice(255 - 128, 255 + 128)
    assert np.array_equal(m.table[rows], (A[rows] * (W | 1)) & ~3)
    assert not m.table[: 255 - 128].any()
    swapped = table_of(own, "signed_bytes", ",activation=first")
    assert np.array_equal(swapped.table[rows], ((A[rows] | 1) * W) & ~3)


def test_the_activation_and_the_weight_themselves(own: Path) -> None:
    m = table_of(own, "nine_bits")
    assert np.array_equal(m.table, (A & ~7) * W)
    assert m.activation_range == (-255, 255)
    with pytest.raises(MultiplierError, match="the operand of 9 bits"):
        table_of(own, "nine_bits", ",activation=first")
    with pytest.raises(MultiplierError, match="9 bits is signed"):
        table_of(own, "nine_bits", ",unsigned")
    (own / "own.v.toml").write_text('[nine_bits]\nactivation = "w"')
    with pytest.raises(MultiplierError, match="the operand of 9 bits"):
        table_of(own, "nine_bits")


def test_a_pipeline(own: Path) -> None:
    m = table_of(own, "pipelined")
    a, w = np.abs(A), np.abs(W)
    assert np.array_equal(m.table, signed(a * (w & ~1) & 0xFFF0))
    assert isinstance(m.circuit, VerilogCircuit)
    assert m.circuit.latency == 3
    assert (m.circuit.ports.clock, m.circuit.ports.enable) == ("clk", "en")
    assert m.circuit.ports.tied == {"rst": 0}


def test_a_memory(own: Path) -> None:
    a, w = np.abs(A), np.abs(W)
    expected = signed(a * w - ((a & 15 == 15) & (w & 15 == 15)))
    assert np.array_equal(table_of(own, "looked_up").table, expected)


def test_a_network_under_it(own: Path, digits) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (3, 8, 8, 1)).astype(np.int8)
    spec = f"table:{own}/own.v#nine_bits"
    y = Emulator(digits, spec).run(x)
    assert not np.array_equal(y, Emulator(digits, "exact").run(x))


REFUSED = {
    "adds_up": "computes in a loop",
    "never_waits": "no enable",
    "four_bits": "4 by 8 bits",
    "three_operands": "two operands and one product",
    "nowhere": "has no module 'nowhere'; it has: .*half, looked_up, low_sum",
    "half": "1 by 1 bits|two operands and one product",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_multiplier(own: Path, name: str) -> None:
    with pytest.raises(MultiplierError, match=REFUSED[name]):
        table_of(own, name)


BESIDE = {
    "[pipelined]\nlatency = 3\nlatency = 4": "cannot be read",
    "[pipelined]\nlatency = -1": "greater than or equal to 0",
    "[pipelined]\nlatencies = 3": "not valid",
    "pipelined = 3": "not valid",
    "[pipelined]\nclock = 'ck'": "no port 'ck'",
    "": "has a clock: say",
    "[pipeline]\nlatency = 3": "names pipeline, which it lacks",
}


@pytest.mark.parametrize("text", BESIDE)
def test_files_beside_it(own: Path, text: str) -> None:
    (own / "own.v.toml").write_text(text)
    with pytest.raises(MultiplierError, match=BESIDE[text]):
        table_of(own, "pipelined")


ODD = """\
module plain (input [7:0] a, input [7:0] w, output [15:0] p);
  assign p = a * w;
endmodule
module clocked (input clk, input ce, input [7:0] a, input [7:0] w, output reg [15:0] p);
  always @(posedge clk) if (ce) p <= a * w;
endmodule
module mixed (input signed [7:0] a, input [7:0] w, output [15:0] p);
  assign p = a * w;
endmodule
module wide (input [7:0] a, input [7:0] w, output [32:0] p);
  assign p = a * w;
endmodule
module nine (input signed [8:0] a, input signed [7:0] w, output signed [16:0] p);
  assign p = a * w;
endmodule
module latched (input ce, input [7:0] a, input [7:0] w, output reg [15:0] p);
  always @* if (a[0]) p = a * w;
endmodule
module turning (input clk, input ce, input [7:0] a, input [7:0] w, output [15:0] p);
  reg one = 0, other = 1;
  always @(posedge clk) if (ce) begin one <= other; other <= one; end
  assign p = a * w ^ one;
endmodule
"""

ODDLY: dict[str, tuple[str, str]] = {
    "mixed": ("", "one signed and one unsigned operand"),
    "wide": ("", "products of 33 bits; 1 to 32 are possible"),
    "nine": ("[nine]\nsigned = false", "an activation of 9 bits is signed"),
    "latched": ("", "neither a gate nor a register .*: Yosys' cell"),
    "turning": ("[turning]\nlatency = 1", "computes in a loop"),
    "plain": ("[plain]\nlatency = 1", "has a latency but no clock"),
    "clocked": ("[clocked]\nlatency = 1\nactivation = 'clk'", "activation and weight are a and w"),
}


@pytest.mark.parametrize("name", ODDLY)
def test_what_is_odd(tmp_path: Path, name: str) -> None:
    beside, match = ODDLY[name]
    (tmp_path / "own.v").write_text(ODD)
    (tmp_path / "own.v.toml").write_text(beside)
    with pytest.raises(MultiplierError, match=match):
        table_of(tmp_path, name)


@pytest.mark.parametrize(
    ("beside", "activation"),
    [("activation = 'a'", "a"), ("weight = 'w'", "a"), ("activation = 'w'", "w"),
     ("weight = 'a'", "w"), ("activation = 'w'\nweight = 'a'", "w"),
     ("activation = 'a'\nweight = 'a'", None), ("activation = 'w'\nweight = 'w'", None)],
)  # fmt: skip
def test_which_operand_the_file_beside_it_names(
    tmp_path: Path, beside: str, activation: str | None
) -> None:
    text = "module plain (input [7:0] a, input [7:0] w, output [15:0] p);\n"
    (tmp_path / "own.v").write_text(text + "  assign p = {a, 8'b0};\nendmodule\n")
    (tmp_path / "own.v.toml").write_text(f"[plain]\nsigned = false\n{beside}")
    if activation is None:
        with pytest.raises(MultiplierError, match="activation and weight are a and w"):
            table_of(tmp_path, "plain")
    else:
        assert table_of(tmp_path, "plain").product(3, 5) == 256 * {"a": 3, "w": 5}[activation]


def test_gates_of_a_synthesis_that_keeps_more() -> None:
    """Names of what was flattened are no gates; a net may have no driver."""
    text = """\
module half (input x, input y, output s); assign s = x ^ y; endmodule
module whole (input [1:0] a, output p); half h (.x(a[0]), .y(a[1]), .s(p)); endmodule
module open (input [1:0] a, output p); wire t; assign p = a[0] ^ t; endmodule
"""
    modules = cached_modules({"module.v": text}, ["read_verilog module.v", "flatten", "simplemap"])
    gates = read_gates(modules["whole"], "whole")
    assert gates.evaluated(a=np.arange(4))["p"].tolist() == [0, 1, 1, 0]
    with pytest.raises(MultiplierError, match="'open' reads a net that nothing drives"):
        read_gates(modules["open"], "'open'")


@pytest.mark.parametrize(
    ("text", "match"),
    [("module m(input [7:0] a", "cannot be read as Verilog"), ("", "has no module 'name'"),
     ('`include "more.v"', "includes another file")],
)  # fmt: skip
def test_what_is_no_verilog(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "own.v").write_text(text)
    with pytest.raises(MultiplierError, match=match):
        multiplier(f"table:{tmp_path}/own.v")


def test_a_table_that_has_to_be_the_same(own: Path) -> None:
    """Of low_sum: magnitudes."""
    values = np.arange(256)
    products = np.outer(values, values) & ~1 | (values[:, None] ^ values[None, :]) & 1
    np.savez(own / "products.npz", t=products)
    (own / "own.v.toml").write_text('[low_sum]\ntable = "products.npz#t"')
    assert table_of(own, "low_sum").product(3, 5) == 14
    products[7, 9] += 1
    np.savez(own / "products.npz", t=products)
    with pytest.raises(MultiplierError, match="-7 x -9 is 62, and 63 by the table"):
        table_of(own, "low_sum")
    as_bytes = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
    np.savez(own / "products.npz", t=np.outer(as_bytes, as_bytes))
    with pytest.raises(MultiplierError, match="is not the table .* its operands are others"):
        table_of(own, "low_sum")


def test_the_file_may_change(own: Path) -> None:
    before = table_of(own, "low_sum")
    text = (own / "own.v").read_text()
    (own / "own.v").write_text(text.replace("assign s = x ^ y", "assign s = x & y"))
    after = table_of(own, "low_sum")
    assert after == multiplier("exact") != before
    assert before.content != after.content


def test_without_yosys(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axynq.emulator.yosys.has_yosys", lambda: False)
    monkeypatch.setattr("axynq.emulator.multipliers.verilog_module.has_yosys", lambda: False)
    (own / "own.v").write_text((own / "own.v").read_text() + "// another\n")
    with pytest.raises(ToolError, match="pip install 'axynq.rtl.'"):
        table_of(own, "low_sum")


def test_a_module_named_as_the_file(own: Path) -> None:
    (own / "low_sum.v").write_text((own / "own.v").read_text())
    assert multiplier(f"table:{own}/low_sum.v") == table_of(own, "low_sum")
