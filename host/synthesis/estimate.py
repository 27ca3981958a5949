"""About how much of a part an overlay needs.

Lanes and requantisers are synthesised once each and counted as often as the overlay has them;
memories follow from the buffers' shapes. The control of the loops, address arithmetic, the way of
finished bytes to their memories, and the AXI ports are left out, and nothing is placed: an
estimate of the datapath.

``python -m axynq.host.synthesis.estimate`` in the source tree writes the shipped file anew.
"""

from __future__ import annotations

import datetime
import json
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from axynq.emulator import files
from axynq.host.isa import CONSTANT_INTEGERS
from axynq.host.netlists.yosys import cells_of, synthesise, yosys_version
from axynq.host.overlay.description import LaneGroup, Overlay, overlay_names
from axynq.host.synthesis.datapath import LANE, REQUANTISER, lane_verilog, requantiser_verilog

BLOCK_SHAPES = ((9, 2048), (18, 1024), (36, 512))
"""Width and depth of a simple dual-port memory in 18 Kbit, half a block RAM."""

DISTRIBUTED_DEPTH = 64
"""Memories this deep at most are made of LUTs: three bits in four of them (RAM64M)."""
BITS_OF_FOUR_LUTS = 3


@dataclass(frozen=True)
class Part:
    """Resources of one kind of part, all instances together."""

    name: str
    instances: int
    lut: int = 0
    flip_flop: int = 0
    block_ram_36k: float = 0
    dsp: int = 0


@dataclass(frozen=True)
class Estimate:
    """What an overlay needs, and what its board has."""

    overlay: str
    board: str
    parts: tuple[Part, ...]
    available: dict[str, int]

    def total(self, resource: str) -> float:
        """``lut``, ``flip_flop``, ``block_ram_36k`` or ``dsp`` of all parts."""
        return sum(getattr(part, resource) for part in self.parts)


def estimate(overlay: Overlay, folder: Path | None = None) -> Estimate:
    """Synthesise the overlay's lanes and a requantiser, and count its memories.

    Args:
        overlay: the overlay.
        folder: for the synthesis' files; default: a temporary one.

    Raises:
        ToolError: Yosys is not installed.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return estimate(overlay, Path(made))
    parts = _lanes(overlay, folder)
    parts.append(_requantisers(overlay, folder))
    parts += memories(overlay)
    board = overlay.board_description
    return Estimate(overlay.name, board.name, tuple(parts), board.resources.model_dump())


def _lanes(overlay: Overlay, folder: Path) -> list[Part]:
    counts: Counter[LaneGroup] = Counter()
    for group in overlay.lanes:
        counts[group.model_copy(update={"count": 1})] += group.count
    parts = []
    for number, (group, count) in enumerate(counts.items()):
        text = lane_verilog(group.bank, group.cell == "configurable", overlay.array.inputs)
        cells = cells_of(synthesise({LANE: text}, folder / f"lane{number}")[LANE])
        name = f"lanes of {', '.join(group.bank)}"
        if len(group.bank) > 1:
            name += f" ({group.cell})"
        parts.append(
            Part(name, count, count * (cells.luts + cells.shift_luts), count * cells.flip_flops)
        )
    return parts


def _requantisers(overlay: Overlay, folder: Path) -> Part:
    number = overlay.array.requantisers
    text = requantiser_verilog(overlay.array.filters // number)
    cells = cells_of(synthesise({REQUANTISER: text}, folder / REQUANTISER, dsp=True)[REQUANTISER])
    return Part(
        "requantisers",
        number,
        number * (cells.luts + cells.shift_luts),
        number * cells.flip_flops,
        dsp=number * cells.dsps,
    )


def memories(overlay: Overlay) -> list[Part]:
    """The overlay's buffers. Those of tiles are there twice, so that loading, computing and storing
    overlap."""
    array, buffers = overlay.array, overlay.buffers
    parts = [
        _memory("input tiles", 2 * array.inputs, 8, buffers.input_words),
        _memory("tiles that are added", 2 * array.inputs, 8, buffers.output_words),
        _memory("output tiles", 2 * array.inputs, 8, buffers.output_words),
        _memory("weights", array.filters, 8 * array.inputs, buffers.weight_vectors),
        _memory("partial sums", array.filters, 32, buffers.partial_sums),
        _memory("constants", array.filters * CONSTANT_INTEGERS, 32, buffers.groups),
    ]
    if overlay.stored_code_bits:
        bits = overlay.stored_code_bits * array.inputs
        parts.append(_memory("codes", array.filters, bits, buffers.weight_vectors))
    return parts


def _memory(name: str, instances: int, width: int, depth: int) -> Part:
    if depth <= DISTRIBUTED_DEPTH:
        luts = 4 * -(-width // BITS_OF_FOUR_LUTS)
        return Part(name, instances, lut=instances * luts)
    halves = min(-(-width // w) * -(-depth // d) for w, d in BLOCK_SHAPES)
    return Part(name, instances, block_ram_36k=instances * halves / 2)


def write_shipped(root: Path) -> None:
    """Write the estimates of all overlays of the source tree."""
    content = {
        "description": "Estimated resources of the overlays' datapaths and memories; control, "
        "address arithmetic and AXI ports are left out, and nothing was placed.",
        "script": "python -m axynq.host.synthesis.estimate",
        "tool": yosys_version(),
        "date": datetime.date.today().isoformat(),
        "overlays": {name: asdict(estimate(Overlay.load(name))) for name in overlay_names()},
    }
    text = json.dumps(content, indent=1) + "\n"
    files.write_text(root / "benchmarks" / "resources" / "results.json", text)


if __name__ == "__main__":
    write_shipped(Path())
