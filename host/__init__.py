# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compile a network under a plan for an overlay, and run it on a board or the software board.

>>> from axynq.host import Accelerator, compile_program
>>> program = compile_program(model, plan, "z2-mixed16")
>>> with Accelerator("z2-mixed16", device="software") as accelerator:
...     output = accelerator.run(program, images)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axynq.emulator import __version__
    from axynq.host.compiler.compilation import compile_program
    from axynq.host.design.designer import design_overlay
    from axynq.host.overlay import Overlay
    from axynq.host.runtime.accelerator import Accelerator
    from axynq.host.runtime.program import Program

__all__ = ["Accelerator", "Overlay", "Program", "__version__", "compile_program", "design_overlay"]

_MODULES = {
    "Accelerator": "axynq.host.runtime.accelerator",
    "Overlay": "axynq.host.overlay",
    "Program": "axynq.host.runtime.program",
    "compile_program": "axynq.host.compiler",
    "design_overlay": "axynq.host.design.designer",
    "__version__": "axynq.emulator",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line starts fast and reacts to Ctrl-C at once."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)
