"""Names of multipliers in Verilog and C."""

from __future__ import annotations

import re

from axynq.emulator.multipliers import Multiplier

BLACKBOX_PREFIX = "axynq_"
"""Before the C function and the Verilog module of a blackbox."""


def module_name(m: Multiplier) -> str:
    """What a multiplier's module is called."""
    return re.sub(r"[^a-z0-9]+", "_", m.spec)
