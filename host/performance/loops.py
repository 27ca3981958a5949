# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the core's loops do for a program: how often they run and what they move.

A phase is one call of the core's dataflow region. In it the multiplication loop runs once for each
tile and pass; while it computes a tile, the next tile comes in, the one before goes out, and what
the next phase needs comes in. A run before the first brings in the first tile, and one after the
last takes out the last; where the next phase's descriptor or set is not in then, it comes in runs
of its own.

Nothing here is estimated. The C simulation counts the same while it computes, and the tests hold
both against each other; :mod:`axynq.host.performance.cycles` turns the counts into time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from axynq.host import isa
from axynq.host.counters import Counts
from axynq.host.isa import Descriptor
from axynq.host.overlay import Overlay
from axynq.host.runtime.program import CoreStage, Program


class Sizes(NamedTuple):
    """What the loops depend on of an overlay."""

    beats: int
    """Transfers of a memory port that make up a word; the least number of steps for a word."""
    record_words: int
    """Words of the header and of each descriptor."""
    finish_steps: tuple[int, int]
    """Steps after a run's last operand in which its last outputs are finished, without and with a
    residual operand."""

    @classmethod
    def of(cls, overlay: Overlay) -> Sizes:
        """Those of an overlay."""
        record_words = isa.RECORD_INTEGERS * 4 // overlay.array.inputs
        finish_steps = (overlay.finish_steps(adds=False), overlay.finish_steps(adds=True))
        return cls(overlay.beats, record_words, finish_steps)


# --- which phases run -----------------------------------------------------------------------------


class Call(NamedTuple):
    """A phase that runs, once or several times alike."""

    number: int
    """Of the phase, from 0."""
    phase: Descriptor
    images: int
    """Of the batch."""
    image: int
    """The first image that is computed, where it is not the batch; copies take the next ones."""
    copies: int
    next: Descriptor | None
    """The phase that runs next, whose descriptor and set come in meanwhile."""
    times: int

    @property
    def computed_images(self) -> int:
        if self.phase.whole_batch:
            return self.images
        return min(self.copies, self.images - self.image)

    @property
    def next_images(self) -> int:
        """Those that the copies take next, where this computes but a part of the batch."""
        return max(min(self.copies, self.images - self.image - self.copies), 0)


class Turn(NamedTuple):
    """Images that the copies compute at a time, one each, and how often that comes alike."""

    first: int
    """Number of the first one."""
    before: int
    """Images of the turn before; 0: this is the first."""
    images: int
    after: int
    """Images of the turn behind; 0: this is the last."""
    times: int


