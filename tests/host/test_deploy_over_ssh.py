# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Deploying to a board over a real ssh server on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator.errors import DeviceError
from axynq.host import deploy
from axynq.host.deploy import MARK, PARTIAL, _rsync, copy_to, fetch_from, remote_board
from tests.host.ssh_server import NEEDED, Server, program
from tests.host.test_cli import json_of


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    missing = [name for name in NEEDED if program(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: apt install openssh-server rsync")
    # Not below pytest's folder: others may write there, and ssh is strict.
    with tempfile.TemporaryDirectory(prefix="axynq-ssh-") as folder:
        made = Server(Path(folder))
        try:
            made.start()
        except RuntimeError as error:
            pytest.skip(f"sshd does not start: {error}")
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[None]:
    """One connection for all commands: what makes one is the same as without."""
    ssh = server.shared / "ssh"
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    subprocess.run([ssh, "-M", "-N", "-f", "board"], check=True, **quiet)
    yield
    subprocess.run([ssh, "-O", "exit", "board"], check=False, **quiet)


def emptied(home: Path) -> Path:
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return home


@pytest.fixture
def board(server: Server, connection: None, monkeypatch) -> Path:
    """The home directory on the board, empty; over a connection that stays."""
    monkeypatch.setenv("PATH", str(server.shared), prepend=":")
    return emptied(server.home)


@pytest.fixture
def lone_board(server: Server, monkeypatch) -> Path:
    """The same with a connection for each command, which can be lost."""
    monkeypatch.setenv("PATH", str(server.single), prepend=":")
    return emptied(server.home)


def until(condition: Callable[[], bool]) -> bool:
    """Wait for something, a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# --- folders -------------------------------------------------------------------------------------

FOLDERS = ["it's $HOME", "$(touch pwned);touch pwned `touch pwned`", "-rf", "[x]*", 'a:b "ü"\\']


@pytest.mark.slow
def test_folders_of_any_name(board: Path, tmp_path: Path) -> None:
    source = tmp_path / "it's: local"
    source.mkdir()
    (source / MARK).touch()
    (source / "file").write_text("1")
    for name in FOLDERS:
        remote = remote_board("board", name, "python3")
        copy_to(remote, source)
        (board / name / "result").write_text(name)
        fetch_from(remote, "result", tmp_path / "fetched")
        assert (tmp_path / "fetched").read_text() == name
        assert deploy._in_folder(remote, "pwd; cat result").endswith(f"/{name}\n{name}")
    assert sorted(path.name for path in board.iterdir()) == sorted(FOLDERS)
    copy_to(remote, source)  # again: what else is there goes
    assert sorted(path.name for path in (board / name).iterdir()) == [MARK, "file"]


def test_nothing_else_is_removed(board: Path, tmp_path: Path) -> None:
    mine, empty, deployed = (board / name for name in ("mine", "empty", "deployed"))
    for folder in (mine, empty, deployed):
        folder.mkdir()
    (mine / ".hidden").write_text("mine")
    (board / "link").symlink_to(mine)
    (board / "home").symlink_to(board)
    (board / "file").write_text("mine")
    (tmp_path / MARK).touch()
    for name, reason in (
        ("mine", "holds something that deploy did not put there"),
        (str(mine), "holds something that deploy did not put there"),
        ("link", "holds something that deploy did not put there"),
        ("home", "is the home directory or the root"),
        (str(board), "is the home directory or the root"),
        ("file", "file"),
    ):
        with pytest.raises(DeviceError, match=reason):
            copy_to(remote_board("board", name, "python3"), tmp_path)
    (board / "home").unlink()
    (board / "link").unlink()
    (board / "file").unlink()
    assert (mine / ".hidden").read_text() == "mine"
    copy_to(remote_board("board", "empty", "python3"), tmp_path)
    assert (empty / MARK).is_file()
    # Even where the mark goes between the two steps: rsync is not started without it.
    (deployed / "new").write_text("mine")
    with pytest.raises(DeviceError):
        _rsync(remote_board("board", "deployed", "python3"), "--delete", f"{tmp_path}/", "board:./")
    assert (deployed / "new").read_text() == "mine"


def test_a_folder_that_may_not_be_made(board: Path, tmp_path: Path) -> None:
    (tmp_path / MARK).touch()
    with pytest.raises(DeviceError, match="cannot create directory") as caught:
        copy_to(remote_board("board", "/proc/axynq", "python3"), tmp_path)
    assert "without a password" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(board: Path, tmp_path: Path) -> None:
    (tmp_path / MARK).touch()
    folder = board / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(DeviceError, match="Permission denied") as caught:
        copy_to(remote_board("board", "locked/inside", "python3"), tmp_path)
    assert "without a password" not in str(caught.value)


# --- whole runs ----------------------------------------------------------------------------------


@pytest.fixture
def command(digits_path: Path, digits_data: Path, tmp_path: Path) -> list[object]:
    """``deploy`` with files whose names need care."""
    model = tmp_path / 'it\'s a "model" $HOME.tflite'
    shutil.copy(digits_path, model)
    return ["deploy", model, "--overlay", "tiny4", "--limit", 4, "--board", "board", "--data",
            digits_data, "--device", "software", "--folder", "my board's", "--output",
            tmp_path / "my out's"]  # fmt: skip


@pytest.mark.slow
def test_deploy(axynq, board: Path, command: list[object], tmp_path: Path) -> None:
    output = tmp_path / "my out's"
    output.mkdir()
    (output / "outputs.npy").write_text("old")
    words = ["--plan", "roup:1,4", "--python", sys.executable, "--json"]
    content = json_of(axynq(*command, *words))
    assert content["examples"] == 4
    assert np.load(output / "outputs.npy").shape == (4, 10)
    assert sorted(path.name for path in output.iterdir()) == ["outputs.npy", "results.json"]
    assert (board / "my board's" / "program.axp").is_file()


def test_a_board_without_axynq(axynq, board: Path, command: list[object]) -> None:
    code, out, err = axynq(*command, "--python", f"{sys.executable} -I -S")
    assert (code, out) == (1, "")
    assert "No module named 'axynq'" in err
    assert "--wheel installs it" in " ".join(err.split())


@pytest.fixture
def patient(lone_board: Path) -> Callable[[], int | None]:
    """Puts a Python onto the board that waits; says its process once it runs."""
    started = lone_board / "started"
    python = lone_board / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {started}.new\nmv {started}.new {started}\n"
                      "exec sleep 300\n")  # fmt: skip
    python.chmod(0o755)
    return lambda: int(started.read_text()) if started.exists() else None


def running(process: int) -> bool:
    try:
        return Path("/proc", str(process), "comm").read_text() == "sleep\n"
    except OSError:
        return False


def test_a_connection_that_is_lost_while_it_runs(
    axynq, server: Server, lone_board: Path, patient, command: list[object], tmp_path: Path
) -> None:
    lost = threading.Thread(
        target=lambda: (until(lambda: patient() is not None), server.drop_connections())
    )
    lost.start()
    code, out, err = axynq(*command, "--python", lone_board / "python")
    lost.join()
    assert (code, out) == (1, "")
    assert err.startswith("error: board: ")
    assert err.count("\n") == 1
    assert "the connection was lost. Run the command again" in err
    assert not list((tmp_path / "my out's").iterdir())
    process = patient()
    assert process is not None
    assert until(lambda: not running(process))


@pytest.mark.slow
def test_ctrl_c(server: Server, lone_board: Path, patient, command: list[object]) -> None:
    words = [str(word) for word in [*command, "--python", lone_board / "python"]]
    ran = subprocess.Popen(
        [sys.executable, "-m", "axynq.host.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert until(lambda: patient() is not None or ran.poll() is not None)
        os.killpg(ran.pid, signal.SIGINT)  # as a terminal does: to ssh, too
        out, err = ran.communicate(timeout=60)
    finally:
        ran.kill()
    assert (ran.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    process = patient()
    assert process is not None
    assert until(lambda: not running(process))


def test_a_copy_goes_on_where_it_was_lost(
    server: Server, lone_board: Path, tmp_path: Path, monkeypatch
) -> None:
    """rsync sends slowly; what had come when the connection was lost is not sent again."""
    slow = tmp_path / "bin"
    slow.mkdir()
    rsync = slow / "rsync"
    rsync.write_text(f'#!/bin/sh\nexec {program("rsync")} --bwlimit=4096 "$@"\n')
    rsync.chmod(0o755)
    source = tmp_path / "source"
    source.mkdir()
    (source / MARK).touch()
    content = np.random.default_rng(0).bytes(16 << 20)
    (source / "data").write_bytes(content)
    folder = lone_board / "deployed"
    remote = remote_board("board", "deployed", "python3")

    def come() -> bool:
        return any(path.stat().st_size > 1 << 20 for path in folder.glob(".data.*"))

    lost = threading.Thread(target=lambda: (until(come), server.drop_connections()))
    lost.start()
    with monkeypatch.context() as path:
        path.setenv("PATH", str(slow), prepend=":")
        with pytest.raises(DeviceError, match="the connection was lost"):
            copy_to(remote, source)
    lost.join()
    kept = folder / PARTIAL / "data"
    assert until(kept.is_file)
    assert 1 << 20 <= kept.stat().st_size < len(content)
    copy_to(remote, source)
    assert (folder / "data").read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [MARK, "data"]


def test_a_board_that_is_silent(
    server: Server, lone_board: Path, patient, monkeypatch, tmp_path: Path
) -> None:
    """Its server is stopped, as a board is that hangs."""
    options = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1")
    monkeypatch.setattr(deploy, "SSH_OPTIONS", ("-o", "BatchMode=yes", *options))
    stopped: list[int] = []

    def stop() -> None:
        until(lambda: patient() is not None)
        stopped.extend(server.sessions())
        for process in stopped:
            os.kill(process, signal.SIGSTOP)

    (tmp_path / MARK).touch()
    remote = remote_board("board", "deployed", str(lone_board / "python"))
    copy_to(remote, tmp_path)
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        with pytest.raises(DeviceError, match="not responding.*the connection was lost"):
            deploy._in_folder(remote, remote.python)
    finally:
        thread.join()
        server.drop_connections()
    process = patient()
    assert process is not None
    assert until(lambda: not running(process))


# --- who is who ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ("other", "its host key is not the one that ssh knows"),
        ("", "ssh does not know its host key: connect once by hand"),
    ],
)
def test_wrong_host_keys(
    server: Server, lone_board: Path, tmp_path: Path, known: str, reason: str
) -> None:
    file = server.folder / "known"
    before = file.read_text()
    key = (server.folder / f"{known}.pub").read_text() if known else ""
    file.write_text(f"[127.0.0.1]:{server.port} {key}" if key else "")
    try:
        with pytest.raises(DeviceError, match=reason):
            copy_to(remote_board("board", "x", "python3"), tmp_path)
    finally:
        file.write_text(before)
    assert not list(lone_board.iterdir())


def test_a_key_that_is_not_accepted(server: Server, lone_board: Path, tmp_path: Path) -> None:
    keys = server.folder / "user.pub"
    before = keys.read_text()
    keys.write_text((server.folder / "other.pub").read_text())
    try:
        with pytest.raises(DeviceError, match=r"without a password: ssh-copy-id board"):
            copy_to(remote_board("board", "x", "python3"), tmp_path)
    finally:
        keys.write_text(before)


def test_nobody_listens(server: Server, lone_board: Path, tmp_path: Path, monkeypatch) -> None:
    here = tmp_path / "bin"
    here.mkdir()
    ssh = here / "ssh"  # the next option of the same name does not count
    ssh.write_text(f'#!/bin/sh\nexec {server.single / "ssh"} -p 1 "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(here), prepend=":")
    with pytest.raises(DeviceError, match="Connection refused: is the board switched on"):
        copy_to(remote_board("board", "x", "python3"), tmp_path)
