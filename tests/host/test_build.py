# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The build flow: scripts run under a Tcl interpreter that knows the vendor's commands."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

tkinter = pytest.importorskip("tkinter")

from axynq.emulator.errors import DeviceError, MultiplierError, OverlayError, ToolError
from axynq.host import Overlay
from axynq.host.bitstream.flow import build, retarget, write_blackboxes, write_constants
from axynq.host.bitstream.hls_config import hls_config
from axynq.host.bitstream.instances import check_instances
from axynq.host.overlay import memory_access, overlay_names
from axynq.host.overlay.board import board_names
from axynq.host.overlay.processing_system import PROCESSING_SYSTEMS
from axynq.host.overlay.registers import ARGUMENTS
from axynq.host.runtime.bitstream_store import find_bitstream
from axynq.host.runtime.manifest import Manifest
from tests.host import vivado_names
from tests.host.vivado import BOARD_FILES, Vivado, hls_keys, install, instances
from tests.overlays import write_overlay
from tests.own_multipliers import write_own

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "bitstreams" / "tcl"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch):
    """Installs the stand-ins for the vendor's tools."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def with_settings(**settings: str) -> None:
        install(folder, **settings)

    monkeypatch.setenv("PATH", str(folder), prepend=":")
    install(folder)
    return with_settings


def designed(overlay: Overlay, tmp_path: Path) -> Vivado:
    """The block design of an overlay, as the scripts make it."""
    vivado = Vivado(BOARD_FILES)
    ip = tmp_path / "ip"
    ip.mkdir(exist_ok=True)
    (ip / "component.xml").write_text("axynq:hls:accelerator:1.0")
    constants = write_constants(overlay, tmp_path / overlay.name)
    vivado.source(SCRIPTS / "build.tcl", constants / "overlay.tcl", ip,
                  tmp_path / "project", tmp_path / "results", 2)  # fmt: skip
    return vivado


def way(vivado: Vivado, master: str) -> list[str]:
    """The cells from a master of the core to memory, and the port at the end."""
    passed = []
    while True:
        slave = vivado.buses[master]
        cell = slave.split("/")[0]
        if not slave.endswith("/S_AXI"):
            return [*passed, slave]
        passed.append(cell)
        master = f"{cell}/M_AXI"


# --- the block design ----------------------------------------------------------------------------


@pytest.mark.parametrize("board", board_names())
@pytest.mark.parametrize("name", ["tiny4", "zcu104-roup32"])
def test_the_design_is_the_one_the_software_board_has(
    name: str, board: str, tmp_path: Path
) -> None:
    overlay = Overlay.load(name)
    if board != overlay.board:
        overlay = retarget(overlay, board)
    vivado = designed(overlay, tmp_path)
    constants = write_constants(overlay, tmp_path / overlay.name)
    handoff = ElementTree.parse(constants / "overlay.hwh")
    modules = {module.get("INSTANCE"): module for module in handoff.iter("MODULE")}
    assert modules.keys() <= vivado.cells.keys()
    ps = overlay.board_description.processing_system
    # each pointer reaches the memory port the hand-off gives
    for place in modules["accelerator_0"].iter("MEMRANGE"):
        *_, port = way(vivado, f"accelerator_0/{place.get('MASTERBUSINTERFACE')}")
        assert port == f"{place.get('INSTANCE')}/{place.get('SLAVEBUSINTERFACE')}"
    # registers lie where it says
    for place in modules[ps.instance].iter("MEMRANGE"):
        assert vivado.addresses[str(place.get("INSTANCE"))] == (
            int(str(place.get("BASEVALUE")), 16),
            "64K",
        )
    # the interrupt goes through the controller
    assert vivado.nets["accelerator_0/interrupt"] == {"axi_intc_0/intr"}
    assert vivado.nets["axi_intc_0/irq"] == {f"{ps.instance}/{ps.interrupt}"}
    for port in modules["axi_intc_0"].iter("PORT"):
        assert port.find("CONNECTIONS/CONNECTION").get("INSTANCE") in vivado.cells
    # everything runs from one clock, at the overlay's rate
    assert f"{ps.instance}/{ps.clock}" in vivado.nets
    settings = vivado.cells[ps.instance].settings
    assert str(overlay.clock_mhz) in settings.values()
    assert vivado.project["part"] == overlay.board_description.part
    assert f"USR_ACCESS 0x{overlay.identifier:08x} [current_design]" in vivado.constraints[1]
    assert "COMPRESS TRUE" in vivado.constraints[0]


@pytest.mark.parametrize(
    ("name", "board", "cells"),
    [
        # words of four bytes go to ports of 64 bits, which have no other width on a PYNQ board
        ("tiny4", "pynq-z2", ["axi_dwidth_converter", "axi_protocol_converter"]),
        ("z2-roup16", "pynq-z2", ["axi_protocol_converter"]),
        ("z2-roup16", "kv260", []),
        ("tiny4", "kv260", []),
        ("zcu104-roup32", "zcu104", []),
    ],
)
def test_nothing_needless_stands_between_core_and_memory(
    name: str, board: str, cells: list[str], tmp_path: Path
) -> None:
    overlay = Overlay.load(name)
    if board != overlay.board:
        overlay = retarget(overlay, board)
    vivado = designed(overlay, tmp_path)
    for pointer in ("commands", "source", "destination"):
        *passed, _ = way(vivado, f"accelerator_0/m_axi_{pointer}")
        assert [vivado.cells[cell].kind for cell in passed] == cells


@pytest.mark.parametrize(
    ("family", "controller"),
    [
        ("zynq-7000", {0: 3, 1: 3, 2: 2, 3: 2}),  # UG585, table 5-11
        ("zynq-ultrascale+", {0: 3, 1: 4, 2: 4, 3: 5}),  # UG1085, PL-PS Interface Specifics
    ],
)
def test_source_and_destination_use_different_ports_of_the_memory_controller(
    family: str, controller: dict[int, int]
) -> None:
    ports = PROCESSING_SYSTEMS[family].memory_ports
    assert list(ports) == [a.name for a in ARGUMENTS if a.kind == "pointer"]
    used = {pointer: controller[port.number] for pointer, port in ports.items()}
    assert used["source"] not in (used["destination"], used["commands"])
    assert len({port.number for port in ports.values()}) == 3


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("axynq_clock $clock axi_intc_0/s_axi_aclk", "#", "axi_intc_0/s_axi_aclk"),
        ("PCW_USE_S_AXI_HP2 1", "PCW_USE_S_AXI_HP2 0", "no pin S_AXI_HP2_ACLK"),
        ("PCW_USE_M_AXI_GP1 0", "PCW_USE_M_AXI_GP1 1", "M_AXI_GP1_ACLK is not connected"),
        ("axi_intc_0/irq", "axi_intc_0/interrupt", "no source for pin interrupt"),
        ("control_0 2", "control_0 1", "no interface M01_AXI"),
        ("  validate_bd_design\n", "", "not validated"),
        ("accelerator:1.0", "accelerator:2.0", "IP definition not found"),
        ("memory_protocol) AXI3", "memory_protocol) AXI4", "protocol of width_commands/M_AXI"),
        ("memory_port_bits) 64", "memory_port_bits) 32", r"width of .* \(32\) and .* \(64\)"),
        ("HP0_DATA_WIDTH 64", "HP0_DATA_WIDTH 128", "no source for PCW_S_AXI_HP0_DATA_WIDTH = 128"),
        ("SI_DATA_WIDTH", "S_DATA_WIDTH", "no source for parameter S_DATA_WIDTH"),
        ("MODE 0", "MODE 3", "no source for TRANSLATION_MODE = 3"),
        ("ip:axi_interconnect:2.1", "ip:axi_interconnect", "no source for IP"),
        ("ip:axi_dwidth_converter", "ip:axi_width_converter", "no source for IP"),
        ("$name/aclk $name/aresetn", "$name/clk $name/aresetn", "no source for pin clk"),
        ("axi_intc_0/S_AXI/Reg", "axi_intc_0/s_axi/Reg", "no source for segment"),
        (
            "-fileset sources_1 -top",
            "-fileset sources_1 -top -force",
            "no source for option -force",
        ),
        ("set_property top", "set_property top_module", "no source for property top_module"),
        ("{Vivado Synthesis Defaults}", "Fastest", "no source for strategy = Fastest"),
        ("set_property strategy $axynq(implementation_strategy)", "#", "left to chance"),
        ("GENERAL.COMPRESS", "GENERAL.SMALL", "no source for constraint BITSTREAM.GENERAL.SMALL"),
        ("STATS.WNS", "STATS.WORST", "no source for property STATS.WORST"),
    ],
)
def test_mistakes_in_the_design_are_found(
    old: str, new: str, reason: str, tmp_path: Path, monkeypatch
) -> None:
    """That the stand-in is strict enough to fail."""
    scripts = tmp_path / "tcl"
    scripts.mkdir()
    changed = 0
    constants = write_constants(Overlay.load("tiny4"), tmp_path)
    for path in [*SCRIPTS.iterdir(), constants / "overlay.tcl"]:
        text = path.read_text()
        changed += old in text
        target = path if path.parent == constants else scripts / path.name
        target.write_text(text.replace(old, new))
    assert changed == 1
    (tmp_path / "component.xml").write_text("axynq:hls:accelerator:1.0")
    vivado = Vivado(BOARD_FILES)
    with pytest.raises(tkinter.TclError, match=reason):
        vivado.source(scripts / "build.tcl", constants / "overlay.tcl", tmp_path,
                      tmp_path / "project", tmp_path / "results", 2)  # fmt: skip


def test_all_names_have_sources(tmp_path: Path) -> None:
    """What names them is a script in a public repository, or a document of the vendor's."""
    sources = [source for piece in vivado_names.PIECES.values() for source in piece.sources]
    sources += [source for source, *_ in vivado_names.COMMANDS.values()]
    sources += [source for source, _ in vivado_names.PROPERTIES.values()]
    for group in ("READ_PROPERTIES", "CONSTRAINTS", "SEGMENTS", "HLS_KEYS"):
        sources += getattr(vivado_names, group).values()
    for source in (part for text in sources for part in text.split("; ")):
        assert re.fullmatch(r"[\w-]+/[\w-]+ [\w./-]+\.(tcl|py)|(UG|PG)\d+, .+", source)
    boxes = write_blackboxes(Overlay.load("tiny4"), ROOT / "hls", tmp_path)
    config = hls_config(Overlay.load("tiny4"), ROOT / "hls", Path("generated"), boxes)
    assert set(hls_keys(config)) == vivado_names.HLS_KEYS.keys()


