# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fixtures of the host's tests: the command line, and data for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.model import graph
from axynq.host.cli import main
from axynq.host.cli.schemas.registry import SCHEMAS


def check_schema(printed: str) -> None:
    """That what a command printed with ``--json`` is of a kind that is published."""
    SCHEMAS[json.loads(printed)["schema"]].model_validate_json(printed)


@pytest.fixture
def axynq(monkeypatch, capsys, tmp_path: Path):
    """Runs a command: exit code, standard output, standard error. What it writes by default goes
    into a temporary folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["axynq", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        if "--json" in arguments and captured.out:
            check_schema(captured.out)
        return code, captured.out, captured.err

    return run


@pytest.fixture
def digits_data(tmp_path: Path, digits: graph.Model) -> Path:
    """The first held-out digits as a .npz."""
    test = handwritten_digits("test")
    np.savez(tmp_path / "digits.npz", x=test.x[:40], y=test.y[:40])
    return tmp_path / "digits.npz"
