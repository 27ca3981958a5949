# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Ctrl-C in the middle of long commands: one line, exit code 130, and only whole files."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import load_model
from axynq.emulator.model import graph
from axynq.host import compile_program
from tests.networks import random_input


def interrupted(words: list[object], until: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, output and messages of a command that gets Ctrl-C once it has said ``until``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "axynq.host.cli", "--verbose", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    said, end = b"", time.monotonic() + 120
    while until.encode() not in said:
        ready, _, _ = select.select([process.stderr], [], [], max(0, end - time.monotonic()))
        more = os.read(process.stderr.fileno(), 4096) if ready else b""
        assert more, said.decode()
        said += more
    time.sleep(0.5)  # in the middle of it
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=120)
    return process.returncode, out.decode(), (said + rest).decode()


@pytest.fixture
def data(tmp_path: Path, digits: graph.Model) -> Path:
    x = random_input(digits, 2000, 0)
    y = np.arange(2000) % 10
    path = tmp_path / "data.npz"
    np.savez(path, x=x, y=y, x_train=x, y_train=y)
    return path


@pytest.mark.slow
def test_run(digits: graph.Model, data: Path, tmp_path: Path) -> None:
    compile_program(digits, "exact", "tiny4").save(tmp_path / "p.axp")
    words = ["run", "p.axp", "--data", data, "--device", "software", "--output", "y.npy"]
    code, out, err = interrupted(words, "tiny4, software ...", tmp_path)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*y.npy*"))  # nothing was complete, and no part is left


@pytest.mark.thorough
def test_explore(digits_path: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pymoo")
    words = ["explore", digits_path, "--data", data, "--output", "found", "--levels", "layer"]
    code, out, err = interrupted(
        [*words, "--evaluations", 4000, "--no-estimate"], "layer", tmp_path
    )
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert {path.name.partition(".")[0] for path in (tmp_path / "found").iterdir()} == {
        "evaluations", "network", "progress"
    }  # fmt: skip


@pytest.mark.thorough
def test_retrain(digits_path: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ["retrain", digits_path, "--data", data, "--plan", "roup:2,6", "--epochs", 500,
             "--held-out", 100, "--checkpoint", "state", "--output", "r.tflite"]  # fmt: skip
    code, out, err = interrupted(words, "behavioural, roup:2,6 ...", tmp_path)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} <= {
        "data.npz", "state", "r.progress.html"
    }  # fmt: skip
    if (tmp_path / "state").exists():
        import torch

        torch.load(tmp_path / "state", weights_only=False)
    load_model(digits_path)


@pytest.mark.thorough
def test_power(digits: graph.Model, tmp_path: Path) -> None:
    """What is measured already is shown, and the log goes on when the command is run again."""
    compile_program(digits, "exact", "tiny4").save(tmp_path / "p.axp")
    words = ["power", "p.axp", "--sensor", "none", "--device", "software", "--rounds", 500,
             "--seconds", 0.05, "--idle", 0.05, "--warm-up", 0, "--output", "log",
             "--json"]  # fmt: skip
    code, out, err = interrupted(words, "p: 500 rounds each ...", tmp_path)
    assert code == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    if out:
        content = json.loads(out)
        assert (content["schema"], content["partial"]) == ("axynq/power/1", True)
        assert err.splitlines()[-2].startswith("rerun the command to resume from slot ")
