# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What stands around the core in the block design (``bitstreams/tcl/design.tcl``).

Others published the sizes (``published.json``), for configurations that are close but not the
same; optimisation of the whole design usually makes parts smaller.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

from axynq.host.overlay import Overlay
from axynq.host.synthesis.parts import PUBLISHED, RULE, Part

CONVERTER_SHARE = 0.1
"""Of a protocol converter that splits bursts, what one that does not takes: it passes signals
on."""
WIDTH_CONVERTER = (350, 500)
"""LUTs and flip-flops of a width converter from 32 to 64 bits that packs, one way: an assumption,
between a register slice and a protocol converter."""


@functools.cache
def published() -> list[dict[str, Any]]:
    """The parts whose sizes are known."""
    text = (resources.files("axynq.host.synthesis") / "published.json").read_text("utf-8")
    parts: list[dict[str, Any]] = json.loads(text)["parts"]
    return parts


def block_design(overlay: Overlay) -> Iterator[Part]:
    """The parts beside the core."""
    board = overlay.board_description
    seven = board.family == "zynq-7000"
    system = "Zynq-7000 with AXI3 ports to memory" if seven else "Zynq UltraScale+"
    yield _part("processing system", "processing_system", system)
    yield _part("reset", "reset")
    yield _part("interrupt controller", "interrupt_controller")
    converter = "AXI3 to AXI4-Lite, 32 bits" if seven else "AXI4 to AXI4-Lite, 32 bits"
    yield _part("interconnect of registers: converter", "register_converter", converter)
    yield _part("interconnect of registers: crossbar", "register_crossbar", "1 to 3")
    if overlay.port_bits != board.memory_port_bits:
        lut, flip_flop = WIDTH_CONVERTER
        yield Part("width converters", RULE, 3, 3 * lut, 3 * flip_flop)
    if seven:
        yield _part("protocol converters", "protocol_converter", count=3, share=CONVERTER_SHARE)


def _part(
    name: str, kind: str, configuration: str = "", count: int = 1, share: float = 1.0
) -> Part:
    found = next(
        part
        for part in published()
        if part["part"] == kind and part["configuration"].startswith(configuration)
    )
    lut, flip_flop = (round(found[key] * share) * count for key in ("lut", "flip_flop"))
    return Part(name, PUBLISHED, count, lut, flip_flop, source=found["source"])
