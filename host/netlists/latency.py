# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Clock cycles from the operands of a blackbox to its result."""

from __future__ import annotations

import re

from axynq.host.overlay.naming import (
    BLACKBOX_PREFIX,
    DSP_PAIR_PREFIX,
    LATENCY_SUFFIX,
    TABLE_PREFIX,
    verilog_name,
)

NETLIST_LATENCY = 2
"""The registers before a netlist, and those behind it. Without those before it, reading a memory,
selecting among operands and multiplying would share a cycle."""

DSP_PAIR_LATENCY = 4
"""The registers of a DSP block: of operands, of the pre-adder, of the multiplier, of the sum."""


def latency_of(function: str) -> int:
    """The latency of the blackbox that a C++ function stands for."""
    paired = function.startswith(BLACKBOX_PREFIX + verilog_name(DSP_PAIR_PREFIX))
    table = re.fullmatch(rf"{BLACKBOX_PREFIX}{TABLE_PREFIX}.*{LATENCY_SUFFIX}(\d+)", function)
    inside = int(table[1]) if table else 0
    return DSP_PAIR_LATENCY if paired else NETLIST_LATENCY + inside
