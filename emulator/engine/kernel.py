"""The native kernel: compiled at first use, for the instructions this processor has."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from axynq.emulator.engine import abi
from axynq.emulator.engine.recipe import Costs
from axynq.emulator.errors import ToolError
from axynq.emulator.toolchain import load_library, shared_library

# Sums are modulo 2**32, which C++ leaves undefined without -fwrapv.
FLAGS = ("-std=c++17", "-O3", "-pthread", "-fwrapv")


@dataclass(frozen=True)
class Variant:
    """A way to compile the kernel: for an instruction set, the header of the same name in
    ``native/``."""

    name: str
    flags: tuple[str, ...]
    needs: frozenset[str]
    """Processor features, by the names of /proc/cpuinfo."""
    costs: Costs
    """Measured: on Intel's Sapphire Rapids for AMX, AMD Zen 4 for AVX-512 (but half look-ups), and
    Zen 3 for AVX2; only their ratios matter."""


_AVX512 = (
    *("-mprefer-vector-width=512", "-mavx512f", "-mavx512bw"),
    *("-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx512vbmi"),
)
_AVX512_NEEDS = frozenset(
    {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512vbmi"}
)

VARIANTS = (
    Variant(
        "amx",
        (*_AVX512, "-mamx-tile", "-mamx-int8"),
        _AVX512_NEEDS | {"amx_tile", "amx_int8"},
        Costs(term=1.3, lookup=13.0, half_lookup=4.4, tile_term=0.6),
    ),
    Variant("avx512", _AVX512, _AVX512_NEEDS, Costs(1.3, 4.5, 2.0)),
    Variant("avx2", ("-mavx2",), frozenset({"avx2"}), Costs(1.0, 12.0, 1.1)),
    Variant("generic", (), frozenset(), Costs(1.0, 4.0)),
)
"""From fastest to slowest."""


@dataclass(frozen=True)
class Kernel:
    """A compiled variant."""

    variant: Variant
    library: ctypes.CDLL
    path: Path


def supported_variants() -> tuple[Variant, ...]:
    """The variants this processor can run, fastest first."""
    features = processor_features()
    if not _AMX_FEATURES.isdisjoint(features) and not _may_use_tiles():
        features -= _AMX_FEATURES
    return tuple(variant for variant in VARIANTS if variant.needs <= features)


_AMX_FEATURES = frozenset({"amx_tile", "amx_int8"})


@cache
def _may_use_tiles() -> bool:
    """Ask Linux for the tile registers, once for the process: their state is large, and threads
    get it only on demand."""
    arch_prctl, request, tile_data = 158, 0x1023, 18
    if sys.platform != "linux":
        return False
    return ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0


def processor_features() -> frozenset[str]:
    """Instruction sets of this processor, by the names of /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


@cache
def load_kernel(name: str) -> Kernel:
    """The compiled kernel of a variant.

    Raises:
        ToolError: there is no such variant, this processor cannot run it, or it cannot be built.
    """
    variant = next((v for v in VARIANTS if v.name == name), None)
    if variant is None:
        known = ", ".join(v.name for v in VARIANTS)
        raise ToolError(f"there is no kernel '{name}'; there are: {known}, portable, cuda, torch")
    if variant not in supported_variants():
        missing = ", ".join(sorted(variant.needs - processor_features()))
        raise ToolError(f"this processor cannot run the kernel '{name}': it lacks {missing}")
    with resources.as_file(resources.files("axynq.emulator") / "engine" / "native") as folder:
        path = shared_library(
            f"emulator-{name}",
            [folder / "network.cpp"],
            [*FLAGS, f"-DAXYNQ_INSTRUCTIONS={name}", *variant.flags],
            list(folder.glob("*.hpp")),
            ["-I", str(folder)],
            {"mirror.hpp": abi.checks()},
        )
        library = load_library(path)
    library.axynq_scratch_bytes.restype = ctypes.c_int64
    library.axynq_scratch_bytes.argtypes = [ctypes.c_void_p]
    library.axynq_run_network.restype = ctypes.c_int
    library.axynq_run_network.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    library.axynq_real_factors.restype = None
    library.axynq_real_factors.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    ]
    library.axynq_flushes.restype = None
    library.axynq_flushes.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    ]
    return Kernel(variant, library, path)
