# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The LUT-level multipliers: right on all operands, and as small as they are said to be."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import SMAPPROX_TABLE_2, multiplier
from axynq.emulator.toolchain import compiler
from axynq.host.netlists.blackbox import blackbox, configurable_blackbox
from axynq.host.netlists.designs import (
    bank_domain,
    bank_netlist,
    configurable_netlist,
    netlist,
    signed_domain,
    unsigned_domain,
    unsigned_netlist,
)
from axynq.host.netlists.dsp_pair import dsp_pair
from axynq.host.netlists.evaluate import net_values
from axynq.host.netlists.files import rtl_files
from axynq.host.netlists.latency import NETLIST_LATENCY as LATENCY
from axynq.host.netlists.latency import latency_of
from axynq.host.netlists.verilog import verilog
from axynq.host.netlists.yosys import cells_of, synthesise
from axynq.host.overlay.board import DSP_BLOCKS
from axynq.host.overlay.naming import dsp_pair_name
from axynq.host.software_board.simulation import ap_types_folder
from tests.equality.rtl_simulation import PAIRS, clocked, simulated_products

HLS = Path(__file__).parents[2] / "hls"

TABLE_2_LUTS = {
    "1100": 64, "2200": 62, "3300": 62, "1110": 64, "3330": 59, "2220": 59, "3333": 54, "2222": 52,
}  # fmt: skip
"""LUTs of the published SMApprox multipliers (De la Parra et al., Table 2)."""

BOOTH_LUTS = {"exact": 46, "roup:1,4": 32, "roup:2,6": 20}

BANK = ("exact", "roup:0,4", "roup:1,4", "roup:2,6")


def specs() -> list[str]:
    """Those that ship, and a spread over both families' parameters."""
    rng = np.random.default_rng(7)
    chosen = ["exact", *(f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2)]
    chosen += [f"smapprox:{''.join(map(str, rng.integers(0, 4, 4)))}" for _ in range(5)]
    chosen += [f"roup:{p},{r}" for p in range(3) for r in (0, 4, 6)]
    chosen += [
        f"roup:{rng.integers(0, 4)},{'-'.join(map(str, rng.integers(0, 9, 4)))}" for _ in range(7)
    ]
    return chosen


def evaluated(circuit, domain, signed=True):
    """The products, as integers of shape [N]."""
    values, nets = net_values(circuit, domain), circuit.outputs["p"]
    total = sum(values[net].astype(np.int64) << bit for bit, net in enumerate(nets))
    return total - (values[nets[-1]].astype(np.int64) << len(nets)) if signed else total


# --- function ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", specs())
def test_netlists_on_all_511_x_256_operands(spec: str) -> None:
    products = evaluated(netlist(spec), signed_domain())
    assert np.array_equal(products, multiplier(spec).table.reshape(-1))


@pytest.mark.parametrize("digits", [*SMAPPROX_TABLE_2, "0000", "1231"])
def test_unsigned_netlists_on_all_256_x_256_operands(digits: str) -> None:
    domain = unsigned_domain()
    expected = multiplier(f"smapprox:{digits}").compute(domain["a"], domain["b"])
    assert np.array_equal(evaluated(unsigned_netlist(digits), domain, signed=False), expected)


@pytest.mark.parametrize("make", [configurable_netlist, bank_netlist])
@pytest.mark.parametrize(
    "bank", [BANK, ("exact", "roup:3,0", "roup:0,8-0-3-1"), ("roup:1,4", "exact")]
)
def test_banks_under_every_code(make, bank) -> None:
    products = evaluated(make(bank), bank_domain(len(bank)))
    for code, spec in enumerate(bank):
        expected = multiplier(spec).table.reshape(-1)
        assert np.array_equal(products[code * PAIRS : (code + 1) * PAIRS], expected), spec


@pytest.mark.thorough
def test_a_large_configurable_bank() -> None:
    bank = tuple(f"roup:{p},{r}" for p in (0, 1, 2) for r in (0, 4, 6))
    products = evaluated(configurable_netlist(bank), bank_domain(len(bank)))
    expected = np.concatenate([multiplier(spec).table.reshape(-1) for spec in bank])
    assert np.array_equal(products, expected)


