# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From an overlay's description to a bitstream with its manifest.

Two steps: Vitis HLS makes a catalogue entry of the C++ sources, Vivado builds the block design
around it (``bitstreams/tcl``). A step whose inputs have not changed is not run again.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from axynq.emulator import files
from axynq.emulator.errors import OverlayError, ToolError
from axynq.emulator.version import installed_version
from axynq.host.bitstream.hls_config import hls_config
from axynq.host.bitstream.instances import check_instances
from axynq.host.bitstream.reports import read_run, read_utilisation
from axynq.host.bitstream.tools import find_tools, run_tool
from axynq.host.generate.overlay_files import overlay_blackboxes, overlay_files
from axynq.host.netlists.files import SEPARATOR, rtl_files
from axynq.host.overlay import Overlay
from axynq.host.runtime.manifest import File, Manifest, sha256

Report = Callable[[str], None]


class Built(NamedTuple):
    """What a build leaves."""

    manifest: Manifest
    path: Path
    """Of the manifest; ``.bit`` and ``.hwh`` are beside it."""


def retarget(overlay: Overlay, board: str) -> Overlay:
    """The same accelerator for another board: an overlay of its own, named after both.

    Programs are compiled for one overlay, so they have to be compiled for this one.

    Raises:
        OverlayError: there is no such board.
    """
    values = overlay.model_dump()
    values.update(name=f"{overlay.name}-{board}", board=board)
    return Overlay.from_values(values, f"{overlay.name} for {board}")


def build(
    overlay: Overlay,
    work: Path,
    output: Path,
    say: Report = lambda _: None,
    netlists: bool = True,
) -> Built:
    """Build ``overlay``'s bitstream.

    Args:
        overlay: what to build; its description names board and clock.
        work: folder for intermediate files, which are reused.
        output: folder for ``NAME.bit``, ``NAME.hwh``, ``NAME.json`` and ``NAME.toml``.
        say: called with what is going on, a line at a time.
        netlists: multipliers are LUT-level netlists; else what Vitis HLS makes of their functors.

    Raises:
        ToolError: Vitis HLS or Vivado is missing or fails, or timing is not met.
        MultiplierError: a table's netlist multiplies otherwise than the emulator.
        OverlayError: a folder cannot be written.
    """
    tools = find_tools()
    try:
        work.mkdir(parents=True, exist_ok=True)
        output.mkdir(parents=True, exist_ok=True)
        constants = write_constants(overlay, work)
    except OSError as error:
        raise OverlayError(f"'{error.filename}' cannot be written: {error.strerror}") from error
    with (
        resources.as_file(resources.files("axynq.hls")) as hls,
        resources.as_file(resources.files("axynq.bitstreams")) as bitstreams,
    ):
        # Blackboxes of tables are simulated before they are used, functors of tables with them.
        written = write_blackboxes(overlay, hls, work) if netlists or overlay.tables else []
        boxes = written if netlists else []
        ip = _synthesise(overlay, hls, constants, boxes, work, say)
        results = _implement(overlay, bitstreams / "tcl", constants, ip, work, say)
        manifest = _manifest(
            overlay, results, {t.product: t.version for t in tools.values()}, bitstreams
        )
    try:
        for file in (manifest.bit, manifest.hwh):
            with files.replacing(output / file.name) as temporary:
                shutil.copyfile(results / file.name, temporary)
        files.write_text(output / f"{overlay.name}.toml", overlay.to_toml())
    except OSError as error:
        raise OverlayError(f"'{output}' cannot be written: {error.strerror}") from error
    path = output / f"{overlay.name}.json"
    manifest.save(path)
    return Built(manifest, path)


def write_constants(overlay: Overlay, work: Path) -> Path:
    """The overlay's generated files in the work folder: the folder that holds them.

    Those that ship with axynq are taken as they are; those of other overlays are generated.
    """
    folder = work / "generated"
    shipped = resources.files("axynq.hls") / "generated" / overlay.name
    constants = shipped / "overlay.tcl"
    if constants.is_file() and overlay.hash in constants.read_text(encoding="utf-8"):
        with resources.as_file(shipped) as source:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        return folder
    for name, content in overlay_files(overlay).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / name, content)
    return folder


