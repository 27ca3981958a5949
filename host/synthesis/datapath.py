"""Verilog that stands for the parts of the array that an overlay repeats: lanes, requantisers.

HLS writes the real ones. These have the same operators and widths as the HLS sources, with a
register behind every step, so that a synthesis tool can say about how large they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from axynq.host.netlists.booth import ACTIVATION_BITS
from axynq.host.netlists.designs import (
    PRODUCT_BITS,
    WEIGHT_BITS,
    bank_netlist,
    configurable_netlist,
    netlist,
)
from axynq.host.netlists.verilog import verilog

LANE = "lane"
REQUANTISER = "requantiser"


def lane_verilog(bank: Sequence[str], configurable: bool, inputs: int) -> str:
    """A lane: its window of activations, a bank for each input, the adder tree, the accumulator
    and the register in which a sum waits for the requantisers. Registers are before and behind each
    bank, as in the blackboxes.

    Args:
        bank: the multipliers of one bank.
        configurable: whether they are settings of one Booth array.
        inputs: multipliers in the lane, a power of two.
    """
    if len(bank) == 1:
        core = netlist(bank[0])
    else:
        core = configurable_netlist(bank) if configurable else bank_netlist(bank)
    code_bits = len(core.inputs.get("code", ()))
    a, w = ACTIVATION_BITS, WEIGHT_BITS
    ports = [
        "input wire clk, ce, windowed, first, last",
        f"input wire [{a - 1}:0] enter",
        f"input wire [{a * inputs - 1}:0] shared",
        f"input wire [{w * inputs - 1}:0] weights",
        "input wire [31:0] start",
        "output reg [31:0] total, waiting",
    ]
    if code_bits:
        ports.insert(4, f"input wire [{code_bits * inputs - 1}:0] codes")
    lines = [
        f"module {LANE} ({', '.join(ports)});",
        f"  reg [{a * inputs - 1}:0] window;",
        f"  always @(posedge clk) if (ce) window <= {{enter, window[{a * inputs - 1}:{a}]}};",
        f"  wire [{a * inputs - 1}:0] operands = windowed ? window : shared;",
    ]
    level, width = [], PRODUCT_BITS
    operands = {"a": ("operands", a), "w": ("weights", w)}
    if code_bits:
        operands["code"] = ("codes", code_bits)
    for i in range(inputs):
        for port, (source, bits) in operands.items():
            lines += [
                f"  reg [{bits - 1}:0] {port}{i};",
                f"  always @(posedge clk) if (ce) {port}{i} <= {source}[{i * bits} +: {bits}];",
            ]
        connections = ", ".join(f".{port}({port}{i})" for port in operands)
        lines += [
            f"  wire [{width - 1}:0] p{i};",
            f"  {core.name} m{i} ({connections}, .p(p{i}));",
            f"  reg signed [{width - 1}:0] r{i};",
            f"  always @(posedge clk) if (ce) r{i} <= p{i};",
        ]
        level.append(f"r{i}")
    while len(level) > 1:
        width += 1
        above = []
        for i in range(0, len(level), 2):
            name = f"t{width}_{i // 2}"
            lines += [
                f"  reg signed [{width - 1}:0] {name};",
                f"  always @(posedge clk) if (ce) {name} <= {level[i]} + {level[i + 1]};",
            ]
            above.append(name)
        level = above
    lines += [
        "  always @(posedge clk) if (ce) begin",
        f"    total <= (first ? start : total) + {{{{{32 - width}{{{level[0]}[{width - 1}]}}}}, "
        f"{level[0]}}};",
        "    if (last) waiting <= total;",
        "  end",
        "endmodule",
    ]
    return verilog(core) + "\n".join(lines) + "\n"


def requantiser_verilog(steps: int) -> str:
    """A requantiser: chooses among ``steps`` lanes, rescales and clamps, and for residual layers
    adds a second operand, which takes three rescalings more."""
    choose = "choose" if steps > 1 else "1'b0"
    choose_bits = max((steps - 1).bit_length(), 1)
    return f"""\
module rescale (
  input wire clk, ce,
  input wire signed [31:0] value, multiplier,
  input wire signed [7:0] shift,
  output reg signed [31:0] result
);
  wire [4:0] left = shift > 22 ? 5'd22 : shift > 0 ? shift[4:0] : 5'd0;
  wire signed [9:0] narrowed = value < -511 ? -10'sd511 : value > 511 ? 10'sd511 : value[9:0];
  wire [7:0] opposite = -shift;
  wire [4:0] right = shift > 0 ? 5'd0 : opposite[4:0];
  reg signed [62:0] product;
  reg signed [32:0] nudged;
  reg signed [31:0] shifted, factor, high;
  wire [31:0] mask = (32'd1 << right) - 32'd1;
  wire [31:0] threshold = (mask >> 1) + {{31'd0, high[31]}};
  always @(posedge clk) if (ce) begin
    shifted <= shift > 0 ? {{{{22{{narrowed[9]}}}}, narrowed}} << left : value;
    factor <= multiplier;
    product <= shifted * factor;
    nudged <= $signed(product[62:30]) + 33'sd1;
    high <= nudged[32:1];
    result <= (high >>> right) + {{31'd0, (high & mask) > threshold}};
  end
endmodule

module limit (
  input wire clk, ce,
  input wire signed [31:0] value,
  input wire signed [8:0] offset,
  input wire signed [7:0] low, high,
  output reg signed [7:0] result
);
  wire signed [8:0] lowest = low - offset, highest = high - offset;
  reg signed [8:0] bounded;
  always @(posedge clk) if (ce) begin
    bounded <= value < lowest ? lowest : value > highest ? highest : value[8:0];
    result <= bounded + offset;
  end
endmodule

module {REQUANTISER} (
  input wire clk, ce, residual,
  input wire [{choose_bits - 1}:0] choose,
  input wire [{32 * steps - 1}:0] sums, multipliers,
  input wire [{8 * steps - 1}:0] shifts,
  input wire signed [8:0] inner_zero, second_zero, zero,
  input wire signed [7:0] inner_low, inner_high, low, high, second,
  input wire signed [31:0] factor_x, factor_y, factor_sum,
  input wire signed [7:0] shift_x, shift_y, shift_sum,
  output wire signed [7:0] value
);
  reg signed [31:0] sum, multiplier, x, y, both;
  reg signed [7:0] shift;
  wire signed [31:0] scaled, scaled_x, scaled_y, scaled_both;
  wire signed [7:0] computed, added;
  always @(posedge clk) if (ce) begin
    sum <= sums[{choose} * 32 +: 32];
    multiplier <= multipliers[{choose} * 32 +: 32];
    shift <= shifts[{choose} * 8 +: 8];
    x <= (computed - inner_zero) <<< 20;
    y <= (second - second_zero) <<< 20;
    both <= scaled_x + scaled_y;
  end
  rescale rescale_sum (clk, ce, sum, multiplier, shift, scaled);
  limit limit_sum (clk, ce, scaled, inner_zero, inner_low, inner_high, computed);
  rescale rescale_x (clk, ce, x, factor_x, shift_x, scaled_x);
  rescale rescale_y (clk, ce, y, factor_y, shift_y, scaled_y);
  rescale rescale_both (clk, ce, both, factor_sum, shift_sum, scaled_both);
  limit limit_both (clk, ce, scaled_both, zero, low, high, added);
  assign value = residual ? added : computed;
endmodule
"""
