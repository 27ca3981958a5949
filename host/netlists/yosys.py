# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What Yosys maps modules to: cells of the 7 series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axynq.emulator.yosys import CELL_MODELS, read_modules, run_yosys

SYNTHESIS = "synth_xilinx -family xc7 -noiopad -noclkbuf -flatten"
NO_DSP = " -nodsp"
WIDE_MULTIPLEXERS = " -widemux 5"
"""Multiplexers of five inputs or more out of LUTs and the slices' own multiplexers."""


@dataclass(frozen=True)
class Cells:
    """Cells of a module after synthesis, by kind."""

    counts: dict[str, int]

    @property
    def luts(self) -> int:
        """LUTs of any size; one with two outputs counts once."""
        return sum(n for kind, n in self.counts.items() if kind.startswith("LUT"))

    @property
    def carry4s(self) -> int:
        return self.counts.get("CARRY4", 0)

    @property
    def flip_flops(self) -> int:
        return sum(n for kind, n in self.counts.items() if kind.startswith("FD"))

    @property
    def dsps(self) -> int:
        return self.counts.get("DSP48E1", 0)

    @property
    def shift_luts(self) -> int:
        """LUTs used as shift registers."""
        return sum(n for kind, n in self.counts.items() if kind.startswith("SRL"))


def synthesise(
    modules: dict[str, str], folder: Path, dsp: bool = False, wide_multiplexers: bool = False
) -> dict[str, dict[str, Any]]:
    """Map each module to cells of the 7 series, in one run.

    Args:
        modules: Verilog by the name of its top module.
        folder: for the files in between.
        dsp: whether DSP48E1s may be used.
        wide_multiplexers: whether MUXF7 and MUXF8 are used.

    Returns:
        Yosys' JSON description of the mapped module, by name.

    Raises:
        ToolError: see :func:`run_yosys`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in modules.items():
        (folder / f"{name}.v").write_text(text, encoding="utf-8")
    options = ("" if dsp else NO_DSP) + (WIDE_MULTIPLEXERS if wide_multiplexers else "")
    # The start of synth_xilinx would keep one top module and what is below it only.
    script = [
        f"read_verilog -lib -specify {CELL_MODELS}",
        "read_verilog -lib +/xilinx/cells_xtra.v",
        *(f"read_verilog {name}.v" for name in modules),
        "hierarchy -check",
        f"{SYNTHESIS}{options} -run prepare:",
        "write_json mapped.json",
    ]
    run_yosys(script, folder)
    found = read_modules(folder / "mapped.json")
    return {name: found[name] for name in modules}


def cells_of(module: dict[str, Any]) -> Cells:
    """How many cells of each kind a mapped module has."""
    counts: dict[str, int] = {}
    for cell in module["cells"].values():
        if cell["type"].startswith("$"):  # notes of Yosys' own
            continue
        counts[cell["type"]] = counts.get(cell["type"], 0) + 1
    return Cells(dict(sorted(counts.items())))
