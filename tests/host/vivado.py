# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Enough of Vivado to run the build scripts: a Tcl interpreter whose vendor commands keep books.

It knows which pins each piece of IP has under its settings, refuses what Vivado refuses (missing
clocks, buses that do not fit, steps in the wrong order) and every name without a published source
(``tests/host/vivado_names.py``), and can be asked afterwards what was connected to what. It
synthesises nothing.

Run as a program it takes the place of ``v++``, ``vitis-run`` and ``vivado``: see :func:`main`.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import sys
import tkinter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.host import vivado_names as names

UTILISATION = """
1. Slice Logic
| {lut:<22} | 31862 |     0 |          0 |     53200 | 59.89 |
| {register:<22} | 28000 |     0 |          0 |    106400 | 26.32 |
| Block RAM Tile         |  92.5 |     0 |          0 |       140 | 66.07 |
| DSPs                   |    64 |     0 |          0 |       220 | 29.09 |
"""


class VivadoError(Exception):
    """What Vivado would stop with."""


class Cell:
    """An instance of a piece of IP."""

    def __init__(self, kind: str, master_bits: int) -> None:
        self.kind = kind
        self.published = names.PIECES[kind]
        self.master_bits = master_bits
        """Width of the core's masters: a real core says so itself."""
        self.passes = 0
        """Bits of what is connected to a protocol converter, which are those of its other side."""
        self.settings: dict[str, str] = {}
        self.preset = False

    def set(self, name: str, value: str) -> None:
        known = self.published.parameters.get(name)
        if known is None:
            raise VivadoError(f"no source for parameter {name} of {self.kind}")
        number = known is names.INTEGER and re.fullmatch(r"\d+(\.\d+)?", value)
        if not number and value not in known:
            raise VivadoError(f"no source for {name} = {value} of {self.kind}")
        self.settings[name] = value

    def on(self, name: str, default: str = "0") -> bool:
        return self.settings.get(name, default) == "1"

    def pins(self) -> dict[str, str]:
        """Pins and what they are: clock or reset, in or out, or a signal."""
        if self.kind == "accelerator":
            return {"ap_clk": "clock", "ap_rst_n": "reset", "interrupt": "output"}
        if self.kind == "axi_intc":
            return {"s_axi_aclk": "clock", "s_axi_aresetn": "reset", "intr": "input",
                    "irq": "output"}  # fmt: skip
        if self.kind == "axi_interconnect":
            ends = ["", *(end.removesuffix("AXI") for end in self.buses())]
            return {f"{end}ACLK": "clock" for end in ends} | {
                f"{end}ARESETN": "reset" for end in ends
            }
        if self.kind == "axi_protocol_converter":
            return {"aclk": "clock", "aresetn": "reset"}
        if self.kind == "axi_dwidth_converter":
            return {"s_axi_aclk": "clock", "s_axi_aresetn": "reset"}
        if self.kind == "proc_sys_reset":
            return {"slowest_sync_clk": "clock", "ext_reset_in": "reset",
                    "peripheral_aresetn": "reset source"}  # fmt: skip
        if self.kind == "processing_system7":
            pins = {"FCLK_CLK0": "clock source", "FCLK_RESET0_N": "reset source"}
            for port in (0, 1):
                if self.on(f"PCW_USE_M_AXI_GP{port}", "1" if port == 0 else "0"):
                    pins[f"M_AXI_GP{port}_ACLK"] = "clock"
            for port in range(4):
                if self.on(f"PCW_USE_S_AXI_HP{port}"):
                    pins[f"S_AXI_HP{port}_ACLK"] = "clock"
            if self.on("PCW_USE_FABRIC_INTERRUPT") and self.on("PCW_IRQ_F2P_INTR"):
                pins["IRQ_F2P"] = "input"
            return pins
        pins = {"pl_clk0": "clock source", "pl_resetn0": "reset source"}
        if not self.on("PSU__FPGA_PL0_ENABLE", "1"):
            del pins["pl_clk0"]
        for number, pin in enumerate(("maxihpm0_fpd", "maxihpm1_fpd", "maxihpm0_lpd")):
            if self.on(f"PSU__USE__M_AXI_GP{number}", "1"):  # presets enable them all
                pins[f"{pin}_aclk"] = "clock"
        for port in range(4):
            if self.on(f"PSU__USE__S_AXI_GP{port + 2}"):
                pins[f"saxihp{port}_fpd_aclk"] = "clock"
        if self.on("PSU__USE__IRQ0", "1"):
            pins["pl_ps_irq0"] = "input"
        return pins

    def buses(self) -> dict[str, str]:
        """Interfaces and whether they are master or slave."""
        if self.kind == "accelerator":
            return {"s_axi_control": "slave", "m_axi_commands": "master", "m_axi_source": "master",
                    "m_axi_destination": "master"}  # fmt: skip
        if self.kind == "axi_intc":
            return {"s_axi": "slave"}
        if self.kind in ("axi_protocol_converter", "axi_dwidth_converter"):
            return {"S_AXI": "slave", "M_AXI": "master"}
        if self.kind == "axi_interconnect":
            inputs, outputs = (int(self.settings.get(f"NUM_{end}", "1")) for end in ("SI", "MI"))
            return {f"S{n:02}_AXI": "slave" for n in range(inputs)} | {
                f"M{n:02}_AXI": "master" for n in range(outputs)
            }
        if self.kind == "proc_sys_reset":
            return {}
        if self.kind == "processing_system7":
            clocks = {pin.removesuffix("_ACLK") for pin in self.pins() if pin.endswith("_ACLK")}
            return {bus: "master" if bus.startswith("M") else "slave" for bus in clocks}
        buses = {"maxihpm0_fpd": "M_AXI_HPM0_FPD", "maxihpm1_fpd": "M_AXI_HPM1_FPD",
                 "maxihpm0_lpd": "M_AXI_HPM0_LPD"}  # fmt: skip
        buses |= {f"saxihp{n}_fpd": f"S_AXI_HP{n}_FPD" for n in range(4)}
        clocks = {pin.removesuffix("_aclk") for pin in self.pins() if pin.endswith("_aclk")}
        return {buses[c]: "master" if c.startswith("m") else "slave" for c in clocks}

    def protocol(self, bus: str) -> str:
        """What a bus speaks; empty where it takes what comes."""
        if self.kind == "accelerator":
            return "AXI4LITE" if bus == "s_axi_control" else "AXI4"
        if self.kind == "axi_protocol_converter":
            return self.settings["SI_PROTOCOL" if bus == "S_AXI" else "MI_PROTOCOL"]
        if self.kind == "axi_dwidth_converter":
            return "AXI4"
        if self.kind == "axi_intc":
            return "AXI4LITE"
        if self.kind == "processing_system7":
            return "AXI3"
        return "AXI4" if self.kind == "zynq_ultra_ps_e" else ""

    def width(self, bus: str) -> int:
        """Bits of a bus; 0 where it takes what comes."""
        if self.kind == "accelerator":
            return 32 if bus == "s_axi_control" else self.master_bits
        if self.kind == "axi_dwidth_converter":
            return int(self.settings["SI_DATA_WIDTH" if bus == "S_AXI" else "MI_DATA_WIDTH"])
        if self.kind == "axi_protocol_converter":
            return self.passes
        if self.kind == "axi_intc":
            return 32
        if self.kind == "processing_system7":
            if not bus.startswith("S_AXI_HP"):
                return 32
            return int(self.settings.get(f"PCW_{bus}_DATA_WIDTH", "64"))
        if self.kind == "zynq_ultra_ps_e":
            if bus.startswith("S_AXI_HP"):
                general = int(bus[len("S_AXI_HP")]) + 2
                return int(self.settings.get(f"PSU__SAXIGP{general}__DATA_WIDTH", "128"))
            return int(self.settings.get("PSU__MAXIGP0__DATA_WIDTH", "128"))
        return 0