@pytest.mark.thorough
def test_verilog_with_the_vendors_cells_on_all_operands(tmp_path) -> None:
    """Every module's text, read by another tool, against the emulator's tables."""
    chosen = list(dict.fromkeys(specs()))
    products = simulated_products([netlist(spec) for spec in chosen], tmp_path)
    for n, spec in enumerate(chosen):
        assert np.array_equal(products[0, :, n], multiplier(spec).table.reshape(-1)), spec


@pytest.mark.thorough
def test_verilog_of_unsigned_multipliers_on_all_operands(tmp_path) -> None:
    circuits = [unsigned_netlist(digits) for digits in SMAPPROX_TABLE_2]
    products = simulated_products(circuits, tmp_path)
    domain = signed_domain()
    pairs = domain["a"] >= 0
    a, b = domain["a"][pairs], domain["w"][pairs] & 255
    for n, digits in enumerate(SMAPPROX_TABLE_2):
        expected = multiplier(f"smapprox:{digits}").compute(a, b)
        assert np.array_equal(products[0, pairs, n], expected), digits


@pytest.mark.thorough
def test_verilog_of_banks_under_every_code(tmp_path) -> None:
    circuits = [configurable_netlist(BANK), bank_netlist(BANK)]
    products = simulated_products(circuits, tmp_path, codes=len(BANK))
    for code, spec in enumerate(BANK):
        expected = multiplier(spec).table.reshape(-1)
        for n, circuit in enumerate(circuits):
            assert np.array_equal(products[code, :, n], expected), (circuit.name, spec)


@pytest.mark.slow
def test_a_flipped_bit_of_a_table_is_found(tmp_path) -> None:
    circuit = netlist("exact")
    text = verilog(circuit)
    first = re.search(r"64'h([0-9A-F]{16})", text)
    assert first is not None
    value = int(first[1], 16)
    # all repetitions of the third row of the table, which the operands select
    pattern = sum(1 << place for place in range(2, 64, 16))
    flipped = text.replace(first[0], f"64'h{value ^ pattern:016X}", 1)
    products = simulated_products([circuit], tmp_path, texts=[flipped])[0, :, 0]
    assert not np.array_equal(products, multiplier("exact").table.reshape(-1))


# --- size ----------------------------------------------------------------------------------------

GENERIC = "module generic(input signed [8:0] a, input signed [7:0] w, output signed [16:0] p);\n"
GENERIC += "assign p = a * w;\nendmodule\n"


@pytest.mark.thorough
def test_sizes_after_synthesis(tmp_path) -> None:
    circuits = {f"unsigned {digits}": unsigned_netlist(digits) for digits in SMAPPROX_TABLE_2}
    circuits |= {spec: netlist(spec) for spec in (*BANK, "smapprox:2222")}
    circuits |= {"configurable": configurable_netlist(BANK), "bank": bank_netlist(BANK)}
    modules = {circuit.name: verilog(circuit) for circuit in circuits.values()}
    mapped = synthesise(modules | {"generic": GENERIC}, tmp_path)
    luts = {name: cells_of(mapped[circuit.name]).luts for name, circuit in circuits.items()}
    for name, circuit in circuits.items():
        cells = cells_of(mapped[circuit.name])
        assert cells.luts == circuit.resources()["LUT"], name
        assert cells.carry4s == circuit.resources()["CARRY4"], name
    for digits, limit in TABLE_2_LUTS.items():
        assert luts[f"unsigned {digits}"] <= limit, digits
    for spec, limit in BOOTH_LUTS.items():
        assert luts[spec] <= limit, spec
    assert luts["configurable"] < luts["bank"] / 2
    assert luts["exact"] < cells_of(mapped["generic"]).luts / 2


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["table:x.npz#y", "exact|smapprox:1100", "unsigned:roup:1,4"])
def test_what_has_no_rtl(name: str, tmp_path) -> None:
    np.savez(tmp_path / "x.npz", y=np.outer(np.arange(256), np.arange(256)).astype(np.uint16))
    with pytest.raises(MultiplierError, match="data without|exact or ROUP|only smapprox"):
        rtl_files(name.replace("x.npz", str(tmp_path / "x.npz")))


# --- blackboxes ----------------------------------------------------------------------------------


