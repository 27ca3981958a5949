# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks that host and accelerator compute together: the software board gives what the emulator
gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from axynq.emulator import Emulator
from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host import Accelerator, compile_program
from axynq.host.performance.loops import program_counts
from axynq.host.software_board.simulation import Simulation
from tests.any_network import any_models, random_inputs
from tests.host.test_segments import unpredictable
from tests.hybrid_networks import Network, branches


@pytest.fixture(scope="module")
def tiny4() -> Iterator[Accelerator]:
    with Accelerator("tiny4", device="software") as opened:
        yield opened


def all_outputs(y: object) -> tuple[graph.Int8Array, ...]:
    return y if isinstance(y, tuple) else (y,)


@pytest.fixture
def counted(tiny4: Accelerator) -> Iterator[list[dict[str, int]]]:
    """What the loops did in each start of the core."""
    simulation = tiny4.device.core.simulation
    found: list[dict[str, int]] = []

    def run(*arguments: object) -> None:
        Simulation.run(simulation, *arguments)
        found.append(simulation.counters())

    simulation.run = run
    yield found
    del simulation.run


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=any_models(most=8))
def test_any_network(tiny4: Accelerator, counted: list[dict[str, int]], model: graph.Model) -> None:
    """Stage by stage, the loops do what the cycle model counts."""
    plan = "flam=exact|roup:1,4" if model.layers else None
    try:
        program = compile_program(model, plan, tiny4.overlay)
    except ProgramError as error:
        if "nothing for the accelerator to do" not in str(error):
            raise
        return
    x = random_inputs(model, 3, 0)
    counted.clear()
    found = all_outputs(tiny4.run(program, x))
    assert counted == [asdict(counts) for counts in program_counts(program, tiny4.overlay, 3)]
    expected = all_outputs(Emulator(model, plan, engine="portable").run(x))
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(8))
def test_parts_of_a_map_in_any_segments(tiny4: Accelerator, seed: int, monkeypatch) -> None:
    if seed % 2:
        unpredictable(monkeypatch, seed)
    model, plan = branches(seed), "flam=exact|roup:1,4"
    program, x = compile_program(model, plan, tiny4.overlay), random_inputs(model, 3, seed)
    found, expected = tiny4.run(program, x), Emulator(model, plan).run(x)
    for one, other in zip(all_outputs(found), all_outputs(expected), strict=True):
        assert np.array_equal(one, other)
    (counts,) = program_counts(program, tiny4.overlay, 3)
    assert asdict(counts) == tiny4.device.core.simulation.counters()


def test_outputs_that_no_input_decides(tiny4: Accelerator) -> None:
    """Constants as outputs, as inputs of layers, and behind operators."""
    network = Network((3, 4, 4), 5)
    constant = network.constant(network.rng.integers(-128, 128, (3, 4, 4)), 0.05, 3)
    first = network.convolution(0, 4)
    second = network.convolution(constant, 4, 3)
    third = network.lookup(constant, "absolute")
    total = network.add(graph.Add, (first, third), network.new((3, 4, 4)))
    last = network.convolution(network.pool(total), 3)
    model = network.model(constant, second, third, 0, last)
    program, emulator = compile_program(model, None, tiny4.overlay), Emulator(model)
    for images in (0, 1, 65):
        x = random_inputs(model, images, 0)
        for one, other in zip(tiny4.run(program, x), emulator.run(x), strict=True):
            assert one.shape == other.shape
            assert np.array_equal(one, other)
