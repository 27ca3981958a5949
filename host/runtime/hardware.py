# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The real thing: a PYNQ board with a bitstream.

Written for pynq 3 and 4 on the board; it has not run on hardware yet.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from axynq.emulator.errors import DeviceError
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.overlay.board import board_names, load_board
from axynq.host.runtime import sharing
from axynq.host.runtime.bitstream_store import find_bitstream

BOARD_FILE = Path("/proc/device-tree/chosen/pynq_board")
"""Where PYNQ images put the board's name."""

LOCK_FILE = Path(tempfile.gettempdir()) / "axynq-board.lock"
"""What processes lock whose turn it is to use the board."""


def how_to_install_pynq() -> str:
    """What to do where pynq is missing."""
    if sys.version_info >= (3, 13):
        return (
            "pynq 4.0 needs numpy 1, which Python 3.13 and newer do not have; use Python 3.10 to "
            "3.12 for the software board"
        )
    return "pip install 'axynq[software]', on a board 'axynq[board]'"


def board_present() -> bool:
    """Whether this machine is a PYNQ board."""
    try:
        import pynq.ps
    except ImportError:
        return False
    return bool(getattr(pynq.ps, "ON_TARGET", BOARD_FILE.exists()))


def board_name() -> str | None:
    """What the image calls the board it runs on, or None where it does not say."""
    given = os.environ.get("BOARD")
    if given:
        return given
    try:
        name = BOARD_FILE.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None
    return name or None


def check_board(overlay: Overlay, name: str | None) -> None:
    """That the overlay is for the board of that name, where it is a board axynq knows.

    Raises:
        DeviceError: it is for another one.
    """
    names = {load_board(board).pynq_name.lower(): board for board in board_names()}
    here = names.get((name or "").lower())
    if here is None or here == overlay.board:
        return
    fitting = [other for other in overlay_names() if Overlay.load(other).board == here]
    choice = f"for it there is {', '.join(fitting)}" if fitting else "there is no overlay for it"
    command = f"axynq build --overlay {overlay.name} --board {here} --retarget"
    raise DeviceError(
        f"overlay '{overlay.name}' is for {overlay.board}, and this is a {here}: {choice}. Or "
        f"build the same array for it: {command}"
    )


def open_board(overlay: Overlay) -> tuple[Any, Any]:
    """The board's device with the overlay's bitstream loaded, and the ``pynq.Overlay``.

    Raises:
        DeviceError: this is no board, the overlay is for another one, there is no bitstream that
            fits, or pynq cannot load it.
    """
    if not board_present():
        raise DeviceError(
            "this machine is not a PYNQ board (pynq finds no device). Run on a board, or choose "
            "the software board: --device software (in Python: device='software')"
        )
    check_board(overlay, board_name())
    bitstream = find_bitstream(overlay).bit
    import pynq

    device = pynq.Device.active_device
    turn = sharing.turn_of(device, LOCK_FILE)

    def load() -> Any:
        _mend_zynq_clock()
        _forget_metadata()
        try:
            with sharing.pynq_lock:
                sharing.activate(device)
                loaded = pynq.Overlay(str(bitstream), device=device)
                loaded.accelerator_0  # noqa: B018 - makes the driver, which looks for interrupts
        except (OSError, RuntimeError) as error:
            cure = "run as root (sudo -E)" if os.geteuid() else "see axynq doctor"
            raise DeviceError(f"pynq cannot load {bitstream}: {error}; {cure}") from error
        turn.unfinished = turn.hung = False  # loading resets the core
        return loaded

    return device, turn.take(load)  # not while another accelerator of this board is at work


class LoadGuard:
    """Notices when another process loads another bitstream.

    pynq compares within a process only; what it leaves on disk is compared here, when that changes.
    A bitstream loaded past pynq is noticed by the core: every program names the overlay it is for.
    """

    def __init__(self, loaded: Any) -> None:
        self._state = _state_file()
        self._seen: int | None = None
        bit = Path(loaded.bitfile_name)
        self._own = hashlib.sha1(bit.read_bytes()).hexdigest() if bit.is_file() else None

    def check(self) -> None:
        """Raises:
        DeviceError: another one is loaded.
        """
        if self._state is None or self._own is None:
            return
        try:
            changed = self._state.stat().st_mtime_ns
            if changed == self._seen:
                return
            content = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return  # no state, or one being written
        there = content.get("bitfile_hash")
        if there and there != self._own:
            raise DeviceError(
                f"another process has loaded {content.get('bitfile_name')}, or another accelerator "
                "of this one: open the accelerator again, and use one overlay at a time"
            )
        self._seen = changed


def _state_file() -> Path | None:
    """Where pynq notes what is loaded; on boards only."""
    if not board_present():
        return None
    try:
        server = importlib.import_module("pynq.pl_server")
    except ImportError:
        return None
    return Path(str(server.__file__)).parent / "global_pl_state_.json"


def _forget_metadata() -> None:
    """pynq keeps what it parsed, by the bit file's hash alone: with another ``.hwh`` beside the
    same ``.bit`` it would use old register addresses."""
    state = _state_file()
    if state is None:
        return
    try:
        state.with_name("_current_metadata.pkl").unlink(missing_ok=True)
    except OSError as error:
        raise DeviceError(
            f"pynq's stale metadata cannot be removed ({error}): run as root (sudo -E)"
        ) from error


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
