"""The netlists that ship in ``hls/rtl``, and the files of any other."""

from __future__ import annotations

from pathlib import Path

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import SMAPPROX_TABLE_2
from axynq.host.netlists.blackbox import BlackboxFiles, blackbox, configurable_blackbox
from axynq.host.netlists.designs import unsigned_netlist
from axynq.host.netlists.netlist import Netlist
from axynq.host.netlists.verilog import verilog

SEPARATOR = "|"
"""Between the multipliers of a configurable cell."""

UNSIGNED = "unsigned:"
"""Before the digits of an SMApprox multiplier of magnitudes."""

SHIPPED = (
    "exact",
    "roup:0,4",
    "roup:1,4",
    "roup:2,6",
    "exact|roup:1,4",
    "exact|roup:0,4|roup:1,4|roup:2,6",
    *(f"smapprox:{digits}" for digits in SMAPPROX_TABLE_2),
    *(f"{UNSIGNED}smapprox:{digits}" for digits in SMAPPROX_TABLE_2),
)
"""What is generated when nothing is named."""


def rtl_files(
    name: str, include: str = "../include", folder: Path | None = None
) -> tuple[Netlist, dict[str, str]]:
    """The netlist that ``name`` stands for, and its files by file name.

    Args:
        name: a multiplier; several with ``|`` between them for one configurable cell; or
            ``unsigned:smapprox:WXYZ`` for the multiplier of magnitudes, Verilog only.
        include: where the C models find the HLS headers.
        folder: where the files will be, if blackbox descriptions shall name them by full paths.

    Raises:
        MultiplierError: the name is malformed, or something named has no netlist.
    """
    if name.startswith(UNSIGNED):
        family, _, digits = name.removeprefix(UNSIGNED).partition(":")
        if family != "smapprox":
            raise MultiplierError(
                f"'{name}': only smapprox multiplies magnitudes; write {UNSIGNED}smapprox:WXYZ"
            )
        circuit = unsigned_netlist(digits)
        return circuit, {f"{circuit.name}.v": verilog(circuit)}
    made: BlackboxFiles
    if SEPARATOR in name:
        made = configurable_blackbox(name.split(SEPARATOR), include, folder)
    else:
        made = blackbox(name, include, folder)
    return made.netlist, made.files
