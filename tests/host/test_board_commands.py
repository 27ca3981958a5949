# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``axynq build``, ``selftest`` and ``run`` on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.errors import DeviceError
from axynq.emulator.model import graph
from axynq.host import Accelerator, Overlay, compile_program
from axynq.host.cli import run as run_command
from axynq.host.runtime.driver import AcceleratorDriver
from tests.host.test_cli import json_of

# --- build ---------------------------------------------------------------------------------------


@pytest.fixture
def tools(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("tkinter")
    from tests.host.vivado import install

    (tmp_path / "bin").mkdir()
    install(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path / "bitstreams"))


def test_build(axynq, tools, tmp_path: Path) -> None:
    work = ("--work", tmp_path / "work")
    content = json_of(axynq("build", "--overlay", "tiny4", "--board", "pynq-z2", *work, "--json"))
    assert content["manifest"] == str(tmp_path / "bitstreams" / "tiny4.json")
    assert content["golden"]["name"] == "tiny4.npz"
    code, out, _ = axynq("build", "--overlay", "tiny4", *work)
    assert code == 0
    assert "31862 of 53200 (59.9 %)" in out


def test_build_for_another_board(axynq, tools, tmp_path: Path) -> None:
    arguments = ("build", "--overlay", "tiny4", "--work", tmp_path / "work", "--board", "kv260")
    code, _, err = axynq(*arguments)
    assert code == 1
    assert "is for pynq-z2, not kv260" in " ".join(err.split())
    content = json_of(axynq(*arguments, "--retarget", "--json"))
    assert (content["board"], content["overlay"]["name"]) == ("kv260", "tiny4-kv260")
    # programs are compiled for the description that lies beside the bitstream
    described = Overlay.load(tmp_path / "bitstreams" / "tiny4-kv260.toml")
    assert described.hash == content["overlay_hash"]


def test_build_without_tools(axynq, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = axynq("build", "--overlay", "tiny4", "--work", tmp_path / "work")
    assert code == 1
    assert out == ""
    assert "needs Vitis HLS (v++, vitis-run) and Vivado (vivado)" in " ".join(err.split())


# --- selftest ------------------------------------------------------------------------------------


def test_selftest(axynq) -> None:
    arguments = ("selftest", "--overlay", "tiny4", "--device", "software", "--stride", 128)
    content = json_of(axynq(*arguments, "--soak", 0.1, "--json"))
    assert content["passed"] is True
    assert content["checks"][-1]["check"] == "soak"
    code, out, _ = axynq(*arguments)
    assert code == 0
    assert "golden vectors" in out


def test_a_selftest_that_fails(axynq, monkeypatch) -> None:
    right = Accelerator.run

    def wrong(self, program, x):
        y = right(self, program, x).copy()
        if program.model == "pad":
            y.reshape(-1).view(np.uint8)[7] ^= 64
        return y

    monkeypatch.setattr(Accelerator, "run", wrong)
    code, out, err = axynq("selftest", "--overlay", "tiny4", "--device", "software",
                           "--stride", 128, "--json")  # fmt: skip
    assert code == 1
    content = json.loads(out)
    assert content["passed"] is False
    (outcome,) = (c for c in content["checks"] if c["check"] == "golden vectors")
    assert outcome["wrong"] == 1
    assert outcome["detail"].startswith("pad, exact: ")
    assert "the self-test failed: golden vectors" in err


# --- run -----------------------------------------------------------------------------------------


@pytest.fixture
def program(digits: graph.Model, tmp_path: Path) -> Path:
    compile_program(digits, "roup:1,4", "tiny4").save(tmp_path / "p.axp")
    return tmp_path / "p.axp"


def test_run_beside_the_processor(axynq, program, digits_path, digits_data) -> None:
    pytest.importorskip("tflite_runtime")
    arguments = ("run", program, "--data", digits_data, "--device", "software",
                 "--baseline", digits_path, "--limit", 10)  # fmt: skip
    content = json_of(axynq(*arguments, "--json"))
    assert content["baseline"]["accuracy"] > 0.8
    assert content["baseline"]["same_class"] > 0.8
    assert content["latency_ms"] > 0
    code, out, _ = axynq(*arguments)
    assert code == 0
    assert "tflite_runtime, 1 threads" in out
    assert "same class on" in out


def test_run_with_interrupts(axynq, program, digits_data, monkeypatch) -> None:
    waited = []
    start = AcceleratorDriver.start

    def noting(self, *arguments) -> None:
        waited.append(arguments[3])
        start(self, *arguments)

    monkeypatch.setattr(AcceleratorDriver, "start", noting)
    arguments = ("run", program, "--data", digits_data, "--device", "software", "--limit", 3)
    assert axynq(*arguments, "--wait", "interrupt")[0] == 0
    assert set(waited) == {True}
    code, _, err = axynq(*arguments, "--wait", "forever")
    assert code == 2
    assert "'forever' is not one of 'polling', 'interrupt'" in err


@pytest.mark.parametrize("fault", [DeviceError("the core did not finish"), KeyboardInterrupt()])
def test_what_was_done_before_a_fault_is_kept(
    axynq, program, digits: graph.Model, digits_data, tmp_path: Path, monkeypatch, fault
) -> None:
    monkeypatch.setattr(run_command, "STEP", 16)
    right = Accelerator.run
    calls = 0

    def failing(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise fault
        return right(self, *arguments)

    monkeypatch.setattr(Accelerator, "run", failing)
    code, _, err = axynq("run", program, "--data", digits_data, "--device", "software",
                         "--output", tmp_path / "y.npy")  # fmt: skip
    assert code == (130 if isinstance(fault, KeyboardInterrupt) else 1)
    assert "holds the first 32 of 40 outputs" in " ".join(err.split())
    expected = Emulator(digits, "roup:1,4").run(handwritten_digits("test").x[:32])
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)


def test_a_full_disk(axynq, program, digits_data, tmp_path: Path) -> None:
    (tmp_path / "y.npy").symlink_to("/dev/full")
    code, _, err = axynq("run", program, "--data", digits_data, "--device", "software",
                         "--limit", 2, "--output", tmp_path / "y.npy")  # fmt: skip
    assert code == 1
    assert "cannot be written" in err
