# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The page about multipliers of one's own: its commands run, in a copy of the example."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator.datasets import handwritten_digits
from axynq.host.cli import main
from axynq.host.netlists.characterise import STIMULUS, characterise
from axynq.host.netlists.operands import shipped_operands
from tests.conftest import data_file
from tests.docs.documents import ROOT, document

PAGE = document("docs/own-multiplier.md")
EXAMPLE = ROOT / "examples" / "own_multiplier"
NEEDS_VIVADO = "build"


@pytest.fixture
def folder(tmp_path: Path, digits_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in EXAMPLE.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(digits_path, tmp_path / "digits_int8.tflite")
    test = handwritten_digits("test").evenly(60)
    np.savez(tmp_path / "digits.npz", x=test.x, y=test.y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.thorough
@pytest.mark.usefixtures("folder")
def test_the_commands_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [shlex.split(line) for line in PAGE.commands("axynq")]
    assert lines[-1][1] == NEEDS_VIVADO
    for line in lines[:-1]:
        assert ended(line, monkeypatch) == 0, f"{line}: {capsys.readouterr().err}"
    capsys.readouterr()
    # The software board is as accurate as the emulator says.
    plan = next(line for line in lines if line[1] == "compile")[4]
    accuracies = []
    for line in (
        ["axynq", "evaluate", "digits_int8.tflite", "--data", "digits.npz", "--plan", plan],
        next(line for line in lines if line[1] == "run"),
    ):
        assert ended([*line, "--json"], monkeypatch) == 0
        accuracies.append(json.loads(capsys.readouterr().out)["accuracy"])
    assert accuracies[0] == accuracies[1] > 0.9


@pytest.mark.thorough
def test_figures_of_evoapproxlib() -> None:
    """Where its files are."""
    (rows,) = PAGE.tables("EvoApproxLib")
    stimuli = {STIMULUS: shipped_operands()}
    for name, luts, chains, levels, energy in rows[1:]:
        (row,) = characterise([f"table:{data_file('evoapproxlib', f'{name}.c')}"], stimuli)
        activity = row.relative[STIMULUS]
        assert (str(row.luts), str(row.carry4s), str(row.levels)) == (luts, chains, levels), name
        assert f"{activity.zero_delay:.2f} / {activity.unit_delay:.2f}" == energy, name


def test_excerpts_are_of_the_files() -> None:
    own, verilog = (EXAMPLE / name for name in ("own.toml", "truncated.v"))
    (module,) = PAGE.blocks("verilog")
    assert module in verilog.read_text()
    beside, lanes = PAGE.blocks("toml")
    assert lanes in own.read_text()
    stated = "\n".join(line for line in beside.splitlines() if not line.startswith("#"))
    assert stated in (EXAMPLE / "truncated.v.toml").read_text()
    named = re.findall(r"^# ([\w, ]+?) =", beside, re.MULTILINE)
    assert named[0].split(", ") == ["activation", "weight", "product", "clock", "enable", "reset"]
