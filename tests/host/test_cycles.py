# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The cycle model. That its counts are the simulation's is tested with the equality tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator.model import graph
from axynq.host import Overlay, compile_program, isa, isa_model
from axynq.host.isa import Descriptor, Opcode
from axynq.host.performance.cycles import (
    Timing,
    batch_cycles,
    peak_macs,
    phase_cycles,
    program_cycles,
)
from axynq.host.performance.loops import (
    Call,
    Sizes,
    call_counts,
    calls,
    program_counts,
    program_phases,
    runs,
    tiles,
)
from tests.networks import convolution, weighted_models

SIZES = Sizes(beats=2, record_words=28, finish_steps=(4, 8))

POINTWISE = Descriptor(
    opcode=Opcode.CONVOLUTION, groups=1, vectors=1, passes=1, whole_batch=1, set_words=20,
    source_loaded=1, source_image_words=64, destination_stored=1, destination_image_words=64,
    tiles=4, tile_rows=2, last_tile_rows=2, tile_stride=2, tile_span=1, last_tile_span=1,
    input_rows=8, input_columns=8, input_row_words=8, stride_rows=1, stride_columns=1,
    kernel_rows=1, kernel_columns=1, tap_words=1, kernel_row_step=1, kernel_column_step=1,
    pass_taps=1, last_pass_taps=1, fresh_rows=1, fresh_taps=1,
    output_columns=8, output_row_words=8, output_pixel_words=1, pixel_step=1, row_step=8,
    store_pixel_words=1, store_row_words=8,
    first_row_steps=32, row_steps=32, last_pass_row_steps=32,
    incoming_pace=4, outgoing_pace=4, set_pace=2,
)  # fmt: skip
"""A phase of 64 pixels, 4 steps each, that come and go by 16."""


# --- which phases run -----------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(1, 5))
def test_phases_run_in_the_order_that_the_page_says(segments: list[int], images: int) -> None:
    phases = []
    for size in segments:
        # A segment of so many phases; without any, a phase that computes the whole batch.
        part = [replace(POINTWISE, whole_batch=int(size == 0))] * max(size, 1)
        part[-1] = replace(part[-1], segment_phases=size)
        phases += part
    phases = [replace(phase, layer=number) for number, phase in enumerate(phases)]
    records = [isa.header(0, len(phases), 0, 0), *(phase.record() for phase in phases)]
    order = list(isa_model.phases(np.concatenate(records).view(np.int8), images))

    def kind(image: int) -> tuple[bool, bool]:
        return image == 0, image == images - 1

    expected: Counter[tuple[int, tuple[bool, bool], int | None]] = Counter()
    for place, (phase, image) in enumerate(order):
        after = order[place + 1][0].layer if place + 1 < len(order) else None
        expected[phase.layer, kind(image), after] += 1
    found: Counter[tuple[int, tuple[bool, bool], int | None]] = Counter()
    for call in calls(phases, images, 1):
        after = None if call.next is None else call.next.layer
        found[call.phase.layer, kind(call.image), after] += call.times
        assert call.phase is phases[call.number]
    assert found == expected


# --- runs of the loop -----------------------------------------------------------------------------