class Vivado:
    """One run of the tool."""

    def __init__(
        self, board_files: list[str], slack: str = "0.412", master_bits: int | None = None
    ) -> None:
        self.board_files = board_files
        self.master_bits = master_bits
        self.slack = slack
        self.cells: dict[str, Cell] = {}
        self.nets: dict[str, set[str]] = {}  # by source
        self.buses: dict[str, str] = {}  # master to slave
        self.addresses: dict[str, tuple[int, str]] = {}
        self.project: dict[str, str] = {}
        self.catalogue: set[str] = set()
        self.done: list[str] = []
        self.constraints: list[str] = []
        self.tcl: Any = tkinter.Tcl()
        for name in names.COMMANDS:
            self.tcl.createcommand(f"python_{name}", self._guarded(name))
            self.tcl.eval(
                f"proc {name} args {{lassign [python_{name} {{*}}$args] ok result; "
                "if {!$ok} {error $result}; return $result}"
            )

    def _guarded(self, name: str) -> Any:
        function = getattr(self, name)

        _, valued, flags = names.COMMANDS[name]

        def call(*words: str) -> tuple[int, Any]:
            try:
                for word in words:
                    if re.match(r"-[a-z]", word) and word not in valued | flags:
                        raise VivadoError(f"no source for option {word} of {name}")
                return 1, function(*words) or ""
            except VivadoError as error:
                return 0, str(error)

        return call

    def source(self, script: Path, *arguments: object) -> None:
        self.tcl.eval("set argv [list " + " ".join(f"{{{a}}}" for a in arguments) + "]")
        self.tcl.eval(f"source {{{script}}}")

    # --- project ---------------------------------------------------------------------------------

    def create_project(self, name: str, folder: str, *options: str) -> None:
        if self._options(options, {"-part"}, {"-force"}).get("-part", "")[:2] != "xc":
            raise VivadoError("no such part")
        self.project.update(name=name, folder=folder, part=options[options.index("-part") + 1])
        Path(folder).mkdir(parents=True, exist_ok=True)

    def get_board_parts(self, *words: str) -> str:
        options = self._options(words[:-1], set(), {"-quiet", "-latest_file_version"})
        assert "-latest_file_version" in options
        return " ".join(fnmatch.filter(self.board_files, words[-1]))

    def current_project(self) -> str:
        if not self.project:
            raise VivadoError("no open project")
        return "project"

    def current_fileset(self) -> str:
        return "sources_1"

    def set_property(self, *words: str) -> None:
        if words[0] == "-dict":
            values = self.tcl.splitlist(words[1])
            cell = self.cells[words[2].lstrip("/")]
            for key, value in zip(values[::2], values[1::2]):
                prefix, _, name = key.partition(".")
                if prefix != "CONFIG":
                    raise VivadoError(f"unknown property {key}")
                cell.set(name, value)
            return
        name, value, target = words
        kind = "design" if target.endswith(".bd") else target
        if (kind, name) not in names.PROPERTIES:
            raise VivadoError(f"no source for property {name} of {kind}")
        values = names.PROPERTIES[kind, name][1]
        if values and value not in values:
            raise VivadoError(f"no source for {name} = {value} of {kind}")
        if name == "board_part" and value not in self.board_files:
            raise VivadoError(f"[Board 49-71] no board part {value}")
        self.project[name if target in ("project", "sources_1") else f"{kind} {name}"] = value

    def update_ip_catalog(self) -> None:
        for folder in self.tcl.splitlist(self.project["ip_repo_paths"]):
            self.catalogue.add((Path(folder) / "component.xml").read_text().strip())

    def get_files(self, name: str) -> str:
        if "save" not in self.done:
            raise VivadoError(f"no file {name}")
        return name

    def make_wrapper(self, *words: str) -> None:
        self._options(words, {"-files", "-fileset"}, {"-top", "-import"})
        self.done.append("wrapper")

    def add_files(self, *words: str) -> None:
        assert words[:2] == ("-fileset", "constrs_1")
        for path in self.tcl.splitlist(words[2]):
            text = Path(path).read_text()
            for name in re.findall(r"^set_property (\S+)", text, re.MULTILINE):
                if name not in names.CONSTRAINTS:
                    raise VivadoError(f"no source for constraint {name}")
            self.constraints.append(text)

    # --- block design ----------------------------------------------------------------------------

    def create_bd_design(self, name: str) -> None:
        if not name.isidentifier():
            raise VivadoError(f"[BD 5-216] '{name}' is no valid name")

    def create_bd_cell(self, *words: str) -> str:
        vlnv = self._options(words[:-1], {"-type", "-vlnv"}, set())["-vlnv"]
        if vlnv.startswith("xilinx.com:ip:"):
            kind, *version = vlnv.split(":")[2:]
            if kind not in names.PIECES or set(version) != names.PIECES[kind].versions:
                raise VivadoError(f"no source for IP {vlnv}")
        else:
            if vlnv not in self.catalogue:
                raise VivadoError(f"[BD 5-390] IP definition not found for VLNV: {vlnv}")
            kind = "accelerator"
        if words[-1] in self.cells:
            raise VivadoError(f"{words[-1]} exists")
        bits = self.master_bits or int(self.tcl.eval("set ::axynq(port_bits)"))
        self.cells[words[-1]] = Cell(kind, bits)
        return "/" + words[-1]

    def apply_bd_automation(self, *words: str) -> None:
        options = self._options(words[:-1], {"-rule", "-config"}, set())
        cell = self.cells[words[-1].lstrip("/")]
        if options["-rule"] != f"xilinx.com:bd_rule:{cell.kind}":
            raise VivadoError(f"no rule {options['-rule']}")
        values = self.tcl.splitlist(options["-config"])
        settings = dict(zip(values[::2], values[1::2]))
        if "board_part" not in self.project or settings.get("apply_board_preset") != "1":
            raise VivadoError("no board preset")
        if cell.settings:
            raise VivadoError("the preset overwrites settings made before")
        if cell.kind == "processing_system7" and settings["make_external"] != "FIXED_IO, DDR":
            raise VivadoError("FIXED_IO and DDR are not connected")
        cell.preset = True

    def get_bd_cells(self, name: str) -> str:
        if name not in self.cells:
            raise VivadoError(f"no cell {name}")
        return "/" + name

    def get_bd_pins(self, name: str) -> str:
        cell, pin = name.split("/")
        if pin not in self.cells[cell].published.pins:
            raise VivadoError(f"no source for pin {pin} of {cell}")
        if pin not in self.cells[cell].pins():
            raise VivadoError(f"{cell} has no pin {pin}")
        return name

    def get_bd_intf_pins(self, name: str) -> str:
        cell, bus = name.split("/")
        if bus not in self.cells[cell].published.buses:
            raise VivadoError(f"no source for interface {bus} of {cell}")
        if bus not in self.cells[cell].buses():
            raise VivadoError(f"{cell} has no interface {bus}")
        return name

    def connect_bd_net(self, source: str, sink: str) -> None:
        if not self._pin(source).endswith(("source", "output")):
            raise VivadoError(f"{source} drives nothing")
        self.nets.setdefault(source, set()).add(sink)

    def connect_bd_intf_net(self, master: str, slave: str) -> None:
        (one, bus), (other, port) = master.split("/"), slave.split("/")
        roles = self.cells[one].buses()[bus], self.cells[other].buses()[port]
        if roles != ("master", "slave"):
            raise VivadoError(f"{master} ({roles[0]}) and {slave} ({roles[1]}) do not match")
        if master in self.buses or slave in self.buses.values():
            raise VivadoError(f"{master} or {slave} is connected already")
        for what in (Cell.protocol, Cell.width):
            here, there = what(self.cells[one], bus), what(self.cells[other], port)
            if here and there and here != there:
                raise VivadoError(
                    f"[BD 41-237] {what.__name__} of {master} ({here}) and {slave} ({there}) differ"
                )
        self.cells[other].passes = self.cells[one].width(bus)
        self.buses[master] = slave

    def get_bd_addr_spaces(self, name: str) -> str:
        cell, space = name.split("/")
        if "ps" not in self.cells[cell].kind.replace("processing_system", "ps") or space != "Data":
            raise VivadoError(f"no address space {name}")
        return name

    def get_bd_addr_segs(self, name: str) -> str:
        if name not in names.SEGMENTS:
            raise VivadoError(f"no source for segment {name}")
        return name

    def assign_bd_address(self, *words: str) -> None:
        if not words:
            self.done.append("assign all")
            return
        options = self._options(words[:-1], {"-offset", "-range", "-target_address_space"}, set())
        cell = words[-1].split("/")[0]
        self.addresses[cell] = (int(options["-offset"], 0), options["-range"])

    def validate_bd_design(self) -> None:
        clocks = {pin for source, sinks in self.nets.items() for pin in sinks
                  if self._pin(source) == "clock source"}  # fmt: skip
        resets = {pin for source, sinks in self.nets.items() for pin in sinks
                  if self._pin(source) == "reset source"}  # fmt: skip
        ends = set(self.buses) | set(self.buses.values())
        for name, cell in self.cells.items():
            if cell.kind in ("processing_system7", "zynq_ultra_ps_e") and not cell.preset:
                raise VivadoError("the processing system has no preset")
            for pin, kind in cell.pins().items():
                if kind == "clock" and f"{name}/{pin}" not in clocks:
                    raise VivadoError(f"[BD 41-758] clock pin {name}/{pin} is not connected")
                if kind == "reset" and f"{name}/{pin}" not in resets:
                    raise VivadoError(f"[BD 41-759] reset {name}/{pin} is not connected")
            for bus in cell.buses():
                if f"{name}/{bus}" not in ends:
                    raise VivadoError(f"{name}/{bus} is not connected")
        if "assign all" not in self.done:
            raise VivadoError("[BD 41-1356] address blocks are not mapped")
        self.done.append("validated")

    def save_bd_design(self) -> None:
        if "validated" not in self.done:
            raise VivadoError("not validated")
        self.done.append("save")

    # --- implementation --------------------------------------------------------------------------

    def generate_target(self, *words: str) -> None:
        assert words[0] == "all"

    def launch_runs(self, *words: str) -> None:
        assert words[:3] == ("impl_1", "-to_step", "write_bitstream")
        assert int(words[words.index("-jobs") + 1]) > 0
        if "top" not in self.project or "wrapper" not in self.done:
            raise VivadoError("no top module")
        if {"synth_1 strategy", "impl_1 strategy"} - self.project.keys():
            raise VivadoError("the strategy of a run is left to chance")
        name, folder = self.project["name"], Path(self.project["folder"])
        impl = folder / f"{name}.runs" / "impl_1"
        impl.mkdir(parents=True, exist_ok=True)
        (impl / f"{name}_wrapper.bit").write_bytes(b"not a bitstream\n")
        handoff = folder / f"{name}.gen" / "sources_1" / "bd" / name / "hw_handoff"
        handoff.mkdir(parents=True, exist_ok=True)
        (handoff / f"{name}.hwh").write_text("<EDKSYSTEM/>\n")
        self.project["impl"] = str(impl)

    def wait_on_run(self, name: str) -> None:
        assert "impl" in self.project

    def open_run(self, name: str) -> None:
        assert name == "impl_1"

    def get_runs(self, name: str) -> str:
        return name

    def get_property(self, name: str, target: str) -> str:
        values = {
            "PROGRESS": "100%",
            "DIRECTORY": self.project.get("impl", ""),
            "STATS.WNS": self.slack,
            "STATS.TNS": "0.000",
            "STATS.WHS": "0.021",
            "STATS.THS": "0.000",
            "PART": self.project["part"],
        }
        if (target, name) not in names.READ_PROPERTIES:
            raise VivadoError(f"no source for property {name} of {target}")
        return values[name]

    def report_timing_summary(self, *words: str) -> None:
        Path(self._options(words, {"-file"}, set())["-file"]).write_text("no paths\n")

    def report_utilization(self, *words: str) -> None:
        series7 = self.project["part"].startswith("xc7")
        rows = UTILISATION.format(
            lut="Slice LUTs*" if series7 else "CLB LUTs",
            register="Slice Registers" if series7 else "CLB Registers",
        )
        Path(self._options(words, {"-file"}, set())["-file"]).write_text(rows)

    def version(self, option: str) -> str:
        return "2023.2"

    # --- helpers ---------------------------------------------------------------------------------

    def _pin(self, name: str) -> str:
        cell, pin = name.split("/")
        return self.cells[cell].pins()[pin]

    @staticmethod
    def _options(words: tuple[str, ...], valued: set[str], flags: set[str]) -> dict[str, str]:
        found, rest = {}, list(words)
        while rest:
            option = rest.pop(0)
            if option in valued:
                found[option] = rest.pop(0)
            elif option in flags:
                found[option] = ""
            else:
                raise VivadoError(f"[Common 17-170] Unknown option '{option}'")
        return found


