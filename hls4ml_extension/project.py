# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a project of hls4ml needs besides hls4ml's own files: functors, kernels, netlists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from axynq.emulator import files
from axynq.emulator.multipliers import Multiplier
from axynq.hls4ml.headers import inlined
from axynq.host.generate.functors import HEADERS, cpp_type
from axynq.host.generate.overlay_files import Blackbox, blackbox_calls
from axynq.host.generate.table_functors import table_headers
from axynq.host.netlists.files import rtl_files
from axynq.host.overlay.naming import BLACKBOX_PREFIX, module_name

NETLISTS = "MultiplierNetlists"
"""In the configuration of the model: whether Vitis HLS takes netlists in place of functors."""


def wants_netlists(model: Any) -> bool:
    """Whether the configuration of an hls4ml ``ModelGraph`` asks for netlists."""
    return bool(model.config.config["HLSConfig"].get("Model", {}).get(NETLISTS, False))


def write_sources(model: Any, multipliers: Sequence[Multiplier], selectable: bool = False) -> None:
    """Write functors and kernels beside hls4ml's, and netlists where these are asked for.

    Args:
        model: an hls4ml ``ModelGraph`` that has been written.
        multipliers: all that its layers use.
        selectable: whether layers have multipliers that are selected while a simulation runs.
    """
    folder = Path(model.config.get_output_dir())
    netlists = wants_netlists(model) and bool(multipliers)
    boxes = [_blackbox(m) for m in multipliers] if netlists else []
    utilities = folder / "firmware" / "nnet_utils"
    files.write_text(utilities / "axynq_multipliers.h", functors(multipliers, boxes))
    for name in ["nnet_axynq.h"] + ["nnet_axynq_selectable.h"] * selectable:
        kernels = resources.files("axynq.hls4ml") / "include" / name
        files.write_text(utilities / name, kernels.read_text(encoding="utf-8"))
    if netlists:
        _write_netlists(folder, boxes)
    model.config.backend.writer.write_tar(model)


def functors(multipliers: Sequence[Multiplier], blackboxes: Sequence[Blackbox] = ()) -> str:
    """The functors of ``hls/include`` in one header, so that a project needs no include path."""
    tables = table_headers(multipliers)
    generated = dict(tables)
    if blackboxes:
        generated["axynq/blackboxes.hpp"] = blackbox_calls(blackboxes, sorted(tables))
    wanted = [*HEADERS, *sorted(tables), "axynq/circuit.hpp"]
    seen: set[str] = set()
    parts = [
        "// axynq's multipliers: headers of its folder hls/include, one after another.\n",
        "#ifndef AXYNQ_MULTIPLIERS_H_\n#define AXYNQ_MULTIPLIERS_H_\n\n",
        "#if defined(__SYNTHESIS__)\n#define AXYNQ_RTL_MULTIPLIERS\n#endif\n\n"
        if blackboxes
        else "",
        *(inlined(path, generated, seen) for path in wanted),
        "\n#endif\n",
    ]
    return "".join(parts)


def _blackbox(m: Multiplier) -> Blackbox:
    return Blackbox(BLACKBOX_PREFIX + module_name(m), (m.spec,), (cpp_type(m),))


def _write_netlists(folder: Path, boxes: Sequence[Blackbox]) -> None:
    """Verilog, C models and descriptions of the blackboxes, and what makes Vitis HLS read them."""
    rtl = folder / "firmware" / "rtl"
    rtl.mkdir(exist_ok=True)
    with resources.as_file(resources.files("axynq.hls")) as hls:
        include = str((hls / "include").resolve())
        for box in boxes:
            made = rtl_files(box.specs[0], include, rtl.resolve())
            for name, content in made.files.items():
                files.write_text(rtl / name, content)
    script = folder / "build_prj.tcl"
    text = script.read_text(encoding="utf-8")
    first = re.search(r"^add_files .*$", text, re.MULTILINE)
    lines = [f"add_files -blackbox firmware/rtl/{box.function}.json" for box in boxes]
    if first is not None and lines[0] not in text:
        text = text.replace(first[0], "\n".join([first[0], *lines]), 1)
        files.write_text(script, text)
