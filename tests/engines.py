# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The engines that can be compared here."""

from __future__ import annotations

import importlib.util

from axynq.emulator.engine.kernel import supported_variants


def _with_torch() -> list[str]:
    """Those that need PyTorch, where it is."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    torch.set_num_threads(1)  # tests run beside each other
    return ["torch", "cuda"] if torch.cuda.is_available() else ["torch"]


ENGINES = [*(variant.name for variant in supported_variants()), "portable", *_with_torch()]
