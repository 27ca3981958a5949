# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Boards an overlay can be built for: one TOML each in ``bitstreams/boards``."""

from __future__ import annotations

from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from axynq.emulator.errors import OverlayError, nearest
from axynq.emulator.validation import complaint
from axynq.host.overlay.processing_system import PROCESSING_SYSTEMS, ProcessingSystem
from axynq.host.overlay.toml import parse_toml

DSP_BLOCKS = {"zynq-7000": "dsp48e1", "zynq-ultrascale+": "dsp48e2"}
"""By family."""


class Resources(BaseModel):
    """What the programmable logic of the part holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lut: PositiveInt
    flip_flop: PositiveInt
    block_ram_36k: PositiveInt
    dsp: PositiveInt


class Board(BaseModel):
    """A board."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pynq_name: str
    """What the board's PYNQ image calls it: ``BOARD`` in the environment, and the device tree."""
    part: str
    board_part: str
    """Vivado's name of the board preset."""
    family: Literal["zynq-7000", "zynq-ultrascale+"]
    memory_port_bits: PositiveInt
    """Width of the high-performance ports between logic and memory."""
    memory_megabytes_per_second: PositiveInt
    """What the memory sustains for long bursts, over all ports together, for the cycle model."""
    resources: Resources

    @model_validator(mode="after")
    def _consistent(self) -> Board:
        widths = self.processing_system.memory_widths
        if self.memory_port_bits not in widths:
            known = ", ".join(map(str, widths))
            raise ValueError(f"memory_port_bits of {self.family} must be one of {known}")
        return self

    @property
    def processing_system(self) -> ProcessingSystem:
        return PROCESSING_SYSTEMS[self.family]

    @property
    def dsp_block(self) -> str:
        """The DSP block of the family."""
        return DSP_BLOCKS[self.family]


def board_names() -> list[str]:
    """Names of the boards known."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _folder().iterdir() if ".toml" in entry.name
    )


def load_board(name: str) -> Board:
    """The board of that name.

    Raises:
        OverlayError: there is none, or its description is invalid.
    """
    entry = _folder() / f"{name}.toml"
    if name not in board_names():
        raise OverlayError(
            f"unknown board '{name}'; known are: {', '.join(board_names())}."
            f"{nearest(name, board_names())}"
        )
    return read_board(entry.read_text(encoding="utf-8"), name)


def read_board(text: str, name: str) -> Board:
    """The board that a TOML text describes; ``name`` is used in the error.

    Raises:
        OverlayError: the description is invalid.
    """
    try:
        return Board.model_validate(parse_toml(text, f"{name}.toml"))
    except ValidationError as error:
        raise OverlayError(f"board '{name}' is not valid: {complaint(error)}") from error


def _folder() -> resources.abc.Traversable:
    return resources.files("axynq.bitstreams") / "boards"
