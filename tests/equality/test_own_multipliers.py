# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Users' multipliers: the emulator's table, the C++ functor, the netlist and the blackbox are one
function of all operands; and nothing that differs is used."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, load_model
from axynq.emulator.errors import MultiplierError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import Table, multiplier
from axynq.emulator.multipliers.c_function import tabulate
from axynq.emulator.multipliers.circuit import CCircuit
from axynq.emulator.multipliers.verilog_module import read_verilog
from axynq.emulator.toolchain import compiler
from axynq.host import Accelerator, Overlay, compile_program
from axynq.host.netlists import table_circuits
from axynq.host.netlists.blackbox import blackbox
from axynq.host.netlists.c_gates import c_verilog
from axynq.host.netlists.designs import netlist
from axynq.host.netlists.evaluate import net_values
from axynq.host.netlists.proof import check_blackbox
from axynq.host.netlists.table_circuits import table_circuit
from axynq.host.overlay.circuits import (
    ZERO_WEIGHT,
    array_pairs,
    array_products,
    array_table,
    array_weights,
    zero_is_zero,
)
from axynq.host.software_board.simulation import Simulation, ap_types_folder
from tests.conftest import data_file
from tests.overlays import write_overlay
from tests.own_multipliers import write_own

HLS = Path(__file__).parents[2] / "hls"

C = ("own.c#mul8u_own", "own.c#mul8u_lifted")
VERILOG = ("own.v#low_sum", "own.v#signed_bytes", "own.v#nine_bits", "own.v#pipelined",
           "own.v#looked_up")  # fmt: skip
