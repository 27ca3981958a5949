# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The native kernel: compiled at first use, for the instructions this processor has."""

from __future__ import annotations

import ctypes
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from axynq.emulator.engine import abi
from axynq.emulator.engine.recipe import Costs
from axynq.emulator.errors import ToolError
from axynq.emulator.toolchain import load_library, processor_lines, shared_library

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
    """Measured on a processor of the kind, in cycles, and for ARM estimated by the numbers of
    instructions: where it would take too long to measure them
    here, these must do (module ``calibration``)."""


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
        Costs(0.55, 7.0, 1.2, 3.8, True, tile_term=0.13, plane=4.0),
    ),
    Variant("avx512", _AVX512, _AVX512_NEEDS, Costs(0.6, 4.0, 1.2, 2.5, True, plane=7.0)),
    Variant(
        "avxvnni",
        ("-mavx2", "-mfma", "-mavxvnni"),
        frozenset({"avx2", "fma", "avx_vnni"}),
        Costs(1.0, 35.0, 2.3, plane=60.0),
    ),
    Variant(
        "avx2",
        ("-mavx2", "-mfma"),
        frozenset({"avx2", "fma"}),
        Costs(1.0, 12.0, 0.75, narrow_term=0.7, plane=20.0),
    ),
    Variant(
        "neoni8mm",
        ("-march=armv8.2-a+dotprod+i8mm",),
        frozenset({"asimd", "asimddp", "i8mm"}),
        Costs(1.0, 12.0, 2.5, plane=8.0),
    ),
    Variant(
        "neondot",
        ("-march=armv8.2-a+dotprod",),
        frozenset({"asimd", "asimddp"}),
        Costs(1.0, 12.0, 2.5, plane=8.0),
    ),
    Variant("neon", (), frozenset({"asimd"}), Costs(1.0, 3.0, 0.6, plane=2.0)),
    Variant("neon32", ("-mfpu=neon",), frozenset({"neon"}), Costs(1.0, 6.0, 0.5, plane=7.0)),
    Variant("generic", (), frozenset(), Costs(1.0, 4.0, plane=10.0)),
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
    if platform.machine().lower().startswith(("arm", "aarch64")):
        return _arm_features()
    line = next((line for line in processor_lines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


_ARM_FEATURES = {
    4: {"neon": (16, 12)},
    8: {"asimd": (16, 1), "asimddp": (16, 20), "i8mm": (26, 13)},
}
"""By the size of addresses: entry of Linux's auxiliary vector (AT_HWCAP, AT_HWCAP2), and bit."""


def _arm_features() -> frozenset[str]:
    """What Linux tells this process. /proc/cpuinfo may tell a process of 32 bits what processes of
    64 have, or, where the processor is emulated, what the machine beneath has."""
    try:
        entry = ctypes.CDLL(None).getauxval
    except (AttributeError, OSError, TypeError):  # not Linux
        return frozenset()
    entry.restype, entry.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    known = _ARM_FEATURES[ctypes.sizeof(ctypes.c_void_p)]
    return frozenset(name for name, (key, bit) in known.items() if entry(key) >> bit & 1)


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
    library.axynq_scratch_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    library.axynq_run_network.restype = ctypes.c_int
    library.axynq_run_network.argtypes = [
        *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int)
    ]
    library.axynq_reals.restype = None
    library.axynq_reals.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    library.axynq_real_factors.restype = None
    library.axynq_real_factors.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    ]
    library.axynq_seconds.restype = ctypes.c_double
    library.axynq_seconds.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.axynq_flushes.restype = None
    library.axynq_flushes.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    ]
    return Kernel(variant, library, path)
