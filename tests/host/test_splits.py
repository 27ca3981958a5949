"""What the host computes of a network, and how parts of a map come together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.model import graph
from axynq.host import Overlay, Program, compile_program, isa_model
from axynq.host.isa_derived import check_derived
from axynq.host.performance.loops import program_phases
from tests.execution import execute
from tests.host.test_isa_model import array_of, finish_steps
from tests.host.test_segments import unpredictable
from tests.hybrid_networks import branches
from tests.overlays import write_overlay


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """With memories so small that a few maps fill them."""
    folder: Path = tmp_path_factory.mktemp("overlay")
    return write_overlay(
        folder, requantisers=1, map_words=256, weight_vectors=64, groups=8, partial_sums=512
    )


def assert_equal(model: graph.Model, overlay: Overlay, images: int = 2) -> Program:
    """The page's accelerator gives what the emulator gives."""
    program = compile_program(model, "roup:1,4", overlay)
    rng = np.random.default_rng(0)
    x = [rng.integers(-128, 128, (images, *t.shape)).astype(np.int8) for t in program.inputs]
    found = execute(program, x, partial(isa_model.run_program, array_of(overlay)))
    expected = Emulator(model, "roup:1,4", engine="portable").run(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for one, other in zip(found, expected):
        assert np.array_equal(one, other)
    for descriptor in program_phases(program):
        check_derived(descriptor, array_of(overlay), finish_steps(overlay))
    return program


@pytest.mark.parametrize("seed", range(6))
def test_parts_of_a_map_in_any_segments(small: Overlay, seed: int, monkeypatch) -> None:
    unpredictable(monkeypatch, seed)
    assert_equal(branches(seed), small)


def test_concatenations_move_nothing() -> None:
    """Layers write where the concatenation has it; what others read too is copied by the core."""
    programs = [compile_program(branches(seed), None, "tiny4") for seed in range(20)]
    assert not any(program.host_operators for program in programs)
    assert {len(program.core_stages) for program in programs} == {1}
    copies = [name for p in programs for name in p.layers if name.startswith("concatenation")]
    assert copies