LIFTED = ("own.c#mul8u_lifted", "own.v#low_sum", "own.v#signed_bytes")
"""Those whose products of zero are not all zero."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("own"))


def table_of(own: Path, name: str) -> Table:
    m = multiplier(f"table:{own}/{name}")
    assert isinstance(m, Table)
    return m


# --- what the array makes of weights of zero -----------------------------------------------------


@pytest.mark.parametrize("name", [*C, *VERILOG])
def test_weights_of_zero(own: Path, name: str) -> None:
    m = table_of(own, name)
    assert zero_is_zero(m) == (name not in LIFTED)
    made = array_table(m)
    assert not made[:, 128].any()
    assert np.array_equal(made[:, 1:128], m.table[:, 1:128])
    assert np.array_equal(made[:, 129:], m.table[:, 129:])
    weights = np.array([-127, -1, 0, 1, 127], np.int8)
    as_taken = array_weights(m, weights)
    low, high = m.activation_range
    rows = slice(low + 255, high + 256)
    assert np.array_equal(
        made[rows][:, as_taken.astype(int) + 128], m.table[rows][:, weights.astype(int) + 128]
    )
    if name in LIFTED:
        with pytest.raises(MultiplierError, match="-127..127"):
            array_weights(m, np.array([ZERO_WEIGHT], np.int8))


# --- functors ------------------------------------------------------------------------------------


def overlay_of(own: Path) -> Overlay:
    """Exact lanes, and one lane each for C functions and modules."""
    lanes = [
        (1, ["exact"], "separate"),
        (1, [f"table:{own}/{name}" for name in C] + ["exact"], "separate"),
        (1, ["exact"] + [f"table:{own}/{name}" for name in VERILOG], "separate"),
        (1, [f"table:{own}/own.c#mul8u_lifted"], "separate"),
    ]
    return write_overlay(own, "own", lanes=lanes)


@pytest.mark.thorough
def test_functors_on_all_operands(own: Path) -> None:
    overlay = overlay_of(own)
    simulation = Simulation(overlay)
    for lane, bank in enumerate(overlay.banks):
        for code, m in enumerate(bank):
            low, high = m.activation_range
            rows = slice(low + 255, high + 256)
            products = simulation.products(lane, code)
            assert np.array_equal(products[rows], array_table(m)[rows]), m.spec


@pytest.mark.slow
def test_a_functor_that_differs_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = overlay_of(own)
    right = Simulation.products

    def wrong(self: Simulation, lane: int, code: int) -> np.ndarray:
        products = right(self, lane, code)
        products[255 + 3, 128 + 5] += 1
        return products

    monkeypatch.setattr(Simulation, "products", wrong)
    with pytest.raises(MultiplierError, match="C.. makes .* of 3 x 5, the emulator"):
        Simulation(overlay)


# --- the whole way -------------------------------------------------------------------------------


def images(model: graph.Model, count: int) -> np.ndarray:
    shape = model.tensors[model.inputs[0]].shape
    return np.random.default_rng(1).integers(-128, 128, (count, *shape)).astype(np.int8)


@pytest.mark.slow
def test_networks_on_the_software_board(own: Path, digits: graph.Model) -> None:
    """Whole layers, classes of weights, skipped weights; real weights of zero are among them."""
    overlay = overlay_of(own)
    c, lifted, low_sum, nine, pipelined = (
        f"table:{own}/{name}"
        for name in (*C, "own.v#low_sum", "own.v#nine_bits", "own.v#pipelined")
    )
    x = images(digits, 5)
    outputs = []
    with Accelerator(overlay, device="software") as accelerator:
        for plan in (
            c,
            lifted,
            low_sum,
            f"flam=exact|{nine}",
            f"klam-row={c}|{lifted}",
            f"klam-column={low_sum}|{pipelined}+klms=1",
        ):
            y = accelerator.run(compile_program(digits, plan, overlay), x)
            assert np.array_equal(y, Emulator(digits, plan).run(x)), plan
            outputs.append(y)
    assert any((layer.kernel == 0).any() for layer in digits.layers)
    assert not any(np.array_equal(outputs[0], other) for other in outputs[1:3])


# --- netlists ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [*C, *VERILOG])
def test_netlists_on_all_operands(own: Path, name: str) -> None:
    m = table_of(own, name)
    made = table_circuit(m)
    values, nets = net_values(made.netlist, array_pairs(m)), made.netlist.outputs["p"]
    products = sum(values[net].astype(np.int64) << bit for bit, net in enumerate(nets))
    assert np.array_equal((products ^ 1 << 16) - (1 << 16), array_products(m))
    assert made.latency == (3 if "pipelined" in name else 0)
    assert (made.registers > 0) == (made.latency > 0)


@pytest.mark.slow
def test_a_netlist_that_differs_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yosys would have to be wrong for that: here the Verilog that it gets is."""
    right = table_circuits._core
    monkeypatch.setattr(
        table_circuits,
        "_core",
        lambda m, top: right(m, top).replace("product : 16", "~product : 16"),
    )
    monkeypatch.setattr(table_circuits, "_MADE", {})
    with pytest.raises(MultiplierError, match="its netlist makes .* of -255 x -128, the emulator"):
        table_circuit(table_of(own, "own.v#low_sum"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "spec"),
    [("smapprox_1100_unsigned", "smapprox:1100"), ("roup_1_4", "roup:1,4"),
     ("smapprox_3330", "smapprox:3330")],
)  # fmt: skip
def test_netlists_of_the_project_as_the_users(file: str, spec: str) -> None:
    """LUTs with two outputs and carry chains come out as they went in, signs as the project's."""
    m = multiplier(f"table:{HLS}/rtl/{file}.v")
    assert m == multiplier(spec)
    assert isinstance(m, Table)
    assert table_circuit(m).netlist.resources() == netlist(spec).resources()


