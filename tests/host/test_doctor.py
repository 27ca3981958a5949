# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What ``axynq doctor`` finds, and the cures it gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from axynq.emulator.errors import ToolError
from axynq.host import Accelerator, runtime
from axynq.host.cli import doctor

PRESENT = {"numpy": (1, 26), "pynq": (4, 0), "pynqmetadata": (0, 2), "tflite-runtime": (2, 14),
           "setuptools": (80, 9), "pydantic": (2, 5), "protobuf": (5, 27)}  # fmt: skip


def states(findings: list[doctor.Finding]) -> dict[str, str]:
    return {finding.what: finding.state for finding in findings}


def test_versions_that_fit() -> None:
    assert doctor._conflicts(PRESENT | {"pynq": (3, 0)}) == []
    (finding,) = doctor._conflicts(PRESENT)
    assert "works around both" in finding.detail
    assert doctor._conflicts(dict.fromkeys(PRESENT, ())) == []


@pytest.mark.parametrize(
    ("versions", "what", "cure"),
    [
        ({"numpy": (2, 1)}, "pynq with numpy 2", "numpy<2"),
        ({"numpy": (2, 1)}, "tflite-runtime with numpy 2", "numpy<2"),
        ({"setuptools": (82, 0)}, "pynq with setuptools 81 or newer", "setuptools<=80"),
        ({"pynqmetadata": (0, 1)}, "pynqmetadata with pydantic 2", "PYNQ 4 image"),
        ({"protobuf": (6, 1)}, "pynq with protobuf 6", "protobuf<6"),
    ],
)
def test_known_conflicts(versions, what: str, cure: str) -> None:
    found = {finding.what: finding for finding in doctor._conflicts(PRESENT | versions)}
    assert found[what].state == "problem"
    assert cure in found[what].detail


def test_a_board(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "board_present", lambda: True)
    monkeypatch.setenv("BOARD", "ZCU104")
    monkeypatch.delenv("XILINX_XRT", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    found = states(doctor.board_findings(tmp_path))
    assert found == {
        "board": "ok", "FPGA manager": "problem", "physical memory": "problem",
        "interrupts (UIO)": "problem", "permissions": "problem", "XRT": "problem",
    }  # fmt: skip
    for path in ("sys/class/fpga_manager/fpga0", "dev", "sys/class/uio"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "dev" / "mem").touch()
    monkeypatch.setenv("XILINX_XRT", "/usr")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert set(states(doctor.board_findings(tmp_path)).values()) == {"ok"}
    monkeypatch.setenv("BOARD", "RFSoC2x2")
    assert states(doctor.board_findings(tmp_path))["board"] == "absent"
    monkeypatch.delenv("BOARD")
    assert states(doctor.board_findings(tmp_path))["board"] == "problem"


def test_no_bitstreams(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path))
    assert doctor._bitstreams().state == "absent"


def test_tools(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(states(doctor._build_tools()).values()) == {"absent"}
    pytest.importorskip("tkinter")
    from tests.host.vivado import install

    install(tmp_path)
    monkeypatch.setenv("PATH", "/bin:/usr/bin", prepend=":")
    assert states(doctor._build_tools())["Vivado"] == "ok"
    (tmp_path / "vivado").write_text("#!/bin/sh\n")
    assert states(doctor._build_tools())["Vivado"] == "problem"


def test_a_cache_that_cannot_be_written(monkeypatch) -> None:
    from typer.testing import CliRunner

    from axynq.host.cli.commands import app

    monkeypatch.setenv("AXYNQ_CACHE", "/proc")
    monkeypatch.setenv("AXYNQ_ENGINE", "portable")
    monkeypatch.setenv("CXX", "/nowhere/g++ -O2")
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 1
    found = {finding["what"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert found["cache folder"]["state"] == "problem"
    assert "'/proc' cannot be written" in found["cache folder"]["detail"]
    assert found["C++ compiler"]["state"] == "problem"


@pytest.mark.parametrize(
    ("version", "advice"), [((3, 12), "pip install"), ((3, 13), "Python 3.10")]
)
def test_advice_about_pynq_fits_the_python(
    version: tuple[int, int], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pynq cannot be installed on Python 3.13: the extra leaves it out, and the message says so."""
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setitem(sys.modules, "axynq.host.runtime.driver", None)
    monkeypatch.delattr(runtime, "driver", raising=False)
    with pytest.raises(ToolError, match=rf"needs pynq .*{advice}"):
        Accelerator("tiny4", device="software")
