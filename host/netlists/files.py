# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The multipliers that ship in ``hls/rtl``, and the files of any other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers import SMAPPROX_TABLE_2, split_multipliers
from axynq.host.netlists.blackbox import BlackboxFiles, blackbox, configurable_blackbox
from axynq.host.netlists.designs import unsigned_netlist
from axynq.host.netlists.dsp_pair import dsp_pair
from axynq.host.netlists.verilog import verilog
from axynq.host.overlay.board import DSP_BLOCKS
from axynq.host.overlay.naming import DSP_PAIR_PREFIX, dsp_pair_name

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
    *map(dsp_pair_name, DSP_BLOCKS.values()),
)
"""What is generated when nothing is named."""


class RtlFiles(NamedTuple):
    """What a name stands for."""

    module: str
    """The Verilog module that computes."""
    resources: dict[str, int]
    """``LUT``, ``CARRY4`` and ``DSP``."""
    files: dict[str, str]
    """Contents by file name."""


def rtl_files(name: str, include: str = "../include", folder: Path | None = None) -> RtlFiles:
    """The Verilog that ``name`` stands for, as a blackbox where it can be one.

    Args:
        name: a multiplier; several with ``|`` between them for one configurable cell;
            ``unsigned:smapprox:WXYZ`` for the multiplier of magnitudes, Verilog only; or
            ``dsp-pair:dsp48e1`` or ``dsp-pair:dsp48e2`` for two exact products in a DSP block.
        include: where the C models find the HLS headers.
        folder: where the files will be, if blackbox descriptions shall name them by full paths.

    Raises:
        MultiplierError: the name is malformed, or something named has no Verilog.
    """
    if name.startswith(UNSIGNED):
        family, _, digits = name.removeprefix(UNSIGNED).partition(":")
        if family != "smapprox":
            raise MultiplierError(
                f"'{name}': only smapprox multiplies magnitudes; write {UNSIGNED}smapprox:WXYZ"
            )
        circuit = unsigned_netlist(digits)
        files = {f"{circuit.name}.v": verilog(circuit)}
        return RtlFiles(circuit.name, {**circuit.resources(), "DSP": 0}, files)
    made: BlackboxFiles
    if name.startswith(DSP_PAIR_PREFIX):
        made = dsp_pair(name, include, folder)
    elif len(specs := split_multipliers(name)) > 1:
        made = configurable_blackbox(specs, include, folder)
    else:
        made = blackbox(name, include, folder)
    resources = {kind: made.resources[kind] for kind in ("LUT", "CARRY4", "DSP")}
    return RtlFiles(made.module, resources, made.files)
