# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Steps that run image by image with their maps on chip."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axynq.emulator import Emulator
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.host import Overlay, compile_program
from axynq.host.compiler import segments, step_phases
from axynq.host.compiler.flow import Flow
from axynq.host.compiler.layers import Layers
from axynq.host.compiler.lowering import lower
from axynq.host.compiler.pacing import MAX_PACE
from axynq.host.isa import Descriptor
from axynq.host.performance.cycles import phase_cycles, program_cycles
from axynq.host.performance.loops import Call, Sizes, calls, program_phases, runs
from axynq.host.selftest.networks import Chain, Random
from tests.host.test_isa_model import run
from tests.networks import random_input
from tests.overlays import write_overlay


def random_chain(seed: int) -> graph.Model:
    """A few small layers of random kinds, with additions of maps from further back."""
    rng = Random(seed)
    channels = int(rng.randint(1, 9))
    chain = Chain("random", (int(rng.randint(3, 7)), int(rng.randint(3, 7)), channels), rng)
    if channels < 3:
        chain.convolution(4, 3)  # a word takes several taps
    for _ in range(rng.randint(3, 8)):
        kind, kernel = rng.randint(7), int(rng.choice([1, 2, 3]))
        same = [k for k in range(chain.end) if chain.tensors[k].shape == chain.shape]
        if kind == 0:
            chain.convolution(int(rng.randint(1, 20)), kernel, int(rng.randint(1, 3)))
        elif kind == 1:
            chain.depthwise(kernel)
        elif kind == 2 and min(chain.shape[:2]) >= 2:
            chain.pool(str(rng.choice(["max", "average"])), 2, 1)
        elif kind == 3 and chain.shape[0] < 6:
            chain.pad(1, 0)
        elif kind >= 4 and same:
            chain.add(int(rng.choice(same)), chain.end)
        else:
            chain.convolution(chain.shape[2], kernel)
    return chain.model()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """With memories so small that a few maps fill them."""
    folder: Path = tmp_path_factory.mktemp("overlay")
    return write_overlay(
        folder, requantisers=1, map_words=256, weight_vectors=32, groups=8, partial_sums=512
    )