def one_by_one(call: Call, sizes: Sizes) -> list[tuple[int, int]]:
    """Computing steps and iterations of each run of a phase, in order."""
    d = call.phase
    shapes = list(tiles(d)) * call.computed_images
    parts: list[tuple[int, int, int, int]] = []  # computing steps, words in and out, weights
    if (d.source_loaded and not (d.source_ahead and call.image > 0)) or d.residual_loaded:
        parts.append((0, shapes[0].load_words, 0, 0))
    for number, tile in enumerate(shapes):
        for turn in range(d.passes):
            last_pass = d.passes > 1 and turn == d.passes - 1
            row = d.last_pass_row_steps if last_pass else d.row_steps
            first_row = row if last_pass else d.first_row_steps
            incoming = outgoing = weights = 0
            if turn == 0:
                incoming = shapes[number + 1].load_words if number + 1 < len(shapes) else 0
                outgoing = shapes[number - 1].store_words if number else 0
                if number == 0 and call.image + 1 < call.images:
                    incoming += d.ahead_words
            if d.passes > 1 and not (last_pass and number == len(shapes) - 1):
                following = d.last_pass_vectors if turn == d.passes - 2 else d.vectors
                weights = following * d.first_pass_words // d.vectors
            steps = first_row + (tile.rows - 1) * row + sizes.finish_steps[d.has_residual]
            parts.append((steps, incoming, outgoing, weights))
    if d.destination_stored:
        parts.append((0, 0, shapes[-1].store_words, 0))
    found = []
    left = sizes.record_words + call.next.set_words if call.next else 0
    for place, (steps, incoming, outgoing, weights) in enumerate(parts):
        paces = (d.incoming_pace, d.outgoing_pace, d.set_pace) if steps else (sizes.beats,) * 3
        trip = max(steps, incoming * paces[0], outgoing * paces[1], weights * paces[2])
        found.append((steps, trip))
        if d.passes == 1 or not any(part[3] for part in parts[place:]):
            left -= sum(1 for step in range(0, trip, paces[2]) if step // paces[2] < left)
    set_left = min(left, call.next.set_words) if call.next else 0
    for words in (left - set_left, set_left):  # descriptor and set, in runs of their own
        if words:
            found.append((0, words * sizes.beats))
    return found


@given(weighted_models(), st.integers(1, 4), st.sampled_from(["tiny4", "z2-roup16"]))
def test_runs_of_compiled_networks(model: graph.Model, images: int, name: str) -> None:
    overlay = Overlay.load(name)
    sizes = Sizes.of(overlay)
    for call in calls(program_phases(compile_program(model, None, overlay)), images, 1):
        expected = Counter(one_by_one(call, sizes))
        found: Counter[tuple[int, int]] = Counter()
        for run in runs(call, sizes):
            found[run.compute_steps, run.steps] += run.times
        assert found == expected


PASSES = replace(
    POINTWISE, tap_words=7, pass_taps=3, last_pass_taps=1, passes=3, vectors=3, last_pass_vectors=1,
    first_pass_words=54, weights_words=126, row_steps=32, last_pass_row_steps=32, set_pace=3,
)  # fmt: skip


@pytest.mark.parametrize("phase", [POINTWISE, PASSES], ids=["one-pass", "passes"])
@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("set_words", [None, 20, 5000])
def test_runs(phase: Descriptor, images: int, set_words: int | None) -> None:
    after = None if set_words is None else replace(phase, set_words=set_words)
    call = Call(0, phase, images, 0, 1, after, 1)
    found = runs(call, SIZES)
    assert Counter(one_by_one(call, SIZES)) == sum(
        (Counter({(run.compute_steps, run.steps): run.times}) for run in found), Counter()
    )
    # Everything comes in that has to.
    counts = call_counts(call, SIZES)
    assert sum(run.set_words for run in found) == (0 if set_words is None else 28 + set_words)
    assert counts.load_words == counts.store_words == 64 * images
    if phase.passes > 1:
        later = images * phase.tiles * phase.weights_words - phase.first_pass_words
        assert counts.set_words == (set_words or 0) + later
        assert counts.program_bursts == (0 if set_words is None else 2) + images * phase.tiles


def test_a_run_by_hand() -> None:
    """Four tiles of 2 x 32 steps and 4 to finish; 48 words for the next phase at 2 steps."""
    call = Call(0, POINTWISE, 1, 0, 1, replace(POINTWISE, set_words=20), 1)
    counts = call_counts(call, SIZES, nonzero_weights=7)
    # Tiles, the first coming and the last going; the set is in before.
    assert (counts.runs, counts.multiply_steps) == (4 + 2, 4 * 68)
    assert counts.steps == 4 * 68 + 2 * 16 * 2
    assert (counts.load_bursts, counts.store_bursts, counts.program_bursts) == (4, 4, 2)
    assert (counts.record_words, counts.set_words) == (28, 20)
    assert counts.multiplications == 7 * 64


def test_maps_that_are_loaded_ahead() -> None:
    """The first image's map comes before the first run, the second's in the segment's last phase,
    whose next phase is the first."""
    first = replace(
        POINTWISE, whole_batch=0, source_ahead=1, destination_stored=0, tiles=1, tile_rows=8,
        last_tile_rows=8, tile_span=7, last_tile_span=7,
    )  # fmt: skip
    last = replace(first, source_loaded=0, source_ahead=0, ahead_words=64, segment_phases=2)
    words = [
        (call.number, call.image, sum(run.load_words for run in runs(call, SIZES)))
        for call in calls([first, last], 2, 1)
    ]
    assert words == [(0, 0, 64), (1, 0, 64), (0, 1, 0), (1, 1, 0)]


# --- cycles ---------------------------------------------------------------------------------------


@given(weighted_models(), st.integers(1, 5))
def test_no_layer_is_faster_than_what_it_waits_for(model: graph.Model, batch: int) -> None:
    overlay = Overlay.load("tiny4")
    program = compile_program(model, None, overlay, batch)
    estimate = program_cycles(program, overlay, batch)
    for layer in estimate.layers:
        assert layer.cycles >= max(layer.compute, layer.load, layer.store, layer.start_up)
        assert layer.cycles >= layer.counts.steps
        assert layer.macs <= layer.counts.multiply_steps * peak_macs(overlay)
    assert 0 <= estimate.utilisation() <= 1
    (total,) = program_counts(program, overlay, batch)
    parts = [layer.counts for layer in estimate.layers]
    assert sum(parts[1:], parts[0]) == total


def test_batches_without_end() -> None:
    """Computed, not counted through."""
    overlay = Overlay.load("z2-exact16")
    three, four = (batch_cycles([POINTWISE], overlay, images) for images in (3, 4))
    endless = batch_cycles([POINTWISE], overlay, 10**12)
    assert endless == pytest.approx(three + (10**12 - 3) * (four - three), abs=1)


@pytest.mark.parametrize(
    ("slower", "bound"),
    [
        ({"multiply_fill": 90}, "compute"),
        ({"read_nanoseconds": 5000.0}, "load"),
        ({"store_run_cycles": 800}, "store"),
        ({"decode_cycles": 90_000}, "start_up"),
    ],
)
def test_assumptions_matter(slower: dict[str, float], bound: str) -> None:
    overlay = Overlay.load("z2-exact16")
    call = Call(0, POINTWISE, 8, 0, 1, POINTWISE, 1)
    usual = phase_cycles(call, overlay)
    slow = phase_cycles(call, overlay, replace(Timing(), **slower))
    assert slow.cycles > usual.cycles
    assert getattr(slow, bound) > getattr(usual, bound)


def test_a_phase_waits_for_the_next_set() -> None:
    overlay = Overlay.load("z2-exact16")
    small, large = (
        phase_cycles(Call(0, POINTWISE, 1, 0, 1, replace(POINTWISE, set_words=words), 1), overlay)
        for words in (20, 4000)
    )
    waits = large.start_up - small.start_up
    assert waits > 7000
    assert large.cycles - small.cycles == pytest.approx(waits, abs=10)


def test_memory_behind_all_ports() -> None:
    """The lanes need a word in and one out a step; a PYNQ-Z2's memory moves one a cycle."""
    overlay = Overlay.load("z2-exact16")
    narrow = replace(POINTWISE, first_row_steps=8, row_steps=8, incoming_pace=1, outgoing_pace=1)
    cycles = phase_cycles(Call(0, narrow, 1000, 0, 1, None, 1), overlay)
    assert cycles.memory == 2 * 64 * 1000
    assert cycles.cycles > cycles.memory


def test_small_batches_wait_longer_for_weights(digits: graph.Model) -> None:
    overlay = Overlay.load("z2-exact16")
    per_image = [
        program_cycles(compile_program(digits, None, overlay, n), overlay, n).cycles_per_image
        for n in (1, 4, 16)
    ]
    assert per_image == sorted(per_image, reverse=True)


def test_networks_on_a_pynq_z2(resnet8: graph.Model, keyword: graph.Model) -> None:
    """The goals for a 16 x 16 array: 75 % of its peak on ResNet-8."""
    overlay = Overlay.load("z2-roup16")
    for model, most in ((resnet8, 65_000), (keyword, 20_000)):
        estimate = program_cycles(compile_program(model, None, overlay, 16), overlay, 16)
        assert estimate.cycles_per_image <= most


def test_choices_are_quick() -> None:
    """The compiler tries many: what is tried must not depend on the number of images or passes."""
    overlay = Overlay.load("z2-exact16")
    program = compile_program(convolution(24, 24, 16, 16, 3, seed=0), None, overlay)
    for call in calls(program_phases(program), 10**6, 1):
        assert len(runs(call, Sizes.of(overlay))) <= 2 + call.phase.tiles + 2 + 2
