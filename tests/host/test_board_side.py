# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What runs on a board needs little: no TFLite schema, no torch, no jinja2."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from axynq.emulator.model import graph
from axynq.host import Overlay, compile_program
from tests.hybrid_networks import Network

BLOCK = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    names = {names!r}

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name.partition(".")[0])

sys.meta_path.insert(0, Blocked())
"""

HEAVY = ("tflite", "flatbuffers", "torch", "jinja2", "hls4ml", "matplotlib", "sklearn", "scipy",
         "PIL", "pandas", "serial", "tflite_runtime", "ai_edge_litert")  # fmt: skip

PROGRAM = """
import numpy as np
from axynq.host import Overlay, Program
from axynq.host.runtime.accelerator import Accelerator
from axynq.host.runtime.execution import Execution
from axynq.host.runtime.host_operators import HostOperators
program = Program.load(sys.argv[1])
assert Overlay.load("tiny4").hash == program.overlay_hash

class Memory:
    def write(self, start, values):
        print("writes", values.size)
    def read(self, start, size):
        return np.zeros(size, np.int8)

x = np.zeros((3, *program.input.shape), np.int8)
execution = Execution(program, HostOperators(program), [x], Memory())
print("starts", len(list(execution.steps())))
print(*execution.outputs[0].shape)
"""


def run(code: str, names: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", BLOCK.format(names=set(names)) + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def program(digits: graph.Model, tmp_path: Path) -> Path:
    path = tmp_path / "digits.axp"
    compile_program(digits, "roup:1,4", "tiny4").save(path)
    return path


def test_running_a_program(program: Path) -> None:
    """Nor the command line's packages."""
    ran = run(PROGRAM, (*HEAVY, "rich", "typer"), program)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:3] == ["writes 768", "starts 1", "3 10"]


def test_what_the_host_computes(tmp_path: Path) -> None:
    """Layers that are too large among it."""
    network = Network((9, 9, 4), seed=3)
    network.lookup(network.convolution(network.convolution(0, 4), 4, 3), "logistic")
    overlay = Overlay.load("tiny4")
    small = overlay.model_copy(
        update={"buffers": overlay.buffers.model_copy(update={"map_words": 32})}
    )
    program = compile_program(network.model(), "roup:1,4", small)
    assert [op.name for op in program.host_operators] == ["convolution_1", "lookup_2"]
    replace(program, overlay_hash=overlay.hash).save(tmp_path / "p.axp")
    ran = run(PROGRAM, (*HEAVY, "rich", "typer"), tmp_path / "p.axp")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:3] == ["writes 972", "starts 1", "3 9 9 4"]


@pytest.mark.parametrize(
    "command",
    ["run --help", "power --help", "selftest --help", "multipliers exact --json"],
)
def test_the_command_line(command: str) -> None:
    code = "from axynq.host.cli import main\nmain()\n"
    ran = run(code, HEAVY, *command.split())
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_the_schema_is_asked_for_where_it_is_needed(tmp_path: Path) -> None:
    code = "from axynq.host.cli import main\nmain()\n"
    ran = run(code, HEAVY, "inspect", "model.tflite")
    assert ran.returncode == 1
    assert "pip install tflite" in ran.stderr