def write_blackboxes(overlay: Overlay, hls: Path, work: Path) -> list[Path]:
    """The netlists that the overlay's lanes consist of, in the work folder: their descriptions.

    They name all files by absolute paths, so that it does not matter where the tool runs.
    """
    folder = (work / "rtl").resolve()
    folder.mkdir(exist_ok=True)
    descriptions = []
    for box in overlay_blackboxes(overlay):
        include = str((hls / "include").resolve())
        made = rtl_files(SEPARATOR.join(box.specs), include, folder)
        for name, content in made.files.items():
            files.write_text(folder / name, content)
        descriptions.append(folder / f"{box.function}.json")
    return descriptions


def _synthesise(
    overlay: Overlay, hls: Path, constants: Path, boxes: list[Path], work: Path, say: Report
) -> Path:
    """C++ to a catalogue entry: the folder that holds it."""
    folder = work / "hls"
    config = work / "hls_config.cfg"
    text = hls_config(overlay, hls, constants, boxes)
    sources = sorted([*hls.glob("src/*"), *hls.glob("include/**/*.hpp")])
    netlists = sorted(path for box in boxes[:1] for path in box.parent.iterdir())
    generated = sorted((constants / "axynq").rglob("*.hpp"))
    state = _fingerprint(text, [*sources, *generated, *netlists])
    if not _done(work / "hls.done", state):
        files.write_text(config, text)
        shutil.rmtree(folder, ignore_errors=True)
        say("Vitis HLS: C++ to RTL")
        common = ["--mode", "hls", "--config", str(config), "--work_dir", str(folder)]
        run_tool(["v++", "-c", *common], work, work / "hls.log", say)
        run_tool(["vitis-run", "--package", *common], work, work / "package.log", say)
        check_instances(sorted(folder.rglob("*.v")), boxes)
        files.write_text(work / "hls.done", state)
    entries = sorted(folder.rglob("component.xml"))
    if not entries:
        (work / "hls.done").unlink(missing_ok=True)
        raise ToolError(
            f"Vitis HLS left no component.xml below {folder}: see {work / 'package.log'}"
        )
    return entries[0].parent


def _implement(
    overlay: Overlay, scripts: Path, constants: Path, ip: Path, work: Path, say: Report
) -> Path:
    """Catalogue entry to bitstream: the folder with the results."""
    results = work / "results"
    inputs = [*scripts.iterdir(), constants / "overlay.tcl", *ip.rglob("*.v"), ip / "component.xml"]
    state = _fingerprint(overlay.hash, sorted(path for path in inputs if path.is_file()))
    if not _done(work / "vivado.done", state):
        shutil.rmtree(results, ignore_errors=True)
        say("Vivado: block design, synthesis, placement, routing")
        run_tool(
            ["vivado", "-mode", "batch", "-nojournal", "-nolog",
             "-source", str(scripts / "build.tcl"),
             "-tclargs", str(constants / "overlay.tcl"), str(ip), str(work / "project"),
             str(results), str(os.cpu_count() or 1)],
            work,
            work / "vivado.log",
            say,
        )  # fmt: skip
        files.write_text(work / "vivado.done", state)
    return results


def _manifest(
    overlay: Overlay, results: Path, versions: dict[str, str], bitstreams: Path
) -> Manifest:
    run = read_run(results / "run.txt")
    if not run.timing.met:
        raise ToolError(
            f"timing is not met at {overlay.clock_mhz:g} MHz: worst slack "
            f"{run.timing.setup_slack_ns:g} ns (setup), {run.timing.hold_slack_ns:g} ns (hold). "
            f"Lower clock_mhz in the overlay's description; the paths are in "
            f"{results / 'timing.txt'}"
        )
    built = {}
    for kind in ("bit", "hwh"):
        path = results / f"{overlay.name}.{kind}"
        if not path.is_file():
            raise ToolError(f"the build left no {path}")
        built[kind] = File(name=path.name, sha256=sha256(path))
    golden = bitstreams / "golden" / f"{overlay.name}.npz"
    return Manifest(
        overlay=overlay,
        overlay_hash=overlay.hash,
        board=overlay.board,
        part=run.part,
        clock_mhz=overlay.clock_mhz,
        tools=versions,
        timing=run.timing,
        utilisation=read_utilisation(results / "utilisation.txt"),
        bit=built["bit"],
        hwh=built["hwh"],
        golden=File(name=golden.name, sha256=sha256(golden)) if golden.is_file() else None,
        axynq=installed_version(),
        built=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _fingerprint(text: str, inputs: list[Path]) -> str:
    """Of a step's inputs."""
    digest = hashlib.sha256(text.encode())
    for path in inputs:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _done(stamp: Path, state: str) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == state
