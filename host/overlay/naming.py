# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Names of multipliers in Verilog and C."""

from __future__ import annotations

import re

from axynq.emulator.multipliers import Multiplier, Table

BLACKBOX_PREFIX = "axynq_"
"""Before the C function and the Verilog module of a blackbox."""

TABLE_PREFIX = "table_"
"""Before the name of a table's C function or module."""

LATENCY_SUFFIX = "_latency"
"""Before the clock edges that a pipelined table takes, in the names of its circuit."""

DSP_PAIR_PREFIX = "dsp-pair:"
"""Before the DSP block in the name of a pair's circuit."""


def dsp_pair_name(block: str) -> str:
    """What the circuit of two products in a DSP block is called, such as ``dsp-pair:dsp48e1``."""
    return DSP_PAIR_PREFIX + block


def module_name(m: Multiplier) -> str:
    """What a multiplier's module is called. Names of tables have a hash of their circuit in them,
    so that those of several files differ, and their latency at the end."""
    if isinstance(m, Table) and m.circuit is not None:
        name = f"{TABLE_PREFIX}{verilog_name(m.name.lower())}_{m.circuit.digest[:8]}"
        return f"{name}{LATENCY_SUFFIX}{m.circuit.latency}" if m.circuit.latency else name
    return verilog_name(m.spec)


def verilog_name(text: str) -> str:
    """A text as the name of a module."""
    return re.sub(r"[^a-z0-9]+", "_", text)