def test_the_pragma_says_what_the_configuration_says() -> None:
    """Each of them alone decides for some tool, and the block design relies on the bursts."""
    pragmas = (ROOT / "hls" / "include" / "axynq" / "pragmas.hpp").read_text()
    (text,) = re.findall(r"HLS INTERFACE mode=m_axi (.*)\)$", pragmas, re.MULTILINE)
    said = dict(re.findall(r"(\w+)=(\d+)", text))
    config = hls_config(Overlay.load("tiny4"), ROOT / "hls", Path("generated"))
    configured = dict(re.findall(r"^syn\.interface\.m_axi_(\w+)=(\d+)$", config, re.MULTILINE))
    assert configured.pop("addr64") == "1"
    assert said == configured
    assert said["max_read_burst_length"] == said["max_write_burst_length"]
    assert int(said["max_read_burst_length"]) == memory_access.BURST_BEATS <= 16  # AXI3


def test_netlists_are_attached_as_blackboxes(tmp_path: Path) -> None:
    overlay = Overlay.load("z2-mixed16")
    boxes = write_blackboxes(overlay, ROOT / "hls", tmp_path)
    config = hls_config(overlay, ROOT / "hls", Path("generated"), boxes)
    assert "-DAXYNQ_RTL_MULTIPLIERS" in config
    named = [line.split("=")[1] for line in config.splitlines() if "blackbox" in line]
    assert len(named) == len(set(named)) == 3
    called = (ROOT / "hls/generated/z2-mixed16/axynq/blackboxes.hpp").read_text()
    for name in named:
        description = json.loads(Path(name).read_text())
        assert f"{description['c_function_name']}(axynq::activation_t" in called
        (source,) = description["c_files"]
        # full paths: the tool may run anywhere
        for file in (*description["rtl_files"], source["c_file"]):
            assert Path(file).is_absolute()
            assert Path(file).is_file()
        include = Path(source["cflag"].removeprefix("-I"))
        assert include.is_absolute()
        assert (include / "axynq" / "types.hpp").is_file()
    # Vitis HLS refuses a file that two blackboxes list
    listed = [file for name in named for file in json.loads(Path(name).read_text())["rtl_files"]]
    assert len(listed) == len({Path(file).name for file in listed})