@settings(max_examples=12)
@given(data=st.data())
@pytest.mark.thorough
def test_verilog_of_any_gates(data: st.DataObject) -> None:
    """Of random gates, in words of random types."""
    kind = data.draw(st.sampled_from(["uint8_t", "uint16_t", "uint32_t", "uint64_t"]))
    names = [f"(({operand} >> {n}) & 1)" for operand in "AB" for n in range(8)]
    lines = []
    for n in range(data.draw(st.integers(1, 40))):
        x, y = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
        operator = data.draw(st.sampled_from(["&", "|", "^", "+", "-", "*"]))
        lines.append(
            f"  {kind} n{n} = {data.draw(st.sampled_from(['', '~', '!']))}{x} {operator} {y};"
        )
        names.append(f"n{n}")
    bits = [data.draw(st.sampled_from(names)) for _ in range(16)]
    total = " | ".join(f"((uint32_t)({bit} & 1) << {k})" for k, bit in enumerate(bits))
    text = "\n".join(
        [
            "#include <stdint.h>",
            f"uint16_t f({kind} A, {kind} B) {{",
            *lines,
            f"  return {total};",
            "}",
        ]
    )
    with tempfile.TemporaryDirectory() as work:
        Path(work, "f.c").write_text(text)
        function = tabulate(Path(work, "f.c"), "f")
        circuit = CCircuit("f", text, "magnitudes", "first", function.types)
        Path(work, "f.v").write_text(c_verilog(circuit, "f"))
        made = read_verilog(Path(work, "f.v"), "f").products
    assert np.array_equal(made, function.of_magnitudes)


def test_verilog_of_c(own: Path, tmp_path: Path) -> None:
    """Gates, loops, macros, other functions and conditions, without a branch in the end."""
    (tmp_path / "f.c").write_text(
        """#include <stdint.h>
#define CLEARED(x) ((x) & ~3)
static void half(uint8_t a, uint8_t b, uint8_t *s, uint8_t *c) { *s = a ^ b; *c = a & b; }
uint16_t loops(uint8_t a, uint8_t b) {
  uint16_t sum = 0;
  for (int i = 1; i < 8; i++) if ((b >> i) & 1) sum += (uint16_t)CLEARED(a) << i;
  return sum;
}
int16_t limited(int8_t a, int8_t b) {
  int x = a * b;
  uint8_t s, c;
  half(a & 1, b >> 1 & 1, &s, &c);
  if (x > 12000) x = 12000;
  return (x & ~1) | (s != c);
}
uint32_t wide(uint32_t b, uint32_t a) { return (a >> 1) * b << 1; }
uint16_t divided(uint8_t a, uint8_t b) { return b ? a / b * b * b : 0; }
"""
    )
    for name in ("loops", "limited", "wide"):
        m = table_of(tmp_path, f"f.c#{name}")
        assert m.circuit is not None
        (tmp_path / "made.v").write_text(c_verilog(m.circuit, "made"))  # type: ignore[arg-type]
        made = read_verilog(tmp_path / "made.v", "made").products
        first = m.values if m.circuit.activation == "first" else m.values.T
        assert np.array_equal(made, first & 0xFFFF), name
    divided = multiplier(f"table:{tmp_path}/f.c#divided,unsigned")
    with pytest.raises(MultiplierError, match="gates and arithmetic"):
        c_verilog(divided.circuit, "made")  # type: ignore[attr-defined]


