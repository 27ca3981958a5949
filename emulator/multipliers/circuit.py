# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The circuit that a table was computed from: what hardware is made of."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

from axynq.emulator.multipliers.gates import Gates
from axynq.emulator.multipliers.specification import Argument

Operands = Literal["magnitudes", "bytes", "activation and weight"]
"""What a circuit multiplies: 8-bit magnitudes, to which signs are added; two's complement bytes;
or the 9-bit activation and the 8-bit weight themselves."""


@dataclass(frozen=True)
class _Circuit:
    """What circuits of both languages have."""

    name: str
    """Of the function or module."""
    text: str
    """The file it is in."""
    operands: Operands
    activation: Argument
    """Which operand is the activation."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the hardware follows from, in hex."""
        parts = (repr(getattr(self, field.name)) for field in fields(self) if field.compare)
        return hashlib.sha256("\0".join((type(self).__name__, *parts)).encode()).hexdigest()


@dataclass(frozen=True)
class CCircuit(_Circuit):
    """A C function of gates."""

    types: tuple[str, str]
    """Of its parameters, such as ``uint8_t``."""
    latency: int = 0
    """It has no registers."""

    @property
    def includes(self) -> tuple[str, ...]:
        """Files of the user's that it needs."""
        return tuple(re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]*)"', self.text, re.MULTILINE))


@dataclass(frozen=True)
class VerilogPorts:
    """Ports of a module, by what they are for."""

    operands: tuple[str, str]
    """First and second."""
    product: str
    clock: str | None = None
    enable: str | None = None
    """Registers keep their values while it is 0."""
    reset: str | None = None
    """Held inactive: it is active where it is 1, or 0 for names that end in ``_n``."""

    @property
    def tied(self) -> dict[str, int]:
        """Inputs that stay constant."""
        return {} if self.reset is None else {self.reset: int(self.reset.endswith("_n"))}


@dataclass(frozen=True)
class VerilogCircuit(_Circuit):
    """A Verilog module."""

    ports: VerilogPorts
    widths: tuple[int, int, int]
    """Bits of both operands and of the product."""
    latency: int
    """Edges of the clock from operands to product; 0 for a combinational module."""
    gates: Gates
    """What it computes, without its registers: ports ``first``, ``second`` and ``product``."""


Circuit = CCircuit | VerilogCircuit
