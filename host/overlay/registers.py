# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The control registers of the accelerator, as Vitis HLS lays them out.

The driver never uses these offsets: it finds registers by name in the hardware hand-off, so that a
tool version with another layout does no harm. The software board's hand-off is made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Argument:
    """An argument of the top function that becomes registers."""

    name: str
    kind: Literal["pointer", "input", "output"]
    """A 64-bit address, a 32-bit value in, or a 32-bit value out."""


ARGUMENTS = (
    Argument("commands", "pointer"),
    Argument("source", "pointer"),
    Argument("destination", "pointer"),
    Argument("images", "input"),
    Argument("status", "output"),
    Argument("progress", "output"),
)
"""In the order of ``accelerator()`` in ``hls/src/accelerator.hpp``."""

TOP_FUNCTION = "accelerator"
VENDOR, LIBRARY, CORE_VERSION = "axynq", "hls", "1.0"
VLNV = f"{VENDOR}:{LIBRARY}:{TOP_FUNCTION}:{CORE_VERSION}"
"""By which Vivado's catalogue and pynq know the core."""


@dataclass(frozen=True)
class BitField:
    """Some bits of a register."""

    name: str
    offset: int
    width: int
    access: Literal["read-only", "write-only", "read-write"]


@dataclass(frozen=True)
class Register:
    """A 32-bit register."""

    name: str
    offset: int
    access: Literal["read-only", "write-only", "read-write"]
    fields: tuple[BitField, ...]


AP_START, AP_DONE, AP_IDLE, AP_READY = 1, 2, 4, 8
"""Bits of the CTRL register."""


def register_map() -> tuple[Register, ...]:
    """Control registers, then each argument from 0x10 on.

    A pointer takes two words and a reserved one, an input one word and a reserved one, an output
    one word, its valid bit, and two reserved ones.
    """
    registers = [
        Register(
            "CTRL",
            0x00,
            "read-write",
            (
                BitField("AP_START", 0, 1, "read-write"),
                BitField("AP_DONE", 1, 1, "read-only"),
                BitField("AP_IDLE", 2, 1, "read-only"),
                BitField("AP_READY", 3, 1, "read-only"),
                BitField("RESERVED_1", 4, 3, "read-only"),
                BitField("AUTO_RESTART", 7, 1, "read-write"),
                BitField("RESERVED_2", 8, 1, "read-only"),
                BitField("INTERRUPT", 9, 1, "read-only"),
                BitField("RESERVED_3", 10, 22, "read-only"),
            ),
        ),
        Register("GIER", 0x04, "read-write", (BitField("Enable", 0, 1, "read-write"),)),
        Register(
            "IP_IER",
            0x08,
            "read-write",
            (
                BitField("CHAN0_INT_EN", 0, 1, "read-write"),
                BitField("CHAN1_INT_EN", 1, 1, "read-write"),
            ),
        ),
        Register(
            "IP_ISR",
            0x0C,
            "read-write",
            (
                BitField("CHAN0_INT_ST", 0, 1, "read-write"),
                BitField("CHAN1_INT_ST", 1, 1, "read-write"),
            ),
        ),
    ]
    offset = 0x10
    for argument in ARGUMENTS:
        name = argument.name
        if argument.kind == "pointer":
            for half in (1, 2):
                field = BitField(name, 0, 32, "write-only")
                registers.append(
                    Register(f"{name}_{half}", offset + 4 * (half - 1), "write-only", (field,))
                )
            offset += 12
        elif argument.kind == "input":
            field = BitField(name, 0, 32, "write-only")
            registers.append(Register(name, offset, "write-only", (field,)))
            offset += 8
        else:
            field = BitField(name, 0, 32, "read-only")
            valid = BitField(f"{name}_ap_vld", 0, 1, "read-only")
            registers.append(Register(name, offset, "read-only", (field,)))
            registers.append(Register(f"{name}_ctrl", offset + 4, "read-only", (valid,)))
            offset += 16
    return tuple(registers)
