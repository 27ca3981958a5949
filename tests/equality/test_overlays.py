# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every overlay that is described, with what its lanes hold: emulator = C simulation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator import Emulator, Plan
from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Overlay, compile_program
from tests.equality.whole_way import assert_equal
from tests.networks import (
    branched_models,
    convolution,
    depthwise,
    other_models,
    random_input,
    weighted_models,
)
from tests.overlays import every_overlay


@pytest.fixture(scope="module", params=every_overlay())
def accelerator(request) -> Iterator[Accelerator]:
    with Accelerator(request.param, device="software") as opened:
        yield opened


def fitting_plans(overlay: Overlay, model: graph.Model) -> list[str]:
    """Each multiplier alone, all of them filter by filter, and each bank within filters; of a
    network with depthwise layers, those of the lanes that take such layers."""
    depthwise = any(isinstance(layer, graph.DepthwiseConvolution) for layer in model.layers)
    lanes = overlay.banks[: overlay.window_lanes] if depthwise else overlay.banks
    banks = list(dict.fromkeys(tuple(m.spec for m in bank) for bank in lanes))
    specs = list(dict.fromkeys(spec for bank in banks for spec in bank))
    plans = [f"llam={spec}" for spec in specs]
    plans += [f"flam={'|'.join(specs)}", f"flam={'|'.join(reversed(specs))}+klms=1"]
    for bank in banks:
        for level in ("channel", "row", "column"):
            plans.append(f"klam-{level}={'|'.join(bank)}+klms=2")
    return plans


@settings(max_examples=60)
@given(st.data())
def test_random_networks(accelerator: Accelerator, data: st.DataObject) -> None:
    some = other_models().filter(lambda model: not isinstance(model.operators[0], graph.Softmax))
    model = data.draw(st.one_of(weighted_models(), branched_models(), some))
    plan = data.draw(st.sampled_from(fitting_plans(accelerator.overlay, model)))
    x = random_input(model, data.draw(st.integers(1, 4)), data.draw(st.integers(0, 2**32 - 1)))
    assert_equal(accelerator, model, plan, x)


def test_digits(accelerator: Accelerator, digits: graph.Model) -> None:
    for plan in fitting_plans(accelerator.overlay, digits):
        assert_equal(accelerator, digits, plan, random_input(digits, 5, 0))


def test_codes_of_single_weights(accelerator: Accelerator, digits: graph.Model) -> None:
    rng = np.random.default_rng(4)
    bank = max(accelerator.overlay.banks, key=len)
    codes = {
        layer.name: ([m.spec for m in bank], rng.integers(0, 1 + len(bank), layer.kernel.shape))
        for layer in digits.layers
    }
    assert_equal(accelerator, digits, Plan.from_codes(codes), random_input(digits, 5, 1))


@pytest.mark.parametrize("calls", [10, pytest.param(100, marks=pytest.mark.thorough)])
def test_later_calls_equal_the_first(
    accelerator: Accelerator, digits: graph.Model, calls: int
) -> None:
    plan = fitting_plans(accelerator.overlay, digits)[-1]
    program = compile_program(digits, plan, accelerator.overlay)
    x = random_input(digits, 2, 5)
    first = accelerator.run(program, x)
    assert np.array_equal(first, Emulator(digits, plan).run(x))
    for call in range(2, calls + 1):
        y = accelerator.run(program, x)
        assert np.array_equal(y, first), f"call {call} differs from the first"


def test_buffers_full_of_something_else(accelerator: Accelerator, digits: graph.Model) -> None:
    """On-chip buffers hold noise before every tile anyway; here external memory does too."""
    plan = fitting_plans(accelerator.overlay, digits)[0]
    program = compile_program(digits, plan, accelerator.overlay)
    x = random_input(digits, 3, 6)
    expected = Emulator(digits, plan).run(x)
    for poison in (0x5A, 0x80, 0xFF):
        buffer = accelerator._buffer("arena 0", 3 * program.arena_words * program.word_bytes)
        buffer.view(np.uint8)[:] = poison
        buffer.flush()
        assert np.array_equal(accelerator.run(program, x), expected)


DESIGNED = {"kv260-hybrid", "ultra96-hybrid", "zcu104-hybrid", "z2-exact-dsp", "z2-hybrid",
            "z2-hybrid-latency"}  # fmt: skip
"""For networks of small maps: their buffers have no room for a row of the widest layers."""

LARGE = {
    "first layer of a ResNet": convolution(224, 224, 3, 64, 7, seed=1, stride=2),
    "wide map": convolution(56, 56, 64, 32, 3, seed=2),
    "deep map": convolution(7, 7, 320, 256, 3, seed=3),
    "pointwise": convolution(14, 14, 320, 1280, 1, seed=4),
    "depthwise": depthwise(112, 112, 48, 3, seed=5, stride=2),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", LARGE)
def test_layers_as_large_as_imagenets(accelerator: Accelerator, name: str) -> None:
    model, overlay = LARGE[name], accelerator.overlay
    plan = next(p for p in fitting_plans(overlay, model) if p.startswith("flam="))
    try:
        assert_equal(accelerator, model, plan, random_input(model, 1, 0))
    except ProgramError as error:
        if overlay.name not in DESIGNED or "does not fit" not in str(error):
            raise
        pytest.skip(str(error))
    # More runs than a single tile takes: two to take in the phase, one each in and out.
    assert accelerator.device.core.simulation.counters()["runs"] > 5


@pytest.mark.slow
def test_networks(
    accelerator: Accelerator, resnet8, keyword, cifar10_images, keyword_samples
) -> None:
    for model, x in ((resnet8, cifar10_images[:1]), (keyword, keyword_samples[0][:4])):
        plans = fitting_plans(accelerator.overlay, model)
        for plan in (plans[0], next(p for p in plans if p.startswith("flam="))):
            assert_equal(accelerator, model, plan, x)
