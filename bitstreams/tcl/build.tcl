# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# From the synthesised core to a bitstream:
#
#   vivado -mode batch -source build.tcl -tclargs OVERLAY.tcl IP_FOLDER PROJECT_FOLDER RESULTS JOBS
#
# Writes NAME.bit, NAME.hwh, timing.txt, utilisation.txt and run.txt to the folder RESULTS.

lassign $argv constants ip_folder project_folder results jobs
set scripts [file dirname [file normalize [info script]]]
source $constants
source [file join $scripts strategy.tcl]
source [file join $scripts design.tcl]

# The board's files hold the settings of its memory and pins. Any version of them will do, and any
# vendor's: some boards have changed hands.
proc axynq_board_part {} {
  global axynq
  set board [lindex [split $axynq(board_part) :] 1]
  set found [lindex [get_board_parts -quiet -latest_file_version "*:$board:*"] 0]
  if {$found eq ""} {
    error "axynq: Vivado has no board files for '$board'. Install them (Vivado's Tools > Vivado\
      Store > Boards, or the board's maker) and build again"
  }
  return $found
}

proc axynq_write {path content} {
  set file [open $path w]
  puts $file $content
  close $file
}

set name [string map {- _} $axynq(overlay)]
file mkdir $results
create_project $name $project_folder -part $axynq(part) -force
set_property board_part [axynq_board_part] [current_project]
set_property ip_repo_paths [list $ip_folder] [current_project]
update_ip_catalog

axynq_design
set design [get_files $name.bd]
set_property synth_checkpoint_mode $axynq(synthesis_checkpoints) $design
make_wrapper -files $design -import -fileset sources_1 -top
set_property top ${name}_wrapper [current_fileset]

# The design has no pins of its own, and the processing system constrains its clock. The start of
# the overlay's hash goes into the bitstream, to be read back from a device.
set identity [file join $project_folder identity.xdc]
axynq_write $identity "set_property BITSTREAM.CONFIG.USR_ACCESS $axynq(identifier) \[current_design\]"
add_files -fileset constrs_1 [list [file join $scripts constraints.xdc] $identity]

generate_target all $design
set_property strategy $axynq(synthesis_strategy) [get_runs synth_1]
set_property strategy $axynq(implementation_strategy) [get_runs impl_1]
launch_runs impl_1 -to_step write_bitstream -jobs $jobs
wait_on_run impl_1
set progress [get_property PROGRESS [get_runs impl_1]]
if {$progress ne "100%"} {
  error "axynq: implementation stopped at $progress: see runme.log in\
    [get_property DIRECTORY [get_runs impl_1]]"
}

open_run impl_1
report_timing_summary -file [file join $results timing.txt]
report_utilization -file [file join $results utilisation.txt]
set run {}
foreach property {STATS.WNS STATS.TNS STATS.WHS STATS.THS} {
  append run "$property [get_property $property [get_runs impl_1]]\n"
}
append run "PART [get_property PART [current_project]]\n"
append run "VERSION [version -short]"
axynq_write [file join $results run.txt] $run

set bit [file join [get_property DIRECTORY [get_runs impl_1]] ${name}_wrapper.bit]
set handoff [file join $project_folder $name.gen sources_1 bd $name hw_handoff $name.hwh]
file copy -force $bit [file join $results $axynq(overlay).bit]
file copy -force $handoff [file join $results $axynq(overlay).hwh]
