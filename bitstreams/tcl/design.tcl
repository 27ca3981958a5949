# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# The block design: processing system, accelerator, interrupt controller, an interconnect for
# registers, and what each memory port of the core needs on its way to the processing system. Names
# are those of host/generate/templates/overlay.hwh.j2, which the software board reads: pynq and the
# driver find the same design on both. Where the vendor's names come from is in
# tests/host/vivado_names.py.
#
# Reads the array `axynq` that overlay.tcl sets.

proc axynq_design {} {
  global axynq
  create_bd_design [string map {- _} $axynq(overlay)]

  # The processing system: the board's preset first (memory, pins), then what this design needs.
  set ps [create_bd_cell -type ip -vlnv $axynq(ps_vlnv) $axynq(ps_instance)]
  apply_bd_automation -rule $axynq(ps_rule) \
    -config [concat $axynq(ps_preset_options) {apply_board_preset 1}] $ps
  set_property -dict $axynq(ps_configuration) $ps

  set clock $axynq(ps_instance)/$axynq(ps_clock)
  create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset_0
  connect_bd_net [get_bd_pins $clock] [get_bd_pins reset_0/slowest_sync_clk]
  connect_bd_net [get_bd_pins $axynq(ps_instance)/$axynq(ps_reset)] \
    [get_bd_pins reset_0/ext_reset_in]

  create_bd_cell -type ip -vlnv $axynq(vlnv) accelerator_0
  axynq_clock $clock accelerator_0/ap_clk accelerator_0/ap_rst_n

  # pynq waits for interrupts through an AXI interrupt controller; one wired straight to the
  # processor is invisible to it. It also wants a single, level-sensitive output.
  create_bd_cell -type ip -vlnv xilinx.com:ip:axi_intc axi_intc_0
  set_property -dict {CONFIG.C_IRQ_CONNECTION 1} [get_bd_cells axi_intc_0]
  axynq_clock $clock axi_intc_0/s_axi_aclk axi_intc_0/s_axi_aresetn
  connect_bd_net [get_bd_pins accelerator_0/interrupt] [get_bd_pins axi_intc_0/intr]
  connect_bd_net [get_bd_pins axi_intc_0/irq] \
    [get_bd_pins $axynq(ps_instance)/$axynq(ps_interrupt)]

  # Registers. An AXI Interconnect and no SmartConnect: for one master and two AXI4-Lite slaves it
  # comes down to a protocol converter and a crossbar whose data path is shared (STRATEGY 1, the
  # smallest), where a SmartConnect packs every transfer into packets.
  axynq_interconnect $clock control_0 2
  connect_bd_net [get_bd_pins $clock] [get_bd_pins $axynq(ps_instance)/$axynq(control_clock)]
  axynq_bus $axynq(ps_instance)/$axynq(control_port) control_0/S00_AXI
  axynq_bus control_0/M00_AXI accelerator_0/s_axi_control
  axynq_bus control_0/M01_AXI axi_intc_0/s_axi

  # Memory: a port of its own for each of commands, source and destination.
  foreach pointer $axynq(pointers) port $axynq(memory_ports) port_clock $axynq(memory_clocks) {
    connect_bd_net [get_bd_pins $clock] [get_bd_pins $axynq(ps_instance)/$port_clock]
    set end accelerator_0/m_axi_$pointer
    if {$axynq(port_bits) != $axynq(memory_port_bits)} {
      set end [axynq_widened $clock width_$pointer $end]
    }
    if {$axynq(memory_protocol) eq "AXI3"} {
      set end [axynq_as_axi3 $clock protocol_$pointer $end]
    }
    axynq_bus $end $axynq(ps_instance)/$port
  }

  axynq_addresses
  validate_bd_design
  save_bd_design
}

proc axynq_clock {clock clock_pin reset_pin} {
  connect_bd_net [get_bd_pins $clock] [get_bd_pins $clock_pin]
  connect_bd_net [get_bd_pins reset_0/peripheral_aresetn] [get_bd_pins $reset_pin]
}

# One master; the version is given because the catalogue has two pieces of IP of that name.
proc axynq_interconnect {clock name slaves} {
  create_bd_cell -type ip -vlnv xilinx.com:ip:axi_interconnect:2.1 $name
  set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI $slaves CONFIG.STRATEGY 1] \
    [get_bd_cells $name]
  axynq_clock $clock $name/ACLK $name/ARESETN
  axynq_clock $clock $name/S00_ACLK $name/S00_ARESETN
  for {set slave 0} {$slave < $slaves} {incr slave} {
    set port [format M%02d $slave]
    axynq_clock $clock $name/${port}_ACLK $name/${port}_ARESETN
  }
}

# A master as wide as the processing system's port. It packs beats (PG059), so that bursts become
# shorter, never longer.
proc axynq_widened {clock name master} {
  global axynq
  create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dwidth_converter $name
  set_property -dict [list CONFIG.SI_DATA_WIDTH $axynq(port_bits) \
    CONFIG.MI_DATA_WIDTH $axynq(memory_port_bits)] [get_bd_cells $name]
  axynq_clock $clock $name/s_axi_aclk $name/s_axi_aresetn
  axynq_bus $master $name/S_AXI
  return $name/M_AXI
}

# A master in AXI3. TRANSLATION_MODE 0 splits no bursts and costs next to nothing; it is for masters
# whose bursts have 16 beats at most (PG059), to which host/overlay/memory_access.py holds the core.
proc axynq_as_axi3 {clock name master} {
  create_bd_cell -type ip -vlnv xilinx.com:ip:axi_protocol_converter $name
  set_property -dict {
    CONFIG.SI_PROTOCOL AXI4 CONFIG.MI_PROTOCOL AXI3 CONFIG.TRANSLATION_MODE 0
  } [get_bd_cells $name]
  axynq_clock $clock $name/aclk $name/aresetn
  axynq_bus $master $name/S_AXI
  return $name/M_AXI
}

proc axynq_bus {master slave} {
  connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins $slave]
}

# Registers where the software board has them; memory wherever the processing system offers it.
proc axynq_addresses {} {
  global axynq
  set space [get_bd_addr_spaces $axynq(ps_instance)/Data]
  assign_bd_address -offset $axynq(accelerator_address) -range 64K -target_address_space $space \
    [get_bd_addr_segs accelerator_0/s_axi_control/Reg]
  assign_bd_address -offset $axynq(interrupt_controller_address) -range 64K \
    -target_address_space $space [get_bd_addr_segs axi_intc_0/S_AXI/Reg]
  assign_bd_address
}
