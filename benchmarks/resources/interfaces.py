# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What Vitis HLS puts around a core, measured on Verilog that it wrote: ports to memory, registers,
channels.

    python benchmarks/resources/interfaces.py FOLDER

FOLDER holds files that any run of Vitis HLS writes to ``solution1/syn/verilog``: a memory port
(``*_m_axi.v``, version 2022.2 or later, whose parameters are those of the pragma), register
interfaces (``*_s_axi.v``), and a channel of shift registers (``*_fifo_*_S.v``). They are the
vendor's, and none is part of axynq; public repositories with results of Vitis HLS have them.
Writes what host/synthesis ships, ``interfaces.json`` (or to --output). Needs Yosys:
``pip install axynq[rtl]``. Takes some minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import save

from axynq.emulator import files
from axynq.emulator.yosys import run_yosys, yosys_version
from axynq.host.netlists.yosys import Cells, cells_of

SHIPPED = Path(__file__).parents[2] / "host" / "synthesis" / "interfaces.json"

PORTS = [
    (way, width, burst, outstanding, 64)
    for way in ("read", "write")
    for width in (32, 64, 128)
    for burst, outstanding in ((16, 2), (16, 16), (64, 16))
] + [("read", 64, 16, 2, 32), ("write", 64, 16, 2, 32)]
"""Direction, bits of data, beats of a burst, requests on the way, bits of an address."""

CHANNELS = ((1, 2), (32, 2), (128, 2), (1, 16), (32, 16), (128, 16), (128, 32))
"""Bits and depth."""

READING = {
    *("I_ARADDR", "I_ARLEN", "I_ARVALID", "I_RREADY", "I_ARREADY", "I_RDATA", "I_RVALID"),
    *("ARADDR", "ARLEN", "ARVALID", "ARREADY", "RDATA", "RRESP", "RLAST", "RVALID", "RREADY"),
}
WRITING = {
    *("I_AWADDR", "I_AWLEN", "I_AWVALID", "I_AWREADY", "I_WDATA", "I_WSTRB", "I_WVALID"),
    *("I_WREADY", "I_BVALID", "I_BREADY", "AWADDR", "AWLEN", "AWVALID", "AWREADY", "WDATA"),
    *("WSTRB", "WLAST", "WVALID", "WREADY", "BRESP", "BVALID", "BREADY"),
}

SHIFT_REGISTER = """\
module {name} #(parameter DATA_WIDTH = 32, ADDR_WIDTH = 6, DEPTH = 63) (
  input wire clk, reset, clk_en, we, re, input wire [DATA_WIDTH-1:0] din,
  input wire [ADDR_WIDTH-1:0] raddr, output reg [DATA_WIDTH-1:0] dout
);
  wire [DATA_WIDTH-1:0] read;
  genvar b;
  generate
    if (DEPTH > 1) begin
      for (b = 0; b < DATA_WIDTH; b = b + 1) begin : bits
        reg [DEPTH-2:0] kept;
        always @(posedge clk) if (clk_en & we) kept <= {{kept, din[b]}};
        assign read[b] = kept[raddr];
      end
    end else assign read = din;
  endgenerate
  always @(posedge clk) if (reset) dout <= 0; else if (clk_en & (DEPTH > 1 ? re : we)) dout <= read;
endmodule
"""
"""What the vendor's shift register computes, in a form that Yosys maps to SRLs as Vivado does with
the vendor's own; Yosys takes that for a memory without a match."""


def measure(text: str, top: str, folder: Path) -> Cells:
    """Map one module, with everything below it, to cells of the 7 series."""
    folder.mkdir()
    files.write_text(folder / "design.v", text)
    synthesis = f"synth_xilinx -family xc7 -top {top} -noiopad -noclkbuf -flatten"
    run_yosys(["read_verilog -defer design.v", synthesis, "write_json mapped.json"], folder)
    content = json.loads((folder / "mapped.json").read_text(encoding="utf-8"))
    return cells_of(content["modules"][top])


def resources(cells: Cells) -> dict[str, float]:
    blocks = cells.counts.get("RAMB36E1", 0) + cells.counts.get("RAMB18E1", 0) / 2
    luts = cells.luts + cells.shift_luts
    return {"lut": luts, "flip_flop": cells.flip_flops, "block_ram_36k": blocks}


def ports(text: str, folder: Path) -> list[dict[str, Any]]:
    name = module_of(text, r"_m_axi")
    text = re.sub(
        r"^module (\w+_m_axi_srl)$.*?^endmodule",
        lambda match: SHIFT_REGISTER.format(name=match[1]),
        text,
        flags=re.M | re.S,
    )
    rows = []
    for way, width, burst, outstanding, address in PORTS:
        parameters = {
            **{"CONSERVATIVE": 1, "USER_MAXREQS": 5, "USER_DW": width, "USER_AW": address},
            **{"C_M_AXI_DATA_WIDTH": width, "C_M_AXI_ADDR_WIDTH": address},
            **{f"MAX_{w}_BURST_LENGTH": burst for w in ("READ", "WRITE")},
            **{f"NUM_{w}_OUTSTANDING": outstanding for w in ("READ", "WRITE")},
        }
        used = READING if way == "read" else WRITING
        top = f"{way}_{width}_{burst}_{outstanding}_{address}"
        cells = measure(text + wrapper(top, name, text, parameters, used), top, folder / top)
        row = {"way": way, "data_bits": width, "burst": burst, "outstanding": outstanding}
        rows.append({**row, "address_bits": address, **resources(cells)})
        print(rows[-1], flush=True)
    return rows


