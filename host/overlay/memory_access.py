# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How the core uses its memory ports: for Vitis HLS, whose pragmas say the same.

The block design relies on the length of bursts (``bitstreams/tcl/design.tcl``).
"""

from __future__ import annotations

BURST_BEATS = 16
"""Beats of the longest burst: the most that AXI3 has, which the memory ports of Zynq-7000 speak and
those of UltraScale+ turn into (UG1085)."""

OUTSTANDING_BURSTS = 4
"""Bursts asked for and not yet answered, for each direction of a port: 64 beats, about as many as
the cycles that memory takes to answer. A FIFO in the port holds so many."""

LATENCY_CYCLES = 32
"""How many cycles ahead of its data Vitis HLS schedules a request."""
