# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How long operators take on a device of the 7 series, speed grade -1, as an HLS tool reckons.

HLS tools schedule by tables that their makers measured and do not publish. The figures here are
straight lines through what reports of Vitis HLS show for a Zynq-7000 of grade -1, rounded up: an
addition of 32 bits 2.6 ns, a comparison 2.5 ns, a choice 0.7 ns, a block RAM 3.3 ns before and
after its clock edge. Measurements of placed operators are shorter: EPFL's Dynamatic
(``data/components-vivado.json``, Kintex-7) has 1.9 ns for an addition and 1.5 ns for a comparison
of 32 bits, and a latency of 36 cycles for a division. docs/schedule.md says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from axynq.host.synthesis.operators import Operator

UNCERTAINTY = 0.27
"""The part of the clock period that Vitis HLS keeps for routing unless told otherwise (UG1399)."""

PACE = {"zynq-7000": 1.0, "zynq-ultrascale+": 0.45}
"""How long operators take on each family of devices, against the 7 series: an addition of 32 bits
is about 1.1 ns on an UltraScale+ of grade -2."""

LOGIC = 0.5
"""An AND, OR or XOR: two or three of them share a LUT of about 1 ns."""
CHOICE = 0.7
"""A choice between two."""
LOOP_REGISTER = 1.6
"""What keeps a value for the next iteration: the choice between the first and the next."""
BLOCK_RAM, LUT_RAM = 3.3, 2.4
CHANNEL = 3.7
PRODUCT = 3.4
"""Each stage of a multiplication in DSPs."""
PORT_LATENCY = 8
"""Cycles between a request at an AXI port and its answer, beside those its pragma names."""

DSP_WIDE, DSP_NARROW = 24, 17
"""Bits of a DSP48E1's operands without their signs."""


@dataclass(frozen=True)
class Timing:
    """What an operator takes.

    Attributes:
        before: ns from its operands to its result, or to its first register.
        latency: clock edges inside it.
        after: ns from its last register to its result.
    """

    before: float
    latency: int = 0
    after: float = 0.0


def budget(clock_ns: float) -> float:
    """The part of a clock period that operators may fill, in ns."""
    return clock_ns * (1 - UNCERTAINTY)


def timing(operator: Operator) -> Timing:
    """What an operator of an on-chip datapath takes; memories, ports and calls have their own."""
    width = operator.width
    if operator.kind in ("add", "sub"):
        return Timing(_addition(width))
    if operator.kind in ("icmp", "equal"):
        return Timing(_comparison(width))
    if operator.kind == "extreme":
        return Timing(_comparison(width) + CHOICE)
    if operator.kind in ("and", "or", "xor"):
        return Timing(LOGIC)
    if operator.kind == "select":
        return Timing(LOGIC if width == 1 else CHOICE)
    if operator.kind == "mux":
        return Timing(1.1 + 0.3 * log2(max(len(operator.operands), 2)))
    if operator.kind == "shift":
        stages = min(ceil(log2(max(width, 2))), operator.operands[1])
        return Timing(0.9 * stages)
    if operator.kind == "mul":
        count = dsps(operator)
        return Timing(PRODUCT, 1 if count <= 1 else 2 if count <= 4 else 4, PRODUCT)
    if operator.kind == "div":
        return Timing(PRODUCT, max(operator.operands) + 3, PRODUCT)
    return Timing(0.0)


def _addition(width: int) -> float:
    return 1.7 + 0.027 * width


def _comparison(width: int) -> float:
    return 1.24 + 0.039 * min(width, 32) + 0.01 * max(width - 32, 0)


def dsps(product: Operator) -> int:
    """DSP48E1s of a multiplication: one for each pair of parts of its operands that counts in the
    result."""
    wide, narrow = sorted(product.operands, reverse=True)[:2]
    if narrow > DSP_NARROW + 1 or wide > DSP_WIDE + 1:
        pairs = (
            (i, j)
            for i in range(ceil((wide - 1) / DSP_WIDE))
            for j in range(ceil((narrow - 1) / DSP_NARROW))
        )
        return sum(DSP_WIDE * i + DSP_NARROW * j < product.width for i, j in pairs)
    return 1
