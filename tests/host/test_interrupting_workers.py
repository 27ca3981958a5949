# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Ctrl-C and SIGTERM while Dask workers evaluate."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator.model import graph
from axynq.emulator.studies.search.store import Store
from tests.networks import random_input


@pytest.fixture
def data(tmp_path: Path, digits: graph.Model) -> Path:
    x = random_input(digits, 2000, 0)
    y = np.arange(2000) % 10
    path = tmp_path / "data.npz"
    np.savez(path, x=x, y=y, x_train=x, y_train=y)
    return path


def evaluated(path: Path) -> int:
    """Evaluations in the store of a process that is at work."""
    try:
        with Store(path) as store:
            return len(store)
    except sqlite3.Error:
        return 0


def members(group: int) -> list[int]:
    """Processes of a process group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(folder.name))
    return found


def wait_until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "everybody", "code", "message"),
    [
        (signal.SIGINT, True, 130, "interrupted"),  # as a terminal sends it
        (signal.SIGTERM, False, 143, "terminated"),
    ],
)
def test_workers_end_cleanly(
    digits_path: Path, data: Path, tmp_path: Path,
    number: int, everybody: bool, code: int, message: str,
) -> None:  # fmt: skip
    pytest.importorskip("distributed")
    command = [
        *(sys.executable, "-m", "axynq.host.cli", "explore", digits_path, "--data", data),
        *("--output", tmp_path / "found", "--workers", "2", "--levels", "layer"),
        *("--evaluations", "4000", "--no-estimate"),
    ]
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    store = tmp_path / "found" / "evaluations.sqlite"
    wait_until(lambda: process.poll() is not None or (store.exists() and evaluated(store) > 0))
    assert len(members(process.pid)) > 2
    (os.killpg if everybody else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors.split()) == (code, [message])
    wait_until(lambda: not members(process.pid))
    assert evaluated(store) > 0  # kept: the same command resumes
