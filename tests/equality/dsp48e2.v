// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A stand-in for the DSP48E2, for tests only: Yosys has no model of it. It does what AMD describes
// in UG579 (UltraScale Architecture DSP Slice) and UG974. It has the ports and parameters that
// axynq_dsp_pair_dsp48e2.v names; whatever else a setting would need is refused, by an instance of a
// module that does not exist.
module DSP48E2 #(
  parameter AMULTSEL = "A",
  parameter BMULTSEL = "B",
  parameter PREADDINSEL = "A",
  parameter integer AREG = 1,
  parameter integer ACASCREG = 1,
  parameter integer DREG = 1,
  parameter integer ADREG = 1,
  parameter integer BREG = 1,
  parameter integer BCASCREG = 1,
  parameter integer MREG = 1,
  parameter integer PREG = 1,
  parameter integer CREG = 1,
  parameter integer INMODEREG = 1,
  parameter integer OPMODEREG = 1,
  parameter integer ALUMODEREG = 1,
  parameter integer CARRYINREG = 1,
  parameter integer CARRYINSELREG = 1,
  parameter USE_PATTERN_DETECT = "NO_PATDET",
  parameter SEL_PATTERN = "PATTERN",
  parameter SEL_MASK = "MASK",
  parameter [47:0] PATTERN = 48'h000000000000,
  parameter [47:0] MASK = 48'h3FFFFFFFFFFF
) (
  input CLK,
  input signed [29:0] A,
  input signed [17:0] B,
  input [47:0] C,
  input signed [26:0] D,
  input [4:0] INMODE,
  input [8:0] OPMODE,
  input [3:0] ALUMODE,
  input CARRYIN,
  input [2:0] CARRYINSEL,
  input CEA1, CEA2, CED, CEAD, CEB1, CEB2, CEM, CEP, CEC, CEINMODE, CECTRL, CEALUMODE, CECARRYIN,
  input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTINMODE, RSTCTRL, RSTALUMODE, RSTALLCARRYIN,
  input [29:0] ACIN,
  input [17:0] BCIN,
  input [47:0] PCIN,
  input CARRYCASCIN, MULTSIGNIN,
  output reg [47:0] P,
  output reg PATTERNDETECT
);
  generate
    if (AMULTSEL != "AD" || BMULTSEL != "B" || PREADDINSEL != "A") unsupported_factors no1();
    if (AREG < 1 || DREG != 1 || ADREG != 1 || BREG < 1) unsupported_operand_registers no2();
    if (MREG != 1 || PREG != 1 || CREG != 0) unsupported_result_registers no3();
    if (INMODEREG || OPMODEREG || ALUMODEREG || CARRYINREG || CARRYINSELREG)
      unsupported_control_registers no4();
    if (SEL_PATTERN != "PATTERN" || SEL_MASK != "MASK") unsupported_pattern no5();
  endgenerate

  // Figure "A, B and D ports": two registers in a row, or the second alone.
  reg signed [29:0] a1, a2;
  reg signed [17:0] b1, b2;
  reg signed [26:0] d1, ad;
  always @(posedge CLK) begin
    if (RSTA) a1 <= 0; else if (CEA1) a1 <= A;
    if (RSTA) a2 <= 0; else if (CEA2) a2 <= AREG == 2 ? a1 : A;
    if (RSTB) b1 <= 0; else if (CEB1) b1 <= B;
    if (RSTB) b2 <= 0; else if (CEB2) b2 <= BREG == 2 ? b1 : B;
    if (RSTD) d1 <= 0; else if (CED) d1 <= D;
  end

  // Table "INMODE": bit 0 selects A1, bit 1 makes A zero, bit 2 lets D through, bit 3 subtracts,
  // bit 4 selects B1. The pre-adder has 27 bits.
  wire signed [26:0] a_in = INMODE[1] ? 27'd0 : INMODE[0] ? a1[26:0] : a2[26:0];
  wire signed [26:0] d_in = INMODE[2] ? d1 : 27'd0;
  wire signed [17:0] b_in = INMODE[4] ? b1 : b2;
  always @(posedge CLK) if (RSTD) ad <= 0; else if (CEAD) ad <= INMODE[3] ? d_in - a_in : d_in + a_in;

  reg signed [44:0] m;
  always @(posedge CLK) if (RSTM) m <= 0; else if (CEM) m <= ad * b_in;

  // Table "OPMODE": the product needs both X and Y; Z may be C. Everything else adds nothing here.
  wire product = OPMODE[3:0] == 4'b0101;
  wire [47:0] m_in = product ? {{3{m[44]}}, m} : 48'd0;
  wire [47:0] z_in = OPMODE[6:4] == 3'b011 ? C : 48'd0;
  wire [47:0] w_in = OPMODE[8:7] == 2'b11 ? C : 48'd0;
  wire carry = CARRYINSEL == 3'b000 && CARRYIN;
  wire [47:0] others = w_in + m_in + carry;
  // Table "ALUMODE".
  wire [47:0] sum = ALUMODE == 4'b0000 ? z_in + others :
                    ALUMODE == 4'b0011 ? z_in - others :
                    ALUMODE == 4'b0001 ? ~z_in + others : ~(z_in + others);
  wire match = USE_PATTERN_DETECT == "PATDET" && &(~(sum ^ PATTERN) | MASK);
  always @(posedge CLK)
    if (RSTP) begin
      P <= 0;
      PATTERNDETECT <= 0;
    end else if (CEP) begin
      P <= sum;
      PATTERNDETECT <= match;
    end
endmodule
