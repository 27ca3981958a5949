# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Cycles of a compiled program: a model of the hardware, not a measurement.

Iterations, words and bursts are exact (module ``loops``). How long they take rests on
:class:`Timing`, which states what is assumed of the pipelines and of the memory, and on what
sources.

A phase is a call of a dataflow region: four processes start together, and the next phase starts
when all have ended. The process that computes runs its loop once for each tile and pass; a run
takes as long as its iterations, or as the memory ports and the memory behind them need for the
words that are moved meanwhile, whichever is longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from axynq.host import isa
from axynq.host.counters import Counts
from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay
from axynq.host.overlay.memory_access import BURST_BEATS, LATENCY_CYCLES
from axynq.host.performance.loops import (
    Call,
    Run,
    Sizes,
    call_counts,
    calls,
    first_counts,
    first_runs,
    nonzero_weights,
    runs,
    stage_phases,
)
from axynq.host.performance.schedules import loop_figures
from axynq.host.runtime.program import Program

Bound = Literal["compute", "load", "store", "memory", "start-up"]


@dataclass(frozen=True)
class Timing:
    """Assumptions, in cycles of the overlay's clock unless stated otherwise.

    Every labelled loop starts an iteration a cycle (initiation interval 1), which synthesis has to
    confirm. UG585 is the reference manual of Zynq-7000, UG1399 the user guide of Vitis HLS.
    """

    multiply_fill: int | None = None
    """Depth of the multiplication loop: addresses, operands, multipliers, adder tree, requantisers
    and the addition behind them. A pipelined loop takes its iterations and its depth (UG1399,
    Pipelining Loops); the next run starts when the last iteration has left. Default: what the
    analysis of the sources says of the overlay (``schedules.json``), or 45."""
    run_cycles: int = 10
    """From a run to the next: the loop is left, the next tile's first addresses are multiplied, the
    loop is entered."""
    region_cycles: int = 8
    """Start and end of a dataflow region: all processes get their start at once and the region is
    done when the last is (UG1399, Dataflow), a cycle or two each for start, first state, last state
    and done."""
    decode_cycles: int = 20
    """From a descriptor's last integer to the call of its phase, besides a cycle for each row of
    the memory that it waits in: checksum, checks, and the places of four maps, which one
    multiplier computes one after the other."""
    prologue_cycles: int = 12
    """What the process that computes sets up from the descriptor before its first run."""
    scheduled_read_cycles: int = LATENCY_CYCLES
    """A read is scheduled so many cycles after its request (``latency`` of the port, which UG1399
    has default to 64): it never comes earlier, and stalls the pipeline where it comes later."""
    read_nanoseconds: float = 300.0
    """From a request to its first word, through the core's adapter and the interconnect. Measured
    on a PYNQ-Z2 at 100 MHz, while the processor used the memory too: 37 to 39 cycles on average,
    85 at most, from a request to the last of 16 beats of 64 bits, one burst at a time
    (github.com/ammrat13/pynqz2-ram-tester): 210 to 230 ns to the first. The rest is the way to
    the port."""
    write_nanoseconds: float = 300.0
    """From the last word of a burst to its response. Assumed to be like a read: the ports store a
    burst and forward it (UG585, 5.3, AXI_HP interfaces)."""
    port_fill: int = 8
    """Depth of the loops that move words, besides the memory's latency."""
    store_run_cycles: int = 8
    """From a run of consecutive words that is stored to the next: request, and the loop entered
    and left. Responses are waited for four bursts later."""
    burst_beats: int = BURST_BEATS
    """The most that the ports take (AXI3, UG585), and the default of UG1399."""
    burst_gap: float = 0.5
    """Cycles between bursts. UG585 (22.4) suggests 1200 MB/s for a port that has 1200 MB/s at
    150 MHz; its table of efficiencies has 97 % for sequential reads of 16 beats, 90 % for
    writes."""


class _Machine(NamedTuple):
    """An overlay under assumptions, in cycles."""

    sizes: Sizes
    timing: Timing
    word: float
    """For a word on a port, gaps between bursts included."""
    memory_word: float
    """For a word in the memory behind all ports."""
    read: int
    """From the request of consecutive words to the first."""
    write: int
    """From the last word to the response."""
    fill: int
    """Depth of the multiplication loop."""

    @classmethod
    def of(cls, overlay: Overlay, timing: Timing) -> _Machine:
        sizes = Sizes.of(overlay)
        read = _cycles(timing.read_nanoseconds, overlay)
        return cls(
            sizes,
            timing,
            sizes.beats * (1 + timing.burst_gap / timing.burst_beats),
            overlay.array.inputs / bytes_per_cycle(overlay),
            max(read, timing.scheduled_read_cycles) + timing.port_fill,
            _cycles(timing.write_nanoseconds, overlay) + timing.port_fill,
            _multiply_fill(overlay, timing),
        )


