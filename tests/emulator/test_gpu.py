# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is special about the engine for GPUs. That it computes what the others do is in the tests of
all engines, with PyTorch on the processor; here its kernels are interpreted and compiled."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan, multiplier, reference
from axynq.emulator.engine import choice
from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.gpu.signed_planes import MOST_TERMS, signed_planes
from axynq.emulator.errors import ToolError
from axynq.emulator.model import graph
from axynq.emulator.model.segments import replace_layers
from axynq.emulator.multipliers import ACTIVATION_MIN
from tests import limits
from tests.conftest import data_file
from tests.networks import convolution, depthwise, random_input, tensor

torch = pytest.importorskip("torch", reason="torch is not installed: pip install axynq[torch]")

NEEDS_TRITON = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed: pip install axynq[gpu]",
)
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


# --- multipliers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zero_point", [-128, 0, 5])
def test_planes_of_all_families(zero_point: int) -> None:
    tables = data_file("evoapprox_mul8u.npz")
    specs = ("exact", "roup:1,4", "smapprox:2222", f"table:{tables}#mul8u_ZFB", "roup:2,6")
    multipliers = tuple(map(multiplier, specs))
    planes = signed_planes(multipliers, zero_point)
    products = planes.products().reshape(-1, 256, 256)
    operands = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64) - zero_point
    assert not products[0].any()  # skipped weights
    for number, each in enumerate(multipliers, start=1):
        assert np.array_equal(products[number], each.table[operands - ACTIVATION_MIN].T)
    assert planes.errors is not None
    assert planes.errors.dtype == np.int16


@pytest.mark.parametrize(
    ("spec", "planes"), [("exact", 1), ("roup:1,4", 2), ("roup:0,4", 3), ("smapprox:2222", 9)]
)
def test_planes_are_few(spec: str, planes: int) -> None:
    found = signed_planes((multiplier(spec),), -128)
    assert planes <= len(found.planes) <= planes + 1 <= MOST_TERMS
    assert found.errors is None


def test_exact_products_take_activations_as_they_are() -> None:
    for zero_point in (-128, 3):
        (table,) = signed_planes((multiplier("exact"),), zero_point).tables
        assert np.array_equal(table, np.arange(256).astype(np.uint8).view(np.int8))


def test_wrong_planes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from axynq.emulator.engine.gpu import signed_planes as module

    right = module.byte_terms
    monkeypatch.setattr(module, "byte_terms", lambda f, g: right(f, g)[:1])
    with pytest.raises(AssertionError, match="smapprox:3330 do not reproduce"):
        module.signed_planes.__wrapped__((multiplier("smapprox:3330"), multiplier("exact")), 1)


# --- running -------------------------------------------------------------------------------------


def test_a_layer_whose_weights_are_all_skipped() -> None:
    model = convolution(4, 4, 2, 3, 1, 0)
    (layer,) = model.layers
    kernel = np.where(np.arange(layer.kernel.size).reshape(layer.kernel.shape) % 2, 100, -100)
    model = replace_layers(model, [replace(layer, weights=kernel.astype(np.int8))])
    x = random_input(model, 5, 0)
    plan = Plan.parse(model, "llam=roup:1,4+klms=0.5")
    assert not plan.expand(model)[layer.name].codes.any()
    expected = Emulator(model, plan, engine="portable").run(x)
    np.testing.assert_array_equal(Emulator(model, plan, engine="torch").run(x), expected)


def test_lengths_of_long_vectors() -> None:
    """Whose squares sum to more than 29 bits."""
    tensors = tensor("x", (9000,), 0.05, 127), tensor("y", (9000,), 1 / 128, 0)
    op = graph.L2Normalisation("l2_0", (0,), 1)
    model = graph.Model("long", tensors, (op,), (0,), (1,))
    x = random_input(model, 4, 0)
    x[0], x[1] = -128, 127  # the longest, and no length at all
    expected = reference.run(model, x)[1]
    np.testing.assert_array_equal(Emulator(model, engine="torch").run(x), expected)


