# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
# Generated from hls/overlays/kv260-hybrid.toml. Do not edit: run `make generate`.
set axynq(overlay) kv260-hybrid
set axynq(hash) 49f87341c17bda8df4bff1f92d4ad8832f73db1f1367883c1907fc2a352a9139
set axynq(board) kv260
set axynq(part) xck26-sfvc784-2LV-c
set axynq(board_part) xilinx.com:kv260_som:part0:1.4
set axynq(family) zynq-ultrascale+
set axynq(clock_mhz) 250.0
set axynq(port_bits) 128
set axynq(memory_port_bits) 128
set axynq(memory_protocol) AXI4
set axynq(word_bits) 128
set axynq(blackboxes) {axynq_roup_2_6.json axynq_dsp_pair_dsp48e2.json}
set axynq(identifier) 0x49f87341
set axynq(vlnv) axynq:hls:accelerator:1.0
set axynq(pointers) {commands source destination}
set axynq(ps_instance) zynq_ultra_ps_e_0
set axynq(ps_vlnv) xilinx.com:ip:zynq_ultra_ps_e
set axynq(ps_rule) xilinx.com:bd_rule:zynq_ultra_ps_e
set axynq(ps_preset_options) {}
set axynq(ps_configuration) {
  CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 250.0
  CONFIG.PSU__FPGA_PL0_ENABLE 1
  CONFIG.PSU__USE__M_AXI_GP0 1
  CONFIG.PSU__MAXIGP0__DATA_WIDTH 32
  CONFIG.PSU__USE__M_AXI_GP1 0
  CONFIG.PSU__USE__M_AXI_GP2 0
  CONFIG.PSU__USE__IRQ0 1
  CONFIG.PSU__USE__S_AXI_GP3 1
  CONFIG.PSU__SAXIGP3__DATA_WIDTH 128
  CONFIG.PSU__USE__S_AXI_GP2 1
  CONFIG.PSU__SAXIGP2__DATA_WIDTH 128
  CONFIG.PSU__USE__S_AXI_GP5 1
  CONFIG.PSU__SAXIGP5__DATA_WIDTH 128
}
set axynq(ps_clock) pl_clk0
set axynq(ps_reset) pl_resetn0
set axynq(ps_interrupt) pl_ps_irq0
set axynq(control_port) M_AXI_HPM0_FPD
set axynq(control_clock) maxihpm0_fpd_aclk
set axynq(memory_ports) {S_AXI_HP1_FPD S_AXI_HP0_FPD S_AXI_HP3_FPD}
set axynq(memory_clocks) {saxihp1_fpd_aclk saxihp0_fpd_aclk saxihp3_fpd_aclk}
set axynq(accelerator_address) 0xA0000000
set axynq(interrupt_controller_address) 0xA0010000
