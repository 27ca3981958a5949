# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The fuzzer's harnesses work, and what it found is mended.

The fuzzer itself is ``make fuzz``: this feeds each reader its seeds, a few changes of them, and all
inputs that once were a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axynq.emulator.errors import AxynqError
from tests.fuzz.harnesses import FOUND, HARNESSES, mutated

pytestmark = pytest.mark.filterwarnings("ignore")

INPUTS = [(path.parent.name, path) for path in sorted(FOUND.glob("*/*"))]


@pytest.fixture
def feed(tmp_path: Path, monkeypatch) -> Callable[[str, bytes], bool]:
    """Gives a reader an input; whether it takes it. An error that is none of axynq's is raised."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, content: bytes) -> bool:
        harness = HARNESSES[name]
        path = tmp_path / harness.name
        path.write_bytes(content)
        try:
            harness.load(path)
        except AxynqError:
            return False
        return True

    return run


@pytest.mark.parametrize(("name", "path"), INPUTS, ids=[path.name for _, path in INPUTS])
def test_what_was_found_is_mended(feed, name: str, path: Path) -> None:
    feed(name, path.read_bytes())


def test_every_input_has_a_reader() -> None:
    assert {path.name for path in FOUND.iterdir()} <= HARNESSES.keys()


@pytest.mark.parametrize("name", HARNESSES)
def test_harnesses(feed, name: str) -> None:
    """Seeds are as files should be, or some are; changed ones end as they should."""
    harness = HARNESSES[name]
    seeds = list(harness.seeds())
    assert any(feed(name, seed) for seed in seeds)

    @settings(max_examples=6, database=None)
    @given(st.sampled_from(range(len(seeds))), st.integers(0, 2**31), st.binary(max_size=3))
    def changed(place: int, number: int, end: bytes) -> None:
        feed(name, mutated(harness, seeds[place], number) + end)

    changed()
