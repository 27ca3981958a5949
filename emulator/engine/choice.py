# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which engine computes: the fastest native kernel that can be had, or numpy, or, where it is asked
for by name, a GPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NamedTuple, Protocol

from axynq.emulator.engine.blocks import Blocks
from axynq.emulator.engine.kernel import VARIANTS, Kernel, load_kernel, supported_variants
from axynq.emulator.engine.network import NativeNetwork
from axynq.emulator.engine.portable import PortableNetwork
from axynq.emulator.errors import ToolError
from axynq.emulator.model import graph
from axynq.emulator.plan import LayerCodes

PORTABLE = "portable"

CUDA, TORCH = "cuda", "torch"
"""The engine of folder ``gpu`` on a GPU, and on the processor."""

ENGINES = ("auto", *(variant.name for variant in VARIANTS), PORTABLE, CUDA, TORCH)
"""What can be asked for, by argument or by the environment variable AXYNQ_ENGINE."""


class Engine(Protocol):
    """A network under a plan, ready to run on int8 batches."""

    def run(self, x: Sequence[graph.Int8Array]) -> tuple[graph.Int8Array, ...]:
        """The network's outputs for its inputs, [images, *shape] each, in the network's order."""

    def run_blocks(self, x: Blocks) -> Blocks:
        """The only output for the only input, in the engine's own order."""

    def tensors(self, x: Sequence[graph.Int8Array]) -> dict[int, graph.Int8Array]:
        """Every tensor that is given or computed, by its index, [images, *shape]."""

    def accumulators(
        self, x: Sequence[graph.Int8Array]
    ) -> dict[str, tuple[graph.Int32Array, graph.Int32Array]]:
        """Approximate and exact accumulators by layer."""


class Choice(NamedTuple):
    """The engine chosen."""

    name: str
    kernel: Kernel | None
    """None: no native one."""
    reason: str
    """Why, where it is not the fastest."""


def choose_engine(asked: str = "auto") -> Choice:
    """The engine for ``asked``, one of :data:`ENGINES`.

    ``auto`` takes the environment variable AXYNQ_ENGINE, else the fastest kernel that this
    processor can run and the compiler builds; where there is none, numpy computes, and the reason
    is kept.

    Raises:
        ToolError: an engine was asked for by name and cannot be had.
    """
    if asked == "auto":
        asked = os.environ.get("AXYNQ_ENGINE", "auto")
    if asked == PORTABLE:
        return Choice(PORTABLE, None, "asked for")
    if asked in (CUDA, TORCH):
        _gpu().device_of(asked)
        return Choice(asked, None, "asked for")
    if asked != "auto":
        return Choice(asked, load_kernel(asked), "asked for")
    reasons: list[str] = []
    for variant in supported_variants():
        try:
            return Choice(variant.name, load_kernel(variant.name), "".join(reasons[:1]))
        except (ToolError, OSError) as error:  # a compiler that is too old for the fastest, say
            reasons.append(str(error))
    return Choice(PORTABLE, None, reasons[0])


def gpu_name() -> str:
    """The GPU that engine ``cuda`` would compute on.

    Raises:
        ToolError: there is none, or PyTorch or Triton is not installed.
    """
    return _gpu().device_name(_gpu().device_of(CUDA))


def _gpu() -> ModuleType:
    """Module ``gpu.device``, which needs PyTorch.

    Raises:
        ToolError: PyTorch is not installed.
    """
    try:
        from axynq.emulator.engine.gpu import device
    except ImportError as error:
        raise ToolError(
            f"engines 'cuda' and 'torch' need PyTorch: pip install 'axynq[gpu]' ({error})"
        ) from error
    return device


def make_engine(
    model: graph.Model, codes: Mapping[str, LayerCodes], choice: Choice, threads: int
) -> Engine:
    """The network on the chosen engine."""
    if choice.name in (CUDA, TORCH):
        from axynq.emulator.engine.gpu.network import DeviceNetwork

        return DeviceNetwork(model, codes, _gpu().device_of(choice.name))
    if choice.kernel is None:
        if choice.reason != "asked for":
            warnings.warn(
                f"the emulator's fast kernel is not available: {choice.reason}. "
                "Computing with numpy, which is slower; the results are the same",
                RuntimeWarning,
                stacklevel=3,
            )
        return PortableNetwork(model, codes)
    return NativeNetwork(model, codes, choice.kernel, threads)


MOST_THREADS = 1024
"""More can be asked for by mistake only. Where none are asked for, there may be more cores."""


def thread_count(asked: int | None = None) -> int:
    """Threads to use: as asked, else AXYNQ_THREADS, else every core this process may use.

    Raises:
        ToolError: the number is not positive, or larger than :data:`MOST_THREADS`.
    """
    if asked is None:
        given = os.environ.get("AXYNQ_THREADS")
        if given is None:
            try:
                return len(os.sched_getaffinity(0))
            except AttributeError:  # not on Linux
                return os.cpu_count() or 1
        asked = int(given) if given.isdecimal() and len(given) < 10 else 0
    if not 1 <= asked <= MOST_THREADS:
        raise ToolError(
            "the number of threads (AXYNQ_THREADS) must be a positive integer, "
            f"{MOST_THREADS} at most"
        )
    return asked