def turns(images: int, copies: int) -> list[Turn]:
    """The turns of a batch, the first one first, the last one last."""
    count = -(-images // copies)
    rest = images - (count - 1) * copies

    def of(turn: int) -> int:
        return 0 if not 0 <= turn < count else rest if turn == count - 1 else copies

    # Between the first and the last but one all are alike.
    alike = [(0, 1), (1, count - 3), (count - 2, 1), (count - 1, 1)]
    if count < 3:
        alike = [(turn, 1) for turn in range(count)]
    return [
        Turn(turn * copies, of(turn - 1), of(turn), of(turn + 1), times)
        for turn, times in alike
        if times
    ]


def calls(phases: Sequence[Descriptor], images: int, copies: int) -> Iterator[Call]:
    """The calls of a program, in order but for turns that are alike."""
    segment_end = {
        place: last
        for last, phase in enumerate(phases)
        for place in range(last - phase.segment_phases + 1, last + 1)
    }
    first = 0
    while first < len(phases):
        end = segment_end.get(first, first) + 1
        after = phases[end] if end < len(phases) else None
        if phases[first].whole_batch:
            yield Call(first, phases[first], images, 0, copies, after, 1)
        else:
            yield from _segment(phases[first:end], first, images, copies, after)
        first = end


def _segment(
    phases: Sequence[Descriptor], first: int, images: int, copies: int, after: Descriptor | None
) -> Iterator[Call]:
    """Phases that run image by image, of which the first has this number."""
    for turn in turns(images, copies):
        following = [*phases[1:], phases[0] if turn.after else after]
        for place, (phase, then) in enumerate(zip(phases, following)):
            yield Call(first + place, phase, images, turn.first, copies, then, turn.times)


# --- tiles ----------------------------------------------------------------------------------------


class Tile(NamedTuple):
    """Output rows that are computed at a time, and what is moved for them."""

    rows: int
    load_words: int
    """Of the input, then of the residual operand, where they come from memory."""
    load_bursts: int
    store_words: int
    store_bursts: int

    def of(self, images: int) -> Tile:
        """For so many images."""
        words = (part * images for part in self[1:])
        return Tile(self.rows, *words)


def tiles(d: Descriptor) -> Iterator[Tile]:
    """The tiles of one image."""
    for number in range(d.tiles):
        is_last = number == d.tiles - 1
        rows = d.last_tile_rows if is_last else d.tile_rows
        input_words = residual_words = store_words = store_bursts = 0
        if d.source_loaded:
            top = number * d.tile_stride - d.padding_top
            bottom = top + (d.last_tile_span if is_last else d.tile_span)
            first = min(max(top, 0), d.input_rows)
            input_words = max(min(bottom, d.input_rows - 1) - first + 1, 0) * d.input_row_words
        if d.residual_loaded:
            residual_words = rows * d.output_row_words
        if d.destination_stored:
            store_words = rows * d.store_row_words
            whole = d.store_pixel_words == d.output_pixel_words
            store_bursts = 1 if whole else rows * d.output_columns
        yield Tile(
            rows,
            input_words + residual_words,
            (input_words > 0) + (residual_words > 0),
            store_words,
            store_bursts,
        )


# --- runs of the loop -----------------------------------------------------------------------------


class Run(NamedTuple):
    """A run of the multiplication loop, or several alike."""

    compute_steps: int
    """Steps in which the lanes compute. 0: it only moves words."""
    load_words: int
    load_bursts: int
    store_words: int
    store_bursts: int
    weight_words: int
    """Weights of the next pass, all of which come in."""
    weight_bursts: int
    """Whether they are the first that are read for a tile: those of all its passes are one run of
    consecutive words."""
    steps: int
    """Iterations."""
    set_words: int
    """Words of the next descriptor and set that come in, in all of these runs together."""
    times: int


class _Paces(NamedTuple):
    """Steps from a word to the next."""

    incoming: int
    outgoing: int
    set: int


def runs(call: Call, sizes: Sizes) -> list[Run]:
    """The runs of a phase; those that are alike together."""
    d = call.phase
    found = list(_needed_runs(call, sizes))
    if call.next is None:
        return found
    total = left = sizes.record_words + call.next.set_words
    # Where runs bring in weights of the next pass, the next phase's words have to wait.
    begin = 0
    if d.passes > 1:
        begin = max(place for place, run in enumerate(found) if run.compute_steps)
    for place, run in enumerate(found[begin:], begin):
        pace = d.set_pace if run.compute_steps else sizes.beats
        taken = min(-(-run.steps // pace) * run.times, left)  # one at the first step
        found[place] = run._replace(set_words=taken)
        left -= taken
    return [*found, *_drains(total - left, call.next, sizes)]


def first_runs(first: Descriptor, sizes: Sizes) -> list[Run]:
    """The runs of the phase before the first."""
    return list(_drains(0, first, sizes))


def _drains(there: int, following: Descriptor, sizes: Sizes) -> Iterator[Run]:
    """What is left of the next descriptor and its set, where so many words are there."""
    left = sizes.record_words + following.set_words - there
    if left:
        yield Run(0, 0, 0, 0, 0, 0, 0, left * sizes.beats, left, 1)


def _needed_runs(call: Call, sizes: Sizes) -> Iterator[Run]:
    """The runs without the next phase's words."""
    d = call.phase
    computing = _Paces(d.incoming_pace, d.outgoing_pace, d.set_pace)
    moving = _Paces(sizes.beats, sizes.beats, sizes.beats)
    if d.source_ahead and call.image > 0:
        d = replace(d, source_loaded=0)  # the input came in meanwhile
    all_tiles, all_turns = list(tiles(d)), turns(call.computed_images, call.copies)
    if d.source_loaded or d.residual_loaded:
        yield _run(0, all_tiles[0].of(all_turns[0].images), None, 0, 0, moving, 1)
    for tile, incoming, outgoing, times in _neighbours(all_tiles, all_turns):
        is_last = incoming is None
        if outgoing is None and d.ahead_words and call.next_images:
            incoming = Tile(0, d.ahead_words, 1, 0, 0).of(call.next_images)
        for number, alike in _passes(d):
            steps = _compute_steps(d, tile.rows, number) + sizes.finish_steps[d.has_residual]
            weights = bursts = 0
            ends_tile = number == d.passes - 1
            if d.passes > 1 and not (is_last and ends_tile):
                weights = _pass_words(d, (number + 1) % d.passes)
                # The first pass of the first tile came before the phase.
                bursts = int(ends_tile or (number == 0 and outgoing is None))
            moved = (incoming, outgoing) if number == 0 else (None, None)
            yield _run(steps, *moved, weights, bursts, computing, times * alike)
    if d.destination_stored:
        yield _run(0, None, all_tiles[-1].of(all_turns[-1].images), 0, 0, moving, 1)


def _run(
    compute_steps: int, incoming: Tile | None, outgoing: Tile | None, weights: int,
    weight_bursts: int, paces: _Paces, times: int,
) -> Run:  # fmt: skip
    load_words = incoming.load_words if incoming else 0
    store_words = outgoing.store_words if outgoing else 0
    return Run(
        compute_steps,
        load_words,
        incoming.load_bursts if incoming else 0,
        store_words,
        outgoing.store_bursts if outgoing else 0,
        weights,
        weight_bursts,
        max(
            compute_steps,
            load_words * paces.incoming,
            store_words * paces.outgoing,
            weights * paces.set,
        ),
        0,
        times,
    )


def _neighbours(
    all_tiles: list[Tile], all_turns: list[Turn]
) -> Iterator[tuple[Tile, Tile | None, Tile | None, int]]:
    """Tiles of all images: the tile computed, the next, the one before, and how often that comes.
    First comes the first, last the last."""
    count = len(all_tiles)
    found: Counter[tuple[Tile, Tile | None, Tile | None]] = Counter()
    for turn in all_turns:
        for number, tile in enumerate(all_tiles):
            ends, begins = number == count - 1, number == 0
            after = turn.after if ends else turn.images
            before = turn.before if begins else turn.images
            following = all_tiles[(number + 1) % count].of(after) if after else None
            preceding = all_tiles[number - 1].of(before) if before else None
            found[tile, following, preceding] += turn.times
    for (tile, following, preceding), times in found.items():
        yield tile, following, preceding, times


def _passes(d: Descriptor) -> Iterator[tuple[int, int]]:
    """Numbers of the passes that differ, each with how many are like it."""
    yield 0, 1
    if d.passes > 3:
        yield 1, d.passes - 3
    if d.passes > 2:
        yield d.passes - 2, 1
    if d.passes > 1:
        yield d.passes - 1, 1


def _compute_steps(d: Descriptor, rows: int, number: int) -> int:
    """Steps in which a pass takes in the operands of so many output rows."""
    if d.passes > 1 and number == d.passes - 1:
        return rows * d.last_pass_row_steps
    return d.first_row_steps + (rows - 1) * d.row_steps


def _pass_words(d: Descriptor, number: int) -> int:
    """Words of a pass's weights."""
    if number == d.passes - 1:
        return d.weights_words - (d.passes - 1) * d.first_pass_words
    return d.first_pass_words


# --- counters -------------------------------------------------------------------------------------


def call_counts(call: Call, sizes: Sizes, nonzero_weights: int = 0) -> Counts:
    """The counters after one call.

    Args:
        nonzero_weights: of the phase, for ``multiplications``: each is multiplied by an activation
            for each output position, padding included.
    """
    d, found = call.phase, runs(call, sizes)
    return Counts(
        record_words=sizes.record_words if call.next else 0,
        set_words=(call.next.set_words if call.next else 0)
        + sum(run.times * run.weight_words for run in found),
        load_words=sum(run.times * run.load_words for run in found),
        store_words=sum(run.times * run.store_words for run in found),
        load_bursts=sum(run.times * run.load_bursts for run in found),
        store_bursts=sum(run.times * run.store_bursts for run in found),
        program_bursts=(2 if call.next else 0)
        + sum(run.times * run.weight_bursts for run in found),
        phases=1,
        runs=sum(run.times for run in found),
        steps=sum(run.times * run.steps for run in found),
        multiply_steps=sum(run.times * run.compute_steps for run in found),
        multiplications=nonzero_weights * d.output_pixels * call.computed_images,
    )


def first_counts(first: Descriptor, sizes: Sizes) -> Counts:
    """The counters after the header is read and the first set has come in: a phase that computes
    nothing."""
    found = first_runs(first, sizes)
    return Counts(
        record_words=2 * sizes.record_words,
        set_words=first.set_words,
        program_bursts=3,
        phases=1,
        runs=len(found),
        steps=sum(run.steps for run in found),
    )


def program_counts(program: Program, overlay: Overlay, images: int) -> list[Counts]:
    """The simulation's counters after each start of the core, for a batch of so many images."""
    return [
        _stage_counts(phases, program.memory[stage.commands :], overlay, images)
        for stage, phases in stage_phases(program)
    ]


def _stage_counts(
    phases: list[Descriptor], memory: npt.NDArray[np.uint8], overlay: Overlay, images: int
) -> Counts:
    sizes = Sizes.of(overlay)
    total = first_counts(phases[0], sizes)
    weights = [nonzero_weights(phase, memory, overlay) for phase in phases]
    for call in calls(phases, images, overlay.array.copies):
        total += call_counts(call, sizes, weights[call.number]) * call.times
    return total


def program_phases(program: Program) -> list[Descriptor]:
    """The descriptors of a program, of all starts of the core."""
    return [phase for _, phases in stage_phases(program) for phase in phases]


def stage_phases(program: Program) -> list[tuple[CoreStage, list[Descriptor]]]:
    """The starts of the core, with the descriptors of each."""
    found = []
    for stage in program.core_stages:
        integers = program.memory[stage.commands :].view("<i4")
        count = int(integers[isa.Header.PHASES])
        records = integers[isa.RECORD_INTEGERS : (1 + count) * isa.RECORD_INTEGERS]
        phases = [Descriptor.of(record) for record in records.reshape(-1, isa.RECORD_INTEGERS)]
        found.append((stage, phases))
    return found


def nonzero_weights(d: Descriptor, memory: npt.NDArray[np.uint8], overlay: Overlay) -> int:
    """Weights other than zero of a phase, in a program's memory from its header on."""
    array = overlay.array
    first = d.weights_offset * array.inputs
    vectors = memory[first : first + d.weights_words * array.inputs]
    vectors = vectors.reshape(-1, overlay.vector_words * array.inputs)
    return int(np.count_nonzero(vectors[:, : array.filters * array.inputs]))
