# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Multipliers as users bring them: C functions of gates, and Verilog modules."""

from __future__ import annotations

from pathlib import Path

INEXACT_COLUMNS = 4
"""Columns of :func:`c_gates` in which an OR stands for a sum, without carries."""


def c_gates(name: str = "mul8u_own", constant: int | None = None, drop: int = 0) -> str:
    """An 8x8 multiplier of gates, one a line, in the style of EvoApproxLib.

    Args:
        name: of the function; its parameters are B and A, in this order.
        constant: a bit of the product that is always one.
        drop: columns of partial products that are left out.
    """
    lines: list[str] = []

    def gate(expression: str) -> str:
        lines.append(f"   n{len(lines)} = {expression};")
        return f"n{len(lines) - 1}"

    columns: list[list[str]] = [[] for _ in range(17)]
    for i in range(8):
        for j in range(8):
            if i + j >= drop and (i, j) != (2, 0):  # so that it does not commute
                columns[i + j].append(gate(f"((B >> {i})&1)&((A >> {j})&1)"))
    bits = []
    for k in range(16):
        column = columns[k]
        while len(column) > 1:
            a, b = column.pop(0), column.pop(0)
            if k < INEXACT_COLUMNS:
                column.append(gate(f"{a}|{b}"))
            elif column:
                c = column.pop(0)
                half = gate(f"{a}^{b}")
                column.append(gate(f"{half}^{c}"))
                columns[k + 1].append(gate(f"({a}&{b})|({half}&{c})"))
            else:
                column.append(gate(f"{a}^{b}"))
                columns[k + 1].append(gate(f"{a}&{b}"))
        bits.append(column[0] if column else "0")
    if constant is not None:
        bits[constant] = "1"
    names = ", ".join(f"n{n}" for n in range(len(lines)))
    ends = [f"   O |= (uint64_t)({bit}&1) << {k};" for k, bit in enumerate(bits)]
    return "\n".join(
        [
            "#include <stdint.h>",
            "#include <stdlib.h>",
            f"uint64_t {name}(const uint64_t B,const uint64_t A)",
            "{",
            f"   uint64_t O, {names};   int avg=0;",
            *lines,
            "   O = 0;",
            *ends,
            "   return O;",
            "}",
            "",
        ]
    )


VERILOG = """\
module half (input x, input y, output s, output c);
  assign s = x ^ y;
  assign c = x & y;
endmodule

// Magnitudes; the lowest bit of the product is x's and y's sum instead of their product.
module low_sum (input [7:0] a, input [7:0] b, output [15:0] p);
  wire s, c;
  half bits (.x(a[0]), .y(b[0]), .s(s), .c(c));
  wire [15:0] product = a * b;
  assign p = {product[15:1], s};
endmodule

// Bytes in two's complement: odd x only, without the lowest two bits.
module signed_bytes (input signed [7:0] x, input signed [7:0] y, output signed [19:0] z);
  wire signed [15:0] product = (x | 8'sd1) * y;
  assign z = {{4{product[15]}}, product[15:2], 2'b00};
endmodule

// The activation and the weight themselves: nearer to zero by the lowest three bits of a.
module nine_bits (input signed [7:0] w, input signed [8:0] a, output signed [16:0] p);
  wire signed [8:0] rounded = {a[8:3], 3'b000};
  assign p = rounded * w;
endmodule

// Magnitudes in three cycles; the lowest bit of w is left out.
module pipelined (input clk, input en, input rst, input [7:0] a, input [7:0] w,
                  output reg [15:0] p);
  reg [7:0] a1, w1;
  reg [11:0] low, high;
  always @(posedge clk)
    if (rst) p <= 0;
    else if (en) begin
      a1 <= a;
      w1 <= w;
      low <= a1 * {w1[3:1], 1'b0};
      high <= a1 * w1[7:4];
      p <= low + {high, 4'b0} & 16'hFFF0;
    end
endmodule

// Magnitudes, of which the lower halves' product is looked up: 15 x 15 is 224.
module looked_up (input [7:0] a, input [7:0] b, output [15:0] p);
  reg [7:0] rom [0:255];
  integer i;
  initial for (i = 0; i < 256; i = i + 1) rom[i] = i == 255 ? 8'd224 : i[3:0] * i[7:4];
  assign p = a[7:4] * b * 16 + (a[3:0] * b[7:4] * 16) + rom[{a[3:0], b[3:0]}];
endmodule

module adds_up (input clk, input ce, input [7:0] a, input [7:0] w, output reg [15:0] p);
  always @(posedge clk) if (ce) p <= p + a * w;
endmodule

module never_waits (input clk, input [7:0] a, input [7:0] w, output reg [15:0] p);
  always @(posedge clk) p <= a * w;
endmodule

module four_bits (input [3:0] a, input [7:0] w, output [15:0] p);
  assign p = a * w;
endmodule

module three_operands (input [7:0] a, input [7:0] w, input [7:0] c, output [15:0] p);
  assign p = a * w + c;
endmodule
"""

SIDECAR = """\
[signed_bytes]
activation = "y"

[pipelined]
latency = 3

[adds_up]
latency = 1

[never_waits]
latency = 1
"""


def write_own(folder: Path) -> Path:
    """The files ``own.v``, ``own.v.toml`` and ``own.c`` in a folder, which is returned."""
    (folder / "own.v").write_text(VERILOG)
    (folder / "own.v.toml").write_text(SIDECAR)
    (folder / "own.c").write_text(c_gates() + c_gates("mul8u_lifted", constant=3))
    return folder
