# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What keeps results the same on ARM, as far as it shows without an ARM machine.

The whole check is ``make check-arm``.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator import toolchain as build
from axynq.emulator.engine import abi, kernel
from axynq.emulator.errors import DeviceError, ToolError
from axynq.emulator.model import graph
from axynq.host import compile_program
from axynq.host.overlay import Overlay
from axynq.host.selftest import golden
from axynq.host.software_board import device as software
from axynq.host.software_board import simulation
from tests.arm.machine import ARCHITECTURES, SOURCE, Architecture, emulator, missing
from tests.execution import execute

NATIVE = SOURCE / "emulator" / "engine" / "native"


# --- structures shared with the kernel -----------------------------------------------------------


def mirror(monkeypatch: pytest.MonkeyPatch, pointer: type) -> ModuleType:
    """The mirror of the kernel's structures as a processor with such addresses has it."""
    spec = importlib.util.spec_from_file_location("mirror", abi.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patch:
        patch.setattr(np, "uintp", pointer)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("compiler", "pointer"),
    [
        ("g++", np.uint64),
        ("arm-linux-gnueabihf-g++", np.uint32),
        ("aarch64-linux-gnu-g++", np.uint64),
    ],
)
def test_structures_lie_as_their_mirror_says(
    compiler: str, pointer: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(compiler) is None:
        package = f"g++-{compiler.removesuffix('-g++')}" if "-" in compiler else "g++"
        pytest.skip(f"{compiler} is not installed: apt install {package}")
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{NATIVE}", "-x", "c++", "-"]
    text = mirror(monkeypatch, pointer).checks()
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_kernel_with_other_structures_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mirror with addresses of another size would make them."""
    other = mirror(monkeypatch, np.uint32 if np.uintp(0).itemsize == 8 else np.uint64)
    monkeypatch.setattr(abi, "checks", other.checks)
    kernel.load_kernel.cache_clear()
    with pytest.raises(ToolError, match=r"\(CXX\) has another Tensor than this"):
        kernel.load_kernel("generic")


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ("int32_t stack, kernel_row;", "int32_t kernel_row, stack;", "Segment.stack"),
        ("  CONVOLUTION,\n  MOVE,", "  MOVE,\n  CONVOLUTION,", "CONVOLUTION"),
        ("WHOLE_BYTE, LOW_HALF, HIGH_HALF", "WHOLE_BYTE, HIGH_HALF, LOW_HALF", "LOW_HALF"),
        ("int BLOCK = 64", "int BLOCK = 32", "BLOCK"),
        ("filter[MOST_FILTERS]", "filter[5]", "FilterBlock.filter"),
        ("const Operator *op;", "const Operator *op, *other;", "Network"),
    ],
)
def test_a_kernel_whose_header_differs_does_not_compile(
    right: str, wrong: str, what: str, tmp_path: Path
) -> None:
    text = (NATIVE / "abi.hpp").read_text()
    assert right in text
    (tmp_path / "abi.hpp").write_text(text.replace(right, wrong))
    command = ["g++", "-std=c++17", "-fsyntax-only", f"-I{tmp_path}", "-x", "c++", "-"]
    compiled = subprocess.run(
        command, input=abi.checks(), capture_output=True, text=True, check=False
    )
    assert f"the compiler (CXX) has another {what} than" in compiled.stderr


def test_a_library_for_another_processor(tmp_path: Path) -> None:
    library = tmp_path / "other.so"
    library.write_bytes(b"\x7fELF" + bytes(60))
    with pytest.raises(ToolError, match="set CXX to a compiler"):
        build.load_library(library)


# --- numbers -------------------------------------------------------------------------------------


def test_a_weight_at_the_limit_of_klms_stays() -> None:
    """Of 18 weights two are exactly three standard deviations from the mean: a rounded one decides
    either way."""
    for distance in (31, 53, 97):
        weights = np.full((1, 1, 1, 18), 5, np.int8)
        weights[..., :2] += np.array([distance, -distance], np.int8)
        model = one_layer(weights)
        assert Plan.parse(model, "klms=3").expand(model)["layer"].codes.all()
        closer = Plan.parse(model, "klms=2.999999999").expand(model)["layer"].codes
        assert closer.reshape(-1).tolist() == [0, 0] + 16 * [1]


def test_klms_without_limit(digits: graph.Model) -> None:
    for layer in Plan.parse(digits, "klms=1e300").expand(digits).values():
        assert layer.codes.all()


def test_sums_beyond_32_bits_wrap_on_every_engine() -> None:
    """Where a float that no int32 can hold is made one, processors differ."""
    weights = np.full((1, 1, 1, 70_000), 127, np.int8)
    model = one_layer(weights)
    x = np.full((1, *model.input.shape), 127, np.int8)
    exact = 255 * 127 * weights.size
    wrapped = (exact + 2**31) % 2**32 - 2**31
    for name in (*(variant.name for variant in kernel.supported_variants()), "portable"):
        sums = Emulator(model, "exact", name).accumulators(x)["layer"]
        assert sums.approximate.item() == wrapped, name


def one_layer(weights: np.ndarray, output_scale: float = 1e6) -> graph.Model:
    """A pointwise convolution."""
    filters, channels = weights.shape[0], weights.shape[3]
    tensors = (graph.Tensor("x", (1, 1, channels), 1.0, -128),
               graph.Tensor("y", (1, 1, filters), output_scale, 0))  # fmt: skip
    layer = graph.Convolution(
        "layer", (0,), 1, weights, np.zeros(filters, np.int32), np.ones(filters, np.float32)
    )
    return graph.Model("one layer", tensors, (layer,), (0,), (1,))


# --- integers whose size is the processor's ------------------------------------------------------

NOT_ON_BOARDS = ("emulator/studies", "emulator/engine/gpu", "emulator/quantisation",
                 "emulator/frameworks", "host/cli", "host/netlists", "host/power",
                 "host/baseline.py", "host/performance/roofline.py")  # fmt: skip

NEED_A_TYPE = ("arange", "sum", "cumsum", "prod", "cumprod")
"""Functions of numpy whose result has the processor's integer where no type is given."""


def portable_modules() -> Iterator[Path]:
    """Modules that run on boards."""
    for package in ("emulator", "host"):
        for path in sorted((SOURCE / package).rglob("*.py")):
            name = str(path.relative_to(SOURCE))
            if not name.startswith(NOT_ON_BOARDS):
                yield path


def implicit_integers(text: str) -> list[int]:
    """Lines where an integer's size is the processor's."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        typed = any(keyword.arg == "dtype" for keyword in node.keywords)
        integer = any(
            isinstance(value, ast.Name) and value.id == "int"
            for value in (*node.args, *(k.value for k in node.keywords if k.arg == "dtype"))
        )
        of_numpy = isinstance(node.func.value, ast.Name) and node.func.value.id == "np"
        of_math = isinstance(node.func.value, ast.Name) and node.func.value.id == "math"
        counted = ast.unparse(node.args[0]) if node.args else ""
        if (
            (name in NEED_A_TYPE and not typed and not of_math)
            or (integer and (of_numpy or name == "astype"))
            or (name == "bincount" and ".astype(np.intp)" not in counted)
        ):
            found.append(node.lineno)
    return found


def test_integers_have_a_size_of_their_own() -> None:
    """numpy's default integer has 32 bits on 32-bit ARM (and bincount takes no wider one there)."""
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in portable_modules()
        for line in implicit_integers(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["np.arange(3)", "x.sum(axis=1)", "np.prod(shape)", "x.astype(int)", "np.zeros(3, dtype=int)",
     "np.bincount(x)", "np.cumsum(x)", "np.zeros(3, int)"],
)  # fmt: skip
def test_the_search_finds(text: str) -> None:
    assert implicit_integers(text) == [1]


# --- C++ -----------------------------------------------------------------------------------------

STRICT = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all", "-funsigned-char")
"""Undefined behaviour ends the process; char has no sign, as on ARM."""

RUN_STRICTLY = """
import sys
import numpy as np
from axynq.emulator import Emulator, load_model
from axynq.emulator.engine import kernel
from axynq.host.software_board import simulation
from axynq.host.overlay import Overlay
from axynq.host.selftest import golden
from axynq.host.selftest.networks import Random, random_inputs
from tests.arm.test_portability import one_layer
flags = tuple(sys.argv[3:])
kernel.FLAGS = ("-std=c++17", "-pthread", *flags)
# The ap_types headers shift negative values to the left.
simulation._FLAGS = ("-std=c++14", "-DAXYNQ_SIMULATION", "-Wno-unknown-pragmas", *flags,
                     "-fno-sanitize=shift")
for overlay in map(Overlay.load, ("tiny4", "z2-sm16") if sys.argv[1] == "kernel" else ("tiny4",)):
    expected = golden.read(overlay)
    if sys.argv[1] == "kernel":
        for case in golden.cases(overlay):
            emulator = Emulator(case.model, case.plan, "generic")
            assert np.array_equal(emulator.run(case.x), expected[case.name]), case.name
            emulator.accumulators(case.x)
        # A shipped network in several blocks, and negative sums times a factor above one.
        larger = one_layer(np.full((2, 1, 1, 4), -3, np.int8), output_scale=0.1)
        for model in (load_model(sys.argv[2]), larger):
            x = random_inputs(model, 70, Random(0))
            for plan in ("flam=exact|roup:1,4|smapprox:3330", "smapprox:2222+klms=1"):
                emulator = Emulator(model, plan, "generic")
                assert np.array_equal(emulator.run(x), Emulator(model, plan, "portable").run(x))
                emulator.tensors(x)
    else:
        from axynq.host.runtime.accelerator import Accelerator
        from axynq.host.selftest.checks import check_golden
        with Accelerator(overlay, "software") as accelerator:
            assert check_golden(accelerator).passed
print("done")
"""


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("kernel", marks=pytest.mark.slow),
        pytest.param("simulation", marks=pytest.mark.thorough),
    ],
)
def test_no_undefined_behaviour_and_no_sign_of_char(what: str, digits_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", RUN_STRICTLY, what]
    command += [str(digits_path), *STRICT]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SOURCE)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip() == "done"


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(architecture, id=name, marks=[] if name == "armhf" else [pytest.mark.thorough])
        for name, architecture in ARCHITECTURES.items()
    ],
)
def test_the_accelerator_compiled_for_arm(architecture: Architecture, tmp_path: Path) -> None:
    """The C simulation, cross-compiled, run by qemu on golden vectors."""
    lacking = missing(architecture)
    if lacking:
        pytest.skip(f"programs for {architecture.name} need {lacking}")
    overlay = Overlay.load("tiny4")
    header = simulation.overlay_headers(overlay)["axynq/overlay.hpp"]
    (tmp_path / "axynq").mkdir()
    (tmp_path / "axynq" / "overlay.hpp").write_text(header, encoding="utf-8")
    replay = tmp_path / "replay"
    subprocess.run(
        [
            *(f"{architecture.triplet}-g++", *simulation._FLAGS, "-O1", "-static"),
            *("-isystem", str(simulation.ap_types_folder()), f"-I{tmp_path}"),
            f"-I{SOURCE / 'hls' / 'include'}",
            str(SOURCE / "tests" / "arm" / "replay.cpp"),
            *(str(SOURCE / "hls" / "src" / "accelerator.cpp"), "-o", str(replay)),
        ],
        check=True,
    )
    expected = golden.read(overlay)
    for case in golden.cases(overlay):
        program = compile_program(case.model, case.plan, overlay)

        def core(commands: np.ndarray, maps: np.ndarray, images: int) -> None:
            paths = [str(tmp_path / name) for name in ("program", "arena", "after")]
            commands.tofile(paths[0])
            maps.tofile(paths[1])
            runner = emulator(architecture)
            assert runner is not None
            command = [runner, str(replay), *paths[:2], str(images), paths[2]]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr
            maps[:] = np.fromfile(paths[2], np.int8)

        (y,) = execute(program, [case.x], core)
        assert np.array_equal(y, expected[case.name]), case.name


def test_no_room_for_a_software_board() -> None:
    """32-bit processes run out of addresses."""
    with pytest.raises(DeviceError, match="address space"):
        software.BoardMemory(0, 1 << 50)
