# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Maps that stay on chip, words that come in ahead: the C simulation under any choice of what runs
image by image."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from axynq.host import Accelerator, compile_program
from axynq.host.performance.loops import program_phases
from tests.equality.whole_way import assert_equal
from tests.host.test_segments import random_chain, unpredictable
from tests.networks import random_input


@pytest.fixture(scope="module")
def tiny4() -> Iterator[Accelerator]:
    with Accelerator("tiny4", device="software") as opened:
        yield opened


@pytest.mark.parametrize("seed", range(12))
def test_any_choice_computes_the_same(tiny4: Accelerator, seed: int, monkeypatch) -> None:
    unpredictable(monkeypatch, seed)
    model = random_chain(seed)
    assert_equal(tiny4, model, "flam=exact|roup:1,4", random_input(model, 1 + seed % 4, seed))


def test_there_are_all_kinds_among_them(tiny4: Accelerator, monkeypatch) -> None:
    """Of each run of words that the simulation takes apart there is one."""
    loaded, ahead, stored, alone = 0, 0, 0, 0
    for seed in range(12):
        unpredictable(monkeypatch, seed)
        for phase in program_phases(compile_program(random_chain(seed), "exact", tiny4.overlay)):
            alone += phase.whole_batch
            ahead += phase.ahead_words > 0
            if not phase.whole_batch:
                loaded += phase.residual_loaded
                stored += phase.destination_stored and not phase.segment_phases
    assert min(loaded, ahead, stored, alone) > 0
