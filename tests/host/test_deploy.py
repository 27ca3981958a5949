"""Deploying to a board: over a real ssh server on this machine where one is installed, else and
besides through stand-ins for ``ssh`` and ``rsync``."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.errors import DeviceError
from axynq.emulator.model import graph
from axynq.host.deploy import MARK, _results, _rsync, copy_to, fetch_from, remote_board
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
# rsync -a -e SHELL --rsync-path=COMMAND [--delete] FROM TO, one of which is on the host, in the
# folder into which the command changes.
import os, shutil, subprocess, sys
assert sys.argv[1:3] == ["-a", "-e"]
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
source, target = map(place, [w for w in sys.argv[5:] if w != "--delete"])
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


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Path, Path]]:
    """An ssh server on this machine: the home directory behind it, and a folder with an ``ssh``
    that knows it as ``board``."""
    daemon = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
    for name in (daemon, shutil.which("ssh"), shutil.which("ssh-keygen"), shutil.which("rsync")):
        if name is None:
            pytest.skip("no ssh server, ssh or rsync here: apt install openssh-server rsync")
    # Not below pytest's folder: others may write there, and ssh is strict.
    with tempfile.TemporaryDirectory(prefix="axynq-ssh-") as folder:
        here = Path(folder)
        home = here / "home"
        home.mkdir()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(here / key)],
                           check=True)  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        session = f'cd {home}; export HOME={home}; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
        (here / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {here / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {here / 'user'}.pub\nStrictModes no\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nForceCommand {session}\n"
        )
        (here / "ssh_config").write_text(
            f"Host board\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\n"
            f"IdentityFile {here / 'user'}\nIdentitiesOnly yes\nStrictHostKeyChecking no\n"
            f"UserKnownHostsFile {here / 'known'}\nLogLevel ERROR\n"
            f"ControlPath {here / 'shared'}\n"
        )
        programs = here / "bin"
        programs.mkdir()
        ssh = programs / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {here / "ssh_config"} "$@"\n')
        ssh.chmod(0o755)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it
        with (here / "log").open("w") as log:
            ran = subprocess.Popen(
                [daemon, "-D", "-e", "-f", str(here / "sshd_config")], stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + 30
            while "listening" not in (here / "log").read_text().lower():
                if ran.poll() is not None or time.monotonic() > deadline:
                    pytest.skip(f"sshd does not start: {(here / 'log').read_text()}")
                time.sleep(0.02)
            # One connection for all commands: what makes one is the same as without.
            quiet = subprocess.DEVNULL
            subprocess.run([ssh, "-M", "-N", "-f", "board"], stdin=quiet, stdout=quiet,
                           stderr=quiet, check=True)  # fmt: skip
            yield home, programs
            subprocess.run([ssh, "-O", "exit", "board"], stderr=quiet, check=True)
        finally:
            ran.terminate()
            ran.wait()


@pytest.fixture
def real_board(server, monkeypatch) -> Path:
    """The home directory on the board, empty."""
    home, programs = server
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    for entry in home.iterdir():
        shutil.rmtree(entry)
    return home


FOLDERS = ["it's $HOME", "$(touch pwned);touch pwned `touch pwned`", "-rf", "[x]*", 'a:b "ü"\\']


@pytest.mark.slow
def test_folders_of_any_name_over_ssh(real_board: Path, tmp_path: Path) -> None:
    source = tmp_path / "it's: local"
    source.mkdir()
    (source / MARK).touch()
    (source / "file").write_text("1")
    for name in FOLDERS:
        remote = remote_board("board", name, "python3")
        copy_to(remote, source)
        (real_board / name / "result").write_text(name)
        fetch_from(remote, "result", tmp_path / "fetched")
        assert (tmp_path / "fetched").read_text() == name
    assert sorted(path.name for path in real_board.iterdir()) == sorted(FOLDERS)
    copy_to(remote, source)  # again: what else is there goes
    assert sorted(path.name for path in (real_board / name).iterdir()) == [MARK, "file"]


def test_nothing_else_is_removed_over_ssh(real_board: Path, tmp_path: Path) -> None:
    mine, empty, deployed = (real_board / name for name in ("mine", "empty", "deployed"))
    for folder in (mine, empty, deployed):
        folder.mkdir()
    (mine / ".hidden").write_text("mine")
    (real_board / "link").symlink_to(mine)
    (real_board / "home").symlink_to(real_board)
    (real_board / "file").write_text("mine")
    (tmp_path / MARK).touch()
    for name, reason in (
        ("mine", "holds something that deploy did not put there"),
        (str(mine), "holds something that deploy did not put there"),
        ("link", "holds something that deploy did not put there"),
        ("home", "is the home directory or the root"),
        (str(real_board), "is the home directory or the root"),
        ("file", "file"),
    ):
        with pytest.raises(DeviceError, match=reason):
            copy_to(remote_board("board", name, "python3"), tmp_path)
    (real_board / "home").unlink()
    (real_board / "link").unlink()
    (real_board / "file").unlink()
    assert (mine / ".hidden").read_text() == "mine"
    copy_to(remote_board("board", "empty", "python3"), tmp_path)
    assert (empty / MARK).is_file()
    # Even where the mark goes between the two steps: rsync is not started without it.
    (deployed / "new").write_text("mine")
    with pytest.raises(DeviceError):
        _rsync(remote_board("board", "deployed", "python3"), "--delete", f"{tmp_path}/", "board:./")
    assert (deployed / "new").read_text() == "mine"


@pytest.mark.slow
def test_deploy_over_ssh(
    axynq, real_board: Path, digits_path: Path, digits: graph.Model, tmp_path: Path, digits_data
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "outputs.npy").write_text("old")
    content = json_of(
        axynq("deploy", digits_path, "--plan", "roup:1,4", "--overlay", "tiny4", "--limit", 4,
              "--board", "board", "--data", digits_data, "--device", "software", "--folder",
              "my board's", "--python", sys.executable, "--output", tmp_path / "out", "--json")
    )  # fmt: skip
    assert content["examples"] == 4
    assert np.load(tmp_path / "out" / "outputs.npy").shape == (4, 10)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["outputs.npy", "results.json"]
    assert (real_board / "my board's" / "program.axp").is_file()


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
