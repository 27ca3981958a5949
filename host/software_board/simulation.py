# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The accelerator's C++ sources compiled by g++: the C simulation.

The library is built at first use for each overlay and kept in the user's cache folder.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DeviceError, ToolError
from axynq.emulator.multipliers import ACTIVATION_MIN, Table
from axynq.emulator.toolchain import load_library, shared_library
from axynq.host.counters import COUNTERS
from axynq.host.generate.overlay_files import overlay_headers
from axynq.host.overlay import Overlay
from axynq.host.overlay.circuits import check_products

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_FLAGS = ("-std=c++14", "-O2", "-DAXYNQ_SIMULATION", "-Wno-unknown-pragmas")


class Memory(NamedTuple):
    """Memory behind one of the accelerator's ports."""

    pointer: int
    """Address in this process."""
    size: int
    """Bytes."""
    address: int
    """Address the accelerator knows it by."""


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("memory", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
    )


class Simulation:
    """The compiled accelerator of one overlay.

    Raises:
        ToolError: g++ or the ap_types headers are missing, or the sources do not compile.
        MultiplierError: a table is not in C++ what it is in the emulator.
    """

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.status = ctypes.c_uint32(0)
        self.progress = ctypes.c_uint32(0)
        self.counts = (ctypes.c_uint64 * len(COUNTERS))()
        self._buffers: list[_Buffer] = []
        self._library = load_library(build(overlay))
        self._library.axynq_overlay_id.restype = ctypes.c_uint32
        if self._library.axynq_counters() != len(COUNTERS):
            raise DeviceError("the compiled accelerator counts other things than axynq expects")
        self._check_tables()

    def _check_tables(self) -> None:
        """That the users' multipliers are in C++ what they are in the emulator."""
        checked: set[str] = set()
        for lane, bank in enumerate(self.overlay.banks):
            for code, m in enumerate(bank):
                if isinstance(m, Table) and m.spec not in checked:
                    checked.add(m.spec)
                    low, high = (bound - ACTIVATION_MIN for bound in m.activation_range)
                    made = self.products(lane, code)[low : high + 1].reshape(-1)
                    check_products(m, made.astype(np.int64), "its C++")

    def run(self, commands: Memory, source: Memory, destination: Memory, images: int) -> None:
        """One start of the accelerator; leaves ``status``, ``progress`` and ``counts``.

        Raises:
            DeviceError: it accessed memory outside the buffer behind a port.
        """
        message = ctypes.create_string_buffer(256)
        buffers = [
            _Buffer(memory.pointer, memory.size, memory.address)
            for memory in (commands, source, destination)
        ]
        self._buffers = buffers
        failed = self._library.axynq_run(
            *(ctypes.byref(buffer) for buffer in buffers),
            ctypes.c_uint32(images),
            ctypes.byref(self.status),
            ctypes.byref(self.progress),
            self.counts,
            message,
            len(message),
        )
        if failed:
            raise DeviceError(message.value.decode())

    def stop(self) -> None:
        """Let a run in another thread end at its next access to memory, which then is an error."""
        for buffer in self._buffers:
            buffer.bytes = 0

    def counters(self) -> dict[str, int]:
        """What the loops of the last run did."""
        return dict(zip(COUNTERS, self.counts))

    def products(self, lane: int, code: int) -> npt.NDArray[np.int32]:
        """All products of one multiplier of a lane's bank, from the C++ that becomes hardware:
        int32 [511, 256], indexed as :attr:`Multiplier.table`."""
        products = np.zeros((511, 256), np.int32)
        if self._library.axynq_products(lane, code, products.ctypes.data_as(ctypes.c_void_p)):
            raise DeviceError(f"lane {lane} has no multiplier with code {code}")
        return products


def build(overlay: Overlay) -> Path:
    """The shared library of the C simulation, compiled unless it is in the cache.

    The accelerator and the interface to it are one translation unit, so that the ap_types headers
    are read once: two take a fifth longer.
    """
    ap_types = ap_types_folder()
    with resources.as_file(_sources()) as hls:
        accelerator = hls / "src" / "accelerator.cpp"
        return shared_library(
            f"software-board-{overlay.name}",
            [hls / "simulation" / "simulation.cpp"],
            _FLAGS,
            depends=[
                accelerator,
                *hls.glob("include/**/*.hpp"),
                *hls.glob("src/*.hpp"),
                *ap_types.glob("**/*.h"),
            ],
            folders=[
                "-isystem",
                str(ap_types),
                f"-I{hls / 'include'}",
                "-include",
                str(accelerator),
            ],
            generated=overlay_headers(overlay),
        )


def _sources() -> Traversable:
    """The accelerator's C++ sources."""
    return resources.files("axynq.hls")


def ap_types_folder() -> Path:
    """The folder with ``ap_int.h``: ``AXYNQ_AP_TYPES``, or the open headers hls4ml carries.

    Raises:
        ToolError: there is neither.
    """
    given = os.environ.get("AXYNQ_AP_TYPES")
    if given:
        if not (Path(given) / "ap_int.h").is_file():
            raise ToolError(f"AXYNQ_AP_TYPES={given} has no ap_int.h")
        return Path(given)
    found = importlib.util.find_spec("hls4ml")  # not imported: that takes seconds
    if found is None or found.origin is None:
        raise ToolError(
            "the software board needs the ap_types headers that hls4ml carries: "
            "pip install 'axynq[software]', or set AXYNQ_AP_TYPES to a folder with ap_int.h"
        )
    return Path(found.origin).parent / "templates" / "vivado" / "ap_types"
