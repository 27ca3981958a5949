# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""JSON of the commands that compile and run programs and measure boards."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axynq.host.cli.schemas.base import Count, Share, Strict


class DemoPlan(Strict):
    """A plan of the demonstration."""

    name: str
    plan: str
    accuracy: Share
    relative_energy: float | None
    outputs: Count
    """Values that were compared."""
    outputs_that_differ: Count
    """Between software board and emulator."""
    seconds: float


class Demo(Strict):
    """`axynq demo`: handwritten digits on the software board."""

    schema_: Literal["axynq/demo/1"] = Field(alias="schema")
    examples: Count
    overlay: str
    picture: str
    plans: tuple[DemoPlan, ...]


class Compile(Strict):
    """`axynq compile`: a compiled program."""

    schema_: Literal["axynq/compile/1"] = Field(alias="schema")
    program: str
    """The file that was written."""
    model: str
    overlay: str
    overlay_hash: str
    layers: Count
    starts_of_the_core: Count
    """For a batch."""
    host_operators: dict[str, str]
    """Operators that the host computes, and why."""
    program_bytes: Count
    feature_map_bytes_per_image: Count


class Baseline(Strict):
    """The network on the processor, by TFLite."""

    name: str
    accuracy: Share
    seconds: float
    latency_ms: float
    same_class: Share
    """Examples that both put into the same class."""


class Run(Strict):
    """`axynq run`: a program on a board or on the software board."""

    schema_: Literal["axynq/run/1"] = Field(alias="schema")
    program: str
    overlay: str
    device: str
    examples: Count
    accuracy: Share
    seconds: float
    """For all examples."""
    latency_ms: float
    """Of a single image, with the host's work; median."""
    baseline: Baseline | None = None
    """With --baseline."""


class Deploy(Strict):
    """`axynq deploy`: what `axynq run` printed on the board."""

    schema_: Literal["axynq/deploy/1"] = Field(alias="schema")
    program: str
    overlay: str
    device: str
    examples: Count
    accuracy: Share
    seconds: float
    latency_ms: float
    baseline: Baseline | None = None


class File(Strict):
    """A file beside the manifest."""

    name: str
    sha256: str


class Timing(Strict):
    """Worst slacks after routing."""

    setup_slack_ns: float
    hold_slack_ns: float


class Use(Strict):
    """Of a resource."""

    used: float
    available: Count


class Build(Strict):
    """`axynq build`: the manifest of a bitstream."""

    schema_: Literal["axynq/build/1"] = Field(alias="schema")
    manifest: str
    """Its file."""
    format: Literal["axynq-bitstream"]
    version: Literal[1]
    overlay: dict[str, Any]
    """The overlay's description."""
    overlay_hash: str
    board: str
    part: str
    clock_mhz: float
    tools: dict[str, str]
    """Versions, by tool."""
    timing: Timing
    utilisation: dict[str, Use]
    bit: File
    hwh: File
    golden: File | None
    axynq: str
    """The version that built it."""
    built: str
    """Date and time, ISO 8601, UTC."""


class Figure(Strict):
    """A mean over runs, with its interval; null: too few runs for one."""

    mean: float
    low: float | None
    high: float | None
    runs: Count


class PowerResult(Strict):
    """A contender on a power rail. Energies are joules for an inference."""

    contender: str
    rail: str
    joules: Figure
    net_joules: Figure | None
    """Above idle."""
    against_first: Figure | None
    """Net energy minus the first contender's."""
    watts: Figure
    idle_watts: Figure | None
    seconds: Figure
    """For an inference."""
    runs_left_out: Count
    """Runs with too few readings."""


class Power(Strict):
    """`axynq power`: measured energy."""

    schema_: Literal["axynq/power/1"] = Field(alias="schema")
    measured: Literal[True]
    folder: str
    device: Literal["auto", "software"] | None = None
    """What ran the programs, as --device says: with software a simulation on a PC, and the figures
    are no measurement of hardware. Absent: written by an earlier version."""
    partial: bool
    """The experiment is not complete."""
    runs: Count
    confidence: Share
    """Of the intervals."""
    results: tuple[PowerResult, ...]
    """Empty where there are no power readings yet."""


class EstimatedEnergy(Strict):
    """Joules for an inference; an estimate."""

    multiplications: float
    memory: float
    joules: float
    """Both together."""
    notes: tuple[str, ...]


class PowerEstimate(Strict):
    """`axynq power --sensor estimate`: nothing was measured."""

    schema_: Literal["axynq/power-estimate/1"] = Field(alias="schema")
    measured: Literal[False]
    assumptions_pj: dict[str, float]
    """In picojoules."""
    contenders: dict[str, EstimatedEnergy | None]
    """Null: a multiplier's energy is not known."""


class Check(Strict):
    """A check of the self-test."""

    check: str
    compared: Count
    """Values."""
    wrong: Count
    detail: str
    seconds: float
    passed: bool


class Selftest(Strict):
    """`axynq selftest`: whether an accelerator computes what it should."""

    schema_: Literal["axynq/selftest/1"] = Field(alias="schema")
    overlay: str
    overlay_hash: str
    device: str
    passed: bool
    checks: tuple[Check, ...]


class Finding(Strict):
    """One thing that was examined."""

    what: str
    state: Literal["ok", "absent", "problem"]
    detail: str
    """What was found, or what to do."""


class Doctor(Strict):
    """`axynq doctor`: what is on this machine."""

    schema_: Literal["axynq/doctor/1"] = Field(alias="schema")
    engine: str | None
    """The emulator's engine; null: none can be used, as asked for."""
    threads: Count | None
    findings: tuple[Finding, ...]
