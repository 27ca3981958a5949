"""The processor part of a chip, as Vivado names its ports, parameters and addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SOFTWARE_MEMORY_BYTES = 256 << 20
"""Contiguous memory of the software board."""


@dataclass(frozen=True)
class ProcessingSystem:
    """One family's processing system and where a design finds things."""

    architecture: str
    """Of the chip, in hardware hand-off files."""
    processor: str
    """Of the operating system, as ``uname -m`` says: what pynq tells boards apart by."""
    module: str
    instance: str
    version: str
    clock: str
    interrupt: str
    control_port: str
    """Through which the processor reaches registers."""
    memory_ports: tuple[str, ...]
    """Through which the logic reaches memory."""
    memory_block: str
    accelerator_address: int
    interrupt_controller_address: int
    memory_base: int
    """Where buffers lie on the software board; above 4 GiB where real boards have memory there."""
    clock_parameters: Callable[[int, float], dict[str, str]]
    """Parameters of a logic clock: number and MHz (0 where it is off)."""
    reset: str
    """Reset of the logic, released by the processor."""
    control_clock: str
    memory_clocks: tuple[str, ...]
    """Clock inputs of the ports."""
    preset_options: str
    """Options of Vivado's block automation beside the board preset, as a Tcl list."""
    configuration: Callable[[float, int], dict[str, str]]
    """What Vivado is told about the processing system: clock in MHz, width of the memory ports."""


def _zynq_clock(number: int, mhz: float) -> dict[str, str]:
    return {
        f"PCW_FPGA_FCLK{number}_ENABLE": str(int(mhz > 0)),
        f"PCW_FCLK{number}_PERIPHERAL_DIVISOR0": "5",
        f"PCW_FCLK{number}_PERIPHERAL_DIVISOR1": "2",
        f"PCW_FCLK{number}_PERIPHERAL_CLKSRC": "IO PLL",
        f"PCW_ACT_FPGA{number}_PERIPHERAL_FREQMHZ": str(mhz),
    }


def _ultrascale_clock(number: int, mhz: float) -> dict[str, str]:
    return {
        f"PSU__FPGA_PL{number}_ENABLE": str(int(mhz > 0)),
        f"PSU__CRL_APB__PL{number}_REF_CTRL__DIVISOR0": "5",
        f"PSU__CRL_APB__PL{number}_REF_CTRL__DIVISOR1": "2",
        f"PSU__CRL_APB__PL{number}_REF_CTRL__SRCSEL": "IOPLL",
        f"PSU__CRL_APB__PL{number}_REF_CTRL__ACT_FREQMHZ": str(mhz),
    }


def _zynq_configuration(mhz: float, port_bits: int) -> dict[str, str]:
    settings = {
        "PCW_FPGA0_PERIPHERAL_FREQMHZ": str(mhz),
        "PCW_USE_M_AXI_GP0": "1",
        "PCW_USE_M_AXI_GP1": "0",
        "PCW_USE_FABRIC_INTERRUPT": "1",
        "PCW_IRQ_F2P_INTR": "1",
    }
    for port in range(3):
        settings[f"PCW_USE_S_AXI_HP{port}"] = "1"
        settings[f"PCW_S_AXI_HP{port}_DATA_WIDTH"] = str(port_bits)
    return settings


def _ultrascale_configuration(mhz: float, port_bits: int) -> dict[str, str]:
    settings = {
        "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": str(mhz),
        "PSU__FPGA_PL0_ENABLE": "1",
        "PSU__USE__M_AXI_GP0": "1",  # M_AXI_HPM0_FPD
        "PSU__MAXIGP0__DATA_WIDTH": "32",
        "PSU__USE__M_AXI_GP1": "0",  # M_AXI_HPM1_FPD and
        "PSU__USE__M_AXI_GP2": "0",  # M_AXI_HPM0_LPD, which presets enable: they would lack a clock
        "PSU__USE__IRQ0": "1",
    }
    for port in range(3):  # S_AXI_HPn_FPD is number n + 2 here
        settings[f"PSU__USE__S_AXI_GP{port + 2}"] = "1"
        settings[f"PSU__SAXIGP{port + 2}__DATA_WIDTH"] = str(port_bits)
    return settings


PROCESSING_SYSTEMS = {
    "zynq-7000": ProcessingSystem(
        architecture="zynq",
        processor="armv7l",
        module="processing_system7",
        instance="processing_system7_0",
        version="5.5",
        clock="FCLK_CLK0",
        interrupt="IRQ_F2P",
        control_port="M_AXI_GP0",
        memory_ports=("S_AXI_HP0", "S_AXI_HP1", "S_AXI_HP2"),
        memory_block="DDR_LOWOCM",
        accelerator_address=0x4000_0000,
        interrupt_controller_address=0x4180_0000,
        memory_base=0x1000_0000,
        clock_parameters=_zynq_clock,
        reset="FCLK_RESET0_N",
        control_clock="M_AXI_GP0_ACLK",
        memory_clocks=("S_AXI_HP0_ACLK", "S_AXI_HP1_ACLK", "S_AXI_HP2_ACLK"),
        preset_options='make_external "FIXED_IO, DDR"',
        configuration=_zynq_configuration,
    ),
    "zynq-ultrascale+": ProcessingSystem(
        architecture="zynquplus",
        processor="aarch64",
        module="zynq_ultra_ps_e",
        instance="zynq_ultra_ps_e_0",
        version="3.5",
        clock="pl_clk0",
        interrupt="pl_ps_irq0",
        control_port="M_AXI_HPM0_FPD",
        memory_ports=("S_AXI_HP0_FPD", "S_AXI_HP1_FPD", "S_AXI_HP2_FPD"),
        memory_block="DDR_HIGH",
        accelerator_address=0xA000_0000,
        interrupt_controller_address=0xA001_0000,
        memory_base=0x8_7000_0000,
        clock_parameters=_ultrascale_clock,
        reset="pl_resetn0",
        control_clock="maxihpm0_fpd_aclk",
        memory_clocks=("saxihp0_fpd_aclk", "saxihp1_fpd_aclk", "saxihp2_fpd_aclk"),
        preset_options="",
        configuration=_ultrascale_configuration,
    ),
}
"""By the family that a board's description names."""
