"""Cycles of a compiled program: a model of the hardware, not a measurement.

Iterations, words and bursts are exact (module ``loops``). How long they take rests on
:class:`Timing`, which states what is assumed of the pipelines and of the memory. Within a layer
tiles are loaded, computed and stored by three processes that overlap, with two buffers between
neighbours; weights and constants come before, and layers follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from axynq.host.counters import Counts
from axynq.host.overlay import Overlay
from axynq.host.performance.loops import LayerLoops, Tile, layer_loops
from axynq.host.runtime.program import Program

Bound = Literal["compute", "load", "store", "memory", "start-up"]


@dataclass(frozen=True)
class Timing:
    """Assumptions, in cycles of the overlay's clock. Every labelled loop starts an iteration a
    cycle (initiation interval 1), which synthesis has to confirm."""

    memory_latency: int = 60
    """From the request of a burst to its first word. Bursts of a run follow each other closely."""
    load_fill: int = 8
    """Depth of the pipelines that move words."""
    multiply_fill: int = 48
    """Depth of the multiplication loop: addresses, operands, multipliers, adder tree, requantisers
    and the addition behind them."""
    pool_fill: int = 64
    """Depth of the pooling loop, with a divider."""
    handshake: int = 4
    """Start and end of a process, for each tile."""


@dataclass(frozen=True)
class LayerCycles:
    """A layer's share of a batch."""

    name: str
    cycles: int
    bound: Bound
    """What takes longest: the lanes, one of the ports, the memory behind all ports, or weights and
    constants, for which the lanes wait."""
    compute: int
    """Cycles the lanes or the pooling loop are busy."""
    load: int
    store: int
    start_up: int
    """Cycles for descriptor, weights and constants before the first tile of each filter block."""
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
    return overlay.array.filters * overlay.array.inputs


def bytes_per_cycle(overlay: Overlay) -> float:
    """What the memory delivers and takes, over all ports."""
    return overlay.board_description.memory_megabytes_per_second / overlay.clock_mhz


def program_cycles(
    program: Program, overlay: Overlay, batch: int, timing: Timing | None = None
) -> ProgramCycles:
    """Cycles of a batch of so many images."""
    assumed = timing or Timing()
    layers = tuple(
        layer_cycles(name, loops, batch, assumed)
        for name, loops in zip(program.layers, layer_loops(program, overlay))
    )
    return ProgramCycles(overlay, batch, layers)


def layer_cycles(name: str, loops: LayerLoops, batch: int, timing: Timing) -> LayerCycles:
    """Cycles of one layer for a batch."""
    d, overlay = loops.descriptor, loops.overlay
    beats = word_beats(overlay)
    tiles = list(loops.tiles())
    moved = timing.memory_latency + timing.load_fill
    start_up = moved + beats * loops.record_words
    total, compute, load, store = start_up, 0, 0, 0
    for block in range(d.blocks):
        if d.uses_lanes:
            resident = loops.block_weight_words if d.passes == 1 else 0
            before = beats * (loops.block_constant_words + resident)
            before += moved * (1 + (resident > 0))
            start_up += before
            total += before
        spans = [
            (
                _load_cycles(loops, tile, timing),
                _compute_cycles(loops, tile, timing),
                _store_cycles(loops, tile, block, timing),
            )
            for tile in tiles
        ]
        total += _overlapped(spans, batch)
        load += batch * sum(span[0] for span in spans)
        compute += batch * sum(span[1] for span in spans)
        store += batch * sum(span[2] for span in spans)
    counts = loops.counts(batch)
    bytes_moved = counts.words * overlay.array.inputs
    memory = int(bytes_moved / bytes_per_cycle(overlay))
    shares: dict[Bound, int] = {
        "compute": compute,
        "load": load,
        "store": store,
        "start-up": start_up,
        "memory": memory,
    }
    return LayerCycles(
        name=name,
        cycles=max(total, memory),
        bound=max(shares, key=lambda share: shares[share]),
        compute=compute,
        load=load,
        store=store,
        start_up=start_up,
        counts=counts,
        bytes_moved=bytes_moved,
        macs=counts.multiplications,
    )


def word_beats(overlay: Overlay) -> int:
    """Cycles in which a word crosses a memory port."""
    return 8 * overlay.array.inputs // overlay.port_bits


def _load_cycles(loops: LayerLoops, tile: Tile, timing: Timing) -> int:
    words = [count for count in (loops.input_words(tile), loops.residual_words(tile)) if count]
    overhead = timing.memory_latency + timing.load_fill
    return timing.handshake + len(words) * overhead + word_beats(loops.overlay) * sum(words)


def _compute_cycles(loops: LayerLoops, tile: Tile, timing: Timing) -> int:
    cycles = timing.handshake
    if not loops.descriptor.uses_lanes:
        return cycles + loops.pool_steps(tile) + timing.pool_fill
    for steps, words in zip(loops.multiply_steps(tile), loops.pass_weight_words):
        cycles += steps + timing.multiply_fill
        if words:
            moved = timing.memory_latency + timing.load_fill
            cycles += moved + word_beats(loops.overlay) * words
    return cycles


def _store_cycles(loops: LayerLoops, tile: Tile, block: int, timing: Timing) -> int:
    # Writes are posted: a run waits for the pipeline, only the last for the memory's answer.
    runs = loops.store_bursts(tile, block)
    words = loops.store_words(tile, block)
    return (
        timing.handshake
        + timing.memory_latency
        + runs * timing.load_fill
        + word_beats(loops.overlay) * words
    )


def _overlapped(spans: list[tuple[int, int, int]], batch: int) -> int:
    """From the first load to the last store. A process goes on to the next tile when it has done
    one, its input is there, and the buffer it fills is free: two tiles later."""
    loaded = [0, 0]  # when the last two tiles were loaded, computed and stored
    computed = [0, 0]
    stored = [0, 0]
    seen: dict[tuple[int, ...], tuple[int, int]] = {}
    for image in range(batch):
        # Only differences of times matter: once they come again, so do all that follow.
        end = stored[1]
        state = tuple(time - end for times in (loaded, computed, stored) for time in times)
        if state in seen:
            before, then = seen[state]
            whole, rest = divmod(batch - image, image - before)
            if rest == 0:
                return end + whole * (end - then)
        seen[state] = image, end
        for load, compute, store in spans:
            end_load = max(loaded[1], computed[0]) + load
            end_compute = max(end_load, computed[1], stored[0]) + compute
            end_store = max(end_compute, stored[1]) + store
            loaded = [loaded[1], end_load]
            computed = [computed[1], end_compute]
            stored = [stored[1], end_store]
    return stored[1]
