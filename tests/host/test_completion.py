# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the shell offers when Tab is pressed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from axynq.host.cli import completion
from axynq.host.overlay import overlay_names
from axynq.host.overlay.board import board_names

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def offered(axynq, monkeypatch):
    """What bash is offered for words that it has divided; the last is being typed."""

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("_AXYNQ_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(("axynq", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        code, out, err = axynq()
        assert (code, err) == (0, "")
        return out.splitlines()

    return ask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ev",), ["evaluate"]),
        (("evaluate", "m", "--against-"), ["--against-plan"]),
        (("evaluate", "m", "--spl"), ["--split"]),
        (("evaluate", "m", "--split", ""), ["train", "test"]),
        (("evaluate", "m", "--quie"), ["--quiet"]),
        (("inspect", "m", "--overlay", ""), overlay_names()),
        (("compile", "m", "--overlay", "tiny"), [o for o in overlay_names() if o[:4] == "tiny"]),
        (("rtl", "--estimate", "z2-m"), ["z2-mixed16"]),
        (("design", "m", "--board", ""), board_names()),
        (("rtl", "smapprox", ":", "33"), ["3333", "3330", "3300"]),
        (("rtl", "roup", ":"), ["0,4", "0,6", "0,8", "1,4", "1,6", "1,8", "2,6", "2,8", "3,6"]),
        (("evaluate", "m", "--plan", "llam", "=", "roup", ":", "1,4"), ["1,4"]),
        (("evaluate", "m", "--plan", "=", "roup", ":", "1,4"), ["1,4"]),
        (("evaluate", "m", "--plan", "'flam=exact|roup:3"), ["flam=exact|roup:3,6"]),
        (("explore", "m", "--multipliers", "'exact|roup:2"),
         ["exact|roup:2,6", "exact|roup:2,8"]),
        (("explore", "m", "--levels", "layer,ro"), ["layer,row"]),
        (("evaluate", "m", "--energy", "p"), ["published"]),
        (("power", "p.axp", "--sensor", "hw"), ["hwmon"]),
        (("retrain", "m", "--device", "c"), ["cpu", "cuda"]),
        (("rtl", "nonsense"), []),
    ],
)  # fmt: skip
def test_what_bash_is_offered(offered, words: tuple[str, ...], expected: list[str]) -> None:
    found = offered(*words)
    assert sorted(found) == sorted(expected)


def test_networks_are_files_or_those_that_ship(offered, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").touch()
    (tmp_path / "b.txt").touch()
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "c.onnx").touch()
    found = offered("evaluate", "")
    assert found[:2] == ["a.tflite", "nets/"]
    assert {Path(path).name for path in found[2:]} >= {"digits_int8.tflite", "allcnn_int8.tflite"}
    assert all(Path(path).is_file() for path in found[2:])
    assert offered("evaluate", "nets/") == ["nets/c.onnx"]
    (tmp_path / "plan.json").touch()
    assert "plan.json" in offered("evaluate", "m", "--plan", "p")


def test_words_are_put_together() -> None:
    words = ["axynq", "evaluate", "m", "--plan", "=", "flam", "=", "roup", ":", "1,4", "--json"]
    joined = ["axynq", "evaluate", "m", "--plan=flam=roup:1,4", "--json"]
    assert completion.divided(words, 9) == (joined, 3)
    assert completion.divided(words, 10) == (joined, 4)
    assert completion.divided(words, 11) == (joined, 5)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_ask_in_their_own_way(axynq, monkeypatch, shell: str) -> None:
    monkeypatch.setenv("_AXYNQ_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "axynq inspect m --overlay z2-mi")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    code, out, err = axynq()
    assert (code, err) == (0, "")
    assert "z2-mixed16" in out


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with a home of its own and with ``axynq`` on the path."""
    script = tmp_path / "bin" / "axynq"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m axynq.host.cli "$@"\n')
    script.chmod(0o755)
    return os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "PS1": "$ ",
        "TERM": "dumb",
    }


@needs_bash
@pytest.mark.slow
def test_bash_itself_completes(home: dict[str, str], tmp_path: Path) -> None:
    """The script is installed, and an interactive bash reads it and asks at Tab."""
    installed = subprocess.run(
        ["bash", "-c", "axynq --install-completion; true"],
        env=home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "bash completion installed" in installed.stdout
    with typing_in_bash(home) as type_:
        type_("axynq rtl roup:3\t", "axynq rtl roup:3,6")
        type_("\x15axynq insp\t", "axynq inspect ")  # Ctrl-U takes the line back
        type_("m --overlay z2-mi\t", "m --overlay z2-mixed16")


@contextmanager
def typing_in_bash(environment: dict[str, str]) -> Iterator[Callable[[str, str], None]]:
    """Types on the terminal of an interactive bash, and waits until that shows something."""
    import pty
    import select

    terminal, other = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-i"], stdin=other, stdout=other, stderr=other, env=environment,
        cwd=environment["HOME"], start_new_session=True,
    )  # fmt: skip
    os.close(other)

    def type_(text: str, expected: str) -> None:
        os.write(terminal, text.encode())
        shown = ""
        while expected not in shown:
            ready, _, _ = select.select([terminal], [], [], 60)
            assert ready, shown
            shown += os.read(terminal, 4096).decode("utf-8", "replace")

    try:
        type_("echo $((40 + 2))\n", "42")  # it reads lines itself now
        yield type_
    finally:
        process.kill()
        process.wait(30)
        os.close(terminal)
