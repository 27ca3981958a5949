# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compiles the synthesizable sources to LLVM's intermediate representation, as an HLS tool does.

The front end is clang, from the package ``ziglang``; the passes are LLVM's own, through
``llvmlite``. Loops are unrolled where pragmas say so, functions inlined unless they say otherwise,
integers have their exact widths, and no integer width counts as native to the target, so that
arithmetic is narrowed.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.errors import ToolError
from axynq.host.generate.overlay_files import blackboxes_header, overlay_headers
from axynq.host.overlay import Overlay
from axynq.host.overlay.registers import TOP_FUNCTION
from axynq.host.synthesis.ir import Module, read_module
from axynq.host.synthesis.pragmas import Sources, read_pragmas, set_unrolling
from axynq.host.synthesis.registers import with_multiplexers

PACKAGES = ("ziglang", "llvmlite")
TARGET = "x86_64-linux-gnu"
FLAGS = (
    "-std=c++14",
    "-O1",
    *("-Xclang", "-disable-llvm-passes"),
    *("-S", "-emit-llvm", "-gline-tables-only", "-fno-discard-value-names"),
    *("-fno-exceptions", "-fno-rtti", "-fno-stack-protector", "-w"),
)


@dataclass(frozen=True)
class Compiled:
    """The sources as a scheduler sees them."""

    module: Module
    sources: Sources
    top: str
    """The function that becomes hardware."""


def compile_overlay(
    overlay: Overlay, sources: Path | None = None, netlists: bool = True
) -> Compiled:
    """The accelerator of an overlay.

    Args:
        overlay: its generated headers are those used.
        sources: the folder with ``src`` and ``include``; default: the one that comes with axynq.
        netlists: whether multipliers are netlists, which a scheduler sees as calls, or functors.

    Raises:
        ToolError: the packages for it are not installed, or the sources do not compile.
    """
    generated = {
        **overlay_headers(overlay),
        "axynq/blackboxes.hpp": blackboxes_header(overlay),
    }
    defines = ["AXYNQ_RTL_MULTIPLIERS"] if netlists else []
    with resources.as_file(resources.files("axynq.hls")) as hls:
        root = sources or hls
        return compile_source(
            root / "src" / "accelerator.cpp",
            TOP_FUNCTION,
            [root / "include", root / "src"],
            generated,
            defines,
        )


def compile_source(
    source: Path,
    top: str,
    folders: Sequence[Path] = (),
    generated: Mapping[str, str] | None = None,
    defines: Sequence[str] = (),
) -> Compiled:
    """A source whose function ``top`` becomes hardware.

    Args:
        source: C++14.
        top: the function's name.
        folders: with headers.
        generated: further headers, by the path they are included by.
        defines: macros.

    Raises:
        ToolError: the packages for it are not installed, or the source does not compile.
    """
    annotated, said = read_pragmas(front_end(source, folders, generated, defines), top)
    module = read_module(optimised(annotated, said))
    return Compiled(module, said, _top(module, top))


def front_end(
    source: Path,
    folders: Sequence[Path] = (),
    generated: Mapping[str, str] | None = None,
    defines: Sequence[str] = (),
) -> str:
    """LLVM's text of a source before any pass; arguments as for :func:`compile_source`.

    Raises:
        ToolError: the packages for it are not installed, or the source does not compile.
    """
    require_packages()
    with tempfile.TemporaryDirectory() as work:
        for path, text in (generated or {}).items():
            header = Path(work, "include", path)
            header.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(header, text)
        with resources.as_file(resources.files("axynq.host.synthesis") / "include") as own:
            arguments = ["-DAXYNQ_ANALYSIS", *(f"-D{name}" for name in defines)]
            arguments += ["-isystem", str(own), f"-I{Path(work, 'include')}"]
            arguments += [f"-I{folder}" for folder in folders]
            output = Path(work, "module.ll")
            _clang([*arguments, str(source), "-o", str(output)])
        return output.read_text(encoding="utf-8")


def _top(module: Module, name: str) -> str:
    found = [f for f in module.functions if f == name or f.startswith(f"_Z{len(name)}{name}")]
    if not found:
        raise ToolError(f"the sources have no function '{name}'")
    return found[0]


def require_packages() -> None:
    """Raises:
    ToolError: the compiler or LLVM's passes are not installed.
    """
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise ToolError("reading a schedule needs clang and LLVM: pip install 'axynq[rtl]'")


def _clang(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "ziglang", "c++", "-target", TARGET, *FLAGS, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        errors = [line for line in ran.stderr.splitlines() if "error:" in line]
        raise ToolError(
            f"clang rejects the sources: {errors[0] if errors else ran.stderr.strip()[-300:]}"
        )


def optimised(text: str, sources: Sources) -> str:
    """LLVM's text after inlining, unrolling and simplification."""
    text = _run(text, ["always_inliner", *SIMPLIFY, *CLEAN, *LOOPS])
    text = set_unrolling(text, sources)
    text = with_multiplexers(_run(text, UNROLL), sources)
    return _run(text, FINISH)


SIMPLIFY = ("sroa", "instruction_combine", "simplify_cfg", "new_gvn")
CLEAN = ("instruction_combine", "simplify_cfg")
LOOPS = ("loop_simplify", "lcssa", "loop_rotate")
UNROLL = (
    *("loop_simplify", "lcssa", "loop_unroll"),
    *("sroa", "sccp", "instruction_combine", "new_gvn", "simplify_cfg"),
)
FINISH = (
    *SIMPLIFY,
    "aggressive_instcombine",
    "instruction_combine",
    "new_gvn",
    "aggressive_dce",
    "simplify_cfg",
    "global_dead_code_eliminate",
    "strip_dead_prototype",
)


@cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    return llvm


def _run(text: str, passes: Sequence[str]) -> str:
    """The text after passes, named as ``llvmlite`` names them."""
    llvm = _llvm()
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context)
    machine = llvm.Target.from_default_triple().create_target_machine()
    options = llvm.create_pipeline_tuning_options()
    builder = llvm.create_pass_builder(machine, options)
    manager = llvm.newpassmanagers.create_new_module_pass_manager()
    for name in passes:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, builder)
    return str(module)