# --- blackboxes ----------------------------------------------------------------------------------


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known to be right."""
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(table_circuits, "_MADE", {})


@pytest.mark.thorough
@pytest.mark.usefixtures("forgetful")
def test_mistakes_in_blackboxes_are_found(own: Path) -> None:
    m = table_of(own, "own.v#pipelined")
    box = blackbox(m.spec)
    texts = [text for name, text in box.files.items() if name.endswith(".v")]
    check_blackbox(m, box.function, texts)
    wrapper = next(text for text in texts if f"module {box.function} " in text)
    core = next(text for text in texts if text is not wrapper)
    for old, new, reason in (
        (".a(a_register)", ".a(a)", "makes"),
        (".ce(ap_ce)", ".ce(1'b1)", "makes"),
        ("ap_return <= product;", "ap_return <= product ^ (a_register == 9'd77);", "makes"),
    ):
        assert old in wrapper
        with pytest.raises(MultiplierError, match=f"simulated with CXXRTL its Verilog {reason}"):
            check_blackbox(m, box.function, [core, wrapper.replace(old, new)])
    # A register more, for all operands and the enable's sake.
    later = wrapper.replace("output reg [16:0] ap_return", "output reg [16:0] ap_return")
    later = later.replace(
        "      ap_return <= product;", "      last <= product; ap_return <= last;"
    )
    later = later.replace("  wire [16:0] product;", "  wire [16:0] product; reg [16:0] last;")
    with pytest.raises(MultiplierError, match="take 4 edges of the clock, not 3 as stated"):
        check_blackbox(m, box.function, [core, later])


@pytest.mark.thorough
@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("stated", [2, 4])
def test_a_latency_that_is_not_true(tmp_path: Path, stated: int) -> None:
    own = write_own(tmp_path)
    (own / "own.v.toml").write_text(f"[pipelined]\nlatency = {stated}")
    with pytest.raises(MultiplierError, match=f"take 3 edges of the clock, not {stated}|makes"):
        blackbox(f"table:{own}/own.v#pipelined")


@pytest.mark.thorough
@pytest.mark.usefixtures("forgetful")
def test_what_was_proved_is_not_proved_again(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"table:{own}/own.c#mul8u_own"
    blackbox(spec)
    monkeypatch.setattr(
        "axynq.host.netlists.proof.run_yosys", lambda *_: pytest.fail("it was simulated again")
    )
    blackbox(spec)


@pytest.mark.thorough
def test_blackboxes_and_their_c_models(own: Path, tmp_path: Path) -> None:
    """All of them pass the simulation; their models are compiled as Vitis HLS would."""
    made = [blackbox(f"table:{own}/{name}") for name in (*C, *VERILOG)]
    assert len({box.function for box in made}) == len(made)
    lines = ["#include <cstdint>"]
    for box in made:
        for name, text in box.files.items():
            (tmp_path / name).write_text(text)
        lines.append(f'#include "{box.function}.cpp"')
    lines.append('extern "C" void models(int32_t *products) {')
    lines.append("for (int a = -255; a <= 255; ++a) for (int w = -128; w <= 127; ++w) {")
    lines += [f"*products++ = int32_t({box.function}(a, w));" for box in made]
    lines.append("}}")
    (tmp_path / "models.cpp").write_text("\n".join(lines))
    subprocess.run(
        [
            *compiler(), "-std=c++14", "-O1", "-shared", "-fPIC", "-w", f"-I{HLS / 'include'}",
            f"-I{ap_types_folder()}", "-o", "models.so", "models.cpp",
        ],
        cwd=tmp_path,
        check=True,
    )  # fmt: skip
    products = np.zeros((511, 256, len(made)), np.int32)
    ctypes.CDLL(str(tmp_path / "models.so")).models(products.ctypes.data_as(ctypes.c_void_p))
    for n, name in enumerate((*C, *VERILOG)):
        m = table_of(own, name)
        low, high = m.activation_range
        rows = slice(low + 255, high + 256)
        assert np.array_equal(products[rows, :, n], array_table(m)[rows]), name


# --- EvoApproxLib --------------------------------------------------------------------------------

TABLE_1 = ("2AC", "2HH", "NGR", "ZFB", "7C1")
"""The multipliers of EvoApproxLib in Table I of the MAx-DNN paper."""


@pytest.mark.thorough
def test_evoapproxlib_in_a_mixed_overlay(tmp_path: Path) -> None:
    """MLPerf Tiny's ResNet-8 under each of them, and under all at once, on lanes of one each beside
    exact ones."""
    specs = [f"table:{data_file('evoapproxlib', f'mul8u_{name}.c')}" for name in TABLE_1]
    lanes = [(3, ["exact"], "separate"), *((1, ["exact", spec], "separate") for spec in specs)]
    sizes = {"map_words": 8192, "weight_vectors": 1024, "groups": 128, "partial_sums": 256}
    overlay = write_overlay(tmp_path, filters=8, inputs=8, requantisers=4, lanes=lanes, **sizes)
    model = load_model(data_file("models", "mlperf_tiny_resnet8_int8.tflite"))
    x = images(model, 2)
    with Accelerator(overlay, device="software") as accelerator:
        for plan in (*specs, "flam=exact|" + "|".join(specs)):
            y = accelerator.run(compile_program(model, plan, overlay), x)
            assert np.array_equal(y, Emulator(model, plan).run(x)), plan
    for spec in specs:
        blackbox(spec)
