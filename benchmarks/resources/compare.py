# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How far off the estimate of resources is: the same method on what can be measured, or was.

    python benchmarks/resources/compare.py FOLDER [--overlay NAME …]

Three steps lie between the sources and Vivado's figure, and each is compared where there is
something to compare with:

1. Operators counted in the sources against the same loop as Verilog, mapped as a whole by Yosys.
   Needs axynq alone.
2. The same against Verilog that Vitis HLS wrote of others' sources, mapped by Yosys.
3. Yosys against Vivado on the same Verilog, and Vivado's cells against the LUTs that they share.

FOLDER holds clones of the public repositories that DESIGNS and MAPPED name, by their names. None of
their files is part of axynq. Writes comparison.json beside this script. Needs axynq[rtl]; takes
from minutes to an hour (Yosys on large loops).
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import save

from axynq.emulator import files
from axynq.emulator.yosys import run_yosys, yosys_version
from axynq.host import Overlay
from axynq.host.netlists.yosys import Cells, cells_of
from axynq.host.synthesis import delays
from axynq.host.synthesis.as_verilog import loop_verilog
from axynq.host.synthesis.compilation import Compiled, compile_overlay, compile_source
from axynq.host.synthesis.costs import Cost
from axynq.host.synthesis.estimate import instances
from axynq.host.synthesis.logic import logic_of, pipelines
from axynq.host.synthesis.memories import Memories, plain_name
from axynq.host.synthesis.places import Places
from axynq.host.synthesis.state import state_of

OUTPUT = Path(__file__).with_name("comparison.json")
OVERLAYS = ("tiny4", "z2-roup16")

STREAMS = """\
#pragma once
#include <ap_int.h>
extern "C" void axynq_pragma(const char *);
template <int D, int U, int I, int T> struct ap_axiu {
  ap_uint<D> data; ap_uint<(D + 7) / 8> keep, strb; ap_uint<U ? U : 1> user; ap_uint<1> last;
  ap_uint<I ? I : 1> id; ap_uint<T ? T : 1> dest;
};
template <int D, int U, int I, int T> struct ap_axis {
  ap_int<D> data; ap_uint<(D + 7) / 8> keep, strb; ap_uint<U ? U : 1> user; ap_uint<1> last;
  ap_uint<I ? I : 1> id; ap_uint<T ? T : 1> dest;
};
namespace hls { using ::ap_axis; using ::ap_axiu; }
"""
"""In place of the vendor's ``ap_axi_sdata.h``."""


@dataclass(frozen=True)
class Design:
    """Sources and the Verilog that Vitis HLS wrote of them, in one repository."""

    repository: str
    commit: str
    source: str
    top: str
    clock_ns: float
    csynth: dict[str, int]
    """LUTs and flip-flops that Vitis HLS estimated, interfaces included."""


DESIGNS = (
    Design(
        *("hashi0203/Vitis_HLS_Gaussian", "d1a0c71", "src/gaussian.cpp", "gaussian", 10.0),
        {"lut": 1870, "flip_flop": 973},
    ),
    Design(
        *("RISABH-UG26/image_pros", "351c467", "src/image_processing.cpp", "image_pros", 20.0),
        {"lut": 976, "flip_flop": 329},
    ),
)


@dataclass(frozen=True)
class Mapped:
    """Verilog that Vivado mapped too, and its report."""

    repository: str
    commit: str
    folder: str
    top: str
    report: str


MAPPED = (
    Mapped(
        *("hsiang0103/piyan-FPGA", "eb28498", ".", "Controller"),
        "project_1/project_1.runs/design_1_Controller_1_0_synth_1/"
        "design_1_Controller_1_0_utilization_synth.rpt",
    ),
    Mapped(
        *("zakk-h/PartitionAcceleratorHLS", "81628e7"),
        *("tanish_v3_vivado/tanish_v3_vivado.srcs/sources_1/imports/hdl/verilog", "MPSQ"),
        "tanish_v3_vivado/tanish_v3_vivado.runs/impl_1/MPSQ_utilization_placed.rpt",
    ),
)

