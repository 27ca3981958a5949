# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Emulators in several threads and processes, and copies of them."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.engine.choice import PORTABLE
from axynq.emulator.engine.kernel import load_kernel, supported_variants
from axynq.emulator.engine.pool import ArrayPool
from axynq.emulator.model import graph
from axynq.emulator.multipliers import multiplier
from axynq.host import compile_program
from tests.networks import random_input

PLAN = "flam=exact|roup:1,4"
SPECS = ("exact", "roup:1,4", "smapprox:3330")


@pytest.fixture
def table_file(tmp_path) -> str:
    values = np.arange(256)[:, None] * np.arange(256)[None, :] & ~3
    np.save(tmp_path / "table.npy", values)
    return f"table:{tmp_path / 'table.npy'}"


def copies() -> list[Callable[[Any], Any]]:
    return [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]


@pytest.mark.parametrize("engine", ["auto", "generic", PORTABLE])
def test_copies_of_an_emulator(digits: graph.Model, engine: str) -> None:
    x = random_input(digits, 70, 0)
    emulator = Emulator(digits, PLAN, engine=engine, threads=2)
    for copied in [make(emulator) for make in copies()]:
        assert np.array_equal(copied.run(x), emulator.run(x))
        assert (copied.engine, copied.threads) == (emulator.engine, 2)
        assert copied.plan == emulator.plan


def test_an_emulator_whose_engine_is_not_there(digits: graph.Model, monkeypatch) -> None:
    named = supported_variants()[0].name
    if named == "generic":
        pytest.skip("this processor has the generic engine only")
    monkeypatch.delenv("AXYNQ_ENGINE", raising=False)
    x = random_input(digits, 3, 0)
    emulator = Emulator(digits, PLAN, engine=named)
    pickled = pickle.dumps(emulator)
    monkeypatch.setattr("axynq.emulator.engine.kernel.processor_features", frozenset)
    load_kernel.cache_clear()
    copied = pickle.loads(pickled)
    assert copied.engine == "generic"
    assert np.array_equal(copied.run(x), emulator.run(x))
    load_kernel.cache_clear()


def test_copies_of_what_it_is_made_of(digits: graph.Model, table_file: str) -> None:
    x = random_input(digits, 3, 0)
    for make in copies():
        for spec in (*SPECS, table_file):
            mine = multiplier(spec)
            hash(mine)
            theirs = make(mine)
            assert theirs == mine
            assert hash(theirs) == hash(mine)
            assert not theirs.table.flags.writeable
        plan = Plan.parse(digits, PLAN)
        assert make(plan) == plan
        model = make(digits)
        assert np.array_equal(Emulator(model, make(plan)).run(x), Emulator(digits, plan).run(x))
        program = compile_program(digits, plan, "tiny4")
        copied = make(program)
        assert np.array_equal(copied.memory, program.memory)
        assert copied.layers == program.layers


def _there(
    emulator: Emulator, x: np.ndarray, multipliers: list[Any]
) -> tuple[np.ndarray, list[bool]]:
    return emulator.run(x), [m == multiplier(m.spec) for m in multipliers]


def test_in_another_process(digits: graph.Model, table_file: str, monkeypatch) -> None:
    """Also where the file of a table is not: its products travel. Hashes are other ones there."""
    x = random_input(digits, 5, 0)
    emulator = Emulator(digits, f"flam=exact|{table_file}")
    multipliers = [multiplier(spec) for spec in SPECS]
    for one in multipliers:
        hash(one)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    expected = emulator.run(x)
    with open(table_file.removeprefix("table:"), "wb"):
        pass
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        y, equal = pool.submit(_there, emulator, x, multipliers).result()
    assert np.array_equal(y, expected)
    assert all(equal)


@pytest.mark.parametrize("engine", ["auto", PORTABLE])
def test_threads_share_an_emulator(digits: graph.Model, engine: str) -> None:
    emulator = Emulator(digits, PLAN, engine=engine, threads=1)
    alone = Emulator(digits, PLAN)
    batches = [random_input(digits, 65, seed) for seed in range(4)]
    outputs = [alone.run(x) for x in batches]
    tensors = [alone.tensors(x) for x in batches]
    sums = [
        {name: (s.approximate.copy(), s.exact.copy()) for name, s in alone.accumulators(x).items()}
        for x in batches
    ]

    def use(number: int) -> None:
        x = batches[number % 4]
        found = emulator.accumulators(x)
        assert np.array_equal(emulator.run(x), outputs[number % 4])
        for index, values in emulator.tensors(x).items():
            assert np.array_equal(values, tensors[number % 4][index])
        for name, (approximate, exact) in sums[number % 4].items():
            assert np.array_equal(found[name].approximate, approximate)
            assert np.array_equal(found[name].exact, exact)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(8)))
    finally:
        sys.setswitchinterval(interval)


def test_a_pool_gives_no_array_to_two_threads(monkeypatch) -> None:
    """A second thread asks just when the first one has found an array that nobody holds."""
    pool = ArrayPool()
    pool.take((100,), np.int32)
    found, asked = threading.Event(), threading.Event()
    unused = ArrayPool._unused

    def slow(self: ArrayPool, number: int) -> bool:
        result = unused(self, number)
        if not found.is_set():
            found.set()
            asked.wait(0.1)
        return result

    monkeypatch.setattr(ArrayPool, "_unused", slow)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(pool.take, (100,), np.int32)
        found.wait(60)
        second = pool.take((100,), np.int32)
        asked.set()
        assert not np.shares_memory(first.result(), second)
