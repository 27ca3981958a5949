"""The real thing: a PYNQ board with a bitstream.

Written for pynq on the board; it has not run on hardware yet.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from axynq.emulator.errors import DeviceError
from axynq.host.overlay import Overlay


def board_present() -> bool:
    """Whether this machine is a PYNQ board."""
    try:
        import pynq.ps
    except ImportError:
        return False
    return bool(pynq.ps.ON_TARGET)


def open_board(overlay: Overlay) -> tuple[Any, Any]:
    """The board's device with the overlay's bitstream loaded, and the ``pynq.Overlay``.

    Raises:
        DeviceError: this is no board, or there is no bitstream for it.
    """
    if not board_present():
        raise DeviceError(
            "this machine is not a PYNQ board (pynq finds no device). Run on a board, or choose "
            "the software board: device='software', --device software"
        )
    bitstream = resources.files("axynq.bitstreams") / "built" / f"{overlay.name}.bit"
    if not bitstream.is_file():
        raise DeviceError(
            f"there is no bitstream for overlay '{overlay.name}' yet: none has been built"
        )
    import pynq

    _mend_zynq_clock()
    device = pynq.Device.active_device
    with resources.as_file(bitstream) as path:
        return device, pynq.Overlay(str(path), device=device)


def _mend_zynq_clock() -> None:
    """pynq 4.0 with pynqmetadata 0.2.0 finds no clock frequency on Zynq-7000, and ``Overlay()``
    then fails: the parameter has another name there."""
    try:
        from pynqmetadata.models.zynq_proc_sys_core import ZynqProcSysCore
    except ImportError:
        return  # pynq 3 reads the hand-off itself
    ZynqProcSysCore.clk_freq_param_name = lambda self, index: (
        f"PCW_ACT_FPGA{index}_PERIPHERAL_FREQMHZ"
    )