REPORTS = (
    (
        "hsiang0103/piyan-FPGA",
        "project_1/project_1.runs/design_1_PE_array_0_3_synth_1/"
        "design_1_PE_array_0_3_utilization_synth.rpt",
    ),
    (
        "zakk-h/PartitionAcceleratorHLS",
        "tanish_v2_no_float/tanish_v2_no_float.runs/synth_1/MPSQ_utilization_synth.rpt",
    ),
    *((each.repository, each.report) for each in MAPPED),
)
"""Reports of Vivado, for how many cells share a LUT."""


# --- 1: loops of axynq ---------------------------------------------------------------------------


def own_loops(overlay: Overlay, folder: Path) -> list[dict[str, Any]]:
    """Each pipelined loop of an overlay, counted and mapped."""
    compiled = compile_overlay(overlay)
    memories = Memories(compiled)
    places = Places(compiled.module)
    pace = delays.PACE[overlay.board_description.family]
    budget = delays.budget(1000 / overlay.clock_mhz) / pace
    rows = []
    for function in compiled.module.functions.values():
        for loop, graph, made in pipelines(compiled, memories, function, budget):
            logic = logic_of(compiled, memories, places, function, budget, loop)
            name = re.sub(r"\W.*", "", plain_name(function.name))
            widths = memories.widths[function.name]
            text = loop_verilog(compiled, function, loop, graph, made, widths, name)
            work = folder / overlay.name / str(len(rows))
            work.mkdir(parents=True)
            files.write_text(work / "loop.v", text)
            cells = mapped([work / "loop.v"], name, work / "yosys")
            row = {"overlay": overlay.name, "function": name}
            rows.append(row | compared(logic.total(), cells))
            print(rows[-1], flush=True)
    return rows


def compared(counted: Cost, cells: Cells) -> dict[str, Any]:
    return {
        "counted": {"lut": round(counted.lut), "flip_flop": round(counted.flip_flop)},
        "yosys": of_cells(cells),
    }


def of_cells(cells: Cells) -> dict[str, int]:
    return {"lut": cells.luts + cells.shift_luts, "flip_flop": cells.flip_flops}


# --- 2: others' sources ---------------------------------------------------------------------------


def published(design: Design, sources: Path, folder: Path) -> dict[str, Any]:
    """A design, counted, and as Yosys maps what Vitis HLS wrote, both without its interfaces."""
    root = sources / design.repository.split("/")[1]
    counted = counted_source(design, root, folder / f"{design.top}_source")
    verilog = sorted((root / "solution1/syn/verilog").glob("*.v"))
    cells = mapped(verilog, design.top, folder / design.top, without=r"regslice|_s_axi")
    row: dict[str, Any] = {"design": design.top, "repository": design.repository}
    row |= {"commit": design.commit, "csynth": design.csynth} | compared(counted, cells)
    print(row, flush=True)
    return row


def counted_source(design: Design, root: Path, folder: Path) -> Cost:
    folder.mkdir(parents=True)
    files.write_text(folder / "ap_axi_sdata.h", STREAMS)
    files.write_text(folder / "hls_math.h", "")
    source = root / design.source
    for file in source.parent.glob("*"):
        if file.suffix in (".h", ".hpp", ".cpp"):
            files.write_text(folder / file.name, with_calls(file.read_text()))
    compiled = compile_source(folder / source.name, design.top, [folder])
    return counted_core(compiled, delays.budget(design.clock_ns))


def with_calls(text: str) -> str:
    """Pragmas as what the front end reads: calls that pass their text."""
    text = re.sub(r"^(\s*)#pragma HLS (.*?)\s*$", r'\1axynq_pragma("HLS \2");', text, flags=re.M)
    return text.replace(" complete ", " type=complete ")


def counted_core(compiled: Compiled, budget: float) -> Cost:
    memories = Memories(compiled)
    places = Places(compiled.module)
    counts = instances(compiled)
    total = Cost()
    for name, function in compiled.module.functions.items():
        if counts[name]:
            logic = logic_of(compiled, memories, places, function, budget)
            total += logic.total() * counts[name]
    return sum(state_of(compiled, memories).values(), total)


