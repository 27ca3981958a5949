# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the core's interfaces take: memory ports, the register interface and channels.

Measured by Yosys on Verilog that Vitis HLS wrote (``interfaces.json``, from
``benchmarks/resources/interfaces.py``), interpolated between what was measured.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from axynq.host.synthesis.storage import Storage


@functools.cache
def _measured() -> dict[str, list[dict[str, Any]]]:
    text = (resources.files("axynq.host.synthesis") / "interfaces.json").read_text("utf-8")
    measured: dict[str, list[dict[str, Any]]] = json.loads(text)
    return measured


def memory_port(way: str, data_bits: int, outstanding: int) -> Storage:
    """An ``m_axi`` port that only reads or only writes, with 64-bit addresses and bursts of 16.

    Args:
        way: ``read`` or ``write``.
        data_bits: 32 to 128.
        outstanding: requests, 2 to 16.
    """
    found = {
        port["outstanding"]: port
        for port in _measured()["ports"]
        if (port["way"], port["data_bits"], port["burst"], port["address_bits"])
        == (way, data_bits, 16, 64)
    }
    low, high = found[2], found[16]
    share = (outstanding - 2) / 14

    def at(key: str) -> float:
        return float(low[key] * (1 - share) + high[key] * share)

    return Storage(round(at("lut")), round(at("flip_flop")), at("block_ram_36k"))


def registers(argument_bits: int) -> Storage:
    """An ``s_axilite`` interface: on the straight line through the smallest and the largest that
    was measured."""
    points = sorted(_measured()["registers"], key=lambda point: int(point["argument_bits"]))
    low, high = points[0], points[-1]
    share = (argument_bits - low["argument_bits"]) / (high["argument_bits"] - low["argument_bits"])

    def at(key: str) -> int:
        return round(low[key] + share * (high[key] - low[key]))

    return Storage(at("lut"), at("flip_flop"))
