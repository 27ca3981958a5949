# The block design: processing system, accelerator, interrupt controller, one SmartConnect each for
# registers and for every memory port. Names are those of host/generate/templates/overlay.hwh.j2, which the
# software board reads: pynq and the driver find the same design on both.
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

  # Registers.
  axynq_smartconnect $clock control_0 1 2
  connect_bd_net [get_bd_pins $clock] [get_bd_pins $axynq(ps_instance)/$axynq(control_clock)]
  axynq_bus $axynq(ps_instance)/$axynq(control_port) control_0/S00_AXI
  axynq_bus control_0/M00_AXI accelerator_0/s_axi_control
  axynq_bus control_0/M01_AXI axi_intc_0/s_axi

  # Memory: a port of its own for each of commands, source and destination.
  foreach pointer $axynq(pointers) port $axynq(memory_ports) port_clock $axynq(memory_clocks) {
    axynq_smartconnect $clock memory_$pointer 1 1
    connect_bd_net [get_bd_pins $clock] [get_bd_pins $axynq(ps_instance)/$port_clock]
    axynq_bus accelerator_0/m_axi_$pointer memory_$pointer/S00_AXI
    axynq_bus memory_$pointer/M00_AXI $axynq(ps_instance)/$port
  }

  axynq_addresses
  validate_bd_design
  save_bd_design
}

proc axynq_clock {clock clock_pin reset_pin} {
  connect_bd_net [get_bd_pins $clock] [get_bd_pins $clock_pin]
  connect_bd_net [get_bd_pins reset_0/peripheral_aresetn] [get_bd_pins $reset_pin]
}

proc axynq_smartconnect {clock name masters slaves} {
  create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $name
  set_property -dict [list CONFIG.NUM_SI $masters CONFIG.NUM_MI $slaves] [get_bd_cells $name]
  axynq_clock $clock $name/aclk $name/aresetn
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
