// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Clocks the module `DUT, a pair, through `EDGES random triples of operands and says how often its
// products were wrong. Now and then the clock is not enabled, or there is a reset, which has to
// change nothing. For simulators that take the vendor's models.
`timescale 1 ns / 1 ps
module bench;
  reg clock = 0, enable = 1, reset = 0;
  reg signed [8:0] a = 0;
  reg signed [7:0] first = 0, second = 0;
  wire [33:0] products;
  `DUT dut (.ap_clk(clock), .ap_rst(reset), .ap_ce(enable), .a(a), .first(first), .second(second),
            .ap_return(products));

  reg signed [8:0] a_of [1:4];
  reg signed [7:0] first_of [1:4];
  reg signed [7:0] second_of [1:4];
  reg signed [16:0] low, high;
  reg [31:0] random;
  integer edges, stage, seed = 1, taken = 0, wrong = 0;

  initial begin
    #200;  // the vendor's models begin with a reset of their own
    for (edges = 0; edges < `EDGES; edges = edges + 1) begin
      random = $random(seed);
      enable = random[2:0] != 0;
      reset = random[5:3] == 0;
      a = random[14:6] == 9'h100 ? 9'h101 : random[14:6];
      first = random[22:15];
      second = random[30:23];
      if (random[31] && random[23]) begin  // extremes
        a = random[6] ? 9'h101 : 9'h0FF;
        first = random[15] ? 8'h80 : 8'h7F;
        second = random[16] ? 8'h80 : 8'h7F;
      end
      #5 clock = 1;
      if (enable) begin
        for (stage = 4; stage > 1; stage = stage - 1) begin
          a_of[stage] = a_of[stage - 1];
          first_of[stage] = first_of[stage - 1];
          second_of[stage] = second_of[stage - 1];
        end
        a_of[1] = a;
        first_of[1] = first;
        second_of[1] = second;
        taken = taken + 1;
      end
      #4;
      low = a_of[4] * first_of[4];
      high = a_of[4] * second_of[4];
      if (taken >= 4 && products !== {high, low}) wrong = wrong + 1;
      #1 clock = 0;
    end
    $display("%0d triples, %0d wrong", taken, wrong);
    $finish;
  end
endmodule
