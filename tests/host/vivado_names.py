# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The names that the build scripts may use, and who else uses them.

Nothing here has been tried in Vivado or Vitis HLS. Each name of a piece of IP, a parameter, a pin,
a command, an option, a property or a configuration key is taken from a script that others have
published and run, or from the vendor's documentation. The stand-in (``tests/host/vivado.py``)
refuses every other name.

Sources, as ``owner/repository path`` on GitHub, or a document of AMD's (docs.amd.com).
"""

from __future__ import annotations

from dataclasses import dataclass, field

PYNQ = "Xilinx/PYNQ boards/Pynq-Z2/base/base.tcl"
PYNQ_LOGICTOOLS = "Xilinx/PYNQ boards/Pynq-Z2/logictools/logictools.tcl"
PYNQ_ULTRASCALE = "Xilinx/PYNQ boards/ZCU104/base/base.tcl"
PYNQ_BUILD = "Xilinx/PYNQ boards/Pynq-Z2/base/build_bitstream.tcl"
PYNQ_WIDTHS = "Xilinx/PYNQ pynq/pl_server/embedded_device.py"
FINN = "Xilinx/finn src/finn/transformation/fpgadataflow/templates.py"
HLS4ML = (
    "fastmachinelearning/hls4ml "
    "hls4ml/templates/vivado_accelerator/pynq-z2/tcl_scripts/axi_stream_design.tcl"
)
VTA = "apache/tvm-vta hardware/xilinx/scripts/vivado.tcl"
ADI_PROJECT = "analogdevicesinc/hdl projects/scripts/adi_project_xilinx.tcl"
ADI_BOARD = "analogdevicesinc/hdl projects/scripts/adi_board.tcl"
ADI_CORUNDUM = "analogdevicesinc/hdl projects/adrv9009zu11eg/adrv2crr_fmc/system_bd_corundum.tcl"
ADI_CAMERA = "analogdevicesinc/hdl projects/adrd8012_01z/common/adrd8012_01z_bd.tcl"
PULP = "pulp-platform/bigpulp fpga/bigpulp-z-70xx/tcl/ps7_bd.tcl"
PULP_ULTRASCALE = "pulp-platform/bigpulp fpga/bigpulp-zux/tcl/zusys_bd.tcl"
PULP_INTERCONNECT = "pulp-platform/bigpulp fpga/bigpulp/tcl/ic_wrapper_bd.tcl"
HOG = "Hog-CERN/Hog Tcl/hog.tcl"
HOG_IDENTITY = "Hog-CERN/Hog Tcl/integrated/post-implementation.tcl"
UG835 = "UG835, Vivado Tcl commands"
UG901 = "UG901, Vivado synthesis"
UG904 = "UG904, Vivado implementation: strategies"
UG1399 = "UG1399, Vitis HLS: configuration file, interfaces, packaging"
UG1702 = "UG1702, Vitis reference: HLS general options"
PG059 = "PG059, AXI Interconnect: protocol converter, width converter"
PG201 = "PG201, Zynq UltraScale+ processing system"

INTEGER = frozenset({"a number"})
"""Stands for any whole or decimal number among the values of a parameter."""


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Piece:
    """A piece of IP, or the core."""

    sources: tuple[str, ...]
    pins: frozenset[str]
    buses: frozenset[str]
    parameters: dict[str, frozenset[str]] = field(default_factory=dict)
    """Values, by parameter without ``CONFIG.``."""
    versions: frozenset[str] = frozenset()
    """Which may be asked for; where none is, the catalogue has one only."""


SWITCH = words("0 1")

PIECES = {
    "processing_system7": Piece(
        (PYNQ, PYNQ_LOGICTOOLS, FINN, PULP),
        words(
            "FCLK_CLK0 FCLK_RESET0_N IRQ_F2P M_AXI_GP0_ACLK M_AXI_GP1_ACLK"
            " S_AXI_HP0_ACLK S_AXI_HP1_ACLK S_AXI_HP2_ACLK S_AXI_HP3_ACLK"
        ),
        words("M_AXI_GP0 M_AXI_GP1 S_AXI_HP0 S_AXI_HP1 S_AXI_HP2 S_AXI_HP3"),
        {
            "PCW_FPGA0_PERIPHERAL_FREQMHZ": INTEGER,
            "PCW_USE_FABRIC_INTERRUPT": SWITCH,
            "PCW_IRQ_F2P_INTR": SWITCH,
        }
        | {f"PCW_USE_M_AXI_GP{n}": SWITCH for n in range(2)}
        | {f"PCW_USE_S_AXI_HP{n}": SWITCH for n in range(4)}
        | {f"PCW_S_AXI_HP{n}_DATA_WIDTH": words("32 64") for n in range(4)},
    ),
    "zynq_ultra_ps_e": Piece(
        (PYNQ_ULTRASCALE, PYNQ_WIDTHS, FINN, ADI_BOARD, ADI_CAMERA, ADI_CORUNDUM, PG201),
        words(
            "pl_clk0 pl_resetn0 pl_ps_irq0 maxihpm0_fpd_aclk maxihpm1_fpd_aclk maxihpm0_lpd_aclk"
            " saxihp0_fpd_aclk saxihp1_fpd_aclk saxihp2_fpd_aclk saxihp3_fpd_aclk"
        ),
        words(
            "M_AXI_HPM0_FPD M_AXI_HPM1_FPD M_AXI_HPM0_LPD"
            " S_AXI_HP0_FPD S_AXI_HP1_FPD S_AXI_HP2_FPD S_AXI_HP3_FPD"
        ),
        {
            "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": INTEGER,
            "PSU__FPGA_PL0_ENABLE": SWITCH,
            "PSU__USE__IRQ0": SWITCH,
            "PSU__MAXIGP0__DATA_WIDTH": words("32 64 128"),
        }
        | {f"PSU__USE__M_AXI_GP{n}": SWITCH for n in range(3)}
        | {f"PSU__USE__S_AXI_GP{n}": SWITCH for n in range(2, 6)}
        | {f"PSU__SAXIGP{n}__DATA_WIDTH": words("32 64 128") for n in range(2, 6)},
    ),
    "proc_sys_reset": Piece(
        (PYNQ, VTA, ADI_BOARD),
        words("slowest_sync_clk ext_reset_in peripheral_aresetn"),
        frozenset(),
    ),
    "axi_intc": Piece(
        (PYNQ_ULTRASCALE,),
        words("s_axi_aclk s_axi_aresetn intr irq"),
        words("s_axi"),
        {"C_IRQ_CONNECTION": SWITCH},
    ),
    "axi_interconnect": Piece(
        (VTA, FINN, ADI_CORUNDUM, PG059),  # STRATEGY: PG059; in scripts of crossbars also: PULP
        words("ACLK ARESETN S00_ACLK S00_ARESETN M00_ACLK M00_ARESETN M01_ACLK M01_ARESETN"),
        words("S00_AXI M00_AXI M01_AXI"),
        {"NUM_SI": INTEGER, "NUM_MI": INTEGER, "STRATEGY": words("0 1 2")},
        versions=words("2.1"),
    ),
    "axi_protocol_converter": Piece(
        (PULP, PYNQ, PG059),  # PULP: between AXI4 and S_AXI_HP0, in mode 0
        words("aclk aresetn"),
        words("S_AXI M_AXI"),
        {
            "SI_PROTOCOL": words("AXI3 AXI4 AXI4LITE"),
            "MI_PROTOCOL": words("AXI3 AXI4 AXI4LITE"),
            "TRANSLATION_MODE": words("0 2"),
        },
    ),
    "axi_dwidth_converter": Piece(
        (PULP_ULTRASCALE, PULP_INTERCONNECT, PG059),
        words("s_axi_aclk s_axi_aresetn"),
        words("S_AXI M_AXI"),
        {
            "SI_DATA_WIDTH": words("32 64 128 256 512 1024"),
            "MI_DATA_WIDTH": words("32 64 128 256 512 1024"),
        },
    ),
    "accelerator": Piece(
        (UG1399, VTA),  # what Vitis HLS calls clock, reset, interrupt and bundles
        words("ap_clk ap_rst_n interrupt"),
        words("s_axi_control m_axi_commands m_axi_source m_axi_destination"),
    ),
}
"""By the name in ``xilinx.com:ip:NAME``."""

COMMANDS: dict[str, tuple[str, frozenset[str], frozenset[str]]] = {
    "create_project": (HLS4ML, words("-part"), words("-force")),
    "get_board_parts": (UG835, frozenset(), words("-quiet -latest_file_version")),
    "current_project": (HLS4ML, frozenset(), frozenset()),
    "current_fileset": (PYNQ_BUILD, frozenset(), frozenset()),
    "set_property": (HLS4ML, words("-dict"), frozenset()),
    "update_ip_catalog": (HLS4ML, frozenset(), frozenset()),
    "get_files": (HLS4ML, frozenset(), frozenset()),
    "make_wrapper": (FINN, words("-files -fileset"), words("-import -top")),
    "add_files": (ADI_PROJECT, words("-fileset"), frozenset()),
    "create_bd_design": (HLS4ML, frozenset(), frozenset()),
    "create_bd_cell": (HLS4ML, words("-type -vlnv"), frozenset()),
    "apply_bd_automation": (HLS4ML, words("-rule -config"), frozenset()),
    "get_bd_cells": (HLS4ML, frozenset(), frozenset()),
    "get_bd_pins": (HLS4ML, frozenset(), frozenset()),
    "get_bd_intf_pins": (HLS4ML, frozenset(), frozenset()),
    "connect_bd_net": (VTA, frozenset(), frozenset()),
    "connect_bd_intf_net": (FINN, frozenset(), frozenset()),
    "get_bd_addr_spaces": (PYNQ, frozenset(), frozenset()),
    "get_bd_addr_segs": (PYNQ, frozenset(), frozenset()),
    "assign_bd_address": (PYNQ, words("-offset -range -target_address_space"), frozenset()),
    "validate_bd_design": (FINN, frozenset(), frozenset()),
    "save_bd_design": (FINN, frozenset(), frozenset()),
    "generate_target": (ADI_PROJECT, frozenset(), frozenset()),
    "get_runs": (FINN, frozenset(), frozenset()),
    "launch_runs": (PYNQ_BUILD, words("-to_step -jobs"), frozenset()),
    "wait_on_run": (PYNQ_BUILD, frozenset(), frozenset()),
    "get_property": (HOG, frozenset(), frozenset()),
    "open_run": (FINN, frozenset(), frozenset()),
    "report_timing_summary": (ADI_PROJECT, words("-file"), frozenset()),
    "report_utilization": (HLS4ML, words("-file"), frozenset()),
    "version": (VTA, frozenset(), words("-short")),
}
"""Tcl commands: a source, options that take a value, and options that do not."""

PROPERTIES: dict[tuple[str, str], tuple[str, frozenset[str]]] = {
    ("project", "board_part"): (HLS4ML, frozenset()),
    ("project", "ip_repo_paths"): (HLS4ML, frozenset()),
    ("sources_1", "top"): (PYNQ_BUILD, frozenset()),
    ("design", "synth_checkpoint_mode"): (ADI_PROJECT, words("None Hierarchical")),
    ("synth_1", "strategy"): (
        f"{FINN}; {UG901}",
        frozenset({"Vivado Synthesis Defaults", "Flow_PerfOptimized_high"}),
    ),
    ("impl_1", "strategy"): (
        f"{FINN}; {UG904}",
        frozenset({"Vivado Implementation Defaults", "Performance_ExplorePostRoutePhysOpt"}),
    ),
}
"""Properties that are set: by object and name a source, and the values; none: any."""

READ_PROPERTIES = {
    ("impl_1", "PROGRESS"): HOG,
    ("impl_1", "STATS.WNS"): HOG,
    ("impl_1", "STATS.TNS"): HOG,
    ("impl_1", "STATS.WHS"): HOG,
    ("impl_1", "STATS.THS"): HOG,
    ("impl_1", "DIRECTORY"): HOG_IDENTITY,
    ("project", "PART"): HOG,
}
"""Properties that are read, by object and name."""

CONSTRAINTS = {
    "BITSTREAM.GENERAL.COMPRESS": ADI_PROJECT,
    "BITSTREAM.CONFIG.USR_ACCESS": HOG_IDENTITY,
}
"""Properties of the design that constraint files set."""

SEGMENTS = {
    "axi_intc_0/S_AXI/Reg": PYNQ_ULTRASCALE,
    "accelerator_0/s_axi_control/Reg": UG1399,
}
"""Address segments."""

HLS_KEYS = {
    "part": UG1702,
    "flow_target": UG1702,
    "clock": UG1702,
    "clock_uncertainty": UG1702,
    "syn.file": UG1399,
    "syn.cflags": UG1399,
    "syn.blackbox.file": UG1399,
    "syn.top": UG1399,
    "syn.interface.m_axi_addr64": UG1399,
    "syn.interface.m_axi_max_read_burst_length": UG1399,
    "syn.interface.m_axi_max_write_burst_length": UG1399,
    "syn.interface.m_axi_num_read_outstanding": UG1399,
    "syn.interface.m_axi_num_write_outstanding": UG1399,
    "syn.interface.m_axi_latency": UG1399,
    "package.output.format": UG1399,
    "package.output.syn": UG1399,
    "package.ip.vendor": UG1399,
    "package.ip.library": UG1399,
    "package.ip.name": UG1399,
    "package.ip.version": UG1399,
    "package.ip.description": UG1399,
}
"""Keys of the configuration file of Vitis HLS."""
