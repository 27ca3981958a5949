# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Deploying to a board through stand-ins for ``ssh`` and ``rsync``; test_deploy_over_ssh.py has the
real ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.errors import DeviceError
from axynq.emulator.model import graph
from axynq.host.deploy import _results, remote_board
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
# rsync -a -e SHELL --rsync-path=COMMAND --partial-dir=DIR [--delete] FROM TO, one of which is on
# the host, in the folder into which the command changes.
import os, shutil, subprocess, sys
assert sys.argv[1:3] == ["-a", "-e"]
assert sys.argv[5].startswith("--partial-dir=")
command = sys.argv[4].removeprefix("--rsync-path=").removesuffix("rsync") + "pwd"
ran = subprocess.run(["/bin/sh", "-c", command], cwd={home!r}, capture_output=True, text=True)
if ran.returncode:
    sys.exit("rsync: connection unexpectedly closed")
def place(text):
    host, colon, path = text.partition(":")
    if colon:
        assert host == "xilinx@pynq"
        return os.path.normpath(os.path.join(ran.stdout.strip(), path))
    return text
directory = sys.argv[-2].endswith("/")
source, target = map(place, [w for w in sys.argv[6:] if w != "--delete"])
if directory:
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
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == {
        **content,
        "schema": "axynq/run/1",
    }
    assert (board / "axynq-deploy" / "program.axp").is_file()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("--board", "xilinx@nowhere"), "xilinx@nowhere: ssh: Could not resolve hostname"),
        (("--board", "xilinx@nowhere"), "is the board switched on, and its name or address right?"),
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


@pytest.mark.parametrize(
    "host",
    ["", "-oProxyCommand=touch x", "a b", "x@-y", "-x@y", "a;b", "$(id)", "a@b@c", "ssh://a:22",
     "a:b", "xilinx@pynq:22", "a\nb", "a'b"],
)  # fmt: skip
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(DeviceError, match="is no board: write user@host"):
        remote_board(host, "axynq-deploy", "python3")


def test_hosts() -> None:
    for host in (
        "pynq",
        "xilinx@pynq",
        "192.168.2.99",
        "xilinx@fe80::1%eth0",
        "::1",
        "pynq-z2.local",
    ):
        assert remote_board(host, "x", "python3").host == host
    assert remote_board("a@[::1]", "x", "python3").host == "a@::1"
    assert remote_board("a@::1", "x", "python3").host_for_rsync == "a@[::1]"
    assert remote_board("a@b", "x", "python3").host_for_rsync == "a@b"


@pytest.mark.parametrize(
    "folder",
    ["", " ", ".", "./", "..", "../x", "x/../..", "/", "//", "~", "~/", "~root", "~root/x", "a\nb",
     "/home/..", "\0"],
)  # fmt: skip
def test_folders_that_cannot_be_emptied(folder: str) -> None:
    with pytest.raises(DeviceError, match="is no folder to deploy to"):
        remote_board("a@b", folder, "python3")


def test_folders() -> None:
    for folder, place in (("x", "./x"), ("~/x/y/", "./x/y"), ("-x", "./-x"), ("/tmp/x", "/tmp/x")):
        assert remote_board("a@b", folder, "python3").folder == place


def test_a_folder_that_holds_something_else(
    axynq, board: Path, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    (board / "thesis").mkdir()
    (board / "thesis" / "chapter.tex").write_text("years of work")
    bundled = tmp_path / "out" / "bundle" / "mine"
    bundled.mkdir(parents=True)
    code, out, err = axynq("deploy", digits_path, "--overlay", "tiny4", "--data", digits_data,
                           "--board", "xilinx@pynq", "--device", "software", "--folder", "thesis",
                           "--output", tmp_path / "out")  # fmt: skip
    assert (code, out) == (1, "")
    assert "the folder './thesis' holds something that deploy did not put there" in err
    assert (board / "thesis" / "chapter.tex").read_text() == "years of work"
    assert bundled.is_dir()
    assert list((tmp_path / "out").iterdir()) == [bundled.parent]


@pytest.mark.parametrize("printed", ["", "Welcome to PYNQ", "{", "[]", "{}", '{"examples": 1}'])
def test_results_that_are_none(printed: str) -> None:
    with pytest.raises(DeviceError, match=r"printed no results|the results lack"):
        _results(printed, remote_board("a@b", "x", "python3"))


def test_a_board_whose_shell_greets() -> None:
    results = '{"examples": 1, "accuracy": 1, "seconds": 0}'
    assert _results(f"Welcome\n{results}", remote_board("a@b", "x", "python3"))["examples"] == 1


def test_no_ssh(axynq, digits_path, digits_data, tmp_path: Path, monkeypatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("shutil.which", lambda name: None)
    code, _, err = axynq("deploy", digits_path, "--overlay", "tiny4", "--data", digits_data,
                         "--board", "b", "--device", "software", "--output", empty)  # fmt: skip
    assert code == 1
    assert "deploying needs ssh" in err
