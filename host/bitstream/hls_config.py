# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The configuration of Vitis HLS for an overlay (``v++ -c --mode hls``, 2023.2 and newer)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from axynq.host.overlay import Overlay, memory_access
from axynq.host.overlay.registers import CORE_VERSION, LIBRARY, TOP_FUNCTION, VENDOR

CLOCK_UNCERTAINTY = "27%"
"""Of the clock's period that Vitis HLS leaves to routing. It is the default; written down because a
part that is nearly full needs all of it."""


def hls_config(overlay: Overlay, hls: Path, include: Path, blackboxes: Sequence[Path] = ()) -> str:
    """The text of ``hls_config.cfg``.

    Args:
        overlay: what is built.
        hls: the folder with the C++ sources (``include`` and ``src``).
        include: the folder with the overlay's generated ``axynq/overlay.hpp``.
        blackboxes: descriptions of the netlists that the lanes consist of; none: C++ functors.
    """
    flags = f"-std=c++14 -I{include} -I{hls / 'include'}"
    if blackboxes:
        flags += " -DAXYNQ_RTL_MULTIPLIERS"
    lines = [
        f"part={overlay.board_description.part}",
        "",
        "[hls]",
        "flow_target=vivado",
        f"clock={1000 / overlay.clock_mhz:.4f}ns",
        f"clock_uncertainty={CLOCK_UNCERTAINTY}",
        f"syn.file={hls / 'src' / 'accelerator.cpp'}",
        f"syn.cflags={flags}",
        *(f"syn.blackbox.file={path}" for path in blackboxes),
        f"syn.top={TOP_FUNCTION}",
        # 64-bit addresses on every family: one register map, one driver.
        "syn.interface.m_axi_addr64=1",
        f"syn.interface.m_axi_max_read_burst_length={memory_access.BURST_BEATS}",
        f"syn.interface.m_axi_max_write_burst_length={memory_access.BURST_BEATS}",
        f"syn.interface.m_axi_num_read_outstanding={memory_access.OUTSTANDING_BURSTS}",
        f"syn.interface.m_axi_num_write_outstanding={memory_access.OUTSTANDING_BURSTS}",
        f"syn.interface.m_axi_latency={memory_access.LATENCY_CYCLES}",
        "package.output.format=ip_catalog",
        "package.output.syn=false",  # a step of its own: vitis-run --package
        f"package.ip.vendor={VENDOR}",
        f"package.ip.library={LIBRARY}",
        f"package.ip.name={TOP_FUNCTION}",
        f"package.ip.version={CORE_VERSION}",
        f"package.ip.description=axynq overlay {overlay.name} ({overlay.hash[:8]})",
    ]
    return "\n".join(lines) + "\n"
