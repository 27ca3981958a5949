# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The number types of the analysis compute what those of the vendor's headers do."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axynq.emulator.multipliers import multiplier
from axynq.emulator.toolchain import load_library, shared_library
from axynq.host.generate.overlay_files import overlay_headers
from axynq.host.overlay import Overlay
from axynq.host.software_board.simulation import ap_types_folder
from axynq.host.synthesis.compilation import front_end
from axynq.host.synthesis.pragmas import MARKER

llvm = pytest.importorskip("llvmlite.binding")
pytest.importorskip("ziglang")

HERE = Path(__file__).parent
MOST = 1000
"""Results of one call."""


@contextmanager
def loaded(text: str, prototype: Any) -> Iterator[Any]:
    """The function ``top`` of LLVM's text, compiled in memory."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    lines = (line for line in text.splitlines() if f"@{MARKER}(" not in line)
    module = llvm.parse_assembly("\n".join(lines))
    machine = llvm.Target.from_default_triple().create_target_machine()
    with llvm.create_mcjit_compiler(module, machine) as engine:
        engine.finalize_object()
        yield prototype(engine.get_function_address("top"))


def test_operators_compute_what_the_vendors_headers_do() -> None:
    source = HERE / "operators.cpp"
    headers = ["-isystem", str(ap_types_folder())]
    real = load_library(
        shared_library("ap-operators", [source], ["-std=c++14", "-O1", "-w"], folders=headers)
    )
    results = ctypes.POINTER(ctypes.c_longlong)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong, results)
    expected, found = (ctypes.c_longlong * MOST)(), (ctypes.c_longlong * MOST)()
    chosen = random.Random(7)
    with loaded(front_end(source), prototype) as top:
        for _ in range(1000):
            x, y = (chosen.getrandbits(chosen.choice([4, 9, 20, 64])) for _ in range(2))
            x, y = (v - (1 << 64) if v >> 63 else v * chosen.choice([1, -1]) for v in (x, y))
            count = real.top(ctypes.c_longlong(x), ctypes.c_longlong(y), expected)
            assert top(x, y, found) == count > 150
            assert list(found[:count]) == list(expected[:count]), (x, y)


@pytest.mark.parametrize("name", ["tiny4", "z2-mixed16"])
def test_products_are_those_of_the_multipliers(name: str) -> None:
    overlay = Overlay.load(name)
    generated = overlay_headers(overlay)
    with resources.as_file(resources.files("axynq.hls") / "include") as include:
        text = front_end(HERE / "products.cpp", [include], generated)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int))
    lane = 0
    with loaded(text, prototype) as top:
        for group in overlay.lanes:
            for code, spec in enumerate(group.bank):
                products = np.zeros((511, 256), np.int32)
                top(lane, code, products.ctypes.data_as(ctypes.POINTER(ctypes.c_int)))
                np.testing.assert_array_equal(products, multiplier(spec).table)
            lane += group.count
