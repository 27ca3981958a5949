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
    ),
}
"""By the family that a board's description names."""
