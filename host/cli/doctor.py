"""``axynq doctor``: what is here, what is missing, and the cure."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any, NamedTuple

import typer

from axynq.emulator.engine.build import cache_folder, compiler
from axynq.emulator.engine.choice import choose_engine, thread_count
from axynq.emulator.engine.kernel import VARIANTS, load_kernel, supported_variants
from axynq.emulator.errors import AxynqError
from axynq.host.cli.output import JsonOption, print_json, results, table
from axynq.host.devices.hardware import board_present
from axynq.host.devices.simulation import ap_types_folder


class Finding(NamedTuple):
    """One thing looked at."""

    what: str
    state: str
    """``ok``, ``absent`` (something optional), or ``problem``."""
    detail: str
    """What was found, or what to do."""


PACKAGES = {
    "numpy": "",
    "pynq": "for boards and the software board: pip install axynq[software]",
    "hls4ml": "carries the headers of the software board: pip install axynq[software]",
    "tflite-runtime": "the reference kernels, for tests: pip install axynq[tflite]",
    "ai-edge-litert": "the reference kernels, for tests: pip install axynq[tflite]",
    "torch": "for training: pip install axynq[train]",
    "matplotlib": "for pictures: pip install axynq[plot]",
    "pillow": "for data sets of images: pip install axynq[images]",
}
"""Packages and what they are for."""


def doctor(json: JsonOption = False) -> None:
    """Check versions, tools and engines, and say what to do where something is missing."""
    findings = [
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        Finding("axynq", "ok", importlib.metadata.version("axynq")),
        *(_package(name, purpose) for name, purpose in PACKAGES.items()),
        *_conflicts(),
        _checked("C++ compiler", compiler),
        _checked("cache folder", cache_folder),
        _checked("ap_types headers", ap_types_folder),
        *_engines(),
        _board(),
    ]
    if json:
        print_json(
            {
                "engine": choose_engine().name,
                "threads": thread_count(),
                "findings": [finding._asdict() for finding in findings],
            }
        )
    else:
        shown: Any = table("", "state", "detail")
        shown.columns[2].justify = "left"
        colours = {"ok": "green", "absent": "yellow", "problem": "red"}
        for finding in findings:
            colour = colours[finding.state]
            shown.add_row(finding.what, f"[{colour}]{finding.state}[/]", finding.detail)
        results.print(shown)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _package(name: str, purpose: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "absent", purpose)


def _conflicts() -> list[Finding]:
    """Combinations of versions that are known not to work together."""
    found = []
    versions = {name: _version(name) for name in ("numpy", "pynq", "tflite-runtime", "setuptools")}
    if versions["numpy"] >= (2,):
        for name in ("pynq", "tflite-runtime"):
            if versions[name]:
                found.append(Finding(f"{name} with numpy 2", "problem", "pip install 'numpy<2'"))
    if versions["pynq"] and versions["setuptools"] >= (81,):
        cure = "pynq needs pkg_resources: pip install 'setuptools<=80'"
        found.append(Finding("pynq with setuptools 81 or newer", "problem", cure))
    return found


def _version(name: str) -> tuple[int, ...]:
    try:
        text = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _checked(what: str, check: Any) -> Finding:
    try:
        return Finding(what, "ok", str(check()))
    except AxynqError as error:
        return Finding(what, "absent", str(error))


def _engines() -> list[Finding]:
    chosen = choose_engine()
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
    findings.append(Finding("engine portable", "ok", "numpy; always there"))
    reason = f" ({chosen.reason})" if chosen.reason else ""
    detail = f"{chosen.name}{reason}, {thread_count()} threads (AXYNQ_ENGINE, AXYNQ_THREADS)"
    findings.append(Finding("engine used", "ok", detail))
    return findings


def _board() -> Finding:
    if board_present():
        import pynq

        return Finding("board", "ok", str(getattr(pynq.Device.active_device, "name", "unknown")))
    return Finding("board", "absent", f"this {sys.platform} machine is not a PYNQ board")
