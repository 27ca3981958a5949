"""The build flow: scripts run under a Tcl interpreter that knows the vendor's commands."""

# ruff: noqa: E402 - skipped where Python was built without Tcl
from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

tkinter = pytest.importorskip("tkinter")

from axynq.emulator.errors import DeviceError, OverlayError, ToolError
from axynq.host import Overlay
from axynq.host.bitstream.flow import build, retarget, write_blackboxes, write_constants
from axynq.host.bitstream.hls_config import hls_config
from axynq.host.bitstream.instances import check_instances
from axynq.host.overlay import overlay_names
from axynq.host.overlay.board import board_names
from axynq.host.runtime.bitstream_store import find_bitstream
from axynq.host.runtime.manifest import Manifest
from tests.host.vivado import BOARD_FILES, Vivado, install, instances
from tests.overlays import write_overlay

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
        crossing = vivado.buses[f"accelerator_0/{place.get('MASTERBUSINTERFACE')}"].split("/")[0]
        port = vivado.buses[f"{crossing}/M00_AXI"]
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
    ("old", "new", "reason"),
    [
        ("axynq_clock $clock axi_intc_0/s_axi_aclk", "#", "axi_intc_0/s_axi_aclk"),
        ("PCW_USE_S_AXI_HP2 1", "PCW_USE_S_AXI_HP2 0", "no pin S_AXI_HP2_ACLK"),
        ("PCW_USE_M_AXI_GP1 0", "PCW_USE_M_AXI_GP1 1", "M_AXI_GP1_ACLK is not connected"),
        ("axi_intc_0/irq", "axi_intc_0/interrupt", "no pin interrupt"),
        ("control_0 1 2", "control_0 1 1", "no interface M01_AXI"),
        ("  validate_bd_design\n", "", "not validated"),
        ("accelerator:1.0", "accelerator:2.0", "IP definition not found"),
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