UNKNOWN_DEPTH = 45
"""Of the multiplication loop of an overlay that was not analysed: more than any that was."""


def _multiply_fill(overlay: Overlay, timing: Timing) -> int:
    if timing.multiply_fill is not None:
        return timing.multiply_fill
    figures = loop_figures(overlay)
    return figures["MULTIPLY"].depth if figures else UNKNOWN_DEPTH


def _cycles(nanoseconds: float, overlay: Overlay) -> int:
    return round(nanoseconds * overlay.clock_mhz / 1000)


# --- one phase ------------------------------------------------------------------------------------


class PhaseCycles(NamedTuple):
    """A call of a phase."""

    cycles: int
    compute: int
    """Cycles of the runs in which the lanes compute, were there nothing to wait for."""
    load: int
    """Cycles in which the port is busy."""
    store: int
    memory: int
    """What all words take in the memory behind all ports."""
    start_up: int
    """Cycles in which the lanes compute nothing: descriptor, start and end of the region, first
    load and last store, waiting for the next set."""


def phase_cycles(call: Call, overlay: Overlay, timing: Timing | None = None) -> PhaseCycles:
    """Cycles of a phase, each time that it runs."""
    return _phase_cycles(call, _Machine.of(overlay, timing or Timing()))


def _phase_cycles(call: Call, machine: _Machine) -> PhaseCycles:
    timing, sizes = machine.timing, machine.sizes
    around = isa.RECORD_INTEGERS // isa.CHECKSUM_COLUMNS + timing.decode_cycles
    around += timing.region_cycles + timing.prologue_cycles
    around_run = machine.fill + timing.run_cycles
    looped = compute = computing = load = store = memory = fetch = 0.0
    for run in runs(call, sizes):
        parts = _run_cycles(run, machine)
        taken = max(run.steps, *parts) + around_run
        looped += run.times * taken
        load += run.times * parts.load
        store += run.times * parts.store
        memory += run.times * parts.memory
        fetch += run.times * parts.fetch
        if run.compute_steps:
            compute += run.times * (run.compute_steps + around_run)
            # What goes on longer than the lanes and the maps need is for the next pass's weights.
            needed = max(
                run.compute_steps,
                run.load_words * call.phase.incoming_pace,
                run.store_words * call.phase.outgoing_pace,
            )
            computing += run.times * (taken - run.steps + needed)
    if call.next:
        fetch += 2 * machine.read
    looped = max(looped, fetch)  # the region ends when the next set is in
    if call.phase.destination_stored:
        around += machine.write
    return PhaseCycles(
        cycles=round(around + looped),
        compute=round(compute),
        load=round(load),
        store=round(store),
        memory=round(memory),
        start_up=round(around + looped - computing),
    )


class _RunCycles(NamedTuple):
    """What the ports and the memory need for the words of a run."""

    load: float
    store: float
    fetch: float
    memory: float


def _run_cycles(run: Run, machine: _Machine) -> _RunCycles:
    set_words = run.set_words / run.times
    words = run.load_words + run.store_words + run.weight_words + set_words
    return _RunCycles(
        run.load_bursts * machine.read + run.load_words * machine.word,
        run.store_bursts * machine.timing.store_run_cycles + run.store_words * machine.word,
        run.weight_bursts * machine.read + (run.weight_words + set_words) * machine.word,
        words * machine.memory_word,
    )


def _first_cycles(first: Descriptor, machine: _Machine) -> int:
    """Header, first descriptor and first set, before anything is computed."""
    timing, sizes = machine.timing, machine.sizes
    header = machine.read + sizes.record_words * machine.word + timing.decode_cycles
    around = timing.region_cycles + timing.prologue_cycles
    looped = 0.0
    for run in first_runs(first, sizes):
        port = machine.read + run.set_words * machine.word
        looped += max(run.steps, port) + machine.fill + timing.run_cycles
    return round(header + around + looped)