def test_images_by_chunks(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    x = random_input(digits, 7, 1)
    expected = Emulator(digits, "smapprox:1100", engine="portable")
    emulator = Emulator(digits, "smapprox:1100", engine="torch")
    from axynq.emulator.engine.gpu import network

    monkeypatch.setattr(network, "CHUNK_BYTES", dict.fromkeys(network.CHUNK_BYTES, 1))
    assert np.array_equal(emulator.run(x), expected.run(x))
    tensors = expected.tensors(x)
    assert all(np.array_equal(v, tensors[k]) for k, v in emulator.tensors(x).items())
    for name, sums in expected.accumulators(x).items():
        found = emulator.accumulators(x)[name]
        assert np.array_equal(found.approximate, sums.approximate)
        assert np.array_equal(found.exact, sums.exact)


def test_blocks_stay_on_the_device(digits: graph.Model) -> None:
    from axynq.emulator.engine.gpu.network import DeviceNetwork

    x = random_input(digits, 9, 1)
    codes = Plan.parse(digits, "roup:1,4").expand(digits)
    network = DeviceNetwork(digits, codes, torch.device("cpu"))
    found = network.run_blocks(Blocks.of(x))
    assert isinstance(found.on_device, torch.Tensor)
    assert found.values.nbytes == 9 * 10  # by which they are kept
    expected = Emulator(digits, "roup:1,4").run(x)
    assert np.array_equal(found.in_order(digits.output.shape), expected)


def test_other_weights(digits: graph.Model) -> None:
    """As training has them in each step: layers are packed where they are."""
    from axynq.emulator.engine.gpu.network import DeviceNetwork

    rng = np.random.default_rng(0)
    plan = Plan.parse(digits, "flam=exact|smapprox:3330|roup:1,4+klms=1")
    codes = plan.expand(digits)
    changed = replace_layers(
        digits,
        [
            replace(
                layer,
                weights=rng.integers(-128, 128, layer.weights.shape).astype(np.int8),
                bias=rng.integers(-9999, 9999, layer.bias.shape).astype(np.int32),
            )
            for layer in digits.layers
        ],
    )
    network = DeviceNetwork(digits, codes, torch.device("cpu"))
    network.load(
        {
            layer.name: (torch.from_numpy(layer.kernel), torch.from_numpy(layer.bias))
            for layer in changed.layers
        }
    )
    x = random_input(digits, 5, 2)
    found = network.tensors_on_device([torch.from_numpy(x)])
    expected = DeviceNetwork(changed, codes, torch.device("cpu")).tensors([x])
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in expected.items()}
    assert not np.array_equal(Emulator(digits, plan).tensors(x)[digits.output_index],
                              expected[digits.output_index])  # fmt: skip


def test_layers_of_very_many_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sums would saturate in a matrix unit: they are taken tap by tap."""
    from axynq.emulator.engine.gpu import packed

    model = convolution(5, 6, 7, 9, 3, seed=1, stride=2)
    x = random_input(model, 3, 0)
    expected = Emulator(model, "smapprox:1100", engine="portable").accumulators(x)
    monkeypatch.setattr(packed, "MOST_TAPS", 63)
    found = Emulator(model, "smapprox:1100", engine="torch").accumulators(x)
    assert np.array_equal(found["layer_0"].approximate, expected["layer_0"].approximate)


def test_sums_modulo_2_to_the_32_with_errors(tmp_path: Path) -> None:
    """The errors that are looked up wrap as well."""
    rng = np.random.default_rng(5)
    np.save(tmp_path / "t.npy", rng.integers(0, 65536, (256, 256)))
    for model, x in limits.overflowing_sums():
        plan = Plan.parse(model, f"table:{tmp_path}/t.npy")
        layer, products = model.layers[0], reference.plan_products(model, plan)
        expected = reference.accumulators(model, layer, x, products[layer.name])
        found = Emulator(model, plan, engine="torch").accumulators(x)[layer.name]
        assert np.array_equal(found.approximate, expected)


# --- whether it can be had -----------------------------------------------------------------------


@NO_GPU
def test_without_a_gpu(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="'cuda' needs a CUDA GPU, and PyTorch sees none here"):
        Emulator(digits, engine="cuda")
    monkeypatch.setenv("AXYNQ_ENGINE", "cuda")
    with pytest.raises(ToolError, match="'cuda' needs a CUDA GPU"):
        Emulator(digits)


def test_without_triton(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "triton" else find(name, *a)
    )
    with pytest.raises(ToolError, match=r"'cuda' needs Triton: pip install 'axynq\[gpu\]'"):
        Emulator(digits, engine="cuda")


@NEEDS_TRITON
def test_on_an_old_gpu(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(ToolError, match=r"compute capability 8\.0 or more, and Tesla T4 has 7\.5"):
        Emulator(digits, engine="cuda")


def test_too_little_memory(digits: graph.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from axynq.emulator.engine.gpu import plain

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    emulator = Emulator(digits, engine="torch")
    monkeypatch.setattr(plain, "layer_output", full)
    with pytest.raises(MemoryError, match="the GPU does not have enough of it: CUDA out of memory"):
        emulator.run(random_input(digits, 3, 0))


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from axynq.emulator.engine.choice import choose_engine
from axynq.emulator.errors import ToolError
choose_engine()
for name in ("cuda", "torch"):
    try:
        choose_engine(name)
    except ToolError as error:
        print(error)
"""