def boxes():
    return [
        *(blackbox(spec) for spec in (*BANK, "smapprox:3330")),
        configurable_blackbox(BANK),
    ]


def every_box():
    return [*boxes(), *(dsp_pair(dsp_pair_name(block)) for block in DSP_BLOCKS.values())]


@pytest.mark.parametrize("box", every_box(), ids=lambda box: box.function)
def test_descriptions_name_what_the_other_files_have(box) -> None:
    description = json.loads(box.files[f"{box.function}.json"])
    wrapper = box.files[f"{box.function}.v"]
    model = box.files[f"{box.function}.cpp"]
    assert description["c_function_name"] == description["rtl_top_module_name"] == box.function
    assert f"module {box.function} (" in wrapper
    assert f" {box.function}(" in model
    assert set(description["rtl_files"]) <= set(box.files)
    assert {entry["c_file"] for entry in description["c_files"]} <= set(box.files)
    ports = set(re.findall(r"(?:input|output) (?:wire|reg) (?:\[\d+:0\] )?(\w+)", wrapper))
    named = {port["rtl_ports"]["data_read_in"] for port in description["c_parameters"]}
    named |= {description["c_return"]["rtl_ports"]["data_write_out"]}
    named |= {name for name in description["rtl_common_signal"].values() if name}
    assert ports == named
    arguments = re.search(r"\((.*)\) \{", model)
    assert arguments is not None
    names = [argument.split()[-1] for argument in arguments[1].split(", ")]
    assert names == [port["c_name"] for port in description["c_parameters"]]
    latency = str(latency_of(box.function))
    assert description["rtl_performance"] == {"latency": latency, "II": "1"}
    for name in description["rtl_files"]:
        assert box.files[name].count("`timescale") == 1, name
    usage = description["rtl_resource_usage"]
    assert set(usage) == {"FF", "LUT", "BRAM", "URAM", "DSP"}
    for kind in ("FF", "LUT", "DSP"):
        assert int(usage[kind]) == box.resources[kind]


@pytest.mark.thorough
def test_c_models_on_all_operands(tmp_path) -> None:
    made = boxes()
    lines = ["#include <cstdint>"]
    for box in made:
        (tmp_path / f"{box.function}.cpp").write_text(box.files[f"{box.function}.cpp"])
        lines.append(f'#include "{box.function}.cpp"')
    lines.append('extern "C" void models(int32_t *products) {')
    lines.append("for (int a = -255; a <= 255; ++a) for (int w = -128; w <= 127; ++w) {")
    lines += [f"*products++ = int32_t({box.function}(a, w));" for box in made[:-1]]
    for code in range(len(BANK)):
        lines.append(f"*products++ = int32_t({made[-1].function}(a, w, {code}));")
    lines.append("}}")
    (tmp_path / "models.cpp").write_text("\n".join(lines))
    subprocess.run(
        [
            *compiler(), "-std=c++14", "-O2", "-shared", "-fPIC", "-w", f"-I{HLS / 'include'}",
            f"-I{ap_types_folder()}", "-o", "models.so", "models.cpp",
        ],
        cwd=tmp_path,
        check=True,
    )  # fmt: skip
    library = ctypes.CDLL(str(tmp_path / "models.so"))
    expected = [multiplier(spec).table.reshape(-1) for spec in (*BANK, "smapprox:3330", *BANK)]
    products = np.zeros((PAIRS, len(expected)), np.int32)
    library.models(products.ctypes.data_as(ctypes.c_void_p))
    assert np.array_equal(products, np.stack(expected, axis=1))


@pytest.mark.thorough
def test_sizes_of_wrappers(tmp_path) -> None:
    """The description says what synthesis finds: the core, and flip-flops that an enable, and
    nothing else, controls."""
    made = boxes()
    modules = {box.function: wrapped(box) for box in made}
    for function, module in synthesise(modules, tmp_path).items():
        (box,) = (box for box in made if box.function == function)
        usage = json.loads(box.files[f"{function}.json"])["rtl_resource_usage"]
        cells = cells_of(module)
        assert (cells.luts, cells.flip_flops) == (int(usage["LUT"]), int(usage["FF"])), function
        assert {kind for kind in cells.counts if kind.startswith("FD")} == {"FDRE"}
        pins = [c["connections"] for c in module["cells"].values() if c["type"] == "FDRE"]
        assert {pin["R"][0] for pin in pins} == {"0"}
        assert {pin["CE"][0] for pin in pins} == {module["ports"]["ap_ce"]["bits"][0]}


