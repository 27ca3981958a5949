"""The host side: compile a network under a plan for an overlay, and run it on a device.

>>> from axynq.host import Accelerator, compile_program
>>> program = compile_program(model, plan, "z2-mixed16")
>>> with Accelerator("z2-mixed16", device="software") as accelerator:
...     output = accelerator.run(program, images)
"""

from axynq.host.accelerator import Accelerator
from axynq.host.compiler import compile_program
from axynq.host.overlay import Overlay
from axynq.host.program import Program

__all__ = ["Accelerator", "Overlay", "Program", "compile_program"]