def unpredictable(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Have segments chosen at random, and for loading ahead, by a cycle model that makes figures
    up."""
    rng = random.Random(seed)

    def made_up(call: Call, overlay: Overlay) -> object:
        d, real = call.phase, phase_cycles(call, overlay)
        if d.whole_batch:
            return real._replace(cycles=rng.randrange(20_000))
        saved = 400 if d.ahead_words or d.source_ahead or d.fold_channels else 0
        return real._replace(cycles=rng.randrange(1000) - saved)

    monkeypatch.setattr(step_phases, "phase_cycles", made_up)


@pytest.mark.parametrize("seed", range(12))
def test_any_choice_computes_the_same(small: Overlay, seed: int, monkeypatch) -> None:
    unpredictable(monkeypatch, seed)
    model, images = random_chain(seed), 1 + seed % 3
    program = compile_program(model, "flam=exact|roup:1,4", small)
    x = random_input(model, images, seed)
    expected = Emulator(model, "flam=exact|roup:1,4").run(x)
    assert np.array_equal(run(program, small, x), expected)


def test_any_choice_is_one_that_the_core_can_run(small: Overlay, monkeypatch) -> None:
    """Roles of memories differ; words that come in ahead are not in the way; and all that can be
    chosen is."""
    seen: set[str] = set()
    for seed in range(60):
        unpredictable(monkeypatch, seed)
        phases = program_phases(compile_program(random_chain(seed), "exact", small))
        for number, d in enumerate(phases):
            assert d.source_map != d.destination_map
            if d.has_residual:
                assert d.residual_map not in (d.source_map, d.destination_map)
            if d.ahead_words:
                assert d.ahead_map != d.destination_map
                assert d.source_loaded == d.residual_loaded == 0
            if not d.whole_batch:
                assert d.tiles == 1
                assert d.passes == 1 or (d.output_pixels * d.groups <= small.buffers.partial_sums)
            if d.segment_phases:
                part = phases[number - d.segment_phases + 1 : number + 1]
                assert not any(phase.whole_batch for phase in part)
                assert [phase.source_ahead for phase in part[1:]] == [0] * (d.segment_phases - 1)
                ahead = [phase for phase in part if phase.ahead_words]
                assert len(ahead) == part[0].source_ahead
                if ahead:
                    assert ahead[0].ahead_words == part[0].source_image_words
                    place = (ahead[0].ahead_map, ahead[0].ahead_base, ahead[0].ahead_offset)
                    assert place == (part[0].source_map, part[0].source_base, part[0].source_offset)
            seen |= kinds_of(d)
    assert seen == {
        "alone", "together", "ahead", "loaded operand", "stored in between", "loaded in between",
        "folded", "block", "passes", "end",
    }  # fmt: skip


def kinds_of(d: Descriptor) -> set[str]:
    if d.whole_batch:
        return {"alone"}
    return {"together"} | {
        name
        for name, condition in (
            ("ahead", d.ahead_words),
            ("loaded operand", d.residual_loaded),
            ("stored in between", d.destination_stored and not d.segment_phases),
            ("loaded in between", d.source_loaded and not d.source_ahead),
            ("folded", d.fold_channels),
            ("block", d.block_word),
            ("passes", d.passes > 1),
            ("end", d.segment_phases),
        )
        if condition
    }


def made(model: graph.Model, overlay: Overlay, batch: int) -> tuple[Flow, step_phases.StepPhases]:
    lowered = lower(model, overlay.array.inputs)
    layers = Layers(model, Plan.uniform("exact").expand(model), lowered, overlay)
    flow = Flow(model, lowered)
    return flow, step_phases.StepPhases(flow, layers, overlay, batch)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_cycles_of_choices_are_those_of_their_phases(small: Overlay, batch: int) -> None:
    """What is summed up step by step is what the cycle model says of the whole."""
    checked = 0
    for seed in range(8):
        flow, phases = made(random_chain(seed), small, batch)
        for first in range(len(flow.steps)):
            growing = segments._Growing(flow, phases, first)
            while growing.grow():
                for choice in growing.choices():
                    assert choice.cycles == cycles_of(choice, flow, phases)
                    checked += 1
    assert checked > 50


def cycles_of(choice: segments._Choice, flow: Flow, phases: step_phases.StepPhases) -> int:
    anywhere = dict.fromkeys(flow.words, segments.Place(0, 0))
    part = [phase.descriptor for phase in segments._segment(choice, flow, phases, anywhere).phases]
    after = phases.after(choice.steps[-1])
    following = [] if after is None else [after.descriptor]
    return sum(
        call.times * phase_cycles(call, phases.overlay).cycles
        for call in calls([*part, *following], phases.batch, phases.overlay.array.copies)
        if call.number < len(part)
    )


@given(st.data())
def test_the_cheapest_way_is_found(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    ranges = [range(a, b) for a in range(count) for b in range(a + 1, count + 1)]
    choices = [
        segments._Choice(data.draw(st.integers(0, 50)), steps, on_chip=len(steps) > 1)
        for steps in ranges
        if len(steps) == 1 or data.draw(st.booleans())
    ]

    def cheapest(first: int) -> int:
        ways = [each for each in choices if each.steps.start == first]
        return min((w.cycles + cheapest(w.steps.stop) for w in ways), default=0)

    found = segments._cheapest(choices, {}, count)
    assert sum(choice.cycles for choice in found) == cheapest(0)
    assert [number for choice in found for number in choice.steps] == list(range(count))


def test_words_move_without_holding_the_lanes_up(small: Overlay) -> None:
    """A run has more steps than it computes only where words come as fast as ports move them."""
    sizes = Sizes.of(small)
    slowed = spread = 0
    for seed in range(30):
        phases = program_phases(compile_program(random_chain(seed), "exact", small))
        for call in calls(phases, 3, 1):
            d = call.phase
            assert max(d.incoming_pace, d.outgoing_pace, d.set_pace) <= MAX_PACE
            for each in runs(call, sizes):
                moved = [
                    (each.load_words, d.incoming_pace),
                    (each.store_words, d.outgoing_pace),
                    (each.weight_words, d.set_pace),
                ]
                for words, pace in moved:
                    if each.compute_steps and words * pace > each.compute_steps:
                        assert pace == small.beats
                        slowed += 1
                    spread += pace > small.beats
    assert slowed
    assert spread


def test_a_map_that_fits_no_two_tiles(tmp_path: Path) -> None:
    """The mean of a map needs all of it: image by image there is room for one as large as a
    memory."""
    overlay = write_overlay(tmp_path, map_words=64, groups=4)
    chain = Chain("mean", (6, 6, 4), Random(0))
    chain.mean()
    model = chain.model()
    program = compile_program(model, "exact", overlay)
    assert [phase.whole_batch for phase in program_phases(program)] == [0]
    x = random_input(model, 3, 0)
    assert np.array_equal(run(program, overlay, x), Emulator(model, "exact").run(x))


@pytest.mark.parametrize(
    ("name", "batch", "most"),
    [("resnet8", 16, 58_000), ("resnet8", 1, 60_000), ("keyword", 16, 18_500),
     ("keyword", 1, 22_000)],
)  # fmt: skip
def test_cycles_of_known_networks(name: str, batch: int, most: int, request) -> None:
    """What the redesign of a layer must not undo; modelled, not measured."""
    overlay = Overlay.load("z2-roup16")
    program = compile_program(request.getfixturevalue(name), "roup:1,4", overlay, batch)
    assert program_cycles(program, overlay, batch).cycles_per_image <= most
