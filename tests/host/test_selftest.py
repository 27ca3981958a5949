# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The self-test passes on the software board, and fails where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.errors import DeviceError, OverlayError
from axynq.host import Accelerator, Overlay, compile_program, isa
from axynq.host.performance.loops import program_phases
from axynq.host.selftest import checks, golden
from axynq.host.selftest.networks import Random, networks, random_inputs, random_network
from axynq.host.selftest.products import WEIGHTS, product_layers
from tests.overlays import write_overlay


@pytest.fixture(scope="module")
def accelerator():
    with Accelerator("tiny4", device="software") as opened:
        yield opened


def test_the_vectors_are_not_trivial() -> None:
    for case, y in golden.read(Overlay.load("tiny4")).items():
        values, counts = np.unique(y, return_counts=True)
        assert len(values) >= 8, case
        assert counts.max() < 0.7 * y.size, case


def test_every_opcode_is_used() -> None:
    used = set()
    for model in networks():
        program = compile_program(model, "exact", "tiny4")
        used |= {phase.opcode for phase in program_phases(program)}
    assert used == set(isa.Opcode)


def test_random_networks_vary() -> None:
    kinds = {type(op).__name__ for seed in range(60)
             for op in random_network(Random(seed)).operators}  # fmt: skip
    assert kinds == {"Convolution", "DepthwiseConvolution", "FullyConnected", "Pool", "Pad", "Add"}


@pytest.mark.parametrize("spec", ["exact", "roup:1,4", "roup:2,6", "smapprox:3330"])
def test_product_layers_show_every_bit(spec: str) -> None:
    """A change of any product by one changes an output, for nearly all operand pairs; and what is
    expected is what the emulator says."""
    overlay = Overlay.load("tiny4")
    seen = pairs = 0
    for number, layer in enumerate(product_layers(overlay, spec, WEIGHTS[::5])):
        seen += layer.seen
        pairs += 256
        assert max(len(np.unique(layer.x[..., channel])) for channel in range(4)) == 256
        if number % 10 == 0:
            assert np.array_equal(Emulator(layer.model, spec).run(layer.x), layer.expected)
    assert seen > 0.99 * pairs


def test_everything_passes(accelerator: Accelerator) -> None:
    outcomes = list(checks.run_checks(accelerator, soak=0.1, stride=64, seed=5))
    names = [outcome.check for outcome in outcomes]
    assert names[0] == "golden vectors"
    assert {f"products of {s}" for s in golden.designs(accelerator.overlay)} <= set(names)
    assert names[-3:] == ["stages", "odd sizes", "soak"]
    for outcome in outcomes:
        assert outcome.passed, outcome


@pytest.mark.slow
def test_an_overlay_without_vectors(tmp_path) -> None:
    overlay = write_overlay(tmp_path)
    with pytest.raises(OverlayError, match="no golden vectors ship"):
        golden.read(overlay)
    with Accelerator(overlay, device="software") as opened:
        outcome = checks.check_golden(opened)
    assert outcome.passed
    assert "computed here" in outcome.detail


@pytest.mark.parametrize("check", ["golden", "products", "repeats", "stages", "sizes", "soak"])
def test_one_wrong_bit_is_found(accelerator: Accelerator, monkeypatch, check: str) -> None:
    right = accelerator.run
    calls = 0

    def wrong(program, x):
        nonlocal calls
        calls += 1
        y = right(program, x).copy()
        if calls == 1:
            y.reshape(-1).view(np.uint8)[-1] ^= 1
        return y

    monkeypatch.setattr(accelerator, "run", wrong)
    outcome = {
        "golden": lambda: checks.check_golden(accelerator),
        "products": lambda: checks.check_products(accelerator, "roup:1,4", 64),
        "repeats": lambda: checks.check_repeats(accelerator),
        "stages": lambda: checks.check_stages(accelerator),
        "sizes": lambda: checks.check_sizes(accelerator),
        "soak": lambda: checks.check_soak(accelerator, 0.01, 0),
    }[check]()
    assert not outcome.passed
    assert outcome.wrong == 1
    assert "not" in outcome.detail


def test_a_core_with_another_multiplier_is_found(accelerator: Accelerator, monkeypatch) -> None:
    """The lanes hold roup:1,4 where the test thinks they hold roup:0,4."""
    monkeypatch.setattr(
        "axynq.host.selftest.checks.compile_program",
        lambda model, plan, overlay: compile_program(model, "roup:1,4", overlay),
    )
    layers = list(product_layers(accelerator.overlay, "exact", np.array([77])))
    assert layers
    outcome = checks.check_products(accelerator, "exact", 128)
    assert outcome.wrong > 1000


def test_a_device_that_fails(accelerator: Accelerator, monkeypatch) -> None:
    def fail(program, x):
        raise DeviceError("the core did not finish")

    monkeypatch.setattr(accelerator, "run", fail)
    for outcome in checks.run_checks(accelerator, 0.01, 64, 0):
        assert not outcome.passed
        assert "the core did not finish" in outcome.detail


def test_inputs_are_the_same_on_every_machine() -> None:
    x = random_inputs(networks()[0], 1, Random(3))
    assert x.reshape(-1)[:5].tolist() == [-22, 24, 121, 3, 56]
