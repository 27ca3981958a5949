"""The cycle model. That its counts are the simulation's is tested with the equality tests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from axynq.emulator.model import graph
from axynq.host import Overlay, compile_program
from axynq.host.performance.cycles import (
    Timing,
    _overlapped,
    layer_cycles,
    peak_macs,
    program_cycles,
)
from axynq.host.performance.loops import LayerLoops, layer_loops
from tests.networks import convolution, weighted_models

Spans = list[tuple[int, int, int]]


def clocked(spans: Spans) -> int:
    """Three processes with two buffers between neighbours, cycle by cycle."""
    free = [2, 2]  # buffers that the loading and the computing process may fill
    full = [0, 0]  # and that those behind them may empty
    done, busy, cycle = [0, 0, 0], [0, 0, 0], 0
    while done[2] < len(spans):
        for process in (2, 1, 0):
            waits = done[process] == len(spans) or (
                (process > 0 and not full[process - 1]) or (process < 2 and not free[process])
            )
            if busy[process] == 0 and not waits:
                busy[process] = spans[done[process]][process]
                if process > 0:
                    full[process - 1] -= 1
                if process < 2:
                    free[process] -= 1
        cycle += 1
        for process in range(3):
            if not busy[process]:
                continue
            busy[process] -= 1
            if busy[process] == 0:
                done[process] += 1
                if process > 0:
                    free[process - 1] += 1
                if process < 2:
                    full[process] += 1
    return cycle


@given(st.lists(st.tuples(*[st.integers(1, 9)] * 3), min_size=1, max_size=8), st.integers(1, 12))
@example([(1, 9, 1), (9, 1, 1), (1, 1, 9)], 12)
@example([(7, 6, 5), (2, 9, 8)], 12)
def test_overlap_of_load_compute_and_store(spans: Spans, batch: int) -> None:
    assert _overlapped(spans, batch) == clocked(spans * batch)


def test_batches_without_end() -> None:
    """Computed, not counted through."""
    spans = [(3, 9, 5), (4, 2, 1)]
    first = clocked(spans * 12)
    each = first - clocked(spans * 11)
    assert _overlapped(spans, 10**12) == first + (10**12 - 12) * each


@given(weighted_models(), st.integers(1, 5))
def test_no_layer_is_faster_than_what_it_waits_for(model: graph.Model, batch: int) -> None:
    overlay = Overlay.load("tiny4")
    estimate = program_cycles(compile_program(model, None, overlay, batch), overlay, batch)
    for layer in estimate.layers:
        assert layer.cycles >= max(layer.compute, layer.load, layer.store, layer.start_up)
        assert layer.macs <= layer.counts.multiply_steps * peak_macs(overlay)
    assert 0 <= estimate.utilisation() <= 1


@pytest.mark.parametrize("batch", [1, 16])
def test_tiles_are_the_fastest_there_are(batch: int) -> None:
    overlay = Overlay.load("z2-exact16")
    program = compile_program(convolution(24, 24, 16, 16, 3, seed=0), None, overlay, batch)
    (loops,) = layer_loops(program, overlay)
    chosen = layer_cycles("", loops, batch, Timing()).cycles
    for rows in range(1, 25):
        other = LayerLoops(replace(loops.descriptor, tile_rows=rows), overlay)
        assert chosen <= layer_cycles("", other, batch, Timing()).cycles


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