BOARD_FILES = [
    "tul.com.tw:pynq-z2:part0:1.0",
    "xilinx.com:zcu104:part0:1.1",
    "xilinx.com:kv260_som:part0:1.4",
    "avnet.com:ultra96v2:part0:1.2",
]


def install(folder: Path, **settings: str) -> None:
    """Put stand-ins into ``folder``; ``settings`` become their environment."""
    for name in ("v++", "vitis-run", "vivado"):
        path = folder / name
        lines = [f"export FAKE_{key.upper()}='{value}'" for key, value in settings.items()]
        lines.append(f'export PYTHONPATH="{Path(__file__).resolve().parents[2]}"')
        lines.append(f'exec "{sys.executable}" -m tests.host.vivado {name} "$@"')
        path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
        path.chmod(0o755)


def hls_keys(config: str) -> list[str]:
    """The keys of a configuration file of Vitis HLS."""
    return [line.split("=", 1)[0] for line in config.splitlines() if "=" in line]


def instances(descriptions: Sequence[Path], extra: str | None = None) -> str:
    """Verilog as Vitis HLS 2024.1 writes it, with an instance of each blackbox; ``extra`` is one
    connection more."""
    text = "`timescale 1 ns / 1 ps\nmodule accelerator (ap_clk, ap_rst);\n"
    for path in descriptions:
        description = json.loads(path.read_text())
        function = description["c_function_name"]
        grp = f"grp_{function}_fu_686"
        lines = [".ap_clk(ap_clk)", ".ap_rst(ap_rst)", f".ap_ce({grp}_ap_ce)"]
        for number, each in enumerate(description["c_parameters"]):
            port = each["rtl_ports"]["data_read_in"]
            lines.append(f".{port}(tmp_{number}_reg_1533_pp0_iter12_reg)")
        lines.append(f".ap_return({grp}_ap_return)")
        lines += [extra] if extra else []
        text += f"\n{function} {grp}(\n    " + ",\n    ".join(lines) + "\n);\n"
    return text + "endmodule\n"