def wrapped(box) -> str:
    """The Verilog of a blackbox with that of the circuit in it."""
    return box.files[f"{box.module}.v"] + box.files[f"{box.function}.v"]


def faults_of(wrapper, expected: Sequence[Sequence[int]], codes: int = 1) -> list[str]:
    """What is wrong with a blackbox's timing on all operand pairs. ``expected`` holds the products
    of each code.

    Its inputs change at every edge: pairs of operands in three orders, so that every pair follows
    another one.
    """
    domain = signed_domain()
    orders = [slice(None), slice(None, None, -1), np.random.default_rng(5).permutation(PAIRS)]
    found = []

    def operands(step: int) -> dict[str, Any]:
        given = {"a": domain["a"][orders[step % 3]], "w": domain["w"][orders[step % 3]]}
        return given | ({"code": step % codes} if codes > 1 else {})

    def check(step: int, what: str) -> None:
        product = np.asarray(expected[step % codes])[orders[step % 3]]
        if not np.array_equal(wrapper.read("ap_return"), product):
            found.append(what)

    steps = max(4, codes + 1)
    for step in range(steps):
        wrapper.edge(ap_ce=1, ap_rst=0, **operands(step))
        if step >= LATENCY - 1:
            check(step - LATENCY + 1, f"a product {LATENCY} edges after its operands")
    for step in range(steps, steps + 2):
        wrapper.edge(ap_ce=0, ap_rst=0, **operands(step))
        check(steps - LATENCY, "held without enable")
    wrapper.edge(ap_ce=1, ap_rst=1, **operands(1))
    check(steps - LATENCY + 1, "what had come in goes on, whatever the reset")
    return list(dict.fromkeys(found))


@pytest.mark.slow
def test_wrappers_on_all_operands(tmp_path) -> None:
    made = boxes()
    simulations = clocked({box.function: wrapped(box) for box in made}, tmp_path)
    for box, spec in zip(made, (*BANK, "smapprox:3330")):
        expected = [multiplier(spec).table.reshape(-1)]
        assert not faults_of(simulations[box.function], expected), spec
    expected = [multiplier(spec).table.reshape(-1) for spec in BANK]
    assert not faults_of(simulations[made[-1].function], expected, len(BANK))


TIMING, HELD, RESET = (
    "a product 2 edges after its operands",
    "held without enable",
    "what had come in goes on, whatever the reset",
)

MISTAKES = {
    "one register less": (".w(w_register)", ".w(w)", TIMING),
    "no enable": ("if (ap_ce)", "if (1)", HELD),
    "operands without enable": (
        "      a_register <= a;\n",
        "    end\n  always @(posedge ap_clk) a_register <= a;\n"
        "  always @(posedge ap_clk)\n    if (ap_ce) begin\n",
        RESET,
    ),
    "a reset": ("if (ap_ce) begin", "if (ap_rst) ap_return <= 0; else if (ap_ce) begin", RESET),
    "operands mixed up": (".a(a_register)", ".a({a_register[7:0], a_register[8]})", TIMING),
}


@pytest.mark.thorough
def test_mistakes_in_wrappers_are_found(tmp_path) -> None:
    box = blackbox("roup:1,4")
    core, wrapper = box.files[f"{box.module}.v"], box.files[f"{box.function}.v"]
    modules = {}
    for number, (old, new, _) in enumerate(MISTAKES.values()):
        assert wrapper.count(old) == 1
        changed = wrapper.replace(old, new)
        changed = changed.replace(f"module {box.function} ", f"module mistake{number} ")
        modules[f"mistake{number}"] = changed + (core if number == 0 else "")
    expected = [multiplier("roup:1,4").table.reshape(-1)]
    simulations = clocked(modules, tmp_path)
    for (name, (*_, what)), simulation in zip(MISTAKES.items(), simulations.values()):
        assert what in faults_of(simulation, expected), name
