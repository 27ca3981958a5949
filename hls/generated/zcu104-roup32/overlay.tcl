# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
# Generated from hls/overlays/zcu104-roup32.toml. Do not edit: run `make generate`.
set axynq(overlay) zcu104-roup32
set axynq(hash) b25e4cdbcd604b4657e43595183146092612aa70feb46569a97c03fe4cf6ba02
set axynq(board) zcu104
set axynq(part) xczu7ev-ffvc1156-2-e
set axynq(board_part) xilinx.com:zcu104:part0:1.1
set axynq(family) zynq-ultrascale+
set axynq(clock_mhz) 187.5
set axynq(port_bits) 128
set axynq(memory_port_bits) 128
set axynq(memory_protocol) AXI4
set axynq(word_bits) 256
set axynq(blackboxes) {axynq_configurable_exact_or_roup_0_4_or_roup_1_4_or_roup_2_6.json}
set axynq(identifier) 0xb25e4cdb
set axynq(vlnv) axynq:hls:accelerator:1.0
set axynq(pointers) {commands source destination}
set axynq(ps_instance) zynq_ultra_ps_e_0
set axynq(ps_vlnv) xilinx.com:ip:zynq_ultra_ps_e
set axynq(ps_rule) xilinx.com:bd_rule:zynq_ultra_ps_e
set axynq(ps_preset_options) {}
set axynq(ps_configuration) {
  CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 187.5
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
