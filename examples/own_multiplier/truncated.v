// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// An unsigned 8 x 8 multiplier that leaves out the lowest columns of partial products.
module truncated (
  input [7:0] a,
  input [7:0] b,
  output [15:0] p
);
  localparam [15:0] KEPT = 16'hFFC0;  // the columns from the seventh on

  // Row j: a at its place where bit j of b is set.
  function [15:0] row(input integer j);
    row = (b[j] ? {8'd0, a} << j : 16'd0) & KEPT;
  endfunction

  assign p = ((row(0) + row(1)) + (row(2) + row(3))) + ((row(4) + row(5)) + (row(6) + row(7)));
endmodule

// The same in two clock cycles: four rows in each. truncated.v.toml says so.
module truncated_pipelined (
  input clk,
  input ce,
  input [7:0] a,
  input [7:0] b,
  output reg [15:0] p
);
  wire [15:0] low, high;
  truncated lower (.a(a), .b({4'd0, b[3:0]}), .p(low));
  reg [15:0] sum;
  reg [7:0] a_waiting, b_waiting;
  truncated upper (.a(a_waiting), .b({b_waiting[7:4], 4'd0}), .p(high));

  always @(posedge clk)
    if (ce) begin
      sum <= low;
      a_waiting <= a;
      b_waiting <= b;
      p <= sum + high;
    end
endmodule
