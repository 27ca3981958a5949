# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What memories and channels are made of in the 7 series.

Shapes of block RAMs: UG473 of AMD; distributed memories and shift registers: UG474; when Vitis HLS
makes a channel of shift registers: UG1399, ``config_storage``.
"""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Width and depth of 18 Kbit, half a block RAM, with one port to read and one to write."""

SHIFT_BITS, SHIFT_DEPTH = 1024, 2
"""A channel that is larger and deeper than these is a memory, unless a pragma says otherwise."""


@dataclass(frozen=True)
class Storage:
    """What a memory takes."""

    lut: int = 0
    flip_flop: int = 0
    block_ram_36k: float = 0


def block_memory(width: int, depth: int) -> Storage:
    """A simple dual-port memory in block RAMs of one shape."""
    halves = min(-(-width // w) * -(-depth // d) for w, d in BLOCK_SHAPES)
    return Storage(block_ram_36k=halves / 2)


def lut_memory(width: int, depth: int) -> Storage:
    """A simple dual-port memory in LUTs: four hold six bits of 32 words (RAM32M) or three of 64
    (RAM64M). Deeper ones choose among such."""
    if depth <= 32:
        return Storage(lut=4 * -(-width // 6))
    blocks = -(-depth // 64)
    choice = 0 if blocks == 1 else width * -(-(blocks - 1) // 3)  # a LUT chooses one of four
    return Storage(lut=4 * -(-width // 3) * blocks + choice)


def channel(width: int, depth: int, implementation: str = "") -> Storage:
    """A FIFO of a ``hls::stream``.

    Args:
        width: bits of an element.
        depth: how many it holds.
        implementation: ``srl``, ``lutram`` or ``bram`` as bound by a pragma; empty: as Vitis HLS
            chooses by default.
    """
    chosen = implementation or (
        "srl" if depth <= SHIFT_DEPTH or width * depth <= SHIFT_BITS else "memory"
    )
    address = (depth - 1).bit_length()
    # Control as it was measured for channels of one bit (interfaces.json).
    if chosen == "srl" and depth <= 2:  # too short for shift registers: flip-flops and a choice
        return Storage(6 + width, 4 + 2 * width)
    if chosen == "srl":
        return Storage(10 + 2 * address + width * -(-depth // 32), 3 + address)
    memory = lut_memory(width, depth) if chosen == "lutram" else block_memory(width, depth)
    # Two pointers and a count; a memory's word waits in a register behind it.
    return Storage(memory.lut + 10 + 6 * address, 3 + 3 * address + width, memory.block_ram_36k)