@pytest.mark.parametrize(("board", "block"), [("pynq-z2", "dsp48e1"), ("zcu104", "dsp48e2")])
def test_dsp_pairs_are_attached_as_blackboxes(tmp_path: Path, board: str, block: str) -> None:
    """The block of the board's family, whose instances are checked like those of netlists."""
    lanes = [(2, ["exact"], "dsp pair"), (2, ["exact", "roup:1,4"], "configurable")]
    overlay = retarget(write_overlay(tmp_path, "pairs", lanes=lanes), board)
    boxes = write_blackboxes(overlay, ROOT / "hls", tmp_path)
    names = [f"axynq_dsp_pair_{block}.json", "axynq_configurable_exact_or_roup_1_4.json"]
    assert [box.name for box in boxes] == names
    description = json.loads(boxes[0].read_text())
    (verilog,) = description["rtl_files"]
    assert f"  {block.upper()} #(" in Path(verilog).read_text()
    text = instances(boxes)
    written = tmp_path / "accelerator.v"
    written.write_text(text)
    check_instances([written], boxes)
    for old, new, fault in (
        (".second(tmp_2_reg_1533_pp0_iter12_reg)", ".second(8'd1)", "second is the constant 8'd1"),
        (".first(tmp_1_reg_1533_pp0_iter12_reg),", "", "nothing is connected to first"),
    ):
        assert old in text
        written.write_text(text.replace(old, new))
        with pytest.raises(ToolError, match=fault):
            check_instances([written], boxes)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (".ap_clk(", ".ap_clk(", None),
        ("ap_return)", "ap_return),\n    .ap_ready(ready)", "there is no port ap_ready, in grp_"),
        (".a(tmp_0_reg_1533_pp0_iter12_reg)", ".a(9'd255)", "a is the constant 9'd255"),
        (".w(tmp_1_reg_1533_pp0_iter12_reg),", "", "nothing is connected to w"),
        (".w(tmp_1_reg_1533_pp0_iter12_reg)", ".w()", "nothing is connected to w"),
        (".w(", ".a(net), .w(", "a is connected 2 times"),
        ("_ap_ce)", "_ap_ce),\n    .code(1'b0)", r"code is connected 2 times|no port code"),
        ("\naxynq_", "\nother_", "has not used the netlist axynq_"),
    ],
)
def test_instances_of_netlists_are_checked(tmp_path: Path, old, new, reason) -> None:
    overlay = Overlay.load("z2-mixed16")
    boxes = write_blackboxes(overlay, ROOT / "hls", tmp_path)
    text = instances(boxes)
    assert old in text
    (tmp_path / "accelerator.v").write_text(text.replace(old, new))
    # the netlists' own files lie beside them
    verilog = sorted(tmp_path.rglob("*.v"))
    if reason is None:
        check_instances(verilog, boxes)
    else:
        with pytest.raises(ToolError, match=rf"{reason}.*--functors"):
            check_instances(verilog, boxes)