def batch_cycles(
    descriptors: Sequence[Descriptor], overlay: Overlay, batch: int, timing: Timing | None = None
) -> int:
    """Cycles of phases that follow each other, for a batch of so many images. The set of the first
    is there before; nothing comes after the last."""
    machine = _Machine.of(overlay, timing or Timing())
    return sum(
        call.times * _phase_cycles(call, machine).cycles
        for call in calls(descriptors, batch, overlay.array.copies)
    )


# --- a program ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerCycles:
    """A layer's share of a batch: its phases, and what comes in for the next phase while they
    run."""

    name: str
    cycles: int
    bound: Bound
    """What takes longest: the lanes, one of the ports, the memory behind all ports, or what
    happens while the lanes wait."""
    compute: int
    """Cycles the lanes are busy."""
    load: int
    store: int
    start_up: int
    """Cycles in which the lanes compute nothing: descriptors, start and end of phases, first loads
    and last stores, waiting for sets."""
    counts: Counts
    bytes_moved: int
    macs: int
    """Multiplications of weights other than zero."""


@dataclass(frozen=True)
class ProgramCycles:
    """A batch on an overlay."""

    overlay: Overlay
    batch: int
    layers: tuple[LayerCycles, ...]

    @cached_property
    def cycles(self) -> int:
        """Of the whole batch."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def cycles_per_image(self) -> float:
        return self.cycles / self.batch

    @property
    def milliseconds_per_image(self) -> float:
        return self.cycles_per_image / self.overlay.clock_mhz / 1000

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def bytes_moved(self) -> int:
        return sum(layer.bytes_moved for layer in self.layers)

    def utilisation(self, layer: LayerCycles | None = None) -> float:
        """Multiplications done of those the array could have done, 0 to 1."""
        macs, cycles = (layer.macs, layer.cycles) if layer else (self.macs, self.cycles)
        return macs / (cycles * peak_macs(self.overlay))


def peak_macs(overlay: Overlay) -> int:
    """Multiplications a cycle."""
    return overlay.array.copies * overlay.array.filters * overlay.array.inputs


def bytes_per_cycle(overlay: Overlay) -> float:
    """What the memory delivers and takes, over all ports."""
    return overlay.board_description.memory_megabytes_per_second / overlay.clock_mhz


def program_cycles(
    program: Program, overlay: Overlay, batch: int, timing: Timing | None = None
) -> ProgramCycles:
    """Cycles of a batch of so many images. What comes before the first phase of a start of the core
    is its first layer's."""
    machine = _Machine.of(overlay, timing or Timing())
    sums = [_Sum() for _ in program.layers]
    for stage, phases in stage_phases(program):
        memory = program.memory[stage.commands :]
        weights = [nonzero_weights(phase, memory, overlay) for phase in phases]
        # A phase belongs to the layer behind those that are finished before it.
        owner = [stage.first_layer + done for done in (0, *(phase.layer for phase in phases[:-1]))]
        first = _first_cycles(phases[0], machine)
        counts = first_counts(phases[0], machine.sizes)
        sums[owner[0]].add(PhaseCycles(first, 0, 0, 0, 0, first), counts, 1)
        for call in calls(phases, batch, overlay.array.copies):
            counts = call_counts(call, machine.sizes, weights[call.number])
            sums[owner[call.number]].add(_phase_cycles(call, machine), counts, call.times)
    layers = tuple(total.layer(name, overlay) for name, total in zip(program.layers, sums))
    return ProgramCycles(overlay, batch, layers)


class _Sum:
    """Phases of a layer."""

    def __init__(self) -> None:
        self.cycles = PhaseCycles(0, 0, 0, 0, 0, 0)
        self.counts = Counts()

    def add(self, cycles: PhaseCycles, counts: Counts, times: int) -> None:
        """A phase that runs so many times."""
        self.cycles = PhaseCycles(*(a + times * b for a, b in zip(self.cycles, cycles)))
        self.counts += counts * times

    def layer(self, name: str, overlay: Overlay) -> LayerCycles:
        c = self.cycles
        shares: dict[Bound, int] = {
            "compute": c.compute,
            "load": c.load,
            "store": c.store,
            "start-up": c.start_up,
            "memory": c.memory,
        }
        return LayerCycles(
            name=name,
            cycles=c.cycles,
            bound=max(shares, key=lambda share: shares[share]),
            compute=c.compute,
            load=c.load,
            store=c.store,
            start_up=c.start_up,
            counts=self.counts,
            bytes_moved=self.counts.words * overlay.array.inputs,
            macs=self.counts.multiplications,
        )