def main() -> None:
    tool, *words = sys.argv[1:]
    if words in (["-version"], ["--version"]):
        release = os.environ.get("FAKE_VERSION", "2023.2")
        print(f"****** {tool} v{release} (64-bit)")
    elif tool == "v++":
        if os.environ.get("FAKE_FAULT") == "hls":
            print("ERROR: [HLS 207-3776] use of undeclared identifier 'roup'")
            sys.exit(1)
        assert words[:4] == ["-c", "--mode", "hls", "--config"], words
        assert words[5] == "--work_dir"
        for key in hls_keys(Path(words[4]).read_text()):
            if key not in names.HLS_KEYS:
                print(f"ERROR: no source for the key '{key}'")
                sys.exit(1)
        verilog = Path(words[6]) / "hls" / "syn" / "verilog"
        verilog.mkdir(parents=True)
        lines = Path(words[4]).read_text().splitlines()
        boxes = [line.split("=", 1)[1] for line in lines if line.startswith("syn.blackbox.file=")]
        extra = ".ap_ready(ready)" if os.environ.get("FAKE_FAULT") == "blackbox" else None
        (verilog / "accelerator.v").write_text(instances([Path(box) for box in boxes], extra))
    elif tool == "vitis-run":
        assert words[:4] == ["--package", "--mode", "hls", "--config"], words
        assert (Path(words[6]) / "hls" / "syn").is_dir(), "nothing synthesised"
        config = dict(
            line.split("=", 1) for line in Path(words[4]).read_text().splitlines() if "=" in line
        )
        assert Path(config["syn.file"]).is_file()
        keys = ("vendor", "library", "name", "version")
        vlnv = ":".join(config[f"package.ip.{key}"] for key in keys)
        ip = Path(words[6]) / "hls" / "impl" / "ip"
        ip.mkdir(parents=True)
        (ip / "component.xml").write_text(vlnv)
    else:
        script = words[words.index("-source") + 1]
        boards = [] if os.environ.get("FAKE_FAULT") == "boards" else BOARD_FILES
        vivado = Vivado(boards, os.environ.get("FAKE_SLACK", "0.412"))
        try:
            vivado.source(Path(script), *words[words.index("-tclargs") + 1 :])
        except tkinter.TclError as error:
            print(error)
            sys.exit(1)


if __name__ == "__main__":
    main()