def test_hls_configuration() -> None:
    overlay = Overlay.load("zcu104-roup32")
    lines = hls_config(overlay, ROOT / "hls", Path("generated")).splitlines()
    section = lines.index("[hls]")
    assert lines[0] == "part=xczu7ev-ffvc1156-2-e"
    values = dict(line.split("=", 1) for line in lines[section + 1 :])
    assert values["clock"] == "5.3333ns"
    assert values["clock_uncertainty"] == "27%"
    assert values["flow_target"] == "vivado"
    assert values["package.output.format"] == "ip_catalog"
    top = values["syn.top"]
    assert f"void {top}(" in Path(values["syn.file"]).read_text()
    flags = values["syn.cflags"].split()
    assert flags[0] == "-std=c++14"
    for include in flags[1:]:
        folder = Path(include.removeprefix("-I"))
        assert folder == Path("generated") or (folder / "axynq" / "pragmas.hpp").is_file()
    names = [values[f"package.ip.{key}"] for key in ("vendor", "library", "name", "version")]
    from axynq.host.runtime.driver import AcceleratorDriver

    assert AcceleratorDriver.bindto == [":".join(names)]


@pytest.mark.parametrize("name", overlay_names())
def test_shipped_constants_are_used_as_they_are(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("axynq.host.bitstream.flow.overlay_files", None)  # not rendered again
    folder = write_constants(Overlay.load(name), tmp_path)
    shipped = ROOT / "hls" / "generated" / name
    assert (folder / "overlay.tcl").read_text() == (shipped / "overlay.tcl").read_text()


# --- the whole flow ------------------------------------------------------------------------------


def test_build_and_find(tools, tmp_path: Path, monkeypatch) -> None:
    overlay = Overlay.load("tiny4")
    said: list[str] = []
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path / "out"))
    built = build(overlay, tmp_path / "work", tmp_path / "out", said.append)
    assert said == ["Vitis HLS: C++ to RTL", "Vivado: block design, synthesis, placement, routing"]
    manifest = Manifest.load(built.path)
    assert manifest == built.manifest
    assert manifest.overlay == overlay
    assert (manifest.board, manifest.part) == ("pynq-z2", "xc7z020clg400-1")
    assert manifest.tools == {"Vitis HLS": "2023.2", "Vivado": "2023.2"}
    assert manifest.timing.setup_slack_ns == 0.412
    assert manifest.utilisation["block_ram_36k"].used == 92.5
    assert manifest.utilisation["lut"].available == 53200
    found = find_bitstream(overlay)
    assert found.bit == tmp_path / "out" / "tiny4.bit"
    # nothing has changed, so nothing runs again
    said.clear()
    build(overlay, tmp_path / "work", tmp_path / "out", said.append)
    assert said == []
    # a bitstream that is not the one of the manifest is refused
    found.bit.write_bytes(b"something else")
    with pytest.raises(DeviceError, match=r"tiny4.bit is not the file it was built with"):
        find_bitstream(overlay)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"overlay_hash": "0" * 64}, "another description of 'tiny4'"),
        ({"part": "xc7z010clg400-1"}, r"it is for pynq-z2 \(xc7z010clg400-1\), not"),
        ({"bit": {"name": "gone.bit", "sha256": ""}}, "gone.bit is missing"),
    ],
)
def test_bitstreams_that_do_not_fit(tools, tmp_path: Path, monkeypatch, change, reason) -> None:
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path / "out"))
    built = build(Overlay.load("tiny4"), tmp_path / "work", tmp_path / "out")
    content = json.loads(built.path.read_text()) | change
    built.path.write_text(json.dumps(content))
    with pytest.raises(DeviceError, match=reason):
        find_bitstream(Overlay.load("tiny4"))
    built.path.write_text("{}")
    with pytest.raises(OverlayError, match=r"manifest .* is not valid"):
        find_bitstream(Overlay.load("tiny4"))


