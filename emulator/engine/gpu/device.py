# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where the engine computes, and with which kernels."""

from __future__ import annotations

import importlib.util
import os
from typing import cast

import torch

from axynq.emulator.engine.gpu import plain
from axynq.emulator.engine.gpu.operators import Kernels
from axynq.emulator.errors import ToolError

CAPABILITY = (8, 0)
"""From where on matrix units multiply bytes as Triton has it."""


def device_of(engine: str) -> torch.device:
    """The processor for engine ``torch``, PyTorch's current GPU for ``cuda``.

    Raises:
        ToolError: PyTorch sees no GPU or an old one, or Triton is not installed.
    """
    if engine == "torch":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "has no CUDA"
        raise ToolError(
            f"engine 'cuda' needs a CUDA GPU, and PyTorch sees none here (PyTorch "
            f"{torch.__version__} {built}); engine 'auto' computes the same on the processor"
        )
    if importlib.util.find_spec("triton") is None:
        raise ToolError("engine 'cuda' needs Triton: pip install 'axynq[gpu]'")
    capability = torch.cuda.get_device_capability()
    if capability < CAPABILITY:
        raise ToolError(
            f"engine 'cuda' needs a GPU of compute capability {_dotted(CAPABILITY)} or more, and "
            f"{torch.cuda.get_device_name()} has {_dotted(capability)}; engine 'auto' computes the "
            "same on the processor"
        )
    return torch.device("cuda", torch.cuda.current_device())


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def device_name(device: torch.device) -> str:
    """What a GPU calls itself, and with which software it is used."""
    name = torch.cuda.get_device_name(device)
    return f"{name}; PyTorch {torch.__version__}"


def computes_on(device: torch.device) -> bool:
    """Whether this engine is to compute where PyTorch trains: on a GPU, unless AXYNQ_ENGINE names
    another engine or Triton is not installed; on the processor, if AXYNQ_ENGINE is ``torch``."""
    asked = os.environ.get("AXYNQ_ENGINE", "auto")
    if device.type == "cuda":
        return asked in ("auto", "cuda") and importlib.util.find_spec("triton") is not None
    return device.type == "cpu" and asked == "torch"


def kernels_for(device: torch.device) -> Kernels:
    """Triton's kernels on a GPU, and where Triton is to be interpreted; otherwise PyTorch's."""
    if device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1":
        from axynq.emulator.engine.gpu import kernels

        return cast(Kernels, kernels)
    return cast(Kernels, plain)
