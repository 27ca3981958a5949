"""Deploying to a board: ``ssh`` and ``rsync`` are programs that do it on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.model import graph
from tests.host.test_cli import json_of

SSH = """#!{python}
# ssh [-o OPTION]... HOST COMMAND: the host's home directory is a folder here.
import os, subprocess, sys
words = sys.argv[1:]
while words[0] == "-o":
    words = words[2:]
host, command = words
if host != "xilinx@pynq":
    print("ssh: Could not resolve hostname", host, file=sys.stderr)
    sys.exit(255)
sys.exit(subprocess.run(["/bin/sh", "-c", command], cwd={home!r}).returncode)
"""

RSYNC = """#!{python}
# rsync -a [--delete] -e SHELL FROM TO, one of which is on the host.
import os, shutil, sys
words = [w for w in sys.argv[1:] if w not in ("-a", "--delete")]
assert words[0] == "-e"
def place(text):
    host, colon, path = text.partition(":")
    if colon:
        assert host == "xilinx@pynq"
        return os.path.join({home!r}, path)
    return text
source, target = map(place, words[2:])
if source.endswith("/"):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
else:
    shutil.copy(source, target)
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch) -> Path:
    """The home directory on the board."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    for name, text in (("ssh", SSH), ("rsync", RSYNC)):
        path = programs / name
        path.write_text(
            text.replace("{python}", sys.executable).replace("{home!r}", repr(str(home)))
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return home


def test_deploy(
    axynq, board: Path, digits_path: Path, digits: graph.Model, digits_data: Path, tmp_path: Path
) -> None:  # fmt: skip
    arguments = ["deploy", digits_path, "--plan", "flam=exact|roup:1,4", "--overlay", "tiny4",
                 "--board", "xilinx@pynq", "--data", digits_data, "--device", "software",
                 "--python", sys.executable, "--output", tmp_path / "out"]  # fmt: skip
    content = json_of(axynq(*arguments, "--baseline", "--json"))
    expected = Emulator(digits, "flam=exact|roup:1,4").run(handwritten_digits("test").x[:40])
    assert np.array_equal(np.load(tmp_path / "out" / "outputs.npy"), expected)
    assert content["examples"] == 40
    assert content["baseline"]["same_class"] > 0.9
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == content
    assert (board / "axynq-deploy" / "program.axp").is_file()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("--board", "xilinx@nowhere"), "xilinx@nowhere: ssh: Could not resolve hostname"),
        (("--board", "xilinx@nowhere"), "ssh must work without a password"),
        (("--device", "auto"), "there is no bitstream for overlay 'tiny4'"),
        (("--python", "false"), "xilinx@pynq: exit code 1"),
        (("--wheel", "gone.whl"), "the wheel 'gone.whl' is not there"),
    ],
)
def test_faults(
    axynq, board, digits_path, digits_data, tmp_path: Path, monkeypatch, change, reason: str
) -> None:  # fmt: skip
    monkeypatch.setenv("AXYNQ_BITSTREAMS", str(tmp_path / "none"))
    options = {"--board": "xilinx@pynq", "--device": "software", "--python": sys.executable}
    options |= dict([change])
    words = [word for pair in options.items() for word in pair]
    code, out, err = axynq("deploy", digits_path, "--overlay", "tiny4", "--data", digits_data,
                           "--output", tmp_path / "out", *words)  # fmt: skip
    assert code == 1
    assert out == ""
    assert reason in " ".join(err.split())


def test_no_ssh(axynq, digits_path, digits_data, tmp_path: Path, monkeypatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("shutil.which", lambda name: None)
    code, _, err = axynq("deploy", digits_path, "--overlay", "tiny4", "--data", digits_data,
                         "--board", "b", "--device", "software", "--output", empty)  # fmt: skip
    assert code == 1
    assert "deploying needs ssh" in err