def test_no_bitstream(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path))
    with pytest.raises(DeviceError, match=r"no bitstream .* axynq build --overlay tiny4"):
        find_bitstream(Overlay.load("tiny4"))


def test_an_overlay_of_ones_own(tools, tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, inputs=8)
    built = build(overlay, tmp_path / "work", tmp_path / "out")
    assert Overlay.load(built.path.with_suffix(".toml")).hash == overlay.hash


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"version": "2022.1"}, r"is version 2022.1: axynq needs 2023.2"),
        ({"fault": "hls"}, r"v\+\+ failed: ERROR: .* undeclared identifier 'roup'.*hls.log"),
        ({"fault": "blackbox"}, r"netlist axynq_exact as it should: there is no port ap_ready"),
        ({"fault": "boards"}, r"no board files for 'pynq-z2'"),
        ({"slack": "-0.3"}, r"timing is not met at 100 MHz: worst slack -0.3 ns"),
    ],
)
def test_builds_that_fail(tools, tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    tools(**settings)
    with pytest.raises(ToolError, match=reason):
        build(Overlay.load("tiny4"), tmp_path / "work", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_a_key_that_nobody_uses_is_refused(tools, tmp_path: Path, monkeypatch) -> None:
    def with_another(*arguments) -> str:
        return hls_config(*arguments) + "syn.interface.m_axi_colour=blue\n"

    monkeypatch.setattr("axynq.host.bitstream.flow.hls_config", with_another)
    with pytest.raises(ToolError, match=r"no source for the key 'syn.interface.m_axi_colour'"):
        build(Overlay.load("tiny4"), tmp_path / "work", tmp_path / "out")


def test_functors_instead_of_netlists(tools, tmp_path: Path) -> None:
    tools(fault="blackbox")
    built = build(Overlay.load("tiny4"), tmp_path / "work", tmp_path / "out", netlists=False)
    assert built.path.is_file()


def test_without_tools(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ToolError, match=r"Vitis HLS \(v\+\+, vitis-run\) and Vivado \(vivado\), 2023.2"
    ):
        build(Overlay.load("tiny4"), tmp_path / "work", tmp_path / "out")


def test_retarget() -> None:
    overlay = retarget(Overlay.load("z2-roup16"), "kv260")
    assert (overlay.name, overlay.board) == ("z2-roup16-kv260", "kv260")
    with pytest.raises(OverlayError, match="unknown board 'z80'"):
        retarget(overlay, "z80")


@pytest.mark.slow
@pytest.mark.parametrize("netlists", [True, False])
def test_users_multipliers(tools, tmp_path: Path, monkeypatch, netlists: bool) -> None:
    """A build has their files, and what it leaves needs none of them."""
    own = write_own(tmp_path)
    specs = ["exact", "table:own.c#mul8u_own", "table:own.v#pipelined"]
    overlay = write_overlay(tmp_path, lanes=[(4, specs, "separate")])
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path / "out"))
    built = build(overlay, tmp_path / "work", tmp_path / "out", netlists=netlists)
    headers = list((tmp_path / "work" / "generated" / "axynq" / "multipliers").iterdir())
    assert len(headers) == 2
    attached = (tmp_path / "work" / "hls_config.cfg").read_text().count("syn.blackbox.file")
    assert attached == (3 if netlists else 0)
    for file in (own / "own.c", own / "own.v"):
        file.unlink()
    found = Overlay.load(built.path.with_suffix(".toml"))
    assert found.hash == overlay.hash
    assert find_bitstream(found).manifest.overlay.tables == overlay.tables


@pytest.mark.slow
@pytest.mark.parametrize("netlists", [True, False])
def test_multipliers_that_differ_are_not_built(
    tools, tmp_path: Path, monkeypatch, netlists: bool
) -> None:
    """Nothing runs where the simulation of a blackbox finds other products."""

    def differs(m, function, texts):
        raise MultiplierError(f"'{m.spec}' is not used: 3 x 5")

    monkeypatch.setattr("axynq.host.netlists.blackbox.check_blackbox", differs)
    write_own(tmp_path)
    overlay = write_overlay(tmp_path, lanes=[(4, ["table:own.c#mul8u_own"], "separate")])
    said: list[str] = []
    with pytest.raises(MultiplierError, match="3 x 5"):
        build(overlay, tmp_path / "work", tmp_path / "out", said.append, netlists)
    assert said == []
