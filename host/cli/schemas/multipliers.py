# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""JSON of the commands about multipliers and the sources of hardware."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axynq.host.cli.schemas.base import Count, Share, Strict, Strings


class MultiplierErrors(Strict):
    """Errors of a multiplier against the exact product."""

    spec: str
    mean_relative_error: float
    """Mean of |error| / max(1, |product|), in percent."""
    mean_error: float
    mean_absolute_error: float
    worst_case_error: Count
    error_probability: Share
    standard_deviation: float
    relative_energy: float | None
    """1 being the exact multiplier's; null: not known."""
    energy_source: str | None
    source: str | None = None
    """Of a product table: where it is from."""


class Multipliers(Strict):
    """`axynq multipliers`: how wrong multipliers are."""

    schema_: Literal["axynq/multipliers/1"] = Field(alias="schema")
    families: dict[str, str]
    """How each family is written."""
    multipliers: tuple[MultiplierErrors, ...]


class Activity(Strict):
    """Switching activity over that of the exact multiplier."""

    zero_delay: float
    unit_delay: float
    """With glitches."""


class Characteristics(Strict):
    """What a multiplier's netlist takes."""

    spec: str
    luts: Count
    carry4s: Count
    levels: Count
    """LUTs and carry chains on the longest path."""
    relative: dict[str, Activity]
    """By the operands that are multiplied."""


class Characterise(Strict):
    """`axynq multipliers --characterise`: netlists of multipliers, by simulation."""

    schema_: Literal["axynq/multipliers-characterise/1"] = Field(alias="schema")
    multipliers: tuple[Characteristics, ...]
    operands: dict[str, str]
    """What is multiplied, in words."""


class Module(Strict):
    """A multiplier as Verilog. Resources that are absent are not used."""

    spec: str
    module: str
    LUT: Count | None = None
    CARRY4: Count | None = None
    DSP: Count | None = None


class Rtl(Strict):
    """`axynq rtl`: Verilog of multipliers."""

    schema_: Literal["axynq/rtl/1"] = Field(alias="schema")
    multipliers: tuple[Module, ...]
    files: Strings
    """Written into --output; empty without it."""


class EstimatePart(Strict):
    """What all instances of a part take together."""

    name: str
    basis: str
    """On what the figures rest."""
    instances: Count
    lut: float
    flip_flop: float
    block_ram_36k: float
    dsp: float
    source: str
    """Of published figures."""


class EstimateBounds(Strict):
    """An estimate, and how far it may be off."""

    low: float
    likely: float
    high: float


class RtlEstimate(Strict):
    """`axynq rtl --estimate`: resources of an overlay; no vendor's tool was run."""

    schema_: Literal["axynq/rtl-estimate/1"] = Field(alias="schema")
    overlay: str
    board: str
    parts: tuple[EstimatePart, ...]
    available: dict[str, Count]
    """What the board's device has, by resource."""
    totals: dict[str, EstimateBounds]
    """By resource."""


class Access(Strict):
    """Accesses of an array in a loop's iteration."""

    array: str
    banks: Count
    reads: Count
    writes: Count
    variable_bank: bool
    ii: Count
    """The interval that the ports of a bank allow."""
    places: Strings


class Way(Strict):
    """A recurrence: from one iteration to the next."""

    delay_ns: float
    ii: Count
    operators: Strings
    places: Strings


class Operators(Strict):
    """Operators of the same widths."""

    operands: tuple[Count, ...]
    width: Count
    count: Count
    dsps: Count
    places: Strings


class Loop(Strict):
    """A pipelined loop."""

    name: str
    function: str
    ii: Count
    """Initiation interval in clock cycles; 0: it is not pipelined."""
    depth: Count
    accesses: tuple[Access, ...]
    recurrences: tuple[Way, ...]
    dividers: Count
    divider_places: Strings
    multiplications: tuple[Operators, ...]
    multiplexers: tuple[Operators, ...]
    slow: Strings
    obstacles: Strings


class Process(Strict):
    """A call in a region."""

    name: str
    scalars: tuple[tuple[str, Count], ...]
    """Arguments that cross to it through a FIFO, with their bits."""


class Channel(Strict):
    """What processes hand over."""

    name: str
    kind: str
    writers: Strings
    readers: Strings


class Region(Strict):
    """A region whose processes run at the same time."""

    function: str
    loop: str
    processes: tuple[Process, ...]
    channels: tuple[Channel, ...]
    unstable: Strings


class RtlSchedule(Strict):
    """`axynq rtl --schedule`: the loops of an overlay; an analysis, no vendor's tool was run."""

    schema_: Literal["axynq/rtl-schedule/1"] = Field(alias="schema")
    overlay: str
    clock_ns: float
    budget_ns: float
    """What operators may fill of a period."""
    loops: tuple[Loop, ...]
    regions: tuple[Region, ...]
    problems: Strings
    """What stands against full speed."""
    costs: Strings
    """Hardware that other sources would not need."""
