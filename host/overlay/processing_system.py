# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The processor part of a chip, as Vivado names its ports, parameters and addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

SOFTWARE_MEMORY_BYTES = 256 << 20
"""Contiguous memory of the software board."""


@dataclass(frozen=True)
class MemoryPort:
    """A port through which the logic reaches memory."""

    number: int
    """Of the high-performance port (HP)."""
    bus: str
    clock: str


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
    memory_ports: Mapping[str, MemoryPort]
    """A port for each pointer of the core, spread over the ports of the memory controller."""
    memory_protocol: Literal["AXI3", "AXI4"]
    """What the memory ports speak; the core speaks AXI4."""
    memory_widths: tuple[int, ...]
    """Bits that a memory port can be set to, ascending."""
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
    preset_options: str
    """Options of Vivado's block automation beside the board preset, as a Tcl list."""
    clock_setting: str
    """The parameter with the rate of the logic's clock, in MHz."""
    settings: Mapping[str, str]
    """Other parameters of the processing system that do not depend on the overlay."""
    memory_settings: Callable[[int, int], dict[str, str]]
    """Parameters of a memory port: its number and its width in bits."""

    def memory_width(self, port_bits: int) -> int:
        """Bits of the memory port that a port of the core with ``port_bits`` is connected to."""
        return min(width for width in self.memory_widths if width >= port_bits)

    def configuration(self, clock_mhz: float, port_bits: int) -> dict[str, str]:
        """What Vivado is told about the processing system.

        Args:
            clock_mhz: rate of the logic's clock.
            port_bits: width of the core's memory ports.
        """
        configuration = {self.clock_setting: str(clock_mhz), **self.settings}
        for port in self.memory_ports.values():
            configuration |= self.memory_settings(port.number, self.memory_width(port_bits))
        return configuration


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


def _zynq_memory(number: int, bits: int) -> dict[str, str]:
    return {
        f"PCW_USE_S_AXI_HP{number}": "1",
        f"PCW_S_AXI_HP{number}_DATA_WIDTH": str(bits),
    }


def _ultrascale_memory(number: int, bits: int) -> dict[str, str]:
    general = number + 2  # by which Vivado's parameters count S_AXI_HPn_FPD
    return {
        f"PSU__USE__S_AXI_GP{general}": "1",
        f"PSU__SAXIGP{general}__DATA_WIDTH": str(bits),
    }


def _zynq_port(number: int) -> MemoryPort:
    return MemoryPort(number, f"S_AXI_HP{number}", f"S_AXI_HP{number}_ACLK")


def _ultrascale_port(number: int) -> MemoryPort:
    return MemoryPort(number, f"S_AXI_HP{number}_FPD", f"saxihp{number}_fpd_aclk")


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
        # HP0 and HP1 share one port of the memory controller, HP2 and HP3 another (UG585, table
        # 5-11). Source and destination are apart; commands are read beside what is written.
        memory_ports={
            "commands": _zynq_port(3),
            "source": _zynq_port(0),
            "destination": _zynq_port(2),
        },
        memory_protocol="AXI3",
        # A port has a mode of 32 bits too, but the boot loader sets it (AFI registers, UG585), and
        # the one of PYNQ's images does not; pynq sets widths on UltraScale+ only.
        memory_widths=(64,),
        memory_block="DDR_LOWOCM",
        accelerator_address=0x4000_0000,
        interrupt_controller_address=0x4180_0000,
        memory_base=0x1000_0000,
        clock_parameters=_zynq_clock,
        reset="FCLK_RESET0_N",
        control_clock="M_AXI_GP0_ACLK",
        preset_options='make_external "FIXED_IO, DDR"',
        clock_setting="PCW_FPGA0_PERIPHERAL_FREQMHZ",
        settings={
            "PCW_USE_M_AXI_GP0": "1",
            "PCW_USE_M_AXI_GP1": "0",
            "PCW_USE_FABRIC_INTERRUPT": "1",
            "PCW_IRQ_F2P_INTR": "1",
        },
        memory_settings=_zynq_memory,
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
        # HP1 and HP2 share one port of the memory controller; HP0 shares one with the DisplayPort,
        # HP3 with the processor's DMA (UG1085, "PL-PS Interface Specifics"). So all are apart.
        memory_ports={
            "commands": _ultrascale_port(1),
            "source": _ultrascale_port(0),
            "destination": _ultrascale_port(3),
        },
        memory_protocol="AXI4",
        memory_widths=(32, 64, 128),  # pynq sets what the hand-off says when it loads the overlay
        memory_block="DDR_HIGH",
        accelerator_address=0xA000_0000,
        interrupt_controller_address=0xA001_0000,
        memory_base=0x8_7000_0000,
        clock_parameters=_ultrascale_clock,
        reset="pl_resetn0",
        control_clock="maxihpm0_fpd_aclk",
        preset_options="",
        clock_setting="PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
        settings={
            "PSU__FPGA_PL0_ENABLE": "1",
            "PSU__USE__M_AXI_GP0": "1",  # M_AXI_HPM0_FPD
            "PSU__MAXIGP0__DATA_WIDTH": "32",
            "PSU__USE__M_AXI_GP1": "0",  # M_AXI_HPM1_FPD and M_AXI_HPM0_LPD, which presets
            "PSU__USE__M_AXI_GP2": "0",  # enable: they would lack a clock
            "PSU__USE__IRQ0": "1",
        },
        memory_settings=_ultrascale_memory,
    ),
}
"""By the family that a board's description names."""