def wrapper(top: str, name: str, text: str, parameters: dict[str, int], used: set[str]) -> str:
    """A module with the ports that are used; the others are zero or open."""
    head = text[text.index(f"module {name}") : text.index(");", text.index("system signal"))]
    defaults = dict(re.findall(r"^\s*(C_\w+|USER_\w+)\s*=\s*(\d+)", head, re.M))
    sizes = {key: int(value) for key, value in defaults.items()} | parameters
    outside, inside = ["input clk", "input reset"], []
    for way, span, port in re.findall(
        r"^\s*(input|output)\s+wire\s*(\[.*?\])?\s*(\w+)", head, re.M
    ):
        fixed = {"ACLK": "clk", "ARESET": "reset", "ACLK_EN": "1'b1"}
        if port in fixed:
            inside.append(f".{port}({fixed[port]})")
        elif port in used:
            outside.append(f"{way} {numbers(span, sizes)} {port}")
            inside.append(f".{port}({port})")
        elif way == "input":
            inside.append(f".{port}(0)")
    set_ = ", ".join(f".{key}({value})" for key, value in parameters.items())
    return (
        f"\nmodule {top} ({', '.join(outside)});\n"
        f"  {name} #({set_}) port ({', '.join(inside)});\nendmodule\n"
    )


def numbers(span: str, sizes: dict[str, int]) -> str:
    """A span such as ``[WIDTH-1:0]`` with the numbers that its names stand for."""
    return re.sub(r"[A-Z]\w*", lambda match: str(sizes[match[0]]), span)


def module_of(text: str, ending: str) -> str:
    found = re.search(rf"^module (\w+{ending})\b", text, re.M)
    if found is None:
        raise SystemExit(f"no module *{ending} in this file")
    return found[1]


def registers(paths: list[Path], folder: Path) -> list[dict[str, Any]]:
    """Register interfaces, by the bits of the arguments they hold."""
    rows = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        name = module_of(text, "_s_axi")
        spans = re.findall(r"bit (\d+)~(\d+) - \w+\[", text)
        bits = sum(int(high) - int(low) + 1 for high, low in spans)
        rows.append({"argument_bits": bits, **resources(measure(text, name, folder / name))})
        print(rows[-1], flush=True)
    return sorted(rows, key=lambda row: int(row["argument_bits"]))


def channels(text: str, folder: Path) -> list[dict[str, Any]]:
    name = module_of(text, "_S")
    text = re.sub(
        r"^module (\w+_[sS]hiftReg)\b.*?^endmodule",
        lambda match: (
            f"module {match[1]} #(parameter DATA_WIDTH = 32, ADDR_WIDTH = 1, DEPTH = 2) (\n"
            "  input clk, ce, input [DATA_WIDTH-1:0] data, input [ADDR_WIDTH-1:0] a,\n"
            "  output [DATA_WIDTH-1:0] q);\n  genvar b;\n  generate\n"
            "    for (b = 0; b < DATA_WIDTH; b = b + 1) begin : bits\n"
            "      reg [DEPTH-1:0] kept;\n"
            "      always @(posedge clk) if (ce) kept <= {kept, data[b]};\n"
            "      assign q[b] = kept[a];\n    end\n  endgenerate\nendmodule"
        ),
        text,
        flags=re.M | re.S,
    )
    rows = []
    for width, depth in CHANNELS:
        top, address = f"channel_{width}_{depth}", (depth - 1).bit_length()
        made = (
            f"\nmodule {top} (input clk, reset, read, write, input [{width - 1}:0] in,\n"
            f"  output empty_n, full_n, output [{width - 1}:0] out);\n"
            f"  {name} #(.DATA_WIDTH({width}), .ADDR_WIDTH({address}), "
            f".DEPTH({address + 1}'d{depth})) channel (.clk(clk), .reset(reset),\n"
            "    .if_empty_n(empty_n), .if_read_ce(1'b1), .if_read(read), .if_dout(out),\n"
            "    .if_full_n(full_n), .if_write_ce(1'b1), .if_write(write), .if_din(in));\n"
            "endmodule\n"
        )
        cells = measure(text + made, top, folder / top)
        rows.append({"data_bits": width, "depth": depth, **resources(cells)})
        print(rows[-1], flush=True)
    return rows


def version(text: str) -> str:
    found = re.search(r"v(\d{4}\.\d)", text[:800])
    return found[1] if found else "unknown"


def one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SystemExit(f"no {pattern} in {folder}")
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    port = one(arguments.folder, "*_m_axi.v").read_text(encoding="utf-8")
    channel = one(arguments.folder, "*_fifo_*_S.v").read_text(encoding="utf-8")
    interfaces = sorted(arguments.folder.glob("*_s_axi.v"))
    with tempfile.TemporaryDirectory() as made:
        content = {
            "description": "Memory ports, register interfaces and channels of shift registers, "
            "synthesised with Yosys from Verilog that Vitis HLS wrote.",
            "script": "python benchmarks/resources/interfaces.py FOLDER",
            "tool": yosys_version(),
            "date": datetime.date.today().isoformat(),
            "vitis_hls": {
                "ports": version(port),
                "channels": version(channel),
                "registers": [version(p.read_text(encoding="utf-8")) for p in interfaces],
            },
            "registers": registers(interfaces, Path(made)),
            "channels": channels(channel, Path(made)),
            "ports": ports(port, Path(made)),
        }
    save(arguments.output, content)


if __name__ == "__main__":
    main()