def test_without_torch() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert ran.stdout.count("engines 'cuda' and 'torch' need PyTorch: pip install") == 2, ran.stderr


def test_auto_never_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXYNQ_ENGINE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choice.choose_engine().name not in (choice.CUDA, choice.TORCH)


def test_emulators_are_pickled(digits: graph.Model) -> None:
    x = random_input(digits, 3, 1)
    emulator = Emulator(digits, "roup:1,4", engine="torch")
    again = pickle.loads(pickle.dumps(emulator))
    assert again.engine == "torch"
    assert np.array_equal(again.run(x), emulator.run(x))


# --- the kernels in Triton -----------------------------------------------------------------------


@NEEDS_TRITON
@pytest.mark.slow
def test_kernels_interpreted() -> None:
    """In a process of their own: Triton's functions are either interpreted or compiled."""
    path = Path(__file__).with_name("test_gpu_kernels.py")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", str(path)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "skipped" not in ran.stdout


LAYERS: tuple[tuple[str, graph.Model, str], ...] = (
    ("few channels", convolution(32, 32, 3, 16, 3, 0), "exact"),
    ("planes", convolution(32, 32, 16, 16, 3, 0), "smapprox:3330"),
    ("pointwise", convolution(8, 8, 64, 256, 1, 0), "roup:1,4"),
    ("depthwise", depthwise(9, 9, 24, 3, 0, stride=2), "roup:1,4"),
)
"""Of each kernel what it specialises in."""


@NEEDS_TRITON
@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets")
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile(capability: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For GPUs that are not here, by the compiler and the assembler that Triton brings."""
    from axynq.emulator.engine.gpu import kernels
    from axynq.emulator.engine.gpu.operators import prepared
    from axynq.emulator.engine.gpu.packed import PackedLayer
    from tests.emulator.test_shortcuts import sum_of

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    made: list[str] = []

    def compiled(kernel: Any, grid: Any, x: Any, *arguments: Any, **named: Any) -> None:
        made.append(kernel.__name__ + assembled(kernel, arguments, named, capability))

    monkeypatch.setattr(kernels, "_launch", compiled)
    table = np.random.default_rng(0).integers(0, 65536, (256, 256))
    np.save(tmp_path / "t.npy", table)
    device = torch.device("cpu")
    layers = [*LAYERS, ("look-ups", LAYERS[1][1], f"table:{tmp_path}/t.npy")]
    for _, model, plan in layers:
        codes = Plan.parse(model, plan).expand(model)
        packed = PackedLayer(model, model.layers[0], codes["layer_0"], device)
        x = torch.zeros((4, *model.input.shape), dtype=torch.int8)
        kernels.layer_output(packed, x, sums=plan == "exact")
    model = sum_of((0.1, 0.2, 0.3), (0, 1, 2), "add")
    pair = prepared(model, model.operators[0], device, kernels)
    pair([torch.zeros((1, 256, 256), dtype=torch.int8)] * 2)
    text = "\n".join(made)
    for name in ("_map", "_multiply", "_one_by_one", "_pair"):
        assert f"{name}\n" in text
    # Matrix units compute the products.
    assert {80: "mma.sync", 90: "wgmma"}[capability] in text


def assembled(kernel: Any, arguments: Any, named: dict[str, Any], capability: int) -> str:
    """A kernel for a GPU of a compute capability, called with such arguments: its PTX."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointers = {
        torch.int8: "*i8", torch.int16: "*i16", torch.int32: "*i32", torch.int64: "*i64",
    }  # fmt: skip
    options = {name: named.pop(name) for name in ("num_warps", "num_stages") if name in named}
    options["enable_fp_fusion"] = False
    signature = dict.fromkeys(kernel.arg_names, "constexpr")
    constants, attributes = dict(named), {}
    for number, (name, value) in enumerate(zip(kernel.arg_names, arguments)):
        if isinstance(value, torch.Tensor):
            signature[name] = pointers[value.dtype]
        elif value == 1:  # Triton's rule
            constants[name] = 1
        else:
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
        if isinstance(value, torch.Tensor) or value % 16 == 0:
            attributes[(number,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert made.asm["cubin"]
    return "\n" + str(made.asm["ptx"])