# --- 3: Yosys and Vivado --------------------------------------------------------------------------


def both(each: Mapped, sources: Path, folder: Path) -> dict[str, Any]:
    """A design mapped by Yosys, and Vivado's report of it."""
    root = sources / each.repository.split("/")[1]
    found = sorted((root / each.folder).rglob("*.v"), key=lambda file: file.name)
    cells = mapped(found, each.top, folder / each.top)
    row: dict[str, Any] = {"design": each.top, "repository": each.repository}
    row |= {"commit": each.commit, "report": each.report}
    row |= {"yosys": of_cells(cells), "vivado": of_report((root / each.report).read_text())}
    print(row, flush=True)
    return row


def of_report(text: str) -> dict[str, int]:
    """LUTs, flip-flops and cells that are LUTs of a report of Vivado."""

    def number(pattern: str) -> int:
        found = re.search(pattern + r"\*?\s*\|\s*(\d+)", text)
        assert found is not None, pattern
        return int(found[1])

    cells = re.findall(r"^\| LUT\d\s*\|\s*(\d+)", text, flags=re.M)
    return {
        "lut": number(r"\| (?:Slice|CLB) LUTs"),
        "lut_as_logic": number("LUT as Logic"),
        "lut_cells": sum(map(int, cells)),
        "flip_flop": number(r"\| (?:Slice|CLB) Registers"),
    }


# --- Yosys ----------------------------------------------------------------------------------------


def mapped(sources: list[Path], top: str, folder: Path, without: str = "") -> Cells:
    """Cells of a design; ``without``: modules that do not count."""
    folder.mkdir(parents=True)

    def contents(read: re.Match[str], beside: Path) -> str:
        """What a memory contains at first, where the file of it is there."""
        data = beside / read[1]
        if not data.is_file():
            return ""
        files.write_text(folder / data.name, data.read_text())
        return read[0]

    names = []
    for number, source in enumerate(sources):
        names.append(f"f{number}.v")
        text = re.sub(
            r'^\s*\$readmem\w*\("(.*?)".*?\);',
            lambda read, beside=source.parent: contents(read, beside),  # type: ignore[misc]
            source.read_text(),
            flags=re.M,
        )
        files.write_text(folder / names[-1], text)
    flat = "" if without else " -flatten"
    synthesis = f"synth_xilinx -family xc7 -top {top} -noiopad -noclkbuf{flat}"
    read = f"read_verilog -defer {' '.join(names)}"
    run_yosys([read, synthesis, "write_json mapped.json"], folder)
    modules = json.loads((folder / "mapped.json").read_text())["modules"]
    return Cells(counted_cells(modules, top, without))


def counted_cells(modules: dict[str, Any], top: str, without: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for kind, count in cells_of(modules[top]).counts.items():
        inside = {kind: 1}
        if kind in modules and "blackbox" not in modules[kind]["attributes"]:
            hidden = without and re.search(without, kind)
            inside = {} if hidden else counted_cells(modules, kind, without)
        for name, n in inside.items():
            total[name] = total.get(name, 0) + n * count
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="clones of the repositories")
    parser.add_argument("--overlay", nargs="*", default=OVERLAYS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        own = [row for o in options.overlay for row in own_loops(Overlay.load(o), Path(work))]
        others = [published(design, options.folder, Path(work)) for design in DESIGNS]
        vivado = [both(each, options.folder, Path(work)) for each in MAPPED]
    shared = [
        {"repository": repository, "report": report}
        | of_report((options.folder / repository.split("/")[1] / report).read_text())
        for repository, report in REPORTS
    ]
    content = {
        "description": "What the estimate of resources counts, against the same mapped as a whole "
        "by Yosys, and that against Vivado.",
        "script": "python benchmarks/resources/compare.py FOLDER",
        "tool": yosys_version(),
        "date": datetime.date.today().isoformat(),
        "own_loops": own,
        "published": others,
        "yosys_and_vivado": vivado,
        "cells_that_share_luts": shared,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
