# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
# Generated from hls/overlays/z2-mixed16.toml. Do not edit: run `make generate`.
set axynq(overlay) z2-mixed16
set axynq(hash) 022e2b90a587b1ec85c1f85a0518911f35ffe9def8a4fe40a6dd4c9755f5d2f3
set axynq(board) pynq-z2
set axynq(part) xc7z020clg400-1
set axynq(board_part) tul.com.tw:pynq-z2:part0:1.0
set axynq(family) zynq-7000
set axynq(clock_mhz) 100.0
set axynq(port_bits) 64
set axynq(memory_port_bits) 64
set axynq(memory_protocol) AXI3
set axynq(word_bits) 128
set axynq(blackboxes) {axynq_configurable_exact_or_roup_1_4.json axynq_exact.json axynq_smapprox_3330.json}
set axynq(identifier) 0x022e2b90
set axynq(vlnv) axynq:hls:accelerator:1.0
set axynq(pointers) {commands source destination}
set axynq(ps_instance) processing_system7_0
set axynq(ps_vlnv) xilinx.com:ip:processing_system7
set axynq(ps_rule) xilinx.com:bd_rule:processing_system7
set axynq(ps_preset_options) {make_external "FIXED_IO, DDR"}
set axynq(ps_configuration) {
  CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ 100.0
  CONFIG.PCW_USE_M_AXI_GP0 1
  CONFIG.PCW_USE_M_AXI_GP1 0
  CONFIG.PCW_USE_FABRIC_INTERRUPT 1
  CONFIG.PCW_IRQ_F2P_INTR 1
  CONFIG.PCW_USE_S_AXI_HP3 1
  CONFIG.PCW_S_AXI_HP3_DATA_WIDTH 64
  CONFIG.PCW_USE_S_AXI_HP0 1
  CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64
  CONFIG.PCW_USE_S_AXI_HP2 1
  CONFIG.PCW_S_AXI_HP2_DATA_WIDTH 64
}
set axynq(ps_clock) FCLK_CLK0
set axynq(ps_reset) FCLK_RESET0_N
set axynq(ps_interrupt) IRQ_F2P
set axynq(control_port) M_AXI_GP0
set axynq(control_clock) M_AXI_GP0_ACLK
set axynq(memory_ports) {S_AXI_HP3 S_AXI_HP0 S_AXI_HP2}
set axynq(memory_clocks) {S_AXI_HP3_ACLK S_AXI_HP0_ACLK S_AXI_HP2_ACLK}
set axynq(accelerator_address) 0x40000000
set axynq(interrupt_controller_address) 0x41800000
